"""Heads, bodies and connections that are too long, too slow or too many, so that others get no service."""

from __future__ import annotations

import asyncio

from devtools.attacks.attack import attack
from devtools.attacks.context import AttackContext, outcome_of
from devtools.attacks.relay_setups import RelayName
from devtools.attacks.scenarios.framing import HIDDEN, HOST, assert_rejected
from devtools.harness.http import head, upgrade
from devtools.harness.raw_connection import is_held_by_relay, wait_until

SLOWLY = 40
"""So many bytes at five per second take longer than the relay's deadlines for heads and for silence."""

MEMORY_MIB = 40
"""How much a relay may grow that a handful of connections attack."""


@attack()
async def head_too_long(context: AttackContext) -> None:
    """Send a megabyte of head: in one field, in many, and before the first line ends."""
    padded = head("GET /healthz HTTP/1.1", HOST, "X-Note: " + "x" * 15_000)
    context.control("15 KB", await context.request(RelayName.OPEN, padded), "200")
    many = [f"X-{number}: {'x' * 1000}" for number in range(1000)]
    for request in (
        head("GET /healthz HTTP/1.1", HOST, "X-Note: " + "x" * 1_000_000),
        head("GET /healthz HTTP/1.1", HOST, *many),
        upgrade("/ws/news", *many),
        b"GET /" + b"x" * 1_000_000,
    ):
        connection, response = await context.exchange(RelayName.OPEN, request)
        context.assert_rejected("1 MB", outcome_of(connection, response), "431")
        context.assert_harmless("and closed", await connection.wait_for_end(3) != "open", "the connection stays open")


@attack()
async def body_too_long(context: AttackContext) -> None:
    """Send a body of gigabytes: announced, and in chunks without end."""
    small = head("GET /healthz HTTP/1.1", HOST, "Content-Length: 5") + b"hello"
    context.control("a small one", await context.request(RelayName.OPEN, small), "200")
    for path in ("/", "/healthz", "/nothing", "/ws/news"):
        huge = head(f"POST {path} HTTP/1.1", HOST, "Content-Length: 5000000000")
        await assert_rejected(context, "announced", huge, "413")
        connection = await context.connect(RelayName.OPEN)
        connection.send(head(f"POST {path} HTTP/1.1", HOST, "Transfer-Encoding: chunked"))
        await connection.flood(b"4000\r\n" + b"x" * 0x4000 + b"\r\n", 100)
        context.assert_rejected("in chunks", outcome_of(connection, await connection.response()), "413")
    huge = head("GET /healthz HTTP/1.1", HOST, "Transfer-Encoding: chunked") + b"f" * 5000
    await assert_rejected(context, "a chunk's size without end", huge, "400", "413")


@attack()
async def head_is_slow(context: AttackContext) -> None:
    """Send a head one byte at a time on a new connection."""
    connection = await context.connect(RelayName.OPEN)
    # Only its end: with every byte, the deadline of two seconds is near where the processors are busy.
    connection.send(HIDDEN[:-10])
    await connection.drip(HIDDEN[-10:], 0.02)
    context.control("slow, and in time", outcome_of(connection, await connection.response()), "200")
    for begun in (HIDDEN, upgrade("/ws/news")):
        connection = await context.connect(RelayName.OPEN)
        await connection.drip(begun[:SLOWLY], 0.2)
        context.assert_rejected("too slow", outcome_of(connection, await connection.response()), "408")


@attack()
async def body_is_slow(context: AttackContext) -> None:
    """Send a body one byte at a time."""
    begun = head("GET /healthz HTTP/1.1", HOST, "Content-Length: 1000")
    connection = await context.connect(RelayName.OPEN)
    connection.send(begun + b"x" * 990)
    await connection.drip(b"x" * 10, 0.02)
    context.control("slow, and in time", outcome_of(connection, await connection.response()), "200")
    connection = await context.connect(RelayName.OPEN)
    connection.send(begun)
    await connection.drip(b"x" * SLOWLY, 0.2)
    context.assert_rejected("too slow", outcome_of(connection, await connection.response()), "408")


@attack(exclusive=RelayName.SMALL)
async def connections_are_idle(context: AttackContext) -> None:
    """Open two hundred connections of one address and keep them: silent, begun, and answered ones."""
    context.control("a client is admitted before", await context.handshake(RelayName.SMALL, "/ws/news"))
    for number in range(200):
        try:
            connection = await context.connect(RelayName.SMALL, source="127.0.0.2")
        except OSError:
            # The relay has no slot for this one.
            continue
        connection.send((b"", HIDDEN[:20], HIDDEN)[number % 3])
        await connection.wait_for_data(0.02)
    try:
        seen = await context.handshake(RelayName.SMALL, "/ws/news")
    except OSError:
        seen = "reset"
    context.assert_harmless("others are admitted", seen == "101", f"idle connections keep other clients out: {seen}")


@attack(exclusive=RelayName.SMALL)
async def failures_use_up_places(context: AttackContext) -> None:
    """Fail or abandon thirty handshakes of one address, which may have ten connections."""
    await context.open_websocket(RelayName.SMALL, "/ws/news")
    good = upgrade("/ws/news")
    earlier = []
    for _ in range(5):
        for request in (
            good.replace(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: x"),
            good.replace(b"Version: 13", b"Version: 8"),
            upgrade("/ws/$control"),
            upgrade("/ws/news", "Origin: https://evil.example"),
            upgrade("/ws/news?ticket=x"),
        ):
            connection, response = await context.exchange(RelayName.SMALL, request)
            context.assert_rejected(
                f"{request[:20]!r}", outcome_of(connection, response), "400", "401 ticket", "403 origin", "426"
            )
            earlier.append(connection.port)
        connection = await context.connect(RelayName.SMALL)
        connection.send(good)
        connection.close()
        earlier.append(connection.port)
    port = (await context.relay(RelayName.SMALL)).port
    context.control(
        "all are gone", await wait_until(lambda: not any(is_held_by_relay(port, each) for each in earlier), 5), True
    )
    connections = [await context.connect(RelayName.SMALL) for _ in range(10)]
    for connection in connections:
        connection.send(good)
    outcomes = sorted([outcome_of(connection, await connection.response()) for connection in connections])
    context.assert_harmless(
        "nine more are admitted", outcomes == [*["101"] * 9, "429"], f"slots are used up: {outcomes}"
    )


@attack()
async def handshakes_half_open(context: AttackContext) -> None:
    """Open three hundred connections that stay silent or begin a handshake."""
    context.control("before", await context.handshake(RelayName.OPEN, "/ws/news"))
    connections = await asyncio.gather(*(context.connect(RelayName.OPEN) for _ in range(300)))
    for number, connection in enumerate(connections):
        if number % 3:
            connection.send(upgrade("/ws/news")[: 20 + number % 60])
    context.control("meanwhile", await context.handshake(RelayName.OPEN, "/ws/news"))
    endings = await asyncio.gather(*(connection.wait_for_end(5) for connection in connections))
    context.assert_harmless("all ended", "open" not in endings, f"{endings.count('open')} are still open")
    answered = sum(connection.received.startswith(b"HTTP/1.1 408") for connection in connections)
    context.assert_harmless("answered 408", answered == 200, f"{answered} of 200 were answered 408")


@attack(exclusive=RelayName.FLOODED)
async def answers_are_not_read(context: AttackContext) -> None:
    """Send requests without end on five connections, and read no response."""
    relay = await context.relay(RelayName.FLOODED)
    request = head("GET /metrics HTTP/1.1", HOST)
    context.control("one request", await context.request(RelayName.FLOODED, request), "200")
    before = relay.resident_bytes()
    connections = [await context.connect(RelayName.FLOODED, receive_buffer=4096) for _ in range(5)]
    for connection in connections:
        connection.pause()
        connection.send(request * 20_000)
    await asyncio.sleep(2)
    context.control("others are answered", await context.request(RelayName.FLOODED, HIDDEN), "200")
    grown = (relay.resident_bytes() - before) >> 20
    context.assert_harmless("memory stays", grown < MEMORY_MIB, f"the relay grew by {grown} MiB")
