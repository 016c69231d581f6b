"""The embedded broker: publications stay inside this process. The default if no Redis is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from secrets import token_hex

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.brokers.memory.history import MemoryHistory
from wsrelay.brokers.memory.presence_store import MemoryPresenceStore
from wsrelay.brokers.memory.switch import MemorySwitch
from wsrelay.core.messaging.publications import Publication, PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, IBrokerSink

__all__ = ["HIGH_PENDING", "HIGH_PENDING_BYTES", "MemoryBroker"]

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""Beyond this, further messages of one turn of the reactor are rejected."""

HIGH_PENDING_BYTES = MAX_PENDING_BYTES // 4
HIGH_PENDING = 128
"""From so many bytes and messages of one turn on there is pressure until the next one."""

_OVERLOADED = "this process is still delivering earlier messages"
_TAKEN = PublishResult()


@implementer(IBroker)
class MemoryBroker:
    """Delivers published messages to the sink of the same process.

    Messages that are published in one turn of the reactor are delivered together at its end, like those that come from
    Redis in one read: the messages of many clients in one turn are one batch.

    Args:
        clock: Time, by which tickets expire and turns end.
        now: The wall clock, in seconds since the epoch, by which the entries of streams are named. If None, the
            reactor's clock is one.
    """

    name = "memory"
    events = None

    def __init__(self, clock: IReactorTime, now: Callable[[], float] | None = None) -> None:
        self.node_id = token_hex(8)
        self.ready = False
        self.problem = "not started"
        self.credentials = MemoryCredentialStore(clock.seconds)
        self.history = MemoryHistory(clock, now or clock.seconds, lambda: self.problem)
        self.presence = MemoryPresenceStore(clock.seconds, lambda: self.problem)
        self.switch = MemorySwitch()
        self._clock = clock
        self._desired: set[str] = set()
        self._sink: IBrokerSink | None = None
        self._is_paused = False
        self._pending: list[Publication] = []
        self._pending_bytes = 0
        self._is_pressed = False

    def attach(self, sink: IBrokerSink) -> None:
        """See `IBroker.attach`."""
        self._sink = sink
        self.history.attach(sink)

    def start(self) -> None:
        """See `IBroker.start`."""
        self.ready, self.problem = True, ""
        for channel in self._desired:
            self._confirm(channel)
        if self._sink is not None:
            self._sink.connected()
            self._sink.streams_connected()

    def stop(self) -> Deferred[None]:
        """See `IBroker.stop`."""
        self._deliver()
        if self.ready and self._sink is not None:
            self._sink.disconnected(tuple(self._desired))
        self.ready, self.problem = False, "stopped"
        return succeed(None)

    def subscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.subscribe`."""
        for channel in channels:
            self._desired.add(channel)
            if self.ready:
                self._confirm(channel)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.unsubscribe`."""
        self._desired.difference_update(channels)

    def pause(self) -> None:
        """See `IBroker.pause`. While paused, publishing fails."""
        self._is_paused = True

    def resume(self) -> None:
        """See `IBroker.resume`."""
        self._is_paused = False

    def publish(self, channel: str, data: bytes) -> Deferred[PublishResult]:
        """See `IBroker.publish`."""
        problem = self._take(channel, data)
        return fail(BrokerUnavailable(problem)) if problem else succeed(_TAKEN)

    def post(self, channel: str, data: bytes, done: Callable[[BrokerUnavailable | None], None]) -> None:
        """See `IBroker.post`."""
        problem = self._take(channel, data)
        done(BrokerUnavailable(problem) if problem else None)

    def send_control(self, payload: bytes, node_id: str | None = None) -> Deferred[int]:
        """See `IBroker.send_control`."""
        if not self.ready:
            return fail(BrokerUnavailable(self.problem))
        if self._sink is None or node_id not in (None, self.node_id):
            return succeed(0)
        self._sink.control_received(payload)
        return succeed(1)

    def _take(self, channel: str, data: bytes) -> str:
        """Take a message; return why not, or an empty text."""
        if not self.ready:
            return self.problem
        if self._is_paused:
            return _OVERLOADED
        sink = self._sink
        if channel in self._desired and sink is not None:
            if not self._pending:
                self._clock.callLater(0, self._deliver)
            elif self._pending_bytes >= MAX_PENDING_BYTES:
                return _OVERLOADED
            self._pending_bytes += len(data)
            self._pending.append(Publication(channel, data))
            if not self._is_pressed and (
                len(self._pending) >= HIGH_PENDING or self._pending_bytes >= HIGH_PENDING_BYTES
            ):
                self._is_pressed = True
                sink.pressure_changed(is_high=True)
        return ""

    def _confirm(self, channel: str) -> None:
        if self._sink is not None:
            self._sink.subscribed(channel)

    def _deliver(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if pending and self._sink is not None:
            self._sink.publications_received(pending)
            if self._is_pressed:
                self._is_pressed = False
                self._sink.pressure_changed(is_high=False)
