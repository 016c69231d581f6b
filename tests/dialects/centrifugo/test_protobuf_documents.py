"""Tests of `wsrelay.dialects.centrifugo.protobuf_documents`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.dialects.centrifugo.protobuf_table import GOOGLE_COMMAND, GOOGLE_REPLY
from tests.support.google_protobuf import damaged, known_fields
from wsrelay.core.wire.protobuf import Document, read_block, write_block
from wsrelay.dialects.centrifugo.protobuf_documents import read_commands, write_publication, write_replies
from wsrelay.dialects.centrifugo.schema import COMMAND, REPLY

COMMANDS: list[tuple[bytes, Document]] = [
    (b"\x00", {}),
    (b"\x04\x08\x01\x22\x00", {"id": 1, "connect": {}}),
    (b"\x07\x08\x01\x22\x03\x0a\x01t", {"id": 1, "connect": {"token": "t"}}),
    (
        b"\x20\x08\x01\x22\x1c\x12\x02{}\x1a\x0c\x0a\x04news\x12\x04\x18\x01\x38\x05\x22\x02js\x2a\x04v1.0",
        {
            "id": 1,
            "connect": {
                "data": b"{}",
                "subs": {"news": {"recover": True, "offset": 5}},
                "name": "js",
                "version": "v1.0",
            },
        },
    ),
    (
        b"\x16\x08\x02\x2a\x12\x0a\x04news\x18\x01\x32\x01e\x38\xac\x02\x50\x01\x70\x02",
        {
            "id": 2,
            "subscribe": {
                "channel": "news",
                "recover": True,
                "epoch": "e",
                "offset": 300,
                "recoverable": True,
                "flag": 2,
            },
        },
    ),
    (
        b"\x1e\x08\x02\x2a\x1a\x0a\x01c\x62\x06fossil\x6a\x0b\x12\x01k\x1a\x02eq\x22\x02v1\x78\x01",
        {
            "id": 2,
            "subscribe": {
                "channel": "c",
                "delta": "fossil",
                "tf": {"key": "k", "cmp": "eq", "val": "v1"},
                "type": 1,
            },
        },
    ),
    (b"\x07\x08\x03\x32\x03\x0a\x01c", {"id": 3, "unsubscribe": {"channel": "c"}}),
    (b"\x0b\x08\x04\x3a\x07\x0a\x01c\x12\x02hi", {"id": 4, "publish": {"channel": "c", "data": b"hi"}}),
    (b"\x07\x08\x05\x42\x03\x0a\x01c", {"id": 5, "presence": {"channel": "c"}}),
    (b"\x07\x08\x06\x4a\x03\x0a\x01c", {"id": 6, "presence_stats": {"channel": "c"}}),
    (
        b"\x1b\x08\x07\x52\x17\x0a\x01c\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x42\x05\x08\x09\x12\x01e\x48\x01",
        {"id": 7, "history": {"channel": "c", "limit": -1, "since": {"offset": 9, "epoch": "e"}, "reverse": True}},
    ),
    (b"\x04\x08\x08\x5a\x00", {"id": 8, "ping": {}}),
    (b"\x04\x62\x02\x0a\x00", {"send": {"data": b""}}),
    (b"\x08\x08\x09\x6a\x04\x12\x02me", {"id": 9, "rpc": {"method": "me"}}),
    (b"\x07\x08\x0a\x72\x03\x0a\x01t", {"id": 10, "refresh": {"token": "t"}}),
    (b"\x0a\x08\x0b\x7a\x06\x0a\x01c\x12\x01t", {"id": 11, "sub_refresh": {"channel": "c", "token": "t"}}),
]

REPLIES: list[tuple[Document, bytes]] = [
    ({}, b"\x00"),
    (
        {"id": 1, "error": {"code": 100, "message": "no", "temporary": True}},
        b"\x0c\x08\x01\x12\x08\x08\x64\x12\x02no\x18\x01",
    ),
    (
        {"id": 1, "connect": {"client": "u", "version": "v", "ping": 25, "pong": True, "subs": {"c": {"offset": 3}}}},
        b"\x17\x08\x01\x2a\x13\x0a\x01u\x12\x01v\x32\x07\x0a\x01c\x12\x02\x48\x03\x38\x19\x40\x01",
    ),
    ({"id": 2, "subscribe": {}}, b"\x04\x08\x02\x32\x00"),
    (
        {
            "id": 2,
            "subscribe": {
                "recoverable": True,
                "epoch": "e",
                "publications": [{"data": b"a", "offset": 4}, {"data": b"b", "offset": 5}],
                "recovered": True,
                "offset": 3,
                "positioned": True,
                "was_recovering": True,
            },
        },
        b"\x1f\x08\x02\x32\x1b\x18\x01\x32\x01e"
        b"\x3a\x05\x22\x01a\x30\x04\x3a\x05\x22\x01b\x30\x05\x40\x01\x48\x03\x50\x01\x60\x01",
    ),
    ({"id": 3, "unsubscribe": {}}, b"\x04\x08\x03\x3a\x00"),
    ({"id": 4, "publish": {}}, b"\x04\x08\x04\x42\x00"),
    (
        {"id": 5, "presence": {"presence": {"i": {"user": "u", "client": "i"}}}},
        b"\x11\x08\x05\x4a\x0d\x0a\x0b\x0a\x01i\x12\x06\x0a\x01u\x12\x01i",
    ),
    ({"id": 6, "presence_stats": {"num_clients": 2, "num_users": 1}}, b"\x08\x08\x06\x52\x04\x08\x02\x10\x01"),
    (
        {"id": 7, "history": {"publications": [{"data": b"a"}], "epoch": "e", "offset": 9}},
        b"\x0e\x08\x07\x5a\x0a\x0a\x03\x22\x01a\x12\x01e\x18\x09",
    ),
    ({"id": 8, "refresh": {"expires": True, "ttl": 60}}, b"\x08\x08\x08\x72\x04\x18\x01\x20\x3c"),
    ({"id": 9, "sub_refresh": {"expires": True, "ttl": 60}}, b"\x08\x08\x09\x7a\x04\x08\x01\x10\x3c"),
    (
        {"push": {"channel": "c", "join": {"info": {"user": "u", "client": "i", "conn_info": b"{}"}}}},
        b"\x13\x22\x11\x12\x01c\x2a\x0c\x0a\x0a\x0a\x01u\x12\x01i\x1a\x02{}",
    ),
    ({"push": {"channel": "c", "leave": {"info": {"client": "i"}}}}, b"\x0c\x22\x0a\x12\x01c\x32\x05\x0a\x03\x12\x01i"),
    (
        {"push": {"channel": "c", "unsubscribe": {"code": 2500, "reason": "gap"}}},
        b"\x0f\x22\x0d\x12\x01c\x3a\x08\x10\xc4\x13\x1a\x03gap",
    ),
    ({"push": {"message": {"data": b"hi"}}}, b"\x08\x22\x06\x42\x04\x0a\x02hi"),
    (
        {"push": {"channel": "c", "subscribe": {"recoverable": True, "epoch": "e", "offset": 7}}},
        b"\x0e\x22\x0c\x12\x01c\x4a\x07\x08\x01\x22\x01e\x28\x07",
    ),
    ({"push": {"disconnect": {"code": 3001, "reason": "bye"}}}, b"\x0c\x22\x0a\x5a\x08\x08\xb9\x17\x12\x03bye"),
]


class ReadCommandsTests(SynchronousTestCase):
    """Commands, as they come from clients."""

    def test_command_becomes_a_document(self) -> None:
        for data, document in COMMANDS:
            self.assertEqual(read_commands(data, 1), [document])

    def test_commands_follow_each_other(self) -> None:
        data = b"".join(each for each, _ in COMMANDS)
        self.assertEqual(read_commands(data, len(COMMANDS)), [document for _, document in COMMANDS])

    def test_length_may_have_several_bytes(self) -> None:
        data = b"\xd4\x01\x08\x01\x3a\xcf\x01\x12\xcc\x01" + bytes(204)
        self.assertEqual(read_commands(data, 1), [{"id": 1, "publish": {"data": bytes(204)}}])

    def test_message_without_a_command_is_refused(self) -> None:
        self.assertRaises(ValueError, read_commands, b"", 5)

    def test_too_many_commands_are_refused_before_any_is_read(self) -> None:
        self.assertEqual(read_commands(bytes(5), 5), [{}] * 5)
        error = self.assertRaises(ValueError, read_commands, b"\x01\xff" * 6, 5)
        self.assertEqual(str(error), "more than 5 commands")

    def test_malformed_command_is_refused(self) -> None:
        for data in (
            b"\x01",
            b"\x00\x05\x08\x01",
            b"\x80",
            b"\x01\x08",
            b"\x04\x08\x01\x22\x05",
            b"\xff\xff\xff\xff\x0f",
        ):
            self.assertRaises(ValueError, read_commands, data, 5)

    def test_commands_share_no_document(self) -> None:
        first, second = read_commands(b"\x02\x22\x00" * 2, 2)
        self.assertIsNot(first["connect"], second["connect"])

    @given(st.lists(GOOGLE_COMMAND.documents(), min_size=1, max_size=3))
    def test_commands_of_another_writer_are_read(self, documents: list[Document]) -> None:
        found = read_commands(b"".join(write_block(GOOGLE_COMMAND.write(each)) for each in documents), 3)
        self.assertEqual(
            [known_fields(COMMAND, each) for each in found], [known_fields(COMMAND, each) for each in documents]
        )

    @given(damaged(st.sampled_from([data for data, _ in COMMANDS])), st.binary(max_size=20))
    def test_hostile_message_is_read_or_refused(self, data: bytes, more: bytes) -> None:
        try:
            found = read_commands(data + more, 5)
        except ValueError:
            return
        self.assertTrue(0 < len(found) <= 5)


class WriteRepliesTests(SynchronousTestCase):
    """Replies and pushes, as they go to clients."""

    def test_document_becomes_a_reply(self) -> None:
        for document, data in REPLIES:
            self.assertEqual(write_replies([document]), data)

    def test_replies_follow_each_other(self) -> None:
        self.assertEqual(write_replies([each for each, _ in REPLIES]), b"".join(data for _, data in REPLIES))

    def test_no_replies_are_no_bytes(self) -> None:
        self.assertEqual(write_replies([]), b"")

    def test_document_that_is_none_of_a_reply_is_refused(self) -> None:
        self.assertRaises(ValueError, write_replies, [{}, {"id": 1, "pubish": {}}])

    @given(st.lists(GOOGLE_REPLY.documents(), max_size=3))
    def test_another_reader_finds_the_replies(self, documents: list[Document]) -> None:
        replies = [known_fields(REPLY, each) for each in documents]
        data, at, found = write_replies(replies), 0, []
        while at < len(data):
            block, at = read_block(data, at)
            found.append(GOOGLE_REPLY.read(block))
        self.assertEqual(found, replies)


INFOS = st.fixed_dictionaries(
    {}, optional={"user": st.text(max_size=5), "client": st.text(max_size=5), "conn_info": st.binary(max_size=5)}
)


class WritePublicationTests(SynchronousTestCase):
    """Pushes of publications."""

    def test_publication_becomes_a_push(self) -> None:
        self.assertEqual(write_publication("news", b"hi"), b"\x0e\x22\x0c\x12\x04news\x22\x04\x22\x02hi")
        self.assertEqual(write_publication("news", b"hi", 5), b"\x10\x22\x0e\x12\x04news\x22\x06\x22\x02hi\x30\x05")
        self.assertEqual(
            write_publication("c", b"a", 300, {"user": "u"}, {"k": "v"}),
            b"\x1a\x22\x18\x12\x01c\x22\x13\x22\x01a\x2a\x03\x0a\x01u\x30\xac\x02\x3a\x06\x0a\x01k\x12\x01v",
        )

    def test_publication_without_data_is_a_push_all_the_same(self) -> None:
        self.assertEqual(write_publication("c", b""), b"\x07\x22\x05\x12\x01c\x22\x00")

    @given(
        st.text("abc:", min_size=1, max_size=200),
        st.one_of(st.binary(max_size=10), st.sampled_from((110, 120, 127, 128, 16_380, 70_000)).map(bytes)),
        st.integers(0, 2**53),
        st.none() | INFOS,
        st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    )
    def test_bytes_are_those_of_the_reply(
        self, channel: str, data: bytes, offset: int, info: Document | None, tags: dict[str, str] | None
    ) -> None:
        publication: Document = {"data": data, "offset": offset, "tags": tags or {}}
        if info is not None:
            publication["info"] = info
        self.assertEqual(
            write_publication(channel, data, offset, info, tags),
            write_replies([{"push": {"channel": channel, "pub": publication}}]),
        )
