"""The naive Autobahn server: `sendMessage` to each connection of the channel, in a loop.

Usage: `python autobahn_naive.py PORT REDIS_PORT PING_SECONDS`.

What one writes first with Twisted, Autobahn and txredisapi, and what most tutorials show.
"""
# ruff: noqa: N803 -- Autobahn's names
# mypy: allow-untyped-calls, allow-subclassing-any, allow-any-unimported

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any

import txredisapi
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint

PREFIX = "wsrelay:"

channels: defaultdict[str, set[Any]] = defaultdict(set)


class Socket(WebSocketServerProtocol):  # type: ignore[misc, unused-ignore]
    """One connection; its channel is the last part of the path."""

    channel: str

    def onConnect(self, request: Any) -> None:
        """Note the channel."""
        self.channel = request.path.rpartition("/")[2]

    def onOpen(self) -> None:
        """Join the channel."""
        channels[self.channel].add(self)

    def onClose(self, wasClean: bool, code: Any, reason: Any) -> None:
        """Leave the channel."""
        if hasattr(self, "channel"):
            channels[self.channel].discard(self)


class Subscriber(txredisapi.SubscriberProtocol):  # type: ignore[misc, unused-ignore]
    """The connection to Redis."""

    def connectionMade(self) -> None:
        """Subscribe to all channels at once."""
        self.psubscribe(PREFIX + "*")

    def messageReceived(self, pattern: str, channel: str, message: Any) -> None:
        """Give the message to each connection."""
        payload = message if isinstance(message, bytes) else str(message).encode()
        for socket in channels[channel.removeprefix(PREFIX)]:
            socket.sendMessage(payload)


def main(port: int, redis_port: int, ping: int) -> None:
    """Serve until killed."""
    factory = WebSocketServerFactory()
    factory.protocol = Socket
    factory.setProtocolOptions(autoPingInterval=ping)
    subscriber = txredisapi.SubscriberFactory()
    subscriber.protocol = Subscriber
    net: Any = reactor
    net.listenTCP(port, factory, interface="127.0.0.1", backlog=4096)
    subscriber.startConnecting(TCP4ClientEndpoint(net, "127.0.0.1", redis_port))
    net.run()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
