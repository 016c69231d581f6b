"""The server under test: the relay, sending each message back to its client.

It is the relay's own service, with its router, its WebSocket protocol and its embedded broker, on a real socket. One
method is replaced: a received message is not passed to the session but sent back. The `raw` dialect cannot serve as an
echo: it decides by the payload whether a message is text, and the suite checks that the type is preserved. The
handshake passes through dialect, session and broker as usual.

Run as a child process: it prints its port, and ends at SIGTERM or when its time is over.
"""

from __future__ import annotations

import dataclasses
import sys
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react
from twisted.logger import globalLogBeginner, textFileLogObserver

from wsrelay.app.service import RelayService
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.config import Settings
from wsrelay.core.messaging.messages import Message
from wsrelay.transports.websocket.protocol import WebSocketConnection

__all__ = ["COMPRESS", "HOST", "PATH", "SETTINGS", "EchoService"]

HOST = "127.0.0.1"
PATH = "/ws/echo"

COMPRESS = "--compress"
"""The argument behind the time that turns compression on."""

LARGEST = 64 * 1024 * 1024

SETTINGS = Settings(
    host=HOST,
    # Cases 9.* send messages of up to 16 MiB, which are queued until the client reads.
    max_message_bytes=LARGEST,
    max_outbox_bytes=LARGEST,
    # They also send tens of thousands of frames at once.
    max_frames_per_second=1_000_000.0,
    max_bytes_per_second=1_000_000_000.0,
    # The suite's client masks and validates such messages in pure Python and does not read meanwhile.
    max_outbox_seconds=120.0,
    ping_timeout_seconds=120.0,
    # No client is connected in the end.
    drain_timeout_seconds=1.0,
)
"""Settings that differ from the defaults, and therefore from what users run."""


def _echo(self: WebSocketConnection, payload: bytes, is_binary: bool) -> None:
    """Send a message back, in place of `WebSocketConnection.onMessage`; compressed if that was agreed on."""
    self.writer.send(self.encoding().frame((Message(payload, is_binary),)))


class EchoService(RelayService):
    """The relay, which sends messages back instead of handling them."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # `protocol` is the attribute of a Twisted factory that says what it makes.
        websockets = self.relay.websockets
        websockets.protocol = type("EchoConnection", (websockets.protocol,), {"onMessage": _echo})


async def _run(reactor: Any, seconds: str, *options: str) -> None:
    endpoint = TCP4ServerEndpoint(reactor, 0, interface=HOST)
    settings = dataclasses.replace(SETTINGS, compress=COMPRESS in options)
    service = EchoService(settings, MemoryBroker(reactor), [endpoint], reactor, Random(0))  # noqa: S311 -- ping jitter
    service.privilegedStartService()
    service.startService()
    print(service.addresses[0].port, flush=True)
    over: Deferred[None] = Deferred()
    over.addTimeout(float(seconds), reactor, lambda _failure, _seconds: None)
    await over
    await service.stopService()


if __name__ == "__main__":
    # Exceptions on the server's side of a case are searched for in this log.
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    react(lambda reactor, *arguments: Deferred.fromCoroutine(_run(reactor, *arguments)), sys.argv[1:])
