"""Ten thousand connections, each ended in a way of its own. Nothing is left of any of them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from random import Random
from typing import Any

from devtools.harness.http import client_frame, upgrade
from tests.support.centrifugo_client import CentrifugoClient
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.transports.websocket.protocol import WebSocketConnection
from wsrelay.transports.writer import ConnectionWriter

CONNECTIONS = 10_000
SEED = 20


class LifecycleTests(EdgeCase):
    """Clients of every kind."""

    def test_ten_thousand_connections_leave_no_object_count_or_timer(self) -> None:
        relay = self.relay(publish=("room",), max_connections_per_address=500, centrifugo=True)
        rng = Random(SEED)
        kinds = (
            *(self.silent, self.partial, self.rejected, self.http),
            *(self.raw, self.raw, self.raw, self.centrifugo, self.centrifugo),
        )
        for number in range(CONNECTIONS):
            rng.choice(kinds)(relay, rng)
            if number % 50 == 0:
                relay.pass_time(rng.choice((0.25, 1, 12)))
            if number % 500 == 499:
                # All of them hang up, so that the test itself does not keep them.
                self.assertEqual(self.end(relay), [])
        self.assertEqual((relay.websockets.admission.count, relay.websockets.countConnections), (0, 0))
        self.assertEqual(relay.websockets.admission._by_address, {})
        self.assertGreater(relay.node.counters.connections_opened, CONNECTIONS // 4)
        gc.collect()
        left = [
            each
            for each in gc.get_objects()
            if (isinstance(each, WebSocketConnection) and each.factory is relay.websockets)
            or (isinstance(each, ConnectionWriter) and each._shared.limits is relay.settings)
        ]
        self.assertEqual((left, relay.websockets.writers.unready), ([], set()))

    def end(self, relay: InMemoryRelay) -> list[object]:
        """Hang up every connection; returns what is left of them."""
        left = relay.leftovers()
        relay.wires.clear()
        return left

    def silent(self, relay: InMemoryRelay, _rng: Random) -> None:
        """Send nothing."""
        ClientWire(relay)

    def partial(self, relay: InMemoryRelay, rng: Random) -> None:
        """Send a part of a handshake, and perhaps hang up."""
        wire = ClientWire(relay)
        head = upgrade("/ws/room")
        wire.send(head[: rng.randrange(len(head))])
        if rng.random() < 0.5:
            wire.hang_up()

    def rejected(self, relay: InMemoryRelay, rng: Random) -> None:
        """Be rejected for one of several reasons."""
        wire = ClientWire(relay)
        wire.send(rng.choice((upgrade("/ws/"), upgrade("/ws/other"), upgrade("/nowhere"), b"\x00\r\n\r\n")))
        if rng.random() < 0.5:
            wire.read()

    def http(self, relay: InMemoryRelay, rng: Random) -> None:
        """Request a page, and perhaps upgrade on the same connection."""
        wire = ClientWire(relay)
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        if rng.random() < 0.5:
            wire.read()
            wire.send(upgrade("/ws/room"))

    def raw(self, relay: InMemoryRelay, rng: Random) -> None:
        """Connect as a raw client, receive and send something, and end in one of many ways."""
        client = WebSocketClient(relay)
        client.send_handshake()
        if client.wire.closed:
            return
        if rng.random() < 0.3:
            relay.publish(b"x" * rng.choice((10, 70_000, 300_000)))
        if rng.random() < 0.3:
            client.wire.send(client_frame(rng.choice((0x81, 0x82, 0x89, 0x8A, 0x01)), b"hello"))
        self.end_somehow(client, rng)

    def centrifugo(self, relay: InMemoryRelay, rng: Random) -> None:
        """Connect with Centrifugo's protocol, send some commands, and end in one of many ways."""
        client = CentrifugoClient(relay)
        client.send_handshake()
        client.read()
        if client.wire.closed:
            return
        commands: tuple[dict[str, Any], ...] = (
            {"id": 1, "connect": {}},
            {"id": 2, "subscribe": {"channel": "room"}},
            {"id": 3, "subscribe": {"channel": "unknown"}},
            {"id": 4, "publish": {"channel": "room", "data": "x" * rng.choice((10, 50_000))}},
            {"id": 5, "unsubscribe": {"channel": "room"}},
            {},
        )
        client.send(*commands[: rng.randrange(1, len(commands) + 1)])
        if rng.random() < 0.3:
            relay.publish(b"x" * rng.choice((10, 70_000, 300_000)))
        if rng.random() < 0.1:
            client.send(rng.choice(commands))
        self.end_somehow(client, rng)

    @staticmethod
    def end_somehow(client: WebSocketClient, rng: Random) -> None:
        """End a connection, or leave it as it is."""
        ends: tuple[Callable[[], object], ...] = (
            client.wire.hang_up,
            client.wire.read,
            lambda: client.wire.send(client_frame(0x88, b"\x03\xe8")),
            lambda: client.wire.send(client_frame(0xFF, b"?")),
            lambda: client.wire.connection.close(Disconnect.RESTART),
            lambda: client.wire.send(client_frame(0x81, b"\xff")),
            lambda: None,
        )
        if isinstance(client.wire.transport.protocol, WebSocketConnection):
            rng.choice(ends)()
