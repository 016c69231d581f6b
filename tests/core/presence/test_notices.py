"""Tests of `wsrelay.core.presence.notices`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.core.presence.member import Member
from wsrelay.core.presence.notices import NAMES_PER_NOTICE, Notice, notices, read_notice


class NoticeTests(SynchronousTestCase):
    """Messages between processes."""

    def test_notice_is_read_back(self) -> None:
        notice = Notice((Member("c1", "J\u00fc"), Member("c2")), ("user:ann",), ("client:c3", 'user:"'))
        self.assertEqual(read_notice(notice.to_bytes()), notice)
        self.assertEqual(Notice((Member("c1", "42"),)).to_bytes(), b'{"joined":[["c1","42"]],"left":[],"released":[]}')

    def test_what_is_told_about_a_member_stands_beside_the_pairs_that_older_versions_read(self) -> None:
        notice = Notice((Member("c1", "42", b'{"a":"\xc3\xbc"}'), Member("c2"), Member("c3", "", b"", b"[1]")))
        self.assertEqual(read_notice(notice.to_bytes()), notice)
        document = json.loads(notice.to_bytes())
        self.assertEqual(document["joined"], [["c1", "42"], ["c2", ""], ["c3", ""]])
        self.assertEqual([each["client"] for each in document["infos"]], ["c1", "c3"])

    def test_infos_that_make_no_sense_are_ignored(self) -> None:
        for infos in (b"5", b"{}", b"[5, [], {}]", b'[{"client": "c2", "user": ""}]', b'[{"client": 5, "user": ""}]'):
            read = read_notice(b'{"joined": [["c1", "42"]], "infos": %b}' % infos)
            self.assertEqual(read, Notice((Member("c1", "42"),)))

    def test_fields_of_other_versions_are_ignored_and_missing_ones_are_empty(self) -> None:
        self.assertEqual(read_notice(b'{"left": ["a"], "since": 5}'), Notice(left=("a",)))

    def test_anything_else_is_rejected(self) -> None:
        for text in (
            *("", "1", "[]", "null", "[" * 100_000, '{"joined": 1}', '{"joined": ["ab"]}', '{"joined": [["a"]]}'),
            *('{"joined": [["a", 1]]}', '{"left": "a"}', '{"left": [1]}', '{"released": {}}', '{"released": [[]]}'),
        ):
            with self.assertRaises(ClaimError):
                read_notice(text.encode())

    def test_notices_are_bounded_and_have_everything(self) -> None:
        names = [f"{number}" for number in range(2 * NAMES_PER_NOTICE + 1)]
        members = [Member(name) for name in names]
        made = [*notices(joined=members), *notices(left=names), *notices(released=names)]
        self.assertEqual(len(made), 9)
        self.assertEqual([each for notice in made for each in notice.joined], members)
        self.assertEqual([each for notice in made for each in notice.left], names)
        self.assertEqual([each for notice in made for each in notice.released], names)
        self.assertEqual(list(notices()), [])
