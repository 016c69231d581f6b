"""Tests of `wsrelay.engine.rejection_log`."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import log_lines
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.engine.rate_limited_log import LINES_PER_KIND, LOG_INTERVAL_SECONDS
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.metrics.counters import Counters

TICKET = f"rejected (ticket): {ClientError.TICKET.response.text}"
HOOK = f"rejected (hook): {ClientError.HOOK.response.text}"


class RejectionLogTests(SynchronousTestCase):
    """The log and the counters of clients that the relay turns away."""

    def setUp(self) -> None:
        """Make a log, and record its lines."""
        self.clock = Clock()
        self.counters = Counters()
        self.rejections = RejectionLog(self.counters, self.clock.seconds)
        self.events = self.enterContext(capturedLogs())

    @property
    def lines(self) -> list[str]:
        """All lines, which are of level info."""
        lines = log_lines(self.events)
        self.assertEqual({level for level, _ in lines}, {LogLevel.info} if lines else set())
        return [line for _, line in lines]

    def test_line_has_the_text_that_the_client_gets(self) -> None:
        self.rejections.record(ClientError.TICKET)
        self.assertEqual(self.lines, [TICKET])

    def test_line_has_the_path_the_origin_and_the_address(self) -> None:
        handshake = Handshake("/ws/room", "203.0.113.7", query="ticket=secret", origin="https://a.example")
        self.rejections.record(ClientError.TICKET, handshake)
        details = "path '/ws/room', origin 'https://a.example', address '203.0.113.7'"
        self.assertEqual(self.lines, [f"{TICKET} [{details}]"])

    def test_event_has_fields_for_programs_and_a_text_without_them(self) -> None:
        handshake = Handshake("/ws/room", "::1", query="ticket=secret", connection="c1", request_id="r1")
        self.rejections.record(ClientError.TICKET, handshake)
        self.rejections.record(ClientError.HOOK, channel="room", connection="c2", request="r2")
        self.rejections.record_close(4008, "slow consumer, reconnect", ("a",), "c3")
        self.assertEqual(
            [self.fields(event) for event in self.events],
            [
                {
                    "log_summary": TICKET,
                    "reason": "ticket",
                    "path": "/ws/room",
                    "origin": "none",
                    "address": "::1",
                    "connection": "c1",
                    "request_id": "r1",
                },
                {"log_summary": HOOK, "reason": "hook", "channel": "room", "connection": "c2", "request_id": "r2"},
                {
                    "log_summary": "closed (4008): slow consumer, reconnect",
                    "code": 4008,
                    "reason": "slow consumer, reconnect",
                    "channel": "a",
                    "connection": "c3",
                },
            ],
        )
        self.assertTrue(self.lines[0].endswith("address '::1', connection 'c1', request_id 'r1']"))
        self.assertTrue(self.lines[2].endswith("[channel 'a', connection 'c3']"))

    def fields(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return what an event has for programs. Trial adds what `twisted.python.log` would have."""
        legacy = ("message", "time", "system", "format", "isError")
        kept = (name for name in event if name == "log_summary" or not (name.startswith("log_") or name in legacy))
        return {name: event[name] for name in kept}

    def test_requests_have_lines_at_level_debug_only_where_that_is_asked_for(self) -> None:
        handshake = Handshake("/ws/room", "::1", query="ticket=secret", connection="c1", request_id="r1")
        for logs_requests, count in ((False, 0), (True, 2)):
            rejections = RejectionLog(self.counters, self.clock.seconds, logs_requests=logs_requests)
            rejections.log_handshake(handshake)
            rejections.log_response(ErrorResponse(400, "The request line is malformed."), lambda: "::1")
            self.assertEqual(len(self.events), count)
        details = "[path '/ws/room', origin 'none', address '::1', connection 'c1', request_id 'r1']"
        self.assertEqual(
            log_lines(self.events),
            [
                (LogLevel.debug, f"a client connects {details}"),
                (LogLevel.debug, "answered with 400: The request line is malformed. [address '::1']"),
            ],
        )
        self.assertNotIn("secret", str(self.events))

    def test_line_says_that_there_is_no_origin_and_which_channel_it_is_about(self) -> None:
        self.rejections.record(ClientError.HOOK, Handshake("/ws/room", "::1"))
        self.rejections.record(ClientError.HOOK, channel="room")
        self.assertEqual(
            self.lines, [f"{HOOK} [path '/ws/room', origin 'none', address '::1']", f"{HOOK} [channel 'room']"]
        )

    def test_text_of_the_client_is_quoted_and_cut(self) -> None:
        self.rejections.record(ClientError.HOOK, Handshake("/ws/" + "x" * 10_000, "::1", origin="'\u2028\xff{x}"))
        (line,) = self.lines
        self.assertIn("/" + "x" * 96 + "', origin \"'\\u2028\xff{x}\", address '::1']", line)

    def test_every_rejection_is_counted_under_its_reason(self) -> None:
        for client_error, times in ((ClientError.TICKET, 3), (ClientError.HOOK, 2), (ClientError.ORIGIN, 1)):
            for _ in range(times):
                self.rejections.record(client_error)
        self.assertEqual(self.counters.auth_rejections, {"ticket": 3, "hook": 2, "origin": 1})

    def test_each_reason_has_a_few_lines_a_minute(self) -> None:
        for _ in range(1000):
            self.rejections.record(ClientError.TICKET)
            self.rejections.record(ClientError.HOOK)
        self.assertEqual(self.lines, [TICKET, HOOK] * LINES_PER_KIND)
        self.clock.advance(LOG_INTERVAL_SECONDS)
        self.rejections.record(ClientError.TICKET)
        self.assertEqual(self.lines[-1], f"{TICKET} ({1000 - LINES_PER_KIND} more like it since the last such line)")

    def test_detail_is_a_line_of_its_own_and_is_not_counted(self) -> None:
        for _ in range(3):
            self.rejections.log_detail("a ticket: it has expired")
        self.rejections.log_detail("a ticket: it is bound to another address")
        expired = "rejected (detail): a ticket: it has expired"
        self.assertEqual(self.lines, [expired, "rejected (detail): a ticket: it is bound to another address"])
        self.assertEqual(self.counters.auth_rejections, {})

    def test_close_is_counted_and_logged_with_its_reason_and_channels(self) -> None:
        for _ in range(1000):
            self.rejections.record_close(4008, "slow consumer, reconnect", ("a", "b"))
        self.rejections.record_close(1009, "too big", ())
        slow = "closed (4008): slow consumer, reconnect [channel 'a, b']"
        self.assertEqual(self.lines, [slow] * LINES_PER_KIND + ["closed (1009): too big"])
        self.assertEqual(self.counters.connections_closed, {4008: 1000, 1009: 1})

    def test_publication_that_is_not_text_has_one_line_a_minute(self) -> None:
        for channel in ("a", "b", "a"):
            self.rejections.record_not_text(channel)
        text = "a publication is not valid UTF-8 and not sent, as frames = text asks [channel 'a']"
        self.assertEqual(self.lines, [text])

    def test_publication_that_is_not_json_has_one_line_a_minute(self) -> None:
        for channel in ("a", "b", "a"):
            self.rejections.record_not_json(channel)
        text = "a publication is not JSON and not sent, as payload = json asks [channel 'a']"
        self.assertEqual(self.lines, [text])

    def test_close_of_a_drain_is_counted_and_not_logged(self) -> None:
        self.rejections.record_close(Disconnect.RESTART.code, Disconnect.RESTART.reason, ("a",))
        self.assertEqual((self.lines, self.counters.connections_closed), ([], {Disconnect.RESTART.code: 1}))
