"""Ten thousand lives of connections, each ended in its own way, and nothing left of any of them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from random import Random

from devtools.harness.http import client_frame, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.transports.websocket.protocol import WebSocketConnection
from wsrelay.transports.writer import ConnectionWriter

LIVES = 10_000
SEED = 20


class LivesTests(EdgeCase):
    """Whatever a client does, and whenever it goes."""

    def test_nothing_is_left(self) -> None:
        """After ten thousand lives no connection, count, interest, timer or object of one is left."""
        house = self.house(publish=("room",), max_connections_per_address=500, max_handshakes_per_second=0)
        rng = Random(SEED)
        lives = (self.silent, self.partial, self.refused, self.visit, self.visit, self.visit, self.http)
        for number in range(LIVES):
            rng.choice(lives)(house, rng)
            if number % 50 == 0:
                house.pass_time(rng.choice((0.25, 1, 12)))
            if number % 500 == 499:
                # All that came so far go, so that the test itself does not keep them.
                self.assertEqual(self.end(house), [])
        self.assertEqual((house.sockets.admission.count, house.sockets.countConnections), (0, 0))
        self.assertEqual(house.sockets.admission._by_address, {})
        self.assertGreater(house.node.counters.connections_opened, LIVES // 4)
        gc.collect()
        left = [
            each
            for each in gc.get_objects()
            if (isinstance(each, WebSocketConnection) and each.factory is house.sockets)
            or (isinstance(each, ConnectionWriter) and each._limits is house.settings)
        ]
        self.assertEqual(left, [])

    def end(self, house: InMemoryRelay) -> list[object]:
        """Everyone still there leaves; what remains of them."""
        left = house.leftovers()
        house.wires.clear()
        return left

    def silent(self, house: InMemoryRelay, _rng: Random) -> None:
        """Connects and says nothing."""
        ClientWire(house)

    def partial(self, house: InMemoryRelay, rng: Random) -> None:
        """Sends some of a handshake, and perhaps hangs up."""
        wire = ClientWire(house)
        head = upgrade("/ws/room")
        wire.send(head[: rng.randrange(len(head))])
        if rng.random() < 0.5:
            wire.leave()

    def refused(self, house: InMemoryRelay, rng: Random) -> None:
        """Is turned away for one reason or another."""
        wire = ClientWire(house)
        wire.send(rng.choice((upgrade("/ws/"), upgrade("/ws/other"), upgrade("/nowhere"), b"\x00\r\n\r\n")))
        if rng.random() < 0.5:
            wire.read()

    def http(self, house: InMemoryRelay, rng: Random) -> None:
        """Asks for a page, and perhaps upgrades on the same connection."""
        wire = ClientWire(house)
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        if rng.random() < 0.5:
            wire.read()
            wire.send(upgrade("/ws/room"))

    def visit(self, house: InMemoryRelay, rng: Random) -> None:
        """Comes in, hears and says something, and goes in one of many ways."""
        visitor = WebSocketClient(house)
        visitor.knock()
        if visitor.wire.closed:
            return
        if rng.random() < 0.3:
            house.publish(b"x" * rng.choice((10, 70_000, 300_000)))
        if rng.random() < 0.3:
            visitor.wire.send(client_frame(rng.choice((0x81, 0x82, 0x89, 0x8A, 0x01)), b"hello"))
        ends: tuple[Callable[[], object], ...] = (
            visitor.wire.leave,
            visitor.wire.read,
            lambda: visitor.wire.send(client_frame(0x88, b"\x03\xe8")),
            lambda: visitor.wire.send(client_frame(0xFF, b"?")),
            lambda: visitor.wire.socket.close(Disconnect.RESTART),
            lambda: visitor.wire.send(client_frame(0x81, b"\xff")),
            lambda: None,
        )
        if isinstance(visitor.wire.transport.protocol, WebSocketConnection):
            rng.choice(ends)()
