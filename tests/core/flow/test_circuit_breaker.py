"""Tests of `wsrelay.core.flow.circuit_breaker`."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.circuit_breaker import CircuitBreaker


class Highest(Random):
    """Always draws the upper end."""

    def uniform(self, _a: float, b: float) -> float:
        """Return the upper end."""
        return b


class CircuitBreakerTests(SynchronousTestCase):
    """The states, one after the other; every pause is as long as it may be."""

    def setUp(self) -> None:
        self.breaker = CircuitBreaker(Highest(), failures=3, pause=1.0, longest=3.0)

    def fail_at(self, now: float, times: int = 1) -> None:
        """Make so many requests, which fail at once."""
        for _ in range(times):
            self.assertTrue(self.breaker.allows(now))
            self.breaker.failed(now, now)

    def test_every_request_is_allowed_while_closed(self) -> None:
        self.assertFalse(self.breaker.is_open)
        self.assertTrue(all(self.breaker.allows(0.0) for _ in range(10)))

    def test_failures_in_a_row_open_it_for_the_pause(self) -> None:
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.is_open)
        self.assertEqual([self.breaker.allows(now) for now in (0.0, 0.9, 1.0)], [False, False, True])

    def test_success_between_failures_keeps_it_closed(self) -> None:
        for now in range(10):
            self.fail_at(now, times=2)
            self.breaker.succeeded()
        self.assertFalse(self.breaker.is_open)

    def test_one_trial_is_allowed_after_the_pause(self) -> None:
        """And no other request before its outcome is known, however long it takes."""
        self.fail_at(0.0, times=3)
        self.assertEqual([self.breaker.allows(now) for now in (1.0, 1.0, 100.0)], [True, False, False])
        self.assertTrue(self.breaker.is_open)

    def test_successful_trial_closes_it_and_counts_begin_anew(self) -> None:
        self.fail_at(0.0, times=3)
        self.fail_at(1.0)
        self.assertTrue(self.breaker.allows(3.0))
        self.breaker.succeeded()
        self.assertFalse(self.breaker.is_open)
        self.fail_at(4.0, times=3)
        self.assertEqual([self.breaker.allows(now) for now in (4.9, 5.0)], [False, True])

    def test_each_failed_trial_lengthens_the_pause_up_to_the_longest(self) -> None:
        self.fail_at(0.0, times=3)
        for trial, pause in ((1.0, 2.0), (3.0, 3.0), (6.0, 3.0)):
            self.fail_at(trial)
            self.assertTrue(self.breaker.is_open)
            self.assertFalse(self.breaker.allows(trial + pause - 0.1))
        self.assertTrue(self.breaker.allows(9.0))

    def test_abandoned_trial_makes_room_for_another_at_once(self) -> None:
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.allows(1.0))
        self.breaker.abandoned(1.0)
        self.assertTrue(self.breaker.is_open)
        self.assertEqual([self.breaker.allows(1.0), self.breaker.allows(1.0)], [True, False])

    def test_abandoned_request_while_closed_proves_nothing(self) -> None:
        self.fail_at(0.0, times=2)
        self.breaker.abandoned(0.0)
        self.assertFalse(self.breaker.is_open)
        self.fail_at(0.0)
        self.assertTrue(self.breaker.is_open)

    def test_late_failure_does_not_lengthen_the_pause(self) -> None:
        self.fail_at(0.0, times=3)
        self.breaker.failed(0.9, 0.0)
        self.assertTrue(self.breaker.allows(1.0))

    def test_late_outcomes_neither_fail_nor_abandon_the_trial(self) -> None:
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.allows(1.0))
        self.breaker.failed(1.5, 0.0)
        self.breaker.abandoned(0.0)
        self.assertFalse(self.breaker.allows(1.5))
        self.breaker.failed(2.0, 1.0)
        self.assertEqual([self.breaker.allows(now) for now in (3.9, 4.0)], [False, True])

    def test_late_failures_after_the_trial_do_not_open_it_again(self) -> None:
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.allows(1.0))
        self.breaker.succeeded()
        for _ in range(3):
            self.breaker.failed(2.0, 0.0)
        self.assertFalse(self.breaker.is_open)

    def test_late_success_closes_it_before_the_pause_ends(self) -> None:
        self.fail_at(0.0, times=3)
        self.breaker.succeeded()
        self.assertTrue(self.breaker.allows(0.5))
        self.assertFalse(self.breaker.is_open)

    def test_trial_that_fails_after_a_late_success_counts_as_one_failure(self) -> None:
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.allows(1.0))
        self.breaker.succeeded()
        self.breaker.failed(2.0, 1.0)
        self.assertFalse(self.breaker.is_open)
        self.fail_at(2.0, times=2)
        self.assertTrue(self.breaker.is_open)

    @given(st.integers(0, 2**32))
    def test_first_pause_is_between_half_of_the_longest_and_all_of_it(self, seed: int) -> None:
        breaker = CircuitBreaker(Random(seed), failures=1, pause=4.0)
        breaker.failed(0.0, 0.0)
        self.assertEqual([breaker.allows(1.99), breaker.allows(4.0)], [False, True])

    @given(st.lists(st.tuples(st.sampled_from(["ask", "fail", "succeed", "abandon"]), st.floats(0, 40)), max_size=60))
    def test_a_request_is_allowed_again_after_the_pause_whatever_happens(self, steps: list[tuple[str, float]]) -> None:
        """If every allowed request has an outcome."""
        breaker, now, under_way = CircuitBreaker(Random(1), failures=2), 0.0, list[float]()
        for step, pause in [*steps, *[("fail", 0.0)] * len(steps)]:
            now += pause
            if step == "ask":
                under_way += [now] if breaker.allows(now) else []
            elif under_way:
                asked = under_way.pop(0)
                if step == "succeed":
                    breaker.succeeded()
                elif step == "fail":
                    breaker.failed(now, asked)
                else:
                    breaker.abandoned(asked)
        self.assertEqual(under_way, [])
        self.assertTrue(breaker.allows(now + 30.0))
