"""Tests of `wsrelay.app.reloading`: secrets are rotated without a restart, and nobody is disconnected."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

import jwt
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from tests.auth.outcome import outcome
from wsrelay.app.build import build_relay
from wsrelay.app.reloading import SecretReloader, secret_users
from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.pubsub_listener import NullListener
from wsrelay.config import Settings
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.identity import Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.testing.brokers import FakeBroker

OLD, NEW = "o" * 40, "n" * 40


class ReloadTests(SynchronousTestCase):
    """`SecretReloader`."""

    def setUp(self) -> None:
        self.settings = Settings(
            redis_url=RedisURL.parse(f"redis://:{OLD}@old"),
            api_keys=(Secret(OLD),),
            token_keys=Secret(OLD),
            hook_url="https://app.example/hook",
            hook_secret=Secret(OLD),
        )
        self.found = self.settings
        clock: Any = Clock()
        broker: Any = FakeBroker()
        self.hooked = build_relay(self.settings, broker, clock, Random(1))
        # Its answers come at once, without a request to the hook.
        without_hook = dataclasses.replace(self.settings, hook_url=None)
        self.relay = build_relay(without_hook, broker, clock, Random(1))
        self.broken = ""
        assert self.settings.redis_url is not None
        self.address = RedisAddress(self.settings.redis_url, self.make_endpoint)
        users = [
            lambda found: self.address.prepare(found.redis_url or self.address.url),
            *secret_users(self.relay),
            *secret_users(self.hooked),
        ]
        self.reloader = SecretReloader(self.settings, self.read, users)

    def make_endpoint(self, _url: RedisURL) -> Any:
        if self.broken:
            raise ConfigError(self.broken)
        return object()

    def read(self) -> Settings:
        return self.found

    def reload(self, **changes: Any) -> list[str]:
        """Read other settings, and return the lines of the log."""
        self.found = dataclasses.replace(self.found, **changes)
        with capturedLogs() as events:
            self.reloader.reload()
        return [formatEvent(event) or "" for event in events]

    def accepts(self, key: str) -> bool:
        """Return whether an API key opens the API."""
        request: Any = DummyRequest([])
        request.requestHeaders.setRawHeaders(b"authorization", [f"Bearer {key}"])
        assert self.relay.api_keys is not None
        return self.relay.api_keys.accepts(request)

    def verifies(self, key: str) -> bool:
        """Return whether a token that is signed with a key is verified."""
        token = jwt.encode({"sub": "42", "exp": 60}, key, "HS256")
        credential = Credential(CredentialKind.TOKEN, Secret(token))
        handshake = Handshake("/ws/room", "192.0.2.7")
        answer = self.relay.authentication.authenticator.authenticate(credential, handshake, [], lambda _identity: None)
        return isinstance(outcome(answer), Identity)

    def hook_secret(self) -> str:
        """Return the secret that the hook gets."""
        hook: Any = self.hooked.authentication.authenticator
        secret: Secret = hook._hook._client.secret
        return secret.reveal()

    def test_every_secret_is_replaced(self) -> None:
        self.assertEqual((self.accepts(OLD), self.accepts(NEW)), (True, False))
        self.assertEqual((self.verifies(OLD), self.verifies(NEW)), (True, False))
        lines = self.reload(
            redis_url=RedisURL.parse(f"redis://:{NEW}@new"),
            api_keys=(Secret(NEW),),
            token_keys=Secret(NEW),
            hook_secret=Secret(NEW),
        )
        self.assertEqual(lines, ["read again: redis_url, token_keys, hook_secret, api_keys"])
        self.assertEqual((self.accepts(OLD), self.accepts(NEW)), (False, True))
        self.assertEqual((self.verifies(OLD), self.verifies(NEW)), (False, True))
        self.assertEqual(self.hook_secret(), NEW)
        self.assertEqual((str(self.address), self.address.url.password), ("redis://new:6379", NEW))

    def test_previous_keys_come_with_a_rotation_and_go(self) -> None:
        lines = self.reload(token_keys=Secret(NEW), token_previous_keys=Secret(OLD))
        self.assertEqual(lines, ["read again: token_keys, token_previous_keys"])
        self.assertEqual((self.verifies(OLD), self.verifies(NEW)), (True, True))
        self.assertEqual(self.reload(token_previous_keys=None), ["read again: token_previous_keys"])
        self.assertEqual((self.verifies(OLD), self.verifies(NEW)), (False, True))
        [line] = self.reload(token_previous_keys=Secret("short"))
        self.assertTrue(line.startswith("settings not read again, those in use stay: token_previous_keys cannot"), line)

    def test_nothing_changes_if_any_of_them_cannot_be_used(self) -> None:
        """All are checked before one is used."""
        lines = self.reload(api_keys=(Secret(NEW),), token_keys=Secret("short"))
        [line] = lines
        self.assertTrue(line.startswith("settings not read again, those in use stay: token_keys cannot be used"), line)
        self.assertEqual((self.accepts(OLD), self.verifies(OLD)), (True, True))
        self.broken = "redis_tls_ca_file: x cannot be read"
        lines = self.reload(token_keys=Secret(NEW), redis_url=RedisURL.parse("redis://new"))
        self.assertEqual(lines, [f"settings not read again, those in use stay: {self.broken}"])
        self.assertEqual((str(self.address), self.verifies(OLD)), ("redis://old:6379", True))

    def test_sources_that_cannot_be_read_change_nothing(self) -> None:
        def fail() -> Settings:
            raise ConfigError("the file that WSRELAY_API_KEYS_FILE names cannot be read")

        self.reloader = SecretReloader(self.settings, fail, secret_users(self.relay))
        [line] = self.reload()
        self.assertIn("WSRELAY_API_KEYS_FILE", line)
        self.assertTrue(self.accepts(OLD))

    def test_other_settings_and_secrets_that_come_or_go_need_a_restart(self) -> None:
        lines = self.reload(api_keys=(), prefix="other:", hook_secret=Secret(NEW))
        self.assertEqual(
            lines,
            ["read again: hook_secret", "prefix, api_keys: changed, and used only after a restart"],
        )
        self.assertTrue(self.accepts(OLD))

    def test_unchanged_settings_are_told_as_such(self) -> None:
        self.assertEqual(self.reload(), ["read again: no setting has changed"])

    def test_process_without_secrets_has_nothing_to_replace(self) -> None:
        broker: Any = FakeBroker()
        clock: Any = Clock()
        self.settings = self.found = Settings()
        relay = build_relay(self.settings, broker, clock, Random(1))
        self.reloader = SecretReloader(self.settings, self.read, secret_users(relay))
        self.assertEqual(self.reload(), ["read again: no setting has changed"])
        self.assertIsNone(relay.api_keys)


class AddressTests(SynchronousTestCase):
    """`RedisAddress`, whose files may be broken when a connection is made."""

    def test_connection_gets_the_url_that_it_was_made_with_though_another_is_set_meanwhile(self) -> None:
        connecting: Deferred[Any] = Deferred()
        endpoint: Any = type("Endpoint", (), {"connect": lambda _self, _factory: connecting})()
        address = RedisAddress(RedisURL.parse("redis://:old@h"), lambda _url: endpoint)
        factory: Any = None
        connected = address.connect(factory)
        address.prepare(RedisURL.parse("redis://:new@h"))()
        connection: Any = RedisConnection(NullListener(), lambda _connection: None)
        connecting.callback(connection)
        self.assertEqual(self.successResultOf(connected).url, RedisURL.parse("redis://:old@h"))
        self.assertEqual(address.url, RedisURL.parse("redis://:new@h"))

    def test_broken_file_leaves_the_last_endpoint_in_use_and_is_logged_once(self) -> None:
        made: list[Any] = []
        errors = ["", "broken", "broken", "other", ""]

        class Endpoint:
            """An endpoint that connects to itself."""

            def connect(self, _factory: object) -> Deferred[Any]:
                result: Deferred[Any] = Deferred()
                result.callback(self)
                return result

        def make(_url: RedisURL) -> Any:
            if errors and (text := errors.pop(0)):
                raise ConfigError(text)
            made.append(Endpoint())
            return made[-1]

        address = RedisAddress(RedisURL.parse("redis://h"), make)
        factory: Any = None
        with capturedLogs() as events:
            used = [self.successResultOf(address.connect(factory)) for _ in range(4)]
        self.assertEqual(used, [made[0], made[0], made[0], made[1]])
        self.assertEqual([event["reason"] for event in events], ["broken", "other"])
