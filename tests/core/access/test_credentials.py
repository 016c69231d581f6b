"""Tests of `wsrelay.core.access.credentials`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.credentials import (
    MAX_CREDENTIAL_BYTES,
    SUBPROTOCOL_PREFIX,
    Credential,
    CredentialKind,
    check_credential,
    find_credential,
    read_credential,
)
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake

TOKEN = "eyJh.eyJz_-0.c2ln"
TICKET = "0123456789abcdef"
COOKIE = "session"

SHOWN_TOKEN = Credential(CredentialKind.TOKEN, Secret(TOKEN))
SHOWN_TICKET = Credential(CredentialKind.TICKET, Secret(TICKET))

# Every place of a handshake in which a credential may stand on purpose, and what is found there.
CARRIERS: dict[str, tuple[dict[str, Any], Credential]] = {
    "bearer": ({"authorization": f"Bearer {TOKEN}"}, SHOWN_TOKEN),
    "ticket scheme": ({"authorization": f"Ticket {TICKET}"}, SHOWN_TICKET),
    "token subprotocol": ({"subprotocols": ("wsrelay", f"wsrelay.token.{TOKEN}")}, SHOWN_TOKEN),
    "ticket subprotocol": ({"subprotocols": (f"wsrelay.ticket.{TICKET}", "wsrelay")}, SHOWN_TICKET),
    "parameter": ({"query": f"a=b&ticket={TICKET}"}, SHOWN_TICKET),
}


def look(name: str | None = None, with_bearer: bool = True, **fields: Any) -> Credential | ClientError | None:
    """What is found in a handshake, or why that cannot be told."""
    try:
        return find_credential(Handshake("/ws/room", "192.0.2.1", **fields), name, with_bearer=with_bearer)
    except RejectedError as error:
        return error.client_error


def check(kind: CredentialKind, text: str) -> Credential | ClientError:
    """What a text of this kind is."""
    try:
        return check_credential(kind, text)
    except RejectedError as error:
        return error.client_error


def read(message: object) -> Credential | ClientError:
    """What a first message shows."""
    try:
        return read_credential(message if isinstance(message, bytes) else json.dumps(message).encode())
    except RejectedError as error:
        return error.client_error


class GrammarTests(SynchronousTestCase):
    """What a token and a ticket look like."""

    def test_good(self) -> None:
        """Three base64url parts, of which the last may be empty, are a token; 16 to 128 plain characters a ticket."""
        for text in (TOKEN, "a.b.c", "a.b.", "-_.09.AZ", "a." + "b" * (MAX_CREDENTIAL_BYTES - 4) + ".c"):
            self.assertEqual(check(CredentialKind.TOKEN, text), Credential(CredentialKind.TOKEN, Secret(text)))
        for text in (TICKET, "-._~ABCxyz012345", "x" * 128):
            self.assertEqual(check(CredentialKind.TICKET, text), Credential(CredentialKind.TICKET, Secret(text)))

    def test_bad_tokens(self) -> None:
        """Anything else is no token, and is told so in the same words as one whose signature is wrong."""
        texts = [
            "",
            "a",
            "a.b",
            "a.b.c.d",
            ".b.c",
            "a..c",
            "a.b.c=",
            "a.b.c\n",
            " a.b.c",
            "a b.b.c",
            "a.b.+/",
            "a.b.\u00fc",
        ]
        texts.append("a." + "b" * (MAX_CREDENTIAL_BYTES - 3) + ".c")
        self.assertEqual(
            {text: check(CredentialKind.TOKEN, text) for text in texts}, dict.fromkeys(texts, ClientError.TOKEN)
        )

    def test_bad_tickets(self) -> None:
        """Anything else is no ticket, and is told so in the same words as one that nobody knows."""
        texts = ["", "x" * 15, "x" * 129, "x" * 16 + "\n", "x" * 16 + "*", "x" * 8 + "/" + "x" * 8, "x" * 16 + " "]
        texts += ["x" * 16 + ":", "x" * 16 + "\u00fc", "\u0661" * 16, "x" * 16 + "%20", "x" * 9000]
        self.assertEqual(
            {text: check(CredentialKind.TICKET, text) for text in texts}, dict.fromkeys(texts, ClientError.TICKET)
        )

    @given(st.sampled_from(CredentialKind), st.text() | st.text("aZ0-_.~", max_size=140))
    @example(CredentialKind.TICKET, "x" * 16 + "\n")
    @example(CredentialKind.TOKEN, "a.b.c\n")
    def test_anything(self, kind: CredentialKind, text: str) -> None:
        """What passes is exactly what it was, and stands in a URL, a header field and a key of Redis as it is."""
        found = check(kind, text)
        if isinstance(found, Credential):
            self.assertEqual((found.kind, found.secret.reveal(), found.is_ambient), (kind, text, False))
            self.assertLessEqual(set(text), set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"))

    def test_repr(self) -> None:
        """A credential can be logged by mistake without harm."""
        self.assertNotIn(TOKEN, repr(check(CredentialKind.TOKEN, TOKEN)))


class HandshakeTests(SynchronousTestCase):
    """What is found in a handshake."""

    def test_nothing(self) -> None:
        """A handshake that shows nothing has nothing; parameters and fields of other meaning are none."""
        for fields in (
            {},
            {"query": f"token={TOKEN}&Ticket={TICKET}&xticket={TICKET}"},
            {"authorization": f"Basic {TOKEN}"},
            {"authorization": TOKEN},
            {"subprotocols": ("wsrelay", "chat", f"token.{TOKEN}", "wsrelay.token", f"wsrelay.other.{TOKEN}")},
            {"cookie": f"{COOKIE}={TOKEN}"},
        ):
            self.assertIsNone(look(**fields), fields)

    def test_carriers(self) -> None:
        """A credential is found in every place that there is for it, and is not ambient there."""
        self.assertEqual(
            {place: look(**fields) for place, (fields, _) in CARRIERS.items()},
            {place: expected for place, (_, expected) in CARRIERS.items()},
        )

    def test_scheme(self) -> None:
        """Schemes are case-insensitive, and more than one space may follow (RFC 9110 section 11.4)."""
        for scheme in ("Bearer ", "bearer ", "BEARER ", "bEaReR   "):
            self.assertEqual(look(authorization=f"{scheme}{TOKEN}"), SHOWN_TOKEN)
        self.assertEqual(look(authorization=f"tICKET {TICKET}"), SHOWN_TICKET)

    def test_encoded_parameter(self) -> None:
        """A parameter may be percent-encoded, as some libraries do even where it need not be."""
        self.assertEqual(look(query="ticket=%30123456789abcde%66"), SHOWN_TICKET)

    def test_malformed(self) -> None:
        """What stands in a place for a credential and is none is refused, and never taken for none at all."""
        cases: dict[ClientError, list[dict[str, Any]]] = {
            ClientError.TOKEN: [
                {"authorization": "Bearer"},
                {"authorization": "Bearer "},
                {"authorization": f"Bearer {TOKEN}, {TOKEN}"},
                {"authorization": f"Bearer {TICKET}"},
                {"subprotocols": ("wsrelay.token.",)},
                {"subprotocols": ("wsrelay.token.a.b.c.d",)},
            ],
            ClientError.TICKET: [
                {"authorization": f"Ticket {TOKEN[:15]}"},
                {"authorization": "Ticket"},
                {"subprotocols": ("wsrelay.ticket.",)},
                {"query": "ticket=x"},
                {"query": f"ticket={TICKET}%0a"},
                {"query": f"ticket={TICKET}+"},
                {"query": f"ticket={TICKET}%ff"},
            ],
        }
        for client_error, handshakes in cases.items():
            self.assertEqual([look(**fields) for fields in handshakes], [client_error] * len(handshakes))

    def test_without_bearer(self) -> None:
        """Where there are no tokens a Bearer field is for somebody else: neither found nor in the way of a ticket."""
        bearer = {"authorization": f"Bearer {TOKEN}"}
        self.assertIsNone(look(with_bearer=False, **bearer))
        self.assertIsNone(look(with_bearer=False, authorization="Bearer not-a-token"))
        self.assertEqual(look(with_bearer=False, query=f"ticket={TICKET}", **bearer), SHOWN_TICKET)
        # All other places are the relay's own: what is there is looked at, and fails where nobody can check it.
        self.assertEqual(look(with_bearer=False, subprotocols=(f"wsrelay.token.{TOKEN}",)), SHOWN_TOKEN)
        self.assertEqual(look(with_bearer=False, authorization=f"Ticket {TICKET}"), SHOWN_TICKET)

    def test_ambiguous(self) -> None:
        """Two credentials are refused, wherever they stand and whether or not they are the same or any good."""
        places = list(CARRIERS.values())
        for index, (first, _) in enumerate(places):
            for second, _ in places[index + 1 :]:
                both = {**first, **second}
                if set(first) & set(second) == {"subprotocols"}:
                    both["subprotocols"] = first["subprotocols"] + second["subprotocols"]
                elif set(first) & set(second):
                    continue
                self.assertEqual(look(**both), ClientError.AMBIGUOUS, both)
        for query in (f"ticket={TICKET}&ticket={TICKET}", f"ticket={TICKET}&ticket=x", "ticket=x&ticket=y"):
            self.assertEqual(look(query=query), ClientError.AMBIGUOUS)
        self.assertEqual(look(subprotocols=(f"wsrelay.token.{TOKEN}",) * 2), ClientError.AMBIGUOUS)

    def test_too_many_parameters(self) -> None:
        """Where nobody looks a promise might stand."""
        self.assertIs(look(query="a=1&" * 64 + "auth=message"), ClientError.MALFORMED)

    def test_promises_something_else(self) -> None:
        """Who promises what there is not is told: its first message would be published."""
        for query in ("auth", "auth=", "auth=messages", "auth=Message", "auth=token", "auth=message&auth=message"):
            self.assertIs(look(query=query), ClientError.MALFORMED, query)

    def test_promised_as_well(self) -> None:
        """Who shows a credential and says that the first message is one shows two: it must not be published."""
        for fields, _ in CARRIERS.values():
            query = "&".join(filter(None, (fields.get("query"), "auth=message")))
            self.assertEqual(look(**{**fields, "query": query}), ClientError.AMBIGUOUS)
        self.assertIsNone(look(query="auth=message"))

    def test_never_answered(self) -> None:
        """No subprotocol that can carry a credential is one that the relay answers with."""
        for kind in CredentialKind:
            self.assertTrue(f"{SUBPROTOCOL_PREFIX}{kind.value}.".startswith(SUBPROTOCOL_PREFIX))
        self.assertFalse("wsrelay".startswith(SUBPROTOCOL_PREFIX))


class CookieTests(SynchronousTestCase):
    """The one credential that a browser sends by itself."""

    def test_found(self) -> None:
        """A cookie of the name that the operator chose is a token, and ambient."""
        found = look(COOKIE, cookie=f"a=b; {COOKIE}={TOKEN}; c=d")
        self.assertEqual(found, Credential(CredentialKind.TOKEN, Secret(TOKEN), is_ambient=True))

    def test_not_asked_for(self) -> None:
        """Cookies of other names are none, nor is any where the operator named none."""
        for name in (None, "sess", "Session", "session2", ""):
            self.assertIsNone(look(name, cookie=f"{COOKIE}={TOKEN}"))

    def test_empty(self) -> None:
        """A cookie that was emptied, as on logging out, is none."""
        for cookie in (f"{COOKIE}=", f'{COOKIE}=""', f"{COOKIE}", ""):
            self.assertIsNone(look(COOKIE, cookie=cookie))

    def test_twice(self) -> None:
        """Two of the name are refused: a neighbour's subdomain may have planted one (RFC 6265 section 8.6)."""
        for second in (TOKEN, "a.b.c", "x", ""):
            self.assertEqual(look(COOKIE, cookie=f"{COOKIE}={TOKEN}; {COOKIE}={second}"), ClientError.AMBIGUOUS)

    def test_purpose_goes_first(self) -> None:
        """What a client shows on purpose goes before its cookie, of which then nothing matters."""
        for cookie in (f"{COOKIE}=a.b.c", f"{COOKIE}=x", f"{COOKIE}=x; {COOKIE}=y"):
            for fields, expected in CARRIERS.values():
                self.assertEqual(look(COOKIE, cookie=cookie, **fields), expected)
            # A first message that is promised is shown on purpose, too.
            self.assertIsNone(look(COOKIE, cookie=cookie, query="auth=message"))

    def test_no_token(self) -> None:
        """A cookie that is no token is none: a browser cannot help sending what it has, and what is public stays so."""
        for value in ("deleted", "a.b", "a.b.c.d", "\u00fc", "a.b.c=", "a." + "b" * MAX_CREDENTIAL_BYTES + ".c"):
            self.assertIsNone(look(COOKIE, cookie=f"{COOKIE}={value}"))


class FirstMessageTests(SynchronousTestCase):
    """What is read in a first message."""

    def test_good(self) -> None:
        """A token or a ticket, by itself in a JSON object, is that."""
        self.assertEqual(read({"token": TOKEN}), SHOWN_TOKEN)
        self.assertEqual(read(b' {"ticket" :\n"%s"} ' % TICKET.encode()), SHOWN_TICKET)

    def test_longest(self) -> None:
        """The longest token that there may be can be shown so."""
        longest = "a." + "b" * (MAX_CREDENTIAL_BYTES - 4) + ".c"
        self.assertEqual(read({"token": longest}), Credential(CredentialKind.TOKEN, Secret(longest)))

    def test_malformed(self) -> None:
        """Anything else is refused with the sentence that says what it should look like."""
        messages: list[object] = [b"", b"{", b"hello", b"\xff", b"[" * 8000, TOKEN.encode(), b"{}", b"NaN"]
        messages += [
            [],
            [{"token": TOKEN}],
            "x",
            None,
            {},
            {"token": TOKEN, "ticket": TICKET},
            {"token": TOKEN, "x": 1},
        ]
        messages += [{"x": TOKEN}, {"Token": TOKEN}, {"token": None}, {"token": [TOKEN]}, {"ticket": 1234567890123456}]
        messages += [{"token": "a." + "b" * (MAX_CREDENTIAL_BYTES + 50) + ".c"}, b'{"token": "' + b" " * 9000 + b'"}']
        self.assertEqual([read(message) for message in messages], [ClientError.MALFORMED] * len(messages))

    def test_wrong(self) -> None:
        """What is in its place and outside the grammar is told like one that is not known."""
        self.assertEqual([read({"token": text}) for text in ("", "x", TICKET, "a.b.c\n")], [ClientError.TOKEN] * 4)
        self.assertEqual([read({"ticket": text}) for text in ("", "x", TOKEN * 9)], [ClientError.TICKET] * 3)
        self.assertEqual(read({"token": "a." + "b" * (MAX_CREDENTIAL_BYTES - 3) + ".c"}), ClientError.TOKEN)

    @given(
        st.binary(max_size=100)
        | st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda children: st.lists(children) | st.dictionaries(st.sampled_from(["token", "ticket", "x"]), children),
        )
    )
    def test_anything(self, message: object) -> None:
        """Any message is refused, or is a credential inside its grammar; it never breaks anything."""
        found = read(message)
        if isinstance(found, Credential):
            self.assertEqual(check(found.kind, found.secret.reveal()), found)
        else:
            self.assertIn(found, (ClientError.MALFORMED, ClientError.TOKEN, ClientError.TICKET))


class ErrorTests(SynchronousTestCase):
    """What a refusal holds."""

    def test_no_input(self) -> None:
        """The error of a refusal holds nothing of what was shown, not even as its cause."""
        ways: list[Callable[[], object]] = [
            lambda: check_credential(CredentialKind.TOKEN, "what-they-sent"),
            lambda: read_credential(b'{"token": "what-they-sent'),
            lambda: find_credential(Handshake("/", "", query="ticket=what-they-sent&ticket=x")),
        ]
        for way in ways:
            with self.assertRaises(RejectedError) as caught:
                way()
            error = caught.exception
            self.assertNotIn("what-they-sent", str(error))
            self.assertTrue(error.__context__ is None or error.__suppress_context__)
