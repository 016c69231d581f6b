"""Tests of `wsrelay.core.wire.handshake`."""

from __future__ import annotations

from dataclasses import fields
from http.client import HTTPResponse
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.core.wire.request_head import DUPLICATE_FIELD, SINGLETON_FIELDS


class _Socket:
    """As much of a socket as the HTTP client of the standard library wants."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> BytesIO:
        """Return the data as a file."""
        return BytesIO(self._data)


def read(data: bytes) -> HTTPResponse:
    """A response, as the standard library reads it."""
    socket: Any = _Socket(data)
    response = HTTPResponse(socket)
    response.begin()
    return response


class ErrorResponseTests(SynchronousTestCase):
    """The answer to a handshake that fails."""

    def test_another_client_that_asks_in_the_same_words_has_all_of_it_but_address_and_connection(self) -> None:
        names = [each.name for each in fields(Handshake)]
        values: dict[str, Any] = {name: name for name in names}
        own = {"peer": "192.0.2.1", "connection": "5f0c"}
        self.assertEqual(Handshake(**values).of_another("192.0.2.1", "5f0c"), Handshake(**values | own))

    def test_response_is_complete_and_closes_and_is_neither_cached_nor_sniffed(self) -> None:
        self.assertEqual(
            ErrorResponse(503, "Come back.", (("Retry-After", "5"),)).to_bytes(),
            b"HTTP/1.1 503 Service Unavailable\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 11\r\n"
            b"Connection: close\r\n"
            b"X-Content-Type-Options: nosniff\r\n"
            b"Referrer-Policy: no-referrer\r\n"
            b"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
            b"Cache-Control: no-store\r\n"
            b"Retry-After: 5\r\n"
            b"\r\n"
            b"Come back.\n",
        )

    def test_http_client_reads_status_phrase_fields_and_the_whole_text(self) -> None:
        """Its length is counted in bytes and not in letters."""
        response = read(ErrorResponse(404, "Kein Kanal \u00fc\u20ac.", (("A", "1"), ("A", "2"))).to_bytes())
        self.assertEqual((response.status, response.reason), (404, "Not Found"))
        self.assertEqual(response.headers.get_all("A"), ["1", "2"])
        self.assertEqual(response.read().decode(), "Kein Kanal \u00fc\u20ac.\n")

    def test_fields_that_two_readers_could_read_differently_may_stand_once(self) -> None:
        self.assertEqual(DUPLICATE_FIELD.status, 400)
        self.assertLessEqual({b"authorization", b"origin", b"host", b"content-length"}, SINGLETON_FIELDS)
        self.assertEqual({name for name in SINGLETON_FIELDS if name != name.lower()}, set())


def query(text: str) -> Handshake:
    """A handshake with this query."""
    return Handshake("/ws/room", "192.0.2.1", query=text)


class ParameterTests(SynchronousTestCase):
    """The parameters of the query."""

    def test_values_of_a_parameter_come_in_order_and_decoded(self) -> None:
        """Other names, prefixes and cases of it are other names."""
        handshake = query("a=1&b=2&a=%33&A=4&aa=5&a=6+7&%61=8")
        self.assertEqual(handshake.parameters("a"), ["1", "3", "6 7", "8"])
        self.assertEqual([handshake.parameters(name) for name in ("b", "A", "c", "")], [["2"], ["4"], [], []])

    def test_parameter_without_a_value_has_an_empty_one(self) -> None:
        for text, values in (("a", [""]), ("a=", [""]), ("a=&a=", ["", ""]), ("b&a&c", [""])):
            self.assertEqual(query(text).parameters("a"), values, text)
        for text in ("", "&", "=", "?", "a;a=1;"):
            self.assertEqual(query(text).parameters("a"), [], text)

    def test_query_of_more_than_64_parameters_has_none(self) -> None:
        """So that it costs nothing to look at it."""
        self.assertEqual(query("x=1&" * 63 + "a=2").parameters("a"), ["2"])
        self.assertEqual(query("x=1&" * 64 + "a=2").parameters("a"), [])

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.text(min_size=1)), max_size=20))
    def test_what_any_client_encodes_is_what_is_read(self, pairs: list[tuple[str, str]]) -> None:
        handshake = query(urlencode(pairs))
        for name in "abc":
            self.assertEqual(handshake.parameters(name), [value for key, value in pairs if key == name])

    @given(st.text(st.characters(codec="ascii")))
    def test_no_query_breaks_anything_or_promises_a_credential_without_saying_so(self, text: str) -> None:
        handshake = query(text)
        handshake.parameters("ticket")
        self.assertFalse(handshake.promises_credential and "auth=message" not in text)

    def test_credential_is_promised_by_auth_message_said_once(self) -> None:
        for text in ("auth=message", "a=b&auth=message", "auth=message&a=b", "auth=message&"):
            self.assertTrue(query(text).promises_credential, text)
        for text in (
            "",
            "auth",
            "auth=",
            "auth=messages",
            "auth=message2",
            "xauth=message",
            "auth=Message",
            "AUTH=message",
        ):
            self.assertFalse(query(text).promises_credential, text)
        for text in ("auth=message&auth=message", "auth=message&auth=x", "a=auth=message", "a=%26auth=message"):
            self.assertFalse(query(text).promises_credential, text)


class CookieTests(SynchronousTestCase):
    """The cookies of the Cookie field."""

    def values(self, cookie: str, name: str = "sid") -> list[str]:
        """The values of a cookie's name."""
        return Handshake("/ws/room", "192.0.2.1", cookie=cookie).cookies(name)

    def test_values_of_a_cookie_come_in_order(self) -> None:
        """Names are distinguished by case and as a whole."""
        self.assertEqual(self.values("sid=1; a=2; sid=3; SID=4; xsid=5; sidx=6"), ["1", "3"])
        self.assertEqual(self.values("a=1; b=2"), [])
        self.assertEqual(self.values(""), [])

    def test_space_around_a_pair_and_quotes_around_a_value_do_not_belong_to_it(self) -> None:
        """Equals signs in a value do."""
        cases = {"sid=x": ["x"], " sid=x ;": ["x"], 'sid="x"': ["x"], "sid=a=b==": ["a=b=="], "a=1;sid=x": ["x"]}
        cases |= {"sid": [], "sid=": [""], 'sid=""': [""], ";;": [], "=x": [], "sid=x,sid=y": ["x,sid=y"]}
        self.assertEqual({cookie: self.values(cookie) for cookie in cases}, cases)

    def test_value_of_a_cookie_is_not_decoded(self) -> None:
        self.assertEqual(self.values("sid=%41+b"), ["%41+b"])


class HandshakeTests(SynchronousTestCase):
    """The client's opening request."""

    def test_repr_shows_what_finds_a_client_and_nothing_that_may_hold_a_credential(self) -> None:
        handshake = Handshake(
            "/ws/room",
            "192.0.2.1",
            query="ticket=hidden",
            origin="https://example.com",
            host="relay.test",
            authorization="Bearer hidden",
            cookie="sid=hidden",
            subprotocols=("wsrelay.token.hidden",),
            is_secure=True,
            connection="5f0c",
        )
        shown = repr(handshake)
        self.assertNotIn("hidden", shown)
        for text in ("/ws/room", "192.0.2.1", "https://example.com", "relay.test", "5f0c"):
            self.assertIn(text, shown)

    def test_request_of_which_nothing_else_is_known_shows_and_promises_nothing(self) -> None:
        handshake = Handshake("/ws/room", "192.0.2.1")
        self.assertEqual((handshake.origin, handshake.is_secure), (None, None))
        self.assertEqual((handshake.parameters("ticket"), handshake.cookies("sid")), ([], []))
        self.assertFalse(handshake.promises_credential)
