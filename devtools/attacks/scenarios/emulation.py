"""Requests by which clients send beside their streams: they name a process and a session, and cost Redis a PUBLISH."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.context import AttackContext, outcome_of
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import head

HOST = "Host: relay.example"
REQUESTS = 60
"""How many messages are sent of each kind. The relay passes on one a second of each address, and three at once."""


def _post(path: str, document: Any) -> bytes:
    body = json.dumps(document).encode()
    return head(f"POST {path} HTTP/1.1", HOST, f"Content-Length: {len(body)}") + body


@attack()
async def emulation_names_are_made_up(context: AttackContext) -> None:
    """Name processes and sessions that do not exist, over and over, in messages for other processes."""
    stream = await context.connect(RelayName.GUARDED)
    token = forge.signed(channels=["room:1"])
    stream.send(_post("/connection/http_stream", {"id": 1, "connect": {"token": token}}))
    context.control("a stream", outcome_of(stream, await stream.response()), "200")
    await stream.wait_for_data(2)
    reply = json.loads(bytes(stream.received).partition(b"\r\n\r\n")[2].split(b"\n")[0])
    names = {name: reply["connect"][name] for name in ("session", "node")}

    async def send(source: str, command_id: int, **other: str) -> str:
        ask = json.dumps({"id": command_id, "subscribe": {"channel": "room:1"}})
        request = _post("/emulation", {**names, "data": ask, **other})
        connection, response = await context.exchange(RelayName.GUARDED_2, request, source=source)
        connection.close()
        return outcome_of(connection, response)

    context.control("a message by way of another process", await send("127.0.0.1", 2), "204")
    for what, source, other, unknown in (
        ("processes", "127.0.0.2", "node", "404"),
        ("sessions", "127.0.0.3", "session", "204"),
    ):
        seen = [await send(source, 3, **{other: f"{number:032x}"}) for number in range(REQUESTS)]
        ((most, _count),) = Counter(seen).most_common(1)
        context.assert_rejected(what, most, "429")
        passed = seen.count(unknown)
        context.assert_harmless("few are passed on", passed < REQUESTS / 2, f"{passed} {what} were looked for in Redis")
    context.control("a message of another address", await send("127.0.0.1", 4), "204")
