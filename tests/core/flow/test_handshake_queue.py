"""Tests of wsrelay.core.flow.handshake_queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.handshake_queue import (
    LONGEST_SLICE_SECONDS,
    MAX_WAIT_SECONDS,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    QUIET_SECONDS,
    SLICE_SECONDS,
    HandshakeQueue,
)

COST = SLICE_SECONDS / 5


class HandshakeQueueTests(SynchronousTestCase):
    """Handshakes that take a fifth of a slice each."""

    def setUp(self) -> None:
        self.queue: HandshakeQueue[str] = HandshakeQueue()
        self.now = 100.0

    def begin(self) -> bool:
        """Let one more handshake come; return whether it began at once."""
        if not self.queue.may_begin(self.now):
            return False
        self.end()
        return True

    def end(self, cost: float = COST) -> None:
        """Let a handshake begin that need not wait."""
        began, self.now = self.now, self.now + cost
        self.queue.ended(began, self.now)

    def add(self, *names: str, size: int = 10) -> None:
        """Have handshakes wait."""
        for name in names:
            self.queue.add(name, size, self.now)

    def run_slice(self, *, follows: bool = False, cost: float = COST) -> list[str]:
        """Run one slice; return the handshakes that were taken in it."""
        taken = []
        self.queue.begin_slice(self.now, follows=follows)
        while (entry := self.queue.take(self.now)) is not None:
            taken.append(entry[0])
            self.now += cost
        return taken

    def test_handshakes_of_a_quiet_moment_begin_at_once_until_they_have_taken_a_slice(self) -> None:
        self.assertEqual([self.begin() for _ in range(7)], [True] * 5 + [False] * 2)

    def test_those_after_a_pause_begin_at_once_again(self) -> None:
        while self.begin():
            pass
        self.now += QUIET_SECONDS * 0.9
        self.assertFalse(self.begin())
        self.now += QUIET_SECONDS * 0.2
        self.assertTrue(self.begin())

    def test_handshake_waits_behind_those_that_wait_however_quiet_it_is(self) -> None:
        self.add("a")
        self.now += 1
        self.assertFalse(self.begin())

    def test_those_that_wait_are_taken_in_their_order_and_a_slice_at_a_time(self) -> None:
        self.add(*"abcdefgh")
        self.assertEqual(self.run_slice(), list("abcde"))
        self.assertEqual(self.run_slice(follows=True), list("fgh"))
        self.assertEqual((len(self.queue), self.queue.waiting_bytes), (0, 0))

    def test_those_that_come_behind_a_slice_have_what_is_left_of_it(self) -> None:
        self.add(*"abc")
        self.run_slice()
        self.assertEqual([self.begin() for _ in range(3)], [True, True, False])

    def test_slice_takes_one_handshake_however_long_it_takes(self) -> None:
        self.add(*"ab")
        self.assertEqual(self.run_slice(cost=1), ["a"])

    def test_slice_that_ends_before_it_has_begun_takes_one_handshake(self) -> None:
        self.add(*"ab")
        self.queue.begin_slice(self.now, follows=False)
        self.now += 1
        self.assertEqual([self.queue.take(self.now), self.queue.take(self.now)], [("a", 1.0), None])

    def test_slice_is_as_long_as_the_rest_of_a_turn_within_limits(self) -> None:
        self.add(*(str(number) for number in range(500)))
        self.run_slice()
        self.now += 0.04
        self.assertEqual(len(self.run_slice(follows=True)), round(0.04 / COST))
        self.now += 60
        self.assertEqual(len(self.run_slice(follows=True)), round(LONGEST_SLICE_SECONDS / COST))

    def test_first_slice_of_a_queue_is_a_short_one(self) -> None:
        self.add("z")
        self.run_slice()
        self.now += 60
        self.add(*"abcdefgh")
        self.assertEqual(len(self.run_slice()), 5)

    def test_handshake_that_leaves_is_not_taken_and_its_bytes_are_free(self) -> None:
        self.add(*"abc")
        self.assertEqual([self.queue.remove("b"), self.queue.remove("b")], [True, False])
        self.assertEqual((len(self.queue), self.queue.waiting_bytes), (2, 20))
        self.assertEqual(self.run_slice(), ["a", "c"])

    def test_how_long_each_waited_is_told(self) -> None:
        self.add("a")
        self.now += 2
        self.queue.begin_slice(self.now, follows=False)
        self.assertEqual(self.queue.take(self.now), ("a", 2.0))

    def test_wait_is_estimated_by_how_long_it_took_from_one_handshake_to_the_next(self) -> None:
        self.add(*(str(number) for number in range(20_000)))
        for turn in range(400):
            self.run_slice(follows=turn > 0)
            # What else a turn takes: two milliseconds a handshake in all.
            self.now += SLICE_SECONDS
        expected = (len(self.queue) + 1) * 2 * COST
        self.assertApproximates(self.queue.wait_seconds, expected, 0.05 * expected)

    def test_slow_first_handshake_does_not_make_the_estimate_of_those_behind_it(self) -> None:
        self.end(0.3)
        self.add(*(str(number) for number in range(1000)))
        self.assertLess(self.queue.wait_seconds, MAX_WAIT_SECONDS)

    def test_long_stop_of_the_process_is_forgotten_within_a_second(self) -> None:
        self.add("first", *"abcd")
        self.run_slice()
        self.now += 60
        self.add(*(str(number) for number in range(2000)))
        self.run_slice(follows=True)
        for _ in range(200):
            self.run_slice(follows=True)
        self.assertLess(self.queue.wait_seconds / (len(self.queue) + 1), 2 * COST)

    def test_slice_in_which_all_have_waited_too_long_is_no_measure(self) -> None:
        self.add("a", "b")
        before = self.queue.wait_seconds / 3
        self.now += 2 * MAX_WAIT_SECONDS
        self.run_slice(cost=SLICE_SECONDS)
        self.run_slice(follows=True)
        self.assertAlmostEqual(self.queue.wait_seconds, before)

    def test_room_is_bounded_in_number_and_in_bytes(self) -> None:
        self.assertTrue(self.queue.has_room(MAX_WAITING_BYTES))
        self.assertFalse(self.queue.has_room(MAX_WAITING_BYTES + 1))
        self.add(*(str(number) for number in range(MAX_WAITING - 1)), size=0)
        self.assertTrue(self.queue.has_room(1))
        self.add("last", size=1)
        self.assertFalse(self.queue.has_room(1))

    def test_what_a_client_sends_while_it_waits_is_counted_with_its_request(self) -> None:
        self.add("a", "b")
        self.assertTrue(self.queue.grow("a", 5))
        self.assertEqual(self.queue.waiting_bytes, 25)
        self.assertFalse(self.queue.grow("a", MAX_WAITING_BYTES))
        self.assertEqual(self.run_slice(), ["a", "b"])
        self.assertEqual(self.queue.waiting_bytes, 0)

    @given(st.lists(st.sampled_from(["add", "remove", "slice", "pass"]), max_size=60))
    def test_every_handshake_is_taken_once_or_leaves_and_the_first_is_never_overtaken(self, steps: list[str]) -> None:
        self.setUp()
        waiting: list[str] = []
        for number, step in enumerate(steps):
            if step == "add":
                self.add(str(number))
                waiting.append(str(number))
            elif step == "remove" and waiting:
                self.assertTrue(self.queue.remove(waiting.pop(number % len(waiting))))
            elif step == "slice":
                taken = self.run_slice()
                self.assertEqual(taken, waiting[: len(taken)])
                waiting = waiting[len(taken) :]
            else:
                self.now += 0.001
            self.assertEqual((len(self.queue), self.queue.waiting_bytes), (len(waiting), 10 * len(waiting)))
