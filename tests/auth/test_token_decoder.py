"""Tests of `wsrelay.auth.token_decoder`: whatever comes, it decodes and rejects as PyJWT does."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from itertools import product
from typing import Any

import jwt
from hypothesis import given
from hypothesis import strategies as st
from jwt.types import Options
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.auth.token_decoder import TokenDecoder

SECRET = b"s" * 40
OPTIONS: Options = {"require": ["exp"], "verify_exp": False, "verify_aud": False}
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
HEADER = b'{"alg":"HS256","typ":"JWT"}'

CLAIMS = st.dictionaries(st.sampled_from(["exp", "sub", "iat", "aud", "\u00fc"]), st.integers() | st.text() | st.none())
PAYLOADS = st.binary(max_size=60) | st.builds(
    lambda claims, encoding, space: (space + json.dumps(claims, ensure_ascii=False)).encode(encoding, "surrogatepass"),
    CLAIMS,
    st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]),
    st.sampled_from(["", " ", "\n", "\ufeff"]),
)


def part(data: bytes) -> bytes:
    """Return base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=")


def signed(header: bytes, payload: bytes) -> bytes:
    """Return a token of two parts as they are written, signed with HS256 whatever the header says."""
    text = header + b"." + payload
    return text + b"." + part(hmac.digest(SECRET, text, hashlib.sha256))


def outcome(decode: Any, token: bytes | str, **more: Any) -> object:
    """Return what a token is decoded to, or the kind and text of the error."""
    try:
        return decode(token, SECRET, ["HS256"], **more)
    except Exception as error:  # noqa: BLE001 -- of whatever kind it is, both have to raise it
        return type(error), str(error)


class TokenDecoderTests(SynchronousTestCase):
    """The decoder beside `jwt.decode`."""

    def setUp(self) -> None:
        self.decoder = TokenDecoder(OPTIONS)

    def assert_same(self, token: bytes) -> object:
        """Assert that both decode a token to the same, whether its header is known or not, and return it."""
        expected = outcome(jwt.decode, token, options=OPTIONS)
        self.assertEqual(outcome(self.decoder.decode, token), expected)
        text = token.decode("latin-1")
        self.assertEqual(outcome(self.decoder.decode, text), outcome(jwt.decode, text, options=OPTIONS))
        knowing = TokenDecoder(OPTIONS)
        knowing.known_headers[part(HEADER).decode()] = json.loads(HEADER)
        self.assertEqual(outcome(knowing.decode, text), outcome(jwt.decode, text, options=OPTIONS))
        return expected

    def assert_same_segment(self, segment: bytes) -> None:
        """Assert that both decode a part to the same."""
        found = []
        for jws in (jwt.PyJWS(), self.decoder._jws):
            try:
                found.append(repr(jws._decode_base64url_segment(segment, "payload")))
            except jwt.DecodeError as error:
                found.append(f"rejected: {error}")
        self.assertEqual(found[0], found[1], segment)

    def test_ordinary_token_is_decoded_without_the_slow_loop(self) -> None:
        slow: list[bytes] = []
        name = "_decode_base64url_segment"
        ordinary = jwt.PyJWS._decode_base64url_segment
        # Not by `patch`, which would put back a method in place of the static one.
        self.addCleanup(setattr, jwt.PyJWS, name, vars(jwt.PyJWS)[name])

        def decode(segment: bytes, name: str) -> bytes:
            slow.append(segment)
            return ordinary(segment, name)

        setattr(jwt.PyJWS, name, staticmethod(decode))
        claims = {"exp": 1, "sub": "42"}
        self.assertEqual(self.decoder.decode(jwt.encode(claims, SECRET), SECRET, ["HS256"]), claims)
        self.assertEqual(slow, [])

    def test_known_header_is_not_loaded_again(self) -> None:
        token = signed(part(HEADER), part(b'{"exp":1}')).decode()
        header = {"alg": "HS256", "x": "as it was loaded before"}
        self.decoder.known_headers[token.partition(".")[0]] = header
        self.assertIs(self.decoder.decode_complete(token, SECRET, ["HS256"])["header"], header)

    def test_parts_that_are_missing_or_too_many_are_rejected_as_by_pyjwt(self) -> None:
        good = part(HEADER)
        for token in (b"", b".", b"..", good, good + b".", good + b"..", good + b".a", good + b".e30.e30.e30"):
            self.assert_same(token)

    def test_every_end_of_a_part_is_read_as_by_pyjwt(self) -> None:
        for before in (b"", b"c", b"cV", b"cVN"):
            for pair in product(ALPHABET + b"=+/ .\x00\xff", repeat=2):
                self.assert_same_segment(before + bytes(pair))

    @given(st.binary(max_size=20) | st.text("AQgwz-_=+/ \n", max_size=12).map(str.encode))
    def test_any_part_is_read_as_by_pyjwt(self, segment: bytes) -> None:
        self.assert_same_segment(segment)
        self.assert_same_segment(part(segment))

    @given(PAYLOADS)
    def test_any_payload_is_read_as_by_pyjwt(self, payload: bytes) -> None:
        self.assert_same(signed(part(HEADER), part(payload)))

    @given(st.sampled_from([HEADER, b'{"alg":"none"}', b'{"alg":"HS384"}', b"{}", b"[]", b""]) | st.binary(max_size=30))
    def test_any_header_is_read_as_by_pyjwt(self, header: bytes) -> None:
        self.assert_same(signed(part(header), part(b'{"exp":1}')))

    @given(st.integers(min_value=0), st.binary(max_size=3), st.integers(0, 3))
    def test_changed_token_is_read_as_by_pyjwt(self, at: int, by: bytes, length: int) -> None:
        token = signed(part(HEADER), part(b'{"exp":1,"sub":"user"}'))
        at %= len(token)
        self.assert_same(token[:at] + by + token[at + length :])

    def test_odd_claims_are_read_as_by_pyjwt(self) -> None:
        for payload in (
            b'{"exp":1}',
            b'{"exp":1} ',
            b'{"exp":1}x',
            b'{"sub":1}',
            b'{"exp":NaN}',
            b'{"exp":1,"exp":2}',
            b'{"exp":1,"sub":"\xff"}',
            b'{"exp":1,"sub":"\xed\xa0\x80"}',
            b'{"a":' * 100_000,
            b'{"',
            b"{}",
            b'["exp"]',
        ):
            self.assert_same(signed(part(HEADER), part(payload)))
        self.assertEqual(self.assert_same(signed(part(HEADER), part(b'{"exp":1,"exp":2}'))), {"exp": 2})
