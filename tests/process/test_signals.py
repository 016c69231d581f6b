"""Tests of `wsrelay.process.signals`, with signals to this process."""

from __future__ import annotations

import signal
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.signals import ignore_further_signals, reload_on_hangup


class SignalTests(SynchronousTestCase):
    """Handlers of signals."""

    def restore_later(self, *numbers: signal.Signals) -> None:
        """Restore the handlers of this process after the test."""
        for number in numbers:
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def test_hangup_reloads_in_the_reactor_thread_and_not_in_the_handler(self) -> None:
        self.restore_later(signal.SIGHUP)
        scheduled: list[Any] = []
        reloads: list[None] = []

        class Reactor:
            callFromThread = staticmethod(scheduled.append)

        reload_on_hangup(Reactor(), lambda: reloads.append(None))
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(reloads, [])
        scheduled[0]()
        self.assertEqual(reloads, [None])

    def test_further_signals_are_logged_and_change_nothing(self) -> None:
        self.restore_later(signal.SIGTERM, signal.SIGINT)
        ignore_further_signals()
        with capturedLogs() as events:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        self.assertEqual([event["log_format"] for event in events], ["already stopping"] * 2)
