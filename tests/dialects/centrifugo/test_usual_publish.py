"""Tests of `wsrelay.dialects.centrifugo.usual_publish`: what is read there is what the ordinary way reads."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.commands import Command, Publish
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ProtocolViolation
from wsrelay.dialects.centrifugo import JSONDialect
from wsrelay.dialects.centrifugo import json as json_dialect
from wsrelay.dialects.centrifugo.usual_publish import read_usual_publish

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=5), each, max_size=4),
    max_leaves=8,
)
CHANNELS = st.from_regex(r"[A-Za-z0-9_#$/\\\"\u00e9 -]{0,8}", fullmatch=True) | st.sampled_from(("news", "n" * 256))
IDS = st.integers(-1, 2**33) | st.sampled_from((0, 1, 999_999_999, 10**9, 2**32 - 1, 2**32, 1.0, True, "1", None))
FIRST = '{"id":3,"publish":{"channel":"news","data":%s}}'
LAST = '{"publish":{"channel":"news","data":%s},"id":3}'
PARTS = (
    "{",
    "}",
    "}}",
    ",",
    ":",
    " ",
    "\n",
    '"',
    "\\",
    '"id":3',
    '"id":4',
    '"data":1',
    '"channel":"a"',
    '"x":1',
    "0",
    "9",
    "\0",
)


def ordinary(line: str) -> Command | Disconnect:
    """Return what the ordinary way makes of a line."""
    with patch.object(json_dialect, "read_usual_publish", return_value=None):
        return decode(line)


def decode(line: str) -> Command | Disconnect:
    """Return what the dialect makes of a line."""
    try:
        (command,) = JSONDialect().decode(Message(line.encode("utf-8", "replace")), is_connected=True)
    except ProtocolViolation as violation:
        return violation.disconnect
    return command


class UsualPublishTests(SynchronousTestCase):
    """The short way beside the ordinary one."""

    def test_usual_forms_are_read(self) -> None:
        for form in (FIRST, LAST):
            for text in ('{"a":1}', '{"a": 1}', "[]", '"\\u00e9"', "1.50", "null", '"\u2028"'):
                found = read_usual_publish(form % text)
                self.assertEqual(found, Publish(3, "news", json_dialect.write_document(json.loads(text))))
                self.assertEqual(found, ordinary(form % text))

    def test_everything_else_is_left_to_the_ordinary_way(self) -> None:
        for line in (
            "",
            "{}",
            '{"id":3,"subscribe":{"channel":"news"}}',
            FIRST % "",
            FIRST % "NaN",
            FIRST % "1e999",
            FIRST % ("[" * 100_000),
            FIRST % ("[" * 100_000 + "]" * 100_000),
            FIRST % '1,"x":2',
            FIRST % '1,"channel":"other"',
            FIRST % " 1",
            FIRST % "1 ",
            LAST % "1 ",
            FIRST % "1" + "\n{}",
            LAST % "1" + " ",
            LAST.replace("3", "0") % "1",
            FIRST.replace("3", "03") % "1",
            FIRST.replace("3", "\u0663") % "1",
            FIRST.replace("3", "4294967295") % "1",
            FIRST.replace("news", "") % "1",
            FIRST.replace("news", "$news") % "1",
            FIRST.replace("news", "ne\\u0077s") % "1",
            '{"id":3,"publish":{"channel":"news","data":1},"id":4}',
        ):
            self.assertIsNone(read_usual_publish(line), line[:80])

    @given(IDS, CHANNELS, DOCUMENTS, st.booleans(), st.booleans())
    def test_both_ways_read_the_same(
        self, command_id: Any, channel: str, document: Any, id_is_last: bool, is_compact: bool
    ) -> None:
        publish = {"publish": {"channel": channel, "data": document}}
        command = publish | {"id": command_id} if id_is_last else {"id": command_id} | publish
        line = json.dumps(command, separators=(",", ":") if is_compact else None, ensure_ascii=False)
        self.assertEqual(repr(decode(line)), repr(ordinary(line)))

    @given(st.sampled_from((FIRST, LAST)), st.sampled_from(("1", '{"a":"b"}', "[1]")), st.data())
    def test_both_ways_read_the_same_of_what_is_damaged(self, form: str, text: str, data: st.DataObject) -> None:
        line = form % text
        start = data.draw(st.integers(0, len(line)))
        end = data.draw(st.integers(start, min(len(line), start + 4)))
        line = line[:start] + "".join(data.draw(st.lists(st.sampled_from(PARTS), max_size=2))) + line[end:]
        if "\n" not in line:
            self.assertEqual(repr(decode(line)), repr(ordinary(line)))

    @given(st.lists(st.sampled_from((FIRST, LAST)), min_size=2, max_size=4))
    @example([FIRST, FIRST])
    def test_several_in_a_message_are_read_in_their_order(self, forms: list[str]) -> None:
        message = Message("\n".join(form % number for number, form in enumerate(forms)).encode())
        expected = [Publish(3, "news", b"%d" % number) for number in range(len(forms))]
        self.assertEqual(list(JSONDialect().decode(message, is_connected=True)), expected)
