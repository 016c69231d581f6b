"""The embedded broker: publications stay inside this process. The default where no Redis is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from wsrelay.brokers.memory.credential_store import MemoryCredentials
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, IBrokerSink

__all__ = ["MemoryBroker"]


@implementer(IBroker)
class MemoryBroker:
    """Delivers what is published to the sink of the same process, at once.

    Args:
        seconds: A monotonic clock, by which tickets end. By default it stands still.
    """

    name = "memory"

    def __init__(self, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self.ready = False
        self.problem = "not started"
        self._wanted: set[str] = set()
        self._sink: IBrokerSink | None = None
        self._held = False
        self.store = MemoryCredentials(seconds)

    def attach(self, sink: IBrokerSink) -> None:
        """See `IBroker.attach`."""
        self._sink = sink

    def start(self) -> None:
        """See `IBroker.start`."""
        self.ready, self.problem = True, ""
        for channel in self._wanted:
            self._confirm(channel)

    def stop(self) -> Deferred[None]:
        """See `IBroker.stop`."""
        if self.ready and self._sink is not None:
            self._sink.interrupted()
        self.ready, self.problem = False, "stopped"
        return succeed(None)

    def subscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.subscribe`."""
        for channel in channels:
            self._wanted.add(channel)
            if self.ready:
                self._confirm(channel)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.unsubscribe`."""
        self._wanted.difference_update(channels)

    def hold(self, held: bool) -> None:
        """See `IBroker.hold`: while held, publishing fails."""
        self._held = held

    def publish(self, channel: str, payload: bytes) -> Deferred[None]:
        """See `IBroker.publish`."""
        if not self.ready:
            return fail(BrokerUnavailable(self.problem))
        if self._held:
            return fail(BrokerUnavailable("this process is behind with what was published before"))
        if channel in self._wanted and self._sink is not None:
            self._sink.deliver(Publication(channel, payload))
        return succeed(None)

    def tell(self, payload: bytes) -> Deferred[None]:
        """See `IBroker.tell`."""
        if not self.ready:
            return fail(BrokerUnavailable(self.problem))
        if self._sink is not None:
            self._sink.controlled(payload)
        return succeed(None)

    def _confirm(self, channel: str) -> None:
        if self._sink is not None:
            self._sink.confirmed(channel)
