"""Credentials sent as the first message."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.context import ROOM, AttackContext
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import client_frame
from devtools.harness.raw_connection import RawConnection

TEXT, BINARY = 0x81, 0x82
WELCOME = {"subscribed": "room:1"}


async def _enter(context: AttackContext, path: str = ROOM) -> RawConnection:
    return await context.open_websocket(RelayName.GUARDED, f"{path}?auth=message")


def _shown(context: AttackContext, token: str) -> bytes:
    return json.dumps({"token": context.secret(token)}).encode()


async def _good(context: AttackContext) -> RawConnection:
    """Return a client that was admitted by its first message."""
    connection = await _enter(context)
    connection.send(client_frame(TEXT, _shown(context, forge.signed())))
    context.control("a good first message", json.loads(await connection.message() or b"null"), WELCOME)
    return connection


@attack()
async def first_message_never_comes(context: AttackContext) -> None:
    """Promise a credential, then stay silent, ping, or send empty fragments of one message."""
    await _good(context)
    connections = [await _enter(context) for _ in range(3)]
    await context.environment.publish("room:1", "a secret")
    for _ in range(22):
        await asyncio.sleep(0.5)
        connections[1].send(client_frame(0x89))
        connections[2].send(client_frame(0x01 if not _ else 0x00))
    for connection in connections:
        context.assert_rejected("nothing shown", await connection.close_code(1), "4507")
        context.assert_harmless("nothing received", b"a secret" not in connection.received, "it received a message")


@attack()
async def first_message_is_bad(context: AttackContext) -> None:
    """Send a first message that is no credential, and tokens and tickets that are invalid."""
    await _good(context)
    good = forge.signed()
    for payload, expected in (
        (b"", "4501"),
        (b"hello", "4501"),
        (b"{}", "4501"),
        (b"null", "4501"),
        (b"[" * 8000, "4501"),
        (b'{"token": ' + b'{"token": ' * 700 + b"1" + b"}" * 701, "4501"),
        (b'{"token": ["' + good.encode() + b'"]}', "4501"),
        (json.dumps({"token": good, "ticket": "x" * 32}).encode(), "4501"),
        (json.dumps({"token": good, "sub": "1"}).encode(), "4501"),
        (json.dumps({"Token": good}).encode(), "4501"),
        (json.dumps(good).encode(), "4501"),
        (json.dumps({"token": forge.signed(note="x" * 8000)}).encode(), "4501"),
        (b'{"token": "' + b"x" * 9000 + b'"}', "4501"),
        (b'{"token": "' + b"x" * 70_000 + b'"}', "1009"),
        (b"\x00" * 100, "4501"),
        (_shown(context, forge.signed(key="mallory")), "4501"),
        (_shown(context, forge.raw({"alg": "none"}, forge.claims())), "4501"),
        (_shown(context, forge.signed(aud="other")), "4501"),
        (_shown(context, forge.signed(exp=1)), "4502"),
        (_shown(context, forge.signed(channels=["room:2"])), "4504"),
        (b'{"ticket": "a-ticket-that-does-not-exist"}', "4501"),
        (b'{"ticket": "../../outside-of-the-prefix"}', "4501"),
    ):
        for opcode in (TEXT, BINARY):
            connection = await _enter(context)
            connection.send(client_frame(opcode, payload))
            context.assert_rejected(f"{payload[:30]!r}", await connection.close_code(), expected)
            connection.close()


@attack()
async def first_message_twice(context: AttackContext) -> None:
    """Send a second credential to become another user: after the welcome, and in one packet with the first."""
    connection = await _good(context)
    connection.send(client_frame(TEXT, _shown(context, forge.signed(sub="1", channels=["*"], publish=["*"]))))
    context.assert_rejected("after the welcome", await connection.close_code(), "4503")
    for first, second in (("42", "1"), ("1", "42")):
        connection = await _enter(context, "/ws/user:1")
        both = [_shown(context, forge.signed(sub=sub, channels=None)) for sub in (first, second)]
        connection.send(b"".join(client_frame(TEXT, payload) for payload in both))
        context.assert_rejected(f"{first} and then {second}", await connection.close_code(), "4503", "4504")


@attack()
async def publishes_before_welcome(context: AttackContext) -> None:
    """Publish before authentication: in place of the credential, and directly after it."""
    may: dict[str, Any] = {"channels": ["talk:early"], "publish": ["talk:early"]}
    subscriber = await context.open_websocket(RelayName.GUARDED, "/ws/talk:early", context.bearer(forge.signed(**may)))
    publisher = await _enter(context, "/ws/talk:early")
    publisher.send(client_frame(TEXT, _shown(context, forge.signed(**may))))
    context.control("welcome", json.loads(await publisher.message() or b"null"), {"subscribed": "talk:early"})
    publisher.send(client_frame(TEXT, b"in its turn"))
    context.control("in its turn", await subscriber.message(), b"in its turn")
    early = client_frame(TEXT, b"too early")
    for data, expected in (
        (early, "4501"),
        (client_frame(TEXT, _shown(context, forge.signed(**may))) + early, "4503"),
        (client_frame(TEXT, _shown(context, forge.signed(key="mallory"))) + early, "4501 4503"),
    ):
        connection = await _enter(context, "/ws/talk:early")
        connection.send(data)
        context.assert_rejected("too early", await connection.close_code(), *expected.split())
    await context.environment.publish("talk:early", "the end")
    context.assert_harmless("nothing published", await subscriber.message() == b"the end", "it was published")
