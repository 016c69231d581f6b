"""The relay's whole edge without a port."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock

from wsrelay.auth.build import Authentication
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.config import Settings
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.messaging.publications import Publication
from wsrelay.engine.node import Node
from wsrelay.engine.operations import Operations
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.metrics.counters import Counters
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.listening.router import ConnectionRouterFactory
from wsrelay.transports.websocket.protocol import WebSocketConnection, WebSocketConnectionFactory
from wsrelay.web.api.keys import APIKeys
from wsrelay.web.api.relay_api import RelayAPI
from wsrelay.web.site import build_site

__all__ = ["ClientWire", "InMemoryRelay"]


class InMemoryRelay:
    """A relay without a port: broker, node, sockets, site and door on one clock.

    Args:
        broker: The broker, or None for an embedded one that has started.
        clock: Time, or None for a clock that stands still.
        with_page: Whether the chat page is served.
        rng: Randomness for the ping jitter.
        **settings: Settings that are not the defaults.

    Attributes:
        ready: Status and text of ``/readyz``.
        wires: Every connection made.
    """

    def __init__(
        self,
        broker: Any = None,
        *,
        clock: Any = None,
        with_page: bool = True,
        rng: Random | None = None,
        **settings: Any,
    ) -> None:
        self.clock = Clock() if clock is None else clock
        if broker is None:
            broker = MemoryBroker(self.clock)
            broker.start()
        self.broker = broker
        self.settings = Settings(**settings)
        rules = self.settings.build_namespaces()
        counters = Counters()
        rejections = RejectionLog(counters, self.clock.seconds)
        auth = Authentication(
            self.settings,
            broker.credentials,
            self.clock,
            Random(7),
            counters,
            rejections.log_detail,
            self.clock.seconds,
        )
        self.node = Node(broker, rules, self.clock, auth.authenticator, None, counters, rejections)
        self.sockets = WebSocketConnectionFactory(self.node, self.settings, self.clock, rng or Random(7))
        self.ready = (200, "ready")
        api: RelayAPI | None = None
        if self.settings.api_keys:
            operations = Operations(broker, rules, self.clock.seconds)
            api = RelayAPI(operations, APIKeys(self.settings.api_keys), rejections, self.clock)
        site = build_site(
            readiness=lambda: self.ready,
            has_chat_page=with_page,
            body_timeout_seconds=self.settings.handshake_timeout_seconds,
            clock=self.clock,
            api=api,
            max_body_bytes=self.settings.max_message_bytes if self.settings.api_keys else 0,
        )
        self.door = ConnectionRouterFactory(
            self.sockets,
            site,
            self.settings,
            admission=self.sockets.admission,
            counters=counters,
            origins=OriginPolicy(self.settings.origins, require=self.settings.require_origin),
            rejections=rejections,
            wheel=self.node.wheel,
        )
        self.wires: list[ClientWire] = []

    def turn(self) -> None:
        """Let the reactor go round: what was called for "now" happens."""
        for _ in range(4):
            self.clock.advance(0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps as fine as the wheel's."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)

    def publish(self, *payloads: bytes, channel: str = "room") -> None:
        """Something is published, and everyone is sent it."""
        for payload in payloads:
            self.node.publications_received([Publication(channel, payload)])
        self.turn()

    def leftovers(self) -> list[object]:
        """What is left when everyone has gone and a while has passed; it should be nothing."""
        for wire in self.wires:
            wire.leave()
        self.pass_time(200)
        return [
            *self.clock.getDelayedCalls(),
            *self.sockets.wheel._buckets.values(),
            *self.sockets.sockets,
            *self.node._interests,
        ]


class ClientWire:
    """One connection to the door, seen from the client's end.

    Args:
        house: Whose door it is.
        transport: What the relay writes to, or None for a transport in memory.
    """

    def __init__(self, house: InMemoryRelay, transport: Any = None) -> None:
        house.wires.append(self)
        self.transport: Any = transport or MemoryTransport()
        self.transport.protocol = house.door.buildProtocol(None)
        self.transport.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Bytes arrive at the relay, unless the connection has ended."""
        if self.transport.connected:
            self.transport.protocol.dataReceived(data)

    def read(self) -> bytes:
        """What the relay has sent."""
        data: bytes = self.transport.drain()
        return data

    def leave(self) -> None:
        """Hang up without a word."""
        if self.transport.connected:
            self.transport._end(ConnectionDone())

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return not self.transport.connected

    @property
    def socket(self) -> WebSocketConnection:
        """What serves the connection, when it is a WebSocket."""
        socket = self.transport.protocol
        assert isinstance(socket, WebSocketConnection), socket
        return socket
