"""One client's life as a state machine: an input in, a list of effects out.

The machine knows rules and nothing else: it holds no socket and no timer, calls nobody, and never learns how its
effects are carried out. Whoever drives it performs the effects in order and feeds the outcomes back as inputs.

=========== ============================ ============================================ ===========
state       input                        effects                                      next
=========== ============================ ============================================ ===========
KNOCKING    open, a channel that nobody  Deny                                         CLOSED
            may listen to
KNOCKING    open, shows nothing          as `identified`, with nobody
KNOCKING    open, shows a credential     Authenticate                                 IDENTIFYING
KNOCKING    open, shows it later         Accept                                       AWAITING
AWAITING    shown                        Authenticate                                 IDENTIFYING
any before  denied                       Deny, Unlisten for each channel              CLOSED
OPEN
IDENTIFYING identified, may not listen   Deny                                         CLOSED
IDENTIFYING identified, may listen       Listen for each, Expire where it does        OPENING
OPENING     listening, last one          Accept; Welcome where accepted already       OPEN
OPENING     not_listening                Deny, Unlisten for each channel              CLOSED
any before  Publish, accepted already    Close                                        the same
OPEN
OPEN        Publish, permitted           Emit                                         OPEN
OPEN        Publish, not permitted       Close                                        OPEN
OPEN        not_emitted                  Close                                        OPEN
OPEN        denied                       Close                                        OPEN
any         lost                         Unlisten for each channel                    CLOSED
CLOSED      anything                     none                                         CLOSED
=========== ============================ ============================================ ===========

A Close leaves the machine OPEN on purpose: the connection still exists until it is `lost`, and what it listens to
is released exactly once, there. A Deny is an HTTP answer as long as the client was not accepted, and a Close after.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple, TypeAlias

from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.permissions import check_channel_exists, check_publish, check_subscribe
from wsrelay.core.messaging.commands import Publish, Subscribe
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect

__all__ = [
    "Accept",
    "Authenticate",
    "Close",
    "Deny",
    "Effect",
    "Emit",
    "Expire",
    "Listen",
    "Session",
    "Shows",
    "Unlisten",
    "Welcome",
]


class Shows(Enum):
    """What a client shows when it knocks."""

    NOTHING = "nothing"
    CREDENTIAL = "a credential, or something else that is to be looked at"
    LATER = "its credential, as its first message"


class Authenticate(NamedTuple):
    """Find out who the client is; answer with `Session.identified` or `Session.denied`."""


class Expire(NamedTuple):
    """Call `Session.denied` when the credential ends.

    Attributes:
        at: Seconds since the epoch.
    """

    at: float


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
    """Complete the handshake."""


class Welcome(NamedTuple):
    """Tell a client that was accepted before that from here on it hears its channels."""

    channels: tuple[str, ...]


class Deny(NamedTuple):
    """Turn the client away: with an HTTP status, or with a close if it was accepted already."""

    client_error: ClientError
    accepted: bool


class Close(NamedTuple):
    """Say goodbye and close."""

    disconnect: Disconnect


Effect: TypeAlias = Authenticate | Expire | Listen | Unlisten | Emit | Accept | Welcome | Deny | Close


class _State(Enum):
    KNOCKING = "knocking"
    AWAITING = "awaiting"
    IDENTIFYING = "identifying"
    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """The state of one client.

    Args:
        namespaces: The rules about channels.

    Attributes:
        identity: Who the client is, as far as that is known.
    """

    __slots__ = ("_accepted", "_channels", "_missing", "_namespaces", "_state", "identity")

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._state = _State.KNOCKING
        self._channels: tuple[str, ...] = ()
        self._missing = 0
        self._accepted = False
        self.identity = ANONYMOUS

    @property
    def awaits_credential(self) -> bool:
        """Whether the client's next message is its credential."""
        return self._state is _State.AWAITING

    @property
    def is_over(self) -> bool:
        """Whether the client is gone, or turned away."""
        return self._state is _State.CLOSED

    @property
    def channels(self) -> tuple[str, ...]:
        """What the client asks for, or hears."""
        return self._channels

    def open(self, subscriptions: Sequence[Subscribe], shows: Shows = Shows.NOTHING) -> list[Effect]:
        """The client knocked, and by that asks for these channels."""
        if self._state is not _State.KNOCKING:
            return []
        channels = tuple(dict.fromkeys(subscription.channel for subscription in subscriptions))
        for channel in channels:
            # Before anything is spent on it: a ticket, a question to the application.
            if (client_error := check_channel_exists(self._namespaces, channel)) is not None:
                return self._deny(client_error)
        self._channels = channels
        if shows is Shows.NOTHING:
            self._state = _State.IDENTIFYING
            return self.identified(ANONYMOUS)
        if shows is Shows.CREDENTIAL:
            self._state = _State.IDENTIFYING
            return [Authenticate()]
        self._state = _State.AWAITING
        self._accepted = True
        return [Accept()]

    def shown(self) -> list[Effect]:
        """The client sent its credential as its first message."""
        if self._state is not _State.AWAITING:
            return []
        self._state = _State.IDENTIFYING
        return [Authenticate()]

    def identified(self, identity: Identity) -> list[Effect]:
        """It is known who the client is."""
        if self._state is not _State.IDENTIFYING:
            return []
        for channel in self._channels:
            client_error = check_subscribe(self._namespaces, identity, channel)
            if client_error is not None:
                return self._deny(
                    identity.cookie_error or client_error if client_error is ClientError.NO_CREDENTIAL else client_error
                )
        self.identity = identity
        self._state = _State.OPENING
        self._missing = len(self._channels)
        effects: list[Effect] = [Listen(channel) for channel in self._channels] or self._opened()
        # Behind them, for it may be over already, and then what is listened to is given up.
        return effects if identity.expires is None else [*effects, Expire(identity.expires)]

    def denied(self, client_error: ClientError) -> list[Effect]:
        """The client may not be here, or not any more."""
        if self._state is _State.OPEN:
            return [Close(client_error.disconnect)]
        if self._state is _State.CLOSED:
            return []
        listened = self._channels if self._state is _State.OPENING else ()
        return [*self._deny(client_error), *(Unlisten(channel) for channel in listened)]

    def listening(self) -> list[Effect]:
        """One of the channels asked for is now heard."""
        if self._state is not _State.OPENING:
            return []
        self._missing -= 1
        return self._opened() if self._missing == 0 else []

    def not_listening(self) -> list[Effect]:
        """One of the channels asked for cannot be heard now."""
        return self.denied(ClientError.NOT_AVAILABLE) if self._state is _State.OPENING else []

    def received(self, messages: Iterable[Publish]) -> list[Effect]:
        """The client wants these published."""
        effects: list[Effect] = []
        if self._state is not _State.OPEN:
            # One that was accepted ahead has to wait for its welcome, or nobody knows what it may do.
            return (
                [Close(Disconnect.PUBLISH_DENIED)] if self._accepted and self._state is not _State.CLOSED else effects
            )
        for message in messages:
            channel = self._channels[0] if message.channel is None else message.channel
            if check_publish(self._namespaces, self.identity, channel) is not None:
                return [*effects, Close(Disconnect.PUBLISH_DENIED)]
            effects.append(Emit(channel, message.payload))
        return effects

    def not_emitted(self, disconnect: Disconnect = Disconnect.TRY_AGAIN) -> list[Effect]:
        """A message of this client could not be published: it is told, as nothing is lost in silence."""
        return [Close(disconnect)] if self._state is _State.OPEN else []

    def lost(self) -> list[Effect]:
        """The connection is gone, for whatever reason."""
        listened = self._channels if self._state in (_State.OPENING, _State.OPEN) else ()
        self._channels = ()
        self._state = _State.CLOSED
        return [Unlisten(channel) for channel in listened]

    def _deny(self, client_error: ClientError) -> list[Effect]:
        self._state = _State.CLOSED
        return [Deny(client_error, self._accepted)]

    def _opened(self) -> list[Effect]:
        self._state = _State.OPEN
        if self._accepted:
            return [Welcome(self._channels)]
        self._accepted = True
        return [Accept()]
