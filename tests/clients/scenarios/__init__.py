"""What each SDK has to do against a relay, written once."""

from __future__ import annotations

from tests.clients.scenarios.conversation import ConversationScenarios
from tests.clients.scenarios.history import HistoryScenarios
from tests.clients.scenarios.presence import PresenceScenarios
from tests.clients.scenarios.returning import ReturningScenarios
from tests.clients.scenarios.tokens import TokenScenarios

__all__ = ["FallbackScenarios", "Scenarios"]


class Scenarios(ConversationScenarios, HistoryScenarios, PresenceScenarios, TokenScenarios, ReturningScenarios):
    """All of them."""


class FallbackScenarios(ConversationScenarios, ReturningScenarios):
    """Those that a transport can change."""
