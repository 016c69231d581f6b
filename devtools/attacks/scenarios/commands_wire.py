"""Malformed commands, in JSON and in Protobuf."""

from __future__ import annotations

import json
from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.command_client import BINARY, PATH, TEXT, CommandClient
from devtools.attacks.context import AttackContext
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import client_frame
from devtools.harness.raw_connection import RawConnection

RELAY = RelayName.COMMANDS

# `Command` of Protobuf with the id 1 and an empty connect, behind its length, and the same with another id.
CONNECT = b"\x04\x08\x01\x22\x00"
HISTORY = b"\x0a\x08\x02\x52\x06\x0a\x04plai"


@attack()
async def commands_are_malformed(context: AttackContext) -> None:
    """Send commands with ids, offsets, limits and types that no command has, and JSON that breaks parsers."""
    token = forge.signed(channels=["room:1", "room:2"], subs={}, publish=["*"])
    client = await CommandClient.connected(context, RELAY, token)
    history = {"channel": "room:1", "limit": 10, "since": {"offset": 0, "epoch": ""}}
    context.control("a lookup", await client.ask("history", history), "200")
    for method, request, expected in (
        ("history", {"since": {"offset": -1}}, "error 107"),
        ("history", {"since": {"offset": 1.5}}, "error 107"),
        ("history", {"since": {"offset": True}}, "error 107"),
        ("history", {"since": {"offset": "1"}}, "error 107"),
        ("history", {"since": []}, "error 107"),
        ("history", {"limit": True}, "error 107"),
        ("history", {"limit": "1"}, "error 107"),
        ("history", {"since": {"offset": 2**53}}, "error 112"),
        ("history", {"since": {"offset": 2**64}}, "error 112"),
        ("history", {"since": {"offset": 10**4000}}, "error 112"),
        ("history", {"since": {"offset": 1, "epoch": "x" * 10_000}}, "error 112"),
        ("history", {"since": {"offset": 1, "epoch": "\ud800"}}, "error 112"),
        ("subscribe", {"recover": True, "offset": -1}, "error 107"),
        ("subscribe", {"recover": True, "offset": "1"}, "error 107"),
        ("subscribe", {"tf": {"op": "and"}}, "error 107"),
        ("subscribe", {"flag": -1, "recover": True}, "error 107"),
        ("subscribe", {"token": ["x"]}, "error 107"),
        ("publish", {}, "error 107"),
        ("sub_refresh", {"token": ""}, "error 107"),
        ("refresh", {}, "error 107"),
    ):
        seen = await client.ask(method, {"channel": "room:1", **request})
        context.assert_rejected(f"{method} {str(request)[:60]}", seen, expected)
    # Offsets that are too large recover nothing, and a limit is no more than a page.
    for number, offset in enumerate((2**53 - 1, 2**64, 10**4000)):
        client = await CommandClient.open(context, RELAY)
        seen = await client.connect(context, token, subs={"room:1": {"recover": True, "offset": offset}})
        context.control("any position in a connect", seen, "200")
        recovered = client.welcome["subs"]["room:1"].get("recovered", False)
        context.assert_harmless("not recovered", not recovered, f"an offset recovers: {number}")
        for limit in (-1, 2**31, 10**4000):
            context.control("any limit", await client.ask("history", {"channel": "room:1", "limit": limit}), "200")
    many = {f"room:{at}": dict[str, Any]() for at in range(200)}
    positions: tuple[Any, ...] = ({"room:1": []}, ["room:1"], many)
    for subs in positions:
        client = await CommandClient.open(context, RELAY)
        context.assert_rejected("subs of a connect", await client.connect(context, token, subs=subs), "3501")
    good: dict[str, Any] = {"history": history}
    texts: list[bytes] = [json.dumps({"id": each, **good}).encode() for each in (0, -1, 2**32, 1.5, "1", True, None)]
    for data in (
        *texts,
        json.dumps(good).encode(),
        b'{"id": 1}',
        b'{"id": 1, "history": {"channel": "room:1"}, "presence": {"channel": "room:1"}}',
        b'{"id": 1, "history": []}',
        b'{"id": 1, "admin": {}}',
        b'{"send": {"data": {}}}',
        b'{"id": ' + b"9" * 5000 + b', "history": {}}',
        b'{"id": 1e999, "history": {}}',
        b'{"id": 1, "publish": ' + b'{"data":' * 6000 + b"1" + b"}" * 6000 + b"}",
        b"[" * 60_000,
        b"[]",
        b"null",
        b"",
        b"\n\n",
        b"\xff",
        b"{}\n" * 257,
    ):
        client = await CommandClient.connected(context, RELAY, token)
        client.send(data)
        # 1007 is for what is no text at all, and 3508 for what the relay does not take.
        expected = {b"\xff": "1007", b'{"send": {"data": {}}}': "3508"}.get(data, "3501")
        context.assert_rejected(f"{data[:40]!r}", await client.close_code(2), expected)
    client = await CommandClient.connected(context, RELAY, token)
    client.send(json.dumps({"id": 1, **good}).encode(), BINARY)
    context.assert_rejected("a binary message", await client.close_code(), "3501")


async def _open(context: AttackContext) -> RawConnection:
    connection = await context.open_websocket(RELAY, f"{PATH}?cf_protocol=protobuf")
    connection.send(client_frame(BINARY, CONNECT))
    answer = await connection.message()
    # Reply: its length, the id, and a connect.
    context.control("a connect", answer is not None and answer[1:4] == b"\x08\x01\x2a", expected=True)
    return connection


@attack()
async def protobuf_is_malformed(context: AttackContext) -> None:
    """Send Protobuf with false lengths, endless numbers, groups, nested and merged maps, and texts in its place."""
    connection = await _open(context)
    connection.send(client_frame(BINARY, HISTORY))
    answer = await connection.message()
    context.control("an error in a reply", answer is not None and answer[1:3] == b"\x08\x02", expected=True)
    deep = b""
    for _ in range(5000):
        deep = b"\x22" + _length(deep) + deep if len(deep) < 60_000 else deep
    pairs = b"".join(b"\x1a" + _length(pair) + pair for pair in (b"\x0a\x02%02d\x12\x00" % at for at in range(99)))
    pairs += b"".join(b"\x1a" + _length(pair) + pair for pair in (b"\x0a\x03%03d\x12\x00" % at for at in range(900)))
    subs = b"\x08\x01\x22" + _length(pairs) + pairs
    for what, data in (
        ("nothing", b""),
        ("a length alone", b"\x05"),
        ("a length beyond the end", b"\x7f\x08\x01"),
        ("a length of 2 GiB", b"\xff\xff\xff\xff\x07\x08\x01"),
        ("a length of 2^64", b"\xff" * 9 + b"\x01\x08\x01"),
        ("a length without end", b"\xff" * 1000),
        ("a field beyond its message", b"\x04\x08\x01\x22\x7f"),
        ("a number without end", b"\x0c\x08" + b"\xff" * 11),
        ("no id", b"\x02\x22\x00"),
        ("an id of 0", b"\x04\x08\x00\x22\x00"),
        ("two commands in one", b"\x06\x08\x01\x22\x00\x42\x00"),
        ("a group", b"\x04\x08\x01\x23\x24"),
        ("field 0", b"\x04\x08\x01\x02\x00"),
        ("a wire type that is none", b"\x04\x08\x01\x27\x00"),
        ("a text that is no UTF-8", b"\x08\x08\x01\x22\x04\x0a\x02\xff\xff"),
        ("nested without end", _length(deep) + deep),
        ("a map with too many", _length(subs) + subs),
        ("pongs without end", b"\x00" * 257),
        ("a second connect", CONNECT),
    ):
        for is_connected in (True, False):
            if not is_connected and what == "a second connect":
                continue
            if is_connected:
                connection = await _open(context)
            else:
                connection = await context.open_websocket(RELAY, f"{PATH}?cf_protocol=protobuf")
            connection.send(client_frame(BINARY, data))
            context.assert_rejected(what, await connection.close_code(), "3501")
    for opcode, data in ((TEXT, CONNECT.replace(b"\x22", b"\x20")), (TEXT, b'{"id":1,"connect":{}}')):
        connection = await _open(context)
        connection.send(client_frame(opcode, data))
        context.assert_rejected("a text", await connection.close_code(), "3501")
    # Values that its fields cannot hold are cut to what they can, and merged messages are one.
    connection = await _open(context)
    merged = b"\x08\x02\x52\x06\x0a\x04plai\x52\x0a\x42\x08\x08" + b"\xff" * 6 + b"\x01"
    connection.send(client_frame(BINARY, _length(merged) + merged))
    answer = await connection.message()
    context.control("merged", answer is not None and answer[1:3] == b"\x08\x02", expected=True)


def _length(data: bytes) -> bytes:
    size, encoded = len(data), b""
    while size >= 0x80:
        encoded += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return encoded + bytes((size,))
