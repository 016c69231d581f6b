"""Who is let in, with real processes, a real Redis, and an application that knows HTTP and plain commands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from devtools.harness.redis_server import RedisServer, require_redis
from devtools.harness.relay import Relay

DEADLINE = 15.0
KEY = "k" * 40


def knock(url: str, **options: Any) -> int:
    """The status that a handshake is answered with."""
    try:
        with connect(url, open_timeout=DEADLINE, **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def bearer(**claims: Any) -> dict[str, Any]:
    """What a client with a token says."""
    token = jwt.encode({"exp": time.time() + 60, **claims}, KEY, "HS256")
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


def goodbye(socket: ClientConnection) -> int:
    """The code that a connection is closed with."""
    try:
        socket.recv(DEADLINE)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 1006
    raise AssertionError("it was not closed")


class Application:
    """An HTTP server of the application's, on a port of loopback, in a thread.

    Args:
        answer: Gives status and document for the document of a request, None for a GET.

    Attributes:
        url: Where it is.
        asked: The documents that came.
    """

    def __init__(self, answer: Callable[[Any], tuple[int, Any]]) -> None:
        self.asked: list[Any] = []
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                application.asked.append({**question, "authorization": self.headers["Authorization"]})
                self.reply(*answer(question))

            def do_GET(self) -> None:
                self.reply(*answer(None))

            def reply(self, status: int, document: Any) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


class AccessCase(SynchronousTestCase):
    """Relays that end with their test."""

    def relay(self, *flags: str, **env: str) -> Relay:
        """A relay that runs."""
        relay = Relay(*flags, env=env)
        self.addCleanup(relay.__exit__, None, None, None)
        return relay.__enter__()

    def application(self, answer: Callable[[Any], tuple[int, Any]]) -> Application:
        """An application that runs."""
        application = Application(answer)
        self.addCleanup(application.close)
        return application


class RedisAccessTests(AccessCase):
    """What a backend does with one plain command counts for all processes."""

    def setUp(self) -> None:
        require_redis()
        self.redis = RedisServer().start()
        self.addCleanup(self.redis.close)
        flags = ("--channels", "room:*,user:{sub}", "--access", "token")
        env = {"REDIS_URL": self.redis.url, "WSRELAY_TOKEN_KEYS": KEY}
        self.relays = [self.relay(*flags, **env) for _ in range(2)]

    def test_ticket(self) -> None:
        """A ticket that a backend has SET is good once, at whichever process it is shown first."""
        with self.redis.client() as client:
            document = json.dumps({"sub": "42", "channels": ["room:1"], "ip": "127.0.0.1"})
            self.assertTrue(client.set("wsrelay:ticket:0123456789abcdef", document, ex=30, nx=True))
        self.assertEqual(knock(self.relays[0].ws("room:1?ticket=0123456789abcdef")), 101)
        self.assertEqual(knock(self.relays[1].ws("room:1?ticket=0123456789abcdef")), 401)

    def test_disconnect(self) -> None:
        """A PUBLISH disconnects a user from every process, a key keeps the token from coming back, others stay."""
        user = bearer(sub="42", channels=["room:*"])
        sockets = [connect(relay.ws("room:1"), open_timeout=DEADLINE, **user) for relay in self.relays]
        other = connect(self.relays[0].ws("room:1"), open_timeout=DEADLINE, **bearer(sub="43", channels=["room:*"]))
        with self.redis.client() as client:
            client.set("wsrelay:revoked:user:42", 1, ex=60)
            client.publish("wsrelay:$control", json.dumps({"disconnect": {"user": "42"}}))
            self.assertEqual([goodbye(socket) for socket in sockets], [4505, 4505])
            self.assertEqual([knock(relay.ws("room:1"), **user) for relay in self.relays], [401, 401])
            client.publish("wsrelay:room:1", "still here")
        self.assertEqual(other.recv(DEADLINE), "still here")
        other.close()


class NarrowAccessTests(AccessCase):
    """A user of Redis that may do no more than the documents say."""

    def test_acl(self) -> None:
        """With the line of docs/security.md everything works, and Redis has nothing to complain about."""
        require_redis()
        page = Path(__file__).parents[2] / "docs" / "security.md"
        (line,) = [line for line in page.read_text().splitlines() if line.startswith("ACL SETUSER wsrelay ")]
        with RedisServer() as redis, redis.client() as client:
            client.execute_command(*line.replace(">password", ">pw").split())
            url = redis.url.replace("//", "//wsrelay:pw@")
            relay = self.relay("--access", "authenticated", REDIS_URL=url)
            client.set("wsrelay:ticket:0123456789abcdef", '{"sub": "42"}', ex=30)
            with connect(relay.ws("chat?ticket=0123456789abcdef"), open_timeout=DEADLINE) as socket:
                client.publish("wsrelay:chat", "hello")
                self.assertEqual(socket.recv(DEADLINE), "hello")
                client.publish("wsrelay:$control", '{"disconnect": {"ticket": "0123456789abcdef"}}')
                self.assertEqual(goodbye(socket), 4505)
            self.assertEqual(client.execute_command("ACL", "LOG"), [])


class ApplicationAccessTests(AccessCase):
    """The application is asked over HTTP."""

    def test_hook(self) -> None:
        """The application's own session decides who a client is, and what it may say."""

        def answer(question: Any) -> tuple[int, Any]:
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

        self.assertEqual(knock(relay.ws("user:42"), **cookie("bad")), 401)
        self.assertEqual(knock(relay.ws("user:43"), **cookie("good")), 403)
        with connect(relay.ws("user:42"), open_timeout=DEADLINE, **cookie("good")) as socket:
            socket.send("polite")
            self.assertEqual(socket.recv(DEADLINE), "polite")
            socket.send("rude")
            self.assertEqual(goodbye(socket), 4503)
        first = application.asked[0]
        self.assertEqual(first["authorization"], "Bearer between-us")
        self.assertEqual((first["address"], first["channels"]), ("127.0.0.1", ["user:42"]))
        self.assertNotIn("session=good", relay.log())

    def test_hook_away(self) -> None:
        """Without an answer nobody comes in."""
        application = self.application(lambda _question: (500, {}))
        relay = self.relay("--hook-url", application.url)
        self.assertEqual(knock(relay.ws("chat")), 503)

    def test_key_set(self) -> None:
        """Tokens are checked with the keys that the provider publishes, and with no others."""
        keys = {name: rsa.generate_private_key(65537, 2048) for name in ("published", "other")}

        def key_set(_question: Any) -> tuple[int, Any]:
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

        self.assertEqual(knock(relay.ws("chat"), **token("published")), 101)
        self.assertEqual(knock(relay.ws("chat"), **token("published", aud="other")), 401)
        self.assertEqual(knock(relay.ws("chat")), 401)
        self.assertNotEqual(knock(relay.ws("chat"), **token("other")), 101)
        self.assertNotIn("eyJ", relay.log())
