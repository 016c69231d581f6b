"""Tests of `wsrelay.commands.websockets` and `wsrelay.commands.redis`, on a real server."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from devtools.harness.ports import free_port
from devtools.harness.redis_server import RedisServer, require_redis
from wsrelay.commands.errors import CommandError
from wsrelay.commands.redis import Sender, use_redis
from wsrelay.commands.settings import load_settings
from wsrelay.commands.websockets import clear_switch, set_switch
from wsrelay.config import Settings
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.messaging.switch import read_switch_state

KEY = "myapp:disabled"


class SwitchOnRedisTests(TestCase):
    """The work of the commands. They themselves are run in tests.integration.test_switch."""

    def setUp(self) -> None:
        """Start a server with a password."""
        require_redis()
        self.server = RedisServer("--requirepass", "sesame").start()
        self.addCleanup(self.server.close)
        self.redis: Any = self.enterContext(self.server.client(password="sesame"))
        self.redis.ping()

    def settings(self, password: str = "sesame", port: int = 0) -> Settings:
        """Return settings with this server."""
        url = RedisURL.parse(f"redis://:{password}@127.0.0.1:{port or self.server.port}")
        return Settings(redis_url=url, broker="redis", prefix="myapp:")

    async def use(self, work: Any, settings: Settings | None = None) -> Any:
        """Do some work, as a command does."""
        return await use_redis(reactor, settings or self.settings(), work)

    async def problem_of(self, work: Any, settings: Settings | None = None) -> str:
        """Return the error of some work."""
        try:
            await self.use(work, settings)
        except CommandError as error:
            return str(error)
        raise AssertionError("it did not fail")

    async def test_switch_is_set_and_cleared_and_running_processes_are_told(self) -> None:
        with self.redis.pubsub() as process:
            process.subscribe("myapp:$control")
            process.get_message(timeout=20)
            await self.use(lambda send: set_switch("myapp:", send, b"back at 14:00"))
            self.assertEqual(read_switch_state(self.redis.get(KEY)).explanation, "back at 14:00")
            await self.use(lambda send: clear_switch("myapp:", send))
            self.assertIsNone(self.redis.get(KEY))
            for _ in range(3):
                self.assertEqual(process.get_message(timeout=20)["data"], b'{"switch":{}}')

    async def test_name_that_no_process_has_fails_unless_it_is_forced(self) -> None:
        text = await self.problem_of(lambda send: set_switch("myapp:", send, b"1"))
        self.assertIn(
            "No process of a relay with the prefix 'myapp:' is connected to this Redis.\nCheck the name", text
        )
        self.assertIsNone(self.redis.get(KEY))
        await self.use(lambda send: set_switch("myapp:", send, b"1", force=True))
        self.assertEqual(self.redis.get(KEY), b"1")
        await self.use(lambda send: clear_switch("myapp:", send))
        self.assertIn("No process", await self.problem_of(lambda send: clear_switch("myapp:", send)))
        await self.use(lambda send: clear_switch("myapp:", send, force=True))

    async def test_redis_that_cannot_be_reached_or_rejects_the_password_fails_without_showing_it(self) -> None:
        for settings, expected in (
            (self.settings(port=free_port()), "it refuses the connection"),
            (self.settings("a-wrong-one"), "it rejects the user name or the password (WRONGPASS)"),
        ):
            text = await self.problem_of(_never, settings)
            address = f"redis://127.0.0.1:{settings.redis_url.port if settings.redis_url else 0}"
            self.assertEqual(text.splitlines()[0], f"Redis at {address} cannot be used: {expected}.")
            self.assertNotIn("a-wrong-one", text)

    async def test_user_who_may_not_do_it_is_told_where_the_permissions_are(self) -> None:
        self.redis.execute_command("ACL", "SETUSER", "default", "-set")
        text = await self.problem_of(lambda send: set_switch("myapp:", send, b"secret-text", force=True))
        self.assertIn("did not do it: the ACL user may not do what the relay needs (NOPERM)", text)
        self.assertIn("docs/security.md", text)

    async def test_redis_that_does_not_answer_fails_in_time(self) -> None:
        self.patch(__import__("wsrelay.commands.redis", fromlist=["x"]), "TIMEOUT_SECONDS", 0.5)

        async def wait(_send: Sender) -> None:
            await Deferred()

        self.assertIn("does not answer", await self.problem_of(wait))

    def test_options_are_those_of_the_relay(self) -> None:
        self.patch(os, "environ", {"REDIS_URL": "redis://localhost"})
        self.assertEqual(str(load_settings("x", {}).redis_url), "redis://localhost:6379")


async def _never(_send: Sender) -> None:
    raise AssertionError("it was connected")
