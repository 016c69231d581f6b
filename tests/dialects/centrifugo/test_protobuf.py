"""Tests of `wsrelay.dialects.centrifugo.protobuf`: what is its own; commands and replies are those of the JSON form."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support.publications import At
from wsrelay.core.history.offsets import BASE_MS, entry_offset
from wsrelay.core.history.pages import HistoryPage, KeptPublication
from wsrelay.core.messaging.commands import Connect, Pong, Publish, ReadHistory, Subscribe, Unsupported
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import ChannelEvent, Gap, GapReason, Join, Publication
from wsrelay.core.messaging.replies import (
    Connected,
    Failed,
    HistoryRead,
    PresenceRead,
    Reply,
    Subscribed,
    SubscriptionEnded,
)
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ProtocolViolation
from wsrelay.core.presence.member import Member
from wsrelay.core.wire.protobuf import decode, encode, read_block, write_block
from wsrelay.dialects.centrifugo import JSONDialect, ProtobufDialect
from wsrelay.dialects.centrifugo.commands import MAX_COMMANDS_PER_MESSAGE
from wsrelay.dialects.centrifugo.schema import COMMAND, REPLY
from wsrelay.interfaces import IDialect

DIALECT = ProtobufDialect()
FIRST = f"{BASE_MS + 1}-0.00000001"
OFFSET = entry_offset((BASE_MS + 1, 0))


def message(*commands: dict[str, Any]) -> Message:
    """Return the message of commands."""
    return Message(b"".join(write_block(encode(COMMAND, each)) for each in commands), is_binary=True)


def documents(data: bytes) -> list[dict[str, Any]]:
    """Return the documents of the replies in a message."""
    found, at = [], 0
    while at < len(data):
        block, at = read_block(data, at)
        found.append(decode(REPLY, block))
    return found


class ProtobufDialectTests(SynchronousTestCase):
    """Binary messages of the same commands and replies."""

    def test_interface(self) -> None:
        verifyObject(IDialect, DIALECT)

    def test_handshake_asks_for_nothing(self) -> None:
        self.assertEqual(DIALECT.open(None), ())  # type: ignore[arg-type]  # it is not looked at

    def test_commands_stand_one_behind_the_other(self) -> None:
        commands = DIALECT.decode(
            message(
                {"id": 1, "connect": {}},
                {"id": 2, "subscribe": {"channel": "a", "recover": True, "offset": OFFSET}},
                {"id": 3, "publish": {"channel": "a", "data": b"\xff\x00"}},
                {"id": 4, "history": {"channel": "a", "limit": 5}},
                {},
            ),
            is_connected=True,
        )
        self.assertEqual(
            list(commands),
            [
                Connect(1, None),
                Subscribe(2, "a", f"{BASE_MS + 1}-0.*"),
                Publish(3, "a", b"\xff\x00"),
                ReadHistory(4, "a", 5),
                Pong(),
            ],
        )

    def test_what_is_no_message_of_commands_ends_the_connection(self) -> None:
        too_many = Message(b"\0" * (MAX_COMMANDS_PER_MESSAGE + 1), is_binary=True)
        for bad in (Message(b""), Message(b"{}"), Message(b"", True), Message(b"\x05\x08", True), too_many):
            with self.assertRaises(ProtocolViolation) as raised:
                DIALECT.decode(bad, is_connected=True)
            self.assertIs(raised.exception.disconnect, Disconnect.BAD_REQUEST)

    def test_asynchronous_message_is_not_available_and_has_no_reply(self) -> None:
        commands = DIALECT.decode(message({"send": {"data": b"1"}}), is_connected=True)
        self.assertEqual(list(commands), [Unsupported(0, ClientError.NOT_SUPPORTED)])

    def test_batch_is_one_binary_message(self) -> None:
        events: list[ChannelEvent] = [
            Publication("a", b"\xff"),
            Publication("a", b"{}", At(FIRST, b'{"client":"5f0c","user":"42","conn_info":[1]}', b'{"a":"b"}')),
            Join("a", "6f0c", "", b"", b"{}"),
            Gap("a", GapReason.TRIMMED),
        ]
        (sent,) = DIALECT.encode(events)
        self.assertTrue(sent.is_binary)
        pushes = [each["push"] for each in documents(sent.data)]
        self.assertEqual(pushes[0], {"channel": "a", "pub": {"data": b"\xff"}})
        info = {"client": "5f0c", "user": "42", "conn_info": b"[1]"}
        self.assertEqual(pushes[1]["pub"], {"data": b"{}", "offset": OFFSET, "info": info, "tags": {"a": "b"}})
        self.assertEqual(pushes[2]["join"]["info"], {"client": "6f0c", "chan_info": b"{}"})
        self.assertEqual(len(pushes), 3)
        self.assertEqual(DIALECT.encode([]), ())

    def test_replies_are_those_of_the_json_form(self) -> None:
        replies: list[Reply] = [
            Connected(1, "5f0c", 25, (Subscribed(0, "b", FIRST),), 60),
            Subscribed(2, "a", FIRST, "", publications=()),
            HistoryRead(3, HistoryPage((KeptPublication(5, b'{"a":1}'),), 5)),
            PresenceRead(4, (Member("5f0c", "42"),)),
            Failed(5, ClientError.UNRECOVERABLE),
            SubscriptionEnded("a", Disconnect.GAP),
        ]
        (sent,) = DIALECT.reply(replies)
        self.assertTrue(sent.is_binary)
        (text,) = JSONDialect().reply(replies)
        expected = [json.loads(line) for line in text.data.split(b"\n")]
        found = documents(sent.data)
        kept = found[2]["history"]["publications"][0]
        kept["data"] = json.loads(kept["data"])
        expected[3]["presence"]["presence"]["5f0c"] = {"client": "5f0c", "user": "42"}
        self.assertEqual(found, expected)
        self.assertEqual(DIALECT.reply([]), ())

    def test_ping_is_an_empty_reply(self) -> None:
        self.assertEqual(DIALECT.ping(), Message(b"\0", is_binary=True))

    def test_close_has_the_code_of_the_protocol(self) -> None:
        self.assertEqual(DIALECT.close(Disconnect.SLOW).code, 3008)
