"""The JavaScript SDK of Centrifugo (npm: centrifuge) against `twistd wsrelay`.

`centrifuge.mjs` is the client; what it reports line by line is compared here, and where it waits for somebody else to
publish, or for a restart, that is done here.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path
from typing import IO, Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import ClientConnection, connect

from devtools.harness.ports import free_port
from devtools.harness.relay import Relay

HERE = Path(__file__).parent
DEADLINE_SECONDS = 15.0

FLAGS = (
    *("--centrifugo", "true"),
    *("--channels", "user:{sub}"),
    *("--publish", "news,room"),
    *("--drain-timeout-seconds", "5"),
)


def reason_to_skip() -> str:
    """Return why these tests cannot run, or an empty text."""
    if shutil.which("node") is None:
        return "Node.js is not installed"
    if not (HERE / "node_modules" / "centrifuge").is_dir():
        return "the SDK is not installed: npm ci --prefix tests/clients"
    return ""


class NodeClient:
    """The process of `centrifuge.mjs`.

    Args:
        url: The address that it connects to.
    """

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(HERE / "centrifuge.mjs"), url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._lines.put(line)
        self._lines.put("")

    def report(self) -> dict[str, Any]:
        """Wait for the next report and return it.

        Raises:
            AssertionError: The process has ended.
            queue.Empty: There is none in time.
        """
        line = self._lines.get(timeout=DEADLINE_SECONDS)
        if not line:
            assert self._process.stderr is not None
            raise AssertionError(f"the client has ended with status {self.wait()}:\n{self._process.stderr.read()}")
        report: dict[str, Any] = json.loads(line)
        return report

    def wait(self) -> int:
        """Wait for the end of the process and return its status."""
        return self._process.wait(DEADLINE_SECONDS)

    def stop(self) -> None:
        """End the process if it still runs, and let go of its pipes."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(DEADLINE_SECONDS)
        self._reader.join(DEADLINE_SECONDS)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


class CentrifugeJSTests(SynchronousTestCase):
    """One conversation, from the first connect over a restart of the relay to the end."""

    skip = reason_to_skip() or None
    timeout = 60

    def setUp(self) -> None:
        """Start the relay on a port that a second one can take over."""
        self.port = free_port()
        self.relay = self.start_relay()

    def start_relay(self) -> Relay:
        """Start a relay that stops when the test is over, if it has not before."""
        relay = Relay(*FLAGS, port=self.port)
        relay.__enter__()
        self.addCleanup(relay.__exit__, None, None, None)
        return relay

    def raw_client(self, channel: str) -> ClientConnection:
        """Return a raw client of a channel, which is disconnected when the test is over."""
        client = connect(self.relay.ws(channel), open_timeout=DEADLINE_SECONDS, proxy=None, close_timeout=1)
        self.addCleanup(client.close)
        return client

    def expect(self, client: NodeClient, **report: Any) -> None:
        """Check the next report."""
        self.assertEqual(client.report(), report)

    def test_sdk_subscribes_publishes_gets_errors_and_survives_a_restart(self) -> None:
        client = NodeClient(f"ws://127.0.0.1:{self.port}/connection/websocket")
        self.addCleanup(client.stop)
        self.expect(client, event="connected", transport="websocket")
        self.expect(client, event="subscribed", channels=["news", "room"])

        news, room = self.raw_client("news"), self.raw_client("room")
        room.send('{"text": "from a raw client"}')
        self.expect(client, event="publication", channel="room", data={"text": "from a raw client"})
        self.assertEqual(room.recv(DEADLINE_SECONDS), '{"text": "from a raw client"}')

        # The reply and the publication have no order among each other.
        reports = sorted((client.report(), client.report()), key=lambda report: str(report["event"]))
        message = {"text": "from the SDK", "number": 1}
        self.assertEqual(
            reports, [{"event": "publication", "channel": "room", "data": message}, {"event": "published"}]
        )
        self.assertEqual(json.loads(room.recv(DEADLINE_SECONDS)), message)

        denied = "permission denied"
        self.expect(client, event="publish rejected", code=103, message=denied)
        self.expect(client, event="subscribe rejected", channel="user:42", code=103, reason=denied)
        self.expect(client, event="subscribe rejected", channel="unknown", code=102, reason="unknown channel")
        self.expect(client, event="subscribed twice", code=105, message="already subscribed")
        self.expect(client, event="history rejected", code=108, message="not available")

        reports = sorted((client.report(), client.report()), key=lambda report: str(report["event"]))
        marker = {"event": "publication", "channel": "news", "data": "marker"}
        self.assertEqual(reports, [marker, {"event": "unsubscribed", "code": 0}])
        self.assertEqual(news.recv(DEADLINE_SECONDS), '"marker"')
        room.send('"not received"')
        self.assertEqual(room.recv(DEADLINE_SECONDS), '"not received"')
        news.send("no JSON")
        self.expect(client, event="publication", channel="news", data="no JSON")

        self.expect(client, event="ready for a restart")
        self.relay.stop()
        self.expect(client, event="disconnected", code=3001, reason="service restart")
        self.relay = self.start_relay()
        self.reconnect(client)
        for channel in ("news", "room"):
            self.raw_client(channel).send('"after the restart"')
            self.expect(client, event="publication", channel=channel, data="after the restart")
        self.expect(client, event="disconnected for good", code=0)
        self.assertEqual(client.wait(), 0)

    def reconnect(self, client: NodeClient) -> None:
        """Wait until the client is back: before that it reports each attempt that failed."""
        report = client.report()
        while report["event"] == "error":
            report = client.report()
        self.assertEqual(report, {"event": "reconnected"})
