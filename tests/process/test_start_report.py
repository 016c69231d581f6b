"""Tests of `wsrelay.process.start_report`, with signals to this process. Real starts are in tests/integration."""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.start_report import StartReport


class ReportTests(SynchronousTestCase):
    """The report of a start that fails, and its readers."""

    def setUp(self) -> None:
        self.at_exit: list[Any] = []
        self.deaths: list[tuple[int, int]] = []
        self.patch(atexit, "register", self.at_exit.append)
        self.patch(atexit, "unregister", lambda _call: self.at_exit.clear())
        for number, handler in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, handler)
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.addCleanup(os.close, self.reading)
        self.pidfile = Path(self.mktemp())
        self.pidfile.write_text(str(os.getpid()))
        self.twistd: dict[str, Any] = {"pidfile": str(self.pidfile), "statusPipe": writing}

    def begin(self) -> StartReport:
        """Return the report of a daemon that starts."""
        report = StartReport(self.twistd)
        report.begin()
        report.forked()
        # As twistd does when it has reported an exception itself.
        os.close(self.twistd["statusPipe"])
        return report

    def exit(self) -> bytes:
        """End the process, and return what the process at the prompt reads."""
        for call in self.at_exit:
            call()
        return self.read()

    def read(self) -> bytes:
        """Return what is in the pipe."""
        try:
            return os.read(self.reading, 1000)
        except BlockingIOError:
            return b"nothing"

    def test_reason_is_reported_and_the_pid_file_removed(self) -> None:
        report = self.begin()
        with self.assertRaisesRegex(SystemExit, "^wsrelay: no$"):
            report.fail("no")
        self.assertEqual(self.exit(), b"1 no")
        self.assertFalse(self.pidfile.exists())

    def test_end_without_a_reason_is_reported(self) -> None:
        self.begin()
        self.assertEqual(self.exit(), b"1 the process ended before it had started")

    def test_reason_is_ascii_of_what_twistd_reads(self) -> None:
        for reason, line in (
            ("x" * 98, b"1 " + b"x" * 98),
            ("x" * 99, b"1 " + b"x" * 95 + b"..."),
            ("/caf\xe9", b"1 /caf\\xe9"),
        ):
            self.setUp()
            report = self.begin()
            self.assertRaises(SystemExit, report.fail, reason)
            self.assertEqual(self.exit(), line)

    def test_pid_file_of_another_process_or_without_a_number_stays(self) -> None:
        for text in ("1", "nonsense", ""):
            self.setUp()
            self.pidfile.write_text(text)
            self.begin()
            self.exit()
            self.assertEqual(self.pidfile.read_text(), text)

    def test_prompt_that_is_gone_and_missing_pid_file_are_no_errors(self) -> None:
        self.begin()
        self.pidfile.unlink()
        os.close(self.reading)
        for call in self.at_exit:
            call()
        self.reading = os.open(os.devnull, os.O_RDONLY)

    def test_process_that_has_started_is_not_reported(self) -> None:
        report = self.begin()
        report.started()
        report.complete()
        self.assertEqual(self.at_exit, [])
        # The pipe is closed at both ends: twistd has closed its own.
        self.assertEqual(self.read(), b"")

    def test_without_twistd_nothing_is_installed(self) -> None:
        report = StartReport(None)
        report.begin()
        report.forked()
        report.started()
        report.complete()
        self.assertEqual(self.at_exit, [])
        self.assertEqual(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)
        os.close(self.twistd["statusPipe"])

    def test_signal_is_reported_and_then_ends_the_process_even_as_pid_1(self) -> None:
        self.patch(os, "kill", lambda pid, number: self.deaths.append((pid, number)))
        self.patch(os, "_exit", lambda status: self.deaths.append((0, status)))
        for number, name in ((signal.SIGTERM, b"SIGTERM"), (signal.SIGINT, b"SIGINT")):
            self.setUp()
            self.begin()
            with capturedLogs() as events:
                signal.raise_signal(number)
            self.assertEqual(self.read(), b"1 stopped by " + name + b" during the start")
            self.assertEqual(self.deaths, [(os.getpid(), number), (0, 128 + number)])
            self.assertEqual(signal.getsignal(number), signal.SIG_DFL)
            self.assertEqual(len(events), 1)

    def test_signal_before_the_pipe_is_known_is_reported_too(self) -> None:
        self.patch(os, "kill", lambda *_given: None)
        self.patch(os, "_exit", lambda _status: None)
        StartReport(self.twistd).begin()
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.read(), b"1 stopped by SIGTERM during the start")
        os.close(self.twistd["statusPipe"])

    def test_reactor_finds_python_s_handler_of_sigint_when_it_starts(self) -> None:
        report = self.begin()
        self.assertNotEqual(signal.getsignal(signal.SIGINT), signal.default_int_handler)
        report.started()
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.default_int_handler)

    def test_ignored_signals_stay_ignored(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        report = self.begin()
        report.started()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.assertEqual(signal.getsignal(number), signal.SIG_IGN)

    def test_foreground_process_reports_where_its_log_does_not_appear(self) -> None:
        os.close(self.twistd["statusPipe"])
        for options, is_reported in (
            ({"nodaemon": True, "logfile": "x"}, True),
            ({"nodaemon": True, "syslog": True}, True),
            ({"nodaemon": True, "logger": print}, True),
            ({"nodaemon": True, "logfile": "-"}, False),
            ({"nodaemon": True}, False),
            ({"logfile": "x"}, False),
        ):
            prompt = io.StringIO()
            self.patch(sys, "__stderr__", prompt)
            self.assertRaises(SystemExit, StartReport(options).fail, "no")
            self.assertEqual(prompt.getvalue(), "wsrelay: no\n" if is_reported else "")
