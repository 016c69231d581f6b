"""Tokens: JSON Web Tokens (RFC 7519), signed with known keys. Some are for a connection, others for one channel.

PyJWT does the cryptography and parses the parts. Times are checked here, because PyJWT uses the system's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from twisted.internet.defer import Deferred, fail

from wsrelay.auth.keys import ALGORITHMS, Key, Keys
from wsrelay.auth.token_decoder import TokenDecoder
from wsrelay.core.access.channel_tokens import ChannelToken, read_channel_token
from wsrelay.core.access.identity import Identity, read_end, read_identity, read_instant
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ClaimError, RejectedError

if TYPE_CHECKING:
    from jwt.types import Options

__all__ = ["MAX_JTI_BYTES", "TokenVerifier"]

_T = TypeVar("_T")

MAX_JTI_BYTES = 255
"""The longest `jti`, in bytes of UTF-8. Revocation targets are no longer."""

MAX_KNOWN_HEADERS = 64
"""How many headers are remembered."""

MAX_KNOWN_HEADER_LENGTH = 512
"""The longest of them, in characters."""

# `sub` and `jti` are checked here, because numbers are accepted for both.
_OPTIONS: Options = {
    "require": ["exp"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}


class TokenVerifier:
    """Verifies tokens.

    Args:
        keys: The keys of the issuers.
        algorithms: The algorithms that are allowed. If None, all that the keys are for.
        audience: The audience that `aud` must name. If None, tokens with an `aud` are for another service and rejected
            (RFC 7519 section 4.1.3).
        issuer: The value that `iss` must have. If None, `iss` is ignored.
        leeway_seconds: How far the clocks of the issuers may be off, in seconds.
        now: The wall clock, in seconds since the epoch.
        log_detail: Called for each rejected token with the reason, a constant text that holds nothing of the token.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        algorithms: frozenset[str] | None,
        audience: str | None,
        issuer: str | None,
        leeway_seconds: float,
        now: Callable[[], float],
        log_detail: Callable[[str], None] = lambda _detail: None,
    ) -> None:
        self._keys = keys
        self._algorithms = ALGORITHMS if algorithms is None else ALGORITHMS & algorithms
        self._audience = audience
        self._issuer = issuer
        self._leeway = leeway_seconds
        self._now = now
        self._log_detail = log_detail
        self._decoder = TokenDecoder({**_OPTIONS, "verify_aud": audience is not None})
        # Nearly all tokens of an issuer have the same one: those of tokens that were good, as they are written.
        self._headers = self._decoder.known_headers

    def verify(self, text: str) -> Deferred[Identity]:
        """Verify a token.

        Args:
            text: The token. The caller bounds its length, by `wsrelay.core.access.credentials.MAX_CREDENTIAL_BYTES`.

        Returns:
            Fires with the identity. Its `expires` is the token's `exp`, or `expire_at` if that is given, plus the
            leeway.

        Raises:
            RejectedError: (Failure of the Deferred.) With `ClientError.TOKEN`, the signature of an issuer is not
                proven. With `ClientError.TOKEN_EXPIRED` or `ClientError.TOKEN_CLAIMS`, it is, and a time or another
                claim is wrong. With `ClientError.CHANNEL_TOKEN`, it is a subscription token. With
                `ClientError.NOT_CHECKED`, the keys are not known now.
        """
        return self._find_claims(text, self._read_connection_token)

    def verify_channel(self, text: str) -> Deferred[ChannelToken]:
        """Verify a subscription token.

        Args:
            text: The token, as in `verify`.

        Returns:
            Fires with what it says; the caller checks to whom it says that. Its grant ends as the identity in `verify`.

        Raises:
            RejectedError: (Failure of the Deferred.) As in `verify`; a token without `channel` is rejected with
                `ClientError.TOKEN_CLAIMS`.
        """
        return self._find_claims(text, self._read_channel_token)

    def _find_claims(self, text: str, read: Callable[[dict[str, Any]], _T]) -> Deferred[_T]:
        """Read the claims of a token by a function, once its keys are known. No coroutine: nearly always they are."""
        segment = text.partition(".")[0]
        known = self._headers.get(segment)
        try:
            header = self._read_header(text) if known is None else known
            kid, algorithm = header.get("kid"), header["alg"]
        except Exception:  # noqa: BLE001 -- whatever it is, it is for those who wait
            return fail()

        def found(keys: list[Key]) -> _T:
            if not keys:
                raise self._rejected(ClientError.TOKEN, "unknown key")
            claims = self._read_claims(text, keys)
            if known is None and len(segment) <= MAX_KNOWN_HEADER_LENGTH:
                if len(self._headers) >= MAX_KNOWN_HEADERS:
                    self._headers.clear()
                self._headers[segment] = header
            return read(claims)

        return self._keys.find(kid, algorithm).addCallback(found)

    def _read_connection_token(self, claims: dict[str, Any]) -> Identity:
        if claims.get("channel") is not None:
            # A subscription token: its issuer permits one channel, and not all that its user may do.
            raise self._rejected(ClientError.CHANNEL_TOKEN, "it is for one channel")
        return self._read(claims, _read_identity)

    def _read_channel_token(self, claims: dict[str, Any]) -> ChannelToken:
        return self._read(claims, read_channel_token)

    def _read_header(self, text: str) -> dict[str, Any]:
        """Return the header, with an allowed algorithm. Other fields about keys (jku, jwk, x5u, x5c) are ignored."""
        try:
            # PyJWT accepts padding, which RFC 7515 section 2 forbids: a token has only one valid text.
            header = jwt.get_unverified_header("" if "=" in text else text)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise self._rejected(ClientError.TOKEN, "malformed") from None
        # RFC 7515 section 4.1.11: it names extensions that must be understood, and none is supported.
        if "crit" in header:
            raise self._rejected(ClientError.TOKEN, "crit")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise self._rejected(ClientError.TOKEN, "algorithm not allowed")
        return header

    def _read_claims(self, text: str, keys: Iterable[Key]) -> dict[str, Any]:
        for key in keys:
            try:
                claims: dict[str, Any] = self._decoder.decode_complete(
                    # As in `_read_header`, where a known header has not been.
                    "" if "=" in text else text,
                    key.material,
                    algorithms=sorted(key.algorithms & self._algorithms),
                    audience=self._audience,
                    issuer=self._issuer,
                )["payload"]
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError, UnsupportedAlgorithm):
                continue
            except jwt.MissingRequiredClaimError as error:
                raise self._rejected(ClientError.TOKEN_CLAIMS, f"{error.claim} missing") from None
            except jwt.InvalidAudienceError:
                raise self._rejected(ClientError.TOKEN_CLAIMS, "aud") from None
            except jwt.InvalidIssuerError:
                raise self._rejected(ClientError.TOKEN_CLAIMS, "iss") from None
            except (jwt.DecodeError, RecursionError):
                # Where the header was known, the rest may be malformed. Else its signature is valid.
                self._read_header(text)
                raise self._rejected(ClientError.TOKEN_CLAIMS, "the claims are no JSON object") from None
            except jwt.PyJWTError:
                raise self._rejected(ClientError.TOKEN, "malformed") from None
            # Not left to PyJWT, which accepts an empty list.
            if self._audience is None and claims.get("aud") is not None:
                raise self._rejected(ClientError.TOKEN_CLAIMS, "aud")
            return claims
        raise self._rejected(ClientError.TOKEN, "bad signature")

    def _read(self, claims: dict[str, Any], read: Callable[[dict[str, Any], float | None, str | None], _T]) -> _T:
        """Read claims by a function that gets them, the end of what the token is for, and its revocation target."""
        if claims.get("sub") == "":
            # So services that sign tokens for Centrifugo say that nobody is logged in.
            del claims["sub"]
        try:
            times = {name: read_instant(claims, name) or 0.0 for name in ("exp", "nbf", "iat")}
            end = read_end(claims, times["exp"])
            expires = None if end is None else end + self._leeway
            found = read(claims, expires, _credential_id(claims))
        except ClaimError as error:
            raise self._rejected(ClientError.TOKEN_CLAIMS, str(error)) from None
        now = self._now()
        # RFC 7519 section 4.1.4: at that instant it has expired.
        if times["exp"] + self._leeway <= now or (expires is not None and expires <= now):
            raise self._rejected(ClientError.TOKEN_EXPIRED, "expired")
        # RFC 7519 section 4.1.5. The RFC permits an iat in the future, but the clock that made it also made exp.
        if max(times["nbf"], times["iat"]) - self._leeway > now:
            raise self._rejected(ClientError.TOKEN_EXPIRED, "not yet valid")
        return found

    def _rejected(self, client_error: ClientError, detail: str) -> RejectedError:
        self._log_detail(detail)
        return RejectedError(client_error)


def _read_identity(claims: dict[str, Any], expires: float | None, credential_id: str | None) -> Identity:
    return read_identity({**claims, "exp": expires}, credential_id)


def _credential_id(claims: dict[str, Any]) -> str | None:
    """Return the target that revokes the token, or None if the token has no `jti`.

    Raises:
        ClaimError: No revocation could name its `jti`.
    """
    jti = claims.get("jti")
    if jti is None:
        return None
    if isinstance(jti, int) and not isinstance(jti, bool):
        # As with `sub`: applications number tokens, and a control message may name either form.
        jti = str(jti)
    try:
        if isinstance(jti, str) and 0 < len(jti.encode()) <= MAX_JTI_BYTES:
            return f"token:{jti}"
    except UnicodeEncodeError:
        # JSON can spell half of a surrogate pair, which UTF-8 cannot encode.
        pass
    raise ClaimError(f"jti must be a text of 1 to {MAX_JTI_BYTES} bytes")
