"""This process's registry: who listens to which channel, and the fan-out to them.

A publication is not sent when it arrives. It joins its topic's pending list, and everything that came in one read from
Redis, in one turn of the reactor, or while the last fan-out was on its way, is one batch: encoded once for each
encoding, handed to every listener in one `send`. Under light load a batch is one message and waits for nothing; under
a burst it is hundreds, and the price of a system call is paid once for all of them.

A fan-out that takes longer than its slice goes on in the next turn, behind the topics that wait, so that handshakes,
pings, Redis and quiet channels are never kept waiting by a busy one. A topic's next batch begins when the last one
has reached everybody: order on a connection never changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect

__all__ = ["Encoding", "Hub", "Subscriber"]

SLICE_SECONDS = 0.005
"""How long a fan-out may hold the reactor at a stretch."""

BATCH_BYTES = 65536
"""How much goes into one batch. More would not be cheaper, and a slow connection could not hold it."""

HELD_BYTES = 16 * 1024 * 1024
"""How much may wait for its fan-out before the broker is asked to hold; it goes on at half of that."""

_MESSAGE_OVERHEAD_BYTES = 200
# What a waiting message costs beside its payload, so that a flood of empty ones is bounded too.

_SENDS_PER_LOOK = 64
# Reading the clock costs about as much as a twentieth of a send; once for every 64 is free.


class Encoding(Protocol):
    """Makes the bytes of publications; listeners that have the same one share them."""

    def encode(self, publications: Sequence[Publication]) -> bytes:
        """The bytes of these publications of one channel, in this order."""


class Subscriber(Protocol):
    """One listener: all the hub needs to know of a connection."""

    @property
    def encoding(self) -> Encoding:
        """What is made of publications for this listener."""

    def send(self, data: bytes, policy: SlowPolicy = ..., channel: str = ..., latest: bytes = ...) -> None:
        """Take complete frames; never blocks, and keeps the order of the calls.

        Args:
            data: The frames.
            policy: What to do with them if the connection is behind.
            channel: Their channel, where the policy is LATEST.
            latest: The newest message alone, where the policy is LATEST.
        """

    def close(self, disconnect: Disconnect) -> None:
        """Say goodbye with this closing, and end the connection."""


class _Topic:
    """A channel with listeners, their order of arrival kept."""

    __slots__ = ("channel", "left", "listeners", "pending", "pending_bytes", "policy", "running")

    def __init__(self, channel: str, policy: SlowPolicy) -> None:
        self.channel = channel
        self.policy = policy
        self.listeners: dict[Encoding, dict[Subscriber, None]] = {}
        self.pending: list[Publication] = []
        self.pending_bytes = 0
        self.running: Iterator[bool] | None = None
        # Who left while a fan-out was on its way: it hears nothing more of that batch, even if it came back.
        self.left: set[Subscriber] = set()

    def few_listeners(self) -> tuple[Encoding, tuple[Subscriber, ...]] | None:
        """The listeners, if they are few and all alike."""
        if len(self.listeners) == 1:
            ((encoding, alike),) = self.listeners.items()
            if len(alike) <= _SENDS_PER_LOOK:
                return encoding, tuple(alike)
        return None

    def take_batch(self) -> tuple[list[Publication], int]:
        """The oldest pending publications that make one batch, and what they counted."""
        if self.pending_bytes <= BATCH_BYTES:
            batch, self.pending = self.pending, []
            size, self.pending_bytes = self.pending_bytes, 0
            return batch, size
        size = count = 0
        while count < len(self.pending) and (count == 0 or size < BATCH_BYTES):
            size += _counted(self.pending[count])
            count += 1
        batch = self.pending[:count]
        del self.pending[:count]
        self.pending_bytes -= size
        return batch, size


_NEVER: Iterator[bool] = iter(())
# Says that a batch is on its way which is not to be interrupted.


def _counted(publication: Publication) -> int:
    return len(publication.data) + _MESSAGE_OVERHEAD_BYTES


class Hub:
    """The registry of this process.

    Args:
        call_later: The reactor's, to come back in the next turn.
        seconds: A monotonic clock, to measure slices.
        on_failure: Called with a listener whose `send` raised, inside the except block; the fan-out goes on.
        on_pressure: Called with True when so much waits that no more should come, with False when it may again.
        policy: What a listener of a channel gets that is behind.
        slice_seconds: How long a fan-out may hold the reactor at a stretch.

    Attributes:
        deliveries: How many messages were handed to how many listeners, multiplied and added up.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], object],
        seconds: Callable[[], float],
        on_failure: Callable[[Subscriber], None],
        on_pressure: Callable[[bool], None] = lambda _held: None,
        policy: Callable[[str], SlowPolicy] = lambda _channel: SlowPolicy.CLOSE,
        slice_seconds: float = SLICE_SECONDS,
    ) -> None:
        self._call_later = call_later
        self._seconds = seconds
        self._on_failure = on_failure
        self._on_pressure = on_pressure
        self._policy = policy
        self._slice_seconds = slice_seconds
        self._topics: dict[str, _Topic] = {}
        self._dirty: deque[_Topic] = deque()
        self._turn_is_due = False
        self._waiting_bytes = 0
        self._pressed = False
        self.deliveries = 0

    def add(self, subscriber: Subscriber, channel: str) -> None:
        """Let a subscriber hear a channel. Adding it twice is adding it once."""
        topic = self._topics.get(channel)
        if topic is None:
            topic = self._topics[channel] = _Topic(channel, self._policy(channel))
        topic.listeners.setdefault(subscriber.encoding, {})[subscriber] = None

    def remove(self, subscriber: Subscriber, channel: str) -> None:
        """Let a subscriber hear a channel no more; one that is not there is fine."""
        topic = self._topics.get(channel)
        if topic is None:
            return
        alike = topic.listeners.get(subscriber.encoding, {})
        alike.pop(subscriber, None)
        if topic.running is not None:
            topic.left.add(subscriber)
        if not alike:
            topic.listeners.pop(subscriber.encoding, None)
        if not topic.listeners:
            del self._topics[channel]

    def listeners(self, channel: str) -> int:
        """How many subscribers hear a channel."""
        return len(self.audience(channel))

    def audience(self, channel: str) -> list[Subscriber]:
        """Who hears a channel at this moment."""
        topic = self._topics.get(channel)
        return [] if topic is None else [each for alike in topic.listeners.values() for each in alike]

    def publish(self, publication: Publication) -> None:
        """Hand a message to everyone who hears its channel when the turn ends; without listeners it is dropped."""
        self._queue((publication,))
        if self._dirty:
            self._ask_for_turn()

    def publish_all(self, publications: Iterable[Publication]) -> None:
        """Hand out messages that came together, at once: nothing is gained by waiting for the end of the turn.

        What does not fit into the slice goes on in the next turn.
        """
        self._queue(publications)
        if self._dirty and not self._turn_is_due:
            self._turn()

    def _queue(self, publications: Iterable[Publication]) -> None:
        topics = self._topics
        for publication in publications:
            topic = topics.get(publication.channel)
            if topic is None:
                continue
            if not topic.pending and topic.running is None:
                self._dirty.append(topic)
            topic.pending.append(publication)
            size = len(publication.data) + _MESSAGE_OVERHEAD_BYTES
            topic.pending_bytes += size
            self._waiting_bytes += size
        if self._waiting_bytes > HELD_BYTES and not self._pressed:
            self._pressed = True
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
            unwatched += self._advance(topic)
            if topic.running is not None or topic.pending:
                dirty.append(topic)
            if unwatched >= _SENDS_PER_LOOK:
                unwatched = 0
                if self._seconds() >= deadline:
                    break
        if dirty:
            self._ask_for_turn()

    def _advance(self, topic: _Topic) -> int:
        """Send a topic's batch to the next few of its listeners; says how many sends that was at most."""
        if topic.running is None:
            few = topic.few_listeners()
            if few is not None:
                # Most channels of most applications: no fan-out to be interrupted, so none is set up.
                topic.running = _NEVER
                self._deliver(topic, *few, self._take_batch(topic), ())
                topic.running = None
                topic.left.clear()
                return len(few[1])
            topic.running = self._fan_out(topic)
        if next(topic.running, None) is None:
            topic.running = None
            topic.left.clear()
        return _SENDS_PER_LOOK

    def _fan_out(self, topic: _Topic) -> Iterator[bool]:
        """Send one batch; yields True now and then so that the turn can look at the clock."""
        batch = self._take_batch(topic)
        # Copies, because a send may close its connection and so change the registry under the loop.
        audiences = [(encoding, tuple(alike)) for encoding, alike in topic.listeners.items()]
        for encoding, audience in audiences:
            arguments: tuple[Any, ...] = ()
            for start in range(0, len(audience), _SENDS_PER_LOOK):
                arguments = self._deliver(topic, encoding, audience[start : start + _SENDS_PER_LOOK], batch, arguments)
                yield True

    def _take_batch(self, topic: _Topic) -> list[Publication]:
        batch, size = topic.take_batch()
        self._waiting_bytes -= size
        if self._pressed and self._waiting_bytes <= HELD_BYTES // 2:
            self._pressed = False
            self._on_pressure(False)
        return batch

    def _deliver(
        self,
        topic: _Topic,
        encoding: Encoding,
        audience: tuple[Subscriber, ...],
        batch: list[Publication],
        arguments: tuple[Any, ...],
    ) -> tuple[Any, ...]:
        """Send a batch to these listeners; gives what `send` was called with, to be used for the next ones."""
        self.deliveries += len(audience) * len(batch)
        left = topic.left
        data = arguments[0] if arguments else b""
        everything = topic.policy is SlowPolicy.CLOSE
        for subscriber in audience:
            # Empty nearly always, so that no memory of the subscriber is touched but what its send needs.
            if left and subscriber in left:
                continue
            try:
                # Encoded inside the try: an encoding that fails must not leave its topic running for ever.
                if not arguments:
                    arguments = _arguments(topic, encoding, batch)
                    data = arguments[0]
                if everything:
                    # Spelled out, because a call with a star costs a third more.
                    subscriber.send(data)
                else:
                    subscriber.send(*arguments)
            except Exception:  # noqa: BLE001 -- one bad listener must not cost the others their message
                self._on_failure(subscriber)
        return arguments


def _arguments(topic: _Topic, encoding: Encoding, batch: list[Publication]) -> tuple[Any, ...]:
    """What `send` is called with for everyone who shares an encoding."""
    data = encoding.encode(batch)
    if topic.policy is SlowPolicy.CLOSE:
        return (data,)
    if topic.policy is SlowPolicy.DROP:
        return data, topic.policy
    return data, topic.policy, topic.channel, data if len(batch) == 1 else encoding.encode(batch[-1:])
