"""Tests of `wsrelay.brokers.redis.probe` on a fake clock."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.probe import GRACE_SECONDS, INTERVAL_SECONDS, TIMEOUT_SECONDS, Probe
from wsrelay.brokers.redis.problems import NO_PROBLEM, Problem, RedisProblemError
from wsrelay.brokers.redis.request_protocol import ResponseError


class ProbeTests(SynchronousTestCase):
    """Replies, failures and pauses."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.failures: list[Problem] = []
        self.replies = 0
        self.send_error: Exception | None = None
        clock: Any = self.clock
        self.probe = Probe(self.send, self.on_reply, self.failures.append, clock, Random(1))

    def on_reply(self) -> None:
        self.replies += 1

    async def send(self, payload: bytes) -> None:
        if self.send_error is not None:
            raise self.send_error
        self.sent.append(payload)

    def test_reply_makes_the_probe_healthy_and_the_next_payload_follows_after_the_interval(self) -> None:
        self.probe.start()
        self.assertFalse(self.probe.is_healthy)
        self.assertNotEqual(self.probe.problem, NO_PROBLEM)
        self.probe.reply_received(self.sent[0])
        self.assertEqual((self.probe.is_healthy, self.probe.problem, self.replies), (True, NO_PROBLEM, 1))
        self.clock.advance(INTERVAL_SECONDS)
        self.assertEqual(len(set(self.sent)), 2)
        self.assertTrue(self.probe.is_healthy)
        self.assertEqual(self.failures, [])

    def pass_deadline(self) -> None:
        """Let the timeout and the grace pass."""
        self.clock.advance(TIMEOUT_SECONDS)
        self.clock.advance(GRACE_SECONDS)

    def test_reply_within_the_grace_is_not_missing(self) -> None:
        """A busy reactor runs timers before it reads."""
        self.probe.start()
        self.clock.advance(TIMEOUT_SECONDS)
        self.probe.reply_received(self.sent[0])
        self.clock.advance(GRACE_SECONDS)
        self.assertEqual((self.failures, self.probe.is_healthy), ([], True))

    def test_missing_reply_is_a_failure_and_nothing_more_is_sent(self) -> None:
        self.probe.start()
        self.pass_deadline()
        self.assertEqual(self.failures, [Problem("a probe message did not come back through Redis")])
        self.assertFalse(self.probe.is_healthy)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_payload_that_is_passed_over_is_as_good_as_a_reply_and_the_next_one_follows(self) -> None:
        self.probe.start()
        self.probe.pass_over()
        self.assertEqual((self.probe.is_healthy, self.probe.problem, self.replies), (True, NO_PROBLEM, 0))
        self.clock.advance(INTERVAL_SECONDS)
        self.assertEqual(len(self.sent), 2)
        self.pass_deadline()
        self.assertEqual(len(self.failures), 1)

    def test_payload_is_not_passed_over_after_the_stop(self) -> None:
        self.probe.start()
        self.probe.stop()
        self.probe.pass_over()
        self.assertFalse(self.probe.is_healthy)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reply_with_an_old_or_foreign_payload_is_ignored(self) -> None:
        self.probe.start()
        self.probe.start()
        for payload in (self.sent[0], b"x"):
            self.probe.reply_received(payload)
            self.assertFalse(self.probe.is_healthy)
        self.probe.reply_received(self.sent[1])
        self.assertTrue(self.probe.is_healthy)

    def test_reply_after_the_stop_is_ignored(self) -> None:
        self.probe.start()
        self.probe.stop()
        self.probe.reply_received(self.sent[0])
        self.assertFalse(self.probe.is_healthy)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure_to_send_is_the_problem(self) -> None:
        """Without what the server said of its user."""
        replica = Problem("it is a replica")
        forbidden = ResponseError("NOPERM User svc-relay has no permissions to run the 'publish' command")
        for error, problem in (
            (RedisProblemError(replica), replica),
            (forbidden, Problem("the ACL user may not do what the relay needs (NOPERM)", str(forbidden))),
        ):
            self.send_error = error
            self.probe.start()
            self.assertEqual((self.failures.pop(), self.probe.problem), (problem, problem))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_missing_reply_while_paused_is_no_failure(self) -> None:
        """After `resume` a new payload has all its time."""
        self.probe.start()
        self.probe.pause()
        self.pass_deadline()
        self.assertEqual((len(self.sent), self.failures), (2, []))
        self.clock.advance(TIMEOUT_SECONDS)
        self.probe.resume()
        self.assertEqual(len(self.sent), 3)
        self.clock.advance(GRACE_SECONDS + 1)
        self.assertEqual(self.failures, [])
        self.pass_deadline()
        self.assertEqual(len(self.failures), 1)

    def test_pause_between_two_payloads_changes_nothing(self) -> None:
        self.probe.start()
        self.probe.reply_received(self.sent[0])
        self.probe.pause()
        self.probe.resume()
        self.assertEqual(len(self.sent), 1)

    def test_stop_leaves_no_timer(self) -> None:
        self.probe.start()
        self.probe.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_names_of_processes_differ(self) -> None:
        clock: Any = self.clock
        rng = Random(1)
        names = {Probe(self.send, self.on_reply, self.failures.append, clock, rng).name for _ in range(100)}
        self.assertEqual(len(names), 100)
