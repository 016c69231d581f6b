"""Test doubles of brokers and their sinks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.brokers.memory.switch import MemorySwitch
from wsrelay.core.messaging.publications import Publication, PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, IBrokerSink

__all__ = ["FakeBroker", "RecordingSink"]


@implementer(IBrokerSink)
class RecordingSink:
    """A sink that records the calls of a broker.

    Attributes:
        delivered: The publications, in order.
        confirmations: The channels confirmed, in order.
        responses: The channels rejected, in order.
        interruptions: The number of calls of `disconnected`.
        lost: The channels of each call of `disconnected`.
        connections: The number of calls of `connected`.
        resumptions: The number of calls of `reconnected`.
        controls: The control messages, in order.
        changes: The channels whose streams may have changed, in order.
        pressure: The argument of each call of `pressure_changed`.
        stream_states: True for each call of `streams_connected`, False for each of `streams_disconnected`.
    """

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.stream_states: list[bool] = []
        self.delivered: list[Publication] = []
        self.confirmations: list[str] = []
        self.responses: list[str] = []
        self.interruptions = 0
        self.lost: list[tuple[str, ...]] = []
        self.connections = 0
        self.resumptions = 0
        self.pressure: list[bool] = []
        self.controls: list[bytes] = []

    def publications_received(self, publications: Sequence[Publication]) -> None:
        """See `IBrokerSink.publications_received`."""
        self.delivered += publications

    def subscribed(self, channel: str) -> None:
        """See `IBrokerSink.subscribed`."""
        self.confirmations.append(channel)

    def subscribe_failed(self, channel: str) -> None:
        """See `IBrokerSink.subscribe_failed`."""
        self.responses.append(channel)

    def disconnected(self, channels: Collection[str]) -> None:
        """See `IBrokerSink.disconnected`."""
        self.lost.append(tuple(channels))
        self.interruptions += 1

    def connected(self) -> None:
        """See `IBrokerSink.connected`."""
        self.connections += 1

    def reconnected(self) -> None:
        """See `IBrokerSink.reconnected`."""
        self.resumptions += 1

    def streams_changed(self, channels: Iterable[str], *, is_certain: bool = False) -> None:
        """See `IBrokerSink.streams_changed`."""
        self.changes += channels

    def streams_connected(self) -> None:
        """See `IBrokerSink.streams_connected`."""
        self.stream_states.append(True)

    def streams_disconnected(self) -> None:
        """See `IBrokerSink.streams_disconnected`."""
        self.stream_states.append(False)

    def control_received(self, payload: bytes) -> None:
        """See `IBrokerSink.control_received`."""
        self.controls.append(payload)

    def pressure_changed(self, *, is_high: bool) -> None:
        """See `IBrokerSink.pressure_changed`."""
        self.pressure.append(is_high)


@implementer(IBroker)
class FakeBroker:
    """A broker whose every result the test sets.

    Attributes:
        ready: See `IBroker.ready`; the test sets it.
        problem: See `IBroker.problem`; the test sets it.
        sink: The attached sink. Call its methods in the place of Redis.
        wanted: The desired channels.
        log: The calls of `subscribe` and `unsubscribe`, in order.
        published: The messages published, in order.
        controls: The control messages sent, each with the `node_id` of its process. If that is None, for all of them.
        started: Whether `start` was called last, and not `stop`.
        is_paused: Whether `pause` was called last, and not `resume`.
        credentials: Tickets and revocations, in memory.
        switch: The switch, in memory.
        presence: See `IBroker.presence`; the test sets it.
        events: See `IBroker.events`; the test sets it.
        publishing: The Deferred that `publish` returns. If None, it succeeds if the broker is ready, and fails if not.
    """

    name = "fake"
    node_id = "fake-node"
    history = None
    presence: Any = None
    events: Any = None

    def __init__(self) -> None:
        self.ready = True
        self.problem = ""
        self.sink: Any = None
        self.wanted: set[str] = set()
        self.log: list[tuple[str, list[str]]] = []
        self.published: list[Publication] = []
        self.controls: list[tuple[bytes, str | None]] = []
        self.publishing: Deferred[PublishResult] | None = None
        self.started = False
        self.is_paused = False
        self.credentials = MemoryCredentialStore(lambda: 0.0)
        self.switch: Any = MemorySwitch()

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

    def pause(self) -> None:
        """See `IBroker.pause`."""
        self.is_paused = True

    def resume(self) -> None:
        """See `IBroker.resume`."""
        self.is_paused = False

    def publish(self, channel: str, data: bytes) -> Deferred[PublishResult]:
        """See `IBroker.publish`."""
        if self.publishing is not None:
            return self.publishing
        if not self.ready:
            return fail(BrokerUnavailable("the test says so"))
        self.published.append(Publication(channel, data))
        return succeed(PublishResult())

    def post(self, channel: str, data: bytes, done: Callable[[BrokerUnavailable | None], None]) -> None:
        """See `IBroker.post`. The outcome is that of `publish`."""
        self.publish(channel, data).addCallbacks(lambda _result: done(None), lambda failure: done(failure.value))

    def send_control(self, payload: bytes, node_id: str | None = None) -> Deferred[int]:
        """See `IBroker.send_control`."""
        self.controls.append((payload, node_id))
        return succeed(1)
