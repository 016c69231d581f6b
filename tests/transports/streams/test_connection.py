"""Tests of `wsrelay.transports.streams`: streams of a relay without a port, read by a parser of the tests' own."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

from tests.support.edge import EdgeCase
from tests.support.event_source import Event, StreamClient
from tests.support.in_memory_relay import ClientWire
from tests.support.publications import At
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.flow.jitter import PING_JITTER, REJECTED_RETRY_SECONDS, RETRY_SECONDS
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Namespace
from wsrelay.core.messaging.publications import Gap, GapReason, Join, Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import SSE
from wsrelay.engine.client import Client
from wsrelay.testing.brokers import FakeBroker
from wsrelay.transports.lingering_close import MAX_DISCARDED_BYTES, REJECTED_CLIENT_LINGER_SECONDS
from wsrelay.transports.streams.connection import MAX_EXTRA_BYTES, StreamConnection
from wsrelay.transports.streams.position_writer import PositionWriter
from wsrelay.transports.writer import ConnectionWriter

STATUS = "?errors=status"


def stream_of(client: StreamClient) -> StreamConnection:
    """Return the relay's end of a client's connection."""
    connection = client.wire.transport.protocol
    assert isinstance(connection, StreamConnection), connection
    return connection


class StreamCase(EdgeCase):
    """Assertions about the ends of streams."""

    def assert_ended(self, client: StreamClient, *kinds: str) -> None:
        """Assert that a stream ends in order, behind events of these types and with a delay."""
        begun = client.parser.retry
        self.assertEqual([event.type for event in client.read()], list(kinds))
        self.assert_delay(client, RETRY_SECONDS)
        self.assertNotEqual(client.parser.retry, begun)
        self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, False))

    def assert_delay(self, client: StreamClient, bounds: tuple[float, float]) -> None:
        """Assert that a client was told to wait for a time within bounds."""
        assert client.parser.retry is not None
        self.assertTrue(bounds[0] <= client.parser.retry / 1000 <= bounds[1])

    def assert_turned_away(self, client: StreamClient, reason: str) -> None:
        """Assert that a client got no more than a delay and a reason."""
        self.assertEqual((client.status, client.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual((client.parser.events, client.parser.comments), ([], [f" {reason}"]))
        self.assert_delay(client, REJECTED_RETRY_SECONDS)


class ConversationTests(StreamCase):
    """From the request to the events."""

    def test_stream_begins_with_a_delay_and_the_confirmation_and_carries_what_is_published(self) -> None:
        relay = self.relay()
        client = StreamClient(relay)
        self.assertEqual((client.status, client.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(client.parser.events, [Event('{"channel":"room"}', "subscribed")])
        self.assert_delay(client, RETRY_SECONDS)
        relay.publish(b"one\r\ntwo", b"three")
        self.assertEqual(client.read(), [Event("one\ntwo"), Event("three")])
        self.assertEqual((len(relay.connections), relay.node.counters.connections_opened), (1, 1))

    def test_head_comes_before_the_broker_has_confirmed_and_the_confirmation_after(self) -> None:
        relay = self.relay(FakeBroker())
        client = StreamClient(relay)
        self.assertEqual((client.status, client.parser.events), (200, []))
        relay.node.subscribed("room")
        self.assertEqual(client.events("subscribed"), ['{"channel":"room"}'])

    def test_streams_of_one_channel_are_sent_the_same_bytes_by_their_writers(self) -> None:
        """The hub reaches the kernel without anything in between, as for a WebSocket."""
        relay = self.relay()
        clients = [StreamClient(relay) for _ in range(3)]
        self.assertEqual({type(stream_of(each).writer) for each in clients}, {ConnectionWriter})
        sent: list[bytes] = []

        def write_now(data: bytes) -> int:
            sent.append(data)
            return len(data)

        for each in clients:
            writer: Any = stream_of(each).writer
            writer.write_now = write_now
        relay.publish(b"x")
        self.assertEqual(len({id(data) for data in sent}), 1)
        self.assertEqual(len(sent), 3)

    def test_stream_shares_its_channel_with_websockets(self) -> None:
        relay = self.relay(publish=("room",))
        socket, stream = WebSocketClient(relay).connect(), StreamClient(relay)
        socket.protocol.send_text(b"hello")
        socket.flush()
        relay.turn()
        self.assertEqual((stream.events(), socket.messages()), (["hello"], [b"hello"]))

    def test_events_of_several_channels_name_theirs(self) -> None:
        relay = self.relay()
        client = StreamClient(relay, "/sse/a?channel=b&channel=a")
        self.assertIsInstance(stream_of(client).writer, PositionWriter)
        self.assertEqual([event.type for event in client.parser.events], ["subscribed", "subscribed"])
        relay.publish(b"1", channel="b")
        relay.publish(b"2", channel="a")
        self.assertEqual(client.read(), [Event("1", "message:b"), Event("2", "message:a")])

    def test_channel_named_twice_is_one(self) -> None:
        relay = self.relay()
        client = StreamClient(relay, "/sse/a?channel=a")
        relay.publish(b"1", channel="a")
        self.assertEqual(client.events(), ["1"])

    def test_gaps_and_joins_are_events(self) -> None:
        relay = self.relay()
        client = StreamClient(relay, "/sse/a")
        several = StreamClient(relay, "/sse/a?channel=b")
        several.read()
        relay.node._hub.broadcast([Gap("a", GapReason.TRIMMED), Join("a", "5f0c", "42")])
        expected = [
            Event('{"channel":"a","reason":"trimmed"}', "gap"),
            Event('{"channel":"a","client":"5f0c","user":"42"}', "join"),
        ]
        self.assertEqual((client.read(), several.read()), (expected, expected))

    def test_outage_of_the_broker_is_a_gap_and_no_end(self) -> None:
        relay = self.relay(FakeBroker())
        client = StreamClient(relay)
        relay.node.subscribed("room")
        relay.node.disconnected(["room"])
        relay.node.subscribed("room")
        relay.pass_time(5)
        self.assertEqual(client.events("gap"), ['{"channel":"room","reason":"connection_lost"}'])
        self.assertFalse(client.wire.closed)

    def test_client_of_a_plain_channel_that_was_away_is_told_of_a_gap(self) -> None:
        client = StreamClient(self.relay(), last_event_id="-")
        self.assertEqual(client.parser.events[1:], [Event('{"channel":"room","reason":"no_history"}', "gap", "-")])

    def test_what_is_no_text_is_left_out_and_counted_once_for_all(self) -> None:
        relay = self.relay()
        clients = [StreamClient(relay) for _ in range(200)]
        for each in clients:
            each.read()
        relay.publish(b"\xff")
        relay.publish(b"text")
        self.assertEqual([each.events() for each in clients], [["text"]] * 200)
        self.assertEqual(relay.node.counters.publications_not_text, 1)

    def test_payloads_are_base64_where_frames_are_binary(self) -> None:
        relay = self.relay(frames=FrameType.BINARY)
        one, several = StreamClient(relay), StreamClient(relay, "/sse/room?channel=b")
        relay.publish(b"\x08\x01\xff")
        self.assertEqual((one.events(), several.events("message:room")), (["CAH/"], ["CAH/"]))
        self.assertEqual(relay.node.counters.publications_not_text, 0)

    def test_connection_id_is_told_to_clients_with_a_credential_only(self) -> None:
        self.assertNotIn("x-connection-id", StreamClient(self.relay()).headers)


class HeartbeatTests(StreamCase):
    """Signs of life."""

    def test_quiet_stream_gets_comments_below_the_interval(self) -> None:
        relay = self.relay(ping_interval_seconds=10)
        client = StreamClient(relay)
        self.assertEqual(stream_of(client).ping_seconds, 10)
        client.read()
        relay.pass_time(10 * (1 - PING_JITTER) - 0.5)
        client.read()
        self.assertEqual(client.parser.comments, [])
        relay.pass_time(100)
        client.read()
        self.assertGreaterEqual(len(client.parser.comments), 9)
        self.assertEqual(set(client.parser.comments), {""})

    def test_client_that_is_behind_gets_none(self) -> None:
        relay = self.relay(ping_interval_seconds=2, max_outbox_seconds=60)
        client = StreamClient(relay)
        for _ in range(4):
            relay.publish(b"x" * 40_000)
        waiting = len(client.wire.transport.value())
        relay.pass_time(20)
        self.assertEqual(len(client.wire.transport.value()), waiting)
        while client.read():
            pass
        self.assertEqual([len(event.data) for event in client.parser.events[1:]], [40_000] * 4)

    def test_stream_that_has_ended_gets_none(self) -> None:
        relay = self.relay(ping_interval_seconds=1, close_timeout_seconds=60)
        client = StreamClient(relay)
        client.wire.transport.ends_with_relay = False
        stream_of(client).close(Disconnect.RESTART)
        client.read()
        relay.pass_time(10)
        client.read()
        self.assertEqual(client.parser.comments, [])


class RejectionTests(StreamCase):
    """Requests that are not answered with a stream of events."""

    def test_what_is_final_has_its_status(self) -> None:
        relay = self.relay(channels=("room",))
        cases = {"/sse/": 400, "/sse/room?auth=message": 400, "/sse/other": 404, "/sse/room?channel=other": 404}
        for target, status in cases.items():
            client = StreamClient(relay, target)
            self.assertEqual((client.status, client.headers["content-type"][:10]), (status, "text/plain"), target)
            self.assertEqual(client.headers["vary"], "Origin")
        self.assertEqual(dict(relay.node.counters.requests_rejected), {400: 2, 404: 2})

    def test_position_that_cannot_be_read_is_a_gap_and_no_error(self) -> None:
        relay = self.relay()
        for text in ("x", "5-0.00000000,6-0.00000000", "\x80\xff", "," * 9000, "?"):
            client = StreamClient(relay, last_event_id=text)
            self.assertEqual([event.type for event in client.parser.events], ["subscribed", "gap"], text)

    def test_failed_subscription_ends_the_stream_with_a_delay(self) -> None:
        relay = self.relay(FakeBroker())
        client = StreamClient(relay)
        relay.node.subscribe_failed("room")
        self.assert_ended(client)
        relay.pass_time(1)
        self.assertEqual(dict(relay.node.counters.connections_closed), {4011: 1})

    def test_channel_that_the_broker_rejects_later_ends_its_streams_with_a_delay(self) -> None:
        for target in ("/sse/room", "/sse/room?channel=b"):
            relay = self.relay(FakeBroker())
            client = StreamClient(relay, target)
            relay.node.subscribed("room")
            relay.node.subscribed("b")
            client.read()
            relay.node.subscribe_failed("room")
            relay.pass_time(2)
            self.assert_ended(client)
            self.assertEqual(dict(relay.node.counters.connections_closed), {4010: 1})

    def test_stream_that_is_not_confirmed_in_time_ends_with_a_delay(self) -> None:
        relay = self.relay(FakeBroker())
        client = StreamClient(relay, "/sse/a?channel=b")
        relay.node.subscribed("a")
        relay.pass_time(6)
        self.assert_ended(client, "subscribed")

    def test_limits_of_connections_turn_an_event_source_away_for_a_while(self) -> None:
        full = "This process has reached its limit of connections. Reconnect: another process may have room."
        cases: tuple[tuple[dict[str, Any], int, str], ...] = (
            ({"max_connections": 1}, 503, full),
            ({"max_connections_per_address": 1}, 429, "Too many connections from this address."),
        )
        for settings, status, text in cases:
            relay = self.relay(**settings)
            StreamClient(relay)
            self.assert_turned_away(StreamClient(relay), text)
            with_status = StreamClient(relay, "/sse/room" + STATUS)
            self.assertEqual((with_status.status, with_status.headers["retry-after"]), (status, "5"))
            self.assertEqual(relay.node.counters.requests_rejected[status], 2)

    def test_drain_turns_an_event_source_away_for_a_while(self) -> None:
        relay = self.relay()
        relay.connections.start_draining()
        self.assert_turned_away(StreamClient(relay), "The relay is stopping. Reconnect.")
        self.assertEqual(StreamClient(relay, "/sse/room" + STATUS).status, 503)

    def test_client_that_does_not_accept_event_streams_gets_the_status(self) -> None:
        relay = self.relay(max_connections=1)
        StreamClient(relay)
        for accept in (b"", b"Accept: */*\r\n"):
            wire = ClientWire(relay)
            wire.send(b"GET /sse/room HTTP/1.1\r\nHost: x\r\n" + accept + b"\r\n")
            self.assertTrue(wire.read().startswith(b"HTTP/1.1 503 "))

    def test_rejected_client_gives_up_its_place_before_it_leaves(self) -> None:
        relay = self.relay(max_connections=1, channels=("room",))
        wire = ClientWire(relay)
        wire.transport.ends_with_relay = False
        wire.send(b"GET /sse/other HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(wire.read().startswith(b"HTTP/1.1 404 "))
        self.assertEqual((relay.websockets.admission.count, len(relay.router.http_connections)), (0, 1))
        wire.send(b"more" * 10_000)
        relay.pass_time(REJECTED_CLIENT_LINGER_SECONDS + 0.5)
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(len(relay.router.http_connections), 0)

    def test_failure_of_the_relay_is_temporary_and_says_nothing(self) -> None:
        relay = self.relay()
        with patch.object(Client, "open", side_effect=RuntimeError("secret")):
            client = StreamClient(relay)
        self.assert_turned_away(client, "The relay failed; its log has the traceback.")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_failure_of_the_relay_behind_the_head_ends_the_stream_and_leaves_nothing(self) -> None:
        relay = self.relay()
        open_client = Client.open

        def fail(client: Client, handshake: Handshake) -> None:
            open_client(client, handshake)
            relay.turn()
            raise RuntimeError("secret")

        with patch.object(Client, "open", fail):
            client = StreamClient(relay)
        self.assertEqual((client.status, client.wire.closed, client.wire.transport.aborted), (200, True, False))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(relay.node.counters.connections_closed, {1011: 1})
        self.assertEqual((relay.leftovers(), relay.websockets.admission.count), ([], 0))

    def test_each_way_to_begin_is_answered_once(self) -> None:
        relay = self.relay()
        client = StreamClient(relay)
        client.read()
        connection = stream_of(client)
        connection.accept(None)
        connection.reject(ErrorResponse(400, "late"))
        self.assertTrue(connection.counts_as(5))
        self.assertIs(connection.dialect, SSE.dialect)
        self.assertEqual(client.wire.read(), b"")


class EndTests(StreamCase):
    """Ends of streams."""

    def test_close_ends_the_stream_behind_what_the_client_has_to_know(self) -> None:
        cases = {
            Disconnect.RESTART: (),
            Disconnect.RECONNECT: (),
            Disconnect.CREDENTIAL_EXPIRED: ("credential",),
            Disconnect.REVOKED: ("credential",),
            Disconnect.NOT_PERMITTED: ("close",),
        }
        for disconnect, kinds in cases.items():
            for target in ("/sse/room", "/sse/room?channel=b"):
                relay = self.relay()
                client = StreamClient(relay, target)
                stream_of(client).close(disconnect)
                stream_of(client).close(Disconnect.RESTART)
                self.assert_ended(client, *kinds)
                self.assertEqual(relay.connections.open_connections(), ())
                self.assertEqual(dict(relay.node.counters.connections_closed), {disconnect.code: 1})

    def test_nothing_is_sent_behind_the_end(self) -> None:
        relay = self.relay()
        client = StreamClient(relay)
        client.wire.transport.ends_with_relay = False
        stream_of(client).close(Disconnect.NOT_PERMITTED)
        relay.publish(b"late")
        self.assertEqual([event.type for event in client.read()], ["close"])

    def test_drain_closes_open_streams_and_rejects_those_that_wait(self) -> None:
        relay = self.relay(FakeBroker())
        client = StreamClient(relay)
        relay.node.subscribed("room")
        client.read()
        for connection in relay.connections.open_connections():
            connection.close(Disconnect.RESTART)
        self.assert_ended(client)

    def test_stream_whose_client_is_authenticated_during_the_drain_is_turned_away(self) -> None:
        relay = self.relay()
        with patch.object(Client, "open"):
            client = StreamClient(relay)
        connection = stream_of(client)
        self.assertEqual(relay.connections.handshaking_connections(), (connection,))
        relay.connections.start_draining()
        connection.accept(None)
        client.read()
        self.assert_turned_away(client, "The relay is stopping. Reconnect.")

    def test_request_that_waits_is_turned_away_by_the_drain(self) -> None:
        relay = self.relay()
        with patch.object(Client, "open"):
            client, other = StreamClient(relay), StreamClient(relay)
        stream_of(other).close(Disconnect.INTERNAL_ERROR)
        relay.connections.reject_handshakes()
        client.read()
        other.read()
        self.assert_turned_away(client, "The relay is stopping. Reconnect.")
        self.assert_turned_away(other, "The relay failed; its log has the traceback.")

    def test_client_that_ends_its_direction_is_closed_in_order(self) -> None:
        client = StreamClient(self.relay())
        client.wire.half_close()
        self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, False))

    def test_client_that_leaves_before_the_answer_gives_up_its_place_and_is_answered(self) -> None:
        relay = self.relay(max_connections=1)
        with patch.object(Client, "open"):
            client = StreamClient(relay)
        client.wire.half_close()
        self.assertEqual((relay.websockets.admission.count, len(relay.router.http_connections)), (0, 1))
        connection = stream_of(client)
        connection.accept("5f0c")
        client.read()
        self.assertEqual((client.status, client.headers["x-connection-id"]), (200, "5f0c"))
        self.assertTrue(client.wire.closed)
        self.assertEqual((relay.websockets.admission.count, len(relay.router.http_connections)), (0, 0))

    def test_client_that_leaves_before_it_is_rejected_gives_up_its_place_once(self) -> None:
        relay = self.relay(max_connections=2)
        with patch.object(Client, "open"):
            client = StreamClient(relay)
        StreamClient(relay)
        client.wire.half_close()
        stream_of(client).reject(ErrorResponse(404, "late"))
        client.read()
        self.assertEqual((client.status, client.wire.closed), (404, True))
        self.assertEqual((relay.websockets.admission.count, len(relay.router.http_connections)), (1, 0))

    def test_client_that_ends_its_direction_during_the_end_is_closed(self) -> None:
        client = StreamClient(self.relay())
        client.wire.transport.ends_with_relay = False
        stream_of(client).close(Disconnect.RESTART)
        client.read()
        self.assertFalse(client.wire.closed)
        client.wire.half_close()
        self.assertTrue(client.wire.closed)

    def test_abort_and_loss_release_everything(self) -> None:
        relay = self.relay()
        clients = [StreamClient(relay), StreamClient(relay, "/sse/a?channel=b")]
        stream_of(clients[0]).abort()
        connection = stream_of(clients[1])
        clients[1].wire.hang_up()
        connection.close(Disconnect.RESTART)
        connection.accept(None)
        connection.reject(ErrorResponse(400, "late"))
        self.assertEqual((len(relay.connections), relay.websockets.admission.count), (0, 0))


class HostileTests(StreamCase):
    """Clients that send what they should not, or do not read."""

    def test_client_that_goes_on_sending_is_ended_within_bounds(self) -> None:
        relay = self.relay()
        client = StreamClient(relay)
        client.wire.send(b"x" * MAX_EXTRA_BYTES)
        relay.publish(b"still there")
        self.assertEqual(client.events(), ["still there"])
        client.wire.send(b"x")
        self.assert_ended(client, "close")
        self.assertEqual(dict(relay.node.counters.connections_closed), {1008: 1})

    def test_bytes_behind_the_head_count_from_the_first_on(self) -> None:
        wire = ClientWire(self.relay())
        wire.send(b"GET /sse/room HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * (MAX_EXTRA_BYTES + 1))
        self.assertIn(b"event: close\n", wire.read())
        self.assertTrue(wire.closed)

    def test_client_that_sends_before_its_answer_is_rejected(self) -> None:
        relay = self.relay()
        with patch.object(Client, "open"):
            client = StreamClient(relay)
        client.wire.send(b"x" * (MAX_EXTRA_BYTES + 1))
        client.read()
        self.assertEqual(client.status, 400)

    def test_flood_without_end_is_reset(self) -> None:
        client = StreamClient(self.relay())
        client.wire.transport.ends_with_relay = False
        megabyte = b"\0" * 1024 * 1024
        for _ in range(MAX_DISCARDED_BYTES // len(megabyte) + 4):
            client.wire.send(megabyte)
        self.assertTrue(client.wire.transport.aborted)

    def test_announced_body_is_rejected_and_an_empty_one_is_not(self) -> None:
        relay = self.relay()
        cases = {"Content-Length: 5": 400, "Transfer-Encoding: chunked": 400, "Content-Length: 0": 200}
        self.assertEqual({line: StreamClient(relay, "/sse/room", line).status for line in cases}, cases)

    def test_longest_position_that_fits_into_a_head_is_a_gap(self) -> None:
        relay = self.relay()
        client = StreamClient(relay, last_event_id="9" * 16_000)
        self.assertEqual(client.parser.events[-1].type, "gap")
        self.assertEqual(StreamClient(relay, last_event_id="9" * 17_000).status, 431)

    def test_slow_reader_is_ended_with_a_delay_and_loses_nothing_that_it_was_sent(self) -> None:
        for target in ("/sse/room", "/sse/room?channel=b"):
            relay = self.relay(max_outbox_bytes=100_000)
            client = StreamClient(relay, target)
            client.read()
            messages = [chr(65 + number) * 40_000 for number in range(8)]
            for message in messages:
                relay.publish(message.encode())
            received = []
            while events := client.read():
                received += [event.data for event in events]
            self.assertEqual(received, messages[:2])
            self.assertTrue(client.wire.closed)
            self.assertEqual(dict(relay.node.counters.connections_closed), {4008: 1})

    def test_reader_that_is_slow_for_too_long_is_ended(self) -> None:
        relay = self.relay(max_outbox_seconds=5, close_timeout_seconds=2)
        client = StreamClient(relay)
        for _ in range(4):
            relay.publish(b"x" * 40_000)
        relay.pass_time(8.5)
        self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, True))
        self.assertEqual(dict(relay.node.counters.connections_closed), {4008: 1})

    def test_policies_of_namespaces_hold_for_streams(self) -> None:
        for target in ("/sse/room", "/sse/room?channel=b"):
            for policy, indexes in ((SlowPolicy.DROP, [0, 1, 2, 3]), (SlowPolicy.LATEST, [0, 1, 7])):
                namespaces = (Namespace("all", ("*",), slow_consumer_policy=policy),)
                relay = self.relay(namespaces=namespaces, max_outbox_bytes=100_000)
                client = StreamClient(relay, target)
                client.read()
                messages = [chr(65 + number) * 40_000 for number in range(8)]
                for message in messages:
                    relay.publish(message.encode())
                received = []
                while events := client.read():
                    received += [event.data for event in events]
                self.assertEqual(received, [messages[index] for index in indexes], (target, policy))
                self.assertFalse(client.wire.closed)
                dropped = 4 if policy is SlowPolicy.DROP else 0
                self.assertEqual(relay.node.counters.batches_dropped, dropped)

    def test_newest_of_a_burst_has_its_id_on_a_slow_stream_of_several_channels(self) -> None:
        relay = self.relay(namespaces=(Namespace("all", ("*",), slow_consumer_policy=SlowPolicy.LATEST),))
        client = StreamClient(relay, "/sse/room?channel=b")
        for number in range(1, 5):
            relay.node.publications_received([Publication("room", b"x" * 40_000, At(f"{number}-0.00000000"))])
        burst = [Publication("room", b"%d" % number, At(f"{number}-0.00000000")) for number in range(5, 8)]
        relay.node.publications_received(burst)
        while client.read():
            pass
        self.assertEqual(client.parser.events[-1], Event("7", "message:room", "7-0.00000000,-"))


class AccessTests(StreamCase):
    """Origins."""

    def test_page_of_an_allowed_origin_may_read_the_stream_and_the_errors(self) -> None:
        relay = self.relay(origins=("https://a.example",), channels=("room",), max_connections=1)
        line = "Origin: https://a.example"
        for target, status in (
            ("/sse/other", 404),
            ("/sse/room", 200),
            ("/sse/room", 200),
            ("/sse/room" + STATUS, 503),
        ):
            client = StreamClient(relay, target, line)
            headers = client.headers
            self.assertEqual((client.status, headers["access-control-allow-origin"]), (status, "https://a.example"))
            self.assertEqual((headers["access-control-allow-credentials"], headers["vary"]), ("true", "Origin"))

    def test_page_of_another_origin_is_rejected_and_may_not_read_why(self) -> None:
        relay = self.relay(origins=("https://a.example",))
        client = StreamClient(relay, "/sse/room", "Origin: https://b.example")
        self.assertEqual(client.status, 403)
        self.assertNotIn("access-control-allow-origin", client.headers)
        self.assertEqual(dict(relay.node.counters.auth_rejections), {"origin": 1})

    def test_origin_outside_ascii_is_not_repeated_where_all_are_allowed(self) -> None:
        client = StreamClient(self.relay(origins=("*",)), "/sse/room", "Origin: https://\xfc.example")
        self.assertEqual(client.status, 200)
        self.assertNotIn("access-control-allow-origin", client.headers)

    def test_page_of_the_same_origin_sends_none_and_is_one_that_may_connect(self) -> None:
        site = "Sec-Fetch-Site: same-origin"
        relay = self.relay(require_origin=True)
        self.assertEqual(StreamClient(relay, "/sse/room", site).status, 200)
        for line in ("Sec-Fetch-Site: same-site", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none", "X: y"):
            self.assertEqual(StreamClient(relay, "/sse/room", line).status, 403, line)
        listed = self.relay(origins=("https://www.example",))
        self.assertEqual(StreamClient(listed, "/sse/room", site).status, 403)


class DocumentTests(StreamCase):
    """Data of control events."""

    def test_data_of_the_last_event_is_json_with_code_and_reason(self) -> None:
        client = StreamClient(self.relay())
        stream_of(client).close(Disconnect.CREDENTIAL_EXPIRED)
        (document,) = (json.loads(data) for data in client.events("credential"))
        self.assertEqual(document, {"code": 4502, "reason": "credential expired"})
