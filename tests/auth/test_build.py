"""Tests of `wsrelay.auth.build`: what settings amount to."""

from __future__ import annotations

from random import Random
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.auth.outcome import outcome
from wsrelay.auth.build import Auth
from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.config import Settings
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.metrics.counters import Counters

SECRET = "s" * 40
NOW = 1000.0


class AuthTests(SynchronousTestCase):
    """From settings to an authenticator."""

    def make(self, **settings: Any) -> Auth:
        """What these settings amount to."""
        self.explained: list[str] = []
        reactor: Any = MemoryReactorClock()
        store = MemoryCredentialStore(lambda: 0.0)
        return Auth(Settings(**settings), store, reactor, Random(1), Counters(), self.explained.append, lambda: NOW)

    def who(self, auth: Auth, token: str) -> Any:
        """Who comes with a token, or why nobody."""
        handshake = Handshake("/ws/room", "192.0.2.7", authorization=f"Bearer {token}")
        credential = auth.authenticator.find(handshake)
        return outcome(auth.authenticator.authenticate(credential, handshake, ["room"], lambda _identity: None))

    def test_nothing(self) -> None:
        """With nothing said there are tickets and nothing else, and nothing to stop."""
        auth = self.make()
        self.assertFalse(auth.has_credentials)
        auth.start()
        self.assertEqual(self.successResultOf(auth.stop()), [])

    def test_tokens(self) -> None:
        """Keys, audience, issuer and leeway are those of the settings, and why a token is not good is told."""
        auth = self.make(
            token_keys=Secret(SECRET), token_audience="relay", token_issuer="app", token_leeway_seconds=5.0
        )
        self.assertTrue(auth.has_credentials)
        claims = {"sub": "42", "aud": "relay", "iss": "app", "exp": NOW - 4}
        self.assertEqual(self.who(auth, jwt.encode(claims, SECRET, "HS256")).subject, "42")
        for change, client_error in (
            ({"aud": "other"}, ClientError.TOKEN_CLAIMS),
            ({"iss": "other"}, ClientError.TOKEN_CLAIMS),
            ({"exp": NOW - 6}, ClientError.TOKEN_EXPIRED),
        ):
            self.assertIs(self.who(auth, jwt.encode({**claims, **change}, SECRET, "HS256")), client_error)
        self.assertTrue(all(each.startswith("a token: ") for each in self.explained))
        self.assertEqual(len(self.explained), 3)

    def test_algorithms(self) -> None:
        """Algorithms may be fewer than suit the keys; such as do not exist or do not suit are told at the start."""
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        auth = self.make(token_keys=Secret(public), token_algorithms=("RS512",))
        claims = {"exp": NOW + 60}
        self.assertIs(self.who(auth, jwt.encode(claims, key, "RS256")), ClientError.TOKEN)
        self.assertTrue(self.who(auth, jwt.encode(claims, key, "RS512")).is_authenticated)
        for algorithms, said in (
            (("none",), "is none of"),
            (("HS256",), "names none that token_keys can be used with"),
        ):
            with self.assertRaisesRegex(ConfigError, said):
                self.make(token_keys=Secret(public), token_algorithms=algorithms)

    def test_remote_keys(self) -> None:
        """Keys from elsewhere are fetched from the start on, and until the stop."""
        with self.assertRaisesRegex(ConfigError, "names none that keys from token_jwks_url"):
            self.make(token_jwks_url="https://keys.example/jwks.json", token_algorithms=("HS256",))
        auth = self.make(token_jwks_url="https://keys.example/jwks.json")
        self.assertTrue(auth.has_credentials)
        auth.start()
        token = jwt.encode({"exp": NOW + 60}, SECRET, "HS256")
        self.assertIs(self.who(auth, token), ClientError.TOKEN)
        auth.stop()

    def test_hook(self) -> None:
        """The application is asked where it has a hook."""
        self.assertFalse(self.make().authenticator.requires_authentication(Handshake("/ws/room", "")))
        auth = self.make(hook_url="https://app.example/relay", hook_publish=True)
        self.assertTrue(auth.authenticator.requires_authentication(Handshake("/ws/room", "")))
        auth.stop()

    def test_mistakes(self) -> None:
        """URLs that would send credentials in the clear, or hold some, are told at the start."""
        for settings in (
            {"hook_url": "http://app.example/"},
            {"hook_url": "https://user:hunter2@app.example/"},
            {"token_jwks_url": "file:///etc/passwd"},
        ):
            with self.assertRaises(ConfigError) as caught:
                self.make(**settings)
            self.assertNotIn("hunter2", str(caught.exception))
            self.assertIn(next(iter(settings)), str(caught.exception))
