"""Tests of `wsrelay.core.messaging.publications`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.publications import At
from wsrelay.core.messaging.publications import Join, Leave, Publication, PublishResult


class PublicationTests(SynchronousTestCase):
    """Channel events are values."""

    def test_fields_stand_in_the_documented_order(self) -> None:
        there = At("5-0")
        self.assertEqual(Publication("chat", b"hi", there), Publication(channel="chat", data=b"hi", origin=there))
        self.assertEqual(Join("chat", "5f0c", "42"), Join(channel="chat", client="5f0c", user="42"))
        self.assertEqual(Leave("chat", "5f0c", "42"), Leave(channel="chat", client="5f0c", user="42"))

    def test_channel_without_history_has_no_positions(self) -> None:
        self.assertEqual((Publication("chat", b"hi").position, PublishResult().position), ("", ""))

    def test_join_is_no_leave(self) -> None:
        self.assertNotEqual(Join("chat", "5f0c"), Leave("chat", "5f0c"))
