"""Checks tokens: JSON Web Tokens (RFC 7519), signed by somebody whose keys are known.

PyJWT does the cryptography, and reads the parts. Time is checked here, because PyJWT asks the system's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from twisted.internet.defer import Deferred

from wsrelay.auth.keys import ALGORITHMS, Key, Keys
from wsrelay.core.access.identity import Identity, read_identity, read_instant
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ClaimError, RejectedError

if TYPE_CHECKING:
    from jwt.types import Options

__all__ = ["MAX_JTI_BYTES", "TokenVerifier"]

MAX_JTI_BYTES = 255
"""A longer `jti` revokes nothing."""

# `sub` and `jti` are looked at here: a number is good enough for the one, and the other may be anything.
_OPTIONS: Options = {
    "require": ["exp"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}


class TokenVerifier:
    """Says who somebody is that shows a token.

    Args:
        keys: The keys of those who may sign tokens.
        algorithms: What tokens may be signed with. None: with whatever the keys are for.
        audience: What `aud` has to name. None: tokens with an `aud` are for somebody else (RFC 7519 section 4.1.3).
        issuer: What `iss` has to be. None: it is not looked at.
        leeway_seconds: How far the clocks of those who sign may be off, in seconds.
        now: The seconds since the epoch.
        tell: Called for each token that is not good with why, in constant words that hold nothing of the token.
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
        tell: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._keys = keys
        self._algorithms = ALGORITHMS if algorithms is None else ALGORITHMS & algorithms
        self._audience = audience
        self._issuer = issuer
        self._leeway = leeway_seconds
        self._now = now
        self._tell = tell

    def verify(self, text: str) -> Deferred[Identity]:
        """Check a token.

        Args:
            text: The token. Its length is bounded by whoever took it, by `MAX_CREDENTIAL_BYTES`.

        Returns:
            Fires with who is meant. `expires` is the token's `exp` and the leeway behind it. Fails with
            `RejectedError`: `ClientError.TOKEN` if the token is not known to be from somebody who may sign tokens,
            `ClientError.TOKEN_EXPIRED` or `ClientError.TOKEN_CLAIMS` for what is wrong with one that is, and what the
            keys fail with.
        """
        return Deferred.fromCoroutine(self._verify(text))

    async def _verify(self, text: str) -> Identity:
        kid, algorithm = self._read_header(text)
        keys = await self._keys.find(kid, algorithm)
        if not keys:
            raise self._denied(ClientError.TOKEN, "unknown key")
        return self._read_identity(self._read_claims(text, keys))

    def _read_header(self, text: str) -> tuple[str | None, str]:
        """The names of key and algorithm. What else a header says of keys (jku, jwk, x5u, x5c) is not looked at."""
        try:
            # PyJWT takes padding, which does not belong there (RFC 7515 section 2): one token has one text.
            header = jwt.get_unverified_header("" if "=" in text else text)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise self._denied(ClientError.TOKEN, "malformed") from None
        # RFC 7515 section 4.1.11: it names what must be understood, and nothing of that is.
        if "crit" in header:
            raise self._denied(ClientError.TOKEN, "crit")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise self._denied(ClientError.TOKEN, "algorithm not allowed")
        return header.get("kid"), algorithm

    def _read_claims(self, text: str, keys: Iterable[Key]) -> dict[str, Any]:
        for key in keys:
            try:
                claims = jwt.decode(
                    text,
                    key.material,
                    algorithms=sorted(key.algorithms & self._algorithms),
                    audience=self._audience,
                    issuer=self._issuer,
                    options={**_OPTIONS, "verify_aud": self._audience is not None},
                )
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError, UnsupportedAlgorithm):
                continue
            except jwt.MissingRequiredClaimError as error:
                raise self._denied(ClientError.TOKEN_CLAIMS, f"{error.claim} missing") from None
            except jwt.InvalidAudienceError:
                raise self._denied(ClientError.TOKEN_CLAIMS, "aud") from None
            except jwt.InvalidIssuerError:
                raise self._denied(ClientError.TOKEN_CLAIMS, "iss") from None
            except (jwt.DecodeError, RecursionError):
                # The header has been decoded before, and the signature is good.
                raise self._denied(ClientError.TOKEN_CLAIMS, "the claims are no JSON object") from None
            except jwt.PyJWTError:
                raise self._denied(ClientError.TOKEN, "malformed") from None
            # Not PyJWT's, which lets an empty list pass.
            if self._audience is None and claims.get("aud") is not None:
                raise self._denied(ClientError.TOKEN_CLAIMS, "aud")
            return claims
        raise self._denied(ClientError.TOKEN, "bad signature")

    def _read_identity(self, claims: dict[str, Any]) -> Identity:
        try:
            identity = read_identity(claims, _reference(claims))
            begins = [read_instant(claims, name) or 0.0 for name in ("nbf", "iat")]
        except ClaimError as error:
            raise self._denied(ClientError.TOKEN_CLAIMS, str(error)) from None
        now = self._now()
        expires = float(claims["exp"]) + self._leeway
        # RFC 7519 section 4.1.4: on that instant it is over.
        if expires <= now:
            raise self._denied(ClientError.TOKEN_EXPIRED, "expired")
        # RFC 7519 section 4.1.5. Nothing there forbids an iat to come, but the clock that made it made exp as well.
        if max(begins) - self._leeway > now:
            raise self._denied(ClientError.TOKEN_EXPIRED, "not yet valid")
        return replace(identity, expires=expires)

    def _denied(self, client_error: ClientError, why: str) -> RejectedError:
        self._tell(why)
        return RejectedError(client_error)


def _reference(claims: dict[str, Any]) -> str | None:
    """What the token is revoked by.

    Raises:
        ClaimError: It has a name that nobody could revoke it by.
    """
    jti = claims.get("jti")
    if jti is None:
        return None
    if isinstance(jti, int) and not isinstance(jti, bool):
        # As with `sub`: applications count, and a control message may say it either way.
        jti = str(jti)
    try:
        if isinstance(jti, str) and 0 < len(jti.encode()) <= MAX_JTI_BYTES:
            return f"token:{jti}"
    except UnicodeEncodeError:
        # JSON can spell half of a surrogate pair, which is no text.
        pass
    raise ClaimError(f"jti must be a text of 1 to {MAX_JTI_BYTES} bytes")
