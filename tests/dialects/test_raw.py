"""Tests of `wsrelay.dialects.raw`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support.publications import At
from wsrelay.core.access.credentials import SUBPROTOCOL_PREFIX, Credential, CredentialKind
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.commands import Command, Connect, Publish, Subscribe
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Farewell, Message
from wsrelay.core.messaging.publications import Join, Leave, Publication
from wsrelay.core.messaging.replies import Connected, Failed, Published, Subscribed, SubscriptionEnded, Unsubscribed
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import HTTPError, RejectedError
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects.raw import PATH, RawDialect
from wsrelay.interfaces import IDialect

RAW = RawDialect()
CHANNELS = st.from_regex(r"[A-Za-z0-9_#][A-Za-z0-9_#.:~@=+,;!'()&-]{0,254}", fullmatch=True).filter(
    lambda name: not name.startswith("__")
)
ALPHABET = (
    "Not a channel: the channel name may hold ASCII letters, digits and _ # . : ~ @ = + , ; ! ' ( ) & - "
    "and begins with a letter, a digit, _ or #. Use /ws/<channel>."
)


def open_path(path: str, query: str = "") -> Sequence[Command] | ErrorResponse:
    """Return what a request for a path amounts to, or is answered with."""
    try:
        return list(RAW.open(Handshake(path, "192.0.2.1", query=query)))
    except HTTPError as error:
        return error.response


class OpenTests(SynchronousTestCase):
    """From the URL to the channel."""

    def test_path_behind_the_prefix_is_the_channel_percent_encoded_or_not(self) -> None:
        """A plus sign is a plus sign."""
        for path, channel in (("chat", "chat"), ("user%3A42", "user:42"), ("user:42", "user:42"), ("a+b", "a+b")):
            self.assertEqual(open_path(f"/ws/{path}"), [Subscribe(0, channel)])

    def test_mark_of_users_is_percent_encoded(self) -> None:
        for path, channel in (("%2342", "#42"), ("team:x%2341,42", "team:x#41,42")):
            self.assertEqual(open_path(f"/ws/{path}"), [Subscribe(0, channel)])

    def test_client_with_subscribe_false_only_publishes(self) -> None:
        self.assertEqual(open_path("/ws/chat", "subscribe=false"), [Subscribe(0, "chat", only_publishes=True)])
        self.assertEqual(open_path("/ws/chat", "subscribe=true"), [Subscribe(0, "chat")])

    def test_other_value_of_subscribe_and_history_for_a_client_that_receives_nothing_are_rejected(self) -> None:
        for query in ("subscribe=", "subscribe=no", "subscribe=false&subscribe=true", "subscribe=false&history=5"):
            response = open_path("/ws/chat", query)
            assert isinstance(response, ErrorResponse), query
            self.assertEqual(response.status, 400)
            self.assertIn("subscribe", response.text)

    def test_history_of_the_query_asks_for_the_newest_messages_first(self) -> None:
        for query, newest in (("history=1", 1), ("a=b&history=1000", 1000), ("", 0), ("histories=5", 0)):
            self.assertEqual(open_path("/ws/chat", query), [Subscribe(0, "chat", newest=newest)])

    def test_history_that_is_no_number_in_range_is_answered_with_400(self) -> None:
        response = ErrorResponse(400, "history is the number of newest messages to send first, from 1 to 1000.")
        for value in ("", "0", "1001", "-1", "1.5", "all", "\u0661", "99999", "1\n"):
            self.assertEqual(open_path("/ws/chat", f"history={value}"), response)
        self.assertEqual(open_path("/ws/chat", "history=1&history=2"), response)

    def test_name_outside_the_grammar_is_answered_with_400_and_the_reason_without_repeating_it(self) -> None:
        cases = {
            "": "Not a channel: the channel name is empty. Use /ws/<channel>.",
            "x" * 256: "Not a channel: the channel name is longer than 255 bytes. Use /ws/<channel>.",
            "%c3%bc" * 128: "Not a channel: the channel name is longer than 255 bytes. Use /ws/<channel>.",
        }
        for path in (
            "a/b",
            "/a",
            "a%2Fb",
            "a%00",
            "a%0d%0aX-Evil:%201",
            "%24probe",
            "a%2a",
            "%c3%bc",
            "%ff",
            "a%",
            "a%zz",
        ):
            cases[path] = ALPHABET
        self.assertEqual(
            {path: open_path(f"/ws/{path}") for path in cases},
            {path: ErrorResponse(400, text) for path, text in cases.items()},
        )

    def test_name_that_begins_as_those_of_redis_itself_is_answered_with_400(self) -> None:
        response = open_path("/ws/__keyspace@0__:x")
        assert isinstance(response, ErrorResponse)
        self.assertEqual(response.status, 400)

    @given(CHANNELS)
    def test_every_channel_has_a_url(self, channel: str) -> None:
        self.assertEqual(open_path("/ws/" + quote(channel, safe="")), [Subscribe(0, channel)])

    @given(st.text(st.characters(codec="ascii"), max_size=300) | st.binary(max_size=300).map(quote))
    def test_any_path_is_one_channel_inside_the_grammar_or_status_400(self, path: str) -> None:
        outcome = open_path("/ws/" + path)
        if isinstance(outcome, ErrorResponse):
            self.assertEqual(outcome.status, 400)
        else:
            (command,) = outcome
            assert isinstance(command, Subscribe)
            self.assertEqual(command, Subscribe(0, check_channel(command.channel)))


class MessageTests(SynchronousTestCase):
    """Messages in both directions."""

    @given(st.binary(), st.booleans())
    def test_every_message_of_a_connected_client_is_a_publication_on_its_channel(
        self, data: bytes, is_binary: bool
    ) -> None:
        self.assertEqual(RAW.decode(Message(data, is_binary), is_connected=True), [Publish(0, None, data)])

    @given(st.lists(st.text().map(str.encode) | st.binary(max_size=200), max_size=6))
    def test_batch_is_one_message_for_each_publication_in_order_with_nothing_added(self, batch: list[bytes]) -> None:
        messages = RAW.encode([Publication("c", data, At("5-0")) for data in batch])
        self.assertEqual([data for data, _ in messages], batch)

    def test_each_message_is_text_or_binary_by_itself(self) -> None:
        expected = [Message(b"text"), Message(b"\xff", True), Message(b""), Message("\u00fc".encode())]
        self.assertEqual(list(RAW.encode([Publication("c", each.data) for each in expected])), expected)
        for message in expected:
            self.assertEqual(list(RAW.encode([Publication("c", message.data)])), [message])

    def test_every_publication_is_binary_where_frames_are(self) -> None:
        """Protobuf's 08 01 is valid UTF-8."""
        batch = [Publication("c", data) for data in (b"\x08\x01", b"\x08\x96\x01", b"", b"text")]
        messages = RawDialect().encode(batch, FrameType.BINARY)
        self.assertEqual(list(messages), [(each.data, True) for each in batch])
        self.assertEqual(list(RawDialect().encode([Join("c", "5f0c")], FrameType.BINARY)), [])
        self.assertEqual([is_binary for _, is_binary in RawDialect().encode(batch)], [False, True, False, False])

    def test_joins_and_leaves_have_no_form(self) -> None:
        join, leave = Join("c", "5f0c", "42"), Leave("c", "5f0c")
        self.assertEqual([list(RAW.encode(events)) for events in ([join], [leave])], [[], []])
        self.assertEqual(list(RAW.encode([join, leave])), [])
        self.assertEqual(list(RAW.encode([join, Publication("c", b"x"), leave])), [Message(b"x")])


class CredentialTests(SynchronousTestCase):
    """A client whose credential is its first message."""

    def test_token_or_ticket_in_a_json_object_is_the_credential_in_text_and_binary(self) -> None:
        for kind, text in ((CredentialKind.TOKEN, "a.b.c"), (CredentialKind.TICKET, "0123456789abcdef")):
            data = json.dumps({kind.value: text}).encode()
            for is_binary in (False, True):
                self.assertEqual(
                    RAW.decode(Message(data, is_binary), is_connected=False),
                    [Connect(0, Credential(kind, Secret(text)))],
                )

    def test_anything_else_is_rejected_and_not_published(self) -> None:
        cases = {
            b"hello": ClientError.MALFORMED,
            b"\xff": ClientError.MALFORMED,
            b'{"token": "x"}': ClientError.TOKEN,
            b'{"ticket": "x"}': ClientError.TICKET,
        }
        for data, error in cases.items():
            with self.assertRaises(RejectedError) as caught:
                RAW.decode(Message(data), is_connected=False)
            self.assertIs(caught.exception.client_error, error)

    def test_subscription_is_reported_by_one_text_message_that_names_the_channel(self) -> None:
        self.assertEqual(list(RAW.reply([Subscribed(0, "room:1", "5-0")])), [Message(b'{"subscribed": "room:1"}')])

    @given(CHANNELS)
    def test_any_client_can_read_which_channel_it_is(self, channel: str) -> None:
        (message,) = RAW.reply([Subscribed(0, channel)])
        self.assertEqual((json.loads(message.data), message.is_binary), ({"subscribed": channel}, False))

    def test_other_replies_have_no_form(self) -> None:
        self.assertEqual(
            list(
                RAW.reply(
                    [
                        Connected(0, "5f0c", 25),
                        Unsubscribed(0),
                        Published(0),
                        Failed(0, ClientError.NOT_AVAILABLE),
                        SubscriptionEnded("c", Disconnect.GAP),
                    ]
                )
            ),
            [],
        )


class DialectTests(SynchronousTestCase):
    """Names, interface and closes of the dialect."""

    def test_dialect_provides_the_interface_and_is_spoken_below_ws(self) -> None:
        verifyObject(IDialect, RAW)
        self.assertEqual((RAW.name, PATH), ("raw", "/ws/"))

    def test_open_connection_is_a_subscribed_one(self) -> None:
        self.assertIs(RAW.acceptance, Acceptance.SUBSCRIBED)

    def test_subprotocol_is_wsrelay_and_nothing_that_could_hold_a_credential(self) -> None:
        """RFC 6455 section 11.3.4."""
        self.assertEqual(RAW.subprotocols, ("wsrelay",))
        self.assertFalse(any(name.startswith(SUBPROTOCOL_PREFIX) for name in RAW.subprotocols))

    def test_close_has_the_code_and_the_reason_of_the_table(self) -> None:
        for disconnect in Disconnect:
            self.assertEqual(RAW.close(disconnect), Farewell(disconnect.code, disconnect.reason))
