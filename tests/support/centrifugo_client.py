"""A client of Centrifugo's JSON protocol for a relay without a port."""

from __future__ import annotations

import json
from typing import Any, Self

from tests.support.in_memory_relay import InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.dialects.centrifugo import PATH

__all__ = ["CentrifugoClient"]


class CentrifugoClient(WebSocketClient):
    """A client of Centrifugo's JSON protocol. Its framing is that of `WebSocketClient`.

    Args:
        relay: The relay.
    """

    def __init__(self, relay: InMemoryRelay) -> None:
        super().__init__(relay, PATH)

    def subscribe(self, *channels: str) -> Self:
        """Connect and subscribe in one message, and read the replies.

        Raises:
            AssertionError: A reply is an error.
        """
        self.connect()
        subscribes = [{"id": number, "subscribe": {"channel": name}} for number, name in enumerate(channels, 2)]
        self.send({"id": 1, "connect": {}}, *subscribes)
        replies = self.documents()
        assert [each.get("id") for each in replies] == [*range(1, len(channels) + 2)], replies
        assert not any("error" in each for each in replies), replies
        return self

    def send(self, *commands: dict[str, Any]) -> None:
        """Send commands in one text message."""
        self.protocol.send_text("\n".join(map(json.dumps, commands)).encode())
        self.flush()

    def documents(self) -> list[dict[str, Any]]:
        """Return the objects that the relay has sent since the last call."""
        return [json.loads(line) for message in self.messages() for line in message.split(b"\n")]

    def data(self) -> list[Any]:
        """Return the data of the publications that the relay has sent since the last call.

        Raises:
            AssertionError: It has sent something else.
        """
        return [document["push"]["pub"]["data"] for document in self.documents()]
