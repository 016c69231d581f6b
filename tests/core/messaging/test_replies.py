"""Tests of `wsrelay.core.messaging.replies`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.replies import Connected, Published, Subscribed, Unsubscribed


class ReplyTests(SynchronousTestCase):
    """Replies are values."""

    def test_fields_stand_in_the_documented_order(self) -> None:
        self.assertEqual(Connected(1, "5f0c", 25), Connected(id=1, client="5f0c", ping_seconds=25))
        self.assertEqual(
            Subscribed(1, "a", "5-0", "4-0", False),
            Subscribed(id=1, channel="a", position="5-0", since="4-0", recovered=False, publications=()),
        )

    def test_replies_of_different_kinds_differ(self) -> None:
        self.assertNotEqual(Published(1), Unsubscribed(1))
