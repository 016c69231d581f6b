"""Tests of `wsrelay.core.messaging.user_commands`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.control import read_control
from wsrelay.core.messaging.user_commands import (
    MAX_CLIENT_CHARACTERS,
    MAX_SPARED,
    DisconnectUserCommand,
    UnsubscribeCommand,
    read_application_disconnect,
    read_disconnect_user,
    read_unsubscribe,
)
from wsrelay.core.outcomes.disconnects import MAX_REASON_BYTES, ApplicationDisconnect, Disconnect
from wsrelay.core.outcomes.errors import ClaimError

USERS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
CLIENTS = st.text("0123456789abcdef-", min_size=1, max_size=MAX_CLIENT_CHARACTERS)
ONE = st.one_of(st.just(""), CLIENTS)
DISCONNECTS = st.one_of(
    st.sampled_from([Disconnect.REVOKED, Disconnect.RECONNECT]),
    st.builds(ApplicationDisconnect, st.integers(3000, 4999), st.sampled_from(["", "elsewhere", "\u00e9" * 61])),
)


class RoundTripTests(SynchronousTestCase):
    """Commands come back as they were."""

    @given(USERS, ONE, st.lists(CLIENTS, max_size=20), DISCONNECTS, ONE)
    def test_disconnect(self, user: str, client: str, spared: list[str], disconnect: Any, session: str) -> None:
        command = DisconnectUserCommand(user, client, tuple(spared), disconnect, session)
        self.assertEqual(read_control(command.to_bytes()), command)

    @given(USERS, ONE, ONE)
    def test_unsubscribe(self, user: str, client: str, session: str) -> None:
        command = UnsubscribeCommand(user, "room:1", client, session)
        self.assertEqual(read_control(command.to_bytes()), command)

    def test_anonymous_client_is_named_by_its_connection_or_its_session(self) -> None:
        for command in (
            DisconnectUserCommand("", "5f0c"),
            UnsubscribeCommand("", "news", "5f0c"),
            DisconnectUserCommand("", session="5f0c"),
            UnsubscribeCommand("", "news", session="5f0c"),
        ):
            self.assertEqual(read_control(command.to_bytes()), command)

    def test_command_that_names_a_session_has_a_kind_that_older_versions_ignore(self) -> None:
        for command, kind in (
            (DisconnectUserCommand("42", session="s"), b"disconnect_user_session"),
            (UnsubscribeCommand("42", "news", session="s"), b"unsubscribe_session"),
        ):
            self.assertTrue(command.to_bytes().startswith(b'{"%b":' % kind), kind)

    def test_session_is_not_part_of_the_text_of_a_command(self) -> None:
        for command in (DisconnectUserCommand("42", session="secret"), UnsubscribeCommand("42", "a", session="secret")):
            self.assertNotIn("secret", repr(command))


class ReadTests(SynchronousTestCase):
    """Messages that make no sense."""

    def test_target_is_the_connection_or_else_the_user(self) -> None:
        self.assertEqual(DisconnectUserCommand("42").target, "user:42")
        self.assertEqual(DisconnectUserCommand("42", "5f0c").target, "connection:5f0c")

    def test_nobody_or_what_cannot_be_a_user_or_a_client_is_rejected(self) -> None:
        for who in (
            {},
            {"user": ""},
            {"user": 42},
            {"user": "x" * 256},
            {"user": "\ud800"},
            {"user": ["42"]},
            {"user": "42", "client": 5},
            {"user": "", "client": "x" * (MAX_CLIENT_CHARACTERS + 1)},
            {"user": "42", "client": "\u00e9"},
            {"user": "42", "session": 5},
            {"user": "42", "session": "x" * (MAX_CLIENT_CHARACTERS + 1)},
            {"user": "", "session": "\u00e9"},
        ):
            self.assertRaises(ClaimError, read_disconnect_user, who)
            self.assertRaises(ClaimError, read_unsubscribe, {**who, "channel": "news"})

    def test_too_many_or_impossible_connections_cannot_be_spared(self) -> None:
        for spared in ("5f0c", [5], [""], ["x"] * (MAX_SPARED + 1), {"a": 1}, None):
            self.assertRaises(ClaimError, read_disconnect_user, {"user": "42", "except": spared})

    def test_unsubscribe_needs_a_channel(self) -> None:
        for channel in (None, "", 5, "$control", "a b"):
            self.assertRaises(ClaimError, read_unsubscribe, {"user": "42", "channel": channel})

    def test_kind_that_holds_no_object_is_rejected(self) -> None:
        for payload in (b'{"unsubscribe": 5}', b'{"disconnect_user": []}', b'{"survey": null}', b'{"survey_reply":""}'):
            self.assertRaises(ClaimError, read_control, payload)

    def test_disconnect_of_the_first_kind_goes_first(self) -> None:
        """As in older versions, which have no other."""
        command: Any = read_control(b'{"unsubscribe": 5, "disconnect": {"user": "42"}}')
        self.assertEqual(command.target, "user:42")

    def test_codes_are_those_that_applications_may_use(self) -> None:
        self.assertEqual(read_application_disconnect(3000, "x"), ApplicationDisconnect(3000, "x"))
        self.assertEqual(read_application_disconnect(4999, ""), ApplicationDisconnect(4999, ""))
        for code in (2999, 5000, 1000, 0, -4000, 4000.0, "4000", True, None, 10**30):
            self.assertRaises(ClaimError, read_application_disconnect, code, "x")

    def test_reason_fits_into_a_close_frame_and_is_no_json(self) -> None:
        longest = "x" * MAX_REASON_BYTES
        self.assertEqual(read_application_disconnect(4000, longest).reason, longest)
        for reason in (longest + "x", "\u00e9" * 62, "null", "5", '"x"', "{}", "\ud800", None, 5):
            self.assertRaises(ClaimError, read_application_disconnect, 4000, reason)

    @given(st.dictionaries(st.sampled_from(["user", "client", "except", "code", "reason", "channel"]), st.integers()))
    def test_other_types_are_rejected_and_nothing_else_happens(self, document: dict[str, Any]) -> None:
        for read in (read_disconnect_user, read_unsubscribe):
            self.assertRaises(ClaimError, read, document)
