"""Shared by the tests of channels with history: nodes over one embedded history, and one that answers when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.engine.harness import make_node
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.brokers.memory.history import MemoryHistory
from wsrelay.core.history.entries import Entry, StreamLook
from wsrelay.core.history.positions import EntryID
from wsrelay.core.history.retention import Retention
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.messaging.publications import ChannelEvent, Gap, Publication, PublishResult
from wsrelay.core.messaging.subscription_start import SubscriptionStart
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBrokerSink, IHistory
from wsrelay.testing.dialects import LineDialect
from wsrelay.testing.subscribers import RecordingSubscriber

__all__ = ["RETENTION", "RULES", "EventDialect", "HistoryCase", "SlowHistory"]

RULES = Namespaces(
    [
        Namespace("kept", ("kept*",), history_size=5000, history_seconds=3600),
        Namespace("quiet", ("quiet",), history_size=5000, history_seconds=3600, notify_gaps=False),
        Namespace("plain", ("plain",)),
    ]
)
RETENTION = Retention(5000, 3600)


class EventDialect(LineDialect):
    """A dialect of lines that tells of gaps by an event."""

    has_gap_event = True

    def encode(self, events: Sequence[ChannelEvent], *_options: object) -> Any:
        """Make a line of each publication and each gap."""
        lines = [
            each.data if isinstance(each, Publication) else b"gap " + each.reason.value.encode()
            for each in events
            if isinstance(each, (Publication, Gap))
        ]
        return [(line, False) for line in lines]


@implementer(IHistory)
class SlowHistory:
    """A history whose answers wait until the test lets them go, in the order of the calls.

    Args:
        inner: Answers the calls, when they are let go.
    """

    way = "slow"

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.calls: list[str] = []
        self._waiting: list[tuple[Callable[[], Deferred[Any]], Deferred[Any]]] = []

    def attach(self, sink: IBrokerSink) -> None:
        """Name the receiver of changes."""
        self.inner.attach(sink)

    def watch(self, channels: Iterable[str]) -> None:
        """See `IHistory.watch`."""
        self.inner.watch(channels)

    def unwatch(self, channels: Iterable[str]) -> None:
        """See `IHistory.unwatch`."""
        self.inner.unwatch(channels)

    def read(self, channel: str, since: EntryID | None, count: int) -> Deferred[Sequence[Entry]]:
        """See `IHistory.read`."""
        return self._wait("read", lambda: self.inner.read(channel, since, count))

    def read_behind(
        self,
        anchors: Sequence[tuple[str, Entry]],
        count: int,
        came: Callable[[Sequence[Sequence[Entry] | BrokerUnavailable | None]], None],
    ) -> None:
        """See `IHistory.read_behind`."""

        def call() -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            self.inner.read_behind(anchors, count, done.callback)
            return done

        self._wait("read", call).addCallbacks(came, lambda failure: came([failure.value] * len(anchors)))

    def look(self, channel: str, since: EntryID | None, count: int) -> Deferred[StreamLook]:
        """See `IHistory.look`."""
        return self._wait("look", lambda: self.inner.look(channel, since, count))

    def look_at_newest(self, channel: str, count: int) -> Deferred[StreamLook]:
        """See `IHistory.look_at_newest`."""
        return self._wait("newest", lambda: self.inner.look_at_newest(channel, count))

    def append(
        self,
        channel: str,
        data: bytes,
        retention: Retention,
        idempotency_key: str = "",
        info: bytes = b"",
        tags: bytes = b"",
    ) -> Deferred[PublishResult]:
        """See `IHistory.append`."""
        appended: Deferred[PublishResult] = self.inner.append(channel, data, retention, idempotency_key, info, tags)
        return appended

    def clear(self, channel: str) -> Deferred[None]:
        """See `IHistory.clear`."""
        cleared: Deferred[None] = self.inner.clear(channel)
        return cleared

    def maintain(self, channel: str, retention: Retention, *, is_idle: bool = False) -> None:
        """See `IHistory.maintain`."""
        self.inner.maintain(channel, retention, is_idle=is_idle)

    @property
    def waiting(self) -> int:
        """The number of calls that wait."""
        return len(self._waiting)

    def answer(self, count: int = 1000) -> None:
        """Carry out the oldest calls that wait now, and answer them."""
        now, self._waiting = self._waiting[:count], self._waiting[count:]
        for call, answer in now:
            call().chainDeferred(answer)

    def fail(self, error: Exception) -> None:
        """Answer every call that waits with a failure."""
        waiting, self._waiting = self._waiting, []
        for _, answer in waiting:
            if not answer.called:
                answer.errback(error)

    def _wait(self, name: str, call: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        self.calls.append(name)
        answer: Deferred[Any] = Deferred()
        self._waiting.append((call, answer))
        return answer


class HistoryCase(SynchronousTestCase):
    """A node over the embedded broker, with channels that keep history."""

    namespaces = RULES
    is_slow = False

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        broker: Any = MemoryBroker(self.clock)
        self.broker = broker
        self.history: MemoryHistory = broker.history
        if self.is_slow:
            self.slow = SlowHistory(self.history)
            self.broker.history = self.slow
        self.node = make_node(self.broker, self.namespaces, self.clock)
        self.counters = self.node.counters
        self.broker.start()
        self.dialect = LineDialect()
        self.events = EventDialect("events")
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Stop the node, and assert that no timer is left."""
        self.broker.stop()
        self.node.stop()
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def turn(self) -> None:
        """Run a few turns of the reactor."""
        for _ in range(6):
            self.clock.advance(0)

    def add(self, *payloads: bytes, channel: str = "kept") -> None:
        """Add entries, and let them be noticed."""
        for payload in payloads:
            self.history.add(channel, (b"data", payload), RETENTION)
        self.turn()

    def begin(
        self, channel: str = "kept", since: str | None = None, newest: int = 0, dialect: LineDialect | None = None
    ) -> tuple[RecordingSubscriber, Deferred[SubscriptionStart]]:
        """Begin to subscribe."""
        subscriber = RecordingSubscriber()
        encoding = (dialect or self.dialect).encoding
        outcome = self.node.subscriptions.subscribe(subscriber, channel, encoding, since, newest)
        self.turn()
        return subscriber, outcome

    def subscribe(
        self, channel: str = "kept", since: str | None = None, newest: int = 0, dialect: LineDialect | None = None
    ) -> tuple[RecordingSubscriber, SubscriptionStart]:
        """Subscribe, and return the start."""
        subscriber, outcome = self.begin(channel, since, newest, dialect)
        return subscriber, self.successResultOf(outcome)

    def lines(self, subscriber: RecordingSubscriber) -> list[bytes]:
        """Return the lines that a subscriber was sent."""
        return b"".join(subscriber.sent).split(b"\n")[:-1]

    def data_of(self, start: SubscriptionStart) -> list[bytes]:
        """Return the payloads of what a client gets first."""
        return [each.data for each in start.publications]
