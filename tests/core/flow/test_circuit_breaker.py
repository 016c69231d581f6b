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
        """The upper end."""
        return b


class CircuitBreakerTests(SynchronousTestCase):
    """The states, one after the other; every pause is as long as it may be."""

    def setUp(self) -> None:
        self.breaker = CircuitBreaker(Highest(), failures=3, pause=1.0, longest=3.0)

    def fail_at(self, now: float, times: int = 1) -> None:
        """So many requests are made and fail at once."""
        for _ in range(times):
            self.assertTrue(self.breaker.allows(now))
            self.breaker.failed(now, now)

    def test_closed(self) -> None:
        """While the server works everything is let through."""
        self.assertFalse(self.breaker.is_open)
        self.assertTrue(all(self.breaker.allows(0.0) for _ in range(10)))

    def test_opens(self) -> None:
        """So many failures in a row, and no request is made until the pause is over."""
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.is_open)
        self.assertEqual([self.breaker.allows(now) for now in (0.0, 0.9, 1.0)], [False, False, True])

    def test_not_in_a_row(self) -> None:
        """Failures with a success between them are not in a row."""
        for now in range(10):
            self.fail_at(now, times=2)
            self.breaker.succeeded()
        self.assertFalse(self.breaker.is_open)

    def test_one_trial(self) -> None:
        """After the pause one request is made, and no other one before its outcome is known, however long it takes."""
        self.fail_at(0.0, times=3)
        self.assertEqual([self.breaker.allows(now) for now in (1.0, 1.0, 100.0)], [True, False, False])
        self.assertTrue(self.breaker.is_open)

    def test_trial_succeeds(self) -> None:
        """A trial that succeeds ends the outage: failures and pauses count from the beginning."""
        self.fail_at(0.0, times=3)
        self.fail_at(1.0)
        self.assertTrue(self.breaker.allows(3.0))
        self.breaker.succeeded()
        self.assertFalse(self.breaker.is_open)
        self.fail_at(4.0, times=3)
        self.assertEqual([self.breaker.allows(now) for now in (4.9, 5.0)], [False, True])

    def test_trial_fails(self) -> None:
        """Each trial that fails makes the pause longer, up to the longest, and a single one does it."""
        self.fail_at(0.0, times=3)
        for trial, pause in ((1.0, 2.0), (3.0, 3.0), (6.0, 3.0)):
            self.fail_at(trial)
            self.assertTrue(self.breaker.is_open)
            self.assertFalse(self.breaker.allows(trial + pause - 0.1))
        self.assertTrue(self.breaker.allows(9.0))

    def test_trial_given_up(self) -> None:
        """A trial that will have no outcome makes room for another one at once."""
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.allows(1.0))
        self.breaker.given_up(1.0)
        self.assertTrue(self.breaker.is_open)
        self.assertEqual([self.breaker.allows(1.0), self.breaker.allows(1.0)], [True, False])

    def test_given_up_while_closed(self) -> None:
        """Requests without an outcome prove nothing."""
        self.fail_at(0.0, times=2)
        self.breaker.given_up(0.0)
        self.assertFalse(self.breaker.is_open)
        self.fail_at(0.0)
        self.assertTrue(self.breaker.is_open)

    def test_late_failure_in_the_pause(self) -> None:
        """What was under way when the server was given up does not make the pause longer."""
        self.fail_at(0.0, times=3)
        self.breaker.failed(0.9, 0.0)
        self.assertTrue(self.breaker.allows(1.0))

    def test_late_ends_during_the_trial(self) -> None:
        """What was under way before neither fails the trial nor gives it up."""
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.allows(1.0))
        self.breaker.failed(1.5, 0.0)
        self.breaker.given_up(0.0)
        self.assertFalse(self.breaker.allows(1.5))
        self.breaker.failed(2.0, 1.0)
        self.assertEqual([self.breaker.allows(now) for now in (3.9, 4.0)], [False, True])

    def test_late_failures_after_the_trial(self) -> None:
        """What was under way before the outage does not bring it back."""
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.allows(1.0))
        self.breaker.succeeded()
        for _ in range(3):
            self.breaker.failed(2.0, 0.0)
        self.assertFalse(self.breaker.is_open)

    def test_late_success(self) -> None:
        """A request of before that succeeds is good news: nobody waits for the pause to end."""
        self.fail_at(0.0, times=3)
        self.breaker.succeeded()
        self.assertTrue(self.breaker.allows(0.5))
        self.assertFalse(self.breaker.is_open)

    def test_trial_fails_after_a_late_success(self) -> None:
        """A trial that is overtaken by good news is a request like any other."""
        self.fail_at(0.0, times=3)
        self.assertTrue(self.breaker.allows(1.0))
        self.breaker.succeeded()
        self.breaker.failed(2.0, 1.0)
        self.assertFalse(self.breaker.is_open)
        self.fail_at(2.0, times=2)
        self.assertTrue(self.breaker.is_open)

    @given(st.integers(0, 2**32))
    def test_pauses(self, seed: int) -> None:
        """Whatever the dice say, the first pause lies between half of what it may be and all of it."""
        breaker = CircuitBreaker(Random(seed), failures=1, pause=4.0)
        breaker.failed(0.0, 0.0)
        self.assertEqual([breaker.allows(1.99), breaker.allows(4.0)], [False, True])

    @given(st.lists(st.tuples(st.sampled_from(["ask", "fail", "succeed", "give up"]), st.floats(0, 40)), max_size=60))
    def test_never_stuck(self, steps: list[tuple[str, float]]) -> None:
        """Whatever happens: with an outcome for each request that was allowed, one is allowed again after the pause."""
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
                    breaker.given_up(asked)
        self.assertEqual(under_way, [])
        self.assertTrue(breaker.allows(now + 30.0))
