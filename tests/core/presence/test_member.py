"""Tests of `wsrelay.core.presence.member`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.payload_claims import MAX_PAYLOAD_BYTES
from wsrelay.core.presence.member import (
    Member,
    Members,
    count_users,
    member_of_key,
    read_member,
    read_members,
)

ANN, ANN_AGAIN, NOBODY, NOBODY_ELSE = Member("c1", "ann"), Member("c2", "ann"), Member("c3"), Member("c4")


class MemberTests(SynchronousTestCase):
    """Members, their keys and their text."""

    def test_members_of_one_user_have_one_key_and_anonymous_ones_a_key_each(self) -> None:
        self.assertEqual([each.key for each in (ANN, ANN_AGAIN)], ["user:ann"] * 2)
        self.assertEqual([each.key for each in (NOBODY, NOBODY_ELSE)], ["client:c3", "client:c4"])

    def test_user_that_is_called_like_a_client_is_not_taken_for_one(self) -> None:
        self.assertNotEqual(Member("c1", "client:c3").key, NOBODY.key)

    def test_key_stands_for_a_user_or_a_client(self) -> None:
        self.assertEqual(member_of_key("user:a:b"), Member("", "a:b"))
        self.assertEqual(member_of_key("client:c3"), NOBODY)
        for text in ("", "user:", "client:", "ann", "group:ann"):
            self.assertIsNone(member_of_key(text))

    def test_text_is_json_and_read_back(self) -> None:
        member = Member("c1", 'J\u00fc "x"\n\U0001f98a')
        self.assertEqual(member.text, '{"client":"c1","user":"J\u00fc \\"x\\"\\n\U0001f98a"}')
        self.assertEqual([read_member(member.text), read_member(member.text.encode())], [member] * 2)

    def test_what_is_told_about_a_member_is_in_its_text_and_read_back(self) -> None:
        member = Member("c1", "ann", b'{"name":"J\xc3\xbc"}', b"[1]")
        self.assertEqual(member.text, '{"client":"c1","user":"ann","conn_info":{"name":"J\u00fc"},"chan_info":[1]}')
        for each in (member, Member("c1", "", b"5"), Member("c1", "", b"", b'"x"')):
            self.assertEqual([read_member(each.text), read_member(each.text.encode())], [each] * 2)

    def test_info_that_is_null_too_long_or_no_json_is_left_out(self) -> None:
        for info in ("null", "NaN", f'"{"x" * MAX_PAYLOAD_BYTES}"'):
            text = f'{{"client":"c3","user":"","conn_info":{info},"chan_info":{info}}}'
            self.assertEqual(read_member(text), NOBODY)

    def test_text_of_anything_else_is_no_member(self) -> None:
        texts: list[str | bytes] = [
            "",
            "1",
            "[]",
            "{}",
            '{"client": "c"}',
            '{"client": 1, "user": ""}',
            "[" * 100_000,
            b"\xff",
        ]
        self.assertEqual(read_members([*texts, NOBODY.text]), (NOBODY,))

    def test_users_are_counted_once_and_anonymous_clients_are_one(self) -> None:
        self.assertEqual(count_users([ANN, ANN_AGAIN, NOBODY, NOBODY_ELSE]), 2)

    def test_list_with_fewer_members_than_there_are_is_truncated(self) -> None:
        self.assertEqual([Members(count, (ANN,)).is_truncated for count in (1, 2)], [False, True])
