"""Tests of `wsrelay.dialects.centrifugo.uni`: transcripts."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.publications import At
from wsrelay.core.history.offsets import entry_offset
from wsrelay.core.messaging.commands import Connect
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import ChannelEvent, Gap, GapReason, Join, Publication
from wsrelay.core.messaging.replies import Connected, Failed, Reply, Subscribed, SubscriptionEnded, Unsubscribed
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import ApplicationDisconnect, Disconnect
from wsrelay.core.outcomes.errors import ProtocolViolation, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects.centrifugo import UniDialect, UniStreamDialect

DIALECT = UniDialect()


class FirstMessageTests(SynchronousTestCase):
    """Where the connect stands."""

    def test_body_goes_before_the_query_and_the_last_parameter_before_the_others(self) -> None:
        query = "cf_connect=%7B%22a%22%3A1%7D&x=1&cf_connect=%C3%A9"
        for body, expected in ((b"{}", b"{}"), (b"", "é".encode())):
            handshake = Handshake("/", "", query=query, body=body)
            self.assertEqual(DIALECT.first_message(handshake), Message(expected))
            self.assertEqual(UniStreamDialect().first_message(handshake), Message(expected))

    def test_without_one_a_websocket_waits_and_a_stream_has_an_empty_one(self) -> None:
        for query in ("", "cf_connect=", "x=1"):
            self.assertIsNone(DIALECT.first_message(Handshake("/", "", query=query)))
            self.assertEqual(UniStreamDialect().first_message(Handshake("/", "", query=query)), Message(b"{}"))

    def test_handshake_asks_for_nothing_itself(self) -> None:
        self.assertEqual(DIALECT.open(Handshake("/", "")), ())


class DecodingTests(SynchronousTestCase):
    """The connect."""

    def decode(self, document: Any) -> Any:
        """Return the command of a connect."""
        (command,) = DIALECT.decode(Message(json.dumps(document).encode()), is_connected=False)
        return command

    def test_connect_has_no_id_and_names_channels_and_positions(self) -> None:
        subs = {"a": {}, "b": {"recover": True, "offset": 0, "epoch": "x"}, "data": {}, "no name": {}, "": {}}
        connect = self.decode({"subs": subs, "data": {"x": 1}, "name": "js", "version": "1", "headers": {"a": "b"}})
        self.assertIsInstance(connect, Connect)
        self.assertEqual((connect.id, connect.credential, connect.channels), (0, None, ("a", "b", "data")))
        self.assertEqual(list(connect.positions), ["b"])
        self.assertEqual(self.decode({"token": "a.b.c"}).credential.secret.reveal(), "a.b.c")

    def test_anything_else_is_a_bad_request(self) -> None:
        for data in (b"", b"{", b"[]", b"1", b'"x"', b"null", b'{"subs": 1}', b'{"token": 1}', b"\xff", b"{}\n{}"):
            violation = self.assertRaises(ProtocolViolation, DIALECT.decode, Message(data), is_connected=False)
            self.assertIs(violation.disconnect, Disconnect.BAD_REQUEST, data)

    def test_malformed_credential_is_rejected(self) -> None:
        error = self.assertRaises(RejectedError, self.decode, {"token": "a b"})
        self.assertIs(error.client_error, ClientError.TOKEN)

    def test_what_a_connected_client_sends_means_nothing(self) -> None:
        for message in (Message(b"{"), Message(b"\xff", True)):
            self.assertEqual(DIALECT.decode(message, is_connected=True), ())


class EncodingTests(SynchronousTestCase):
    """Pushes."""

    def documents(self, messages: Any) -> list[Any]:
        """Return the objects of messages."""
        return [json.loads(data) for data, _is_binary in messages]

    def test_each_event_is_a_message_without_a_push_around_it(self) -> None:
        publication = Publication("a", b'{"x":1}', At("1767225700000-0.00000000"))
        events: list[ChannelEvent] = [
            Publication("a", b"1"),
            publication,
            Join("a", "c", "u"),
            Gap("a", GapReason.TRIMMED),
        ]
        first, second, join = self.documents(DIALECT.encode(events))
        self.assertEqual(first, {"channel": "a", "pub": {"data": 1}})
        assert publication.origin is not None
        self.assertEqual(second["pub"], {"data": {"x": 1}, "offset": entry_offset(publication.origin.id)})
        self.assertEqual(join, {"channel": "a", "join": {"info": {"user": "u", "client": "c"}}})

    def test_connect_tells_the_subscriptions_and_asks_for_no_pong(self) -> None:
        reply = Connected(0, "c", 25, (Subscribed(0, "a"),), 60)
        (connect,) = self.documents(DIALECT.reply([reply]))
        del connect["connect"]["version"]
        self.assertEqual(
            connect, {"connect": {"client": "c", "ping": 25, "expires": True, "ttl": 60, "subs": {"a": {}}}}
        )

    def test_client_is_told_its_session_and_no_node_for_it_sends_nothing(self) -> None:
        self.assertTrue(DIALECT.has_session)
        (connect,) = self.documents(DIALECT.reply([Connected(0, "c", session="secret")]))
        self.assertEqual((connect["connect"]["session"], "node" in connect["connect"]), ("secret", False))

    def test_push_about_a_subscription_is_bare_and_replies_have_no_form(self) -> None:
        replies: list[Reply] = [
            SubscriptionEnded("a", Disconnect.REVOKED),
            Unsubscribed(1),
            Failed(1, ClientError.TOKEN),
        ]
        (ended,) = self.documents(DIALECT.reply(replies))
        self.assertEqual(ended["channel"], "a")
        self.assertEqual(ended["unsubscribe"]["code"], 2000)

    def test_ping_is_an_empty_object_that_nobody_answers(self) -> None:
        self.assertEqual((DIALECT.ping(), DIALECT.has_pong), (Message(b"{}"), False))

    def test_end_is_told_with_its_code(self) -> None:
        for disconnect, code in ((Disconnect.RESTART, 3001), (ApplicationDisconnect(4900, "x"), 4900)):
            farewell = DIALECT.close(disconnect)
            (push,) = self.documents(farewell.messages)
            self.assertEqual(push, {"disconnect": {"code": code, "reason": disconnect.reason}})
            self.assertEqual((farewell.code, farewell.reason), (code, disconnect.reason))
