"""Clients that consume resources."""

from __future__ import annotations

import asyncio
import zlib
from random import Random

from devtools.attacks.attack import attack
from devtools.attacks.context import AttackContext, outcome_of
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import client_frame, upgrade
from devtools.harness.raw_connection import is_held_by_relay, wait_until

TEXT = 0x81
COMPRESSED = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover"


async def _speaks(context: AttackContext) -> None:
    """Show that a client with normal traffic is served."""
    connection = await context.connect(RelayName.OPEN)
    # A channel of its own: other attacks do the same.
    connection.send(upgrade(f"/ws/talk:{connection.port}"))
    context.control("a legitimate client", outcome_of(connection, await connection.response()))
    for number in range(50):
        connection.send(client_frame(TEXT, b"%d" % number) + client_frame(0x89))
    received = [await connection.message() for _ in range(50)]
    context.control("fifty messages and pings", received, [b"%d" % number for number in range(50)])
    connection.close()


@attack()
async def frames_flood(context: AttackContext) -> None:
    """Send 64 KB of empty messages, of pings, of pongs, of empty fragments, and of fragments of one byte."""
    await _speaks(context)
    begin = client_frame(0x01, b"x")
    for what, data in (
        ("empty messages", client_frame(TEXT) * 10_900),
        ("pings", client_frame(0x89) * 10_900),
        ("pongs", client_frame(0x8A) * 10_900),
        ("empty fragments", begin + client_frame(0x00) * 10_900),
        ("fragments of a byte", begin + client_frame(0x00, b"x") * 9_000),
    ):
        connection = await context.open_websocket(RelayName.OPEN, "/ws/talk:flood")
        connection.send(data)
        context.assert_rejected(what, await connection.close_code(), "1008")


@attack()
async def bytes_flood(context: AttackContext) -> None:
    """Send messages of 60 KB as fast as the relay takes them."""
    await _speaks(context)
    connection = await context.open_websocket(RelayName.OPEN, "/ws/talk:bytes")
    flooding = asyncio.get_running_loop().create_task(connection.flood(client_frame(TEXT, b"x" * 60_000), 400))
    # It receives its own messages, and may be closed as a slow consumer first.
    context.assert_rejected("too much", await connection.close_code(), "1008", "4008")
    await flooding


@attack()
async def frame_claims_too_much(context: AttackContext) -> None:
    """Send frames whose claimed length exceeds the limit: by a byte, by gigabytes, and beyond 63 bits."""
    await _speaks(context)
    for length, expected in ((65_537, "1009"), (2**31, "1009"), (2**62, "1009"), (2**63, "1002"), (2**64 - 1, "1002")):
        connection = await context.open_websocket(RelayName.OPEN, "/ws/talk:claims")
        connection.send(client_frame(TEXT, b"x" * 100, length=length))
        context.assert_rejected(f"{length} bytes", await connection.close_code(), expected)
    for first, payload in ((0x89, b"x" * 126), (0x88, b"x" * 126), (0x09, b""), (0x83, b"")):
        connection = await context.open_websocket(RelayName.OPEN, "/ws/talk:claims")
        connection.send(client_frame(first, payload))
        context.assert_rejected(f"0x{first:02x}", await connection.close_code(), "1002")
    connection = await context.open_websocket(RelayName.OPEN, "/ws/talk:claims")
    connection.send(client_frame(TEXT, b"hello", masked=False))
    context.assert_rejected("without a mask", await connection.close_code(), "1002")


@attack(exclusive=RelayName.FLOODED)
async def bomb_is_decompressed(context: AttackContext) -> None:
    """Send 64 MB of zeros compressed to 64 KB, in one frame and in a thousand fragments."""
    relay = await context.relay(RelayName.FLOODED)
    connection = await context.open_websocket(RelayName.FLOODED, "/ws/talk:bomb", COMPRESSED)
    connection.send(client_frame(TEXT | 0x40, _deflate(b"x" * 60_000)))
    got = await connection.frame()
    context.control("compressed, and small enough", got is not None and len(got[1]) < 60_000, True)
    before = relay.resident_bytes()
    bomb = _deflate(b"\0" * 64_000_000)
    pieces = [bomb[start : start + 512] for start in range(0, len(bomb), 512)]
    fragments = [client_frame(0x41 if not number else 0x00, piece) for number, piece in enumerate(pieces)]
    for what, data, expected in (
        ("in one", client_frame(TEXT | 0x40, bomb[:65_000]), ("1009",)),
        ("in fragments", b"".join(fragments), ("1008", "1009")),
        ("no deflate at all", client_frame(TEXT | 0x40, b"\xff" * 100), ("1002", "1007")),
    ):
        connection = await context.open_websocket(RelayName.FLOODED, "/ws/talk:bomb", COMPRESSED)
        connection.send(data)
        context.assert_rejected(what, await connection.close_code(), *expected)
    grown = (relay.resident_bytes() - before) >> 20
    context.assert_harmless("memory stays", grown < 40, f"the relay grew by {grown} MiB")


def _deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


@attack()
async def listener_never_reads(context: AttackContext) -> None:
    """Subscribe and never read while messages are published; another client on the channel reads."""
    honest = await context.open_websocket(RelayName.OPEN, "/ws/busy")
    connections = [await context.open_websocket(RelayName.OPEN, "/ws/busy", receive_buffer=4096) for _ in range(5)]
    for connection in connections:
        connection.pause()
    received = 0
    for _ in range(60):
        await context.environment.publish("busy", b"x" * 50_000)
        received += len(await honest.message() or b"")
    context.control("a client that reads receives everything", received, 60 * 50_000)
    port = (await context.relay(RelayName.OPEN)).port
    gone = await wait_until(lambda: not any(is_held_by_relay(port, connection.port) for connection in connections), 8)
    context.assert_harmless("all ended", gone, "some are still held 8 s later")
    context.control("others are admitted", await context.handshake(RelayName.OPEN, "/ws/busy"))


@attack()
async def offers_are_strange(context: AttackContext) -> None:
    """Offer extensions that are malformed, endless, or have impossible windows."""
    connection = await context.connect(RelayName.OPEN)
    connection.send(upgrade("/ws/talk:offers", COMPRESSED))
    response = await connection.response()
    agreed = response is not None and "permessage-deflate" in response.headers.get("sec-websocket-extensions", "")
    context.control("a good offer", agreed, True)
    for offer in (
        "permessage-deflate; server_max_window_bits=0",
        "permessage-deflate; server_max_window_bits=99999999999999999999",
        "permessage-deflate; client_max_window_bits=x; client_max_window_bits=15",
        "permessage-deflate; unknown",
        'permessage-deflate; client_max_window_bits="15',
        "permessage-deflate;;;,,,;=;=",
        "=; ;",
        "permessage-deflate, " * 700,
        "x-webkit-deflate-frame; permessage-deflate\t",
        "permessage-bzip2; permessage-snappy",
    ):
        seen = await context.handshake(RelayName.OPEN, "/ws/talk:offers", f"Sec-WebSocket-Extensions: {offer}")
        context.assert_harmless(seen, seen == "101", f"{offer[:40]!r} came to {seen}")


@attack()
async def frames_are_noise(context: AttackContext) -> None:
    """Send random bytes in place of frames on two hundred connections, with a fixed seed."""
    await _speaks(context)
    rng = Random(7)  # noqa: S311 -- no secret depends on it
    for number in range(200):
        extension = (COMPRESSED,) if number % 2 else ()
        connection = await context.open_websocket(RelayName.OPEN, "/ws/talk:noise", *extension)
        begin = bytes((rng.choice((0x81, 0x82, 0xC1, 0x01, 0x88, 0x89, 0xC2)), 0x80 | rng.randrange(126)))
        connection.send(begin + rng.randbytes(rng.randint(0, 400)))
        await connection.frame(0.01)
        connection.close()
    await _speaks(context)
    # An error would be in the log, which is searched in the end.
    context.assert_harmless("others are served", True, "")
