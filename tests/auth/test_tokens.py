"""Tokens: which are good, and what is said of those that are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from random import Random
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.auth.outcome import outcome
from tests.auth.test_jwks import URL, Provider, jwk, key_set
from tests.auth.test_keys import EC, ED, OTHER_RSA, RSA, RSA_ALGORITHMS, SECRET, pem
from wsrelay.auth.jwks import ASK_SECONDS, REFRESH_SECONDS, RemoteKeys
from wsrelay.auth.keys import FixedKeys, Key, Keys, read_keys
from wsrelay.auth.tokens import MAX_JTI_BYTES, TokenVerifier
from wsrelay.core.access.credentials import MAX_CREDENTIAL_BYTES
from wsrelay.core.access.identity import Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError

NOW = 1_700_000_000
LEEWAY = 10
EXPIRES = NOW + 100


def encode(part: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def forge(header: object, payload: object, secret: bytes = SECRET.encode()) -> str:
    """A token with a header and payload as they are, signed with HS256 whatever the header says."""
    parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, payload)]
    signed = ".".join(map(encode, parts))
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


class NotNow:
    """Keys that nobody knows now."""

    def find(self, _kid: str | None, _algorithm: str) -> Deferred[list[Key]]:
        """See `Keys.find`."""
        return fail(RejectedError(ClientError.NOT_CHECKED))


class TokenCase(SynchronousTestCase):
    """A verifier, and what it says."""

    def setUp(self) -> None:
        self.now: float = NOW
        self.told: list[str] = []

    def verifier(
        self,
        keys: Keys | str = SECRET,
        algorithms: frozenset[str] | None = None,
        audience: str | None = None,
        issuer: str | None = None,
    ) -> TokenVerifier:
        """A verifier with these keys."""
        return TokenVerifier(
            FixedKeys(read_keys(keys)) if isinstance(keys, str) else keys,
            algorithms=algorithms,
            audience=audience,
            issuer=issuer,
            leeway_seconds=LEEWAY,
            now=lambda: self.now,
            tell=self.told.append,
        )

    def good(self, text: str, verifier: TokenVerifier | None = None) -> Identity:
        """Whom a good token is about."""
        identity = self.successResultOf((verifier or self.verifier()).verify(text))
        self.assertEqual(self.told, [])
        return identity

    def assert_denied(
        self, text: str, client_error: ClientError, why: str, verifier: TokenVerifier | None = None
    ) -> None:
        """A token is not good, for this reason."""
        failure = self.failureResultOf((verifier or self.verifier()).verify(text), RejectedError)
        self.assertEqual((failure.value.client_error, self.told), (client_error, [why]), text[:200])
        self.told.clear()


class GoodTests(TokenCase):
    """Tokens that are good."""

    def test_claims(self) -> None:
        """The claims say who it is, for what and until when; what else they say does not matter."""
        claims = {"sub": "alice", "exp": EXPIRES, "jti": "7", "channels": ["a:*"], "publish": ["a:b"], "x": {"y": 1}}
        self.assertEqual(
            self.good(jwt.encode(claims, SECRET, "HS256")),
            Identity("alice", ("a:*",), ("a:b",), EXPIRES + LEEWAY, "token:7"),
        )

    def test_least(self) -> None:
        """A token needs nothing but its end."""
        self.assertEqual(self.good(jwt.encode({"exp": EXPIRES}, SECRET)), Identity(expires=EXPIRES + LEEWAY))

    def test_number_as_subject(self) -> None:
        """A user may be a number."""
        self.assertEqual(self.good(forge({"alg": "HS256"}, {"exp": EXPIRES, "sub": 42})).subject, "42")

    def test_references(self) -> None:
        """A name revokes the token; one that nobody could revoke it by is refused, and not taken for none."""
        for jti, credential_id in (
            ("x" * MAX_JTI_BYTES, "token:" + "x" * MAX_JTI_BYTES),
            (7, "token:7"),
            (None, None),
        ):
            self.assertEqual(
                self.good(forge({"alg": "HS256"}, {"exp": EXPIRES, "jti": jti})).credential_id, credential_id
            )
        for odd in ("x" * (MAX_JTI_BYTES + 1), "ä" * 128, "", True, ["7"], "7\ud800"):
            denied = outcome(self.verifier().verify(forge({"alg": "HS256"}, {"exp": EXPIRES, "jti": odd})))
            self.assertIs(denied, ClientError.TOKEN_CLAIMS, repr(odd)[:20])

    def test_algorithms(self) -> None:
        """Each algorithm that there are keys for is good."""
        signers: list[tuple[Any, str]] = [(RSA, algorithm) for algorithm in sorted(RSA_ALGORITHMS)]
        signers += [(EC, "ES256"), (ec.generate_private_key(ec.SECP384R1()), "ES384")]
        signers += [(ec.generate_private_key(ec.SECP521R1()), "ES512")]
        signers += [(ec.generate_private_key(ec.SECP256K1()), "ES256K")]
        signers += [(ED, "EdDSA"), (ed448.Ed448PrivateKey.generate(), "EdDSA")]
        for signer, algorithm in signers:
            self.good(jwt.encode({"exp": EXPIRES}, signer, algorithm), self.verifier(pem(signer.public_key())))
        for algorithm in ("HS256", "HS384", "HS512"):
            self.good(jwt.encode({"exp": EXPIRES}, SECRET, algorithm))

    def test_several_keys(self) -> None:
        """A token may be signed with any of several keys, whether or not it names one."""
        verifier = self.verifier(pem(OTHER_RSA.public_key()) + pem(RSA.public_key()))
        for headers in (None, {"kid": "a"}, {"kid": "../../dev/null"}):
            self.good(jwt.encode({"exp": EXPIRES}, RSA, "RS256", headers=headers), verifier)

    def test_longest(self) -> None:
        """A token as long as a credential can be is read."""
        token = forge({"alg": "HS256"}, {"exp": EXPIRES, "x": "y" * 6032})
        self.assertLessEqual(MAX_CREDENTIAL_BYTES - 64, len(token))
        self.good(token)

    def test_header_is_last_word(self) -> None:
        """Of a name that stands twice in JSON the last counts, for the check as for the choice of the key."""
        self.good(forge(b'{"alg":"none","alg":"HS256"}', {"exp": EXPIRES}))
        self.good(forge({"alg": "HS256"}, b'{"exp":1,"exp":%d}' % EXPIRES))
        self.assert_denied(forge(b'{"alg":"HS256","alg":"none"}', {}), ClientError.TOKEN, "algorithm not allowed")


class ForgedTests(TokenCase):
    """Tokens that nobody has signed who may."""

    def test_no_signature(self) -> None:
        """Tokens that say they have no signature are never good, however they say it."""
        for algorithm in ("none", "None", "NONE", "nOnE", "none ", "", None, 0, ["HS256"], {"HS256": 1}):
            for token in (
                forge({"alg": algorithm}, {"exp": EXPIRES}),
                forge({"alg": algorithm}, {"exp": EXPIRES}).rpartition(".")[0] + ".",
            ):
                self.assert_denied(token, ClientError.TOKEN, "algorithm not allowed")
        self.assert_denied(forge({}, {"exp": EXPIRES}), ClientError.TOKEN, "algorithm not allowed")

    def test_public_key_as_secret(self) -> None:
        """The public key is not a secret, in whatever form it is used as one."""
        text = pem(RSA.public_key())
        both = FixedKeys((*read_keys(text), *read_keys(SECRET)))
        for secret in (text, text.strip(), text.replace("\n", ""), "".join(text.splitlines()[1:-1])):
            token = forge({"alg": "HS256"}, {"exp": EXPIRES}, secret.encode())
            self.assert_denied(token, ClientError.TOKEN, "unknown key", self.verifier(text))
            self.assert_denied(token, ClientError.TOKEN, "bad signature", self.verifier(both))

    def test_wrong_key(self) -> None:
        """A signature of somebody else is none."""
        token = jwt.encode({"exp": EXPIRES}, OTHER_RSA, "RS256", headers={"kid": "a"})
        self.assert_denied(token, ClientError.TOKEN, "bad signature", self.verifier(pem(RSA.public_key())))
        self.assert_denied(forge({"alg": "HS256"}, {"exp": EXPIRES}, b"x" * 64), ClientError.TOKEN, "bad signature")

    def test_other_algorithm_of_the_key(self) -> None:
        """A signature is one with the algorithm that the header names."""
        head, _, rest = jwt.encode({"exp": EXPIRES}, RSA, "RS256").partition(".")
        token = f"{encode(base64.urlsafe_b64decode(head + '==').replace(b'RS256', b'PS256'))}.{rest}"
        self.assert_denied(token, ClientError.TOKEN, "bad signature", self.verifier(pem(RSA.public_key())))

    def test_other_curve(self) -> None:
        """A key is never used with the algorithm of another curve or kind."""
        for signer, algorithm in ((ec.generate_private_key(ec.SECP384R1()), "ES384"), (ED, "EdDSA"), (RSA, "RS256")):
            key: Any = signer
            token = jwt.encode({"exp": EXPIRES}, key, algorithm)
            self.assert_denied(token, ClientError.TOKEN, "unknown key", self.verifier(pem(EC.public_key())))

    def test_not_allowed(self) -> None:
        """An algorithm that the operator does not allow is not, even if there is a key for it."""
        algorithms = frozenset({"RS256", "HS384"})
        verifier = self.verifier(algorithms=algorithms)
        self.assert_denied(
            jwt.encode({"exp": EXPIRES}, SECRET, "HS256"), ClientError.TOKEN, "algorithm not allowed", verifier
        )
        self.good(jwt.encode({"exp": EXPIRES}, SECRET, "HS384"), verifier)

    def test_unsafe_setting(self) -> None:
        """Not even the operator can allow tokens without a signature."""
        verifier = self.verifier(algorithms=frozenset({"none", "HS256"}))
        self.assert_denied(forge({"alg": "none"}, {}), ClientError.TOKEN, "algorithm not allowed", verifier)

    def test_brought_keys(self) -> None:
        """A key that a token brings along, or says where to get, is not used."""
        brought = {"jwk": jwk(OTHER_RSA), "x5c": ["AAAA"], "jku": URL, "x5u": URL, "kid": "a"}
        token = jwt.encode({"exp": EXPIRES}, OTHER_RSA, "RS256", headers=brought)
        self.assert_denied(token, ClientError.TOKEN, "bad signature", self.verifier(pem(RSA.public_key())))
        self.good(jwt.encode({"exp": EXPIRES}, RSA, "RS256", headers=brought), self.verifier(pem(RSA.public_key())))

    def test_critical(self) -> None:
        """A header that names what must be understood is not."""
        for crit, why in ((["exp"], "malformed"), (["b64"], "crit"), ([], "malformed"), (None, "malformed")):
            token = forge({"alg": "HS256", "crit": crit, "b64": True, "exp": 1}, {"exp": EXPIRES})
            self.assert_denied(token, ClientError.TOKEN, why)

    def test_signature(self) -> None:
        """A signature that is cut, longer, padded or spelt in another way is none."""
        for signer, algorithm in ((RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")):
            key: Any = signer
            verifier = self.verifier(pem(key.public_key()))
            signed, _, signature = jwt.encode({"exp": EXPIRES}, key, algorithm).rpartition(".")
            raw = base64.urlsafe_b64decode(signature + "==")
            for other in (b"", raw[:-1], raw[1:], raw + b"\0", b"\0" + raw, b"\0" * len(raw), raw[: len(raw) // 2]):
                self.assert_denied(f"{signed}.{encode(other)}", ClientError.TOKEN, "bad signature", verifier)
            for text in (signature + "=", signature + "==", signature + "!", signature[:-1] + "_", " " + signature):
                self.failureResultOf(verifier.verify(f"{signed}.{text}"), RejectedError)
            self.told.clear()

    def test_malformed(self) -> None:
        """What is no token is not good."""
        whole = jwt.encode({"exp": EXPIRES}, SECRET)
        head, payload, signature = whole.split(".")
        for text in (
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "\ud800.\ud800.\ud800",
            "\0",
            head,
            f"{head}.{payload}",
            f"{head}..{signature}.",
            f".{payload}.{signature}",
            f"{whole}.",
            f"{whole}.{signature}",
            f" {whole}",
            f"{whole}\n",
            f"{head}.{payload}.{signature}=",
            f"{head}.{payload}.{signature}.{signature}.{signature}",
            forge(b"", {}),
            forge(b"{", {}),
            forge(b"[]", {}),
            forge(b'"HS256"', {}),
            forge(b"null", {}),
            forge(b"\xff", {}),
            forge(b"[" * 4000, {}),
            forge(b'{"alg":' * 500, {}),
            forge(b'{"alg":"HS256","x":' + b"9" * 5000 + b"}", {}),
            forge({"alg": "HS256", "kid": 1}, {}),
            forge({"alg": "HS256", "kid": None}, {}),
            forge({"alg": "HS256", "kid": ["a"]}, {}),
        ):
            self.assert_denied(text, ClientError.TOKEN, "malformed")

    def test_unencoded(self) -> None:
        """A payload that is not encoded (RFC 7797) is not read."""
        head, _, _ = forge({"alg": "HS256", "b64": False}, {}).split(".")
        signature = encode(hmac.digest(SECRET.encode(), f"{head}.".encode(), hashlib.sha256))
        self.assert_denied(f"{head}..{signature}", ClientError.TOKEN, "malformed")

    def test_not_now(self) -> None:
        """Without keys nobody knows whether a token is good, and nothing is said about it."""
        failure = self.failureResultOf(self.verifier(NotNow()).verify(jwt.encode({}, SECRET)), RejectedError)
        self.assertEqual((failure.value.client_error, self.told), (ClientError.NOT_CHECKED, []))


class TimeTests(TokenCase):
    """When tokens are good."""

    def token(self, **claims: object) -> str:
        """A token with these claims, as JSON has them."""
        return forge({"alg": "HS256"}, {"exp": EXPIRES, **claims})

    def test_expiry(self) -> None:
        """A token is good until its end and the leeway behind it."""
        token = self.token()
        for late in (0, 1, LEEWAY - 0.001):
            self.now = EXPIRES + late
            self.assertEqual(self.good(token).expires, EXPIRES + LEEWAY)
        for late in (LEEWAY, LEEWAY + 1, 10**9):
            self.now = EXPIRES + late
            self.assert_denied(token, ClientError.TOKEN_EXPIRED, "expired")

    def test_beginning(self) -> None:
        """A token is good from `nbf` and `iat` on, and the leeway before them."""
        for name in ("nbf", "iat"):
            for early in (-(10**9), -1, 0, 1, LEEWAY):
                self.good(self.token(**{name: NOW + early}))
            for early in (LEEWAY + 1, 50, 10**9):
                self.assert_denied(self.token(**{name: NOW + early}), ClientError.TOKEN_EXPIRED, "not yet valid")

    def test_fractions(self) -> None:
        """Times may have fractions (RFC 7519 section 2)."""
        self.assertEqual(self.good(self.token(exp=EXPIRES + 0.5, nbf=NOW - 0.5)).expires, EXPIRES + 0.5 + LEEWAY)

    def test_no_end(self) -> None:
        """A token without an end is not good."""
        self.assert_denied(forge({"alg": "HS256"}, {}), ClientError.TOKEN_CLAIMS, "exp missing")
        self.assert_denied(self.token(exp=None), ClientError.TOKEN_CLAIMS, "exp missing")

    def test_no_number(self) -> None:
        """A time is a number that is finite."""
        for value in (str(NOW), "", True, [NOW], {"a": NOW}, float("nan"), float("inf"), float("-inf"), 10**400):
            for name in ("exp", "nbf", "iat"):
                why = f"{name} must be a number: seconds since 1970"
                self.assert_denied(self.token(**{name: value}), ClientError.TOKEN_CLAIMS, why)
        self.assert_denied(
            forge({"alg": "HS256"}, b'{"exp":1e999}'),
            ClientError.TOKEN_CLAIMS,
            "exp must be a number: seconds since 1970",
        )

    def test_far(self) -> None:
        """An end that is far away is one, and a beginning that is not given is none."""
        self.assertEqual(self.good(self.token(exp=10**300, nbf=None, iat=None)).expires, 1e300)


class ClaimTests(TokenCase):
    """Tokens that are signed, but say the wrong thing."""

    def assert_claims(self, why: str, claims: object, verifier: TokenVerifier | None = None) -> None:
        """These claims are not good, for this reason."""
        self.assert_denied(forge({"alg": "HS256"}, claims), ClientError.TOKEN_CLAIMS, why, verifier)

    def test_audience(self) -> None:
        """A token is for us if it names us, alone or among others."""
        verifier = self.verifier(audience="relay")
        good: list[object] = ["relay", ["relay"], ["other", "relay"]]
        for aud in good:
            self.good(forge({"alg": "HS256"}, {"exp": EXPIRES, "aud": aud}), verifier)
        bad: list[object] = ["other", "relay2", "Relay", ["other"], {"relay": 1}, 1, ["relay", 1]]
        for aud in bad:
            self.assert_claims("aud", {"exp": EXPIRES, "aud": aud}, verifier)
        empty: list[object] = [None, "", []]
        for aud in empty:
            self.assert_claims("aud missing", {"exp": EXPIRES, "aud": aud}, verifier)
        self.assert_claims("aud missing", {"exp": EXPIRES}, verifier)

    def test_no_audience(self) -> None:
        """Where nobody has said who we are, a token for somebody is for somebody else (RFC 7519 section 4.1.3)."""
        audiences: list[object] = ["relay", ["relay"], [], "", 0, {}]
        for aud in audiences:
            self.assert_claims("aud", {"exp": EXPIRES, "aud": aud})

    def test_issuer(self) -> None:
        """Who has made a token matters where the operator says so."""
        verifier = self.verifier(issuer="https://example.org")
        self.good(forge({"alg": "HS256"}, {"exp": EXPIRES, "iss": "https://example.org"}), verifier)
        for iss in ("https://example.org/", "example.org", "", None, 1, ["https://example.org"]):
            self.assert_claims("iss", {"exp": EXPIRES, "iss": iss}, verifier)
        self.assert_claims("iss missing", {"exp": EXPIRES}, verifier)
        self.good(forge({"alg": "HS256"}, {"exp": EXPIRES, "iss": "anybody"}))

    def test_identity(self) -> None:
        """What makes no identity is told by the name of the claim, not by its value."""
        patterns = "must be a list of channel names, or beginnings of names with * at the end"
        for name, value, why in (
            ("sub", "", "sub must be a text of 1 to 255 bytes"),
            ("sub", "topsecret" * 40, "sub must be a text of 1 to 255 bytes"),
            ("sub", ["topsecret"], "sub must be a text of 1 to 255 bytes"),
            ("sub", "topsecret\ud800", "sub must be a text of 1 to 255 bytes"),
            ("channels", "topsecret", "channels must be a list of at most 100 channel patterns"),
            ("channels", ["$topsecret"], f"channels {patterns}"),
            ("publish", ["top*secret"], f"publish {patterns}"),
        ):
            self.assert_claims(why, {"exp": EXPIRES, name: value})

    def test_no_object(self) -> None:
        """Claims are a JSON object of a sane depth."""
        for payload in (
            b"",
            b"null",
            b"[]",
            b'"exp"',
            b"{",
            b"\xff",
            b"[" * 4000,
            b'{"exp":' * 500,
            b'{"exp":' + b"9" * 5000 + b"}",
            jwt.encode({"exp": EXPIRES}, SECRET).encode(),
        ):
            self.assert_claims("the claims are no JSON object", payload)

    def test_nothing_before_the_signature(self) -> None:
        """What a token without a good signature says is not even looked at."""
        for claims in ({}, {"exp": 1}, {"exp": "x"}, {"exp": EXPIRES, "aud": "x"}, b"{"):
            self.assert_denied(forge({"alg": "HS256"}, claims, b"x" * 64), ClientError.TOKEN, "bad signature")


class RotationTests(TokenCase):
    """With the keys of a provider."""

    def test_rotation(self) -> None:
        """Tokens of a key that has left the set are refused, those of a new one good without delay."""
        provider: Any = Provider()
        clock: Any = Clock()
        provider.answer = key_set(jwk(RSA, kid="old"))
        keys = RemoteKeys(provider, URL, clock, Random(1))
        keys.start()
        verifier = self.verifier(keys)
        old = jwt.encode({"exp": EXPIRES}, RSA, "RS256", headers={"kid": "old"})
        new = jwt.encode({"exp": EXPIRES}, EC, "ES256", headers={"kid": "new"})
        unnamed = jwt.encode({"exp": EXPIRES}, RSA, "RS256")
        self.good(old, verifier)
        self.good(unnamed, verifier)
        self.assert_denied(new, ClientError.TOKEN, "unknown key", verifier)
        clock.advance(ASK_SECONDS)
        provider.answer = key_set(jwk(RSA, kid="old"), jwk(EC, kid="new"))
        self.good(new, verifier)
        provider.answer = key_set(jwk(EC, kid="new"))
        clock.advance(REFRESH_SECONDS)
        self.assert_denied(old, ClientError.TOKEN, "unknown key", verifier)
        self.assert_denied(unnamed, ClientError.TOKEN, "unknown key", verifier)
        self.good(new, verifier)
        # One that calls the other one's name is not better for it.
        lying = jwt.encode({"exp": EXPIRES}, RSA, "RS256", headers={"kid": "new"})
        self.assert_denied(lying, ClientError.TOKEN, "unknown key", verifier)
        keys.stop()


class FuzzTests(TokenCase):
    """Whatever is shown is good or denied."""

    def revoke(self, text: str, *rejections: ClientError) -> None:
        """Denied, with nothing of the text in the log or in what the operator is told."""
        events: list[LogEvent] = []
        observe: Any = events.append
        globalLogPublisher.addObserver(observe)
        try:
            failure = self.failureResultOf(self.verifier().verify(text), RejectedError)
        finally:
            globalLogPublisher.removeObserver(observe)
        self.assertIn(failure.value.client_error, rejections)
        self.assertEqual((len(self.told), events), (1, []))
        self.told.clear()

    @given(st.text(st.characters()))
    def test_text(self, text: str) -> None:
        """A text is not a token."""
        self.revoke(text, ClientError.TOKEN)

    @given(st.binary(), st.binary(), st.binary())
    def test_parts(self, head: bytes, payload: bytes, signature: bytes) -> None:
        """Three parts are not a token either."""
        self.revoke(".".join(map(encode, (head, payload, signature))), ClientError.TOKEN)

    @given(st.data())
    def test_mutations(self, data: st.DataObject) -> None:
        """A token with any piece of it replaced is not good."""
        token = jwt.encode({"exp": EXPIRES, "sub": "alice"}, SECRET)
        begin = data.draw(st.integers(0, len(token)))
        end = data.draw(st.integers(begin, min(len(token), begin + 4)))
        piece = data.draw(st.text("ABCxyz019-_.=+/ \n", max_size=4))
        mutated = token[:begin] + piece + token[end:]
        if mutated != token:
            self.revoke(mutated, ClientError.TOKEN)

    _JSON = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )

    @given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "b64", "jwk", "x"]), _JSON | st.just("HS256")))
    def test_headers(self, header: dict[str, object]) -> None:
        """Whatever a header says, a token that is not signed with the key is not good."""
        self.revoke(forge(header, {"exp": EXPIRES}, b"x" * 64), ClientError.TOKEN)

    @given(
        st.dictionaries(
            st.sampled_from(["exp", "nbf", "iat", "aud", "iss", "sub", "jti", "channels", "publish", "x"]), _JSON
        )
    )
    def test_claims(self, claims: dict[str, object]) -> None:
        """Whatever is signed is an identity, or denied."""
        verifying = self.verifier().verify(forge({"alg": "HS256"}, claims))
        verifying.addErrback(lambda failure: failure.trap(RejectedError))
        self.successResultOf(verifying)
        self.told.clear()
