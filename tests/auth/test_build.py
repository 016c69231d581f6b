"""Tests of `wsrelay.auth.build`."""

from __future__ import annotations

from random import Random
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.auth.outcome import outcome
from wsrelay.auth.build import Authentication
from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.config import Settings
from wsrelay.core.access.identity import ANONYMOUS
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.metrics.counters import Counters

SECRET = "s" * 40
NOW = 1000.0


class AuthenticationTests(SynchronousTestCase):
    """`Authentication`."""

    def make(self, **settings: Any) -> Authentication:
        """Build the authentication of these settings."""
        self.details: list[str] = []
        reactor: Any = MemoryReactorClock()
        store = MemoryCredentialStore(lambda: 0.0)
        return Authentication(
            Settings(**settings), store, reactor, Random(1), Counters(), self.details.append, lambda: NOW
        )

    def authenticate(self, auth: Authentication, token: str) -> Any:
        """Return the identity of a client with a token, or the error with which it is rejected."""
        handshake = Handshake("/ws/room", "192.0.2.7", authorization=f"Bearer {token}")
        credential = auth.authenticator.find(handshake)
        return outcome(auth.authenticator.authenticate(credential, handshake, ["room"], lambda _identity: None))

    def test_default_settings_have_tickets_only_and_nothing_to_stop(self) -> None:
        auth = self.make()
        self.assertFalse(auth.accepts_tokens)
        auth.start()
        self.assertEqual(self.successResultOf(auth.stop()), [])

    def test_tokens_are_verified_as_configured_and_rejections_are_explained(self) -> None:
        auth = self.make(
            token_keys=Secret(SECRET), token_audience="relay", token_issuer="app", token_leeway_seconds=5.0
        )
        self.assertTrue(auth.accepts_tokens)
        claims = {"sub": "42", "aud": "relay", "iss": "app", "exp": NOW - 4}
        self.assertEqual(self.authenticate(auth, jwt.encode(claims, SECRET, "HS256")).subject, "42")
        for change, client_error in (
            ({"aud": "other"}, ClientError.TOKEN_CLAIMS),
            ({"iss": "other"}, ClientError.TOKEN_CLAIMS),
            ({"exp": NOW - 6}, ClientError.TOKEN_EXPIRED),
        ):
            self.assertIs(self.authenticate(auth, jwt.encode({**claims, **change}, SECRET, "HS256")), client_error)
        self.assertTrue(all(each.startswith("a token: ") for each in self.details))
        self.assertEqual(len(self.details), 3)

    def test_subscription_tokens_are_verified_as_configured(self) -> None:
        text = jwt.encode({"channel": "room", "exp": NOW + 60}, SECRET, "HS256")
        for settings, expected in (({"token_keys": Secret(SECRET)}, NOW + 70), ({}, ClientError.TOKEN)):
            auth = self.make(**settings)
            found = outcome(auth.authenticator.authorize_channel_token(text, ANONYMOUS, "room", "c1"))
            self.assertEqual(getattr(found, "expires", found), expected)

    def test_algorithms_can_be_restricted_and_unknown_or_unsuitable_ones_are_config_errors(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        auth = self.make(token_keys=Secret(public), token_algorithms=("RS512",))
        claims = {"exp": NOW + 60}
        self.assertIs(self.authenticate(auth, jwt.encode(claims, key, "RS256")), ClientError.TOKEN)
        self.assertTrue(self.authenticate(auth, jwt.encode(claims, key, "RS512")).is_authenticated)
        for algorithms, problem in (
            (("none",), "is none of"),
            (("HS256",), "names none that token_keys can be used with"),
        ):
            with self.assertRaisesRegex(ConfigError, problem):
                self.make(token_keys=Secret(public), token_algorithms=algorithms)

    def test_previous_keys_verify_tokens_of_before_a_rotation_whatever_their_kind(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        auth = self.make(token_keys=Secret(public), token_previous_keys=Secret(SECRET))
        claims = {"exp": NOW + 60}
        for token in (jwt.encode(claims, key, "RS256"), jwt.encode(claims, SECRET, "HS256")):
            self.assertTrue(self.authenticate(auth, token).is_authenticated)
        self.assertIs(self.authenticate(auth, jwt.encode(claims, "x" * 40, "HS256")), ClientError.TOKEN)

    def test_previous_keys_that_cannot_be_used_are_config_errors_and_not_repeated(self) -> None:
        for more, problem in (
            ({"token_previous_keys": Secret("hunter2")}, "token_previous_keys cannot be used"),
            (
                {"token_previous_keys": Secret(SECRET), "token_algorithms": ("HS512",), "token_keys": Secret("k" * 64)},
                "token_algorithms names none that token_previous_keys can be used with",
            ),
        ):
            settings: dict[str, Any] = {"token_keys": Secret(SECRET), **more}
            with self.assertRaisesRegex(ConfigError, problem) as caught:
                self.make(**settings)
            self.assertNotIn("hunter2", str(caught.exception))

    def test_key_set_is_fetched_between_start_and_stop(self) -> None:
        with self.assertRaisesRegex(ConfigError, "names none that keys from token_jwks_url"):
            self.make(token_jwks_url="https://keys.example/jwks.json", token_algorithms=("HS256",))
        auth = self.make(token_jwks_url="https://keys.example/jwks.json")
        self.assertTrue(auth.accepts_tokens)
        auth.start()
        token = jwt.encode({"exp": NOW + 60}, SECRET, "HS256")
        self.assertIs(self.authenticate(auth, token), ClientError.TOKEN)
        auth.stop()

    def test_hook_is_asked_if_configured(self) -> None:
        self.assertFalse(self.make().authenticator.requires_authentication(Handshake("/ws/room", "")))
        auth = self.make(hook_url="https://app.example/relay", hook_publish=True)
        self.assertTrue(auth.authenticator.requires_authentication(Handshake("/ws/room", "")))
        auth.stop()

    def test_url_that_exposes_credentials_is_a_config_error(self) -> None:
        for settings in (
            {"hook_url": "http://app.example/"},
            {"hook_url": "https://user:hunter2@app.example/"},
            {"token_jwks_url": "file:///etc/passwd"},
        ):
            with self.assertRaises(ConfigError) as caught:
                self.make(**settings)
            self.assertNotIn("hunter2", str(caught.exception))
            self.assertIn(next(iter(settings)), str(caught.exception))
