"""Tests of `wsrelay.core.messaging.client_commands`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.messaging.test_user_commands import ONE, USERS
from wsrelay.core.access.payload_claims import MAX_PAYLOAD_BYTES
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.client_commands import (
    MAX_EPOCH_CHARACTERS,
    RefreshCommand,
    SubscribeCommand,
    read_refresh,
    read_subscribe,
)
from wsrelay.core.messaging.control import MAX_CONTROL_BYTES, read_control
from wsrelay.core.messaging.user_commands import MAX_CLIENT_CHARACTERS
from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.core.wire.json_text import dump_json

PAYLOADS = st.one_of(
    st.just(b""),
    st.sampled_from([b"1.0", b"1e5", b'{"a": 1}', b"12345678901234567890123", b"null", b'"\xc3\xa9"']),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3).map(dump_json),
)
SINCE = st.one_of(st.none(), st.tuples(st.integers(0, 2**64 - 1), st.text("wsrelay0", max_size=MAX_EPOCH_CHARACTERS)))
ENDS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False).filter(bool))


class RoundTripTests(SynchronousTestCase):
    """Commands come back as they were."""

    @given(USERS, ONE, st.tuples(PAYLOADS, PAYLOADS, ENDS), SINCE, ONE)
    def test_subscribe(self, user: str, client: str, told: Any, since: Any, session: str) -> None:
        command = SubscribeCommand(user, ServerSubscription("room:1", *told), client, since, session)
        self.assertEqual(read_control(command.to_bytes()), command)

    def test_command_that_names_a_session_has_a_kind_that_older_versions_ignore(self) -> None:
        for command, kind in (
            (SubscribeCommand("42", ServerSubscription("news"), session="secret"), b"subscribe_session"),
            (RefreshCommand("42", session="secret"), b"refresh_session"),
        ):
            self.assertTrue(command.to_bytes().startswith(b'{"%b":' % kind), kind)
            self.assertNotIn("secret", repr(command))

    @given(USERS, ONE, ENDS, st.booleans(), st.tuples(PAYLOADS, ONE))
    def test_refresh(self, user: str, client: str, expires: float | None, is_expired: bool, rest: Any) -> None:
        command = RefreshCommand(user, client, expires, is_expired, *rest)
        self.assertEqual(read_control(command.to_bytes()), command)

    def test_anonymous_client_is_named_by_its_connection(self) -> None:
        for command in (SubscribeCommand("", ServerSubscription("news"), "5f0c"), RefreshCommand("", "5f0c")):
            self.assertEqual(read_control(command.to_bytes()), command)

    def test_longest_command_fits_into_a_control_message(self) -> None:
        payload = b'"%s"' % (b"x" * (MAX_PAYLOAD_BYTES - 2))
        subscription = ServerSubscription("x" * 255, payload, payload, -5e-324)
        since = (2**64 - 1, "\x01" * MAX_EPOCH_CHARACTERS)
        command = SubscribeCommand("\x01" * 255, subscription, "\x01" * MAX_CLIENT_CHARACTERS, since)
        self.assertEqual(read_control(command.to_bytes()), command)
        self.assertLess(len(command.to_bytes()), MAX_CONTROL_BYTES)


class ReadSubscribeTests(SynchronousTestCase):
    """Messages of other programs."""

    def test_info_and_data_are_json_or_base64(self) -> None:
        for document, info, data in (
            ({"info": {"name": "Ann"}, "data": [1, 2]}, b'{"name":"Ann"}', b"[1,2]"),
            ({"b64info": "eyJuIjogMX0=", "b64data": "aGk="}, b'{"n": 1}', b'"hi"'),
            ({"info": None, "b64data": ""}, b"", b""),
        ):
            found = read_subscribe({"user": "42", "channel": "news", **document})
            self.assertEqual(found.subscription, ServerSubscription("news", info, data))

    def test_position_lacks_what_it_does_not_say(self) -> None:
        for document, since in (
            (None, None),
            ({}, (0, "")),
            ({"offset": 7}, (7, "")),
            ({"offset": None, "epoch": "x"}, (0, "x")),
        ):
            found = read_subscribe({"user": "42", "channel": "news", "recover_since": document, "other": 5})
            self.assertEqual(found.since, since)

    def test_what_makes_no_sense_is_rejected(self) -> None:
        good: dict[str, Any] = {"user": "42", "channel": "news"}
        for name, wrong in (
            ("user", ""),
            ("user", 42),
            ("client", 5),
            ("channel", None),
            ("channel", "$control"),
            ("channel", 5),
            ("info", float("nan")),
            ("info", "x" * MAX_PAYLOAD_BYTES),
            ("b64info", "%"),
            ("b64info", 5),
            ("data", "x" * MAX_PAYLOAD_BYTES),
            ("b64data", {}),
            ("expire_at", "soon"),
            ("recover_since", 5),
            ("recover_since", []),
            ("recover_since", {"offset": -1}),
            ("recover_since", {"offset": 2**64}),
            ("recover_since", {"offset": "1"}),
            ("recover_since", {"offset": False}),
            ("recover_since", {"epoch": 5}),
            ("recover_since", {"epoch": "x" * (MAX_EPOCH_CHARACTERS + 1)}),
            ("recover_since", {"epoch": "\u00e9"}),
        ):
            self.assertRaises(ClaimError, read_subscribe, {**good, name: wrong})


class ReadRefreshTests(SynchronousTestCase):
    """Messages of other programs."""

    def test_0_and_none_are_no_end(self) -> None:
        for document in ({}, {"expire_at": None, "expired": None}, {"expire_at": 0, "expired": False}):
            self.assertEqual(read_refresh({"user": "42", **document}), RefreshCommand("42"))

    def test_what_makes_no_sense_is_rejected(self) -> None:
        for document in (
            {},
            {"user": ""},
            {"user": "42", "client": 5},
            {"user": "42", "expired": 1},
            {"user": "42", "expire_at": "soon"},
            {"user": "42", "expire_at": True},
            {"user": "42", "expire_at": float("inf")},
        ):
            self.assertRaises(ClaimError, read_refresh, document)

    @given(st.dictionaries(st.sampled_from(["user", "client", "channel", "expire_at", "expired"]), st.lists(st.none())))
    def test_other_types_are_rejected_and_nothing_else_happens(self, document: dict[str, Any]) -> None:
        for read in (read_subscribe, read_refresh):
            self.assertRaises(ClaimError, read, document)
