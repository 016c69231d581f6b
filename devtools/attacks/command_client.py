"""A client of Centrifugo's protocol, and what came of its commands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from devtools.attacks.context import AttackContext
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import client_frame
from devtools.harness.raw_connection import RawConnection

__all__ = ["BINARY", "PATH", "TEXT", "CommandClient", "Document"]

PATH = "/connection/websocket"
TEXT = 0x81
BINARY = 0x82

_TEXT = 1
_CLOSE = 8

Document = dict[str, Any]


class CommandClient:
    """One client that speaks JSON.

    Args:
        connection: Its open WebSocket.

    Attributes:
        connection: See above.
        welcome: What its connect was answered with.
        pushes: What came without having been asked for.
    """

    def __init__(self, connection: RawConnection) -> None:
        self.connection = connection
        self.welcome: Document = {}
        self.pushes: list[Document] = []
        self._replies: list[Document] = []
        self._last_id = 0
        self._ended = ""

    @classmethod
    async def open(cls, context: AttackContext, relay: RelayName) -> CommandClient:
        """Return a client that has not connected yet."""
        return cls(await context.open_websocket(relay, PATH))

    @classmethod
    async def connected(cls, context: AttackContext, relay: RelayName, token: str = "") -> CommandClient:
        """Return a client that is connected.

        Raises:
            UnprovenError: It was rejected.
        """
        client = await cls.open(context, relay)
        context.control("a connect", await client.connect(context, token), "200")
        return client

    async def connect(self, context: AttackContext, token: str = "", **options: Any) -> str:
        """Send a connect, and return the outcome."""
        shown = {"token": context.secret(token)} if token else {}
        outcome = await self.ask("connect", {**shown, **options})
        if outcome == "200":
            self.welcome = self._replies[-1]["connect"]
        return outcome

    @property
    def id(self) -> str:
        """The id of its connection."""
        return str(self.welcome["client"])

    @property
    def subscribed_at_connect(self) -> list[str]:
        """The channels that its connect subscribed it to."""
        return sorted(self.welcome.get("subs", {}))

    async def ask(self, method: str, request: Mapping[str, Any], seconds: float = 5) -> str:
        """Send a command.

        Returns:
            The outcome: 200, or the code of the error as ``error 103``, or how the connection ended.
        """
        return (await self.ask_all([(method, request)], seconds))[0]

    async def ask_all(self, commands: Sequence[tuple[str, Mapping[str, Any]]], seconds: float = 5) -> list[str]:
        """Send commands in one message, and return the outcome of each; see `ask`."""
        ids = range(self._last_id + 1, self._last_id + 1 + len(commands))
        self._last_id = ids[-1]
        lines = [json.dumps({"id": at, method: request}) for at, (method, request) in zip(ids, commands, strict=True)]
        self.send("\n".join(lines).encode())
        found: dict[int, str] = {}
        while not found.keys() >= set(ids) and (message := await self._message(seconds)) is not None:
            for document in message:
                if "id" in document:
                    self._replies.append(document)
                    error = document.get("error")
                    found[document["id"]] = f"error {error['code']}" if error else "200"
                elif document:
                    self.pushes.append(document)
        return [found.get(each, self._ended or self.connection.ended or "silence") for each in ids]

    async def received(self, seconds: float = 0.5) -> list[Document]:
        """Return everything that comes without having been asked for, until nothing has come for a while."""
        while (message := await self._message(seconds)) is not None:
            self.pushes += [document for document in message if document]
        return self.pushes

    def send(self, data: bytes, opcode: int = TEXT) -> None:
        """Send a message, whatever is in it."""
        self.connection.send(client_frame(opcode, data))

    async def close_code(self, seconds: float = 5) -> str:
        """Return the code with which the relay closes the connection; "silence" if it does not in time."""
        while await self._message(seconds) is not None:
            pass
        return self._ended or self.connection.ended or "silence"

    async def _message(self, seconds: float) -> list[Document] | None:
        while (found := await self.connection.frame(seconds)) is not None:
            opcode, payload = found
            if opcode == _CLOSE:
                self._ended = str(int.from_bytes(payload[:2]))
                return None
            if opcode == _TEXT:
                return [json.loads(line) for line in payload.splitlines()]
        return None
