"""Tests of `wsrelay.process.service_manager`: what systemd is told, and when."""

from __future__ import annotations

import os
import re
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.service_manager import ServiceManager


class RecordingNotifier:
    """A notifier whose datagrams are kept.

    Attributes:
        sent: The datagrams since `take` was called.
        accepts: Whether the service manager takes datagrams.
    """

    def __init__(self) -> None:
        self.is_connected = True
        self.accepts = True
        self.sent: list[tuple[str, ...]] = []

    def send(self, *assignments: str) -> bool:
        """Keep a datagram."""
        if self.accepts:
            self.sent.append(assignments)
        return self.accepts

    def close(self) -> None:
        """Be connected to nothing."""
        self.is_connected = False

    def take(self) -> list[tuple[str, ...]]:
        """Return what was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent


class ServiceManagerTests(SynchronousTestCase):
    """One process, on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.notifier = RecordingNotifier()
        self.readiness = 200, "ready"
        self.manager = self.make()

    def make(self, *watchdog: Any) -> ServiceManager:
        """Return a service manager with a watchdog, or without one."""
        notifier: Any = self.notifier
        return ServiceManager(notifier, self.clock, *watchdog)

    def start(self, *watchdog: Any) -> None:
        """Report that the process is ready."""
        self.manager = self.make(*watchdog)
        self.manager.start(lambda: self.readiness)

    def test_start_is_reported_with_the_status_whether_or_not_redis_is_there(self) -> None:
        self.readiness = 503, "not ready: redis: Connection was refused"
        self.start()
        self.assertEqual(self.notifier.take(), [("READY=1", "STATUS=not ready: redis: Connection was refused")])

    def test_status_is_sent_when_it_changes(self) -> None:
        self.start()
        self.notifier.take()
        self.clock.pump([2.0, 2.0])
        self.assertEqual(self.notifier.take(), [])
        self.readiness = 503, "not ready: redis:\n  no answer " + "x" * 500
        self.clock.pump([2.0, 2.0])
        ((status,),) = self.notifier.take()
        self.assertTrue(status.startswith("STATUS=not ready: redis: no answer xxx"))
        self.assertEqual(len(status), len("STATUS=") + 200)

    def test_start_that_could_not_be_sent_is_sent_later(self) -> None:
        self.notifier.accepts = False
        self.start()
        self.notifier.accepts = True
        self.assertEqual(self.notifier.take(), [])
        self.clock.advance(2.0)
        self.assertEqual(self.notifier.take(), [("READY=1", "STATUS=ready")])

    def test_reload_is_enclosed_in_reports_with_the_monotonic_time(self) -> None:
        self.start()
        self.notifier.take()
        with self.manager.reloading():
            ((reloading, when),) = self.notifier.take()
        self.assertEqual(reloading, "RELOADING=1")
        self.assertRegex(when, r"^MONOTONIC_USEC=\d+$")
        self.assertEqual(self.notifier.take(), [("READY=1",)])

    def test_end_of_a_reload_is_reported_also_when_it_fails_or_cannot_be_sent_at_once(self) -> None:
        self.start()
        self.notifier.take()

        def fail() -> None:
            with self.manager.reloading():
                self.notifier.take()
                self.notifier.accepts = False
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.notifier.accepts = True
        self.clock.advance(2.0)
        self.assertEqual(self.notifier.take(), [("READY=1",)])

    def test_stop_is_reported_with_the_time_that_it_takes_and_nothing_is_ready_after_it(self) -> None:
        self.start()
        self.notifier.take()
        self.readiness = 503, "not ready: stopping"
        self.manager.stopping(25.0)
        self.assertEqual(
            self.notifier.take(), [("STOPPING=1", "EXTEND_TIMEOUT_USEC=30000000"), ("STATUS=not ready: stopping",)]
        )
        with self.manager.reloading():
            self.clock.advance(4.0)
        self.assertEqual(self.notifier.take(), [])

    def test_process_that_never_started_reports_its_end_only(self) -> None:
        with self.manager.reloading():
            self.manager.stopping(1.0)
        self.assertEqual(self.notifier.take(), [("STOPPING=1", "EXTEND_TIMEOUT_USEC=6000000")])

    def test_watchdog_is_fed_three_times_in_its_interval_also_during_the_stop(self) -> None:
        self.start(3.0, str(os.getpid()))
        self.manager.stopping(25.0)
        self.notifier.take()
        self.clock.pump([0.5] * 6)
        self.assertEqual(self.notifier.take(), [("WATCHDOG=1",)] * 3)

    def test_watchdog_of_another_process_is_not_fed(self) -> None:
        self.start(3.0, "1")
        self.clock.pump([1.0] * 6)
        self.assertNotIn(("WATCHDOG=1",), self.notifier.take())

    def test_reactor_that_came_near_the_watchdog_s_limit_is_logged(self) -> None:
        self.start(3.0)
        for seconds, warnings in ((1.9, 0), (0.1, 0), (2.2, 1), (0.8, 0)):
            with capturedLogs() as events:
                self.clock.advance(seconds)
            self.assertEqual(len(events), warnings, seconds)
            for event in events:
                text = formatEvent(event) or ""
                self.assertTrue(re.search(r"occupied for 1\.2 s; systemd ends the process after 3 s", text), text)

    def test_nothing_is_scheduled_and_nothing_done_without_a_service_manager(self) -> None:
        self.notifier.is_connected = False
        self.start(3.0)
        with self.manager.reloading():
            pass
        self.assertEqual((self.clock.getDelayedCalls(), self.notifier.take()), ([], []))

    def test_nothing_is_scheduled_after_the_end(self) -> None:
        self.start(3.0)
        self.manager.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.notifier.is_connected), ([], False))

    def test_variables_are_taken_out_of_the_environment(self) -> None:
        environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1", "HOME": "/"}
        manager = ServiceManager.take(environ, self.clock)
        self.addCleanup(manager.stop)
        self.assertEqual(environ, {"HOME": "/"})
        self.assertEqual((manager._watchdog_seconds, manager._watchdog_pid), (3.0, "1"))

    def test_interval_that_is_no_number_is_none(self) -> None:
        for text in ("", "x", "-1", "1.5", "9" * 30, "²"):
            self.assertEqual(ServiceManager.take({"WATCHDOG_USEC": text}, self.clock)._watchdog_seconds, 0.0, text)
