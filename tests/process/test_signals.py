"""Tests of `wsrelay.process.signals`, with signals to this process."""

from __future__ import annotations

import os
import pty
import signal
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.signals import ignore_further_signals, reap_orphans, reload_on_hangup


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

        # The descriptor of a closed stream: it is no terminal either.
        reload_on_hangup(Reactor(), lambda: reloads.append(None), stdin=-1)
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(reloads, [])
        scheduled[0]()
        self.assertEqual(reloads, [None])

    def test_hangup_of_the_terminal_ends_the_process_as_usual(self) -> None:
        self.restore_later(signal.SIGHUP)
        before = signal.getsignal(signal.SIGHUP)
        terminal, stdin = pty.openpty()
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.close, stdin)
        reload_on_hangup(None, self.fail, stdin)
        self.assertIs(signal.getsignal(signal.SIGHUP), before)

    def test_pid_1_lets_the_kernel_reap_orphans_and_other_processes_do_not(self) -> None:
        self.restore_later(signal.SIGCHLD)
        before = signal.getsignal(signal.SIGCHLD)
        reap_orphans()
        self.assertIs(signal.getsignal(signal.SIGCHLD), before)
        reap_orphans(lambda: 1)
        self.assertEqual(signal.getsignal(signal.SIGCHLD), signal.SIG_IGN)

    def test_further_signals_are_logged_and_change_nothing(self) -> None:
        self.restore_later(signal.SIGTERM, signal.SIGINT)
        ignore_further_signals()
        with capturedLogs() as events:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        self.assertEqual([event["log_format"] for event in events], ["already stopping"] * 2)
