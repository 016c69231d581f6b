"""Operations of the application on all processes. The HTTP API, the control channel and the command line share them."""

from wsrelay.core.history.pages import HistoryPage, KeptPublication
from wsrelay.engine.operations.history import HistoryOperations
from wsrelay.engine.operations.operations import MAX_IDEMPOTENCY_KEY_CHARACTERS, MAX_REVOKE_SECONDS, Operations
from wsrelay.engine.operations.presence import PresenceOperations
from wsrelay.engine.operations.processes import ChannelCounts, Processes, ProcessOperations
from wsrelay.engine.operations.switch import SwitchOperations
from wsrelay.engine.operations.tickets import DEFAULT_TICKET_SECONDS, MAX_TICKET_SECONDS

__all__ = [
    "DEFAULT_TICKET_SECONDS",
    "MAX_IDEMPOTENCY_KEY_CHARACTERS",
    "MAX_REVOKE_SECONDS",
    "MAX_TICKET_SECONDS",
    "ChannelCounts",
    "HistoryOperations",
    "HistoryPage",
    "KeptPublication",
    "Operations",
    "PresenceOperations",
    "ProcessOperations",
    "Processes",
    "SwitchOperations",
]
