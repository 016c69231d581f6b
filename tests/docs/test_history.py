"""The commands and examples of docs/history.md, and the Redis user that docs/security.md gives a relay with history."""

from __future__ import annotations

from devtools.harness.relay import Relay
from tests.docs.blocks import code_block, substitute
from tests.docs.test_commands import CommandCase, socket_to
from tests.support.polling import DEADLINE_SECONDS
from wsrelay.config import load

PAGE = "docs/history.md"


class HistoryPageTests(CommandCase):
    """docs/history.md."""

    def messages(self, relay: Relay, count: int, channel: str = "chat") -> list[str | bytes]:
        """Return the newest messages that a channel keeps."""
        with socket_to(relay.ws(f"{channel}?history={count}")) as client:
            return [client.recv(DEADLINE_SECONDS) for _ in range(count)]

    def test_history_is_switched_on_for_all_channels_or_a_namespace(self) -> None:
        self.start(code_block(PAGE, "sh", "--history-size 1000"))
        publish, add = code_block(PAGE, "sh", "# for keeps").splitlines()
        with socket_to(self.ws("news")) as client:
            self.shell.run(publish)
            self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")
        self.shell.run(add)
        with socket_to(self.ws("chat?history=5")) as client:
            self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")
        file = self.folder / "wsrelay.toml"
        file.write_text(code_block(PAGE, "toml", "[namespaces.rooms]"))
        namespaces = load({}, {"WSRELAY_CONFIG": str(file)}).build_namespaces()
        rules = [namespaces.rule(channel) for channel in ("room:1", "news")]
        self.assertEqual([rule is not None and rule.has_history for rule in rules], [True, False])

    def test_publishers_in_shell_and_python_add_what_is_received(self) -> None:
        relay = self.start_with("--channels", "chat", "--history-size", "1000")
        self.shell.run(code_block(PAGE, "sh", "# for keeps").splitlines()[1])
        self.shell.run(code_block(PAGE, "sh", "data 'hello'\n"))
        with self.redis.client() as client:
            exec(code_block(PAGE, "python", "redis.xadd"), {"redis": client})
        self.assertEqual(self.messages(relay, 3), ["hello"] * 3)

    def test_emptied_channel_goes_on(self) -> None:
        relay = self.start_with("--channels", "chat", "--history-size", "1000")
        add = code_block(PAGE, "sh", "# for keeps").splitlines()[1]
        self.shell.run(add)
        self.assertEqual(self.messages(relay, 1), ["hello"])
        with socket_to(relay.ws("chat")) as client:
            self.shell.run(code_block(PAGE, "sh", "XTRIM"))
            self.shell.run(substitute(add, {"'hello'": "'again'"}))
            self.assertEqual(client.recv(DEADLINE_SECONDS), "again")
        self.assertEqual(self.messages(relay, 1), ["again"])

    def test_redis_user_may_do_all_that_history_needs(self) -> None:
        with self.redis.client() as client:
            for part in ("-@all", "+xrange"):
                client.execute_command(*code_block("docs/security.md", "", part).split())
            client.execute_command("ACL", "LOG", "RESET")
            url = self.redis.url.replace("redis://", "redis://wsrelay:password@")
            relay = self.start_with("--publish", "chat", "--history-size", "10", REDIS_URL=url)
            with socket_to(relay.ws("chat")) as socket:
                socket.send("hello")
                self.assertEqual(socket.recv(DEADLINE_SECONDS), "hello")
                self.shell.run(code_block(PAGE, "sh", "# for keeps").splitlines()[1])
                self.assertEqual(socket.recv(DEADLINE_SECONDS), "hello")
            self.assertEqual(client.execute_command("ACL", "LOG"), [])
        self.assertIn("client tracking", relay.get("/readyz")[1])
        self.assertNotIn("NOPERM", relay.log())
