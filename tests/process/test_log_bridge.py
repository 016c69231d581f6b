"""Tests of `wsrelay.process.log_bridge`."""

from __future__ import annotations

import gc
import logging
import sys
import threading

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.log_bridge import LoggingBridge, bridge_log


class BridgeTests(SynchronousTestCase):
    """Events of other logs in Twisted's."""

    def setUp(self) -> None:
        """Restore at the end what belongs to the whole process."""
        root = logging.getLogger()
        self.patch(root, "handlers", [])
        self.addCleanup(root.setLevel, root.level)
        for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
            self.patch(module, name, getattr(module, name))
        bridge_log("info")
        self.events = self.enterContext(capturedLogs())

    def lines(self) -> list[tuple[str, str, str]]:
        """Return level, logger and message of what was logged."""
        return [(each["log_level"].name, each["log_namespace"], formatEvent(each)) for each in self.events]

    def test_records_of_logging_keep_their_level_and_logger(self) -> None:
        log = logging.getLogger("some.library")
        for level in (10, 20, 25, 30, 40, 50, 99):
            log.log(level, "%s of %d", "one", 2)
        levels = ("info", "info", "warn", "error", "critical", "critical")
        self.assertEqual(self.lines(), [(level, "some.library", "one of 2") for level in levels])

    def test_level_that_is_set_holds_for_logging(self) -> None:
        for lowest, count in (("debug", 4), ("info", 3), ("warn", 2), ("error", 1)):
            bridge_log(lowest)
            before = len(self.events)
            for level in (10, 20, 30, 40):
                logging.getLogger("some.library").log(level, "x")
            self.assertEqual(len(self.events) - before, count, lowest)

    def test_bridge_is_there_once(self) -> None:
        bridge_log("info")
        self.assertEqual([type(each) for each in logging.getLogger().handlers], [LoggingBridge])

    def test_exception_of_a_record_is_a_failure(self) -> None:
        try:
            int("x")
        except ValueError:
            logging.getLogger("some.library").exception("it failed")
        self.assertEqual(self.lines(), [("error", "some.library", "it failed")])
        self.assertEqual(self.flush(ValueError), 1)

    def test_text_is_not_formatted_twice_and_arguments_that_do_not_fit_are_one_event(self) -> None:
        logging.getLogger("some.library").info("{x} %s", "{y}")
        logging.getLogger("some.library").info("%d", "one")
        first, second = self.lines()
        self.assertEqual(first[2], "{x} {y}")
        self.assertIn("could not be formatted: '%d'", second[2])

    def test_exception_that_nothing_caught_is_one_event(self) -> None:
        error = ValueError("why")
        sys.excepthook(ValueError, error, None)
        self.assertEqual([each[0] for each in self.lines()], ["critical"])
        self.assertEqual(self.flush(ValueError), 1)

    def test_exception_of_a_thread_is_one_event(self) -> None:
        def fail() -> None:
            raise ValueError("why")

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        self.assertEqual(self.lines(), [("error", "wsrelay", "a thread failed")])
        self.assertEqual(self.flush(ValueError), 1)

    def test_exception_that_could_not_be_raised_is_one_event(self) -> None:
        class Broken:
            def __del__(self) -> None:
                raise ValueError("why")

        Broken()
        gc.collect()
        self.assertEqual([each[0] for each in self.lines()], ["error"])
        self.assertEqual(self.flush(ValueError), 1)

    def flush(self, kind: type[Exception]) -> int:
        """Return how many failures were logged, and have trial forget them."""
        self.flushLoggedErrors(kind)
        return sum("log_failure" in each and each["log_failure"].check(kind) is not None for each in self.events)
