"""One process of a fleet in a walk: the relay's own registry, readers and subscriptions over a scripted history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.internet.task import Clock

from devtools.model.scripted_history import ScriptedHistory
from devtools.model.server import StreamServer
from devtools.model.writer import HISTORY_SECONDS
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.history.entries import StreamLook
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.channel_subscriptions import ChannelSubscriptions
from wsrelay.engine.gap_notifier import GapNotifier
from wsrelay.engine.hub import Hub
from wsrelay.engine.stream_readers import StreamReaders
from wsrelay.metrics.counters import Counters

__all__ = ["CHANNEL", "Process", "Subscription", "small_sizes"]

CHANNEL = "walk"

SMALL_LIMIT = 10
"""The largest number of publications that a client of a walk recovers."""

_NAMESPACES = Namespaces([Namespace("walk", (CHANNEL,), history_size=20, history_seconds=HISTORY_SECONDS)])


class Subscription:
    """A client's way out. Implements `wsrelay.engine.topic.Subscriber`.

    Args:
        receive: Called with each line.
        told: Called when the client is told of a gap otherwise than by a line, so that its subscription ends.
    """

    def __init__(self, receive: Callable[[bytes], None], told: Callable[[], None] = lambda: None) -> None:
        self._receive = receive
        self._told = told

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """See `Subscriber.send`."""
        for line in data.splitlines():
            self._receive(line)

    def close(self, disconnect: Disconnect) -> None:
        """See `Subscriber.close`. Nobody is slow in a walk."""
        raise NotImplementedError

    def report_gap(self, channel: str) -> None:
        """See `Subscriber.report_gap`."""
        self._told()


class _Broker:
    """The part of a broker that subscriptions use: everything is confirmed in the next turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.subscriptions: Any = None

    def subscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.subscribe`."""
        for channel in channels:
            self._clock.callLater(0, self.subscriptions.confirmed, channel)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.unsubscribe`."""


class Process:
    """One process.

    Args:
        server: The server.
        clock: Time.
        rng: Randomness.
        on_look: Called with each look as it is carried out.

    Attributes:
        history: Its connection.
        gaps: Tells clients of gaps whose encoding has no event for them.
        readers: Its readers.
        subscriptions: Where clients subscribe.
    """

    def __init__(self, server: StreamServer, clock: Clock, rng: Random, on_look: Callable[[StreamLook], None]) -> None:
        self.history = ScriptedHistory(server, rng, on_look)
        counters = Counters()
        hub = Hub(clock.callLater, clock.seconds, self._send_failed)
        gaps = self.gaps = GapNotifier(clock, rng, counters)
        self.readers = StreamReaders(self.history, hub, gaps, _NAMESPACES, clock, rng, counters)
        self.history.readers = self.readers
        broker: Any = _Broker(clock)
        self.subscriptions = ChannelSubscriptions(broker, hub, gaps, _NAMESPACES, clock, self.readers)
        broker.subscriptions = self.subscriptions

    @property
    def is_busy(self) -> bool:
        """True if something is under way, or somebody is still to be told of a gap."""
        return self.history.is_busy or self.gaps.pending > 0

    def make_room(self) -> None:
        """Drop what is kept for returning clients, as many other channels would make the process do."""
        if len(self.readers):
            self.readers.open(CHANNEL).drop_ring()

    def _send_failed(self, _subscriber: object) -> None:
        # Called inside the except block of the hub: the walk is to end with it.
        raise


@contextmanager
def small_sizes() -> Iterator[None]:
    """Make pages, recoveries and rings small for a while, so that each end of them is met often."""
    with ExitStack() as stack:
        for module, name, size in (
            ("channel_reader", "LIVE_PAGE_SIZE", 5),
            ("stream_readers", "LIVE_PAGE_SIZE", 5),
            ("stream_readers", "MAX_READS_IN_FLIGHT", 1),
            ("channel_output", "RECOVERY_LIMIT", SMALL_LIMIT),
            ("channel_reader", "RECOVERY_LIMIT", SMALL_LIMIT),
            ("channel_joins", "RECOVERY_LIMIT", SMALL_LIMIT),
            ("recovery_reads", "PAGE_SIZE", 4),
            ("recovery_reads", "RECOVERY_LIMIT", SMALL_LIMIT),
            ("stream_readers", "MAX_RECOVERIES", 2),
            ("channel_output", "RING_BYTES", 8 * 310),
        ):
            stack.enter_context(patch(f"wsrelay.engine.{module}.{name}", size))
        yield
