"""Tests of `wsrelay.engine.rate_limited_log`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import log_lines
from wsrelay.engine.rate_limited_log import LOG_INTERVAL_SECONDS, RateLimitedLog


class RateLimitedLogTests(SynchronousTestCase):
    """Lines, by their kind."""

    def setUp(self) -> None:
        """Make a log, and record its lines."""
        self.clock = Clock()
        self.log = RateLimitedLog(Logger(), self.clock.seconds)
        self.seen = 0
        self.events = self.enterContext(capturedLogs())

    @property
    def lines(self) -> list[str]:
        """The lines since the last call."""
        new = self.events[self.seen :]
        self.seen = len(self.events)
        return [line for _, line in log_lines(new)]

    def test_first_line_is_written_at_once_at_level_info(self) -> None:
        self.log.write("a", "text")
        self.assertEqual(log_lines(self.events), [(LogLevel.info, "text")])

    def test_a_thousand_a_minute_are_as_many_lines_as_asked_for_and_say_how_many_there_were(self) -> None:
        for _ in range(2):
            for number in range(1000):
                self.log.write("a", f"text {number}", 3)
            self.clock.advance(LOG_INTERVAL_SECONDS)
        self.log.write("a", "text", 3)
        more = "text 0 (997 more like it since the last such line)"
        last = "text (997 more like it since the last such line)"
        self.assertEqual(self.lines, ["text 0", "text 1", "text 2", more, "text 1", "text 2", last])

    def test_interval_is_counted_from_its_first_line_and_not_from_the_last_call(self) -> None:
        counts = []
        for _ in range(5):
            self.log.write("a", "text")
            counts.append(len(self.lines))
            self.clock.advance(LOG_INTERVAL_SECONDS / 2 - 1)
        self.assertEqual(counts, [1, 0, 0, 1, 0])

    def test_after_exactly_the_interval_there_is_a_line_again_and_not_a_moment_earlier(self) -> None:
        self.log.write("a", "text")
        self.clock.advance(LOG_INTERVAL_SECONDS)
        self.log.write("a", "text")
        # Alone, it does not speak of others.
        self.assertEqual(self.lines, ["text", "text"])
        self.clock.advance(LOG_INTERVAL_SECONDS - 0.125)
        self.log.write("a", "text")
        self.assertEqual(self.lines, [])

    def test_each_kind_has_its_own_interval(self) -> None:
        for _ in range(10):
            self.log.write("a", "a")
        self.clock.advance(LOG_INTERVAL_SECONDS - 1)
        self.log.write("b", "b")
        self.assertEqual(self.lines, ["a", "b"])

    def test_text_that_looks_like_a_format_is_written_as_it_is(self) -> None:
        self.log.write("a", "{text} {x!r} %s")
        self.assertEqual(self.lines, ["{text} {x!r} %s"])

    def test_details_end_the_line_and_are_fields_with_those_that_the_text_says_already(self) -> None:
        details = {"channel": "room'\n", "path": "", "origin": "x" * 1000}
        self.log.write("a", "closed", details=details, fields={"code": 4008}, level=LogLevel.warn)
        (event,) = self.events
        shown = "x" * 100
        self.assertEqual(log_lines(self.events), [(LogLevel.warn, f"closed [channel \"room'\\n\", origin '{shown}']")])
        found = [event.get(name) for name in ("log_summary", "channel", "path", "origin", "code", "left_out")]
        self.assertEqual(found, ["closed", "room'\n", None, shown, 4008, None])

    def test_number_of_lines_left_out_is_a_field(self) -> None:
        for _ in range(3):
            self.log.write("a", "text")
        self.clock.advance(LOG_INTERVAL_SECONDS)
        self.log.write("a", "text")
        self.assertEqual([event.get("left_out") for event in self.events], [None, 2])

    def test_memory_grows_with_the_number_of_kinds_and_not_of_lines(self) -> None:
        for number in range(1000):
            self.log.write(f"{number % 3}", "text")
            self.clock.advance(7)
        self.assertEqual(len(self.log), 3)
