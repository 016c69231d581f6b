"""Tests of `wsrelay.process.log_output`. Real processes are in tests/integration/test_logs.py."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import syslog
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.application.service import Application
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, LogPublisher
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.process.test_log_format import Unfriendly
from tests.process.test_log_text import SECRET
from wsrelay.config import Settings
from wsrelay.core.flow.sampler import INTERVAL_SECONDS
from wsrelay.process.log_output import TRACEBACKS_PER_KIND, LineObserver, log_as_set


class Reactor:
    """Runs at once what is to run in the reactor's thread."""

    def callFromThread(self, call: Any, *given: Any) -> None:
        """Call."""
        call(*given)


class ObserverTests(SynchronousTestCase):
    """Events in, lines out."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.written: list[list[str]] = []

    def logger(self, form: str = "text") -> Logger:
        """Return a logger whose events are written in a form."""

        def write(lines: list[str], _event: LogEvent) -> None:
            self.written.append(lines)

        observer = LineObserver(write, form, with_time=False, seconds=self.clock.seconds)
        return Logger("wsrelay.example", observer=LogPublisher(observer))

    def test_event_is_written_in_the_form_that_is_set(self) -> None:
        self.logger().info("a")
        self.logger("json").info("b")
        text, document = self.written
        self.assertEqual(text, ["[wsrelay.example#info] a"])
        self.assertEqual(json.loads(document[0])["message"], "b")

    def test_event_without_text_is_not_written(self) -> None:
        for form in ("text", "json"):
            self.logger(form).info("")
        self.assertEqual(self.written, [])

    def test_event_that_breaks_the_formatting_is_one_line(self) -> None:
        event = {"log_format": "x", "log_namespace": Unfriendly()}
        for form in ("text", "json"):
            LineObserver(lambda lines, _event: self.written.append(lines), form, with_time=False)(event)
        self.assertEqual([len(lines) for lines in self.written], [1, 1])
        for (line,) in self.written:
            self.assertIn("this event could not be formatted: RuntimeError", line)
            self.assertNotIn(SECRET, line)

    def test_failures_of_one_kind_are_sampled_and_those_left_out_are_counted(self) -> None:
        log = self.logger("json")
        for _ in range(TRACEBACKS_PER_KIND + 7):
            log.failure("it failed", Failure(ValueError("x")))
            log.info("it failed")
        self.flushLoggedErrors()
        found = [json.loads(line) for (line,) in self.written]
        self.assertEqual(sum("traceback" in each for each in found), TRACEBACKS_PER_KIND)
        self.assertEqual(len(found), 2 * TRACEBACKS_PER_KIND + 7)
        self.clock.advance(INTERVAL_SECONDS)
        log.failure("it failed", Failure(KeyError("x")))
        log.failure("it failed", Failure(ValueError("x")))
        lefts = [json.loads(line).get("left_out") for (line,) in self.written[-2:]]
        self.assertEqual(lefts, [None, 7])


class PlaceTests(SynchronousTestCase):
    """Where twistd's options say that the log goes."""

    def setUp(self) -> None:
        """Restore at the end what belongs to the whole process."""
        root = logging.getLogger()
        self.patch(root, "handlers", [])
        self.addCleanup(root.setLevel, root.level)
        for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
            self.patch(module, name, getattr(module, name))
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        self.stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        self.patch(sys, "stdout", self.stdout)

    def log(
        self, twistd: Mapping[str, Any], environ: Mapping[str, str] | None = None, **settings: Any
    ) -> Logger | None:
        """Return a logger whose events go where the options say, or None if that is left to twistd."""
        application: Any = Application("test")
        log_as_set(application, twistd, Settings(**settings), environ or {}, Reactor())  # type: ignore[arg-type]  # of its methods one is used
        observer = application.getComponent(ILogObserver, None)
        return None if observer is None else Logger("wsrelay", observer=LogPublisher(observer))

    def printed(self) -> str:
        """Return what went to standard output."""
        self.stdout.flush()
        buffer: Any = self.stdout.buffer
        return str(buffer.getvalue().decode())

    def test_foreground_process_logs_to_standard_output(self) -> None:
        for options in ({"nodaemon": True}, {"nodaemon": True, "logfile": "-"}):
            log = self.log(options, {"DYNO": "web.1"})
            assert log is not None
            log.info("x")
        # Heroku's log has a time of its own.
        self.assertEqual(self.printed(), "[wsrelay#info] x\n" * 2)

    def test_text_has_the_time_elsewhere_and_json_everywhere(self) -> None:
        for environ, form in (({}, "text"), ({"DYNO": "web.1"}, "json")):
            log = self.log({"nodaemon": True}, environ, log_format=form)
            assert log is not None
            log.info("x")
        text, document = self.printed().splitlines()
        self.assertRegex(text, r"^\d{4}-\d\d-\d\dT\S+ \[wsrelay#info\] x$")
        self.assertTrue(json.loads(document)["time"].endswith("Z"))

    def test_terminal_without_the_characters_of_a_text_gets_escapes(self) -> None:
        log = self.log({"nodaemon": True}, {"DYNO": "web.1"})
        assert log is not None
        log.info("caf\xe9")
        self.assertEqual(self.printed(), "[wsrelay#info] caf\\xe9\n")

    def test_lower_levels_than_the_one_that_is_set_are_not_written(self) -> None:
        for level, written in (("debug", "de iw"), ("info", "iew"), ("warn", "ew"), ("error", "e")):
            log = self.log({"nodaemon": True}, {"DYNO": "web.1"}, log_level=level)
            assert log is not None
            before = len(self.printed().splitlines())
            log.debug("d")
            log.info("i")
            log.warn("w")
            log.error("e")
            found = {line[-1] for line in self.printed().splitlines()[before:]}
            self.assertEqual(found, set(written) - {" "}, level)

    def test_daemon_logs_to_its_file_and_sigusr1_begins_a_new_one(self) -> None:
        file = Path(self.mktemp()).absolute()
        log = self.log({"nodaemon": False, "logfile": str(file)}, log_format="json")
        assert log is not None
        log.info("one")
        signal.raise_signal(signal.SIGUSR1)
        log.info("two")
        messages = [json.loads(each.read_text())["message"] for each in (file.with_name(f"{file.name}.1"), file)]
        self.assertEqual(messages, ["one", "two"])

    def test_handler_of_sigusr1_that_is_there_stays(self) -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        self.assertIsNotNone(self.log({"nodaemon": False, "logfile": self.mktemp()}))
        self.assertEqual(signal.getsignal(signal.SIGUSR1), signal.SIG_IGN)

    def test_name_of_the_file_is_twistd_s_where_none_is_given(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder)
        log = self.log({"nodaemon": False})
        assert log is not None
        log.info("x")
        self.assertTrue(Path("twistd.log").read_text().endswith("[wsrelay#info] x\n"))

    def test_syslog_gets_each_line_with_its_priority(self) -> None:
        sent: list[Any] = []
        self.patch(syslog, "openlog", lambda *given: sent.append(given))
        self.patch(syslog, "syslog", lambda *given: sent.append(given))
        log = self.log({"syslog": True, "prefix": "wsrelay"})
        assert log is not None
        log.warn("x")
        log.failure("it failed", Failure(ValueError("y")))
        self.flushLoggedErrors()
        self.assertEqual(sent[:2], [("wsrelay", 0, syslog.LOG_USER), (syslog.LOG_WARNING, "[wsrelay#warn] x")])
        self.assertEqual({priority for priority, _ in sent[2:]}, {syslog.LOG_CRIT})
        self.assertTrue(all(line.startswith("\t") for _, line in sent[3:]))

    def test_what_twistd_decides_is_left_to_it(self) -> None:
        # A logger of the operator's own; and a daemon that would log to standard output, which twistd reports.
        self.assertIsNone(self.log({"nodaemon": True, "logger": print}))
        self.assertIsNone(self.log({"nodaemon": False, "logfile": "-"}))

    def test_without_twistd_nothing_is_changed(self) -> None:
        root = logging.getLogger()
        application = Componentized()
        for parent, options in ((application, None), (object(), {"nodaemon": True})):
            log_as_set(parent, options, Settings(), {}, Reactor())  # type: ignore[arg-type]  # as above
        self.assertIsNone(application.getComponent(ILogObserver, None))
        self.assertEqual(root.handlers, [])
