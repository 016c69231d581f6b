"""Tests of wsrelay.transports.listening.handshake_turns."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from devtools.harness.http import answers, client_frame, head, upgrade
from tests.support.edge import EdgeCase, RealEdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from wsrelay.core.flow import handshake_queue
from wsrelay.core.flow.handshake_queue import MAX_WAIT_SECONDS, SLICE_SECONDS
from wsrelay.core.flow.jitter import REJECTED_RETRY_SECONDS
from wsrelay.transports.listening.handshake_turns import WaitingConnection
from wsrelay.transports.listening.http_connections import MIN_HTTP_CONNECTIONS

COST = SLICE_SECONDS / 2
AT_ONCE = 2
"""How many handshakes begin without waiting, if each takes half a slice."""

STREAM = head("GET /sse/room HTTP/1.1", "Host: x", "Accept: text/event-stream")


class TurningClock(Clock):
    """A clock that makes the calls of one turn as a reactor does: those that they schedule are for the next one."""

    def advance(self, amount: float) -> None:
        self.rightNow += amount
        for call in [each for each in self.calls if each.getTime() <= self.rightNow]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class HandshakeTurnsTests(EdgeCase):
    """A relay whose handshakes take half a slice each."""

    def busy_relay(self, **settings: Any) -> InMemoryRelay:
        """Return a relay that has no time for one more handshake in this turn of the reactor."""
        self.clock = TurningClock()
        relay = InMemoryRelay(clock=self.clock, **settings)
        self.addCleanup(self._check_leftovers, relay)
        router, start = relay.router, relay.router.start

        def slow_start(*arguments: Any) -> None:
            self.clock.rightNow += COST
            start(*arguments)

        self.patch(router, "start", slow_start)
        for _ in range(AT_ONCE):
            wire = self.client(relay)
            self.assertTrue(wire.read().startswith(b"HTTP/1.1 101 "))
        return relay

    def client(self, relay: InMemoryRelay, data: bytes | None = None) -> ClientWire:
        """Return a new connection that has sent a request."""
        wire = ClientWire(relay)
        wire.send(upgrade() if data is None else data)
        return wire

    def waiting(self, relay: InMemoryRelay, data: bytes | None = None) -> ClientWire:
        """Return a new connection whose handshake waits."""
        wire = self.client(relay, data)
        self.assertIsInstance(wire.transport.protocol, WaitingConnection)
        self.assertEqual(wire.read(), b"")
        return wire

    def statuses(self, wires: list[ClientWire]) -> list[int]:
        """Return the status of each response, 0 for those that were not answered."""
        return [int(data[9:12]) if (data := wire.read()) else 0 for wire in wires]

    def metrics(self, relay: InMemoryRelay) -> tuple[int, int, float]:
        """Return how many handshakes wait, how many had to, and for how long in all."""
        counters = relay.objects.counters
        return len(relay.router.turns), counters.handshakes_deferred, counters.handshake_wait_seconds

    def test_handshakes_of_a_quiet_moment_wait_for_nothing(self) -> None:
        relay = self.relay()
        for _ in range(100):
            self.client(relay)
        self.assertEqual(len(relay.open_websockets), 100)
        self.assertEqual(self.metrics(relay), (0, 0, 0.0))

    def test_handshakes_without_time_begin_in_their_order_a_slice_in_each_turn(self) -> None:
        relay = self.busy_relay()
        wires = [self.waiting(relay) for _ in range(5)]
        seen = []
        for _ in range(3):
            self.clock.advance(0)
            seen.append(self.statuses(wires))
        self.assertEqual(seen, [[101, 101, 0, 0, 0], [0, 0, 101, 101, 0], [0, 0, 0, 0, 101]])
        waiting, deferred, seconds = self.metrics(relay)
        self.assertEqual((waiting, deferred), (0, 5))
        self.assertAlmostEqual(seconds, COST * (0 + 1 + 2 + 3 + 4))

    def test_stream_waits_as_a_websocket_does_also_with_a_body(self) -> None:
        relay = self.busy_relay(centrifugo=True)
        body = b'{"subs":{"room":{}}}'
        post = head("POST /connection/uni_sse HTTP/1.1", "Host: x", f"Content-Length: {len(body)}")
        wires = [self.waiting(relay, STREAM), self.waiting(relay, post + body)]
        self.clock.advance(0)
        self.assertEqual(self.statuses(wires), [200, 200])

    def test_probes_and_other_requests_do_not_wait(self) -> None:
        relay = self.busy_relay(metrics=True)
        waiting = [self.waiting(relay) for _ in range(100)]
        for path in ("/healthz", "/readyz", "/metrics"):
            (answer,) = answers(self.client(relay, head(f"GET {path} HTTP/1.1", "Host: x")).read())
            self.assertEqual(answer.status, 200)
        self.assertIn("wsrelay_handshakes_waiting 100.0", answer.body.decode())
        self.assertEqual(len(relay.router.turns), len(waiting))

    def test_head_that_is_wrong_is_answered_without_waiting(self) -> None:
        relay = self.busy_relay(origins=("https://example.com",))
        self.waiting(relay)
        for data, status in (
            (upgrade("/nowhere"), 404),
            (upgrade("/ws/room", "Origin: https://evil.example"), 403),
            (head("GET /"), 400),
        ):
            self.assertEqual(answers(self.client(relay, data).read())[0].status, status)

    def test_client_that_leaves_while_it_waits_costs_nothing_more(self) -> None:
        relay = self.busy_relay(max_connections=AT_ONCE + 2)
        for leave in (ClientWire.hang_up, ClientWire.half_close):
            wire = self.waiting(relay)
            self.assertEqual(relay.websockets.admission.count, AT_ONCE + 1)
            leave(wire)
            self.assertTrue(wire.closed)
            self.assertEqual((len(relay.router.turns), relay.websockets.admission.count), (0, AT_ONCE))
        with mock.patch.object(relay.router, "start") as start:
            relay.turn()
        start.assert_not_called()

    def test_client_of_a_reset_that_is_still_under_way_is_not_begun_with(self) -> None:
        """Twisted reports the end of a connection that is aborted in a later turn."""
        relay = self.busy_relay()
        wire = self.waiting(relay)
        with mock.patch.object(wire.transport, "abortConnection") as abort:
            wire.half_close()
        abort.assert_called_once_with()
        self.assertEqual(len(relay.router.turns), 0)
        wire.hang_up()
        self.assertEqual(relay.websockets.admission.count, AT_ONCE)

    def test_waiting_handshake_is_not_aborted_in_favour_of_http_requests(self) -> None:
        relay = self.busy_relay(max_connections=10)
        wire = self.waiting(relay)
        for _ in range(MIN_HTTP_CONNECTIONS + 10):
            ClientWire(relay)
        self.clock.advance(0)
        self.assertEqual(self.statuses([wire]), [101])
        self.assertEqual(len(relay.router.http_connections), MIN_HTTP_CONNECTIONS + 1)

    def test_those_that_wait_are_counted_by_admission_in_total_and_by_address(self) -> None:
        relay = self.busy_relay(max_connections_per_address=AT_ONCE + 1)
        wire = self.waiting(relay)
        self.assertEqual(answers(self.client(relay).read())[0].status, 429)
        wire.hang_up()
        self.waiting(relay)

    def test_head_timeout_ends_with_the_head(self) -> None:
        relay = self.busy_relay(handshake_timeout_seconds=1)
        with mock.patch.object(relay.router.turns, "_take_turn"):
            # The first turn is scheduled already, and never comes.
            wire = self.waiting(relay)
            relay.pass_time(2)
        self.assertFalse(wire.closed)
        self.assertEqual(wire.read(), b"")

    def test_frames_that_arrive_while_a_handshake_waits_are_delivered(self) -> None:
        relay = self.busy_relay(publish=("room",))
        wire = self.waiting(relay, upgrade() + client_frame(0x81, b"first"))
        wire.send(client_frame(0x81, b"second"))
        relay.turn()
        self.assertTrue(wire.read().endswith(b"\r\n\r\n\x81\x05first\x81\x06second"))

    def test_client_that_sends_more_ahead_than_a_head_is_reset(self) -> None:
        relay = self.busy_relay(max_head_bytes=1024)
        wire = self.waiting(relay)
        wire.send(b"x" * 1024)
        self.assertFalse(wire.closed)
        wire.send(b"x")
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(len(relay.router.turns), 0)

    def test_handshake_that_would_wait_too_long_is_rejected_with_a_time_that_differs(self) -> None:
        self.patch(handshake_queue, "_ASSUMED_HANDSHAKES", 4.0)
        relay = self.busy_relay()
        wires: list[ClientWire] = []
        while not wires or not wires[-1].transport.half_closed:
            wires.append(self.client(relay))
        wires += [self.client(relay) for _ in range(99)]
        self.assertEqual(len(relay.router.http_connections), 100)
        rejected = [answers(wire.read())[0] for wire in wires[-100:]]
        self.assertEqual({answer.status for answer in rejected}, {503})
        times = {int(answer.headers["retry-after"]) for answer in rejected}
        self.assertGreater(len(times), 3)
        self.assertTrue(all(REJECTED_RETRY_SECONDS[0] <= each <= REJECTED_RETRY_SECONDS[1] for each in times))
        counters = relay.objects.counters
        self.assertEqual((counters.handshakes_rejected, counters.requests_rejected), ({"wait": 100}, {503: 100}))
        self.assertEqual(relay.websockets.admission.count, AT_ONCE + len(relay.router.turns))

    def test_handshake_without_room_is_rejected(self) -> None:
        relay = self.busy_relay()
        self.patch(handshake_queue, "MAX_WAITING_BYTES", 2 * len(upgrade()))
        wires = [self.client(relay) for _ in range(3)]
        self.assertEqual(self.statuses(wires), [0, 0, 503])
        wires[0].send(b"x")
        self.assertTrue(wires[0].transport.aborted)
        self.assertEqual(relay.objects.counters.handshakes_rejected, {"full": 1})

    def test_handshake_that_has_waited_too_long_is_rejected_and_those_behind_it_are_not(self) -> None:
        relay = self.busy_relay()
        first = self.waiting(relay)
        # The process stands still.
        self.clock.rightNow += MAX_WAIT_SECONDS + 0.5
        second = self.waiting(relay)
        self.clock.advance(0)
        self.assertEqual(self.statuses([first, second]), [503, 101])
        self.assertEqual(relay.websockets.admission.count, AT_ONCE + 1)

    def test_rejected_event_stream_is_told_when_to_come_again(self) -> None:
        relay = self.busy_relay()
        self.patch(handshake_queue, "MAX_WAITING", 0)
        data = self.client(relay, STREAM).read()
        self.assertTrue(data.startswith(b"HTTP/1.1 200 "))
        self.assertIn(b"\nretry: ", data)
        status = head("GET /sse/room?errors=status HTTP/1.1", "Host: x", "Accept: text/event-stream")
        self.assertTrue(self.client(relay, status).read().startswith(b"HTTP/1.1 503 "))

    def test_rejections_have_one_line_in_a_minute(self) -> None:
        relay = self.busy_relay()
        self.patch(handshake_queue, "MAX_WAITING", 0)
        with capturedLogs() as events:
            for _ in range(3):
                self.client(relay)
        (text,) = (formatEvent(event) or "" for event in events)
        self.assertIn("more clients connect at once than", text)

    def test_drain_answers_those_that_wait_as_it_answers_new_ones(self) -> None:
        relay = self.busy_relay()
        wires = [self.waiting(relay), self.waiting(relay, STREAM)]
        relay.connections.start_draining()
        self.clock.advance(0)
        websocket, stream = (wire.read() for wire in wires)
        (answer,) = answers(websocket)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.assertIn(b"\nretry: ", stream)
        self.assertEqual((relay.websockets.admission.count, len(relay.router.turns)), (AT_ONCE, 0))

    def test_exception_costs_its_own_connection(self) -> None:
        relay = self.busy_relay()
        wires = [self.waiting(relay) for _ in range(2)]
        start = relay.router.start
        outcomes = iter((ZeroDivisionError, None))

        def break_once(*arguments: Any) -> None:
            if (error := next(outcomes)) is not None:
                raise error
            start(*arguments)

        self.patch(relay.router, "start", break_once)
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(wires[0].transport.aborted)
        self.assertEqual(self.statuses(wires[1:]), [101])
        self.assertEqual(relay.websockets.admission.count, AT_ONCE + 1)

    def test_exception_where_nothing_waits_leaves_no_place_taken(self) -> None:
        relay = self.relay()
        wire = ClientWire(relay)

        def fail(*_arguments: Any) -> None:
            raise ZeroDivisionError

        self.patch(relay.router, "start", fail)
        self.assertRaises(ZeroDivisionError, wire.send, upgrade())
        self.assertEqual(relay.websockets.admission.count, 1)
        # As the reactor does.
        wire.hang_up()
        self.assertEqual(relay.websockets.admission.count, 0)

    def test_exception_of_a_rejection_costs_its_own_connection(self) -> None:
        relay = self.busy_relay()
        wires = [self.waiting(relay) for _ in range(2)]
        answer = relay.router.checks.error_response
        outcomes = iter((ZeroDivisionError, None))

        def break_once(*arguments: Any) -> Any:
            if (error := next(outcomes)) is not None:
                raise error
            return answer(*arguments)

        self.patch(relay.router.checks, "error_response", break_once)
        self.clock.rightNow += MAX_WAIT_SECONDS + 1
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(wires[0].transport.aborted)
        self.assertEqual(self.statuses(wires[1:]), [503])
        self.assertEqual((relay.websockets.admission.count, len(relay.router.turns)), (AT_ONCE, 0))


class RealHandshakeTurnsTests(RealEdgeCase):
    """Connections whose handshakes always wait, with a port."""

    def setUp(self) -> None:
        self.patch(handshake_queue, "SLICE_SECONDS", 0.0)

    async def check_handshake(self, *, tls: bool) -> None:
        """Check that a handshake that has to wait is completed."""
        relay = await self.open(tls=tls)
        client = await self.connect()
        client.write(upgrade())
        self.assertTrue((await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 "))
        self.assertEqual(relay.objects.counters.handshakes_deferred, 1)

    def test_handshake_begins_in_a_later_turn(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.check_handshake(tls=False))

    def test_handshake_begins_in_a_later_turn_over_tls(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.check_handshake(tls=True))

    async def test_clients_that_hang_up_at_once_leave_nothing(self) -> None:
        relay = await self.open()
        for _ in range(20):
            client = await self.connect()
            client.write(upgrade())
            client.transport.abortConnection()
        await self.wait_until_empty(relay)
        self.assertEqual(len(relay.router.turns), 0)
