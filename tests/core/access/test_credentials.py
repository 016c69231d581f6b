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
    read_token_or_ticket,
    sends_ticket,
)
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake

TOKEN = "eyJh.eyJz_-0.c2ln"
TICKET = "0123456789abcdef"
COOKIE = "session"

FOUND_TOKEN = Credential(CredentialKind.TOKEN, Secret(TOKEN))
FOUND_TICKET = Credential(CredentialKind.TICKET, Secret(TICKET))

# Every place of a handshake for a credential that is not ambient, and the credential that is found there.
CARRIERS: dict[str, tuple[dict[str, Any], Credential]] = {
    "bearer": ({"authorization": f"Bearer {TOKEN}"}, FOUND_TOKEN),
    "ticket scheme": ({"authorization": f"Ticket {TICKET}"}, FOUND_TICKET),
    "token subprotocol": ({"subprotocols": ("wsrelay", f"wsrelay.token.{TOKEN}")}, FOUND_TOKEN),
    "ticket subprotocol": ({"subprotocols": (f"wsrelay.ticket.{TICKET}", "wsrelay")}, FOUND_TICKET),
    "parameter": ({"query": f"a=b&ticket={TICKET}"}, FOUND_TICKET),
}


def find(name: str | None = None, with_bearer: bool = True, **fields: Any) -> Credential | ClientError | None:
    """Return the credential that is found in a handshake, or the error with which the handshake is rejected."""
    try:
        return find_credential(Handshake("/ws/room", "192.0.2.1", **fields), name, with_bearer=with_bearer)
    except RejectedError as error:
        return error.client_error


def check(kind: CredentialKind, text: str) -> Credential | ClientError:
    """Return the credential of a text, or the error with which it is rejected."""
    try:
        return check_credential(kind, text)
    except RejectedError as error:
        return error.client_error


def read(message: object) -> Credential | ClientError:
    """Return the credential in a first message, or the error with which it is rejected."""
    try:
        return read_credential(message if isinstance(message, bytes) else json.dumps(message).encode())
    except RejectedError as error:
        return error.client_error


class GrammarTests(SynchronousTestCase):
    """`check_credential`."""

    def test_tokens_and_tickets_inside_their_grammar_are_accepted(self) -> None:
        for text in (TOKEN, "a.b.c", "a.b.", "-_.09.AZ", "a." + "b" * (MAX_CREDENTIAL_BYTES - 4) + ".c"):
            self.assertEqual(check(CredentialKind.TOKEN, text), Credential(CredentialKind.TOKEN, Secret(text)))
        for text in (TICKET, "-._~ABCxyz012345", "x" * 128):
            self.assertEqual(check(CredentialKind.TICKET, text), Credential(CredentialKind.TICKET, Secret(text)))

    def test_other_tokens_are_rejected_like_a_wrong_signature(self) -> None:
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

    def test_other_tickets_are_rejected_like_unknown_ones(self) -> None:
        texts = ["", "x" * 15, "x" * 129, "x" * 16 + "\n", "x" * 16 + "*", "x" * 8 + "/" + "x" * 8, "x" * 16 + " "]
        texts += ["x" * 16 + ":", "x" * 16 + "\u00fc", "\u0661" * 16, "x" * 16 + "%20", "x" * 9000]
        self.assertEqual(
            {text: check(CredentialKind.TICKET, text) for text in texts}, dict.fromkeys(texts, ClientError.TICKET)
        )

    @given(st.sampled_from(CredentialKind), st.text() | st.text("aZ0-_.~", max_size=140))
    @example(CredentialKind.TICKET, "x" * 16 + "\n")
    @example(CredentialKind.TOKEN, "a.b.c\n")
    def test_accepted_text_is_unchanged_and_needs_no_quoting(self, kind: CredentialKind, text: str) -> None:
        found = check(kind, text)
        if isinstance(found, Credential):
            self.assertEqual((found.kind, found.secret.reveal(), found.is_ambient), (kind, text, False))
            self.assertLessEqual(set(text), set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"))

    def test_repr_hides_the_credential(self) -> None:
        self.assertNotIn(TOKEN, repr(check(CredentialKind.TOKEN, TOKEN)))


class HandshakeTests(SynchronousTestCase):
    """`find_credential`, without cookies."""

    def test_handshake_without_a_credential_has_none(self) -> None:
        for fields in (
            {},
            {"query": f"token={TOKEN}&Ticket={TICKET}&xticket={TICKET}"},
            {"authorization": f"Basic {TOKEN}"},
            {"authorization": TOKEN},
            {"subprotocols": ("wsrelay", "chat", f"token.{TOKEN}", "wsrelay.token", f"wsrelay.other.{TOKEN}")},
            {"cookie": f"{COOKIE}={TOKEN}"},
        ):
            self.assertIsNone(find(**fields), fields)

    def test_credential_is_found_in_every_place_and_is_not_ambient(self) -> None:
        self.assertEqual(
            {place: find(**fields) for place, (fields, _) in CARRIERS.items()},
            {place: expected for place, (_, expected) in CARRIERS.items()},
        )

    def test_scheme_ignores_case_and_extra_spaces(self) -> None:
        """RFC 9110 section 11.4."""
        for scheme in ("Bearer ", "bearer ", "BEARER ", "bEaReR   "):
            self.assertEqual(find(authorization=f"{scheme}{TOKEN}"), FOUND_TOKEN)
        self.assertEqual(find(authorization=f"tICKET {TICKET}"), FOUND_TICKET)

    def test_parameter_may_be_percent_encoded(self) -> None:
        self.assertEqual(find(query="ticket=%30123456789abcde%66"), FOUND_TICKET)

    def test_malformed_credential_is_rejected_and_not_ignored(self) -> None:
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
            self.assertEqual([find(**fields) for fields in handshakes], [client_error] * len(handshakes))

    def test_bearer_field_is_ignored_where_there_are_no_tokens(self) -> None:
        bearer = {"authorization": f"Bearer {TOKEN}"}
        self.assertIsNone(find(with_bearer=False, **bearer))
        self.assertIsNone(find(with_bearer=False, authorization="Bearer not-a-token"))
        self.assertEqual(find(with_bearer=False, query=f"ticket={TICKET}", **bearer), FOUND_TICKET)
        # All other places are the relay's own. A token there is found, and rejected later for want of a key.
        self.assertEqual(find(with_bearer=False, subprotocols=(f"wsrelay.token.{TOKEN}",)), FOUND_TOKEN)
        self.assertEqual(find(with_bearer=False, authorization=f"Ticket {TICKET}"), FOUND_TICKET)

    def test_two_credentials_are_rejected_in_all_places(self) -> None:
        places = list(CARRIERS.values())
        for index, (first, _) in enumerate(places):
            for second, _ in places[index + 1 :]:
                both = {**first, **second}
                if set(first) & set(second) == {"subprotocols"}:
                    both["subprotocols"] = first["subprotocols"] + second["subprotocols"]
                elif set(first) & set(second):
                    continue
                self.assertEqual(find(**both), ClientError.AMBIGUOUS, both)
        for query in (f"ticket={TICKET}&ticket={TICKET}", f"ticket={TICKET}&ticket=x", "ticket=x&ticket=y"):
            self.assertEqual(find(query=query), ClientError.AMBIGUOUS)
        self.assertEqual(find(subprotocols=(f"wsrelay.token.{TOKEN}",) * 2), ClientError.AMBIGUOUS)

    def test_query_too_long_to_search_is_rejected(self) -> None:
        """It may promise a credential in its first message."""
        self.assertIs(find(query="a=1&" * 64 + "auth=message"), ClientError.MALFORMED)

    def test_unknown_auth_value_is_rejected(self) -> None:
        """The first message would be published."""
        for query in ("auth", "auth=", "auth=messages", "auth=Message", "auth=token", "auth=message&auth=message"):
            self.assertIs(find(query=query), ClientError.MALFORMED, query)

    def test_credential_beside_a_promised_one_is_rejected(self) -> None:
        """The promised one would be published."""
        for fields, _ in CARRIERS.values():
            query = "&".join(filter(None, (fields.get("query"), "auth=message")))
            self.assertEqual(find(**{**fields, "query": query}), ClientError.AMBIGUOUS)
        self.assertIsNone(find(query="auth=message"))

    def test_subprotocols_with_a_credential_are_never_answered(self) -> None:
        for kind in CredentialKind:
            self.assertTrue(f"{SUBPROTOCOL_PREFIX}{kind.value}.".startswith(SUBPROTOCOL_PREFIX))
        self.assertFalse("wsrelay".startswith(SUBPROTOCOL_PREFIX))


class CookieTests(SynchronousTestCase):
    """Credentials in cookies, which are ambient."""

    def test_cookie_of_the_configured_name_is_an_ambient_token(self) -> None:
        found = find(COOKIE, cookie=f"a=b; {COOKIE}={TOKEN}; c=d")
        self.assertEqual(found, Credential(CredentialKind.TOKEN, Secret(TOKEN), is_ambient=True))

    def test_other_cookies_are_ignored(self) -> None:
        for name in (None, "sess", "Session", "session2", ""):
            self.assertIsNone(find(name, cookie=f"{COOKIE}={TOKEN}"))

    def test_empty_cookie_is_ignored(self) -> None:
        """Logging out leaves one."""
        for cookie in (f"{COOKIE}=", f'{COOKIE}=""', f"{COOKIE}", ""):
            self.assertIsNone(find(COOKIE, cookie=cookie))

    def test_two_tokens_in_cookies_of_the_name_are_rejected(self) -> None:
        """A sibling subdomain may have planted one (RFC 6265 section 8.6)."""
        for cookie in (f"{COOKIE}={TOKEN}; {COOKIE}=a.b.c", f"{COOKIE}=a.b.c; x=y; {COOKIE}={TOKEN}"):
            self.assertEqual(find(COOKIE, cookie=cookie), ClientError.AMBIGUOUS)

    def test_cookies_of_the_name_that_are_no_tokens_or_the_same_one_do_no_harm(self) -> None:
        for second in (TOKEN, "x", "", "1; session=2"):
            for cookie in (f"{COOKIE}={TOKEN}; {COOKIE}={second}", f"{COOKIE}={second}; {COOKIE}={TOKEN}"):
                self.assertEqual(find(COOKIE, cookie=cookie), Credential(CredentialKind.TOKEN, Secret(TOKEN), True))
        self.assertIsNone(find(COOKIE, cookie=f"{COOKIE}=1; {COOKIE}=2"))

    def test_any_other_credential_takes_precedence_over_cookies(self) -> None:
        for cookie in (f"{COOKIE}=a.b.c", f"{COOKIE}=x", f"{COOKIE}=x; {COOKIE}=y"):
            for fields, expected in CARRIERS.values():
                self.assertEqual(find(COOKIE, cookie=cookie, **fields), expected)
            # So does a promised first message.
            self.assertIsNone(find(COOKIE, cookie=cookie, query="auth=message"))

    def test_cookie_that_is_no_token_is_ignored(self) -> None:
        """A browser sends its cookies anyway, and public channels stay public."""
        for value in ("deleted", "a.b", "a.b.c.d", "\u00fc", "a.b.c=", "a." + "b" * MAX_CREDENTIAL_BYTES + ".c"):
            self.assertIsNone(find(COOKIE, cookie=f"{COOKIE}={value}"))


class FirstMessageTests(SynchronousTestCase):
    """`read_credential`."""

    def test_token_or_ticket_alone_in_a_json_object_is_read(self) -> None:
        self.assertEqual(read({"token": TOKEN}), FOUND_TOKEN)
        self.assertEqual(read(b' {"ticket" :\n"%s"} ' % TICKET.encode()), FOUND_TICKET)

    def test_longest_token_is_read(self) -> None:
        longest = "a." + "b" * (MAX_CREDENTIAL_BYTES - 4) + ".c"
        self.assertEqual(read({"token": longest}), Credential(CredentialKind.TOKEN, Secret(longest)))

    def test_other_messages_are_malformed(self) -> None:
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

    def test_credential_outside_its_grammar_is_rejected_like_an_unknown_one(self) -> None:
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
    def test_any_message_is_a_credential_inside_its_grammar_or_rejected(self, message: object) -> None:
        found = read(message)
        if isinstance(found, Credential):
            self.assertEqual(check(found.kind, found.secret.reveal()), found)
        else:
            self.assertIn(found, (ClientError.MALFORMED, ClientError.TOKEN, ClientError.TICKET))


class ErrorTests(SynchronousTestCase):
    """Errors of rejected credentials."""

    def test_errors_hold_nothing_of_the_input(self) -> None:
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


class TokenOrTicketTests(SynchronousTestCase):
    """`read_token_or_ticket`."""

    def test_text_of_three_parts_is_a_token_and_any_other_a_ticket(self) -> None:
        for text, kind in ((TOKEN, CredentialKind.TOKEN), (TICKET, CredentialKind.TICKET)):
            self.assertEqual(read_token_or_ticket(text), Credential(kind, Secret(text)))

    def test_text_outside_both_grammars_is_a_bad_token(self) -> None:
        for text in ("", "x", "a.b.c d", "a..c", "x" * 200, "\ud800", TOKEN + "." + "x" * 8192):
            with self.assertRaises(RejectedError) as caught:
                read_token_or_ticket(text)
            self.assertIs(caught.exception.client_error, ClientError.TOKEN)


class TicketTests(SynchronousTestCase):
    """Requests that can be made once."""

    def test_ticket_of_a_request_is_found_in_the_query_and_the_authorization_field(self) -> None:
        for handshake in (
            Handshake("/sse/a", "peer", query=f"channel=b&ticket={TICKET}"),
            Handshake("/sse/a", "peer", authorization=f"tiCKet {TICKET}"),
        ):
            self.assertTrue(sends_ticket(handshake))

    def test_other_credentials_can_be_sent_again(self) -> None:
        for handshake in (
            Handshake("/sse/a", "peer"),
            Handshake("/sse/a", "peer", authorization=f"Bearer {TOKEN}", cookie=f"ticket={TICKET}"),
        ):
            self.assertFalse(sends_ticket(handshake))
