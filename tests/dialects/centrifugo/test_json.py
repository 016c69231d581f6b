"""Tests of `wsrelay.dialects.centrifugo.json`: transcripts, bytes in and out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support.publications import At
from wsrelay import __version__
from wsrelay.core.access.credentials import MAX_CREDENTIAL_BYTES, Credential, CredentialKind
from wsrelay.core.access.secret import Secret
from wsrelay.core.history.offsets import BASE_MS, EPOCH, empty_offset, entry_offset
from wsrelay.core.history.pages import HistoryPage, KeptPublication
from wsrelay.core.messaging.commands import (
    Command,
    Connect,
    Pong,
    Publish,
    ReadHistory,
    ReadPresence,
    Refresh,
    RefreshSubscription,
    Subscribe,
    Unsubscribe,
    Unsupported,
)
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import ChannelEvent, Gap, GapReason, Join, Leave, Positioned, Publication
from wsrelay.core.messaging.replies import (
    Connected,
    Failed,
    HistoryRead,
    PresenceCounted,
    PresenceRead,
    Published,
    Refreshed,
    Reply,
    Subscribed,
    SubscriptionEnded,
    SubscriptionRefreshed,
    Unsubscribed,
)
from wsrelay.core.messaging.subscription_start import NO_TERMS, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import ApplicationDisconnect, Disconnect
from wsrelay.core.outcomes.errors import ProtocolViolation, RejectedError
from wsrelay.core.presence.member import Member, PresenceStats
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects.centrifugo import PATH, JSONDialect
from wsrelay.dialects.centrifugo import json as json_dialect
from wsrelay.dialects.centrifugo.codes import DISCONNECT_CODES, error_code
from wsrelay.dialects.centrifugo.commands import MAX_CHANNELS_IN_CONNECT, MAX_CLIENT_PAGE, MAX_COMMANDS_PER_MESSAGE
from wsrelay.dialects.centrifugo.json import write_document, write_reply
from wsrelay.dialects.centrifugo.replies import event_document, publication_document, reply_document
from wsrelay.interfaces import IDialect

DIALECT = JSONDialect()
BAD_REQUEST = ClientError.BAD_REQUEST
NOT_SUPPORTED = ClientError.NOT_SUPPORTED
TOKEN = "eyJh.eyJz_-0.c2ln"
TICKET = "0123456789abcdef"
FIRST_ID, SECOND_ID, THIRD_ID = ((BASE_MS + number, 0) for number in (1, 2, 3))
FIRST, SECOND, THIRD = (f"{BASE_MS + number}-0.0000000{number}" for number in (1, 2, 3))
CHANNELS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:~@=+,;!'()&-]{0,254}", fullmatch=True)
# Of what JSON can spell, all but numbers that JSON has no form for.
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=5), each, max_size=4),
    max_leaves=8,
)


def decode(data: bytes | str, *, is_connected: bool = True) -> list[Command] | Disconnect | ClientError:
    """Return the commands of a text message, or what the client gets instead."""
    message = Message(data if isinstance(data, bytes) else data.encode())
    try:
        return list(DIALECT.decode(message, is_connected=is_connected))
    except ProtocolViolation as violation:
        return violation.disconnect
    except RejectedError as error:
        return error.client_error


def command(command_id: object, method: str, request: str) -> str:
    """Return a command."""
    return f'{{"id": {command_id}, "{method}": {request}}}'


def publish(data: str) -> str:
    """Return a command that publishes JSON."""
    return command(4, "publish", f'{{"channel": "a", "data": {data}}}')


def reply(*replies: Reply) -> bytes:
    """Return the one text message of replies."""
    (message,) = DIALECT.reply(replies)
    assert not message.is_binary
    return message.data


def encode(*publications: ChannelEvent) -> bytes:
    """Return the one text message of publications."""
    ((data, is_binary),) = DIALECT.encode(publications)
    assert not is_binary
    return data


def strict_loads(text: str) -> Any:
    """Return a JSON document as a parser reads it that has none of Python's extensions.

    Raises:
        ValueError: It is none.
    """
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> float:
    raise ValueError(name)


class DialectTests(SynchronousTestCase):
    """Names, interface, pings and closes of the dialect."""

    def test_dialect_provides_the_interface_and_is_spoken_at_the_path_of_centrifugo(self) -> None:
        verifyObject(IDialect, DIALECT)
        self.assertEqual(
            (DIALECT.name, DIALECT.subprotocols, PATH),
            ("centrifugo-json", ("centrifuge-json",), "/connection/websocket"),
        )

    def test_handshake_is_accepted_first_and_asks_for_nothing(self) -> None:
        self.assertIs(DIALECT.acceptance, Acceptance.AT_ONCE)
        self.assertEqual(list(DIALECT.open(Handshake(PATH, "192.0.2.1"))), [])

    def test_ping_is_an_empty_object(self) -> None:
        self.assertEqual(DIALECT.ping(), Message(b"{}"))

    def test_close_has_the_code_of_centrifugo_and_no_message_before_it(self) -> None:
        """A disconnect push before the close frame makes centrifuge-python report the wrong code."""
        for disconnect in Disconnect:
            self.assertEqual(DIALECT.close(disconnect), (DISCONNECT_CODES[disconnect], disconnect.reason, ()))

    def test_code_and_reason_of_the_application_are_sent_as_they_are(self) -> None:
        self.assertEqual(DIALECT.close(ApplicationDisconnect(4100, "elsewhere")), (4100, "elsewhere", ()))

    def test_reason_of_a_close_is_no_json(self) -> None:
        """centrifuge-js tries to read one out of it, and fails on `null` and numbers."""
        for disconnect in Disconnect:
            self.assertRaises(ValueError, json.loads, DIALECT.close(disconnect).reason)


class ConnectTests(SynchronousTestCase):
    """The command `connect`."""

    def test_token_or_ticket_is_the_credential(self) -> None:
        for kind, text in ((CredentialKind.TOKEN, TOKEN), (CredentialKind.TICKET, TICKET)):
            expected = [Connect(1, Credential(kind, Secret(text)))]
            for is_connected in (False, True):
                self.assertEqual(
                    decode(command(1, "connect", f'{{"token": "{text}"}}'), is_connected=is_connected), expected
                )

    def test_no_token_is_no_credential(self) -> None:
        for request in ("{}", '{"token": ""}', '{"token": null}', '{"name": "js"}'):
            self.assertEqual(decode(command(1, "connect", request)), [Connect(1, None)], request)

    def test_fields_that_are_not_read_are_ignored(self) -> None:
        self.assertEqual(
            decode(
                '{"connect": {"token": "", "data": {"a": [1]}, "name": "js", "version": "5.8.0", "flag": 3, '
                '"subs": {"a": {}}, "headers": {"x": "y"}}, "id": 4294967295}'
            ),
            [Connect(2**32 - 1, None)],
        )

    def test_malformed_credential_is_a_token_that_is_not_valid(self) -> None:
        """Not a ticket that is not valid: an SDK would get the same one again, without end."""
        for token in (
            "x",
            "a.b",
            "a.b.c.d!",
            "\u00fc" * 20,
            "\\ud800",
            "x" * (MAX_CREDENTIAL_BYTES + 1),
            " " * 20,
            ".",
        ):
            self.assertEqual(decode(command(1, "connect", f'{{"token": "{token}"}}')), ClientError.TOKEN, token)

    def test_token_that_is_no_text_is_a_bad_request(self) -> None:
        for token in ("0", "1", "false", "true", "[]", "{}", '["a.b.c"]'):
            self.assertEqual(decode(command(1, "connect", f'{{"token": {token}}}')), Disconnect.BAD_REQUEST, token)

    def test_reply_has_the_connection_the_version_and_the_pings(self) -> None:
        self.assertEqual(
            reply(Connected(1, "5f0c", 25)),
            b'{"id":1,"connect":{"client":"5f0c","version":"wsrelay %s","ping":25,"pong":true}}' % __version__.encode(),
        )

    def test_reply_says_nothing_of_pings_where_there_are_none(self) -> None:
        self.assertEqual(
            reply(Connected(1, "5f0c")),
            b'{"id":1,"connect":{"client":"5f0c","version":"wsrelay %s"}}' % __version__.encode(),
        )


class SubscribeTests(SynchronousTestCase):
    """The commands `subscribe` and `unsubscribe`."""

    def test_channel_is_subscribed(self) -> None:
        self.assertEqual(decode('{"id": 2, "subscribe": {"channel": "news:1"}}'), [Subscribe(2, "news:1")])

    def test_fields_that_are_not_read_are_ignored(self) -> None:
        self.assertEqual(
            decode(
                '{"id": 2, "subscribe": {"channel": "a", "token": "", "data": {}, "positioned": true, "type": 0, '
                '"recoverable": true, "join_leave": true, "delta": "fossil", "flag": 3, "tf": null, "recover": false}}'
            ),
            [Subscribe(2, "a")],
        )
        self.assertEqual(decode('{"id": 2, "subscribe": {"channel": "a", "type": null}}'), [Subscribe(2, "a")])

    def test_client_that_wants_to_recover_has_missed_what_there_was(self) -> None:
        self.assertEqual(
            decode('{"id": 2, "subscribe": {"channel": "a", "recover": true, "epoch": "x", "offset": 5}}'),
            [Subscribe(2, "a", since="")],
        )
        for recover in ("false", "null", "1", '"true"'):
            self.assertEqual(
                decode(command(2, "subscribe", f'{{"channel": "a", "recover": {recover}}}')), [Subscribe(2, "a")]
            )

    def test_malformed_channel_is_an_error(self) -> None:
        channels = ('""', '"$private"', '"\u00fc"', '"\\ud800"', '"a b"', '"a/b"', "null", "1", "[]", "{}")
        for channel in (*channels, '"%s"' % ("x" * 256), '"__keyspace@0__:x"'):
            for method in ("subscribe", "publish"):
                self.assertEqual(
                    decode(command(2, method, f'{{"channel": {channel}, "data": 1}}')),
                    [Unsupported(2, BAD_REQUEST)],
                    channel,
                )
        self.assertEqual(decode('{"id": 2, "subscribe": {}}'), [Unsupported(2, BAD_REQUEST)])

    def test_filter_by_tags_is_a_bad_request(self) -> None:
        self.assertEqual(
            decode('{"id": 2, "subscribe": {"channel": "a", "tf": {"key": "x", "cmp": "ex"}}}'),
            [Unsupported(2, BAD_REQUEST)],
        )

    def test_other_types_of_subscription_are_not_available(self) -> None:
        for kind in ("1", "4", "true", '"map"'):
            self.assertEqual(
                decode(command(2, "subscribe", f'{{"channel": "a", "type": {kind}}}')),
                [Unsupported(2, NOT_SUPPORTED)],
                kind,
            )

    def test_reply_is_an_empty_object(self) -> None:
        self.assertEqual(reply(Subscribed(2, "a")), b'{"id":2,"subscribe":{}}')

    def test_reply_says_what_became_of_a_recovery(self) -> None:
        self.assertEqual(reply(Subscribed(2, "a", since="")), b'{"id":2,"subscribe":{"was_recovering":true}}')
        self.assertEqual(
            json.loads(reply(Subscribed(2, "a", SECOND, since=SECOND, recovered=True)))["subscribe"],
            {
                "was_recovering": True,
                "recovered": True,
                "recoverable": True,
                "positioned": True,
                "epoch": EPOCH,
                "offset": entry_offset(SECOND_ID),
            },
        )

    def test_what_was_missed_comes_with_the_offset_of_the_request_which_it_leads_on_from(self) -> None:
        missed = (Publication("a", b'{"n": 2}', At(SECOND)), Publication("a", b"not JSON", At(THIRD)))
        found = json.loads(reply(Subscribed(2, "a", THIRD, FIRST, recovered=True, publications=missed)))["subscribe"]
        self.assertEqual(found["offset"], entry_offset(FIRST_ID))
        self.assertEqual(
            found["publications"],
            [
                {"data": {"n": 2}, "offset": entry_offset(SECOND_ID)},
                {"data": "not JSON", "offset": entry_offset(THIRD_ID)},
            ],
        )

    def test_what_is_left_behind_a_gap_is_not_sent_and_the_offset_is_that_of_the_channel(self) -> None:
        missed = (Publication("a", b"2", At(SECOND)),)
        found = json.loads(reply(Subscribed(2, "a", THIRD, FIRST, recovered=False, publications=missed)))["subscribe"]
        self.assertEqual(
            found,
            {
                "was_recovering": True,
                "recoverable": True,
                "positioned": True,
                "epoch": EPOCH,
                "offset": entry_offset(THIRD_ID),
            },
        )

    def test_channel_without_entries_has_an_offset_too_and_one_that_has_none_is_not_recoverable(self) -> None:
        found = json.loads(reply(Subscribed(2, "a", f"~{BASE_MS + 5}")))["subscribe"]
        self.assertEqual((found["recoverable"], found["offset"]), (True, empty_offset(BASE_MS + 5)))
        self.assertEqual(json.loads(reply(Subscribed(2, "a", "5-0.00000000")))["subscribe"], {})

    def test_position_is_that_of_the_offset_and_of_no_other_epoch(self) -> None:
        for fields, since in (
            (f'"offset": {entry_offset(FIRST_ID)}, "epoch": "{EPOCH}"', f"{BASE_MS + 1}-0.*"),
            (f'"offset": {entry_offset(FIRST_ID)}', f"{BASE_MS + 1}-0.*"),
            (f'"offset": {empty_offset(BASE_MS)}', f"~{BASE_MS}"),
            (f'"offset": {entry_offset(FIRST_ID)}, "epoch": "xyz"', ""),
            ('"offset": 0', ""),
            ('"epoch": ""', ""),
        ):
            command_text = command(2, "subscribe", f'{{"channel": "a", "recover": true, {fields}}}')
            self.assertEqual(decode(command_text), [Subscribe(2, "a", since)], fields)

    def test_position_without_a_wish_to_recover_is_none(self) -> None:
        self.assertEqual(decode(command(2, "subscribe", '{"channel": "a", "offset": 5}')), [Subscribe(2, "a")])

    def test_client_that_loads_its_state_wants_an_error_where_it_cannot_recover(self) -> None:
        for flag, must_recover in ((0, False), (1, False), (2, True), (3, True)):
            text = command(2, "subscribe", f'{{"channel": "a", "recover": true, "flag": {flag}}}')
            self.assertEqual(decode(text), [Subscribe(2, "a", "", must_recover=must_recover)])
        self.assertEqual(decode(command(2, "subscribe", '{"channel": "a", "flag": 2}')), [Subscribe(2, "a")])

    def test_malformed_position_or_flag_is_a_bad_request(self) -> None:
        for fields in ('"offset": -1', '"offset": "5"', '"offset": 1.5', '"epoch": 5', '"flag": "2"', '"flag": -1'):
            text = command(2, "subscribe", f'{{"channel": "a", "recover": true, {fields}}}')
            self.assertEqual(decode(text), [Unsupported(2, BAD_REQUEST)], fields)

    def test_channel_is_unsubscribed_even_one_that_no_channel_can_be(self) -> None:
        """An error makes an SDK reconnect; see `Unsubscribe`."""
        for channel in ("a", "$private", "\u00fc", "", "x" * 256):
            self.assertEqual(
                decode(json.dumps({"id": 3, "unsubscribe": {"channel": channel}})), [Unsubscribe(3, channel)]
            )

    def test_unsubscribe_from_what_is_no_text_is_an_error(self) -> None:
        for request in ("{}", '{"channel": null}', '{"channel": 1}', '{"channel": ["a"]}'):
            self.assertEqual(decode(command(3, "unsubscribe", request)), [Unsupported(3, BAD_REQUEST)], request)

    def test_reply_to_an_unsubscribe_is_an_empty_object(self) -> None:
        self.assertEqual(reply(Unsubscribed(3)), b'{"id":3,"unsubscribe":{}}')

    def test_end_of_a_subscription_is_a_push_with_code_and_reason(self) -> None:
        self.assertEqual(
            reply(SubscriptionEnded("a", Disconnect.GAP)),
            b'{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"possible message loss, reconnect"}}}',
        )
        for disconnect in Disconnect:
            push = json.loads(reply(SubscriptionEnded("a", disconnect)))["push"]
            self.assertEqual(set(push["unsubscribe"]), {"code", "reason"})


class PublishTests(SynchronousTestCase):
    """The command `publish`."""

    def test_data_is_published_as_compact_json(self) -> None:
        cases = {
            '{"a": [1, 2.5, "x"]}': b'{"a":[1,2.5,"x"]}',
            '"text"': b'"text"',
            '"\\u00fc\\n"': '"\u00fc\\n"'.encode(),
            "null": b"null",
            "12345678901234567890": b"12345678901234567890",
            " [ ] ": b"[]",
            '"\\ud83d\\ude00"': '"\U0001f600"'.encode(),
        }
        for data, published in cases.items():
            self.assertEqual(decode(publish(data)), [Publish(4, "a", published)])

    def test_lone_surrogate_in_data_stays_what_json_can_spell(self) -> None:
        self.assertEqual(
            decode('{"id": 4, "publish": {"channel": "a", "data": "\\ud800\u00fc"}}'),
            [Publish(4, "a", b'"\\ud800\\u00fc"')],
        )

    def test_missing_data_and_numbers_beyond_any_reader_are_errors(self) -> None:
        for request in (
            '{"channel": "a"}',
            '{"channel": "a", "data": 1e999}',
            '{"channel": "a", "data": [{"a": -1e999}]}',
            '{"data": 1}',
        ):
            self.assertEqual(decode(command(4, "publish", request)), [Unsupported(4, BAD_REQUEST)], request)

    @given(DOCUMENTS)
    def test_what_is_published_is_one_line_of_json_that_says_the_same(self, document: object) -> None:
        commands = decode(publish(json.dumps(document)))
        assert isinstance(commands, list)
        (published,) = commands
        assert isinstance(published, Publish)
        self.assertNotIn(b"\n", published.data)
        self.assertEqual(strict_loads(published.data.decode()), document)

    def test_reply_is_an_empty_object(self) -> None:
        self.assertEqual(reply(Published(4)), b'{"id":4,"publish":{}}')


class ConnectPositionTests(SynchronousTestCase):
    """Positions on channels that a client is subscribed to without asking."""

    def test_positions_from_which_the_client_resumes(self) -> None:
        subs = f'{{"a": {{"recover": true, "offset": {entry_offset(FIRST_ID)}}}, "b": {{"offset": 5}}}}'
        self.assertEqual(
            decode(command(1, "connect", f'{{"subs": {subs}}}')), [Connect(1, None, {"a": f"{BASE_MS + 1}-0.*"})]
        )

    def test_malformed_positions_end_the_connection(self) -> None:
        many = json.dumps({f"c{number}": {} for number in range(MAX_CHANNELS_IN_CONNECT + 1)})
        for subs in ("[1]", '{"a": 1}', '{"a": {"recover": true, "offset": "x"}}', many):
            self.assertEqual(decode(command(1, "connect", f'{{"subs": {subs}}}')), Disconnect.BAD_REQUEST, subs[:50])

    def test_reply_tells_what_the_client_is_subscribed_to_and_how_long_its_credential_lasts(self) -> None:
        found = json.loads(reply(Connected(1, "5f0c", 0, (Subscribed(0, "a", FIRST), Subscribed(0, "b")), 60)))
        subscribed = {"recoverable": True, "positioned": True, "epoch": EPOCH, "offset": entry_offset(FIRST_ID)}
        self.assertEqual(found["connect"]["subs"], {"a": subscribed, "b": {}})
        self.assertEqual((found["connect"]["expires"], found["connect"]["ttl"]), (True, 60))


class LookupTests(SynchronousTestCase):
    """History and presence."""

    def test_history_is_read_from_an_offset(self) -> None:
        for request, expected in (
            ("", ReadHistory(4, "a")),
            (', "limit": 5', ReadHistory(4, "a", 5)),
            (', "limit": -1, "reverse": true', ReadHistory(4, "a", MAX_CLIENT_PAGE, reverse=True)),
            (f', "limit": {MAX_CLIENT_PAGE + 1}', ReadHistory(4, "a", MAX_CLIENT_PAGE)),
            (', "since": {"offset": 7, "epoch": "e"}', ReadHistory(4, "a", 0, 7, "e")),
            (', "since": null', ReadHistory(4, "a")),
        ):
            self.assertEqual(decode(command(4, "history", f'{{"channel": "a"{request}}}')), [expected], request)

    def test_presence_is_read_whole_or_counted(self) -> None:
        self.assertEqual(decode(command(4, "presence", '{"channel": "a"}')), [ReadPresence(4, "a")])
        self.assertEqual(
            decode(command(4, "presence_stats", '{"channel": "a"}')), [ReadPresence(4, "a", only_counts=True)]
        )

    def test_malformed_request_is_a_bad_request(self) -> None:
        for method in ("history", "presence", "presence_stats"):
            for request in ("{}", '{"channel": 5}', '{"channel": "$a"}'):
                self.assertEqual(decode(command(4, method, request)), [Unsupported(4, BAD_REQUEST)], method)
        for field in ('"limit": "5"', '"since": 5', '"since": {"offset": -1}', '"since": {"epoch": 1}'):
            found = decode(command(4, "history", f'{{"channel": "a", {field}}}'))
            self.assertEqual(found, [Unsupported(4, BAD_REQUEST)], field)

    def test_reply_to_history_has_every_field_even_without_publications(self) -> None:
        self.assertEqual(
            reply(HistoryRead(4, HistoryPage((), 0))),
            b'{"id":4,"history":{"publications":[],"epoch":"wsrelay","offset":0}}',
        )

    def test_reply_to_history_has_data_and_who_published_it(self) -> None:
        info = b'{"client":"5f0c","user":"42"}'
        page = HistoryPage((KeptPublication(5, b'{"a":1}', None, b'{"t":"1"}'), KeptPublication(6, b"x", info)), 6)
        self.assertEqual(
            json.loads(reply(HistoryRead(4, page)))["history"]["publications"],
            [
                {"data": {"a": 1}, "offset": 5, "tags": {"t": "1"}},
                {"data": "x", "offset": 6, "info": {"user": "42", "client": "5f0c"}},
            ],
        )

    def test_reply_to_presence_has_an_object_even_without_clients(self) -> None:
        self.assertEqual(reply(PresenceRead(4, ())), b'{"id":4,"presence":{"presence":{}}}')
        self.assertEqual(
            reply(PresenceRead(4, (Member("5f0c", "42"), Member("6f0c")))),
            b'{"id":4,"presence":{"presence":{"5f0c":{"user":"42","client":"5f0c"},"6f0c":{"user":"","client":"6f0c"}}}}',
        )

    def test_reply_to_presence_stats_has_both_numbers(self) -> None:
        self.assertEqual(
            reply(PresenceCounted(4, PresenceStats(0, 0))),
            b'{"id":4,"presence_stats":{"num_clients":0,"num_users":0}}',
        )


class RefreshTests(SynchronousTestCase):
    """New tokens."""

    def test_token_for_the_connection_and_for_a_channel(self) -> None:
        self.assertEqual(decode(command(6, "refresh", '{"token": "a.b.c"}')), [Refresh(6, "a.b.c")])
        text = command(7, "sub_refresh", '{"channel": "a", "token": "a.b.c"}')
        self.assertEqual(decode(text), [RefreshSubscription(7, "a", "a.b.c")])
        text = command(2, "subscribe", '{"channel": "a", "token": "a.b.c"}')
        self.assertEqual(decode(text), [Subscribe(2, "a", token="a.b.c")])

    def test_request_without_a_token_is_a_bad_request(self) -> None:
        for method, request in (
            ("refresh", "{}"),
            ("refresh", '{"token": ""}'),
            ("refresh", '{"token": 5}'),
            ("sub_refresh", '{"channel": "a"}'),
            ("sub_refresh", '{"token": "a.b.c"}'),
        ):
            self.assertEqual(decode(command(6, method, request)), [Unsupported(6, BAD_REQUEST)], request)

    def test_replies_say_how_long_it_lasts(self) -> None:
        found = json.loads(reply(Refreshed(6, "5f0c", 60)))["refresh"]
        self.assertEqual(found, {"client": "5f0c", "version": f"wsrelay {__version__}", "expires": True, "ttl": 60})
        self.assertNotIn("expires", json.loads(reply(Refreshed(6, "5f0c")))["refresh"])
        self.assertEqual(reply(SubscriptionRefreshed(7, 60)), b'{"id":7,"sub_refresh":{"expires":true,"ttl":60}}')
        self.assertEqual(reply(SubscriptionRefreshed(7)), b'{"id":7,"sub_refresh":{}}')

    def test_client_that_has_not_asked_is_not_told(self) -> None:
        self.assertEqual(DIALECT.reply([Refreshed(0, "5f0c", 60)]), ())
        self.assertEqual(reply_document(Refreshed(0, "5f0c", 60)), {"push": {"refresh": {"expires": True, "ttl": 60}}})

    def test_terms_of_a_subscription_come_with_it(self) -> None:
        terms = SubscriptionTerms(60, b'{"a":1}')
        self.assertEqual(
            json.loads(reply(Subscribed(2, "a", terms=terms)))["subscribe"],
            {"expires": True, "ttl": 60, "data": {"a": 1}},
        )

    def test_subscription_that_the_application_made_is_a_push(self) -> None:
        missed = (Publication("a", b"2", At(SECOND)),)
        positions = {"recoverable": True, "positioned": True, "epoch": EPOCH, "offset": entry_offset(FIRST_ID)}
        self.assertEqual(
            json.loads(reply(Subscribed(0, "a", SECOND, FIRST, recovered=True, publications=missed))),
            {"push": {"channel": "a", "subscribe": positions}},
        )


class OtherCommandTests(SynchronousTestCase):
    """Pongs, and what the relay does not have."""

    def test_empty_object_is_a_pong(self) -> None:
        for text in ("{}", " {} ", "{\t}\r"):
            self.assertEqual(decode(text), [Pong()])

    def test_methods_that_the_relay_does_not_have_are_not_available(self) -> None:
        for method in ("ping", "rpc"):
            for request in ("{}", '{"channel": "a"}', "null"):
                self.assertEqual(decode(command(5, method, request)), [Unsupported(5, NOT_SUPPORTED)], method)

    def test_unknown_method_is_a_bad_request(self) -> None:
        for method in ("", "x", "Connect", "push", "error", "method", "\\ud800", "connect "):
            self.assertEqual(decode(command(5, method, "{}")), Disconnect.BAD_REQUEST, method)

    def test_asynchronous_message_is_not_available_and_has_no_reply(self) -> None:
        for text in ('{"send": {"data": 1}}', '{"id": 5, "send": {"data": 1}}', '{"id": 0, "send": {}}'):
            self.assertEqual(decode(text), [Unsupported(0, NOT_SUPPORTED)], text)

    def test_asynchronous_message_that_is_none_is_a_bad_request(self) -> None:
        for text in ('{"send": null}', '{"send": 1}', '{"id": -1, "send": {}}', '{"send": {}, "rpc": {}}'):
            self.assertEqual(decode(text), Disconnect.BAD_REQUEST, text)

    def test_command_without_an_id_is_a_bad_request(self) -> None:
        for text in ('{"rpc": {}}', '{"id": 0, "rpc": {}}', '{"publish": {"channel": "a", "data": 1}}'):
            self.assertEqual(decode(text), Disconnect.BAD_REQUEST, text)

    def test_error_has_code_and_message_and_says_if_it_is_temporary(self) -> None:
        self.assertEqual(
            reply(Failed(5, ClientError.CHANNEL_DENIED)),
            b'{"id":5,"error":{"code":103,"message":"permission denied"}}',
        )
        self.assertEqual(
            reply(Failed(5, ClientError.NOT_AVAILABLE)),
            b'{"id":5,"error":{"code":100,"message":"internal server error","temporary":true}}',
        )
        for error in ClientError:
            code, message, is_temporary = error_code(error)
            expected = {"code": code, "message": message, **({"temporary": True} if is_temporary else {})}
            self.assertEqual(json.loads(reply(Failed(5, error))), {"id": 5, "error": expected})


class MessageTests(SynchronousTestCase):
    """Several objects in a message."""

    def test_commands_of_a_message_are_read_in_order(self) -> None:
        self.assertEqual(
            decode(
                '{"id": 1, "connect": {"token": "0123456789abcdef"}}\n{"id": 2, "subscribe": {"channel": "a"}}\n'
                '{"id": 3, "subscribe": {"channel": "b"}}\n{}\n',
                is_connected=False,
            ),
            [
                Connect(1, Credential(CredentialKind.TICKET, Secret(TICKET))),
                Subscribe(2, "a"),
                Subscribe(3, "b"),
                Pong(),
            ],
        )

    def test_empty_lines_are_ignored_among_commands(self) -> None:
        self.assertEqual(decode("\n\n{}\r\n \n{}\n\n"), [Pong(), Pong()])

    def test_message_without_a_command_is_a_bad_request(self) -> None:
        for text in ("", " ", "\n", "\n\n \r\n"):
            self.assertEqual(decode(text), Disconnect.BAD_REQUEST, text)

    def test_number_of_commands_in_a_message_is_bounded(self) -> None:
        self.assertEqual(decode("{}\n" * MAX_COMMANDS_PER_MESSAGE), [Pong()] * MAX_COMMANDS_PER_MESSAGE)
        self.assertEqual(decode("{}\n" * (MAX_COMMANDS_PER_MESSAGE + 1)), Disconnect.BAD_REQUEST)

    def test_one_malformed_command_makes_the_message_a_bad_request(self) -> None:
        self.assertEqual(decode('{}\n{"id": 2, "subscribe": {"channel": "a"}}\n{'), Disconnect.BAD_REQUEST)

    def test_replies_are_one_message_of_one_line_each(self) -> None:
        self.assertEqual(
            reply(Unsubscribed(1), Published(2), SubscriptionEnded("a", Disconnect.REVOKED)),
            b'{"id":1,"unsubscribe":{}}\n{"id":2,"publish":{}}\n'
            b'{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"disconnected by the application"}}}',
        )

    def test_no_replies_are_no_message(self) -> None:
        self.assertEqual(list(DIALECT.reply([])), [])


class HostileTests(SynchronousTestCase):
    """Input that no SDK sends: a bad request, and never another exception."""

    def check(self, *messages: bytes | str) -> None:
        for message in messages:
            self.assertEqual(decode(message), Disconnect.BAD_REQUEST, message[:60])

    def test_binary_message(self) -> None:
        with self.assertRaises(ProtocolViolation) as caught:
            DIALECT.decode(Message(b"{}", is_binary=True), is_connected=True)
        self.assertIs(caught.exception.disconnect, Disconnect.BAD_REQUEST)

    def test_id_that_is_no_number_of_32_bits(self) -> None:
        ids = (
            "0",
            "-1",
            "4294967296",
            "1" + "0" * 400,
            "9" * 5000,
            "1.0",
            "1e3",
            "true",
            "false",
            "null",
            '"1"',
            "[1]",
        )
        self.check(*(command(each, "subscribe", '{"channel": "a"}') for each in (*ids, "NaN", "Infinity", "{}")))
        self.check('{"subscribe": {"channel": "a"}}')

    def test_no_method_or_several(self) -> None:
        self.check(
            '{"id": 1}', '{"id": 1, "connect": {}, "subscribe": {"channel": "a"}}', '{"id": 1, "ping": {}, "x": 1}'
        )

    def test_request_that_is_no_object(self) -> None:
        for method in ("connect", "subscribe", "unsubscribe", "publish"):
            self.check(*(command(1, method, request) for request in ("null", "1", '"a"', "[]", "true")))

    def test_document_that_is_no_object(self) -> None:
        self.check("null", "1", '"connect"', "[]", '[{"id": 1, "connect": {}}]', "true", "hello", "{}{}", "{} x")

    def test_json_that_only_python_reads(self) -> None:
        self.check(*(publish(each) for each in ("NaN", "Infinity", "-Infinity", "[NaN]", "'a'", "01", "1.", "\u0661")))

    def test_deep_nesting(self) -> None:
        for depth in (1_000, 100_000):
            self.check("[" * depth, '{"a":' * depth)
            self.check(publish("[" * depth + "]" * depth))

    def test_nesting_at_the_limit_of_the_parser(self) -> None:
        for depth in range(900, 1000):
            data = "[" * depth + "]" * depth
            self.assertIn(
                decode(publish(data)),
                (Disconnect.BAD_REQUEST, [Unsupported(4, BAD_REQUEST)], [Publish(4, "a", data.encode())]),
            )

    def test_other_encodings_and_byte_order_marks(self) -> None:
        text = '{"id": 1, "connect": {}}'
        self.check(text.encode("utf-16-le"), text.encode("utf-16-be"), "\ufeff" + text, "\ufeff{}", "\x00", "{}\x00")

    def test_line_feed_inside_of_an_object(self) -> None:
        self.check('{"id": 1,\n"connect": {}}', '{"id": 1, "publish": {"channel": "a", "data": "a\nb"}}')

    @given(
        st.text()
        | st.recursive(
            st.sampled_from(
                ["id", "connect", "subscribe", "channel", "a", "token", "data", "publish", "recover", 1, None]
            )
            | st.floats()
            | st.integers()
            | st.text(max_size=3),
            lambda each: (
                st.lists(each, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["id", "connect", "subscribe", "unsubscribe", "publish", "channel", "token", "data", "x"]
                    ),
                    each,
                    max_size=4,
                )
            ),
            max_leaves=10,
        ).map(json.dumps)
    )
    @example('{"id": 1, "connect": {"token": "\\ud800"}}')
    def test_any_text_is_commands_or_one_of_two_answers(self, text: str) -> None:
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return
        commands = decode(data)
        if not isinstance(commands, list):
            self.assertIn(commands, (Disconnect.BAD_REQUEST, ClientError.TOKEN))


class PublicationTests(SynchronousTestCase):
    """Publications, as the SDKs read them."""

    def read(self, *data: bytes) -> Sequence[Any]:
        """Return the data of publications as an SDK reads it: objects between line feeds, in valid UTF-8."""
        pushes = [
            strict_loads(line) for line in encode(*(Publication("a", each) for each in data)).decode().split("\n")
        ]
        for push in pushes:
            self.assertEqual((set(push), set(push["push"])), ({"push"}, {"channel", "pub"}))
            self.assertEqual((push["push"]["channel"], set(push["push"]["pub"])), ("a", {"data"}))
        return [push["push"]["pub"]["data"] for push in pushes]

    def test_json_is_passed_on_byte_for_byte(self) -> None:
        for data in (
            b'{"a":1}',
            b'{ "a" : 1.10 }',
            b"1e999",
            b"-0",
            b'"\\ud800"',
            '"\u00fc\u2028\U0001f600"'.encode(),
            b"null",
            b" [] ",
            b"12345678901234567890.123456789",
            b'{"a":1,"a":2}',
        ):
            self.assertEqual(encode(Publication("a", data)), b'{"push":{"channel":"a","pub":{"data":%s}}}' % data)

    def test_line_breaks_between_tokens_become_spaces(self) -> None:
        data = b'{\r\n  "a": [1.10,\n1e999]\n}\n'
        self.assertEqual(
            encode(Publication("a", data)),
            b'{"push":{"channel":"a","pub":{"data":{    "a": [1.10, 1e999] } }}}',
        )

    def test_anything_else_becomes_a_json_string(self) -> None:
        cases = {
            b"": "",
            b"hello": "hello",
            b'say "hi"': 'say "hi"',
            b"a\nb\r\n": "a\nb\r\n",
            b"{": "{",
            b"{}{}": "{}{}",
            b"{}\n{}": "{}\n{}",
            b'"a\nb"': '"a\nb"',
            b"NaN": "NaN",
            b"[-Infinity]": "[-Infinity]",
            b"01": "01",
            b"'a'": "'a'",
            b"9" * 5000: "9" * 5000,
            "\u0661".encode(): "\u0661",
            b"\x00\x1f\x7f": "\x00\x1f\x7f",
            b"\xff\xfe": "\ufffd\ufffd",
            b'"\xff"': '"\ufffd"',
            b"\xed\xa0\x80": "\ufffd\ufffd\ufffd",
            b"[" * 100_000: "[" * 100_000,
            b"[" * 100_000 + b"]" * 100_000: "[" * 100_000 + "]" * 100_000,
            b'\xef\xbb\xbf{"a":1}': '\ufeff{"a":1}',
            '{"a":1}'.encode("utf-16-le"): "{\0" + "\0".join('"a":1}') + "\0",
        }
        for data, text in cases.items():
            self.assertEqual(self.read(data), [text], data[:40])

    def test_batch_is_one_message_of_one_line_for_each_publication(self) -> None:
        self.assertEqual(
            encode(Publication("a", b"1"), Publication("a", b"x\ny"), Publication("a", b"[\n]")),
            b'{"push":{"channel":"a","pub":{"data":1}}}\n'
            b'{"push":{"channel":"a","pub":{"data":"x\\ny"}}}\n'
            b'{"push":{"channel":"a","pub":{"data":[ ]}}}',
        )

    def test_joins_and_leaves_are_pushes_with_the_client(self) -> None:
        self.assertEqual(
            encode(Join("a", "5f0c", "42"), Publication("a", b"1"), Leave("a", "5f0c")),
            b'{"push":{"channel":"a","join":{"info":{"user":"42","client":"5f0c"}}}}\n'
            b'{"push":{"channel":"a","pub":{"data":1}}}\n'
            b'{"push":{"channel":"a","leave":{"info":{"user":"","client":"5f0c"}}}}',
        )

    def test_what_is_told_about_a_client_is_in_joins_presence_and_publications(self) -> None:
        told = b'{"user":"42","client":"5f0c","conn_info":{"a":1.0},"chan_info":"x"}'
        member = Member("5f0c", "42", b'{"a":1.0}', b'"x"')
        join = Join("a", member.client, member.user, member.conn_info, member.chan_info)
        publication = Publication("a", b"1", At(FIRST, member.text.encode()))
        self.assertEqual(
            encode(join, publication),
            b'{"push":{"channel":"a","join":{"info":%b}}}\n{"push":{"channel":"a","pub":{"data":1,"info":%b,"offset":%d}}}'
            % (told, told, entry_offset(FIRST_ID)),
        )
        self.assertEqual(reply(PresenceRead(4, (member,))), b'{"id":4,"presence":{"presence":{"5f0c":%b}}}' % told)
        page = HistoryPage((KeptPublication(5, b"1", member.text.encode()),), 5)
        self.assertIn(b'"info":%b' % told, reply(HistoryRead(4, page)))

    def test_gaps_and_positions_have_no_form(self) -> None:
        self.assertEqual(list(DIALECT.encode([Gap("a", GapReason.TRIMMED), Positioned("a", FIRST)])), [])
        self.assertEqual(list(DIALECT.encode([])), [])

    def test_publication_of_a_channel_with_history_has_its_offset_and_the_client_that_published_it(self) -> None:
        info = b'{"client": "5f0c", "user": "42", "x": 1}'
        self.assertEqual(
            encode(Publication("a", b"1", At(FIRST)), Publication("a", b"2", At(SECOND, info))),
            b'{"push":{"channel":"a","pub":{"data":1,"offset":%d}}}\n'
            b'{"push":{"channel":"a","pub":{"data":2,"info":{"user":"42","client":"5f0c"},"offset":%d}}}'
            % (entry_offset(FIRST_ID), entry_offset(SECOND_ID)),
        )

    def test_publication_with_tags_has_them_live_and_recovered(self) -> None:
        publication = Publication("a", b"1", At(FIRST, tags='{"t": "\u00e9"}'.encode()))
        offset = entry_offset(FIRST_ID)
        expected = b'{"push":{"channel":"a","pub":{"data":1,"offset":%d,"tags":{"t":"\xc3\xa9"}}}}' % offset
        self.assertEqual(encode(publication), expected)
        self.assertEqual(publication_document(publication), {"data": b"1", "offset": offset, "tags": {"t": "\u00e9"}})

    def test_publication_that_is_spliced_is_that_of_its_document(self) -> None:
        info, tags = b'{"client":"5f0c","user":"42","conn_info":[1]}', b'{"a":"b"}'
        for origin in (None, At(FIRST), At(FIRST, info), At(FIRST, None, tags), At(FIRST, info, tags)):
            publication = Publication("a", b'{"n":1}', origin)
            document = event_document(publication)
            assert document is not None
            self.assertEqual(json.loads(encode(publication)), json.loads(write_document(document)))

    def test_field_tags_that_has_another_form_is_left_out(self) -> None:
        for tags in (b"", b"x", b"[]", b'{"a": 5}', b"\xff"):
            self.assertEqual(
                encode(Publication("a", b"1", At("5-0.00000000", tags=tags))),
                b'{"push":{"channel":"a","pub":{"data":1}}}',
            )

    def test_entry_whose_id_has_no_offset_is_sent_without_one(self) -> None:
        self.assertEqual(
            encode(Publication("a", b"1", At("5-0.00000000"))), b'{"push":{"channel":"a","pub":{"data":1}}}'
        )

    def test_field_info_that_names_no_client_is_left_out(self) -> None:
        for info in (b"", b"x", b"[]", b'{"user": 5}', b'{"client": null}', b"\xff"):
            self.assertEqual(
                encode(Publication("a", b"1", At("5-0.00000000", info))), b'{"push":{"channel":"a","pub":{"data":1}}}'
            )

    @given(
        st.lists(
            st.binary() | st.text().map(str.encode) | DOCUMENTS.map(lambda each: json.dumps(each, indent=1).encode())
        )
    )
    @example([b"\n", b"\r", b"\x85", "\u2028".encode(), b'"\\u000a"'])
    def test_any_data_is_one_line_of_valid_json_in_valid_utf8(self, batch: list[bytes]) -> None:
        if not batch:
            return
        for data, read in zip(batch, self.read(*batch), strict=True):
            try:
                expected = strict_loads(data.decode())
            except ValueError:
                expected = data.decode("utf-8", "replace")
            self.assertEqual(read, expected)

    @given(CHANNELS, st.integers(1, 2**32 - 1), st.sampled_from(ClientError), st.sampled_from(Disconnect))
    def test_any_reply_is_one_line_of_valid_json(
        self, channel: str, command_id: int, error: ClientError, disconnect: Disconnect
    ) -> None:
        replies: list[Reply] = [
            Connected(command_id, "5f0c", 25),
            Subscribed(command_id, channel),
            Unsubscribed(command_id),
            Published(command_id),
            Failed(command_id, error),
            SubscriptionEnded(channel, disconnect),
        ]
        documents = [strict_loads(line) for line in reply(*replies).decode().split("\n")]
        self.assertEqual([document.get("id") for document in documents], [command_id] * 5 + [None])
        self.assertEqual(documents[-1]["push"]["channel"], channel)


class UsualTests(SynchronousTestCase):
    """Usual lines and replies have a short way, which is the same as the ordinary one."""

    @given(
        st.one_of(
            st.builds(Published, st.integers(0, 2**32 - 1)),
            st.builds(
                Subscribed,
                st.integers(0, 3),
                st.sampled_from(["room", 'a"b']),
                st.sampled_from(["", SECOND]),
                st.sampled_from([None, "", FIRST]),
                st.booleans(),
                st.sampled_from([(), (Publication("room", b"1"),)]),
                st.sampled_from([NO_TERMS, SubscriptionTerms(), SubscriptionTerms(5), SubscriptionTerms(None, b"{}")]),
            ),
            st.builds(
                Connected,
                st.integers(0, 3),
                st.one_of(st.sampled_from(["5f0c", "", 'a"b', "\xe9", "\u0664"]), st.text(max_size=3)),
                st.integers(0, 30),
                st.sampled_from([(), (Subscribed(0, "room"),)]),
                st.sampled_from([None, 5]),
                st.sampled_from(["", "secret"]),
                st.sampled_from(["", "node"]),
            ),
        )
    )
    def test_reply_is_what_its_document_is(self, reply: Reply) -> None:
        self.assertEqual(write_reply(reply), write_document(reply_document(reply)))

    def test_short_way_looks_at_all_that_a_reply_has(self) -> None:
        known = {
            Published: ["id"],
            Subscribed: ["id", "channel", "position", "since", "recovered", "publications", "terms"],
            Connected: ["id", "client", "ping_seconds", "subscriptions", "expires_seconds", "session", "node"],
        }
        for kind, names in known.items():
            self.assertEqual([each.name for each in dataclasses.fields(kind)], names)

    def read(self, *lines: str) -> Sequence[Command]:
        """Return the commands of lines in one message."""
        return JSONDialect().decode(Message("\n".join(lines).encode(), False), is_connected=True)

    def test_usual_line_is_the_same_command_for_all_clients(self) -> None:
        lines = '{"id":1,"connect":{}}', '{"id":2,"subscribe":{"channel":"usual"}}'
        first, second = self.read(*lines), self.read(*lines)
        self.assertEqual(list(first), [Connect(1, None), Subscribe(2, "usual")])
        for each, other in zip(first, second, strict=True):
            self.assertIs(each, other)

    def test_nothing_is_remembered_that_belongs_to_one_client(self) -> None:
        before = set(json_dialect._remembered)
        self.read(
            '{"id":1,"connect":{"token":"0123456789abcdef"}}',
            '{"id":2,"subscribe":{"channel":"own","token":"a.b.c"}}',
            '{"id":3,"subscribe":{"channel":"own","recover":true,"offset":5,"epoch":"x"}}',
            '{"id":4,"publish":{"channel":"own","data":1}}',
            '{"id":5,"unsubscribe":{"channel":"own"}}',
            '{"id":6,"subscribe":{"channel":"own"}}' + " " * json_dialect.MAX_REMEMBERED_LENGTH,
            "{}",
        )
        self.assertEqual(set(json_dialect._remembered), before)

    def test_message_of_remembered_lines_is_remembered_and_read_as_before(self) -> None:
        for text in (
            '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}',
            '{"id":2,"subscribe":{"channel":"a"}}\n',
        ):
            first = decode(text)
            self.assertEqual(decode(text), first)
            self.assertIn(text.encode(), json_dialect._remembered_messages)

    def test_message_with_a_line_of_one_client_or_a_long_one_is_not_remembered(self) -> None:
        subscribe = '{"id":2,"subscribe":{"channel":"a"}}'
        for text in (f'{subscribe}\n{{"id":3,"publish":{{"channel":"a","data":1}}}}', "\n".join([subscribe] * 20)):
            decode(text)
            self.assertNotIn(text.encode(), json_dialect._remembered_messages)

    def test_number_of_remembered_lines_is_bounded(self) -> None:
        for number in range(json_dialect.MAX_REMEMBERED + 5):
            self.read(f'{{"id":1,"subscribe":{{"channel":"n{number}"}}}}')
            self.assertLessEqual(len(json_dialect._remembered), json_dialect.MAX_REMEMBERED)
