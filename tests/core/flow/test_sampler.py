"""Tests of `wsrelay.core.flow.sampler`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.sampler import INTERVAL_SECONDS, MAX_KINDS, Sampler, left_out_text


class SamplerTests(SynchronousTestCase):
    """The choice among many alike."""

    def setUp(self) -> None:
        self.sampler = Sampler()

    def test_as_many_as_the_limit_are_taken_in_an_interval(self) -> None:
        taken = [self.sampler.take("a", 2, now) for now in (0.0, 1.0, 2.0, 3.0)]
        self.assertEqual(taken, [0, 0, None, None])

    def test_first_of_the_next_interval_says_how_many_were_left_out(self) -> None:
        for now in (0.0, 1.0, 2.0):
            self.sampler.take("a", 1, now)
        later = [self.sampler.take("a", 2, now) for now in (INTERVAL_SECONDS, INTERVAL_SECONDS + 1)]
        self.assertEqual(later, [2, 0])

    def test_kinds_are_counted_apart(self) -> None:
        self.assertEqual([self.sampler.take(kind, 1, 0.0) for kind in "aba"], [0, 0, None])

    def test_number_of_kinds_is_bounded_and_the_oldest_is_forgotten(self) -> None:
        for number in range(MAX_KINDS + 1):
            self.sampler.take(number, 1, 0.0)
        self.assertEqual(len(self.sampler), MAX_KINDS)
        # Of the first nothing is known any more, and of the last one everything.
        self.assertEqual(self.sampler.take(MAX_KINDS, 1, 0.0), None)
        self.assertEqual(self.sampler.take(0, 1, 0.0), 0)

    def test_text_says_how_many_if_any(self) -> None:
        self.assertEqual((left_out_text(0), left_out_text(3)), ("", " (3 more like it since the last such line)"))
