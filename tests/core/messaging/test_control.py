"""Tests of `wsrelay.core.messaging.control`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.credentials import CredentialKind
from wsrelay.core.access.identity import Identity, read_identity
from wsrelay.core.messaging.control import (
    MAX_CONTROL_BYTES,
    TARGETS,
    ControlCommand,
    DisconnectCommand,
    UnknownCommand,
    read_control,
    read_disconnect,
)
from wsrelay.core.messaging.switch import SwitchChanged
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ClaimError

WHICH = "name one of user, connection, ticket, token, and nothing else but reconnect"
AS_TEXT = "name one of user, connection, ticket, token, as a text of 1 to 255 bytes"
FORM = 'a control message looks like {"disconnect": {"user": "42"}}'
NO_JSON = "a control message is a JSON object"
LONG = "a control message has at most 16384 bytes"
RECONNECT = "reconnect is true or false"

VALUES = st.text(min_size=1, max_size=60).filter(lambda text: len(text.encode()) <= 255)


def read(message: object) -> ControlCommand | str:
    """Return the command of a control message, or the error."""
    try:
        return read_control(message if isinstance(message, bytes) else json.dumps(message).encode())
    except ClaimError as error:
        return str(error)


class ReadTests(SynchronousTestCase):
    """From a message to its command."""

    def test_messages_of_the_documentation_mean_what_it_says(self) -> None:
        for message, target in (
            (b'{"disconnect": {"user": "42"}}', "user:42"),
            (b'{"disconnect": {"connection": "5f0c"}}', "connection:5f0c"),
            (b'{"disconnect": {"ticket": "0123456789abcdef"}}', "ticket:0123456789abcdef"),
            (b'{"disconnect": {"token": "a jti"}}', "token:a jti"),
        ):
            self.assertEqual(read(message), DisconnectCommand(target, Disconnect.REVOKED))
        self.assertEqual(
            read(b'{"disconnect": {"user": "42"}, "reconnect": true}'),
            DisconnectCommand("user:42", Disconnect.RECONNECT),
        )
        self.assertEqual(
            read(b'{"disconnect": {"user": "42"}, "reconnect": false}'),
            DisconnectCommand("user:42", Disconnect.REVOKED),
        )

    def test_targets_are_what_a_client_is_found_by(self) -> None:
        found = [
            name.partition(":")[0]
            for kind in CredentialKind
            for name in Identity("1", credential_id=f"{kind.value}:1").revocation_targets("1")
        ]
        self.assertEqual(set(found), set(TARGETS))

    def test_user_that_is_a_whole_number_is_the_one_of_that_name(self) -> None:
        self.assertEqual(read({"disconnect": {"user": 42}}), DisconnectCommand("user:42", Disconnect.REVOKED))
        self.assertEqual(read({"disconnect": {"user": 0}}), DisconnectCommand("user:0", Disconnect.REVOKED))

    def test_first_colon_alone_separates_kind_and_name(self) -> None:
        disconnect = read({"disconnect": {"user": "a:b:"}})
        self.assertEqual(disconnect, DisconnectCommand("user:a:b:", Disconnect.REVOKED))
        assert isinstance(disconnect, DisconnectCommand)
        self.assertEqual(json.loads(disconnect.to_bytes())["disconnect"], {"user": "a:b:"})

    def test_other_fields_beside_the_command_are_ignored(self) -> None:
        self.assertEqual(read({"disconnect": {"user": "1"}, "x": 1}), DisconnectCommand("user:1", Disconnect.REVOKED))

    def test_what_is_no_command_is_rejected_with_what_one_looks_like(self) -> None:
        for message in (b"", b"hello", b"{", b"\xff", b"[" * 4000):
            self.assertEqual(read(message), NO_JSON, message[:10])
        documents: list[object] = [
            None,
            1,
            "disconnect",
            [],
            ["disconnect"],
            {},
            {"disconnect": "user:42"},
        ]
        for document in documents:
            self.assertEqual(read(document), FORM, document)
        for target in (None, ["user"], 42, True):
            self.assertEqual(read({"disconnect": target}), FORM, target)

    def test_command_of_a_kind_that_this_version_does_not_have_is_unknown(self) -> None:
        """During a deploy the next version may send it; what it holds is not looked at."""
        documents: list[object] = [
            {"connect": {}},
            {"rename": {"user": "42", "channel": "room"}},
            {"reconnect": True},
            {"Disconnect": {"user": "42"}},
            {"": None},
            {"x": ["disconnect"], "reconnect": "x"},
        ]
        for document in documents:
            self.assertEqual(read(document), UnknownCommand(), document)

    def test_command_of_a_known_kind_counts_whatever_stands_beside_it(self) -> None:
        self.assertEqual(
            read({"unsubscribe": {"user": "41"}, "disconnect": {"user": "42"}}),
            DisconnectCommand("user:42", Disconnect.REVOKED),
        )
        self.assertEqual(read({"unsubscribe": {"user": "41"}, "disconnect": None}), FORM)

    def test_command_names_one_target_not_none_and_not_several(self) -> None:
        for target in ({}, {"user": "1", "token": "2"}, {"user": "1", "x": "2"}):
            self.assertEqual(read({"disconnect": target}), WHICH, target)

    def test_reconnect_may_stand_beside_the_target_or_within(self) -> None:
        expected = DisconnectCommand("user:1", Disconnect.RECONNECT)
        for document in (
            {"disconnect": {"user": "1"}, "reconnect": True},
            {"disconnect": {"user": "1", "reconnect": True}},
        ):
            self.assertEqual(read(document), expected)

    def test_target_of_unknown_kind_or_name_is_rejected(self) -> None:
        targets: list[dict[str, object]] = [{"x": "1"}, {"User": "1"}, {"": "1"}, {"user:": "1"}, {"origin": "null"}]
        values: list[object] = ["", None, True, False, 1.0, [], ["1"], {}, "\ud800", "x" * 256]
        targets += [{"user": value} for value in values]
        for target in targets:
            self.assertEqual(read({"disconnect": target}), AS_TEXT, target)

    def test_reconnect_is_true_or_false_and_nothing_like_it(self) -> None:
        """The two tell clients opposite things."""
        values: list[object] = [None, 0, 1, "true", "false", "", [], {}]
        for value in values:
            self.assertEqual(read({"disconnect": {"user": "1"}, "reconnect": value}), RECONNECT, value)

    def test_message_longer_than_any_that_means_something_is_rejected(self) -> None:
        message = b'{"disconnect": {"user": "1"}}'
        self.assertEqual(read(message.ljust(MAX_CONTROL_BYTES)), DisconnectCommand("user:1", Disconnect.REVOKED))
        self.assertEqual(read(message.ljust(MAX_CONTROL_BYTES + 1)), LONG)

    @given(
        st.binary()
        | st.builds(
            dict,
            disconnect=st.dictionaries(
                st.sampled_from([*TARGETS, "x"]), st.none() | st.text() | st.integers(), max_size=2
            ),
            reconnect=st.booleans() | st.none(),
        )
    )
    def test_any_message_names_one_target_or_is_unknown_or_rejected_in_a_constant_sentence(
        self, message: object
    ) -> None:
        found = read(message)
        if isinstance(found, DisconnectCommand):
            kind, colon, value = found.target.partition(":")
            self.assertIn(kind, TARGETS)
            self.assertTrue(colon and value)
            self.assertIn(found.disconnect, (Disconnect.REVOKED, Disconnect.RECONNECT))
        else:
            self.assertIn(found, (UnknownCommand(), SwitchChanged(), WHICH, AS_TEXT, FORM, NO_JSON, LONG, RECONNECT))


class RoundTripTests(SynchronousTestCase):
    """From one process to all others."""

    @given(st.sampled_from(TARGETS), VALUES, st.booleans())
    @example("user", "\x00" * 255, True)
    @example("user", "\U0001f600" * 63, False)
    @example("user", '"' * 255, False)
    def test_every_command_is_read_back_as_the_same(self, kind: str, value: str, reconnect: bool) -> None:
        disconnect = read_disconnect({kind: value, "reconnect": reconnect})
        self.assertEqual(read(disconnect.to_bytes()), disconnect)

    @given(VALUES)
    @example("a\nb")
    @example("Jos\u00e9\u00a0P\u00e9rez")
    @example("\U0001f469\u200d\U0001f4bb")
    def test_every_user_that_can_be_authenticated_can_be_disconnected(self, subject: str) -> None:
        names = read_identity({"sub": subject}).revocation_targets("5f0c")
        self.assertIn(read_disconnect({"user": subject}).target, names)

    def test_message_is_ascii_json_without_line_breaks(self) -> None:
        for disconnect, reconnect in ((Disconnect.REVOKED, "false"), (Disconnect.RECONNECT, "true")):
            self.assertEqual(
                DisconnectCommand("user:J\u00fc", disconnect).to_bytes(),
                b'{"disconnect":{"user":"J\\u00fc"},"reconnect":%s}' % reconnect.encode(),
            )


class ErrorTests(SynchronousTestCase):
    """The texts of errors."""

    def test_error_repeats_nothing_of_the_message(self) -> None:
        """It goes to the log, and the message may hold a ticket."""
        bad: list[Any] = [
            b"what-they-sent",
            {"disconnect": "what-they-sent"},
            {"disconnect": {"what-they-sent": "what-they-sent"}},
            {"disconnect": {"user": "what-they-sent" * 20}},
            {"disconnect": {"user": "what-they-sent\ud800"}},
            {"disconnect": {"user": "1"}, "reconnect": "what-they-sent"},
        ]
        for message in bad:
            said = read(message)
            assert isinstance(said, str)
            self.assertNotIn("what-they-sent", said)
