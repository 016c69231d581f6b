"""Tests of `wsrelay.core.presence.local_members`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.presence.local_members import Change, LocalMembers
from wsrelay.core.presence.member import Member

ANN, ANN_AGAIN, NOBODY = Member("c1", "ann"), Member("c2", "ann"), Member("c3")


class LocalMembersTests(SynchronousTestCase):
    """The members of a process."""

    def setUp(self) -> None:
        self.members = LocalMembers()

    def test_first_and_last_member_of_a_channel_and_of_a_key_are_told(self) -> None:
        self.assertEqual(self.members.add("chat", 1, ANN), Change(ANN, True, True))
        self.assertEqual(self.members.add("chat", 2, ANN_AGAIN), Change(ANN_AGAIN, False, False))
        self.assertEqual(self.members.add("chat", 3, NOBODY), Change(NOBODY, False, True))
        self.assertEqual(self.members.add("other", 1, ANN), Change(ANN, True, True))
        self.assertEqual(len(self.members), 4)
        self.assertEqual(self.members.pairs(), [("chat", 1), ("chat", 2), ("chat", 3), ("other", 1)])
        self.assertEqual(self.members.remove("chat", 1), Change(ANN, False, False))
        self.assertEqual(self.members.remove("chat", 2), Change(ANN_AGAIN, False, True))
        self.assertEqual(self.members.remove("chat", 3), Change(NOBODY, True, True))
        self.assertEqual((len(self.members), "chat" in self.members, "other" in self.members), (1, False, True))

    def test_client_is_a_member_once(self) -> None:
        self.members.add("chat", 1, ANN)
        self.assertIsNone(self.members.add("chat", 1, ANN))
        self.assertEqual(self.members.remove("chat", 1), Change(ANN, True, True))
        self.assertIsNone(self.members.remove("chat", 1))

    def test_member_is_replaced_by_one_of_the_same_key(self) -> None:
        self.members.add("chat", 1, ANN)
        renamed = Member("c1", "ann", b'"Ann"')
        self.assertEqual(self.members.replace("chat", 1, renamed), ANN)
        self.assertEqual(self.members.find("chat", "user:ann"), renamed)
        self.assertEqual(self.members.remove("chat", 1), Change(renamed, True, True))

    def test_member_that_is_unknown_or_unchanged_or_of_another_key_is_not_replaced(self) -> None:
        self.members.add("chat", 1, ANN)
        for channel, client, member in (("chat", 1, ANN), ("chat", 2, ANN), ("other", 1, ANN), ("chat", 1, NOBODY)):
            self.assertIsNone(self.members.replace(channel, client, member))
        self.assertEqual((self.members.find("chat", "user:ann"), len(self.members)), (ANN, 1))

    def test_unknown_members_are_not_removed(self) -> None:
        self.members.add("chat", 1, ANN)
        self.assertIsNone(self.members.remove("chat", 2))
        self.assertIsNone(self.members.remove("other", 1))
        self.assertEqual(len(self.members), 1)

    def test_member_is_found_by_its_key(self) -> None:
        self.members.add("chat", 3, NOBODY)
        self.members.add("chat", 2, ANN_AGAIN)
        self.assertEqual(self.members.find("chat", "user:ann"), ANN_AGAIN)
        self.assertIsNone(self.members.find("chat", "user:bob"))
        self.assertIsNone(self.members.find("other", "user:ann"))
