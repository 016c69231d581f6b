"""The scenarios of every SDK against a relay, written once."""

from __future__ import annotations

from tests.clients.scenarios.conversation import ConversationScenarios
from tests.clients.scenarios.history import HistoryScenarios, StateScenarios
from tests.clients.scenarios.presence import PresenceScenarios
from tests.clients.scenarios.returning import ReturningScenarios, SlowScenarios
from tests.clients.scenarios.tokens import TokenScenarios

__all__ = ["FallbackScenarios", "PageScenarios", "Scenarios", "SlowScenarios", "StatelessScenarios"]


class CommonScenarios(ConversationScenarios, HistoryScenarios, PresenceScenarios, TokenScenarios, ReturningScenarios):
    """Those of every client."""


class PageScenarios(CommonScenarios, StateScenarios):
    """Those of a client in a page."""


class StatelessScenarios(CommonScenarios, SlowScenarios):
    """Those of a program whose SDK cannot load a state."""


class Scenarios(CommonScenarios, StateScenarios, SlowScenarios):
    """All of them."""


class FallbackScenarios(ConversationScenarios, ReturningScenarios):
    """Those that a transport can change."""
