"""Tests of wsrelay.transports.listening.router."""

from __future__ import annotations

import re
from socket import IPPROTO_TCP, SO_SNDBUF, SOL_SOCKET, TCP_NODELAY
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

from devtools.harness.http import Answer, answers, client_frame, head, upgrade
from tests.support.edge import EdgeCase, RealEdgeCase, TCPClient
from tests.support.fake_socket import FakeTCPConnection
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from wsrelay.core.wire.frames import message_frame
from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.lingering_close import REJECTED_CLIENT_LINGER_SECONDS
from wsrelay.transports.listening.eager_tcp import write_eagerly
from wsrelay.transports.listening.http_connections import MIN_HTTP_CONNECTIONS
from wsrelay.transports.streams.connection import StreamConnection
from wsrelay.transports.websocket.protocol import WebSocketConnection
from wsrelay.web.one_request import RESPONSE_LINGER_SECONDS

_HEALTH = head("GET /healthz HTTP/1.1", "Host: x")
_ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"


class RouterCase(EdgeCase):
    """Connections that have not been handed over yet."""

    def response(self, wire: ClientWire) -> Answer:
        """Return the response to a rejected client, checked for the common fields and the end of its connection."""
        (answer,) = answers(wire.read())
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertNotIn("server", answer.headers)
        self.assertTrue(wire.transport.half_closed)
        self.assertFalse(wire.closed)
        return answer

    def connect(self, data: bytes, relay: InMemoryRelay | None = None) -> tuple[InMemoryRelay, ClientWire]:
        """Return a relay, and a new connection that has sent these bytes."""
        relay = relay or self.relay()
        wire = ClientWire(relay)
        wire.transport.ends_with_relay = False
        wire.send(data)
        return relay, wire


class RouterTests(RouterCase):
    """Request heads, and the protocols that connections are handed over to."""

    def test_upgrade_gets_a_websocket_and_no_http_channel(self) -> None:
        relay, wire = self.connect(upgrade())
        self.assertIn(_ACCEPT, wire.read())
        self.assertIsInstance(wire.transport.protocol, WebSocketConnection)
        self.assertEqual(list(relay.connections.open_connections()), [wire.connection])

    def test_other_request_gets_http_and_no_websocket(self) -> None:
        relay, wire = self.connect(_HEALTH)
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.body), (200, b"alive; largest reactor lag in the last minute: 0 ms\n"))
        self.assertEqual(relay.websockets.countConnections, 0)

    def test_get_at_the_path_of_streams_gets_a_stream_and_no_http_channel(self) -> None:
        relay, wire = self.connect(head("GET /sse/room HTTP/1.1", "Host: x"))
        self.assertTrue(wire.read().startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"))
        self.assertIsInstance(wire.transport.protocol, StreamConnection)
        self.assertEqual((len(relay.connections), len(relay.router.http_connections)), (1, 0))
        self.assertEqual(relay.websockets.admission.count, 1)

    def test_frames_behind_the_handshake_are_delivered(self) -> None:
        relay = self.relay(publish=("room",))
        _, wire = self.connect(upgrade() + client_frame(0x81, b"first") + client_frame(0x81, b"second"), relay)
        relay.turn()
        self.assertTrue(wire.read().endswith(b"\r\n\r\n\x81\x05first\x81\x06second"))

    def test_empty_lines_before_the_request_line_are_ignored(self) -> None:
        _, wire = self.connect(b"\r\n\r\n\r\n" + upgrade())
        self.assertIn(_ACCEPT, wire.read())

    def test_bare_line_feed_before_the_request_line_is_rejected_with_400(self) -> None:
        _, wire = self.connect(b"\r\n\n" + upgrade())
        self.assertEqual(self.response(wire).status, 400)

    @given(
        st.sampled_from(
            [
                upgrade(),
                b"\r\n" + upgrade(),
                b"\r\n\r\n\r\n" + upgrade() + client_frame(0x89, b"ping"),
                b"\r\n\n" + upgrade(),
                upgrade("/nowhere"),
                head("GET /sse/room?channel=b HTTP/1.1", "Host: x", "Last-Event-ID: 5") + b"more",
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
    def test_outcome_does_not_depend_on_how_the_head_is_split(
        self, data: bytes, cuts: list[int], one_by_one: bool
    ) -> None:
        relay = InMemoryRelay(max_head_bytes=1024)
        whole, wire = ClientWire(relay), ClientWire(relay)
        whole.send(data)
        places = range(len(data)) if one_by_one else [0, *sorted(set(cuts))]
        for start, end in zip(places, [*places[1:], len(data)], strict=True):
            wire.send(data[start:end])
        differing = re.compile(rb"Date: [^\r]*\r\n|retry: [0-9]+")
        self.assertEqual(differing.sub(b"", wire.read()), differing.sub(b"", whole.read()))
        self.assertEqual(wire.closed, whole.closed)
        self.assertEqual(type(wire.transport.protocol), type(whole.transport.protocol))

    def test_head_of_max_head_bytes_is_accepted_and_a_longer_one_rejected_with_431(self) -> None:
        relay = self.relay(max_head_bytes=1024)
        room = 1024 - len(upgrade("/ws/room", "X: "))
        _, wire = self.connect(upgrade("/ws/room", "X: " + "x" * room), relay)
        self.assertIn(_ACCEPT, wire.read())
        _, wire = self.connect(upgrade("/ws/room", "X: " + "x" * (room + 1)), relay)
        answer = self.response(wire)
        self.assertEqual((answer.status, answer.body), (431, b"The request head is longer than max_head_bytes.\n"))

    def test_endless_head_is_not_buffered_beyond_the_limit_nor_after_its_rejection(self) -> None:
        relay = self.relay(max_head_bytes=1024)
        wire = ClientWire(relay)
        wire.transport.ends_with_relay = False
        wire.send(b"x" * 1023)
        self.assertEqual(wire.read(), b"")
        wire.send(b"x")
        self.assertEqual(self.response(wire).status, 431)
        for _ in range(100):
            wire.send(b"x" * 65536)
        self.assertEqual(wire.transport.protocol.buffered_bytes, 0)
        self.assertEqual(wire.read(), b"")

    def test_incomplete_head_is_rejected_with_408_after_the_timeout_and_not_before(self) -> None:
        relay, wire = self.connect(b"GET / HT", self.relay(handshake_timeout_seconds=3))
        relay.pass_time(2.75)
        self.assertEqual(wire.read(), b"")
        relay.pass_time(0.75)
        self.assertEqual(self.response(wire).status, 408)

    def test_connection_without_a_request_is_aborted_after_the_timeout(self) -> None:
        relay, wire = self.connect(b"\r\n", self.relay(handshake_timeout_seconds=3))
        relay.pass_time(2.75)
        self.assertFalse(wire.closed)
        relay.pass_time(0.75)
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(wire.read(), b"")

    def test_rejected_client_is_reset_after_the_linger_time(self) -> None:
        relay, wire = self.connect(upgrade("/nowhere"))
        self.response(wire)
        relay.pass_time(REJECTED_CLIENT_LINGER_SECONDS - 0.25)
        self.assertFalse(wire.closed)
        relay.pass_time(0.75)
        self.assertTrue(wire.transport.aborted)

    def test_rejected_client_that_disconnects_leaves_no_timer(self) -> None:
        relay, wire = self.connect(upgrade("/nowhere"))
        self.response(wire)
        wire.hang_up()
        self.assertFalse(any(relay.node.timers._buckets.values()))

    def test_client_that_disconnects_early_leaves_no_timer(self) -> None:
        relay, wire = self.connect(b"GET")
        wire.hang_up()
        self.assertFalse(any(relay.node.timers._buckets.values()))

    def test_rejected_client_that_ends_its_direction_is_closed_in_order(self) -> None:
        _, wire = self.connect(upgrade("/nowhere"))
        self.response(wire)
        wire.half_close()
        self.assertTrue(wire.closed)
        self.assertFalse(wire.transport.aborted)

    def test_client_that_ends_its_direction_inside_its_head_is_closed(self) -> None:
        _, wire = self.connect(b"GET / HT")
        wire.half_close()
        self.assertTrue(wire.closed)
        self.assertFalse(wire.transport.aborted)

    @given(st.binary(max_size=120), st.sampled_from(["line", "field", "value", "frames", "first"]))
    def test_any_bytes_get_a_response_a_close_or_a_bounded_wait(self, noise: bytes, place: str) -> None:
        data = {
            "line": b"GET " + noise + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            "field": upgrade("/ws/room", noise),
            "value": upgrade("/ws/room", b"Sec-WebSocket-Protocol: " + noise, b"Sec-WebSocket-Version: " + noise[:3]),
            "frames": upgrade() + noise,
            "first": noise + upgrade(),
        }[place]
        relay = InMemoryRelay(handshake_timeout_seconds=1, close_timeout_seconds=1)
        wire = ClientWire(relay)
        wire.send(data)
        output = wire.read()
        relay.pass_time(2)
        output += wire.read()
        self.assertTrue(output.startswith(b"HTTP/1.1 ") or wire.closed)
        self.assertEqual(relay.leftovers(), [])


class ReadAtOnceTests(EdgeCase):
    """Connections whose first read follows as soon as they are accepted."""

    def read(self, data: bytes) -> tuple[InMemoryRelay, ClientWire]:
        """Return a relay, and a connection that has been read and told to wait if it still talks to the router."""
        relay = self.relay()
        transport: Any = MemoryTransport()
        transport.is_read_at_once, transport.ends_with_relay = True, False
        wire = ClientWire(relay, transport)
        router = transport.protocol
        self.assertEqual(len(relay.router.http_connections), 0)
        wire.send(data)
        if transport.protocol is router:
            router.wait()
        return relay, wire

    def test_handshake_that_is_complete_waits_for_nothing(self) -> None:
        relay, wire = self.read(upgrade())
        self.assertIn(_ACCEPT, wire.read())
        self.assertEqual((len(relay.router.http_connections), len(relay.connections)), (0, 1))

    def test_incomplete_head_has_a_slot_and_a_deadline(self) -> None:
        relay, wire = self.read(upgrade()[:-1])
        self.assertEqual(len(relay.router.http_connections), 1)
        relay.pass_time(relay.settings.handshake_timeout_seconds + 1)
        self.assertIn(b" 408 ", wire.read())

    def test_rejected_client_has_a_slot_until_it_leaves(self) -> None:
        relay, wire = self.read(b"nonsense\r\n\r\n")
        self.assertIn(b" 400 ", wire.read())
        self.assertEqual(len(relay.router.http_connections), 1)
        wire.hang_up()
        self.assertEqual(len(relay.router.http_connections), 0)

    def test_http_request_has_a_slot_until_it_is_answered(self) -> None:
        relay, wire = self.read(b"GET /api/none HTTP/1.1\r\nHost: x\r\n")
        wire.send(b"\r\n")
        self.assertEqual(len(relay.router.http_connections), 1)
        wire.hang_up()
        relay, wire = self.read(_HEALTH)
        self.assertEqual(len(relay.router.http_connections), 1)
        wire.hang_up()
        self.assertEqual(len(relay.router.http_connections), 0)

    def test_connection_that_the_first_read_has_ended_has_no_slot(self) -> None:
        relay = self.relay()
        transport: Any = MemoryTransport()
        transport.is_read_at_once = True
        wire = ClientWire(relay, transport)
        router = transport.protocol
        wire.hang_up()
        router.wait()
        self.assertEqual(len(relay.router.http_connections), 0)


class OneRequestTests(EdgeCase):
    """HTTP connections, which serve one request."""

    def test_bytes_behind_a_request_are_ignored(self) -> None:
        for behind in (_HEALTH, upgrade(), b"nonsense", b"\r\n\r\n"):
            for cut in (True, False):
                relay = self.relay()
                wire = ClientWire(relay)
                wire.send(_HEALTH + (b"" if cut else behind))
                if cut:
                    wire.send(behind)
                (answer,) = answers(wire.read())
                self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
                self.assertTrue(wire.closed)
                self.assertEqual(relay.broker._desired, set())

    def test_client_that_does_not_read_its_response_is_reset(self) -> None:
        relay = self.relay()
        wire = ClientWire(relay)
        wire.send(_HEALTH)
        self.assertFalse(wire.closed)
        relay.pass_time(RESPONSE_LINGER_SECONDS)
        self.assertTrue(wire.transport.aborted)

    def test_incomplete_body_is_rejected_with_408_after_the_timeout_however_slowly_it_arrives(self) -> None:
        for head_lines in (("Content-Length: 100",), ("Transfer-Encoding: chunked",)):
            relay = self.relay(handshake_timeout_seconds=5)
            wire = ClientWire(relay)
            wire.send(head("POST /healthz HTTP/1.1", "Host: x", *head_lines))
            for _ in range(5):
                relay.pass_time(1)
                wire.send(b"1")
            (answer,) = answers(wire.read())
            self.assertEqual((answer.status, answer.body), (408, b"The request body did not arrive in time.\n"))
            self.assertTrue(wire.closed)


class EvictionTests(EdgeCase):
    """The bounded set of HTTP connections and unfinished handshakes."""

    def connect(self, relay: InMemoryRelay) -> tuple[ClientWire, FakeTCPConnection]:
        """Return a new connection, and its transport."""
        pipe = FakeTCPConnection(relay.clock)
        return ClientWire(relay, pipe), pipe

    def test_oldest_connection_is_aborted_and_the_new_one_served(self) -> None:
        relay = self.relay(max_connections=10)
        connections = [self.connect(relay) for _ in range(relay.router.http_connections.max_connections + 3)]
        relay.turn()
        self.assertEqual(
            [pipe.connected for _, pipe in connections], [0] * 3 + [1] * relay.router.http_connections.max_connections
        )
        wire, _ = connections[-1]
        wire.send(upgrade())
        self.assertIn(_ACCEPT, wire.read())
        self.assertEqual(relay.node.counters.requests_rejected[503], 3)

    def test_websocket_is_neither_counted_nor_evicted(self) -> None:
        relay = self.relay()
        wire, pipe = self.connect(relay)
        wire.send(upgrade())
        self.assertEqual(len(relay.router.http_connections), 0)
        for _ in range(relay.router.http_connections.max_connections + 1):
            self.connect(relay)
        self.assertTrue(pipe.connected)

    def test_promoted_stream_is_neither_counted_nor_evicted(self) -> None:
        """A response that streams stays as long as a WebSocket does."""
        relay = self.relay()
        _, pipe = self.connect(relay)
        relay.router.promote(pipe)
        relay.router.promote(pipe)
        self.assertEqual(len(relay.router.http_connections), 0)
        for _ in range(relay.router.http_connections.max_connections + 1):
            self.connect(relay)
        self.assertTrue(pipe.connected)

    def test_lost_connection_is_not_counted(self) -> None:
        relay = self.relay()
        for _ in range(relay.router.http_connections.max_connections * 2):
            _, pipe = self.connect(relay)
            pipe.hang_up()
        self.assertEqual((len(relay.router.http_connections), relay.node.counters.requests_rejected[503]), (0, 0))


class RealConnectionTests(RealEdgeCase):
    """Real sockets."""

    async def test_silent_connections_are_bounded_and_released(self) -> None:
        relay = await self.open(max_connections=1)
        write_eagerly(self._port)
        slots = relay.router.http_connections.max_connections
        self.assertEqual(slots, MIN_HTTP_CONNECTIONS)
        oldest, *callers = [await self.connect() for _ in range(slots)]
        callers.append(await self.connect())
        await oldest.ended
        self.assertEqual((len(relay.router.http_connections), relay.node.counters.requests_rejected[503]), (slots, 1))
        for caller in callers:
            caller.transport.abortConnection()
        while relay.router.http_connections:
            await self.next_turn()

    async def test_websocket_session_over_tcp(self) -> None:
        relay = await self.open(publish=("room",))
        client = await self.connect()
        protocol = ClientProtocol(parse_uri("ws://relay.example/ws/room"))
        await self.conversation(relay, client, protocol)

    async def test_websocket_session_over_tls(self) -> None:
        relay = await self.open(tls=True, publish=("room",))
        client = await self.connect()
        protocol = ClientProtocol(parse_uri("wss://relay.example/ws/room"))
        await self.conversation(relay, client, protocol)

    async def conversation(self, relay: InMemoryRelay, client: TCPClient, protocol: ClientProtocol) -> None:
        """Complete a handshake, get an echo through the broker, and close."""
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
        await client.until(b"\x88\x05\x03\xe8bye")
        await client.ended
        await self.wait_until_empty(relay)

    async def test_rejected_client_over_tls_gets_its_response_and_the_end(self) -> None:
        """A connection under TLS cannot be half-closed."""
        await self.open(tls=True)
        client = await self.connect()
        client.write(upgrade("/nowhere"))
        await client.ended
        (answer,) = answers(client.data)
        self.assertEqual(answer.status, 404)

    async def test_accepted_socket_has_no_nagle_and_the_configured_send_buffer(self) -> None:
        relay = await self.open(send_buffer_bytes=32768)
        client = await self.connect()
        client.write(upgrade())
        await client.until(b"\r\n\r\n")
        (socket,) = relay.open_websockets
        handle = socket.transport.getHandle()
        self.assertNotEqual(handle.getsockopt(IPPROTO_TCP, TCP_NODELAY), 0)
        self.assertIn(handle.getsockopt(SOL_SOCKET, SO_SNDBUF), (32768, 65536))

    async def test_rejected_client_that_sent_more_than_is_read_still_gets_its_response(self) -> None:
        for data, status in ((b"x" * 4_000_000, 431), (b"G T\x00\r\n\r\n" + b"x" * 4_000_000, 400)):
            await self.open()
            client = await self.connect()
            client.write(data)
            await client.ended
            (answer,) = answers(client.data)
            self.assertEqual(answer.status, status)

    async def test_close_code_reaches_a_client_that_sends_before_it_reads(self) -> None:
        """The kernel would discard the close frame with the connection if that were reset."""
        small, too_big = client_frame(0x81, b"x") * 5000, client_frame(0x82, b"x" * 4_000_000)
        for tls in (False, True):
            for flood, publish, code in ((small, ("room",), 1008), (small, (), 4503), (too_big, ("room",), 1009)):
                relay = await self.open(tls=tls, publish=publish, channels=("room",))
                client = await self.connect()
                client.write(upgrade())
                await client.until(b"\r\n\r\n")
                client.transport.pauseProducing()
                client.write(flood)
                await self.wait_until_closing(relay)
                client.transport.resumeProducing()
                await client.ended
                self.assertIn(b"\x88", client.data[-125:])
                self.assertIn(code.to_bytes(2), client.data[-125:])
                self.assertFalse(client.was_reset, (tls, code))

    async def wait_until_closing(self, relay: InMemoryRelay) -> None:
        """Wait until the one WebSocket of a relay is no longer open."""
        (socket,) = relay.open_websockets
        while socket.state == socket.STATE_OPEN:
            await self.next_turn()

    async def test_client_that_never_reads_is_closed_with_4008_within_the_close_timeout(self) -> None:
        """Its outbox is bounded meanwhile."""
        relay = await self.open(max_outbox_bytes=65536, close_timeout_seconds=1)
        client = await self.connect()
        client.write(upgrade())
        await client.until(b"\r\n\r\n")
        client.transport.pauseProducing()
        (socket,) = relay.open_websockets
        batch = message_frame(b"x" * 16000)
        most = 0
        sent = 0
        while socket.state == socket.STATE_OPEN:
            sent += 1
            self.assertLess(sent, 10000)
            writer, transport = socket.writer, socket.transport
            writer.send(batch)
            inside = len(transport.dataBuffer) + transport._tempDataLen
            most = max(most, inside + (writer._outbox.size if writer._outbox else 0))
            await self.next_turn()
        # One piece in the transport, and the outbox.
        self.assertLessEqual(most, 65536 + 65536)
        self.assertEqual(socket.localCloseCode, 4008)
        await self.wait_until_empty(relay)
        client.transport.resumeProducing()
        await client.ended
