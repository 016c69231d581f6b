"""Clients that must be disconnected or rejected after a revocation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.context import ROOM, AttackContext, UnprovenError
from devtools.attacks.environment import PREFIX
from devtools.attacks.relay_setups import API_KEY, RelayName
from devtools.harness.http import client_frame, head, upgrade
from devtools.harness.raw_connection import RawConnection

BOTH = (RelayName.GUARDED, RelayName.GUARDED_2)


async def _disconnect(context: AttackContext, name: RelayName, **document: object) -> str:
    """Disconnect clients through the API; return the outcome."""
    body = json.dumps(document).encode()
    fields = (f"Authorization: Bearer {API_KEY}", f"Content-Length: {len(body)}")
    return await context.request(name, head("POST /api/disconnect HTTP/1.1", "Host: relay.example", *fields) + body)


async def _all_end(
    context: AttackContext, connections: Sequence[RawConnection], expected: str, seconds: float = 3
) -> None:
    for close_code in await asyncio.gather(*(connection.close_code(seconds) for connection in connections)):
        context.assert_rejected("a connected client", close_code, expected)


@attack()
async def stays_beyond_expiry(context: AttackContext) -> None:
    """Stay connected, send and ping after the token has expired."""
    end = int(forge.now()) + 2
    connection = await context.open_websocket(
        RelayName.GUARDED, "/ws/room:ending", context.bearer(forge.signed(exp=end))
    )
    other = await context.open_websocket(RelayName.GUARDED, "/ws/room:ending", context.bearer(forge.signed()))
    await context.environment.publish("room:ending", "before")
    context.control("it receives before", await connection.message(), b"before")
    context.assert_rejected("at its end", await connection.close_code(4), "4502")
    late = forge.now() - end
    context.assert_harmless("in time", late < 1.5, f"it stayed {late:.1f} s longer")
    await context.environment.publish("room:ending", "after")
    while (message := await other.message()) not in (b"after", None):
        continue
    context.control("the other one stays", message, b"after")


@attack()
async def comes_back_after_revocation(context: AttackContext) -> None:
    """Reconnect at both processes after a revocation by token and by user, through API and Redis."""
    for kind in ("token", "user", "redis"):
        sub = f"revoked-by-{kind}"
        field = context.bearer(forge.signed(sub=sub, jti=f"jti-of-{kind}"))
        connections = [await context.open_websocket(name, ROOM, field) for name in (*BOTH, *BOTH)]
        other = await context.open_websocket(RelayName.GUARDED, ROOM, context.bearer(forge.signed(sub=f"{sub}-not")))
        if kind == "redis":
            await context.environment.command("SET", f"{PREFIX}revoked:user:{sub}", 1, "EX", 60)
            await context.environment.publish("$control", json.dumps({"disconnect": {"user": sub}}))
        else:
            value = sub if kind == "user" else f"jti-of-{kind}"
            seen = await _disconnect(context, RelayName.GUARDED_2, **{kind: value, "revoke_seconds": 60})
            context.control("the API takes it", seen, "202")
        await _all_end(context, connections, "4505")
        for name in BOTH:
            context.assert_rejected("reconnecting", await context.handshake(name, ROOM, field), "401 revoked")
        late = await context.open_websocket(RelayName.GUARDED, f"{ROOM}?auth=message")
        late.send(_first(field.rpartition(" ")[2]))
        context.assert_rejected("by a message", await late.close_code(), "4505")
        if kind != "token":
            path = f"{ROOM}{await context.ticket(sub=sub)}"
            context.assert_rejected("by a ticket", await context.handshake(RelayName.GUARDED, path), "401 revoked")
        context.control("another user stays", await other.close_code(0.2), "open")


@attack()
async def ticket_is_torn(context: AttackContext) -> None:
    """Use a ticket that was revoked, before and after the handshake."""
    # The API returns the ticket to the owner of its key, so these are secrets of the environment, not of this context.
    used, unused, other = [await context.environment.ticket() for _ in range(3)]
    connection = await context.open_websocket(RelayName.GUARDED, f"{ROOM}?ticket={used}")
    for ticket in (used, unused):
        context.control("the API takes it", await _disconnect(context, RelayName.GUARDED_2, ticket=ticket), "202")
    context.assert_rejected("its client", await connection.close_code(3), "4505")
    context.assert_rejected(
        "a client that uses it now", await context.handshake(RelayName.GUARDED, f"{ROOM}?ticket={unused}"), "401 ticket"
    )
    context.control("another ticket", await context.handshake(RelayName.GUARDED, f"{ROOM}?ticket={other}"))


@attack()
async def speaks_after_close(context: AttackContext) -> None:
    """Ignore the close frame of a disconnection, and go on sending and listening."""
    may: dict[str, Any] = {"channels": ["talk:bye"], "publish": ["talk:bye"]}
    subscriber = await context.open_websocket(RelayName.GUARDED, "/ws/talk:bye", context.bearer(forge.signed(**may)))
    connection = await context.open_websocket(
        RelayName.GUARDED, "/ws/talk:bye", context.bearer(forge.signed(sub="says-more", **may))
    )
    connection.send(client_frame(0x81, b"before"))
    context.control("before", (await subscriber.message(), await connection.message()), (b"before", b"before"))
    context.control("the API", await _disconnect(context, RelayName.GUARDED, user="says-more"), "202")
    context.assert_rejected("the close", await connection.close_code(), "4505")
    connection.send(client_frame(0x81, b"after") * 3)
    await asyncio.sleep(0.2)
    await context.environment.publish("talk:bye", "the end")
    context.assert_harmless("nothing published", await subscriber.message() == b"the end", "it was published")
    context.assert_harmless("nothing received", await connection.frame(0.3) is None, "it still receives")


@attack()
async def comes_in_while_revoked(context: AttackContext) -> None:
    """Connect forty times at two processes at the moment when the user is revoked."""
    sub = "revoked-in-a-race"
    field = context.bearer(forge.signed(sub=sub))
    context.control("before", await context.handshake(RelayName.GUARDED, ROOM, field))

    async def come(number: int) -> RawConnection:
        await asyncio.sleep(number * 0.002)
        connection, _ = await context.exchange(BOTH[number % 2], upgrade(ROOM, field))
        return connection

    coming = [asyncio.get_running_loop().create_task(come(number)) for number in range(40)]
    await asyncio.sleep(0.04)
    context.control("the API", await _disconnect(context, RelayName.GUARDED, user=sub, revoke_seconds=60), "202")
    connections = await asyncio.gather(*coming)
    in_first = sum(connection.received.startswith(b"HTTP/1.1 101") for connection in connections)
    endings = await asyncio.gather(*(connection.close_code(3) for connection in connections))
    left = endings.count("open")
    context.assert_harmless(
        f"{in_first} of 40 were admitted, none stays", not left, f"{left} stay after their user was revoked"
    )


@attack(exclusive=RelayName.INTERRUPTED)
async def revoked_while_cut_off(context: AttackContext) -> None:
    """Revoke a user while the relay's links to Redis are cut."""
    proxy = context.environment.proxy
    relay = await context.relay(RelayName.INTERRUPTED)
    field = context.bearer(forge.signed(sub="revoked-while-away"))
    connection = await context.open_websocket(RelayName.INTERRUPTED, "/ws/room:cut", field)
    other = await context.open_websocket(
        RelayName.INTERRUPTED, "/ws/room:cut", context.bearer(forge.signed(sub="not-revoked"))
    )
    proxy.refuse()
    proxy.cut()
    await context.environment.command("SET", f"{PREFIX}revoked:user:revoked-while-away", 1, "EX", 60)
    await context.environment.publish("$control", '{"disconnect": {"user": "revoked-while-away"}}')
    context.assert_rejected(
        "connecting while it is cut off",
        await context.handshake(RelayName.INTERRUPTED, "/ws/room:cut", field),
        "503 not_checked",
    )
    context.control("it is still there", await connection.close_code(0.3), "open")
    await proxy.listen()
    context.assert_rejected("once it is back", await connection.close_code(15), "4505")
    context.control("ready again", (await relay.get("/readyz"))[0], 200)
    context.assert_rejected(
        "reconnecting", await context.handshake(RelayName.INTERRUPTED, "/ws/room:cut", field), "401 revoked"
    )
    await context.environment.publish("room:cut", "on")
    context.control("the other client receives", await other.message(), b"on")


@attack()
async def name_escapes_revocation(context: AttackContext) -> None:
    """Disconnect users by names with unprintable characters, which many applications allow."""
    for sub in (
        "plain",
        "with\u00a0space",
        "zero\u200bwidth",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "a\tb",
        "x" * 255,
    ):
        by_api, by_redis = [
            await context.open_websocket(name, ROOM, context.bearer(forge.signed(sub=sub))) for name in BOTH
        ]
        seen = await _disconnect(context, RelayName.GUARDED, user=sub)
        close_code = await by_api.close_code(3)
        await context.environment.publish("$control", json.dumps({"disconnect": {"user": sub}}))
        endings = {close_code, await by_redis.close_code(3)}
        if sub == "plain":
            context.control("a plain name", endings, {"4505"})
        else:
            for one in endings:
                context.assert_rejected(f"{sub[:20]!a} (the API says {seen})", one, "4505")


@attack(exclusive=RelayName.HOOK)
async def anonymous_client_escapes_disconnection(context: AttackContext) -> None:
    """Disconnect clients without a user by the connection id that the hook received."""
    for channel in ("hook:ok:named", "hook:204:anonymous"):
        connection = await context.open_websocket(RelayName.HOOK, f"/ws/{channel}")
        connection_id = context.environment.application.questions[channel].get("connection")
        if not isinstance(connection_id, str):
            raise UnprovenError("the hook did not receive the id of the connection")
        context.control("the API", await _disconnect(context, RelayName.HOOK, connection=connection_id), "202")
        close_code = await connection.close_code(3)
        if channel.endswith("named"):
            context.control("one with a name", close_code, "4505")
        else:
            context.assert_rejected("one without", close_code, "4505")


def _first(token: str) -> bytes:
    return client_frame(0x81, json.dumps({"token": token}).encode())
