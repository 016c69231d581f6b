"""Tests of `wsrelay.engine.backend_events`."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import log_lines
from wsrelay.engine.backend_events import EVENTS_PER_BATCH, MAX_QUEUED_EVENTS, RETRY_SECONDS, BackendEvents
from wsrelay.metrics.counters import Counters
from wsrelay.testing.event_logs import RecordingEventLog


class BackendEventsTests(SynchronousTestCase):
    """Events on their way."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.event_log = RecordingEventLog()
        self.is_ready = True
        self.counters = Counters()
        self.events = BackendEvents(self.event_log, "node", lambda: self.is_ready, self.clock, self.counters)

    def add(self, *numbers: int) -> None:
        """Add an event for each number."""
        for number in numbers:
            self.events.add({"event": f"{number}"})

    @property
    def written(self) -> list[int]:
        """The numbers of the events that were written."""
        return [int(each["event"]) for each in self.event_log.events]

    @property
    def counted(self) -> tuple[int, int]:
        """How many were counted as written, and as lost."""
        return self.counters.events_written, self.counters.events_lost

    def test_events_of_one_turn_are_written_together_at_its_end(self) -> None:
        self.add(1, 2)
        self.assertEqual(self.written, [])
        self.clock.advance(0)
        self.assertEqual(self.event_log.batches, [[{"event": "1", "node": "node"}, {"event": "2", "node": "node"}]])
        self.assertEqual((self.counted, len(self.events), self.clock.getDelayedCalls()), ((2, 0), 0, []))

    def test_one_batch_is_written_at_a_time_and_order_is_kept(self) -> None:
        self.event_log.appending = Deferred()
        self.add(*range(EVENTS_PER_BATCH + 50))
        self.clock.advance(0)
        self.add(1000)
        self.clock.advance(60)
        self.assertEqual([len(batch) for batch in self.event_log.batches], [EVENTS_PER_BATCH])
        appending, self.event_log.appending = self.event_log.appending, None
        appending.callback(EVENTS_PER_BATCH)
        self.assertEqual(self.written, [*range(EVENTS_PER_BATCH + 50), 1000])
        self.assertEqual(self.counted, (EVENTS_PER_BATCH + 51, 0))

    def test_events_wait_while_the_broker_is_away(self) -> None:
        self.is_ready = False
        self.add(1, 2)
        self.clock.pump([0, *[RETRY_SECONDS] * 5])
        self.assertEqual((self.written, len(self.events)), ([], 2))
        self.is_ready = True
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual((self.written, self.counted), ([1, 2], (2, 0)))

    def test_events_beyond_the_limit_are_lost_counted_and_logged_once_a_minute(self) -> None:
        self.is_ready = False
        with capturedLogs() as events:
            self.add(*range(MAX_QUEUED_EVENTS + 3))
        self.assertEqual((len(self.events), self.counted, len(log_lines(events))), (MAX_QUEUED_EVENTS, (0, 3), 1))
        self.is_ready = True
        self.clock.advance(0)
        self.assertEqual(self.written, list(range(MAX_QUEUED_EVENTS)))

    def test_events_that_the_broker_did_not_take_are_lost_and_counted(self) -> None:
        self.event_log.appending = Deferred()
        self.add(1, 2, 3)
        self.clock.advance(0)
        self.event_log.appending.callback(1)
        self.assertEqual((self.counted, len(self.events)), ((1, 2), 0))

    def test_failure_of_the_event_log_does_not_end_the_writing(self) -> None:
        self.event_log.appending = Deferred()
        self.add(*range(EVENTS_PER_BATCH + 1))
        self.clock.advance(0)
        appending, self.event_log.appending = self.event_log.appending, None
        appending.errback(RuntimeError("a mistake"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(self.written[-1], EVENTS_PER_BATCH)

    def test_stop_writes_what_waits(self) -> None:
        self.add(1, 2)
        self.successResultOf(self.events.stop())
        self.assertEqual((self.written, self.clock.getDelayedCalls()), ([1, 2], []))
        self.add(3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_waits_for_the_batch_that_is_being_written(self) -> None:
        self.event_log.appending = Deferred()
        self.add(1)
        self.clock.advance(0)
        stopped = self.events.stop()
        self.assertNoResult(stopped)
        self.event_log.appending.callback(1)
        self.successResultOf(stopped)

    def test_stop_gives_up_what_a_broker_that_is_away_cannot_take(self) -> None:
        self.is_ready = False
        self.add(1, 2)
        self.successResultOf(self.events.stop())
        self.assertEqual((self.counted, len(self.events)), ((0, 2), 0))
