"""Tests of wsrelay.transports.listening.router: the door, what it refuses, and to whom it hands over."""

from __future__ import annotations

import re
from socket import IPPROTO_TCP, SO_SNDBUF, SOL_SOCKET, TCP_NODELAY
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Factory
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

from devtools.harness.http import Answer, answers, client_frame, head, upgrade
from tests.support.edge import Caller, EdgeCase, RealEdgeCase
from tests.support.fake_socket import FakeTCPConnection
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from wsrelay.core.wire.frames import message_frame
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.listening.eager_tcp import write_eagerly
from wsrelay.transports.listening.router import MIN_HTTP_CONNECTIONS, REJECTED_CLIENT_LINGER_SECONDS
from wsrelay.transports.websocket.protocol import WebSocketConnection
from wsrelay.web.one_request import RESPONSE_LINGER_SECONDS

_HEALTH = head("GET /healthz HTTP/1.1", "Host: x")
_ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"


class FrontDoorTests(EdgeCase):
    """Who is let in, and where to."""

    def response(self, wire: ClientWire) -> Answer:
        """The answer to a refused client, checked for what every refusal has, and the end of its connection."""
        (answer,) = answers(wire.read())
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertNotIn("server", answer.headers)
        self.assertTrue(wire.transport.half_closed)
        self.assertFalse(wire.closed)
        return answer

    def knock(self, data: bytes, house: InMemoryRelay | None = None) -> tuple[InMemoryRelay, ClientWire]:
        """A new connection that sends this."""
        house = house or self.house()
        wire = ClientWire(house)
        wire.send(data)
        return house, wire

    def test_socket(self) -> None:
        """An upgrade gets a WebSocket; nothing of twisted.web is made."""
        house, wire = self.knock(upgrade())
        self.assertIn(_ACCEPT, wire.read())
        self.assertIsInstance(wire.transport.protocol, WebSocketConnection)
        self.assertEqual(list(house.sockets.sockets), [wire.socket])

    def test_site(self) -> None:
        """Everything else gets twisted.web; nothing of Autobahn is made."""
        house, wire = self.knock(_HEALTH)
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.body), (200, b"alive\n"))
        self.assertEqual(house.sockets.countConnections, 0)

    def test_pipelined_behind_the_handshake(self) -> None:
        """Frames that come in one piece with the handshake are not lost."""
        house = self.house(publish=("room",))
        _, wire = self.knock(upgrade() + client_frame(0x81, b"first") + client_frame(0x81, b"second"), house)
        house.turn()
        self.assertTrue(wire.read().endswith(b"\r\n\r\n\x81\x05first\x81\x06second"))

    def test_empty_lines_first(self) -> None:
        """Empty lines before the request line are ignored."""
        _, wire = self.knock(b"\r\n\r\n\r\n" + upgrade())
        self.assertIn(_ACCEPT, wire.read())

    def test_line_feed_first(self) -> None:
        """A bare LF before the request line is no empty line."""
        _, wire = self.knock(b"\r\n\n" + upgrade())
        self.assertEqual(self.response(wire).status, 400)

    @given(
        st.sampled_from(
            [
                upgrade(),
                b"\r\n" + upgrade(),
                b"\r\n\r\n\r\n" + upgrade() + client_frame(0x89, b"ping"),
                b"\r\n\n" + upgrade(),
                upgrade("/nowhere"),
                upgrade("/ws/room", "Content-Length: 2"),
                upgrade("/ws/room", "X-Filler: " + "x" * (1024 - len(upgrade("/ws/room", "X-Filler: ")))),
                upgrade("/ws/room", "X-Filler: " + "x" * (1025 - len(upgrade("/ws/room", "X-Filler: ")))),
                head("GET / HTTP/1.1", "no colon"),
                head("POST /healthz HTTP/1.1", "Host: x", "Content-Length: 5") + b"12345" + _HEALTH,
                b"x" * 1500,
                b"\r\n" * 900,
            ]
        ),
        st.lists(st.integers(1, 1500), max_size=12),
        st.booleans(),
    )
    def test_pieces(self, data: bytes, cuts: list[int], one_by_one: bool) -> None:
        """However a head is cut into pieces, down to single bytes, the outcome is that of one piece."""
        house = InMemoryRelay(max_head_bytes=1024)
        whole, wire = ClientWire(house), ClientWire(house)
        whole.send(data)
        places = range(len(data)) if one_by_one else [0, *sorted(set(cuts))]
        for start, end in zip(places, [*places[1:], len(data)], strict=True):
            wire.send(data[start:end])
        dates = re.compile(rb"Date: [^\r]*\r\n")
        self.assertEqual(dates.sub(b"", wire.read()), dates.sub(b"", whole.read()))
        self.assertEqual(wire.closed, whole.closed)
        self.assertEqual(type(wire.transport.protocol), type(whole.transport.protocol))

    def test_longest_head(self) -> None:
        """A head of `max_head_bytes` is read, one byte more gets 431."""
        house = self.house(max_head_bytes=1024)
        room = 1024 - len(upgrade("/ws/room", "X: "))
        _, wire = self.knock(upgrade("/ws/room", "X: " + "x" * room), house)
        self.assertIn(_ACCEPT, wire.read())
        _, wire = self.knock(upgrade("/ws/room", "X: " + "x" * (room + 1)), house)
        answer = self.response(wire)
        self.assertEqual((answer.status, answer.body), (431, b"The request head is longer than max_head_bytes.\n"))

    def test_endless_head(self) -> None:
        """A head without an end is not kept beyond `max_head_bytes`, nor is what comes after its refusal."""
        house = self.house(max_head_bytes=1024)
        wire = ClientWire(house)
        wire.send(b"x" * 1023)
        self.assertEqual(wire.read(), b"")
        wire.send(b"x")
        self.assertEqual(self.response(wire).status, 431)
        for _ in range(100):
            wire.send(b"x" * 65536)
        self.assertEqual(wire.transport.protocol.buffered_bytes, 0)
        self.assertEqual(wire.read(), b"")

    def test_slow_head(self) -> None:
        """A head that does not come in time gets 408, never early."""
        house, wire = self.knock(b"GET / HT", self.house(handshake_timeout_seconds=3))
        house.pass_time(2.75)
        self.assertEqual(wire.read(), b"")
        house.pass_time(0.75)
        self.assertEqual(self.response(wire).status, 408)

    def test_no_head(self) -> None:
        """A connection without a request is ended without a word."""
        house, wire = self.knock(b"\r\n", self.house(handshake_timeout_seconds=3))
        house.pass_time(2.75)
        self.assertFalse(wire.closed)
        house.pass_time(0.75)
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(wire.read(), b"")

    def test_refused_client_lingers(self) -> None:
        """A refused client that does not hang up is reset after the linger time."""
        house, wire = self.knock(upgrade("/nowhere"))
        self.response(wire)
        house.pass_time(REJECTED_CLIENT_LINGER_SECONDS - 0.25)
        self.assertFalse(wire.closed)
        house.pass_time(0.75)
        self.assertTrue(wire.transport.aborted)

    def test_refused_client_hangs_up(self) -> None:
        """A refused client that hangs up leaves no timer behind."""
        house, wire = self.knock(upgrade("/nowhere"))
        self.response(wire)
        wire.leave()
        self.assertFalse(any(house.sockets.wheel._buckets.values()))

    def test_leaving_early(self) -> None:
        """A client that leaves before its head is complete leaves no timer behind."""
        house, wire = self.knock(b"GET")
        wire.leave()
        self.assertFalse(any(house.sockets.wheel._buckets.values()))

    def test_refusals(self) -> None:
        """Each thing that is wrong with a head has its status and its text."""
        nowhere = b"There is no WebSocket at this path. Use /ws/<channel>.\n"
        for data, status, body in (
            (upgrade("/"), 404, nowhere),
            (upgrade("/ws"), 404, nowhere),
            (upgrade("http://relay.example/ws/room"), 404, nowhere),
            (upgrade("/ws/room", "Content-Length: 1"), 400, b"A WebSocket handshake has no body.\n"),
            (upgrade("/ws/room", "Transfer-Encoding: chunked"), 400, b"A WebSocket handshake has no body.\n"),
            (head("GET /"), 400, b"The request line is malformed (RFC 9112 section 3).\n"),
        ):
            _, wire = self.knock(data)
            answer = self.response(wire)
            self.assertEqual((answer.status, answer.body), (status, body))

    def test_cookies(self) -> None:
        """Bytes outside ASCII are fine in a cookie and refused in a field of the handshake."""
        _, wire = self.knock(upgrade("/ws/room", "Cookie: name=J\xfcrgen"))
        self.assertIn(_ACCEPT, wire.read())
        for name in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Key"):
            _, wire = self.knock(upgrade("/ws/room", f"{name}: \xfc"))
            self.assertEqual(self.response(wire).status, 400)

    def test_post_with_upgrade(self) -> None:
        """An upgrade by POST is answered by HTTP: 405."""
        _, wire = self.knock(upgrade().replace(b"GET", b"POST", 1))
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET"))

    def test_stopping(self) -> None:
        """A relay that is stopping turns sockets away with 503 and Retry-After, and goes on answering probes."""
        house = self.house()
        house.sockets.stopping = True
        _, wire = self.knock(upgrade(), house)
        answer = self.response(wire)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        _, wire = self.knock(_HEALTH, house)
        self.assertEqual(answers(wire.read())[0].status, 200)

    def test_unix_socket(self) -> None:
        """A client behind a Unix socket has no address, and is let in."""
        house = self.house(FakeBroker())
        wire = ClientWire(house)
        wire.transport.peerAddr = UNIXAddress("/run/wsrelay.sock")
        wire.send(upgrade())
        handshake: Any = wire.socket._handshake
        self.assertEqual(handshake.peer, "unix")
        house.node.subscribed("room")
        self.assertIn(_ACCEPT, wire.read())

    def test_wrapped_transport(self) -> None:
        """Under a wrapper, which cannot half-close, a refused client is closed the ordinary way, then by force."""
        house = self.house()
        lower = MemoryTransport()
        wrapper = ProtocolWrapper(WrappingFactory(Factory()), house.door.buildProtocol(None))
        lower.protocol = wrapper
        wrapper.makeConnection(lower)
        wrapper.dataReceived(b"nonsense\r\n\r\n")
        self.assertTrue(lower.disconnecting)
        self.assertFalse(lower.half_closed)
        house.pass_time(REJECTED_CLIENT_LINGER_SECONDS + 0.5)
        self.assertTrue(lower.aborted)

    @given(st.binary(max_size=120), st.sampled_from(["line", "field", "value", "frames", "first"]))
    def test_hostile(self, noise: bytes, place: str) -> None:
        """Whatever comes in, there is an answer, a close or a wait with a limit; never an exception or a timer."""
        data = {
            "line": b"GET " + noise + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            "field": upgrade("/ws/room", noise),
            "value": upgrade("/ws/room", b"Sec-WebSocket-Protocol: " + noise, b"Sec-WebSocket-Version: " + noise[:3]),
            "frames": upgrade() + noise,
            "first": noise + upgrade(),
        }[place]
        house = InMemoryRelay(handshake_timeout_seconds=1, close_timeout_seconds=1)
        wire = ClientWire(house)
        wire.send(data)
        output = wire.read()
        house.pass_time(2)
        output += wire.read()
        self.assertTrue(output.startswith(b"HTTP/1.1 ") or wire.closed)
        self.assertEqual(house.leftovers(), [])


class OneRequestTests(EdgeCase):
    """There is one request on an HTTP connection."""

    def test_nothing_behind_it(self) -> None:
        """What comes behind a request is not looked at, be it a request or a handshake, in one piece or later."""
        for behind in (_HEALTH, upgrade(), b"nonsense", b"\r\n\r\n"):
            for cut in (True, False):
                house = self.house()
                wire = ClientWire(house)
                wire.send(_HEALTH + (b"" if cut else behind))
                if cut:
                    wire.send(behind)
                (answer,) = answers(wire.read())
                self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
                self.assertTrue(wire.closed)
                self.assertEqual(house.broker._desired, set())

    def test_answer_that_nobody_reads(self) -> None:
        """A client that does not read its answer is reset after a while."""
        house = self.house()
        wire = ClientWire(house)
        wire.send(_HEALTH)
        self.assertFalse(wire.closed)
        house.pass_time(RESPONSE_LINGER_SECONDS)
        self.assertTrue(wire.transport.aborted)

    def test_body_that_does_not_come(self) -> None:
        """A body has as long as a head, however slowly it drips."""
        for head_lines in (("Content-Length: 100",), ("Transfer-Encoding: chunked",)):
            house = self.house(handshake_timeout_seconds=5)
            wire = ClientWire(house)
            wire.send(head("POST /healthz HTTP/1.1", "Host: x", *head_lines))
            for _ in range(5):
                house.pass_time(1)
                wire.send(b"1")
            self.assertTrue(wire.transport.aborted)


class RoomTests(EdgeCase):
    """Room for connections that are no WebSockets, or not yet."""

    def guest(self, house: InMemoryRelay) -> tuple[ClientWire, FakeTCPConnection]:
        """A connection that is counted."""
        pipe = FakeTCPConnection(house.clock)
        return ClientWire(house, pipe), pipe

    def test_oldest_goes(self) -> None:
        """Where there is no more room the oldest has to go, and who comes is served."""
        house = self.house(max_connections=10)
        guests = [self.guest(house) for _ in range(house.door.http_connections.max_connections + 3)]
        house.turn()
        self.assertEqual(
            [pipe.connected for _, pipe in guests], [0] * 3 + [1] * house.door.http_connections.max_connections
        )
        wire, _ = guests[-1]
        wire.send(upgrade())
        self.assertIn(_ACCEPT, wire.read())
        self.assertEqual(house.node.counters.requests_rejected[503], 3)

    def test_sockets_do_not_count(self) -> None:
        """Who has become a WebSocket takes no room, and is never the one that has to go."""
        house = self.house()
        wire, pipe = self.guest(house)
        wire.send(upgrade())
        self.assertEqual(len(house.door.http_connections), 0)
        for _ in range(house.door.http_connections.max_connections + 1):
            self.guest(house)
        self.assertTrue(pipe.connected)

    def test_promoted_stream_is_neither_counted_nor_evicted(self) -> None:
        """A response that streams stays as long as a WebSocket does."""
        house = self.house()
        _, pipe = self.guest(house)
        house.door.promote(pipe)
        house.door.promote(pipe)
        self.assertEqual(len(house.door.http_connections), 0)
        for _ in range(house.door.http_connections.max_connections + 1):
            self.guest(house)
        self.assertTrue(pipe.connected)

    def test_who_left_does_not_count(self) -> None:
        """Who has gone by itself takes no room."""
        house = self.house()
        for _ in range(house.door.http_connections.max_connections * 2):
            _, pipe = self.guest(house)
            pipe.hang_up()
        self.assertEqual((len(house.door.http_connections), house.node.counters.requests_rejected[503]), (0, 0))


class RealConnectionTests(RealEdgeCase):
    """What only a kernel can show."""

    async def test_room(self) -> None:
        """Connections that say nothing are bounded: the oldest goes; and they are released when they go."""
        house = await self.open(max_connections=1)
        write_eagerly(self._port)
        room = house.door.http_connections.max_connections
        self.assertEqual(room, MIN_HTTP_CONNECTIONS)
        oldest, *callers = [await self.connect() for _ in range(room)]
        callers.append(await self.connect())
        await oldest.ended
        self.assertEqual((len(house.door.http_connections), house.node.counters.requests_rejected[503]), (room, 1))
        for caller in callers:
            caller.transport.abortConnection()
        while house.door.http_connections:
            await self.later()

    async def test_tcp(self) -> None:
        """A real client is let in, pinged into answering, sent a message and closed cleanly."""
        house = await self.open(publish=("room",))
        client = await self.connect()
        protocol = ClientProtocol(parse_uri("ws://relay.example/ws/room"))
        await self.conversation(house, client, protocol)

    async def test_tls(self) -> None:
        """The same over TLS: the door hands over what is inside the wrapper."""
        house = await self.open(tls=True, publish=("room",))
        client = await self.connect()
        protocol = ClientProtocol(parse_uri("wss://relay.example/ws/room"))
        await self.conversation(house, client, protocol)

    async def conversation(self, house: InMemoryRelay, client: Caller, protocol: ClientProtocol) -> None:
        """Handshake, echo through the broker, and the client's close."""
        protocol.send_request(protocol.connect())
        protocol_out = protocol.data_to_send()
        client.write(b"".join(protocol_out))
        protocol.receive_data(await client.until(b"\r\n\r\n"))
        self.assertIsNone(protocol.handshake_exc)
        protocol.events_received()
        protocol.send_text(b"hello")
        client.write(b"".join(protocol.data_to_send()))
        protocol.receive_data(await client.until(b"hello"))
        (echo,) = protocol.events_received()
        assert isinstance(echo, Frame)
        self.assertEqual(echo.data, b"hello")
        protocol.send_close(1000, "bye")
        client.write(b"".join(protocol.data_to_send()))
        await client.until(b"\x88\x02\x03\xe8")
        await client.ended
        await self.empty(house)

    async def test_tls_refusal(self) -> None:
        """Over TLS, where a connection cannot be half-closed, a refused client gets its answer and the end."""
        await self.open(tls=True)
        client = await self.connect()
        client.write(upgrade("/nowhere"))
        await client.ended
        (answer,) = answers(client.data)
        self.assertEqual(answer.status, 404)

    async def test_kernel_is_told(self) -> None:
        """The accepted socket of a WebSocket has no Nagle algorithm and the send buffer of the settings."""
        house = await self.open(send_buffer_bytes=32768)
        client = await self.connect()
        client.write(upgrade())
        await client.until(b"\r\n\r\n")
        (socket,) = house.sockets.sockets
        handle = socket.transport.getHandle()
        self.assertNotEqual(handle.getsockopt(IPPROTO_TCP, TCP_NODELAY), 0)
        self.assertIn(handle.getsockopt(SOL_SOCKET, SO_SNDBUF), (32768, 65536))

    async def test_unread_input(self) -> None:
        """A refused client that has sent more than the relay reads still sees why, instead of a reset."""
        for data, status in ((b"x" * 4_000_000, 431), (b"G T\x00\r\n\r\n" + b"x" * 4_000_000, 400)):
            await self.open()
            client = await self.connect()
            client.write(data)
            await client.ended
            (answer,) = answers(client.data)
            self.assertEqual(answer.status, status)

    async def test_never_reads(self) -> None:
        """A client that never reads costs a bounded outbox, is closed with 4008, and is gone in the close timeout."""
        house = await self.open(max_outbox_bytes=65536, close_timeout_seconds=1)
        client = await self.connect()
        client.write(upgrade())
        await client.until(b"\r\n\r\n")
        client.transport.pauseProducing()
        (socket,) = house.sockets.sockets
        batch = message_frame(b"x" * 16000)
        most = 0
        sent = 0
        while socket.state == socket.STATE_OPEN:
            sent += 1
            self.assertLess(sent, 10000)
            outlet, transport = socket.subscriber, socket.transport
            outlet.send(batch)
            inside = len(transport.dataBuffer) + transport._tempDataLen
            most = max(most, inside + (outlet._outbox.size if outlet._outbox else 0))
            await self.later()
        # One piece in the transport, and the outbox.
        self.assertLessEqual(most, 65536 + 65536)
        self.assertEqual(socket.localCloseCode, 4008)
        await self.empty(house)
        client.transport.resumeProducing()
        await client.ended
