"""Emulated transports with two real processes on one Redis server: the stream at one, its messages at the other."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPResponse
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.redis_server import RedisServer
from devtools.harness.relay import Relay
from tests.support.polling import DEADLINE_SECONDS


def post(url: str, document: dict[str, Any]) -> HTTPResponse:
    """Send an object, and return the response, of which the head has come."""
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    response: HTTPResponse = urllib.request.urlopen(request, timeout=DEADLINE_SECONDS)
    return response


class EmulationTests(SynchronousTestCase):
    """`POST /emulation` at the other process."""

    def setUp(self) -> None:
        redis = self.enterContext(RedisServer())
        variables = {"REDIS_URL": redis.url}
        flags = ("--centrifugo", "true", "--publish", "room")
        self.one, self.other = (self.enterContext(Relay(*flags, env=variables)) for _ in range(2))

    def test_messages_reach_the_stream_across_processes_and_unknown_ones_are_404(self) -> None:
        with post(f"{self.one.url}/connection/http_stream", {"id": 1, "connect": {}}) as stream:
            connect = json.loads(stream.readline())["connect"]
            fields = {name: connect[name] for name in ("session", "node")}
            self.assertEqual(self.send({"id": 2, "subscribe": {"channel": "room"}}, **fields), 204)
            self.assertEqual(json.loads(stream.readline()), {"id": 2, "subscribe": {}})
            text = "x" * 40_000
            self.assertEqual(self.send({"id": 3, "publish": {"channel": "room", "data": text}}, **fields), 204)
            received = [json.loads(stream.readline()) for _ in range(2)]
            self.assertIn({"id": 3, "publish": {}}, received)
            self.assertEqual([each["push"]["pub"]["data"] for each in received if "push" in each], [text])
            self.assertEqual(self.send({}, session="x" * 32, node=connect["node"]), 204)
            self.assertEqual(self.send({}, session=connect["session"], node="0" * 16), 404)

    def send(self, command: dict[str, Any], **fields: str) -> int:
        """Send a command by the other process, and return the status of the response."""
        try:
            with post(f"{self.other.url}/emulation", {**fields, "data": json.dumps(command)}) as response:
                return response.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
