"""Tests of `wsrelay.auth.tokens`."""

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
from wsrelay.auth.jwks import REFRESH_SECONDS, UNKNOWN_KEY_FETCH_SECONDS, RemoteKeys
from wsrelay.auth.keys import FixedKeys, Key, Keys, read_keys
from wsrelay.auth.tokens import MAX_JTI_BYTES, MAX_KNOWN_HEADER_LENGTH, MAX_KNOWN_HEADERS, TokenVerifier
from wsrelay.core.access.credentials import MAX_CREDENTIAL_BYTES
from wsrelay.core.access.identity import Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError

NOW = 1_700_000_000
LEEWAY = 10
EXPIRES = NOW + 100


def encode(part: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def forge(header: object, payload: object, secret: bytes = SECRET.encode()) -> str:
    """Return a token of this header and payload, signed with HS256 whatever the header says."""
    parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, payload)]
    signed = ".".join(map(encode, parts))
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


class UnknownKeys:
    """Keys that are not known now."""

    def find(self, _kid: str | None, _algorithm: str) -> Deferred[list[Key]]:
        """See `Keys.find`."""
        return fail(RejectedError(ClientError.NOT_CHECKED))


class TokenCase(SynchronousTestCase):
    """A verifier, and its explanations."""

    def setUp(self) -> None:
        self.now: float = NOW
        self.details: list[str] = []

    def verifier(
        self,
        keys: Keys | str = SECRET,
        algorithms: frozenset[str] | None = None,
        audience: str | None = None,
        issuer: str | None = None,
    ) -> TokenVerifier:
        """Make a verifier with these keys."""
        return TokenVerifier(
            FixedKeys(read_keys(keys)) if isinstance(keys, str) else keys,
            algorithms=algorithms,
            audience=audience,
            issuer=issuer,
            leeway_seconds=LEEWAY,
            now=lambda: self.now,
            log_detail=self.details.append,
        )

    def verified(self, text: str, verifier: TokenVerifier | None = None) -> Identity:
        """Return the identity of a valid token."""
        identity = self.successResultOf((verifier or self.verifier()).verify(text))
        self.assertEqual(self.details, [])
        return identity

    def assert_rejected(
        self, text: str, client_error: ClientError, detail: str, verifier: TokenVerifier | None = None
    ) -> None:
        """Assert that a token is rejected with this error and this explanation."""
        failure = self.failureResultOf((verifier or self.verifier()).verify(text), RejectedError)
        self.assertEqual((failure.value.client_error, self.details), (client_error, [detail]), text[:200])
        self.details.clear()


class GoodTests(TokenCase):
    """Valid tokens."""

    def test_claims_become_the_identity_and_unknown_ones_are_ignored(self) -> None:
        claims = {"sub": "alice", "exp": EXPIRES, "jti": "7", "channels": ["a:*"], "publish": ["a:b"], "x": {"y": 1}}
        self.assertEqual(
            self.verified(jwt.encode(claims, SECRET, "HS256")),
            Identity("alice", ("a:*",), ("a:b",), EXPIRES + LEEWAY, "token:7"),
        )

    def test_token_needs_an_exp_only(self) -> None:
        self.assertEqual(self.verified(jwt.encode({"exp": EXPIRES}, SECRET)), Identity(expires=EXPIRES + LEEWAY))

    def test_empty_subject_is_no_user(self) -> None:
        """As in tokens for Centrifugo, of visitors who are not logged in."""
        identity = self.verified(forge({"alg": "HS256"}, {"exp": EXPIRES, "sub": ""}))
        self.assertEqual(identity, Identity(expires=EXPIRES + LEEWAY))

    def test_info_and_server_subscriptions_are_kept_and_meta_is_not(self) -> None:
        claims = {"exp": EXPIRES, "info": {"a": 1}, "subs": {"news": {"data": 2}}, "meta": {"secret": 1}}
        self.assertEqual(
            self.verified(jwt.encode(claims, SECRET)),
            Identity(expires=EXPIRES + LEEWAY, info=b'{"a":1}', subs=(ServerSubscription("news", data=b"2"),)),
        )

    def test_number_is_a_valid_subject(self) -> None:
        self.assertEqual(self.verified(forge({"alg": "HS256"}, {"exp": EXPIRES, "sub": 42})).subject, "42")

    def test_jti_is_the_credential_id_and_one_that_cannot_be_revoked_is_rejected(self) -> None:
        for jti, credential_id in (
            ("x" * MAX_JTI_BYTES, "token:" + "x" * MAX_JTI_BYTES),
            (7, "token:7"),
            (None, None),
        ):
            self.assertEqual(
                self.verified(forge({"alg": "HS256"}, {"exp": EXPIRES, "jti": jti})).credential_id, credential_id
            )
        for odd in ("x" * (MAX_JTI_BYTES + 1), "ä" * 128, "", True, ["7"], "7\ud800"):
            denied = outcome(self.verifier().verify(forge({"alg": "HS256"}, {"exp": EXPIRES, "jti": odd})))
            self.assertIs(denied, ClientError.TOKEN_CLAIMS, repr(odd)[:20])

    def test_every_algorithm_of_the_keys_is_accepted(self) -> None:
        signers: list[tuple[Any, str]] = [(RSA, algorithm) for algorithm in sorted(RSA_ALGORITHMS)]
        signers += [(EC, "ES256"), (ec.generate_private_key(ec.SECP384R1()), "ES384")]
        signers += [(ec.generate_private_key(ec.SECP521R1()), "ES512")]
        signers += [(ec.generate_private_key(ec.SECP256K1()), "ES256K")]
        signers += [(ED, "EdDSA"), (ed448.Ed448PrivateKey.generate(), "EdDSA")]
        for signer, algorithm in signers:
            self.verified(jwt.encode({"exp": EXPIRES}, signer, algorithm), self.verifier(pem(signer.public_key())))
        for algorithm in ("HS256", "HS384", "HS512"):
            self.verified(jwt.encode({"exp": EXPIRES}, SECRET, algorithm))

    def test_any_of_several_keys_is_accepted_with_or_without_a_key_id(self) -> None:
        verifier = self.verifier(pem(OTHER_RSA.public_key()) + pem(RSA.public_key()))
        for headers in (None, {"kid": "a"}, {"kid": "../../dev/null"}):
            self.verified(jwt.encode({"exp": EXPIRES}, RSA, "RS256", headers=headers), verifier)

    def test_longest_token_is_accepted(self) -> None:
        token = forge({"alg": "HS256"}, {"exp": EXPIRES, "x": "y" * 6032})
        self.assertLessEqual(MAX_CREDENTIAL_BYTES - 64, len(token))
        self.verified(token)

    def test_last_of_two_equal_names_counts_for_check_and_key_alike(self) -> None:
        self.verified(forge(b'{"alg":"none","alg":"HS256"}', {"exp": EXPIRES}))
        self.verified(forge({"alg": "HS256"}, b'{"exp":1,"exp":%d}' % EXPIRES))
        self.assert_rejected(forge(b'{"alg":"HS256","alg":"none"}', {}), ClientError.TOKEN, "algorithm not allowed")


class ForgedTests(TokenCase):
    """Tokens that no issuer has signed."""

    def test_token_without_a_signature_is_rejected_in_every_spelling(self) -> None:
        for algorithm in ("none", "None", "NONE", "nOnE", "none ", "", None, 0, ["HS256"], {"HS256": 1}):
            for token in (
                forge({"alg": algorithm}, {"exp": EXPIRES}),
                forge({"alg": algorithm}, {"exp": EXPIRES}).rpartition(".")[0] + ".",
            ):
                self.assert_rejected(token, ClientError.TOKEN, "algorithm not allowed")
        self.assert_rejected(forge({}, {"exp": EXPIRES}), ClientError.TOKEN, "algorithm not allowed")

    def test_public_key_as_an_hmac_secret_is_rejected(self) -> None:
        text = pem(RSA.public_key())
        both = FixedKeys((*read_keys(text), *read_keys(SECRET)))
        for secret in (text, text.strip(), text.replace("\n", ""), "".join(text.splitlines()[1:-1])):
            token = forge({"alg": "HS256"}, {"exp": EXPIRES}, secret.encode())
            self.assert_rejected(token, ClientError.TOKEN, "unknown key", self.verifier(text))
            self.assert_rejected(token, ClientError.TOKEN, "bad signature", self.verifier(both))

    def test_signature_of_another_key_is_rejected(self) -> None:
        token = jwt.encode({"exp": EXPIRES}, OTHER_RSA, "RS256", headers={"kid": "a"})
        self.assert_rejected(token, ClientError.TOKEN, "bad signature", self.verifier(pem(RSA.public_key())))
        self.assert_rejected(forge({"alg": "HS256"}, {"exp": EXPIRES}, b"x" * 64), ClientError.TOKEN, "bad signature")

    def test_signature_of_another_algorithm_than_the_header_names_is_rejected(self) -> None:
        head, _, rest = jwt.encode({"exp": EXPIRES}, RSA, "RS256").partition(".")
        token = f"{encode(base64.urlsafe_b64decode(head + '==').replace(b'RS256', b'PS256'))}.{rest}"
        self.assert_rejected(token, ClientError.TOKEN, "bad signature", self.verifier(pem(RSA.public_key())))

    def test_key_is_not_used_with_an_algorithm_of_another_kind(self) -> None:
        for signer, algorithm in ((ec.generate_private_key(ec.SECP384R1()), "ES384"), (ED, "EdDSA"), (RSA, "RS256")):
            key: Any = signer
            token = jwt.encode({"exp": EXPIRES}, key, algorithm)
            self.assert_rejected(token, ClientError.TOKEN, "unknown key", self.verifier(pem(EC.public_key())))

    def test_algorithm_that_the_operator_does_not_allow_is_rejected(self) -> None:
        algorithms = frozenset({"RS256", "HS384"})
        verifier = self.verifier(algorithms=algorithms)
        self.assert_rejected(
            jwt.encode({"exp": EXPIRES}, SECRET, "HS256"), ClientError.TOKEN, "algorithm not allowed", verifier
        )
        self.verified(jwt.encode({"exp": EXPIRES}, SECRET, "HS384"), verifier)

    def test_algorithm_none_cannot_be_allowed(self) -> None:
        verifier = self.verifier(algorithms=frozenset({"none", "HS256"}))
        self.assert_rejected(forge({"alg": "none"}, {}), ClientError.TOKEN, "algorithm not allowed", verifier)

    def test_key_in_the_header_is_ignored(self) -> None:
        brought = {"jwk": jwk(OTHER_RSA), "x5c": ["AAAA"], "jku": URL, "x5u": URL, "kid": "a"}
        token = jwt.encode({"exp": EXPIRES}, OTHER_RSA, "RS256", headers=brought)
        self.assert_rejected(token, ClientError.TOKEN, "bad signature", self.verifier(pem(RSA.public_key())))
        self.verified(jwt.encode({"exp": EXPIRES}, RSA, "RS256", headers=brought), self.verifier(pem(RSA.public_key())))

    def test_critical_extension_is_rejected(self) -> None:
        for crit, why in ((["exp"], "malformed"), (["b64"], "crit"), ([], "malformed"), (None, "malformed")):
            token = forge({"alg": "HS256", "crit": crit, "b64": True, "exp": 1}, {"exp": EXPIRES})
            self.assert_rejected(token, ClientError.TOKEN, why)

    def test_truncated_extended_padded_or_respelt_signature_is_rejected(self) -> None:
        for signer, algorithm in ((RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")):
            key: Any = signer
            verifier = self.verifier(pem(key.public_key()))
            signed, _, signature = jwt.encode({"exp": EXPIRES}, key, algorithm).rpartition(".")
            raw = base64.urlsafe_b64decode(signature + "==")
            for other in (b"", raw[:-1], raw[1:], raw + b"\0", b"\0" + raw, b"\0" * len(raw), raw[: len(raw) // 2]):
                self.assert_rejected(f"{signed}.{encode(other)}", ClientError.TOKEN, "bad signature", verifier)
            for text in (signature + "=", signature + "==", signature + "!", signature[:-1] + "_", " " + signature):
                self.failureResultOf(verifier.verify(f"{signed}.{text}"), RejectedError)
            self.details.clear()

    def test_malformed_token_is_rejected(self) -> None:
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
            self.assert_rejected(text, ClientError.TOKEN, "malformed")

    def test_unencoded_payload_of_rfc_7797_is_rejected(self) -> None:
        head, _, _ = forge({"alg": "HS256", "b64": False}, {}).split(".")
        signature = encode(hmac.digest(SECRET.encode(), f"{head}.".encode(), hashlib.sha256))
        self.assert_rejected(f"{head}..{signature}", ClientError.TOKEN, "malformed")

    def test_unknown_keys_are_not_checked_and_not_explained(self) -> None:
        failure = self.failureResultOf(self.verifier(UnknownKeys()).verify(jwt.encode({}, SECRET)), RejectedError)
        self.assertEqual((failure.value.client_error, self.details), (ClientError.NOT_CHECKED, []))


class TimeTests(TokenCase):
    """The times in a token."""

    def token(self, **claims: object) -> str:
        """Return a token with these claims, as JSON has them."""
        return forge({"alg": "HS256"}, {"exp": EXPIRES, **claims})

    def test_token_is_valid_until_its_exp_and_the_leeway(self) -> None:
        token = self.token()
        for late in (0, 1, LEEWAY - 0.001):
            self.now = EXPIRES + late
            self.assertEqual(self.verified(token).expires, EXPIRES + LEEWAY)
        for late in (LEEWAY, LEEWAY + 1, 10**9):
            self.now = EXPIRES + late
            self.assert_rejected(token, ClientError.TOKEN_EXPIRED, "expired")

    def test_token_is_valid_from_nbf_and_iat_less_the_leeway(self) -> None:
        for name in ("nbf", "iat"):
            for early in (-(10**9), -1, 0, 1, LEEWAY):
                self.verified(self.token(**{name: NOW + early}))
            for early in (LEEWAY + 1, 50, 10**9):
                self.assert_rejected(self.token(**{name: NOW + early}), ClientError.TOKEN_EXPIRED, "not yet valid")

    def test_expire_at_is_the_end_of_the_connection_and_exp_that_of_the_token(self) -> None:
        for end, expires in (
            (EXPIRES + 500, EXPIRES + 500 + LEEWAY),
            (NOW + 1, NOW + 1 + LEEWAY),
            (0, None),
            (None, EXPIRES + LEEWAY),
        ):
            self.now = NOW
            token = self.token(expire_at=end)
            self.assertEqual(self.verified(token).expires, expires)
            self.now = EXPIRES + LEEWAY
            self.assert_rejected(token, ClientError.TOKEN_EXPIRED, "expired")

    def test_token_whose_connection_would_be_over_is_rejected(self) -> None:
        for end in (NOW - LEEWAY, 1, -1):
            self.assert_rejected(self.token(expire_at=end), ClientError.TOKEN_EXPIRED, "expired")

    def test_times_may_have_fractions(self) -> None:
        """RFC 7519 section 2."""
        self.assertEqual(self.verified(self.token(exp=EXPIRES + 0.5, nbf=NOW - 0.5)).expires, EXPIRES + 0.5 + LEEWAY)

    def test_token_without_exp_is_rejected(self) -> None:
        self.assert_rejected(forge({"alg": "HS256"}, {}), ClientError.TOKEN_CLAIMS, "exp missing")
        self.assert_rejected(self.token(exp=None), ClientError.TOKEN_CLAIMS, "exp missing")

    def test_time_that_is_not_a_finite_number_is_rejected(self) -> None:
        for value in (str(NOW), "", True, [NOW], {"a": NOW}, float("nan"), float("inf"), float("-inf"), 10**400):
            for name in ("exp", "nbf", "iat"):
                why = f"{name} must be a number: seconds since 1970"
                self.assert_rejected(self.token(**{name: value}), ClientError.TOKEN_CLAIMS, why)
        self.assert_rejected(
            forge({"alg": "HS256"}, b'{"exp":1e999}'),
            ClientError.TOKEN_CLAIMS,
            "exp must be a number: seconds since 1970",
        )

    def test_distant_exp_is_accepted_and_null_nbf_and_iat_are_ignored(self) -> None:
        self.assertEqual(self.verified(self.token(exp=10**300, nbf=None, iat=None)).expires, 1e300)


class ClaimTests(TokenCase):
    """Signed tokens with invalid claims."""

    def assert_claims_rejected(self, detail: str, claims: object, verifier: TokenVerifier | None = None) -> None:
        """Assert that a token with these claims is rejected with this explanation."""
        self.assert_rejected(forge({"alg": "HS256"}, claims), ClientError.TOKEN_CLAIMS, detail, verifier)

    def test_audience_must_name_the_relay(self) -> None:
        verifier = self.verifier(audience="relay")
        good: list[object] = ["relay", ["relay"], ["other", "relay"]]
        for aud in good:
            self.verified(forge({"alg": "HS256"}, {"exp": EXPIRES, "aud": aud}), verifier)
        bad: list[object] = ["other", "relay2", "Relay", ["other"], {"relay": 1}, 1, ["relay", 1]]
        for aud in bad:
            self.assert_claims_rejected("aud", {"exp": EXPIRES, "aud": aud}, verifier)
        empty: list[object] = [None, "", []]
        for aud in empty:
            self.assert_claims_rejected("aud missing", {"exp": EXPIRES, "aud": aud}, verifier)
        self.assert_claims_rejected("aud missing", {"exp": EXPIRES}, verifier)

    def test_token_with_an_audience_is_rejected_if_none_is_configured(self) -> None:
        """RFC 7519 section 4.1.3."""
        audiences: list[object] = ["relay", ["relay"], [], "", 0, {}]
        for aud in audiences:
            self.assert_claims_rejected("aud", {"exp": EXPIRES, "aud": aud})

    def test_issuer_is_checked_if_configured(self) -> None:
        verifier = self.verifier(issuer="https://example.org")
        self.verified(forge({"alg": "HS256"}, {"exp": EXPIRES, "iss": "https://example.org"}), verifier)
        for iss in ("https://example.org/", "example.org", "", None, 1, ["https://example.org"]):
            self.assert_claims_rejected("iss", {"exp": EXPIRES, "iss": iss}, verifier)
        self.assert_claims_rejected("iss missing", {"exp": EXPIRES}, verifier)
        self.verified(forge({"alg": "HS256"}, {"exp": EXPIRES, "iss": "anybody"}))

    def test_invalid_claim_is_explained_by_name_without_its_value(self) -> None:
        patterns = "must be a list of channel names, or beginnings of names with * at the end"
        for name, value, why in (
            ("sub", "topsecret" * 40, "sub must be a text of 1 to 255 bytes"),
            ("sub", ["topsecret"], "sub must be a text of 1 to 255 bytes"),
            ("sub", "topsecret\ud800", "sub must be a text of 1 to 255 bytes"),
            ("channels", "topsecret", "channels must be a list of at most 100 channel patterns"),
            ("channels", ["$topsecret"], f"channels {patterns}"),
            ("publish", ["top*secret"], f"publish {patterns}"),
            ("info", "x" * 4095, "info must have at most 4096 bytes as JSON"),
            ("b64info", "topsecret", "b64info must be a text in base64"),
            ("subs", {"$topsecret": {}}, "subs must be an object of channel names"),
            ("expire_at", "topsecret", "expire_at must be a number: seconds since 1970"),
        ):
            self.assert_claims_rejected(why, {"exp": EXPIRES, name: value})

    def test_token_for_one_channel_is_none_for_a_connection(self) -> None:
        """With any other claims, right or wrong."""
        for claims in (
            {"channel": "room"},
            {"channel": ""},
            {"channel": 7},
            {"channel": ["room"], "channels": ["room"]},
            {"channel": "room", "exp": NOW - 100},
        ):
            token = forge({"alg": "HS256"}, {"exp": EXPIRES, "sub": "42", **claims})
            self.assert_rejected(token, ClientError.CHANNEL_TOKEN, "it is for one channel")
        self.verified(forge({"alg": "HS256"}, {"exp": EXPIRES, "channel": None}))

    def test_claims_that_are_no_json_object_are_rejected(self) -> None:
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
            self.assert_claims_rejected("the claims are no JSON object", payload)

    def test_claims_are_ignored_before_the_signature_is_verified(self) -> None:
        for claims in ({}, {"exp": 1}, {"exp": "x"}, {"exp": EXPIRES, "aud": "x"}, b"{"):
            self.assert_rejected(forge({"alg": "HS256"}, claims, b"x" * 64), ClientError.TOKEN, "bad signature")


class RotationTests(TokenCase):
    """Verification with the keys of a provider."""

    def test_token_of_a_removed_key_is_rejected_and_of_a_new_one_accepted_at_once(self) -> None:
        provider: Any = Provider()
        clock: Any = Clock()
        provider.answer = key_set(jwk(RSA, kid="old"))
        keys = RemoteKeys(provider, URL, clock, Random(1))
        keys.start()
        verifier = self.verifier(keys)
        old = jwt.encode({"exp": EXPIRES}, RSA, "RS256", headers={"kid": "old"})
        new = jwt.encode({"exp": EXPIRES}, EC, "ES256", headers={"kid": "new"})
        unnamed = jwt.encode({"exp": EXPIRES}, RSA, "RS256")
        self.verified(old, verifier)
        self.verified(unnamed, verifier)
        self.assert_rejected(new, ClientError.TOKEN, "unknown key", verifier)
        clock.advance(UNKNOWN_KEY_FETCH_SECONDS)
        provider.answer = key_set(jwk(RSA, kid="old"), jwk(EC, kid="new"))
        self.verified(new, verifier)
        provider.answer = key_set(jwk(EC, kid="new"))
        clock.advance(REFRESH_SECONDS)
        self.assert_rejected(old, ClientError.TOKEN, "unknown key", verifier)
        self.assert_rejected(unnamed, ClientError.TOKEN, "unknown key", verifier)
        self.verified(new, verifier)
        # The key ID of another key does not help.
        lying = jwt.encode({"exp": EXPIRES}, RSA, "RS256", headers={"kid": "new"})
        self.assert_rejected(lying, ClientError.TOKEN, "unknown key", verifier)
        keys.stop()


class FuzzTests(TokenCase):
    """Any input is accepted or rejected."""

    def assert_rejected_silently(self, text: str, *rejections: ClientError) -> None:
        """Assert that a token is rejected with one constant explanation, and nothing is logged."""
        events: list[LogEvent] = []
        observe: Any = events.append
        globalLogPublisher.addObserver(observe)
        try:
            failure = self.failureResultOf(self.verifier().verify(text), RejectedError)
        finally:
            globalLogPublisher.removeObserver(observe)
        self.assertIn(failure.value.client_error, rejections)
        self.assertEqual((len(self.details), events), (1, []))
        self.details.clear()

    @given(st.text(st.characters()))
    def test_any_text_is_rejected(self, text: str) -> None:
        self.assert_rejected_silently(text, ClientError.TOKEN)

    @given(st.binary(), st.binary(), st.binary())
    def test_any_three_parts_are_rejected(self, head: bytes, payload: bytes, signature: bytes) -> None:
        self.assert_rejected_silently(".".join(map(encode, (head, payload, signature))), ClientError.TOKEN)

    @given(st.data())
    def test_any_mutation_of_a_token_is_rejected(self, data: st.DataObject) -> None:
        token = jwt.encode({"exp": EXPIRES, "sub": "alice"}, SECRET)
        begin = data.draw(st.integers(0, len(token)))
        end = data.draw(st.integers(begin, min(len(token), begin + 4)))
        piece = data.draw(st.text("ABCxyz019-_.=+/ \n", max_size=4))
        mutated = token[:begin] + piece + token[end:]
        if mutated != token:
            self.assert_rejected_silently(mutated, ClientError.TOKEN)
            self.assert_known_header_changes_nothing(token, mutated)

    def assert_known_header_changes_nothing(self, good: str, text: str) -> None:
        """Assert that a verifier that knows the header of a good token says of another one what a new one says."""
        outcomes = []
        for known in (False, True):
            verifier = self.verifier()
            if known:
                self.assertIsInstance(outcome(verifier.verify(good)), Identity)
                self.assertEqual(len(verifier._headers), 1)
            outcomes.append((outcome(verifier.verify(text)), tuple(self.details)))
            self.details.clear()
        self.assertEqual(*outcomes)

    @given(st.one_of(st.binary(), st.just(b"{}"), st.just(b"[]")), st.one_of(st.none(), st.text("Aa0-_=. ")))
    def test_any_payload_and_signature_behind_a_known_header(self, payload: bytes, signature: str | None) -> None:
        good = forge({"alg": "HS256"}, {"exp": EXPIRES})
        text = forge({"alg": "HS256"}, payload)
        if signature is not None:
            text = f"{text.rpartition('.')[0]}.{signature}"
        self.assert_known_header_changes_nothing(good, text)

    def test_header_is_remembered_of_good_tokens_alone_and_not_without_end(self) -> None:
        verifier = self.verifier()
        outcome(verifier.verify(forge({"alg": "HS256"}, {"exp": EXPIRES}, b"x" * 64)))
        outcome(verifier.verify(forge({"alg": "HS256", "x": "x" * MAX_KNOWN_HEADER_LENGTH}, {"exp": EXPIRES})))
        self.assertEqual(verifier._headers, {})
        for number in range(MAX_KNOWN_HEADERS + 5):
            outcome(verifier.verify(forge({"alg": "HS256", "x": number}, {"exp": EXPIRES})))
            self.assertLessEqual(len(verifier._headers), MAX_KNOWN_HEADERS)

    _JSON = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )

    @given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "b64", "jwk", "x"]), _JSON | st.just("HS256")))
    def test_any_header_with_a_wrong_signature_is_rejected(self, header: dict[str, object]) -> None:
        self.assert_rejected_silently(forge(header, {"exp": EXPIRES}, b"x" * 64), ClientError.TOKEN)

    @given(
        st.dictionaries(
            st.sampled_from(["exp", "nbf", "iat", "aud", "iss", "sub", "jti", "channels", "publish", "x"]), _JSON
        )
    )
    def test_any_signed_claims_are_an_identity_or_rejected(self, claims: dict[str, object]) -> None:
        verifying = self.verifier().verify(forge({"alg": "HS256"}, claims))
        verifying.addErrback(lambda failure: failure.trap(RejectedError))
        self.successResultOf(verifying)
        self.details.clear()
