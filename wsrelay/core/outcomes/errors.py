"""The exception tree.

::

    WsrelayError
     +-- ChannelError        a channel name or pattern outside the grammar
     +-- ConfigError         a setting that cannot be used; the text is meant for the operator
     +-- HTTPError           a handshake answered with an HTTP status instead of an upgrade
     +-- ClaimError          a credential says something that cannot be used; the text names the claim
     +-- RejectedError       a client is rejected, or may not do something; names the client error
     +-- FetchError          another server did not answer as it should; the text is meant for the operator
     |    +-- FetchTimeoutError   it did not answer in time
     +-- PositionError       a text is no position in a stream
     +-- ProtocolViolation   a client broke the rules of its dialect; names the disconnect it gets
     +-- BrokerUnavailable   the broker cannot carry out a command now; trying again later may help
     |    +-- BrokerFull          it has no memory left for what is to be kept
     +-- IdempotencyUnavailable   the server cannot promise that a message is published once
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsrelay.core.outcomes.client_errors import ClientError
    from wsrelay.core.outcomes.disconnects import Disconnect
    from wsrelay.core.wire.http_response import ErrorResponse

__all__ = [
    "BrokerFull",
    "BrokerUnavailable",
    "ChannelError",
    "ClaimError",
    "ConfigError",
    "FetchError",
    "FetchTimeoutError",
    "HTTPError",
    "IdempotencyUnavailable",
    "PositionError",
    "ProtocolViolation",
    "RejectedError",
    "WsrelayError",
]


class WsrelayError(Exception):
    """Everything this package raises on purpose."""


class ChannelError(WsrelayError):
    """A channel name or pattern is outside the grammar; the text says where and never repeats raw input."""


class ConfigError(WsrelayError):
    """A setting cannot be used; the text says which, where it came from and what to do."""


class HTTPError(WsrelayError):
    """A handshake is answered with an HTTP status instead of an upgrade.

    Attributes:
        response: The status and text that the client gets.
    """

    def __init__(self, response: ErrorResponse) -> None:
        super().__init__(f"{response.status} {response.text}")
        self.response = response


class ClaimError(WsrelayError):
    """A credential says something that cannot be used; the text names the claim and never repeats its value."""


class RejectedError(WsrelayError):
    """A client is rejected, or may not do something.

    Attributes:
        client_error: Why.
    """

    def __init__(self, client_error: ClientError) -> None:
        super().__init__(client_error.reason)
        self.client_error = client_error


class FetchError(WsrelayError):
    """Another server, asked by this one over HTTP, did not answer as it should; the text holds no credential."""


class FetchTimeoutError(FetchError):
    """Another server did not answer in time."""


class PositionError(WsrelayError):
    """A text is no position in a stream; the text of the error never repeats it."""


class ProtocolViolation(WsrelayError):  # noqa: N818 -- the field's own word for it
    """A client broke the rules of its dialect.

    Attributes:
        disconnect: What its connection is closed with.
    """

    def __init__(self, disconnect: Disconnect) -> None:
        super().__init__(disconnect.reason)
        self.disconnect = disconnect


class BrokerUnavailable(WsrelayError):  # noqa: N818 -- a state, not a mistake
    """The broker cannot carry out a command now; trying again later may help."""

    @property
    def code(self) -> str:
        """The first word of the text, such as NOPERM if Redis said it. The rest may repeat the command."""
        code = str(self).partition(" ")[0]
        return code if code.isupper() else "no answer"


class BrokerFull(BrokerUnavailable):
    """The broker has no memory left for what is to be kept. It needs the operator: trying again later may not help."""


class IdempotencyUnavailable(WsrelayError):  # noqa: N818 -- a lack, not a mistake
    """The server cannot promise that messages with the same idempotency key are published once; the text says why."""
