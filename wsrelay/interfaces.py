"""The public seams: what a broker and a dialect are, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from wsrelay.core.commands import Publish, Subscribe
    from wsrelay.core.handshake import Handshake
    from wsrelay.core.publication import Publication

__all__ = ["IBroker", "IBrokerSink", "IDialect"]


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


class IBroker(Interface):
    """Carries publications between processes.

    A broker keeps the set of wanted channels as its truth: while it is away it remembers what is wanted, and when
    it comes back it subscribes and confirms all of it without being asked again.
    """

    name = Attribute("What the operator calls this kind of broker: a short str.")
    ready = Attribute("Whether messages flow both ways at this moment: a bool.")
    problem = Attribute("Why not, as one line for the operator without credentials; an empty str when ready.")

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

        Messages published to one channel keep their order. Fails with `wsrelay.core.errors.BrokerUnavailable`, after
        a bounded time, when the message was not taken or that cannot be known.
        """


class IDialect(Interface):
    """A wire language spoken to clients. Pure: bytes in, values out, so that a transcript tests it.

    `encode` never depends on who listens: one batch costs one encoding for each dialect, however many listen.
    """

    name = Attribute("A short str, unique among dialects.")
    path = Attribute("The beginning of the URL paths where the dialect is spoken: a str that ends in a slash.")

    def open(handshake: Handshake) -> Sequence[Subscribe]:
        """What a client asks for by knocking with this handshake.

        Raises `wsrelay.core.errors.RefusedError` if the handshake makes no sense in this dialect.
        """

    def decode(payload: bytes) -> Sequence[Publish]:
        """What a client asks for with one message.

        Raises `wsrelay.core.errors.ProtocolViolation` if the message makes no sense in this dialect.
        """

    def encode(publications: Sequence[Publication], message_frame: Callable[[bytes], bytes]) -> bytes:
        """The bytes that these publications of one channel, in this order, have on the wire: complete frames.

        Frames are made by `message_frame`, which turns one message's payload into one frame.
        """
