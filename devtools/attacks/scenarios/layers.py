"""Defects of Twisted, Autobahn and txredisapi that can be seen from outside."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from devtools.attacks.attack import attack
from devtools.attacks.context import AttackContext, outcome_of
from devtools.attacks.environment import CERTIFICATE
from devtools.attacks.hook_application import SLOW_SECONDS
from devtools.attacks.relay_setups import TLS_HOST, RelayName
from devtools.harness.http import client_frame, upgrade
from devtools.harness.proxy import Direction
from devtools.harness.raw_connection import (
    DEADLINE_SECONDS,
    RawConnection,
    is_held_by_relay,
    wait_until,
    wait_until_async,
)

LINGER_SECONDS = 5.0
"""How long the relay stays subscribed to a channel without clients."""

BURST = "for _ = 1, 150000 do redis.call('PUBLISH', 'wsrelay:working', 'x') end"

CLOSE = client_frame(0x88, b"\x03\xe8")
PONG = 0x8A


@attack(exclusive=RelayName.INTERRUPTED)
async def redis_drops_link_in_auth(context: AttackContext) -> None:
    """Reset the relay's links to Redis repeatedly during AUTH."""
    relay, proxy = await context.relay(RelayName.INTERRUPTED), context.environment.proxy
    context.control("the relay is ready", (await relay.get("/readyz"))[0], 200)
    cuts = 0

    def cut(data: bytes) -> bytes:
        nonlocal cuts
        if b"AUTH" in data:
            cuts += 1
            proxy.cut()
        return data

    with proxy.mangled(Direction.UP, cut):
        proxy.cut()
        context.control("links were cut in their AUTH", await wait_until(lambda: cuts >= 6, 10), True)

    async def is_ready() -> bool:
        return (await relay.get("/readyz"))[0] == 200

    context.assert_harmless(
        "ready again", await wait_until_async(is_ready, 10), f"it did not come back after {cuts} cuts"
    )


@attack(exclusive=RelayName.SLOW_HOOK)
async def client_leaves_while_pending(context: AttackContext) -> None:
    """Disconnect twenty clients while the application is asked about them."""
    relay = await context.relay(RelayName.SLOW_HOOK)
    context.control("a client that waits", await context.handshake(RelayName.SLOW_HOOK, "/ws/hook:late"))
    for number in range(20):
        connection = await context.connect(RelayName.SLOW_HOOK)
        connection.send(upgrade("/ws/hook:late:gone"))
        await asyncio.sleep(0.02)
        connection.close(gracefully=bool(number % 2))
    await asyncio.sleep(SLOW_SECONDS + 0.5)
    context.control("the application was asked", context.environment.application.asked["hook:late:gone"] > 0, True)
    counts = [await relay.metric(f"wsrelay_{name}") for name in ("connections", "authenticated_connections")]
    context.assert_harmless("no client is counted", counts == [0.0, 0.0], f"{counts} are still counted")

    async def is_free() -> bool:
        return await context.environment.subscriber_count("hook:late:gone") == 0

    context.assert_harmless(
        "nothing subscribed", await wait_until_async(is_free, LINGER_SECONDS + 3), "the channel is still subscribed"
    )


@attack(exclusive=RelayName.SLOW_HOOK)
async def second_upgrade_while_pending(context: AttackContext) -> None:
    """Send a second handshake, for another channel, while the first waits for its answer."""
    before = context.environment.application.asked["hook:late"]
    honest = await context.open_websocket(RelayName.SLOW_HOOK, "/ws/hook:late")
    honest.close()
    for pause in (0.0, SLOW_SECONDS / 4):
        connection = await context.connect(RelayName.SLOW_HOOK)
        connection.send(upgrade("/ws/hook:late"))
        await asyncio.sleep(pause)
        connection.send(upgrade("/ws/hook:ok:second"))
        context.control("the first one", outcome_of(connection, await connection.response()))
        # The bytes are read as a frame: "G" has a reserved opcode.
        context.assert_rejected("the second one", await connection.close_code(), "1002")
        context.assert_harmless("one 101", connection.received.count(b"HTTP/1.1") == 1, "there were two answers")
    asked = context.environment.application.asked["hook:ok:second"] or await context.environment.subscriber_count(
        "hook:ok:second"
    )
    seen = context.environment.application.asked["hook:late"]
    context.assert_harmless(
        "asked once about each", seen == 3 + before, f"the application was asked {seen - before} times"
    )
    context.assert_harmless("the application is not asked about it", not asked, "the second handshake was looked at")


@attack()
async def close_and_never_read(context: AttackContext) -> None:
    """Send a close frame after not reading for a while, and do not read the answer either."""
    relay = await context.relay(RelayName.OPEN)
    honest = await context.open_websocket(RelayName.OPEN, "/ws/deaf")
    honest.send(CLOSE)
    context.control("a Close is answered", await honest.close_code(), "1000")
    connection = await context.open_websocket(RelayName.OPEN, "/ws/deaf", receive_buffer=4096)
    connection.pause()
    for _ in range(12):
        await context.environment.publish("deaf", b"x" * 50_000)
    await asyncio.sleep(0.3)
    context.control("it is held before", is_held_by_relay(relay.port, connection.port), True)
    connection.send(CLOSE)
    gone = await wait_until(lambda: not is_held_by_relay(relay.port, connection.port), 5)
    context.assert_harmless("gone in time", gone, "its descriptor was still held 5 s later")


@attack(exclusive=RelayName.TLS)
async def close_without_close_notify(context: AttackContext) -> None:
    """Send a close frame over TLS, read nothing, and send no close_notify."""
    await context.relay(RelayName.TLS)
    port = context.environment.tls_port
    ssl_context = _ssl_context(context)

    def begin() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        encrypted = ssl_context.wrap_socket(plain, server_hostname=TLS_HOST)
        encrypted.sendall(upgrade("/ws/deaf-too"))
        return encrypted

    encrypted = await asyncio.to_thread(begin)
    with encrypted:
        response = await asyncio.to_thread(encrypted.recv, 12)
        context.control("a handshake over TLS", response, b"HTTP/1.1 101")
        mine = encrypted.getsockname()[1]
        context.control("it is held before", is_held_by_relay(port, mine), True)
        await asyncio.to_thread(encrypted.sendall, CLOSE)
        gone = await wait_until(lambda: not is_held_by_relay(port, mine), 5)
    context.assert_harmless("gone in time", gone, "its descriptor was still held 5 s later")


@attack(exclusive=RelayName.FAST_PINGS)
async def relay_stands_still(context: AttackContext) -> None:
    """Stop the relay for longer than a pong may take; a healthy client's pong waits in the socket."""
    relay = await context.relay(RelayName.FAST_PINGS)
    healthy, silent = (
        await context.open_websocket(RelayName.FAST_PINGS, "/ws/still"),
        await context.open_websocket(RelayName.FAST_PINGS, "/ws/still"),
    )
    busy = await context.open_websocket(RelayName.FAST_PINGS, "/ws/working")
    ping = await healthy.frame()
    # It must be stopped while it works: one that waits in epoll would read from sockets before it runs its timers.
    working = asyncio.get_running_loop().create_task(context.environment.command("EVAL", BURST, 0))
    await busy.wait_for_data(1)
    relay.signal(signal.SIGSTOP)
    try:
        context.control("it pings", ping is not None and ping[0], 9)
        healthy.send(client_frame(PONG, ping[1] if ping else b""))
        await asyncio.sleep(5)
        await working
    finally:
        relay.signal(signal.SIGCONT)
    answering = asyncio.get_running_loop().create_task(_answer_pings(healthy))
    context.control("a client that never pongs is dropped", await silent.wait_for_end() != "open", True)
    await context.environment.publish("still", "on")
    context.assert_harmless("the healthy client receives", await answering == b"on", "a healthy client was dropped")


async def _answer_pings(connection: RawConnection) -> bytes | None:
    while (found := await connection.frame()) is not None and found[0] == 9:
        connection.send(client_frame(PONG, found[1]))
    return found[1] if found else None


@attack(exclusive=RelayName.TLS)
async def certificate_is_replaced(context: AttackContext) -> None:
    """Replace the certificate by another one and then by garbage, while a client is connected."""
    relay = await context.relay(RelayName.TLS)
    ssl_context = _ssl_context(context)
    url = f"wss://{TLS_HOST}:{context.environment.tls_port}/ws/renewed"

    async def come() -> ClientConnection:
        return await connect(
            url, ssl=ssl_context, host="127.0.0.1", proxy=None, open_timeout=DEADLINE_SECONDS, close_timeout=1
        )

    async def shown() -> bytes:
        async with await come() as client:
            return _certificate(client)

    async with await come() as old:
        before = _certificate(old)
        context.control("another one sees the same certificate", await shown(), before)
        context.environment.issuer.pem(CERTIFICATE, TLS_HOST)
        relay.signal(signal.SIGHUP)
        after = before
        async with asyncio.timeout(DEADLINE_SECONDS):
            while after == before:
                after = await shown()
        context.environment.issuer.write(CERTIFICATE, b"-----BEGIN PRIVATE KEY-----\ngarbage\n")
        relay.signal(signal.SIGHUP)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while "certificates not loaded" not in relay.log():
                await asyncio.sleep(0.05)
        context.assert_harmless("garbage changes nothing", await shown() == after, "garbage replaced a certificate")
        await context.environment.publish("renewed", "still here")
        async with asyncio.timeout(DEADLINE_SECONDS):
            context.assert_harmless(
                "the connected client receives", await old.recv() == "still here", "an old client lost its connection"
            )


@attack()
async def payload_looks_like_something(context: AttackContext) -> None:
    """Publish messages that look like numbers or are not text, on a channel named like a number."""
    connection = await context.open_websocket(RelayName.OPEN, "/ws/123")
    await context.environment.publish("123", "hello")
    context.control("a message", await connection.frame(), (1, b"hello"))
    for opcode, payload in ((1, b"007"), (1, b"1_000"), (1, b"1.50"), (2, b"\xff\xfe"), (1, b""), (1, b"null")):
        await context.environment.publish("123", payload)
        found = await connection.frame()
        context.assert_harmless("byte for byte", found == (opcode, payload), f"{payload!r} came as {found!r}")


def _ssl_context(context: AttackContext) -> ssl.SSLContext:
    ssl_context = ssl.create_default_context()
    context.environment.issuer.authority.configure_trust(ssl_context)
    return ssl_context


def _certificate(client: ClientConnection) -> bytes:
    encrypted: Any = client.transport.get_extra_info("ssl_object")
    shown: bytes = encrypted.getpeercert(binary_form=True)
    return shown
