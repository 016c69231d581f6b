"""The errors of API methods: the codes of Centrifugo's server API, and the HTTP statuses that stand for them."""

from __future__ import annotations

from twisted.internet.defer import TimeoutError as DeferredTimeout

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import (
    BrokerFull,
    BrokerUnavailable,
    ChannelError,
    ClaimError,
    IdempotencyUnavailable,
    PositionError,
    RejectedError,
)
from wsrelay.core.wire.json_text import dump_json

__all__ = [
    "BAD_REQUEST",
    "FULL",
    "INTERNAL",
    "LIMIT_EXCEEDED",
    "NOT_AVAILABLE",
    "NOT_FOUND",
    "UNKNOWN_CHANNEL",
    "UNRECOVERABLE",
    "MethodError",
    "method_error",
]

INTERNAL = 100
UNKNOWN_CHANNEL = 102
NOT_FOUND = 104
LIMIT_EXCEEDED = 106
BAD_REQUEST = 107
NOT_AVAILABLE = 108
UNRECOVERABLE = 112

FULL = "Redis is full (OOM): it takes nothing more that is to be kept. Raise its maxmemory, or keep less history."

_TEXTS = {
    INTERNAL: "internal server error",
    UNKNOWN_CHANNEL: "unknown channel",
    NOT_FOUND: "method not found",
    LIMIT_EXCEEDED: "limit exceeded",
    BAD_REQUEST: "bad request",
    NOT_AVAILABLE: "not available",
    UNRECOVERABLE: "unrecoverable position",
}
_STATUSES = {INTERNAL: 500, UNKNOWN_CHANNEL: 404, NOT_FOUND: 404, UNRECOVERABLE: 416}


class MethodError(Exception):
    """A method answers with an error.

    Args:
        code: One of the codes of this module.
        detail: What is behind it, for the developer who made the call. If empty, the code says it all.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{_TEXTS[code]}: {detail}" if detail else _TEXTS[code])
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status for a client that asks for one: 400 unless the code has another."""
        return _STATUSES.get(self.code, 400)

    def to_json(self) -> bytes:
        """Return the error's object."""
        return dump_json({"code": self.code, "message": str(self)})


def method_error(error: BaseException | None) -> MethodError | None:
    """Return the error that a method answers with when an operation failed; None for a defect of the relay."""
    match error:
        case MethodError():
            return error
        case RejectedError(client_error=ClientError.UNKNOWN_CHANNEL):
            return MethodError(UNKNOWN_CHANNEL, "no namespace of the relay's configuration has it")
        case RejectedError(client_error=ClientError.NO_HISTORY):
            return MethodError(NOT_AVAILABLE, "the namespace of this channel keeps no history")
        case RejectedError():
            return MethodError(NOT_AVAILABLE)
        case IdempotencyUnavailable():
            return MethodError(NOT_AVAILABLE, str(error))
        case PositionError():
            return MethodError(UNRECOVERABLE, str(error))
        case ChannelError() | ClaimError():
            return MethodError(BAD_REQUEST, str(error))
        case BrokerFull():
            return MethodError(INTERNAL, FULL)
        case BrokerUnavailable() | DeferredTimeout():
            return MethodError(INTERNAL, "Redis cannot be reached or cannot carry this out now; try again later")
        case _:
            return None
