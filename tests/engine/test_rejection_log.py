"""Tests of `wsrelay.engine.rejection_log`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.engine.rejection_log import EVERY_SECONDS, RejectionLog
from wsrelay.metrics.counters import Counters

TICKET = f"denied: {ClientError.TICKET.response.text}"
HOOK = f"denied: {ClientError.HOOK.response.text}"


class DenialLogTests(SynchronousTestCase):
    """What the operator is told."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.are_revoked = RejectionLog(self.counters, self.clock.seconds)
        self.seen = 0
        self.events = self.enterContext(capturedLogs())

    @property
    def lines(self) -> list[str]:
        """What was logged since it was last looked at."""
        new = self.events[self.seen :]
        self.seen = len(self.events)
        return [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in new]

    def test_first(self) -> None:
        """The first of a reason is a line at once, in the words that the client gets, and no error."""
        self.are_revoked.record(ClientError.TICKET)
        self.assertEqual([event["log_level"] for event in self.events], [LogLevel.info])
        self.assertEqual(self.lines, [TICKET])

    def test_all_are_counted(self) -> None:
        """Every denial is counted under its reason, whether or not it is a line."""
        for client_error, times in ((ClientError.TICKET, 3), (ClientError.HOOK, 2), (ClientError.ORIGIN, 1)):
            for _ in range(times):
                self.are_revoked.record(client_error)
        self.assertEqual(self.counters.auth_rejections, {"ticket": 3, "hook": 2, "origin": 1})
        self.assertEqual(len(self.lines), 3)

    def test_crowd(self) -> None:
        """A thousand a second are a line a minute, which says how many there were since the last one."""
        for _ in range(2):
            for _ in range(1000):
                self.are_revoked.record(ClientError.TICKET)
            self.clock.advance(EVERY_SECONDS)
        self.are_revoked.record(ClientError.TICKET)
        more = f"{TICKET} (999 more like it since the last such line)"
        self.assertEqual(self.lines, [TICKET, more, more])
        self.assertEqual(self.counters.auth_rejections["ticket"], 2001)

    def test_minute(self) -> None:
        """The minute is counted from the last line, and not from the last denial."""
        told = []
        for _ in range(5):
            self.are_revoked.record(ClientError.TICKET)
            told.append(len(self.lines))
            self.clock.advance(EVERY_SECONDS / 2 - 1)
        self.assertEqual(told, [1, 0, 0, 1, 0])

    def test_exactly_a_minute(self) -> None:
        """After exactly a minute there is a line again, and not a moment earlier; alone it says nothing of others."""
        self.are_revoked.record(ClientError.TICKET)
        self.clock.advance(EVERY_SECONDS)
        self.are_revoked.record(ClientError.TICKET)
        self.assertEqual(self.lines, [TICKET, TICKET])
        self.clock.advance(EVERY_SECONDS - 0.125)
        self.are_revoked.record(ClientError.TICKET)
        self.assertEqual(self.lines, [])

    def test_reasons_apart(self) -> None:
        """Each reason has its own minute: a crowd of one hides no other."""
        for _ in range(10):
            self.are_revoked.record(ClientError.TICKET)
        self.clock.advance(EVERY_SECONDS - 1)
        self.are_revoked.record(ClientError.HOOK)
        self.assertEqual(self.lines, [TICKET, HOOK])

    def test_explain(self) -> None:
        """An explanation is a line of its own, as rarely, and is not counted: it comes beside a denial that is."""
        for _ in range(3):
            self.are_revoked.log_detail("a ticket: it has expired")
            self.are_revoked.record(ClientError.TICKET)
        self.are_revoked.log_detail("a ticket: it is bound to another address")
        self.assertEqual(
            self.lines,
            ["denied: a ticket: it has expired", TICKET, "denied: a ticket: it is bound to another address"],
        )
        self.clock.advance(EVERY_SECONDS)
        self.are_revoked.log_detail("a ticket: it has expired")
        self.assertEqual(self.lines, ["denied: a ticket: it has expired (2 more like it since the last such line)"])
        self.assertEqual(self.counters.auth_rejections, {"ticket": 3})

    def test_braces(self) -> None:
        """A text is written as it is, also where it looks like a place to fill in."""
        self.are_revoked.record(ClientError.MALFORMED)
        self.are_revoked.log_detail("{text} {x!r} %s")
        self.assertEqual(self.lines, [f"denied: {ClientError.MALFORMED.response.text}", "denied: {text} {x!r} %s"])

    def test_bounded(self) -> None:
        """What is remembered grows with the number of reasons, and not with that of denials."""
        for _ in range(100):
            for client_error in ClientError:
                self.are_revoked.record(client_error)
            self.clock.advance(7)
        self.assertEqual(len(self.are_revoked._told), len(ClientError))
