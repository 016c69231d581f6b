"""The public seams: what a broker and a dialect are, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from wsrelay.core.access.credentials import Credential
    from wsrelay.core.access.identity import Identity
    from wsrelay.core.messaging.commands import Publish, Subscribe
    from wsrelay.core.messaging.publications import Publication
    from wsrelay.core.wire.handshake import Handshake

__all__ = ["IAuthenticator", "IBroker", "IBrokerSink", "ICredentialStore", "IDialect"]


class IBrokerSink(Interface):
    """Where a broker pushes what it carries. All calls come from the reactor thread."""

    def deliver(publication: Publication) -> None:
        """A message arrived on a channel that is, or a moment ago was, subscribed.

        Publications of one channel come in the order in which the broker received them.
        """

    def deliver_all(publications: Sequence[Publication]) -> None:
        """These messages arrived together, in this order; as `deliver` for each, and cheaper."""

    def confirmed(channel: str) -> None:
        """From now on every message published to this channel is delivered, until `interrupted`."""

    def refused(channel: str) -> None:
        """The broker does not let this process hear a channel; it is not wanted any more."""

    def interrupted() -> None:
        """Every confirmation so far is void: messages may be lost until each channel is confirmed again."""

    def resumed() -> None:
        """Messages flow again after an interruption, and commands are answered."""

    def controlled(payload: bytes) -> None:
        """The application tells all processes something: see `wsrelay.core.messaging.control`."""


class IBroker(Interface):
    """Carries publications between processes.

    A broker keeps the set of wanted channels as its truth: while it is away it remembers what is wanted, and when
    it comes back it subscribes and confirms all of it without being asked again.
    """

    name = Attribute("What the operator calls this kind of broker: a short str.")
    ready = Attribute("Whether messages flow both ways at this moment: a bool.")
    problem = Attribute("Why not, as one line for the operator without credentials; an empty str when ready.")
    store = Attribute("Where this broker keeps what processes share about credentials: an `ICredentialStore`.")

    def attach(sink: IBrokerSink) -> None:
        """Name the one sink; called once, before `start`."""

    def start() -> None:
        """Begin to connect, and keep connecting for ever. Never fails: a broker that is away is just not ready."""

    def stop() -> Deferred[None]:
        """Disconnect for good; fires when nothing is left open, within a bounded time."""

    def subscribe(channels: Iterable[str]) -> None:
        """Want these channels. The sink's `confirmed` is called for each, possibly before this returns."""

    def unsubscribe(channels: Iterable[str]) -> None:
        """Want these channels no more."""

    def hold(held: bool) -> None:
        """Deliver nothing, or again everything: this process has as much to hand out as it can keep.

        Nothing is lost by it that the sink is not told of.
        """

    def publish(channel: str, payload: bytes) -> Deferred[None]:
        """Publish a message; fires when the broker has taken it.

        Messages published to one channel keep their order. Fails with `wsrelay.core.outcomes.errors.BrokerUnavailable`,
        after a bounded time, when the message was not taken or that cannot be known.
        """

    def tell(payload: bytes) -> Deferred[None]:
        """Have the sink of every process called with `controlled`; fails as `publish` does."""


class ICredentialStore(Interface):
    """What processes share about credentials. All fail with `wsrelay.core.outcomes.errors.BrokerUnavailable`."""

    def mint(ticket: str, document: bytes, seconds: int) -> Deferred[bool]:
        """Keep a new ticket for so long; fires with False if there is one of this name already."""

    def redeem(ticket: str) -> Deferred[bytes | None]:
        """Take a ticket; fires with its document once, for whoever is first, and else with None."""

    def tear(ticket: str) -> Deferred[None]:
        """Make a ticket void that may not have been redeemed yet."""

    def deny(target: str, seconds: int) -> Deferred[None]:
        """Accept no credential of this target (see `wsrelay.core.messaging.control.Disconnect`) for so long."""

    def denied(targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """Fires with whether each of these targets is denied now."""


class IAuthenticator(Interface):
    """Says who clients are."""

    def find(handshake: Handshake) -> Credential | None:
        """What a client shows in its handshake; None: nothing that this authenticator knows how to look at.

        Raises `wsrelay.core.outcomes.errors.DeniedError` if it cannot be told what the client shows.
        """

    def asks(handshake: Handshake) -> bool:
        """Whether a client is to be authenticated even though it shows nothing."""

    def authenticate(
        credential: Credential | None,
        handshake: Handshake,
        channels: Sequence[str],
        met: Callable[[Identity], None],
    ) -> Deferred[Identity]:
        """Who the client is; within a bounded time. `met` is called with who it is as far as that is known by now.

        Fails with `wsrelay.core.outcomes.errors.DeniedError` if it is not let in, also where that cannot be found out.
        """

    def forget() -> None:
        """Somebody is to be looked at anew: what has been found out is not to be relied on any more."""

    def may_publish(identity: Identity, channel: str, payload: bytes) -> Deferred[None] | None:
        """Whether somebody may publish what the rules permit; None: yes, nobody has to be asked.

        Fails with `wsrelay.core.outcomes.errors.DeniedError`.
        """


class IDialect(Interface):
    """A wire language spoken to clients. Pure: bytes in, values out, so that a transcript tests it.

    `encode` never depends on who listens: one batch costs one encoding for each dialect, however many listen.
    """

    name = Attribute("A short str, unique among dialects.")
    path = Attribute("The beginning of the URL paths where the dialect is spoken: a str that ends in a slash.")
    subprotocols = Attribute("What it is called in Sec-WebSocket-Protocol (RFC 6455 section 1.9): a tuple of str.")

    def open(handshake: Handshake) -> Sequence[Subscribe]:
        """What a client asks for by knocking with this handshake.

        Raises `wsrelay.core.outcomes.errors.RefusedError` if the handshake makes no sense in this dialect.
        """

    def decode(payload: bytes) -> Sequence[Publish]:
        """What a client asks for with one message.

        Raises `wsrelay.core.outcomes.errors.ProtocolViolation` if the message makes no sense in this dialect.
        """

    def credential(payload: bytes) -> Credential:
        """What a client shows with its first message.

        Raises `wsrelay.core.outcomes.errors.DeniedError` if it is no credential.
        """

    def welcome(channels: Sequence[str]) -> bytes:
        """The bytes that tell a client, whose credential was its first message, that it hears these channels now."""

    def encode(publications: Sequence[Publication], message_frame: Callable[[bytes], bytes]) -> bytes:
        """The bytes that these publications of one channel, in this order, have on the wire: complete frames.

        Frames are made by `message_frame`, which turns one message's payload into one frame.
        """
