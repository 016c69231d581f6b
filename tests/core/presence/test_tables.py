"""Tests of `wsrelay.core.presence.tables`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.outcomes.errors import ChannelError
from wsrelay.core.presence.tables import OCCUPIED, announced_channel, announced_table, members_table


class TableTests(SynchronousTestCase):
    """The names of tables."""

    def test_no_table_has_the_name_of_a_channel(self) -> None:
        for table in (members_table("chat"), announced_table("chat"), OCCUPIED):
            with self.assertRaises(ChannelError):
                check_channel(table.name)

    def test_channel_of_announced_members_is_found_again(self) -> None:
        self.assertEqual(announced_channel(announced_table("a:b")), "a:b")
        self.assertIsNone(announced_channel(members_table("a:b")))
        self.assertIsNone(announced_channel(OCCUPIED))

    def test_members_are_removed_at_once_and_what_was_announced_later(self) -> None:
        self.assertEqual(members_table("chat").leave_seconds, 0)
        self.assertTrue(10 <= announced_table("chat").leave_seconds == OCCUPIED.leave_seconds <= 15)
