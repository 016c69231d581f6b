"""The probe on a clock."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.probe import INTERVAL_SECONDS, SECOND_LOOK_SECONDS, TIMEOUT_SECONDS, Probe


class ProbeTests(SynchronousTestCase):
    """There and back, or not."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.lost: list[str] = []
        self.backs = 0
        self.failure: Exception | None = None
        clock: Any = self.clock
        self.probe = Probe(self.send, self.back, self.lost.append, clock, Random(1))

    def back(self) -> None:
        self.backs += 1

    async def send(self, payload: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append(payload)

    def test_comes_back(self) -> None:
        """A number that comes back proves the way, and the next one is sent after the interval."""
        self.probe.start()
        self.assertFalse(self.probe.is_back)
        self.assertNotEqual(self.probe.problem, "")
        self.probe.came_back(self.sent[0])
        self.assertEqual((self.probe.is_back, self.probe.problem, self.backs), (True, "", 1))
        self.clock.advance(INTERVAL_SECONDS)
        self.assertEqual(len(set(self.sent)), 2)
        self.assertTrue(self.probe.is_back)
        self.assertEqual(self.lost, [])

    def give_it_time(self) -> None:
        """Let the deadline pass, and the second look."""
        self.clock.advance(TIMEOUT_SECONDS)
        self.clock.advance(SECOND_LOOK_SECONDS)

    def test_late_by_a_stall(self) -> None:
        """What is there when the reactor comes round late is not missing."""
        self.probe.start()
        self.clock.advance(TIMEOUT_SECONDS)
        self.probe.came_back(self.sent[0])
        self.clock.advance(SECOND_LOOK_SECONDS)
        self.assertEqual((self.lost, self.probe.is_back), ([], True))

    def test_does_not_come_back(self) -> None:
        """A number that does not come back in time is the end of these connections, and nothing more is sent."""
        self.probe.start()
        self.give_it_time()
        self.assertEqual(self.lost, ["a message of our own did not come back through Redis"])
        self.assertFalse(self.probe.is_back)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_old_number(self) -> None:
        """A number of before, or of somebody else, proves nothing."""
        self.probe.start()
        self.probe.start()
        for payload in (self.sent[0], b"x"):
            self.probe.came_back(payload)
            self.assertFalse(self.probe.is_back)
        self.probe.came_back(self.sent[1])
        self.assertTrue(self.probe.is_back)

    def test_too_late(self) -> None:
        """What comes back after a connection was lost proves nothing."""
        self.probe.start()
        self.probe.failed()
        self.probe.came_back(self.sent[0])
        self.assertFalse(self.probe.is_back)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cannot_be_sent(self) -> None:
        """Why a number cannot be sent is why the connections are given up."""
        self.failure = RuntimeError("this server is a replica")
        self.probe.start()
        self.assertEqual((self.lost, self.probe.problem), (["this server is a replica"], "this server is a replica"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_held(self) -> None:
        """While nothing is read, what does not come back proves nothing; then a new number has all its time."""
        self.probe.start()
        self.probe.hold(True)
        self.give_it_time()
        self.assertEqual((len(self.sent), self.lost), (2, []))
        self.clock.advance(TIMEOUT_SECONDS)
        self.probe.hold(False)
        self.assertEqual(len(self.sent), 3)
        self.clock.advance(SECOND_LOOK_SECONDS + 1)
        self.assertEqual(self.lost, [])
        self.give_it_time()
        self.assertEqual(len(self.lost), 1)

    def test_held_between_two(self) -> None:
        """A hold while no number is out changes nothing."""
        self.probe.start()
        self.probe.came_back(self.sent[0])
        self.probe.hold(True)
        self.probe.hold(False)
        self.assertEqual(len(self.sent), 1)

    def test_stop(self) -> None:
        """Stopping leaves no timer."""
        self.probe.start()
        self.probe.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_names(self) -> None:
        """Two processes have names of their own."""
        clock: Any = self.clock
        rng = Random(1)
        names = {Probe(self.send, self.back, self.lost.append, clock, rng).name for _ in range(100)}
        self.assertEqual(len(names), 100)
