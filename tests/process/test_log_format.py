"""Tests of `wsrelay.process.log_format`."""

from __future__ import annotations

import json
from typing import Any, cast

from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python import log as legacy_log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.process.test_log_text import SECRET, TOKEN
from wsrelay.core.access.secret import Secret
from wsrelay.process.log_format import (
    MAX_FIELD,
    MAX_MESSAGE,
    MAX_TRACEBACK_LINES,
    failure_of,
    json_line,
    text_lines,
)

FORGED = "x\n2026-01-01T00:00:00+0000 [wsrelay#info] forged\r\x1b[2J\u2028"


class Unfriendly:
    """A value that has no text."""

    def __str__(self) -> str:
        raise RuntimeError(SECRET)

    __repr__ = __str__


class RecursiveError(Exception):
    """An exception that has no text."""

    def __str__(self) -> str:
        raise RuntimeError


def raised(error: BaseException) -> Failure:
    """Return the failure of an exception that was raised."""
    try:
        raise error  # noqa: TRY301 -- so that it has a traceback
    except BaseException:  # noqa: BLE001 -- each that a test has
        return Failure()


class FormatCase(SynchronousTestCase):
    """Events, as code logs them."""

    def setUp(self) -> None:
        self.events: list[Any] = []
        self.log = Logger("wsrelay.example", observer=LogPublisher(cast(ILogObserver, self.events.append)))

    def text(self) -> list[str]:
        """Return the lines of the last event, without time."""
        return list(text_lines(self.events[-1], with_time=False))

    def json(self) -> dict[str, Any]:
        """Return the last event as its line of JSON says it."""
        line = json_line(self.events[-1])
        assert line is not None
        self.assertEqual(len(line.splitlines()), 1)
        self.assertTrue(line.isascii() and line.isprintable())
        found: dict[str, Any] = json.loads(line)
        return found


class EventTests(FormatCase):
    """The content of a line."""

    def test_text_has_the_time_of_the_zone_the_logger_the_level_and_the_message(self) -> None:
        self.log.warn("{count} connections", count=3)
        (line,) = text_lines(self.events[-1], with_time=True)
        self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[wsrelay\.example#warn\] 3 connections$")
        self.assertEqual(self.text(), ["[wsrelay.example#warn] 3 connections"])

    def test_json_has_them_in_utc_and_the_fields(self) -> None:
        self.log.warn("{count} connections", count=3, ratio=0.5, is_full=True, name="caf\xe9", nothing=None, empty="")
        self.events[-1]["log_time"] = 1767225600.25
        self.assertEqual(
            self.json(),
            {
                "time": "2026-01-01T00:00:00.250Z",
                "level": "warn",
                "logger": "wsrelay.example",
                "message": "3 connections",
                "count": 3,
                "ratio": 0.5,
                "is_full": True,
                "name": "caf\xe9",
            },
        )

    def test_json_has_the_summary_in_place_of_a_text_with_all_fields(self) -> None:
        self.log.info("{log_summary}{log_details}", log_summary="closed", log_details=" [channel 'a']", channel="a")
        self.assertEqual(self.text(), ["[wsrelay.example#info] closed [channel 'a']"])
        found = self.json()
        self.assertEqual((found["message"], found["channel"]), ("closed", "a"))
        self.assertEqual(set(found), {"time", "level", "logger", "message", "channel"})

    def test_field_never_replaces_what_every_line_has(self) -> None:
        self.log.info("x")
        self.events[-1].update(level="high", logger="mine", traceback="none")
        found = self.json()
        self.assertEqual((found["level"], found["logger"]), ("info", "wsrelay.example"))
        self.assertEqual((found["level_"], found["logger_"], found["traceback_"]), ("high", "mine", "none"))

    def test_objects_and_what_json_cannot_say_are_no_fields(self) -> None:
        self.log.info("x", one=Secret(SECRET), two=object(), three=float("nan"), four=float("inf"), five=10**5000)
        self.assertEqual(set(self.json()), {"time", "level", "logger", "message"})

    def test_event_without_a_text_has_no_line(self) -> None:
        self.log.info("")
        self.assertEqual((self.text(), json_line(self.events[-1])), ([], None))

    def test_event_without_time_or_level_is_a_line_all_the_same(self) -> None:
        for time in (None, "now", float("nan"), 1e300):
            event = {"log_format": "x", "log_time": time}
            self.assertEqual(list(text_lines(event, with_time=True)), ["- [-#info] x"])
            self.assertEqual(
                json.loads(json_line(event) or ""), {"time": None, "level": "info", "logger": "-", "message": "x"}
            )

    def test_number_of_those_that_were_left_out_is_said(self) -> None:
        self.log.info("x", log_left_out=3)
        self.assertEqual(self.text(), ["[wsrelay.example#info] x (3 more like it since the last such line)"])
        self.assertEqual(self.json()["left_out"], 3)


class TracebackTests(FormatCase):
    """Events about a failure."""

    def test_traceback_is_indented_in_text_and_one_field_in_json(self) -> None:
        self.log.failure("it failed", raised(ValueError("why")))
        first, *lines = self.text()
        self.assertEqual(first, "[wsrelay.example#critical] it failed")
        self.assertEqual(lines[0], "\tTraceback (most recent call last):")
        self.assertEqual(lines[-1], "\tbuiltins.ValueError: why")
        self.assertTrue(all(line.startswith("\t") for line in lines))
        found = self.json()
        self.assertEqual((found["message"], found["level"]), ("it failed", "critical"))
        self.assertEqual(found["traceback"].splitlines(), [line[1:] for line in lines])

    def test_text_of_the_exception_forges_no_line(self) -> None:
        self.log.failure("it failed", raised(ValueError(FORGED)))
        lines = self.text()
        self.assertTrue(all(line.startswith("\t") and line[1:].isprintable() for line in lines[1:]), lines)
        self.assertTrue(all(line.isprintable() for line in self.json()["traceback"].split("\n")))

    def test_long_traceback_keeps_its_end(self) -> None:
        self.log.failure("it failed", raised(ValueError("x\n" * 1000 + "y" * 10_000)))
        lines = self.text()
        self.assertEqual(len(lines), MAX_TRACEBACK_LINES + 2)
        self.assertIn("lines left out", lines[1])
        self.assertEqual(lines[-1], "\t" + "y" * MAX_FIELD + "...")

    def test_exception_without_a_text_is_logged(self) -> None:
        self.log.failure("it failed", raised(RecursiveError()))
        self.assertIn("it failed", self.text()[0])
        self.assertIn("RecursiveError", self.json()["traceback"])

    def test_failure_that_makes_no_traceback_is_logged(self) -> None:
        failure = raised(ValueError())
        failure.getTraceback = Unfriendly().__str__  # type: ignore[assignment, method-assign]  # to fail
        self.log.failure("it failed", failure)
        self.assertIn("no traceback", self.json()["traceback"])


class LegacyTests(FormatCase):
    """Events of `twisted.python.log`."""

    def setUp(self) -> None:
        super().setUp()
        publisher = LogPublisher(cast(ILogObserver, self.events.append))
        self.legacy = legacy_log.LogPublisher(observerPublisher=publisher, publishPublisher=publisher)

    def test_message_is_a_line(self) -> None:
        self.legacy.msg("one", "two")
        self.assertEqual(self.text(), ["[log_legacy#info] one two"])
        self.assertEqual(set(self.json()), {"time", "level", "logger", "message"})

    def test_failure_has_its_traceback_apart(self) -> None:
        for why, message in (("it failed", "it failed"), (None, "Unhandled error")):
            self.legacy.msg(failure=raised(ValueError("x")), why=why, isError=1)
            found = self.json()
            self.assertEqual((found["message"], found["level"], found["logger"]), (message, "critical", "log_legacy"))
            self.assertTrue(found["traceback"].endswith("builtins.ValueError: x"))
            self.assertEqual(self.text()[0], f"[log_legacy#critical] {message}")
            self.assertIsNotNone(failure_of(self.events[-1]))


class HostileTests(FormatCase):
    """Values that clients chose, and credentials."""

    def test_no_value_forges_a_line(self) -> None:
        self.log.info("path {path}", path=FORGED)
        (line,) = self.text()
        self.assertTrue(line.isprintable(), line)
        self.assertTrue(line.startswith("[wsrelay.example#info] path x\\n2026"))
        found = self.json()
        self.assertTrue(found["message"].isprintable() and found["path"].isprintable())

    def test_event_that_cannot_be_formatted_is_one_line_without_its_values(self) -> None:
        for text, fields in (
            ("{missing}", {}),
            ("{", {}),
            ("{value.attribute}", {"value": 1}),
            ("{value:d}", {"value": "x"}),
            ("{value}", {"value": Unfriendly()}),
        ):
            self.log.info(text, password=Secret(SECRET), other=SECRET, **fields)
            (line,) = self.text()
            self.assertEqual(line, f"[wsrelay.example#info] this event could not be formatted: {text!r}")
            self.assertIn("could not be formatted", self.json()["message"])
            self.assertEqual(self.json()["other"], SECRET)

    def test_credential_is_masked_in_message_field_and_traceback(self) -> None:
        for text in (f"redis://:{SECRET}@host", f"/ws/a?ticket={SECRET}", f"Authorization: Bearer {SECRET}", TOKEN):
            self.log.failure("about {url}", raised(ValueError(text)), url=text)
            for lines in ("\n".join(self.text()), json.dumps(self.json())):
                self.assertNotIn(SECRET, lines)
                self.assertGreaterEqual(lines.count("***"), 2)

    def test_message_and_fields_are_bounded(self) -> None:
        self.log.info("{text}", text="x" * 1_000_000)
        self.assertEqual(self.text(), ["[wsrelay.example#info] " + "x" * MAX_MESSAGE + "..."])
        found = self.json()
        self.assertEqual((len(found["message"]), len(found["text"])), (MAX_MESSAGE + 3, MAX_FIELD + 3))

    def test_levels_are_those_of_twisted(self) -> None:
        for level in LogLevel.iterconstants():
            self.log.emit(level, "x")
            self.assertEqual((self.json()["level"], self.text()), (level.name, [f"[wsrelay.example#{level.name}] x"]))
