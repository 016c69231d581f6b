"""This process's registry: who listens to which channel, and the fan-out to them.

A publication is not sent when it arrives. It joins its topic's pending list, and one reactor turn later everything
that came meanwhile is one batch: encoded once for each dialect, handed to every listener in one `send`. Under light
load a batch is one message and waits for nothing but the end of the turn; under a burst it is hundreds, and the
price of a system call is paid once for all of them.

A fan-out that takes longer than its slice goes on in the next turn, behind the topics that wait, so that handshakes,
pings, Redis and quiet channels are never kept waiting by a busy one. A topic's next batch begins when the last one
has reached everybody: order on a connection never changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from wsrelay.core.closing import Closing
from wsrelay.core.publication import Publication
from wsrelay.interfaces import IDialect

__all__ = ["Hub", "Subscriber"]

SLICE_SECONDS = 0.005
"""How long a fan-out may hold the reactor at a stretch."""

_SENDS_PER_LOOK = 64
# Reading the clock costs about as much as a twentieth of a send; once for every 64 is free.


class Subscriber(Protocol):
    """One listener: all the hub needs to know of a connection."""

    @property
    def dialect(self) -> IDialect:
        """The wire language of this listener; listeners of one dialect share their encodings."""

    def send(self, data: bytes) -> None:
        """Take complete frames; never blocks, and keeps the order of the calls."""

    def close(self, closing: Closing) -> None:
        """Say goodbye with this closing, and end the connection."""


class _Topic:
    """A channel with listeners, their order of arrival kept."""

    __slots__ = ("channel", "listeners", "pending", "running")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.listeners: dict[IDialect, dict[Subscriber, None]] = {}
        self.pending: list[Publication] = []
        self.running: Iterator[None] | None = None


class Hub:
    """The registry of this process.

    Args:
        call_later: The reactor's, to come back in the next turn.
        seconds: A monotonic clock, to measure slices.
        on_failure: Called with a listener whose `send` raised, inside the except block; the fan-out goes on.
        slice_seconds: How long a fan-out may hold the reactor at a stretch.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], object],
        seconds: Callable[[], float],
        on_failure: Callable[[Subscriber], None],
        slice_seconds: float = SLICE_SECONDS,
    ) -> None:
        self._call_later = call_later
        self._seconds = seconds
        self._on_failure = on_failure
        self._slice_seconds = slice_seconds
        self._topics: dict[str, _Topic] = {}
        self._dirty: deque[_Topic] = deque()
        self._turn_is_due = False

    def add(self, subscriber: Subscriber, channel: str) -> None:
        """Let a subscriber hear a channel. Adding it twice is adding it once."""
        topic = self._topics.get(channel)
        if topic is None:
            topic = self._topics[channel] = _Topic(channel)
        topic.listeners.setdefault(subscriber.dialect, {})[subscriber] = None

    def remove(self, subscriber: Subscriber, channel: str) -> None:
        """Let a subscriber hear a channel no more; one that is not there is fine."""
        topic = self._topics.get(channel)
        if topic is None:
            return
        of_dialect = topic.listeners.get(subscriber.dialect, {})
        of_dialect.pop(subscriber, None)
        if not of_dialect:
            topic.listeners.pop(subscriber.dialect, None)
        if not topic.listeners:
            del self._topics[channel]

    def listeners(self, channel: str) -> int:
        """How many subscribers hear a channel."""
        topic = self._topics.get(channel)
        return sum(map(len, topic.listeners.values())) if topic is not None else 0

    def publish(self, publication: Publication) -> None:
        """Hand a message to everyone who hears its channel when the turn ends; without listeners it is dropped."""
        topic = self._topics.get(publication.channel)
        if topic is None:
            return
        if not topic.pending and topic.running is None:
            self._dirty.append(topic)
            self._ask_for_turn()
        topic.pending.append(publication)

    def _ask_for_turn(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._call_later(0, self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        dirty = self._dirty
        deadline = self._seconds() + self._slice_seconds
        while dirty:
            topic = dirty.popleft()
            if topic.running is None:
                topic.running = self._fan_out(topic)
            for _ in topic.running:
                if self._seconds() >= deadline:
                    dirty.append(topic)
                    break
            else:
                topic.running = None
                if topic.pending:
                    dirty.append(topic)
            if self._seconds() >= deadline:
                break
        if dirty:
            self._ask_for_turn()

    def _fan_out(self, topic: _Topic) -> Iterator[None]:
        """Send the pending batch; yields now and then so that the turn can look at the clock."""
        batch, topic.pending = topic.pending, []
        # Copies, because a send may close its connection and so change the registry under the loop.
        audiences = [(dialect, listeners, tuple(listeners)) for dialect, listeners in topic.listeners.items()]
        for dialect, listeners, audience in audiences:
            data: bytes | None = None
            for start in range(0, len(audience), _SENDS_PER_LOOK):
                for subscriber in audience[start : start + _SENDS_PER_LOOK]:
                    # Who left while the fan-out was on its way hears nothing more.
                    if subscriber not in listeners:
                        continue
                    try:
                        # Encoded inside the try: a dialect that fails must not leave its topic running for ever.
                        if data is None:
                            data = dialect.encode(batch)
                        subscriber.send(data)
                    except Exception:  # noqa: BLE001 -- one bad listener must not cost the others their message
                        self._on_failure(subscriber)
                yield
