"""The exception tree.

::

    WsrelayError
     +-- ChannelError        a channel name or pattern outside the grammar
     +-- ConfigError         a setting that cannot be used; the text is meant for the operator
     +-- RefusedError        a handshake answered with an HTTP status instead of an upgrade
     +-- ClaimError          a credential says something that cannot be used; the text names the claim
     +-- DeniedError         somebody is not let in, or not let do something; names the denial
     +-- FetchError          another server did not answer as it should; the text is meant for the operator
     |    +-- FetchTimeoutError   it did not answer in time
     +-- ProtocolViolation   a client broke the rules of its dialect; names the closing it gets
     +-- BrokerUnavailable   the broker cannot carry out a command now; trying again later may help
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsrelay.core.outcomes.client_errors import Denial
    from wsrelay.core.outcomes.disconnects import Closing
    from wsrelay.core.wire.http_response import Refusal

__all__ = [
    "BrokerUnavailable",
    "ChannelError",
    "ClaimError",
    "ConfigError",
    "DeniedError",
    "FetchError",
    "FetchTimeoutError",
    "ProtocolViolation",
    "RefusedError",
    "WsrelayError",
]


class WsrelayError(Exception):
    """Everything this package raises on purpose."""


class ChannelError(WsrelayError):
    """A channel name or pattern is outside the grammar; the text says where and never repeats raw input."""


class ConfigError(WsrelayError):
    """A setting cannot be used; the text says which, where it came from and what to do."""


class RefusedError(WsrelayError):
    """A handshake is answered with an HTTP status instead of an upgrade.

    Attributes:
        refusal: The status and text the client gets.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.status} {refusal.text}")
        self.refusal = refusal


class ClaimError(WsrelayError):
    """A credential says something that cannot be used; the text names the claim and never repeats its value."""


class DeniedError(WsrelayError):
    """Somebody is not let in, or not let do something.

    Attributes:
        denial: Why not.
    """

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.reason)
        self.denial = denial


class FetchError(WsrelayError):
    """Another server, asked by this one over HTTP, did not answer as it should; the text holds no credential."""


class FetchTimeoutError(FetchError):
    """Another server did not answer in time."""


class ProtocolViolation(WsrelayError):  # noqa: N818 -- the field's own word for it
    """A client broke the rules of its dialect.

    Attributes:
        closing: What its connection is closed with.
    """

    def __init__(self, closing: Closing) -> None:
        super().__init__(closing.reason)
        self.closing = closing


class BrokerUnavailable(WsrelayError):  # noqa: N818 -- a state, not a mistake
    """The broker cannot carry out a command now; trying again later may help."""

    @property
    def code(self) -> str:
        """What the text begins with if Redis said it, such as NOPERM; what stands behind it may repeat the command."""
        code = str(self).partition(" ")[0]
        return code if code.isupper() else "no answer"
