"""One client's life as a state machine: an input in, a list of effects out.

The machine knows rules and nothing else: it holds no socket and no timer, calls nobody, and never learns how its
effects are carried out. Whoever drives it performs the effects in order and feeds the outcomes back as inputs.

======== ========================== ============================================= ========
state    input                      effects                                       next
======== ========================== ============================================= ========
OPENING  open, all permitted        Listen for each channel                       OPENING
OPENING  open, one not permitted    Refuse                                        CLOSED
OPENING  listening, last one        Accept                                        OPEN
OPENING  not_listening              Refuse, Unlisten for each channel             CLOSED
OPEN     Publish, permitted         Emit                                          OPEN
OPEN     Publish, not permitted     Close                                         OPEN
OPEN     not_emitted                Close                                         OPEN
any      lost                       Unlisten for each channel                     CLOSED
CLOSED   anything                   none                                          CLOSED
======== ========================== ============================================= ========

A Close leaves the machine OPEN on purpose: the connection still exists until it is `lost`, and what it listens to
is released exactly once, there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple, TypeAlias

from wsrelay.core.channels import Namespaces
from wsrelay.core.closing import Closing
from wsrelay.core.commands import Publish, Subscribe
from wsrelay.core.handshake import Refusal

__all__ = ["Accept", "Close", "Effect", "Emit", "Listen", "Refuse", "Session", "Unlisten"]

UNKNOWN_CHANNEL = Refusal(
    404, "This channel does not exist for clients: no namespace of the relay's configuration names it."
)
SUBSCRIBE_DENIED = Refusal(403, "The namespace of this channel does not let clients subscribe.")
NOT_AVAILABLE = Refusal(
    503, "The relay has no working connection to Redis now. Try again later.", (("Retry-After", "5"),)
)


class Listen(NamedTuple):
    """Subscribe to a channel; answer with `Session.listening` or `Session.not_listening`."""

    channel: str


class Unlisten(NamedTuple):
    """Give a channel up, whether or not Listen was answered."""

    channel: str


class Emit(NamedTuple):
    """Publish a message; answer with `Session.not_emitted` if it fails."""

    channel: str
    payload: bytes


class Accept(NamedTuple):
    """Complete the handshake: from here on the client hears its channels."""


class Refuse(NamedTuple):
    """Answer the handshake with an HTTP status."""

    refusal: Refusal


class Close(NamedTuple):
    """Say goodbye and close."""

    closing: Closing


Effect: TypeAlias = Listen | Unlisten | Emit | Accept | Refuse | Close


class _State(Enum):
    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """The state of one client.

    Args:
        namespaces: The rules about channels.
    """

    __slots__ = ("_channels", "_missing", "_namespaces", "_state")

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._state = _State.OPENING
        self._channels: tuple[str, ...] = ()
        self._missing = 0

    def open(self, subscriptions: Sequence[Subscribe]) -> list[Effect]:
        """The client knocked, and by that asks for these channels."""
        channels = tuple(dict.fromkeys(subscription.channel for subscription in subscriptions))
        for channel in channels:
            namespace = self._namespaces.rule(channel)
            if namespace is None or not namespace.subscribe:
                self._state = _State.CLOSED
                return [Refuse(UNKNOWN_CHANNEL if namespace is None else SUBSCRIBE_DENIED)]
        self._channels = channels
        self._missing = len(channels)
        return [Listen(channel) for channel in channels] if channels else self._opened()

    def listening(self) -> list[Effect]:
        """One of the channels asked for is now heard."""
        if self._state is not _State.OPENING:
            return []
        self._missing -= 1
        return self._opened() if self._missing == 0 else []

    def not_listening(self) -> list[Effect]:
        """One of the channels asked for cannot be heard now."""
        if self._state is not _State.OPENING:
            return []
        return [Refuse(NOT_AVAILABLE), *self.lost()]

    def received(self, messages: Iterable[Publish]) -> list[Effect]:
        """The client wants these published."""
        effects: list[Effect] = []
        if self._state is not _State.OPEN:
            return effects
        for message in messages:
            channel = self._channels[0] if message.channel is None else message.channel
            namespace = self._namespaces.rule(channel)
            if namespace is None or not namespace.publish:
                return [*effects, Close(Closing.PUBLISH_DENIED)]
            effects.append(Emit(channel, message.payload))
        return effects

    def not_emitted(self) -> list[Effect]:
        """A message of this client could not be published: it is told, as nothing is lost in silence."""
        return [Close(Closing.TRY_AGAIN)] if self._state is _State.OPEN else []

    def lost(self) -> list[Effect]:
        """The connection is gone, for whatever reason."""
        channels, self._channels = self._channels, ()
        self._state = _State.CLOSED
        return [Unlisten(channel) for channel in channels]

    def _opened(self) -> list[Effect]:
        self._state = _State.OPEN
        return [Accept()]
