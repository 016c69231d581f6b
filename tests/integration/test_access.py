"""Authentication and authorization with real processes, a real Redis, and an application reached over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from devtools.harness.redis_server import RedisServer, require_redis
from devtools.harness.relay import Relay
from devtools.harness.stub_application import Request, ThreadedStubApplication
from tests.support.polling import DEADLINE_SECONDS

KEY = "k" * 40


def handshake(url: str, **options: Any) -> int:
    """Try a handshake and return the status of the response."""
    try:
        with connect(url, open_timeout=DEADLINE_SECONDS, **options):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def bearer(**claims: Any) -> dict[str, Any]:
    """Return the options of a client with a token."""
    token = jwt.encode({"exp": time.time() + 60, **claims}, KEY, "HS256")
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


def close_code(socket: ClientConnection) -> int:
    """Wait for the close of a connection and return its code."""
    try:
        socket.recv(DEADLINE_SECONDS)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 1006
    raise AssertionError("it was not closed")


class AccessCase(SynchronousTestCase):
    """Relays and applications that end with their test."""

    def relay(self, *flags: str, **env: str) -> Relay:
        """Return a running relay."""
        return self.enterContext(Relay(*flags, env=env))

    def application(self, answer: Callable[[Request], tuple[int, Any]]) -> ThreadedStubApplication:
        """Return a running application."""
        application = ThreadedStubApplication(answer)
        self.addCleanup(application.close)
        return application


class RedisAccessTests(AccessCase):
    """One plain Redis command of a backend takes effect in all processes."""

    def setUp(self) -> None:
        require_redis()
        self.redis = RedisServer().start()
        self.addCleanup(self.redis.close)
        flags = ("--channels", "room:*,user:{sub}", "--access", "token")
        env = {"REDIS_URL": self.redis.url, "WSRELAY_TOKEN_KEYS": KEY}
        self.relays = [self.relay(*flags, **env) for _ in range(2)]

    def test_ticket_is_accepted_once_over_all_processes(self) -> None:
        with self.redis.client() as client:
            document = json.dumps({"sub": "42", "channels": ["room:1"], "ip": "127.0.0.1"})
            self.assertTrue(client.set("wsrelay:ticket:0123456789abcdef", document, ex=30, nx=True))
        self.assertEqual(handshake(self.relays[0].ws("room:1?ticket=0123456789abcdef")), 101)
        self.assertEqual(handshake(self.relays[1].ws("room:1?ticket=0123456789abcdef")), 401)

    def test_published_disconnect_and_revocation_key_end_a_user_in_every_process(self) -> None:
        """Other users stay connected."""
        user = bearer(sub="42", channels=["room:*"])
        sockets = [connect(relay.ws("room:1"), open_timeout=DEADLINE_SECONDS, **user) for relay in self.relays]
        other = connect(
            self.relays[0].ws("room:1"), open_timeout=DEADLINE_SECONDS, **bearer(sub="43", channels=["room:*"])
        )
        with self.redis.client() as client:
            client.set("wsrelay:revoked:user:42", 1, ex=60)
            client.publish("wsrelay:$control", json.dumps({"disconnect": {"user": "42"}}))
            self.assertEqual([close_code(socket) for socket in sockets], [4505, 4505])
            self.assertEqual([handshake(relay.ws("room:1"), **user) for relay in self.relays], [401, 401])
            client.publish("wsrelay:room:1", "still here")
        self.assertEqual(other.recv(DEADLINE_SECONDS), "still here")
        other.close()


class RedisACLTests(AccessCase):
    """A Redis user with the permissions of docs/security.md."""

    def test_documented_acl_permits_everything_that_the_relay_needs(self) -> None:
        """The ACL log of Redis stays empty."""
        require_redis()
        page = Path(__file__).parents[2] / "docs" / "security.md"
        (line,) = [line for line in page.read_text().splitlines() if line.startswith("ACL SETUSER wsrelay on ")]
        with RedisServer() as redis, redis.client() as client:
            client.execute_command(*line.replace(">password", ">pw").split())
            url = redis.url.replace("//", "//wsrelay:pw@")
            relay = self.relay("--access", "authenticated", REDIS_URL=url)
            client.set("wsrelay:ticket:0123456789abcdef", '{"sub": "42"}', ex=30)
            with connect(relay.ws("chat?ticket=0123456789abcdef"), open_timeout=DEADLINE_SECONDS) as socket:
                client.publish("wsrelay:chat", "hello")
                self.assertEqual(socket.recv(DEADLINE_SECONDS), "hello")
                client.publish("wsrelay:$control", '{"disconnect": {"ticket": "0123456789abcdef"}}')
                self.assertEqual(close_code(socket), 4505)
            self.assertEqual(client.execute_command("ACL", "LOG"), [])


class ApplicationAccessTests(AccessCase):
    """Authentication by an application over HTTP."""

    def test_hook_authenticates_by_session_and_authorizes_messages(self) -> None:
        def answer(request: Request) -> tuple[int, Any]:
            question = request.json()
            if question["event"] == "publish":
                return (204, None) if question["text"] == "polite" else (403, None)
            session = question["headers"].get("cookie")
            return (200, {"sub": "42", "publish": ["user:*"]}) if session == "session=good" else (401, {})

        application = self.application(answer)
        relay = self.relay(
            *("--channels", "user:{sub}", "--publish", "user:{sub}", "--hook-publish", "true"),
            *("--hook-url", application.url),
            WSRELAY_HOOK_SECRET="between-us",
        )

        def cookie(session: str) -> Any:
            return {"additional_headers": {"Cookie": f"session={session}"}, "origin": relay.url}

        self.assertEqual(handshake(relay.ws("user:42"), **cookie("bad")), 401)
        self.assertEqual(handshake(relay.ws("user:43"), **cookie("good")), 403)
        with connect(relay.ws("user:42"), open_timeout=DEADLINE_SECONDS, **cookie("good")) as socket:
            socket.send("polite")
            self.assertEqual(socket.recv(DEADLINE_SECONDS), "polite")
            socket.send("rude")
            self.assertEqual(close_code(socket), 4503)
        self.assertEqual(application.requests[0].headers["authorization"], "Bearer between-us")
        first = application.requests[0].json()
        self.assertEqual((first["address"], first["channels"]), ("127.0.0.1", ["user:42"]))
        self.assertNotIn("session=good", relay.log())

    def test_client_is_rejected_with_503_if_the_hook_fails(self) -> None:
        application = self.application(lambda _request: (500, {}))
        relay = self.relay("--hook-url", application.url)
        self.assertEqual(handshake(relay.ws("chat")), 503)

    def test_token_is_verified_with_published_keys_only(self) -> None:
        keys = {name: rsa.generate_private_key(65537, 2048) for name in ("published", "other")}

        def key_set(_request: Request) -> tuple[int, Any]:
            to_jwk = jwt.algorithms.RSAAlgorithm.to_jwk
            found = [{**to_jwk(keys[name].public_key(), as_dict=True), "kid": name} for name in ("published",)]
            return 200, {"keys": found}

        relay = self.relay(
            *("--access", "authenticated", "--token-audience", "relay"),
            *("--token-jwks-url", self.application(key_set).url),
        )

        def token(name: str, **claims: Any) -> Any:
            claims = {"exp": time.time() + 60, "aud": "relay", "sub": "42", **claims}
            signed = jwt.encode(claims, keys[name], "RS256", headers={"kid": name})
            return {"subprotocols": ["wsrelay", f"wsrelay.token.{signed}"]}

        self.assertEqual(handshake(relay.ws("chat"), **token("published")), 101)
        self.assertEqual(handshake(relay.ws("chat"), **token("published", aud="other")), 401)
        self.assertEqual(handshake(relay.ws("chat")), 401)
        self.assertNotEqual(handshake(relay.ws("chat"), **token("other")), 101)
        self.assertNotIn("eyJ", relay.log())
