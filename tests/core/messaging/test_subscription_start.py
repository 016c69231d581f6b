"""Tests of `wsrelay.core.messaging.subscription_start`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.publications import At
from wsrelay.core.messaging.publications import Gap, GapReason, Positioned, Publication
from wsrelay.core.messaging.subscription_start import START, SubscriptionStart

ONE, TWO = Publication("a", b"1", At("1-0.00000001")), Publication("a", b"2", At("2-0.00000002"))


class SubscriptionStartTests(SynchronousTestCase):
    """The first events of a client."""

    def test_channel_without_history_has_no_events(self) -> None:
        self.assertEqual(START.events("a"), [])

    def test_position_is_an_event_of_its_own_unless_the_last_publication_has_it(self) -> None:
        self.assertEqual(SubscriptionStart("1-0.00000001").events("a"), [Positioned("a", "1-0.00000001")])
        self.assertEqual(SubscriptionStart(TWO.position, publications=(ONE, TWO)).events("a"), [ONE, TWO])
        self.assertEqual(
            SubscriptionStart("3-0.00000003", publications=(ONE,)).events("a"), [ONE, Positioned("a", "3-0.00000003")]
        )

    def test_gap_comes_before_what_is_left(self) -> None:
        start = SubscriptionStart(TWO.position, gap=GapReason.TRIMMED, publications=(TWO,))
        self.assertEqual(start.events("a"), [Gap("a", GapReason.TRIMMED), TWO])
        self.assertEqual(SubscriptionStart(gap=GapReason.NO_HISTORY).events("a"), [Gap("a", GapReason.NO_HISTORY)])
