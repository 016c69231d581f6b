"""The test kit: doubles for the seams, so that what is built on them can be tested without a socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.brokers.credentials import MemoryCredentials
from wsrelay.core.closing import Closing
from wsrelay.core.errors import BrokerUnavailable
from wsrelay.core.handshake import Refusal
from wsrelay.core.outbox import SlowPolicy
from wsrelay.core.publication import Publication
from wsrelay.dialects import DIALECTS
from wsrelay.dialects.encodings import Encodings
from wsrelay.hub import Subscriber
from wsrelay.interfaces import IBroker, IBrokerSink, IDialect

__all__ = ["FakeBroker", "MemoryTransport", "RecordingConnection", "RecordingSink"]

ENCODINGS = Encodings()


class RecordingConnection:
    """A `wsrelay.node.Connection`, its own subscriber, that writes down what happens to it.

    Args:
        dialect: The name of the wire language spoken on it.

    Attributes:
        accepted: Whether the handshake was completed.
        name: What its connection was called when it was.
        refusals: The refusals it was given.
        sent: The batches it was sent.
        closings: The closings it was given.
    """

    def __init__(self, dialect: str = "raw") -> None:
        self.dialect: IDialect = DIALECTS[dialect]
        self.encoding = ENCODINGS.get(self.dialect)
        self.accepted = False
        self.name: str | None = None
        self.refusals: list[Refusal] = []
        self.sent: list[bytes] = []
        self.closings: list[Closing] = []

    def compress(self) -> None:
        """See `Connection.compress`: this client offers it."""
        self.encoding = ENCODINGS.get(self.dialect, compressed=True)

    def accept(self, name: str | None = None) -> None:
        """See `Connection.accept`."""
        self.accepted = True
        self.name = name

    def refuse(self, refusal: Refusal) -> None:
        """See `Connection.refuse`."""
        self.refusals.append(refusal)

    @property
    def subscriber(self) -> Subscriber:
        """See `Connection.subscriber`."""
        return self

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """See `Subscriber.send`."""
        self.sent.append(data)

    def close(self, closing: Closing) -> None:
        """See `Subscriber.close`."""
        self.closings.append(closing)


@implementer(IBrokerSink)
class RecordingSink:
    """A sink that writes down what a broker tells it.

    Attributes:
        delivered: The publications, in order.
        confirmations: The channels confirmed, in order.
        refusals: The channels refused, in order.
        interruptions: How often confirmations became void.
        resumptions: How often messages flowed again.
        controls: What the application told all processes.
    """

    def __init__(self) -> None:
        self.delivered: list[Publication] = []
        self.confirmations: list[str] = []
        self.refusals: list[str] = []
        self.interruptions = 0
        self.resumptions = 0
        self.controls: list[bytes] = []

    def deliver(self, publication: Publication) -> None:
        """See `IBrokerSink.deliver`."""
        self.delivered.append(publication)

    def deliver_all(self, publications: Sequence[Publication]) -> None:
        """See `IBrokerSink.deliver_all`."""
        for publication in publications:
            self.deliver(publication)

    def confirmed(self, channel: str) -> None:
        """See `IBrokerSink.confirmed`."""
        self.confirmations.append(channel)

    def refused(self, channel: str) -> None:
        """See `IBrokerSink.refused`."""
        self.refusals.append(channel)

    def interrupted(self) -> None:
        """See `IBrokerSink.interrupted`."""
        self.interruptions += 1

    def resumed(self) -> None:
        """See `IBrokerSink.resumed`."""
        self.resumptions += 1

    def controlled(self, payload: bytes) -> None:
        """See `IBrokerSink.controlled`."""
        self.controls.append(payload)


@implementer(IBroker)
class FakeBroker:
    """A broker whose every answer the test gives.

    Attributes:
        sink: What is attached; call its methods to play Redis.
        wanted: The channels subscribed now.
        log: The calls of `subscribe` and `unsubscribe`, in order.
        published: What was published.
        told: What was told to all processes.
        held: What `hold` was last called with.
        store: Tickets and denials, in memory.
        publishing: What `publish` returns next, or None: success if the broker is ready, else a failure.
    """

    name = "fake"

    def __init__(self) -> None:
        self.ready = True
        self.problem = ""
        self.sink: Any = None
        self.wanted: set[str] = set()
        self.log: list[tuple[str, list[str]]] = []
        self.published: list[Publication] = []
        self.told: list[bytes] = []
        self.publishing: Deferred[None] | None = None
        self.started = False
        self.held = False
        self.store = MemoryCredentials(lambda: 0.0)

    def attach(self, sink: IBrokerSink) -> None:
        """See `IBroker.attach`."""
        self.sink = sink

    def start(self) -> None:
        """See `IBroker.start`."""
        self.started = True

    def stop(self) -> Deferred[None]:
        """See `IBroker.stop`."""
        self.started = self.ready = False
        return succeed(None)

    def subscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.subscribe`."""
        names = list(channels)
        self.log.append(("subscribe", names))
        self.wanted.update(names)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.unsubscribe`."""
        names = list(channels)
        self.log.append(("unsubscribe", names))
        self.wanted.difference_update(names)

    def hold(self, held: bool) -> None:
        """See `IBroker.hold`."""
        self.held = held

    def publish(self, channel: str, payload: bytes) -> Deferred[None]:
        """See `IBroker.publish`."""
        if self.publishing is not None:
            return self.publishing
        if not self.ready:
            return fail(BrokerUnavailable("the test says so"))
        self.published.append(Publication(channel, payload))
        return succeed(None)

    def tell(self, payload: bytes) -> Deferred[None]:
        """See `IBroker.tell`."""
        self.told.append(payload)
        return succeed(None)


class MemoryTransport(StringTransport):
    """A transport without a socket that behaves like a TCP one where the relay's protocols care.

    It calls a registered push producer when more than `high_water` bytes wait, as Twisted does at 64 KiB, and
    `drain` plays the peer that reads. It forgives what a TCP transport forgives: writing after the end, a producer
    that is unregistered twice, reading on after `loseConnection`.

    Attributes:
        high_water: How many bytes may wait before the producer is paused.
        aborted: Whether the connection was reset.
        half_closed: Whether our side said that nothing more comes.
    """

    high_water = 65536

    def __init__(self, protocol: Any = None) -> None:
        super().__init__(lenient=True)
        self.protocol = protocol
        self.aborted = False
        self.half_closed = False
        self.no_delay = False

    def write(self, data: bytes) -> None:
        """Keep what is written; tell the producer when it is too much."""
        if not self.connected:
            return
        super().write(data)
        if self.producer is not None and self.io.tell() > self.high_water:
            self.producer.pauseProducing()

    def drain(self) -> bytes:
        """Take all that waits, as a peer that reads does; the producer may go on, or the connection ends."""
        data: bytes = self.value()
        self.clear()
        if self.producer is not None:
            self.producer.resumeProducing()
        elif self.disconnecting:
            self._end(ConnectionDone())
        return data

    def loseConnection(self) -> None:
        """Close once what waits has been read, which is at once where nothing does."""
        self.disconnecting = True
        if self.producer is None and not self.value():
            self._end(ConnectionDone())

    def unregisterProducer(self) -> None:
        """Call the producer no more."""
        self.producer = None

    def abortConnection(self) -> None:
        """Reset the connection; what waits is lost."""
        self.aborted = True
        self.clear()
        self._end(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        """Say that nothing more comes."""
        self.half_closed = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Remember the switch."""
        self.no_delay = enabled

    def _end(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(reason))
