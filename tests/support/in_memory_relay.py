"""The relay's whole edge without a port, built by its own composition root."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock

from wsrelay.app.build import build_relay
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.config import Settings
from wsrelay.core.messaging.publications import Publication
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.websocket.protocol import WebSocketConnection

__all__ = ["ClientWire", "InMemoryRelay"]


class InMemoryRelay:
    """A relay without a port, all of it on one clock.

    Args:
        broker: The broker. If None, an embedded one that has started.
        clock: Time. If None, a clock that stands still.
        rng: Randomness for the ping jitter.
        **settings: Settings that are not the defaults.

    Attributes:
        objects: The objects of the process; the next four are among them.
        node: Joins hub, broker and clients.
        websockets: Makes WebSocket connections.
        router: Takes connections.
        connections: The registry of connections.
        wires: Every connection made.
    """

    def __init__(self, broker: Any = None, *, clock: Any = None, rng: Random | None = None, **settings: Any) -> None:
        self.clock = Clock() if clock is None else clock
        self.broker: Any = MemoryBroker(self.clock) if broker is None else broker
        self.settings = Settings(**settings)
        self.objects = build_relay(self.settings, self.broker, self.clock, rng or Random(7))
        if broker is None:
            self.broker.start()
        self.node = self.objects.node
        self.websockets = self.objects.websockets
        self.router = self.objects.router
        self.connections = self.objects.websockets.connections
        self.wires: list[ClientWire] = []

    def turn(self) -> None:
        """Run a few turns of the reactor: every call that is due now is made."""
        for _ in range(4):
            self.clock.advance(0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps as fine as the timer wheel's."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)

    def publish(self, *payloads: bytes, channel: str = "room") -> None:
        """Deliver publications as a broker does, each by itself."""
        for payload in payloads:
            self.node.publications_received([Publication(channel, payload)])
        self.turn()

    @property
    def open_websockets(self) -> list[WebSocketConnection]:
        """The open connections that are WebSockets, oldest first."""
        return [each for each in self.connections.open_connections() if isinstance(each, WebSocketConnection)]

    @property
    def handshaking_websockets(self) -> list[WebSocketConnection]:
        """The WebSockets whose handshake waits for its answer, oldest first."""
        return [each for each in self.connections.handshaking_connections() if isinstance(each, WebSocketConnection)]

    def leftovers(self) -> list[object]:
        """Hang up every connection, let time pass, and return what is left: an empty list if all is well."""
        for wire in self.wires:
            wire.hang_up()
        self.pass_time(200)
        return [
            *self.clock.getDelayedCalls(),
            *self.node.timers._buckets.values(),
            *self.connections.open_connections(),
            *self.node.subscriptions._channels,
        ]


class ClientWire:
    """One connection to a relay, seen from the client's end.

    Args:
        relay: The relay, or anything that has its `router` and `wires`.
        transport: What the relay writes to. If None, a transport in memory.
    """

    def __init__(self, relay: InMemoryRelay, transport: Any = None) -> None:
        relay.wires.append(self)
        self.transport: Any = transport or MemoryTransport()
        self.transport.protocol = relay.router.buildProtocol(None)
        self.transport.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Send bytes to the relay, unless the connection has ended."""
        if self.transport.connected:
            self.transport.protocol.dataReceived(data)

    def read(self) -> bytes:
        """Return the bytes that the relay has sent since the last call."""
        data: bytes = self.transport.drain()
        return data

    def hang_up(self) -> None:
        """Close the connection without a close frame."""
        if self.transport.connected:
            self.transport._end(ConnectionDone())

    def half_close(self) -> None:
        """End the client's direction, and go on reading."""
        if self.transport.connected:
            protocol: Any = IHalfCloseableProtocol(self.transport.protocol, None)
            if protocol is None:
                self.hang_up()
            else:
                protocol.readConnectionLost()

    @property
    def closed(self) -> bool:
        """True if the connection has ended."""
        return not self.transport.connected

    @property
    def connection(self) -> WebSocketConnection:
        """The relay's end of the connection, if it is a WebSocket."""
        connection = self.transport.protocol
        assert isinstance(connection, WebSocketConnection), connection
        return connection
