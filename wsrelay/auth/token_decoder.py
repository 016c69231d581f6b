"""PyJWT, without what it does again for each token.

The verification is PyJWT's: it splits a token, loads its header, chooses the algorithm among those that are allowed,
and compares the signature. Four of its steps have a short way here, each for what nearly every token is:

- It looks at each character of a token in a loop of Python, and encodes each part again for comparison: two fifths of
  what a token signed with HS256 takes. `_Parts` has the same done by functions of C.
- It lets `json` guess the encoding of the claims. Of an object that begins with a name, it is UTF-8.
- It decodes the header of each token, which is the same for nearly all of an issuer. `TokenDecoder.known_headers` has
  some as it has loaded them.
- It merges the options again for each token.

Whatever is not like that goes PyJWT's own way, so that each error is one of PyJWT. tests/auth/test_token_decoder.py
compares both; a version of PyJWT that decodes in another way does without these short ones.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any

import jwt

from wsrelay.auth.prepared_secrets import check_secrets_once

if TYPE_CHECKING:
    from jwt.types import Options

__all__ = ["TokenDecoder"]

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_BASE64 = bytes.maketrans(b"-_", b"+/")

# By the number of characters behind the last four: the padding, and the last characters that leave no bit over. Of
# any other the bits that are left over are not zero, and one character is never left.
_ENDS = {
    0: (b"", frozenset(_ALPHABET)),
    1: (b"", frozenset[int]()),
    2: (b"==", frozenset(_ALPHABET[::16])),
    3: (b"=", frozenset(_ALPHABET[::4])),
}


class _Parts(jwt.PyJWS):
    """PyJWT's signatures, with short ways to decode base64url and known headers."""

    def __init__(self) -> None:
        super().__init__()
        self.known_headers: dict[str, dict[str, Any]] = {}

    def _load(self, jwt: str | bytes) -> tuple[bytes, bytes, dict[str, Any], bytes]:
        header = self.known_headers.get(jwt.partition(".")[0]) if isinstance(jwt, str) else None
        if isinstance(jwt, str) and header is not None:
            signed, _, signature = jwt.encode().rpartition(b".")
            _, dot, payload = signed.partition(b".")
            if dot:
                decode = self._decode_base64url_segment
                return decode(payload, "payload"), signed, header, decode(signature, "crypto")
        return super()._load(jwt)

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        padding, last = _ENDS[len(segment) % 4]
        if segment and segment[-1] in last and not segment.translate(None, _ALPHABET):
            return a2b_base64(segment.translate(_TO_BASE64) + padding)
        return jwt.PyJWS._decode_base64url_segment(segment, name)  # noqa: SLF001 -- it is overridden here


class TokenDecoder(jwt.PyJWT):
    """Decodes and verifies tokens as `jwt.decode` does.

    Args:
        options: Those of PyJWT, the same for all tokens.

    Attributes:
        known_headers: Headers that it need not load, by their part of a token. The caller adds those of tokens that it
            has decoded, from what `decode_complete` returned, and bounds their number.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._jws = parts = _Parts()
        self.known_headers = parts.known_headers
        check_secrets_once(parts)

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        payload: bytes = decoded["payload"]
        if payload.startswith(b'{"'):
            try:
                # As `json.loads` decodes bytes, once it has guessed.
                claims: dict[str, Any] = json.loads(payload.decode("utf-8", "surrogatepass"))
            except (ValueError, RecursionError) as error:
                raise jwt.DecodeError(f"Invalid payload string: {error}") from error
            return claims
        return super()._decode_payload(decoded)
