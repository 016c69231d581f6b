"""Tests of `wsrelay.dialects.raw`."""

from __future__ import annotations

import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Opcode
from zope.interface.verify import verifyObject

from tests.support.frames import read_frames
from wsrelay.core.access.credentials import SUBPROTOCOL_PREFIX, Credential, CredentialKind
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.commands import Publish, Subscribe
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import HTTPError, RejectedError
from wsrelay.core.wire.frames import message_frame
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects.raw import RawDialect
from wsrelay.interfaces import IDialect

RAW = RawDialect()
ALPHABET = (
    "Not a channel: the channel name may hold ASCII letters, digits and _ . : ~ @ = + , ; ! ' ( ) & - "
    "and begins with a letter, a digit or _. Use /ws/<channel>."
)


def knock(path: str) -> list[Subscribe] | ErrorResponse:
    """What a request for a path is answered with."""
    try:
        return list(RAW.open(Handshake(path, "192.0.2.1")))
    except HTTPError as error:
        return error.response


class OpenTests(SynchronousTestCase):
    """From the URL to the channel."""

    def test_channel(self) -> None:
        """The path behind /ws/ is the channel, percent-encoded or not; a plus sign is a plus sign."""
        for path, channel in (("chat", "chat"), ("user%3A42", "user:42"), ("user:42", "user:42"), ("a+b", "a+b")):
            self.assertEqual(knock(f"/ws/{path}"), [Subscribe(channel)])

    def test_bad_names(self) -> None:
        """What is no channel is answered with 400 and the reason, without a word of what was asked for."""
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
            {path: knock(f"/ws/{path}") for path in cases},
            {path: ErrorResponse(400, text) for path, text in cases.items()},
        )

    @given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:~@=+,;!'()&-]{0,254}", fullmatch=True))
    def test_any_channel(self, channel: str) -> None:
        """Every channel has a URL: its name percent-encoded."""
        self.assertEqual(knock("/ws/" + quote(channel, safe="")), [Subscribe(channel)])

    @given(st.text(st.characters(codec="ascii"), max_size=300) | st.binary(max_size=300).map(quote))
    def test_any_path(self, path: str) -> None:
        """Any path leads to one channel inside the grammar, or to a refusal with status 400."""
        answer = knock("/ws/" + path)
        if isinstance(answer, ErrorResponse):
            self.assertEqual(answer.status, 400)
        else:
            self.assertEqual(answer, [Subscribe(check_channel(answer[0].channel))])


class MessageTests(SynchronousTestCase):
    """Messages in both directions."""

    @given(st.binary())
    def test_decode(self, payload: bytes) -> None:
        """Every message is a publication on the client's own channel, byte for byte."""
        self.assertEqual(RAW.decode(payload), [Publish(None, payload)])

    @given(st.lists(st.text().map(str.encode) | st.binary(max_size=200), min_size=1, max_size=6))
    def test_encode(self, payloads: list[bytes]) -> None:
        """A batch is one frame for each publication, in order, with nothing added."""
        frames = read_frames(RAW.encode([Publication("c", payload) for payload in payloads], message_frame))
        self.assertEqual([frame.data for frame in frames], payloads)

    def test_text_and_binary(self) -> None:
        """In one batch each message is text or binary by itself."""
        batch = [Publication("c", payload) for payload in (b"text", b"\xff", b"")]
        frames = read_frames(RAW.encode(batch, message_frame))
        self.assertEqual([frame.opcode for frame in frames], [Opcode.TEXT, Opcode.BINARY, Opcode.TEXT])

    def test_frame_maker(self) -> None:
        """Each frame is made by the function that was given, from one message's payload, alone or among others."""
        for payloads in ([b"one"], [b"one", b"two"]):
            batch = [Publication("c", payload) for payload in payloads]
            self.assertEqual(
                RAW.encode(batch, lambda payload: b"<%s>" % payload), b"".join(b"<%s>" % p for p in payloads)
            )


class CredentialTests(SynchronousTestCase):
    """A client that shows its credential as its first message."""

    def test_credential(self) -> None:
        """A token or a ticket in a JSON object is the credential."""
        for kind, text in ((CredentialKind.TOKEN, "a.b.c"), (CredentialKind.TICKET, "0123456789abcdef")):
            message = json.dumps({kind.value: text}).encode()
            self.assertEqual(RAW.credential(message), Credential(kind, Secret(text)))

    def test_no_credential(self) -> None:
        """Anything else is denied, and is not published instead."""
        cases = {
            b"hello": ClientError.MALFORMED,
            b'{"token": "x"}': ClientError.TOKEN,
            b'{"ticket": "x"}': ClientError.TICKET,
        }
        for message, client_error in cases.items():
            with self.assertRaises(RejectedError) as caught:
                RAW.credential(message)
            self.assertIs(caught.exception.client_error, client_error)

    def test_welcome(self) -> None:
        """The welcome is one text message, a JSON object that names the channel."""
        (frame,) = read_frames(RAW.welcome(["room:1"]))
        self.assertEqual((frame.opcode, bytes(frame.data)), (Opcode.TEXT, b'{"subscribed": "room:1"}'))

    @given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:~@=+,;!'()&-]{0,254}", fullmatch=True))
    def test_any_welcome(self, channel: str) -> None:
        """Whatever channel it is, any client can read which."""
        (frame,) = read_frames(RAW.welcome([channel]))
        self.assertEqual(json.loads(bytes(frame.data)), {"subscribed": channel})


class NameTests(SynchronousTestCase):
    """What the dialect is called."""

    def test_provides(self) -> None:
        """The dialect is one in full, and spoken below /ws/."""
        verifyObject(IDialect, RAW)
        self.assertEqual((RAW.name, RAW.path), ("raw", "/ws/"))

    def test_subprotocols(self) -> None:
        """It answers to wsrelay and to nothing that could hold a credential (RFC 6455 section 11.3.4)."""
        self.assertEqual(RAW.subprotocols, ("wsrelay",))
        self.assertFalse(any(name.startswith(SUBPROTOCOL_PREFIX) for name in RAW.subprotocols))
