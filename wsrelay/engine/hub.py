"""This process's registry: which subscriber is on which channel, and the fan-out to them.

Everything that came in one read from Redis, in one turn of the reactor, or while the last fan-out was under way, is one
batch: encoded once for each encoding, handed to every subscriber in one `send`. Under light load a batch is one message
and waits for nothing; under a burst it is hundreds, and the price of a system call is paid once for all of them.

A fan-out that takes longer than its slice goes on in the next turn, behind the topics that wait, so that handshakes,
pings, Redis and quiet channels are never kept waiting by a busy one. A topic's next batch begins when the last one
has reached everybody: order on a connection never changes.

A large audience may have a flat copy (`BulkAudience`), which is sent to without a look at each subscriber. Those who do
not get everything in that way are sent to one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.publications import ChannelEvent, Publication
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.topic import (
    BATCH_BYTES,
    EVENT_OVERHEAD_BYTES,
    SMALL_AUDIENCE,
    Audience,
    BulkAudience,
    BulkSubscriber,
    Subscriber,
    Topic,
)

__all__ = ["MAX_PENDING_BYTES", "Hub", "Subscriber"]

SLICE_SECONDS = 0.005
"""How long a fan-out may occupy the reactor at a stretch."""

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""How much may wait for its fan-out before the broker is asked to pause; it resumes at half of that."""

BULK_STEP = 128
"""Subscribers of a flat audience that are sent to without a look at the clock."""

_UNINTERRUPTIBLE: Iterator[bool] = iter(())
"""Stands for a fan-out that is done within one call."""


class Hub:
    """The registry of one process.

    Args:
        call_later: The reactor's, to go on in the next turn.
        seconds: A monotonic clock, to measure slices.
        on_failure: Called with a subscriber whose `send` raised, inside the except block; the fan-out goes on.
        on_pressure: Called with True when too much waits, with False when more may come again.
        policy: Called with a channel, returns what its subscribers get that are behind.
        payload_check: Called with a channel, returns what tells whether its publications may be sent, or None.
        on_left_out: Called with a channel and the number of its publications that are left out because they may not be.
        on_internal: Called with an event of a channel of the relay's own, whose name begins with ``$``.
        make_bulk: Called with an audience that is large, returns a flat copy of it, or None if there is no such means.
        slice_seconds: How long a fan-out may occupy the reactor at a stretch.

    Attributes:
        deliveries: The number of messages handed to subscribers: one for each message and subscriber.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], object],
        seconds: Callable[[], float],
        on_failure: Callable[[Subscriber], None],
        on_pressure: Callable[[bool], None] = lambda _is_behind: None,
        policy: Callable[[str], SlowPolicy] = lambda _channel: SlowPolicy.CLOSE,
        payload_check: Callable[[str], Callable[[bytes], bool] | None] = lambda _channel: None,
        on_left_out: Callable[[str, int], None] = lambda _channel, _count: None,
        on_internal: Callable[[ChannelEvent], None] = lambda _event: None,
        make_bulk: Callable[[Audience], BulkAudience | None] = lambda _audience: None,
        slice_seconds: float = SLICE_SECONDS,
    ) -> None:
        self._call_later = call_later
        self._seconds = seconds
        self._on_failure = on_failure
        self._on_pressure = on_pressure
        self._policy = policy
        self._payload_check = payload_check
        self._on_left_out = on_left_out
        self._on_internal = on_internal
        self._make_bulk = make_bulk
        self._slice_seconds = slice_seconds
        self._topics: dict[str, Topic] = {}
        self._dirty: deque[Topic] = deque()
        self._turn_is_due = False
        self._pending_bytes = 0
        self._is_paused = False
        self.deliveries = 0

    def add(self, subscriber: Subscriber, channel: str, encoding: Encoding) -> None:
        """Subscribe to a channel: what is broadcast from now on reaches the subscriber, and nothing from before.

        Adding a subscriber twice is adding it once.

        Args:
            subscriber: The way out to a connection.
            channel: The channel's name.
            encoding: What is made of the channel's events for this subscription.
        """
        topic = self._topics.get(channel)
        if topic is None:
            topic = self._topics[channel] = Topic(channel, self._policy(channel), self._payload_check(channel))
        topic.add(subscriber, encoding)

    def remove(self, subscriber: Subscriber, channel: str) -> None:
        """Unsubscribe from a channel; a subscriber that is not there is ignored."""
        topic = self._topics.get(channel)
        if topic is None:
            return
        topic.remove(subscriber)
        if topic.is_empty:
            del self._topics[channel]

    def channels(self) -> list[str]:
        """Return the channels with subscribers."""
        return list(self._topics)

    def subscriber_count(self, channel: str) -> int:
        """Return how many are subscribed to a channel."""
        topic = self._topics.get(channel)
        return 0 if topic is None else len(topic)

    def subscribers(self, channel: str) -> list[Subscriber]:
        """Return everyone who is subscribed to a channel at this moment."""
        topic = self._topics.get(channel)
        return [] if topic is None else topic.subscribers()

    def subscribers_without_gap_event(self, channel: str) -> list[Subscriber]:
        """Return those who are subscribed to a channel in an encoding without a form for a gap."""
        topic = self._topics.get(channel)
        return [] if topic is None else topic.subscribers(lambda encoding: not encoding.has_gap_event)

    def take_off(self, channel: str, chosen: Callable[[Encoding], bool]) -> None:
        """Send no more of a channel to those who are subscribed in one of the encodings that are chosen."""
        topic = self._topics.get(channel)
        for subscriber in [] if topic is None else topic.subscribers(chosen):
            self.remove(subscriber, channel)

    def broadcast(self, events: Iterable[ChannelEvent]) -> None:
        """Send events that came together to everyone who is subscribed to their channels.

        It begins at once, because nothing is gained by waiting for the end of the turn. What does not fit into the
        slice goes on in the next turn. An event without subscribers is dropped.
        """
        self._enqueue(events)
        if self._dirty and not self._turn_is_due:
            self._turn()

    def _enqueue(self, events: Iterable[ChannelEvent]) -> None:
        topics = self._topics
        for event in events:
            topic = topics.get(event.channel)
            if topic is None:
                # Looked at here alone, where hardly any message comes: those of other channels cost nothing more.
                if event.channel.startswith("$"):
                    self._on_internal(event)
                continue
            pending = topic.pending
            if not pending and topic.fan_out is None:
                self._dirty.append(topic)
            pending.append(event)
            # As `counted_bytes`, without its call: this is done for every message.
            size = EVENT_OVERHEAD_BYTES + (len(event.data) if type(event) is Publication else 0)
            topic.pending_bytes += size
            self._pending_bytes += size
        if self._pending_bytes > MAX_PENDING_BYTES and not self._is_paused:
            self._is_paused = True
            self._on_pressure(True)

    def _ask_for_turn(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._call_later(0, self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        dirty = self._dirty
        deadline = self._seconds() + self._slice_seconds
        unwatched = 0
        while dirty:
            topic = dirty.popleft()
            if (
                topic.alone is not None
                and topic.fan_out is None
                and topic.joining is None
                and topic.pending_bytes <= BATCH_BYTES
            ):
                self._send_to_one(topic, topic.alone)
                unwatched += 1
            else:
                unwatched += self._advance(topic)
            if topic.fan_out is not None or topic.pending:
                dirty.append(topic)
            if unwatched >= SMALL_AUDIENCE:
                unwatched = 0
                if self._seconds() >= deadline:
                    break
        if dirty:
            self._ask_for_turn()

    def _advance(self, topic: Topic) -> int:
        """Send a topic's batch to the next few of its subscribers.

        Returns:
            How many sends that was at most.
        """
        if topic.fan_out is None:
            small = topic.small_audience()
            if small is not None:
                # Many channels of many applications: no fan-out to be interrupted, so none is set up.
                encoding, audience = small
                topic.fan_out = _UNINTERRUPTIBLE
                data, latest = self._encode(topic, encoding, self._take_batch(topic), audience)
                if data:
                    self._send(topic, audience, data, latest)
                self._end_fan_out(topic)
                return len(audience)
            topic.fan_out = self._fan_out(topic)
        if next(topic.fan_out, None) is None:
            self._end_fan_out(topic)
        return SMALL_AUDIENCE

    def _send_to_one(self, topic: Topic, subscriber: Subscriber) -> None:
        """Send a topic's batch to its only subscriber.

        All of this is in the general way as well, where a message to one client costs a third more: its calls are more
        than half of the price.
        """
        # Not after `send`, which may close the connection, and so change the topic.
        encoding = topic.alone_encoding
        topic.fan_out = _UNINTERRUPTIBLE
        events, topic.pending = topic.pending, []
        self._pending_bytes -= topic.pending_bytes
        topic.pending_bytes = 0
        if self._is_paused:
            self._look_at_pressure()
        try:
            data = encoding.encode(events)
            if data:
                self.deliveries += len(events)
                subscriber.send(data)
        except Exception:  # noqa: BLE001 -- as in `_encode` and `_send_everything`
            self._on_failure(subscriber)
        topic.fan_out = None
        if topic.removed or topic.joining is not None:
            self._end_fan_out(topic)

    @staticmethod
    def _end_fan_out(topic: Topic) -> None:
        topic.fan_out = None
        if topic.removed:
            topic.removed.clear()
        if topic.joining is not None:
            topic.admit_joining()

    def _fan_out(self, topic: Topic) -> Iterator[bool]:
        """Send one batch; yields True now and then so that the turn can look at the clock."""
        events = self._take_batch(topic)
        # Copies, or what is as good as one, because a send may close its connection and so change the registry.
        parts = [(encoding, topic.divide(encoding, self._make_bulk)) for encoding in topic.audiences]
        for encoding, (bulk, places, audience) in parts:
            data, latest = self._encode(topic, encoding, events, audience, places)
            if not data:
                continue
            if bulk is not None:
                for start in range(0, places, BULK_STEP):
                    try:
                        rest = bulk.send(start, min(start + BULK_STEP, places), data)
                    except Exception:  # noqa: BLE001 -- what fails for an audience must not end its channel
                        self._fail(topic, encoding)
                        break
                    if rest:
                        self._send_rest(topic, rest, data, latest)
                    yield True
            for start in range(0, len(audience), SMALL_AUDIENCE):
                self._send(topic, audience[start : start + SMALL_AUDIENCE], data, latest)
                yield True

    def _take_batch(self, topic: Topic) -> list[ChannelEvent]:
        events, size = topic.take_batch()
        self._pending_bytes -= size
        if topic.payload_check is not None:
            events = self._permitted(topic.channel, events, topic.payload_check)
        if self._is_paused:
            self._look_at_pressure()
        return events

    def _look_at_pressure(self) -> None:
        if self._pending_bytes <= MAX_PENDING_BYTES // 2:
            self._is_paused = False
            self._on_pressure(False)

    def _permitted(
        self, channel: str, events: list[ChannelEvent], check: Callable[[bytes], bool]
    ) -> list[ChannelEvent]:
        permitted = [each for each in events if not isinstance(each, Publication) or check(each.data)]
        if len(permitted) != len(events):
            self._on_left_out(channel, len(events) - len(permitted))
        return permitted

    def _encode(
        self,
        topic: Topic,
        encoding: Encoding,
        events: list[ChannelEvent],
        audience: tuple[Subscriber, ...],
        places: int = 0,
    ) -> tuple[bytes, bytes]:
        """Encode a batch, and count its deliveries.

        Args:
            topic: Its topic.
            encoding: The encoding.
            events: The batch.
            audience: Those who are sent to one by one.
            places: The number of those who are not.

        Returns:
            The batch, and the newest event of it alone where the policy is LATEST. Both are empty if there is nothing
            to send.
        """
        try:
            data = encoding.encode(events)
            latest = data if len(events) == 1 or topic.policy is not SlowPolicy.LATEST else _latest(encoding, events)
        except Exception:  # noqa: BLE001 -- an encoding that fails must not leave its topic running for ever
            self._fail(topic, encoding)
            return b"", b""
        if data:
            self.deliveries += (len(audience) + places) * len(events)
        return data, latest

    def _fail(self, topic: Topic, encoding: Encoding) -> None:
        for subscriber in topic.subscribers(lambda each: each is encoding):
            self._on_failure(subscriber)

    def _send(self, topic: Topic, audience: tuple[Subscriber, ...], data: bytes, latest: bytes) -> None:
        if topic.policy is SlowPolicy.CLOSE:
            self._send_everything(audience, data, topic.removed)
        else:
            self._send_by_policy(audience, data, topic, latest)

    def _send_rest(self, topic: Topic, rest: Iterable[tuple[BulkSubscriber, int]], data: bytes, latest: bytes) -> None:
        for subscriber, sent in rest:
            try:
                if sent:
                    subscriber.go_on(data, sent)
                else:
                    subscriber.send(data, topic.policy, topic.channel, latest)
            except Exception:  # noqa: BLE001 -- as below
                self._on_failure(subscriber)

    def _send_everything(self, audience: tuple[Subscriber, ...], data: bytes, removed: set[Subscriber]) -> None:
        for subscriber in audience:
            # Usually empty. Checking the set first avoids touching the subscriber's memory (cache miss).
            if removed and subscriber in removed:
                continue
            try:
                subscriber.send(data)
            except Exception:  # noqa: BLE001 -- one bad subscriber must not cost the others their message
                self._on_failure(subscriber)

    def _send_by_policy(self, audience: tuple[Subscriber, ...], data: bytes, topic: Topic, latest: bytes) -> None:
        removed = topic.removed
        for subscriber in audience:
            if removed and subscriber in removed:
                continue
            try:
                subscriber.send(data, topic.policy, topic.channel, latest)
            except Exception:  # noqa: BLE001 -- as above
                self._on_failure(subscriber)


def _latest(encoding: Encoding, events: Sequence[ChannelEvent]) -> bytes:
    """Return the newest event that an encoding has a form for, or nothing."""
    return next(filter(None, (encoding.encode((event,)) for event in reversed(events))), b"")
