"""Shared by the tests of the API's methods: a relay in memory that is called as libraries for Centrifugo's API do."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.http import Answer, answers, head
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.access.secret import Secret
from wsrelay.core.history.offsets import BASE_MS
from wsrelay.core.messaging.namespaces import Access, Namespace

__all__ = ["KEY", "MethodCase"]

KEY = "a-key-of-the-operator"
NAMESPACES = (
    Namespace("plain", ("news", "room:*")),
    Namespace("kept", ("chat",), history_size=100, history_seconds=60),
    Namespace(
        "shown", ("lobby",), presence=True, join_leave=True, publish=Access.PUBLIC, history_size=9, history_seconds=60
    ),
    Namespace("closed", ("closed",), Access.NOBODY),
)


class MethodCase(SynchronousTestCase):
    """A relay with the embedded broker, a second after the base of offsets."""

    def setUp(self) -> None:
        """Make the relay."""
        self.clock = Clock()
        self.broker: Any = MemoryBroker(self.clock, lambda: BASE_MS / 1000 + 1)
        self.relay = self.make_relay(self.broker)
        self.broker.start()

    def make_relay(self, broker: Any) -> InMemoryRelay:
        """Return a relay with this broker."""
        return InMemoryRelay(broker, clock=self.clock, api_keys=(Secret(KEY),), namespaces=NAMESPACES, centrifugo=True)

    def post(
        self,
        name: str,
        body: bytes | object = b"",
        *lines: str,
        key_line: str = f"X-API-Key: {KEY}",
        method: str = "POST",
    ) -> Answer | None:
        """Return the answer to a request; None if there is none yet."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        wire = self.wire = ClientWire(self.relay)
        fields = ("Host: x", f"Content-Length: {len(data)}", *((key_line,) if key_line else ()), *lines)
        wire.send(head(f"{method} /api/{name} HTTP/1.1", *fields) + data)
        found = answers(wire.read())
        return found[0] if found else None

    def document(self, name: str, body: bytes | object = b"", *lines: str) -> Any:
        """Return the document of an answer, whose status must be 200."""
        answer = self.post(name, body, *lines)
        assert answer is not None
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"), answer.body)
        return json.loads(answer.body)

    def result(self, name: str, **fields: Any) -> Any:
        """Return the result of a method."""
        document = self.document(name, fields)
        self.assertEqual(list(document), ["result"], document)
        return document["result"]

    def error(self, name: str, **fields: Any) -> tuple[int, str]:
        """Return code and message of a method's error."""
        document = self.document(name, fields)
        self.assertEqual(list(document), ["error"], document)
        return document["error"]["code"], document["error"]["message"]

    def code(self, name: str, **fields: Any) -> int:
        """Return the code of a method's error."""
        return self.error(name, **fields)[0]

    def kept(self) -> list[bytes | None]:
        """Return what the stream of `chat` holds."""
        return [entry.data for entry in self.successResultOf(self.broker.history.read("chat", None, 1000))]
