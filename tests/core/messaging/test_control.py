"""Tests of `wsrelay.core.messaging.control`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.credentials import CredentialKind
from wsrelay.core.access.identity import Identity, read_identity
from wsrelay.core.messaging.control import MAX_CONTROL_BYTES, TARGETS, DisconnectCommand, read_control, read_disconnect
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ClaimError

WHICH = "name one of user, connection, ticket, token, and nothing else but reconnect"
AS_TEXT = "name one of user, connection, ticket, token, as a text of 1 to 255 bytes"
FORM = 'a control message looks like {"disconnect": {"user": "42"}}'
NO_JSON = "a control message is a JSON object"
LONG = "a control message has at most 4096 bytes"
RECONNECT = "reconnect is true or false"

VALUES = st.text(min_size=1, max_size=60).filter(lambda text: len(text.encode()) <= 255)


def read(message: object) -> DisconnectCommand | str:
    """What a message on the control channel says, or why that cannot be told."""
    try:
        return read_control(message if isinstance(message, bytes) else json.dumps(message).encode())
    except ClaimError as error:
        return str(error)


class ReadTests(SynchronousTestCase):
    """From a message to whom it is about."""

    def test_documented(self) -> None:
        """The messages of the documentation mean what it says."""
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

    def test_targets(self) -> None:
        """What can be disconnected is what a client can be found by: its connection, its user, its credential."""
        found = [
            name.partition(":")[0]
            for kind in CredentialKind
            for name in Identity("1", credential_id=f"{kind.value}:1").revocation_targets("1")
        ]
        self.assertEqual(set(found), set(TARGETS))

    def test_numbers(self) -> None:
        """A user that is a whole number is the one whose name is that number, as in a credential."""
        self.assertEqual(read({"disconnect": {"user": 42}}), DisconnectCommand("user:42", Disconnect.REVOKED))
        self.assertEqual(read({"disconnect": {"user": 0}}), DisconnectCommand("user:0", Disconnect.REVOKED))

    def test_colons(self) -> None:
        """A name may hold colons: the first one alone tells kind and name apart."""
        disconnect = read({"disconnect": {"user": "a:b:"}})
        self.assertEqual(disconnect, DisconnectCommand("user:a:b:", Disconnect.REVOKED))
        assert isinstance(disconnect, DisconnectCommand)
        self.assertEqual(json.loads(disconnect.to_bytes())["disconnect"], {"user": "a:b:"})

    def test_others_are_ignored(self) -> None:
        """What else stands beside it is for others, or for later versions."""
        self.assertEqual(read({"disconnect": {"user": "1"}, "x": 1}), DisconnectCommand("user:1", Disconnect.REVOKED))

    def test_no_message(self) -> None:
        """What is no such object is refused with what it should look like."""
        for message in (b"", b"hello", b"{", b"\xff", b"[" * 4000):
            self.assertEqual(read(message), NO_JSON, message[:10])
        documents: list[object] = [
            None,
            1,
            "disconnect",
            [],
            ["disconnect"],
            {},
            {"connect": {}},
            {"disconnect": "user:42"},
        ]
        for document in documents:
            self.assertEqual(read(document), FORM, document)
        for target in (None, ["user"], 42, True):
            self.assertEqual(read({"disconnect": target}), FORM, target)

    def test_nobody(self) -> None:
        """It has to name one target, not none and not several."""
        for target in ({}, {"user": "1", "token": "2"}, {"user": "1", "x": "2"}):
            self.assertEqual(read({"disconnect": target}), WHICH, target)

    def test_reconnect_within(self) -> None:
        """Whether to come back may stand beside whom it is about, or within."""
        expected = DisconnectCommand("user:1", Disconnect.RECONNECT)
        for document in (
            {"disconnect": {"user": "1"}, "reconnect": True},
            {"disconnect": {"user": "1", "reconnect": True}},
        ):
            self.assertEqual(read(document), expected)

    def test_wrong_targets(self) -> None:
        """A target of unknown kind, or whose name is no text, is refused: nobody else is disconnected for it."""
        targets: list[dict[str, object]] = [{"x": "1"}, {"User": "1"}, {"": "1"}, {"user:": "1"}, {"origin": "null"}]
        values: list[object] = ["", None, True, False, 1.0, [], ["1"], {}, "\ud800", "x" * 256]
        targets += [{"user": value} for value in values]
        for target in targets:
            self.assertEqual(read({"disconnect": target}), AS_TEXT, target)

    def test_wrong_reconnect(self) -> None:
        """Whether to come back is true or false and nothing like it: the two tell clients opposite things."""
        values: list[object] = [None, 0, 1, "true", "false", "", [], {}]
        for value in values:
            self.assertEqual(read({"disconnect": {"user": "1"}, "reconnect": value}), RECONNECT, value)

    def test_longest(self) -> None:
        """A message longer than any that means something is not looked at."""
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
    def test_anything(self, message: object) -> None:
        """Any message names one target of a known kind, or is refused in one of a few constant sentences."""
        found = read(message)
        if isinstance(found, DisconnectCommand):
            kind, colon, value = found.target.partition(":")
            self.assertIn(kind, TARGETS)
            self.assertTrue(colon and value)
            self.assertIn(found.disconnect, (Disconnect.REVOKED, Disconnect.RECONNECT))
        else:
            self.assertIn(found, (WHICH, AS_TEXT, FORM, NO_JSON, LONG, RECONNECT))


class RoundTripTests(SynchronousTestCase):
    """From one process to all the others."""

    @given(st.sampled_from(TARGETS), VALUES, st.booleans())
    @example("user", "\x00" * 255, True)
    @example("user", "\U0001f600" * 63, False)
    @example("user", '"' * 255, False)
    def test_round_trip(self, kind: str, value: str, reconnect: bool) -> None:
        """Whatever can be asked for can be written down, and is read as the same."""
        disconnect = read_disconnect({kind: value, "reconnect": reconnect})
        self.assertEqual(read(disconnect.to_bytes()), disconnect)

    @given(VALUES)
    @example("a\nb")
    @example("Jos\u00e9\u00a0P\u00e9rez")
    @example("\U0001f469\u200d\U0001f4bb")
    def test_every_user_can_be_disconnected(self, subject: str) -> None:
        """Whoever can be let in as a user can be disconnected as that user."""
        names = read_identity({"sub": subject}).revocation_targets("5f0c")
        self.assertIn(read_disconnect({"user": subject}).target, names)

    def test_bytes(self) -> None:
        """The message is what any program would write: JSON in ASCII, without line breaks."""
        for disconnect, reconnect in ((Disconnect.REVOKED, "false"), (Disconnect.RECONNECT, "true")):
            self.assertEqual(
                DisconnectCommand("user:J\u00fc", disconnect).to_bytes(),
                b'{"disconnect":{"user":"J\\u00fc"},"reconnect":%s}' % reconnect.encode(),
            )


class ErrorTests(SynchronousTestCase):
    """What a refusal holds."""

    def test_no_input(self) -> None:
        """A complaint goes to the log and repeats nothing of the message, which may hold a ticket."""
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
