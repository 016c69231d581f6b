"""The switch with real relays: two processes on one Redis, turned off and on by every way there is."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from devtools.harness.redis_server import RedisServer, require_redis
from devtools.harness.relay import Relay, clean_environ
from tests.support.polling import DEADLINE_SECONDS, wait_until

KEY = "0123456789abcdef0123456789abcdef"
SWITCH = "myapp:disabled"


class SwitchTests(SynchronousTestCase):
    """Two processes with the prefix myapp, and the ACL user of docs/security.md."""

    def setUp(self) -> None:
        """Start them."""
        require_redis()
        self.server = self.enterContext(RedisServer())
        self.redis: Any = self.enterContext(self.server.client())
        page = Path(__file__).parents[2] / "docs" / "security.md"
        (line,) = [line for line in page.read_text().splitlines() if line.startswith("ACL SETUSER wsrelay on ")]
        rule = line.replace(">password", ">sesame").replace("~wsrelay:", "~myapp:").replace("&wsrelay:", "&myapp:")
        self.redis.execute_command(*rule.split())
        self.url = self.server.url.replace("//", "//wsrelay:sesame@")
        self.relays = [self.start() for _ in range(2)]

    def start(self, port: int = 0) -> Relay:
        """Start a process."""
        env = {"REDIS_URL": self.url, "WSRELAY_PREFIX": "myapp:", "WSRELAY_API_KEYS": KEY}
        return self.enterContext(Relay("--channels", "chat", port=port, env=env))

    def command(self, *arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("wsrelay")), *arguments],
            env=clean_environ({"REDIS_URL": url or self.url}),
            capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False,
        )  # fmt: skip

    def call(self, method: str, **fields: str) -> Any:
        """Call a method of the API of the first process."""
        request = urllib.request.Request(
            f"{self.relays[0].url}/api/{method}", json.dumps(fields).encode(), {"X-API-Key": KEY}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as response:
            return json.load(response)["result"]

    def open(self, relay: Relay) -> ClientConnection:
        """Connect a client."""
        client = connect(relay.ws("chat"), open_timeout=DEADLINE_SECONDS, proxy=None, legacy=True)
        self.addCleanup(client.close)
        return client

    def refusal(self, relay: Relay) -> tuple[int, str]:
        """Return status and text of a handshake; 101 if it is accepted."""
        try:
            self.open(relay)
        except InvalidStatus as error:
            return error.response.status_code, (error.response.body or b"").decode()
        return 101, ""

    def close_code(self, client: ClientConnection) -> int:
        """Wait for the close of a connection, and return its code."""
        with self.assertRaises(ConnectionClosed) as closed:
            client.recv(DEADLINE_SECONDS)
        return closed.exception.rcvd.code if closed.exception.rcvd is not None else 1006

    def wait_for(self, status: int) -> None:
        """Wait until every process answers handshakes with a status."""
        for relay in self.relays:
            wait_until(lambda relay=relay: self.refusal(relay)[0] == status, relay.log)  # type: ignore[misc]  # mypy cannot infer it

    def test_command_turns_all_processes_off_and_on(self) -> None:
        clients = [self.open(relay) for relay in self.relays]
        off = self.command("websockets:disable", "-a", "myapp", "-m", "Back at 14:00")
        self.assertEqual((off.returncode, off.stdout, off.stderr), (0, "Disabling websockets for myapp... done\n", ""))
        self.assertEqual([self.close_code(client) for client in clients], [4013, 4013])
        for relay in self.relays:
            self.assertEqual(self.refusal(relay), (503, "Websockets are disabled: Back at 14:00\n"))
            self.assertEqual(relay.get("/readyz"), (200, "ready; websockets are disabled\n"))
        shown = self.command("websockets", "-a", "myapp")
        self.assertEqual(shown.stdout, "Websockets are disabled for myapp: Back at 14:00\n")
        on = self.command("websockets:enable", "-a", "myapp")
        self.assertEqual((on.returncode, on.stdout, on.stderr), (0, "Enabling websockets for myapp... done\n", ""))
        self.wait_for(101)
        self.assertEqual(self.command("websockets", "-a", "myapp").stdout, "Websockets are enabled for myapp\n")
        self.assertEqual(self.redis.execute_command("ACL", "LOG"), [])

    def test_plain_key_turns_all_processes_off_and_on_within_seconds(self) -> None:
        client = self.open(self.relays[1])
        self.redis.set(SWITCH, "maintenance")
        self.assertEqual(self.close_code(client), 4013)
        self.wait_for(503)
        self.redis.delete(SWITCH)
        self.wait_for(101)

    def test_api_of_one_process_turns_all_off_and_on(self) -> None:
        client = self.open(self.relays[1])
        self.assertEqual(self.call("websockets_disable", explanation="a"), {"enabled": False, "explanation": "a"})
        self.assertEqual(self.close_code(client), 4013)
        self.wait_for(503)
        self.assertEqual(self.call("websockets_enable"), {"enabled": True})
        self.wait_for(101)

    def test_switch_outlives_the_processes(self) -> None:
        self.command("websockets:disable", "-a", "myapp")
        for relay in self.relays:
            relay.stop()
        self.relays = [self.start() for _ in range(2)]
        # They were ready before this, and had read the switch by then.
        self.assertEqual([self.refusal(relay)[0] for relay in self.relays], [503, 503])
        for relay in self.relays:
            relay.stop()
        self.assertEqual(self.command("websockets:enable", "-a", "myapp").returncode, 0)
        self.relays = [self.start()]
        self.assertEqual(self.refusal(self.relays[0])[0], 101)

    def test_failure_says_so_and_what_to_do(self) -> None:
        failed = self.command("websockets:disable", "-a", "myap", url=self.server.url)
        self.assertEqual((failed.returncode, failed.stdout), (1, "Disabling websockets for myap... failed\n"))
        self.assertTrue(failed.stderr.startswith(" !    No process of a relay with the prefix 'myap:' "), failed.stderr)
        failed = self.command("websockets:enable", "-a", "myapp", url=self.url.replace("sesame", "wrong-one"))
        self.assertEqual((failed.returncode, failed.stdout), (1, "Enabling websockets for myapp... failed\n"))
        self.assertIn("it rejects the user name or the password (WRONGPASS)", failed.stderr)
        self.assertNotIn("wrong-one", failed.stderr)
        self.assertEqual(self.refusal(self.relays[0])[0], 101)
