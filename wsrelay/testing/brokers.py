"""Test doubles of brokers and their sinks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from wsrelay.brokers.memory.credential_store import MemoryCredentials
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, IBrokerSink

__all__ = ["FakeBroker", "RecordingSink"]


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
