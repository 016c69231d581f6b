"""Tests of `wsrelay.engine.rejection_log`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import log_lines
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.engine.rejection_log import LOG_INTERVAL_SECONDS, RejectionLog
from wsrelay.metrics.counters import Counters

TICKET = f"rejected (ticket): {ClientError.TICKET.response.text}"
HOOK = f"rejected (hook): {ClientError.HOOK.response.text}"


class RejectionLogTests(SynchronousTestCase):
    """The log and the counters of rejections."""

    def setUp(self) -> None:
        """Make a log, and record its lines."""
        self.clock = Clock()
        self.counters = Counters()
        self.rejections = RejectionLog(self.counters, self.clock.seconds)
        self.seen = 0
        self.events = self.enterContext(capturedLogs())

    @property
    def lines(self) -> list[str]:
        """The lines since the last call."""
        new = self.events[self.seen :]
        self.seen = len(self.events)
        return [line for _, line in log_lines(new)]

    def test_first_of_a_reason_is_a_line_at_once_with_the_text_that_the_client_gets(self) -> None:
        self.rejections.record(ClientError.TICKET)
        self.assertEqual(log_lines(self.events), [(LogLevel.info, TICKET)])

    def test_every_rejection_is_counted_under_its_reason(self) -> None:
        for client_error, times in ((ClientError.TICKET, 3), (ClientError.HOOK, 2), (ClientError.ORIGIN, 1)):
            for _ in range(times):
                self.rejections.record(client_error)
        self.assertEqual(self.counters.auth_rejections, {"ticket": 3, "hook": 2, "origin": 1})
        self.assertEqual(len(self.lines), 3)

    def test_a_thousand_a_minute_are_one_line_that_says_how_many_there_were(self) -> None:
        for _ in range(2):
            for _ in range(1000):
                self.rejections.record(ClientError.TICKET)
            self.clock.advance(LOG_INTERVAL_SECONDS)
        self.rejections.record(ClientError.TICKET)
        more = f"{TICKET} (999 more like it since the last such line)"
        self.assertEqual(self.lines, [TICKET, more, more])
        self.assertEqual(self.counters.auth_rejections["ticket"], 2001)

    def test_interval_is_counted_from_the_last_line_and_not_from_the_last_rejection(self) -> None:
        counts = []
        for _ in range(5):
            self.rejections.record(ClientError.TICKET)
            counts.append(len(self.lines))
            self.clock.advance(LOG_INTERVAL_SECONDS / 2 - 1)
        self.assertEqual(counts, [1, 0, 0, 1, 0])

    def test_after_exactly_the_interval_there_is_a_line_again_and_not_a_moment_earlier(self) -> None:
        self.rejections.record(ClientError.TICKET)
        self.clock.advance(LOG_INTERVAL_SECONDS)
        self.rejections.record(ClientError.TICKET)
        # Alone, it does not speak of others.
        self.assertEqual(self.lines, [TICKET, TICKET])
        self.clock.advance(LOG_INTERVAL_SECONDS - 0.125)
        self.rejections.record(ClientError.TICKET)
        self.assertEqual(self.lines, [])

    def test_each_reason_has_its_own_interval(self) -> None:
        for _ in range(10):
            self.rejections.record(ClientError.TICKET)
        self.clock.advance(LOG_INTERVAL_SECONDS - 1)
        self.rejections.record(ClientError.HOOK)
        self.assertEqual(self.lines, [TICKET, HOOK])

    def test_detail_is_a_line_of_its_own_and_is_not_counted(self) -> None:
        for _ in range(3):
            self.rejections.log_detail("a ticket: it has expired")
            self.rejections.record(ClientError.TICKET)
        self.rejections.log_detail("a ticket: it is bound to another address")
        expired = "rejected (detail): a ticket: it has expired"
        self.assertEqual(self.lines, [expired, TICKET, "rejected (detail): a ticket: it is bound to another address"])
        self.clock.advance(LOG_INTERVAL_SECONDS)
        self.rejections.log_detail("a ticket: it has expired")
        self.assertEqual(self.lines, [f"{expired} (2 more like it since the last such line)"])
        self.assertEqual(self.counters.auth_rejections, {"ticket": 3})

    def test_text_that_looks_like_a_format_is_written_as_it_is(self) -> None:
        self.rejections.record(ClientError.MALFORMED)
        self.rejections.log_detail("{text} {x!r} %s")
        self.assertEqual(
            self.lines,
            [f"rejected (malformed): {ClientError.MALFORMED.response.text}", "rejected (detail): {text} {x!r} %s"],
        )

    def test_memory_grows_with_the_number_of_reasons_and_not_of_rejections(self) -> None:
        for _ in range(100):
            for client_error in ClientError:
                self.rejections.record(client_error)
            self.clock.advance(7)
        self.assertEqual(len(self.rejections._logged), len(ClientError))
