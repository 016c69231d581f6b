"""The codes of Centrifugo's client protocol: what our tables become in it.

Sources: the pages "Error codes" and "Disconnect codes" of Centrifugo's documentation, and `errors.go` and
`disconnect.go` of github.com/centrifugal/centrifuge (2026-08). The code tells an SDK what to do: a disconnect code of
3000-3499 or 4000-4499 means "reconnect", one of 3500-3999 or 4500-4999 means "do not"; an unsubscribe code from 2500 on
means "subscribe again at once".
"""

from __future__ import annotations

from typing import NamedTuple

from wsrelay.core.messaging.messages import Farewell
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect

__all__ = [
    "DISCONNECT_CODES",
    "ERRORS",
    "UNSUBSCRIBE_CODES",
    "ErrorCode",
    "disconnect_push",
    "error_code",
    "farewell",
    "unsubscribe_code",
]


class ErrorCode(NamedTuple):
    """An error in a reply.

    Attributes:
        code: The number.
        message: The text.
        is_temporary: Whether an SDK tries again, with back-off.
    """

    code: int
    message: str
    is_temporary: bool = False


_INTERNAL = ErrorCode(100, "internal server error", is_temporary=True)
_UNKNOWN_CHANNEL = ErrorCode(102, "unknown channel")
_PERMISSION_DENIED = ErrorCode(103, "permission denied")
_TOKEN_EXPIRED = ErrorCode(109, "token expired")

ERRORS: dict[ClientError, ErrorCode] = {
    ClientError.UNKNOWN_CHANNEL: _UNKNOWN_CHANNEL,
    ClientError.ALREADY_SUBSCRIBED: ErrorCode(105, "already subscribed"),
    ClientError.TOO_MANY_CHANNELS: ErrorCode(106, "limit exceeded"),
    ClientError.BAD_REQUEST: ErrorCode(107, "bad request"),
    ClientError.NO_HISTORY: ErrorCode(108, "not available"),
    ClientError.NOT_SUPPORTED: ErrorCode(108, "not available"),
    ClientError.UNRECOVERABLE: ErrorCode(112, "unrecoverable position"),
    ClientError.TOO_MANY_REQUESTS: ErrorCode(111, "too many requests", is_temporary=True),
    # Both make an SDK call getToken: a ticket is good once, and the next one is as good.
    ClientError.TOKEN_EXPIRED: _TOKEN_EXPIRED,
    ClientError.TICKET: _TOKEN_EXPIRED,
    ClientError.REFRESH_EXPIRED: ErrorCode(110, "expired"),
}
"""The errors that have a code of their own; see `error_code` for the others."""

DISCONNECT_CODES: dict[Disconnect, int] = {
    Disconnect.PROTOCOL_ERROR: 3501,
    Disconnect.INVALID_PAYLOAD: 3501,
    Disconnect.TOO_FAST: 3013,
    # An SDK takes 1009 for terminal, and a reconnect would only send the same message again.
    Disconnect.TOO_BIG: 1009,
    Disconnect.INTERNAL_ERROR: 3004,
    Disconnect.RESTART: 3001,
    Disconnect.TRY_AGAIN: 3004,
    Disconnect.SLOW: 3008,
    Disconnect.GAP: 3010,
    Disconnect.NOT_AVAILABLE: 3004,
    Disconnect.RECONNECT: 3011,
    # There is no code for it. An SDK backs off while it is rejected.
    Disconnect.DISABLED: 3001,
    Disconnect.CREDENTIAL: 3500,
    Disconnect.CREDENTIAL_EXPIRED: 3005,
    Disconnect.PUBLISH_DENIED: 3507,
    Disconnect.NOT_PERMITTED: 3507,
    Disconnect.REVOKED: 3503,
    Disconnect.BAD_REQUEST: 3501,
    Disconnect.STALE: 3502,
    Disconnect.NOT_SUPPORTED: 3508,
}
"""The close code of every disconnect."""

UNSUBSCRIBE_CODES: dict[Disconnect, int] = {
    Disconnect.GAP: 2500,
    Disconnect.REVOKED: 2000,
    Disconnect.CREDENTIAL_EXPIRED: 2501,
}
"""The unsubscribe codes that are the protocol's own; see `unsubscribe_code` for the others."""


def error_code(error: ClientError) -> ErrorCode:
    """Return the code of an error. Every other temporary one is 100, and every other one 103."""
    found = ERRORS.get(error)
    if found is not None:
        return found
    return _INTERNAL if error.is_temporary else _PERMISSION_DENIED


def farewell(disconnect: AnyDisconnect) -> Farewell:
    """Close with Centrifugo's code. The reason is our own; it is never JSON, which an SDK would try to read."""
    code = DISCONNECT_CODES[disconnect] if isinstance(disconnect, Disconnect) else disconnect.code
    return Farewell(code, disconnect.reason)


def disconnect_push(disconnect: AnyDisconnect) -> dict[str, object]:
    """Return the push, as a document, that tells a client why its stream ends: a stream has no close frame."""
    code, reason, _messages = farewell(disconnect)
    return {"disconnect": {"code": code, "reason": reason}}


def unsubscribe_code(disconnect: Disconnect) -> int:
    """Return the code with which a subscription ends: from 2500 on where the client should subscribe again."""
    found = UNSUBSCRIBE_CODES.get(disconnect)
    if found is not None:
        return found
    return 2500 if disconnect.reconnect else 2000
