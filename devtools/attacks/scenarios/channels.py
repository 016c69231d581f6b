"""Channels of other users and of the relay itself, and names that lead to them."""

from __future__ import annotations

from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.context import ROOM, AttackContext
from devtools.attacks.environment import PREFIX
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import client_frame, upgrade

NAMES = (
    "$control",
    "%24control",
    "%2524control",
    "$probe:x",
    "%24probe:x",
    "wsrelay:$control",
    "room:$control",
    "room:1%24",
    ".",
    "..",
    "__keyevent@0__:set",
    "__keyspace@0__:wsrelay:ticket:x",
    "%2e%2e",
    "..%2froom:1",
    "room:1/../../api",
    "room:1%2f..",
    "room:1%00",
    "%00",
    "room:1%0a",
    "room:1%0d%0aPUBLISH",
    "room:1%20",
    "%20room:1",
    "room:*",
    "room:%2a",
    "*",
    "room:%3f",
    "room:[1]",
    "room:{sub}",
    "x" * 256,
    "%c0%afroom:1",
    "%ff%fe",
    "r%D0%BEom:1",
    "room%EF%BC%9A1",
    "%EF%BC%84control",
    "room:1%E2%80%8B",
    "room:%D9%A1",
    "room:1%",
    "room:1%2",
    "room:1%zz",
    "room:1;x=y%5b",
    "",
)
"""Invalid channel names."""


@attack()
async def channel_is_none(context: AttackContext) -> None:
    """Reach internal channels, patterns or lookalikes by names that are encoded, overlong or invalid."""
    token = context.bearer(forge.signed(channels=["*"]))
    for name in ("room:1", "room:%31", "%72oom:1", "x" * 255):
        relay = RelayName.OPEN if name.startswith("x") else RelayName.GUARDED
        context.control(name[:20], await context.handshake(relay, f"/ws/{name}", token))
    for name in NAMES:
        for relay in (RelayName.OPEN, RelayName.GUARDED):
            context.assert_rejected(name[:40], await context.handshake(relay, f"/ws/{name}", token), "400")


@attack()
async def channel_of_another_user(context: AttackContext) -> None:
    """Subscribe to the channels of other users under every spelling, also without a user of one's own."""
    token = context.bearer(forge.signed(channels=None))
    for name in ("user:42", "user:%34%32"):
        context.control(name, await context.handshake(RelayName.GUARDED, f"/ws/{name}", token))
    for name in ("user:43", "user:4", "user:420", "user:042", "user:42:x", "user:%34%33", "user:42.", "user:+42"):
        context.assert_rejected(
            name, await context.handshake(RelayName.GUARDED, f"/ws/{name}", token), "403 channel_denied"
        )
    for name in ("user:", "user", "User:42", "users:42"):
        context.assert_rejected(
            name, await context.handshake(RelayName.GUARDED, f"/ws/{name}", token), "404 unknown_channel"
        )
    for sub in (None, "*", "{sub}", "42 ", "\uff14\uff12"):
        token = context.bearer(forge.signed(sub=sub, channels=["user:*"]))
        context.assert_rejected(
            f"sub {sub!a}", await context.handshake(RelayName.GUARDED, "/ws/user:42", token), "403 channel_denied"
        )


@attack()
async def channel_of_listed_users(context: AttackContext) -> None:
    """Subscribe to channels whose names list other users, or none, also where everything else is public."""
    token = context.bearer(forge.signed(channels=["#*", "room:*"]))
    for name in ("%2342", "%2341,42", "%2341%2C42"):
        context.control(name, await context.handshake(RelayName.GUARDED, f"/ws/{name}", token))
    for name in (
        "%23",
        "%2343",
        "%234",
        "%23422",
        "%23042",
        "%2342%23",
        "%2342%2343",
        "%2341,43",
        "%23%2042",
        "room:1%2343",
    ):
        expected = "400" if "%20" in name else "403 channel_denied"
        seen = await context.handshake(RelayName.GUARDED, f"/ws/{name}", token)
        context.assert_rejected(name, seen, expected)
    for name in ("#42", "room:1#43", "room:1?x=#"):
        context.assert_rejected(name, await context.handshake(RelayName.GUARDED, f"/ws/{name}", token), "400")
    context.control("a public channel", await context.handshake(RelayName.OPEN, "/ws/talk:x"))
    for name in ("%2342", "talk:x%2342", "talk:%23", "%2342?subscribe=false"):
        seen = await context.handshake(RelayName.OPEN, f"/ws/{name}")
        context.assert_rejected(f"public {name}", seen, "401 no_credential")


@attack()
async def publishes_where_it_may_not(context: AttackContext) -> None:
    """Publish on read-only channels, without permission in the credential, and on other channels."""
    may = context.bearer(forge.signed(channels=["talk:*"], publish=["talk:1"]))
    subscriber = await context.open_websocket(RelayName.GUARDED, "/ws/talk:1", may)
    publisher = await context.open_websocket(RelayName.GUARDED, "/ws/talk:1", may)
    publisher.send(client_frame(0x81, b"permitted"))
    context.control("where it may", await subscriber.message(), b"permitted")
    claims: dict[str, Any]
    for path, claims in (
        ("/ws/room:mute", {"publish": ["room:mute", "*"]}),
        ("/ws/user:42", {"channels": None, "publish": ["user:42", "*"]}),
        ("/ws/talk:1", {"channels": ["talk:*"]}),
        ("/ws/talk:1", {"channels": ["talk:*"], "publish": []}),
        ("/ws/talk:1", {"channels": ["talk:*"], "publish": ["talk:2", "talk:11", "talk"]}),
    ):
        connection = await context.open_websocket(RelayName.GUARDED, path, context.bearer(forge.signed(**claims)))
        received = await context.open_websocket(RelayName.GUARDED, path, context.bearer(forge.signed(**claims)))
        connection.send(client_frame(0x81, b"not permitted") * 3)
        context.assert_rejected(path, await connection.close_code(), "4503")
        await context.environment.publish(path.removeprefix("/ws/"), "the end")
        context.assert_harmless(
            "nothing published", await received.message() == b"the end", f"it was published on {path}"
        )


@attack()
async def channel_has_the_prefix(context: AttackContext) -> None:
    """Subscribe to channels named like Redis keys and channels: with the prefix, and like notifications."""
    plain = await context.open_websocket(RelayName.OPEN, "/ws/news")
    others = [
        await context.open_websocket(RelayName.OPEN, f"/ws/{name}")
        for name in (f"{PREFIX}news", f"{PREFIX}{PREFIX}news", f"{PREFIX}ticket:x", "keyevent@0__:set")
    ]
    await context.ticket()
    await context.environment.publish("news", "for news")
    context.control("the channel itself", await plain.message(), b"for news")
    for connection in others:
        context.assert_harmless(
            "receives nothing", await connection.message(0.2) is None, "it received messages of another channel"
        )


@attack(exclusive=RelayName.NO_PREFIX)
async def redis_tells_of_its_keys(context: AttackContext) -> None:
    """Learn the names of tickets from Redis's keyspace notifications, where channels have no prefix."""
    connection = await context.open_websocket(RelayName.NO_PREFIX, "/ws/news")
    await context.environment.command("PUBLISH", "news", "hello")
    context.control("a channel without a prefix", await connection.message(), b"hello")
    observers = []
    for name in ("__keyevent@0__:set", "__keyevent@0__:expire", "__keyspace@0__:ticket:a-ticket-of-the-bare-relay"):
        observer = await context.connect(RelayName.NO_PREFIX)
        observer.send(upgrade(f"/ws/{name}"))
        response = await observer.response()
        if response is not None and response.status == 101:
            observers.append(observer)
    await context.environment.command("SET", "ticket:a-ticket-of-the-bare-relay", '{"sub": "42"}', "EX", 60)
    received = any([await observer.message(0.5) for observer in observers])
    context.assert_harmless("no ticket is revealed", not received, "a client learns the name of a ticket")
    stolen = (
        await context.handshake(RelayName.NO_PREFIX, f"{ROOM}?ticket=a-ticket-of-the-bare-relay")
        if received
        else "nothing"
    )
    context.assert_harmless("no use of it", stolen == "nothing", f"and a handshake with it gives {stolen}")
