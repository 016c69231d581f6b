"""Clients that want to be expensive."""

from __future__ import annotations

import asyncio
import zlib
from random import Random

from devtools.attacks.attack import attack
from devtools.attacks.line import is_held, until
from devtools.attacks.setups import Name
from devtools.attacks.trial import Trial, told
from devtools.harness.http import client_frame, upgrade

TEXT = 0x81
COMPRESSED = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover"


async def _speaks(trial: Trial) -> None:
    """Somebody who sends as much as is normal."""
    line = await trial.line(Name.OPEN)
    # A channel of its own, for others do the same.
    line.send(upgrade(f"/ws/talk:{line.port}"))
    trial.control("an honest client", told(line, await line.answer()))
    for number in range(50):
        line.send(client_frame(TEXT, b"%d" % number) + client_frame(0x89))
    heard = [await line.message() for _ in range(50)]
    trial.control("fifty messages and pings", heard, [b"%d" % number for number in range(50)])
    line.leave()


@attack()
async def frames_flood(trial: Trial) -> None:
    """64 KB of empty messages, of pings, of pongs, of one message's empty fragments, and of those of one byte."""
    await _speaks(trial)
    begin = client_frame(0x01, b"x")
    for what, data in (
        ("empty messages", client_frame(TEXT) * 10_900),
        ("pings", client_frame(0x89) * 10_900),
        ("pongs", client_frame(0x8A) * 10_900),
        ("empty fragments", begin + client_frame(0x00) * 10_900),
        ("fragments of a byte", begin + client_frame(0x00, b"x") * 9_000),
    ):
        line = await trial.enter(Name.OPEN, "/ws/talk:flood")
        line.send(data)
        trial.refused(what, await line.ending(), "1008")


@attack()
async def bytes_flood(trial: Trial) -> None:
    """Messages of 60 KB, as fast as the relay takes them."""
    await _speaks(trial)
    line = await trial.enter(Name.OPEN, "/ws/talk:bytes")
    flooding = asyncio.get_running_loop().create_task(line.flood(client_frame(TEXT, b"x" * 60_000), 400))
    # It hears itself, and may be too slow for that before it is too fast.
    trial.refused("too much", await line.ending(), "1008", "4008", "reset")
    await flooding


@attack()
async def frame_claims_too_much(trial: Trial) -> None:
    """Frames that claim to be longer than may be: by a byte, by all there is, and by more than there is."""
    await _speaks(trial)
    for length, expected in ((65_537, "1009"), (2**31, "1009"), (2**62, "1009"), (2**63, "1002"), (2**64 - 1, "1002")):
        line = await trial.enter(Name.OPEN, "/ws/talk:claims")
        line.send(client_frame(TEXT, b"x" * 100, length=length))
        trial.refused(f"{length} bytes", await line.ending(), expected)
    for first, payload in ((0x89, b"x" * 126), (0x88, b"x" * 126), (0x09, b""), (0x83, b"")):
        line = await trial.enter(Name.OPEN, "/ws/talk:claims")
        line.send(client_frame(first, payload))
        trial.refused(f"0x{first:02x}", await line.ending(), "1002")
    line = await trial.enter(Name.OPEN, "/ws/talk:claims")
    line.send(client_frame(TEXT, b"hello", masked=False))
    trial.refused("without a mask", await line.ending(), "1002")


@attack(alone=Name.FLOODED)
async def bomb_is_decompressed(trial: Trial) -> None:
    """64 MB of zeros, compressed to 64 KB: in one frame, and in a thousand fragments."""
    relay = await trial.relay(Name.FLOODED)
    line = await trial.enter(Name.FLOODED, "/ws/talk:bomb", COMPRESSED)
    line.send(client_frame(TEXT | 0x40, _deflate(b"x" * 60_000)))
    got = await line.frame()
    trial.control("compressed, and small enough", got is not None and len(got[1]) < 60_000, True)
    before = relay.resident_bytes()
    bomb = _deflate(b"\0" * 64_000_000)
    pieces = [bomb[start : start + 512] for start in range(0, len(bomb), 512)]
    fragments = [client_frame(0x41 if not number else 0x00, piece) for number, piece in enumerate(pieces)]
    for what, data, expected in (
        ("in one", client_frame(TEXT | 0x40, bomb[:65_000]), ("1009",)),
        ("in fragments", b"".join(fragments), ("1008", "1009")),
        ("no deflate at all", client_frame(TEXT | 0x40, b"\xff" * 100), ("1002", "1007")),
    ):
        line = await trial.enter(Name.FLOODED, "/ws/talk:bomb", COMPRESSED)
        line.send(data)
        trial.refused(what, await line.ending(), *expected)
    grown = (relay.resident_bytes() - before) >> 20
    trial.safe("memory stays", grown < 40, f"the relay grew by {grown} MiB")


def _deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


@attack()
async def listener_never_reads(trial: Trial) -> None:
    """A client never reads while publishing goes on; another one on the same channel does."""
    honest = await trial.enter(Name.OPEN, "/ws/busy")
    lines = [await trial.enter(Name.OPEN, "/ws/busy", receive_buffer=4096) for _ in range(5)]
    for line in lines:
        line.pause()
    heard = 0
    for _ in range(60):
        await trial.grounds.publish("busy", b"x" * 50_000)
        heard += len(await honest.message() or b"")
    trial.control("who reads hears all", heard, 60 * 50_000)
    port = (await trial.relay(Name.OPEN)).port
    gone = await until(lambda: not any(is_held(port, line.port) for line in lines), 8)
    trial.safe("all ended", gone, "some are still held 8 s later")
    trial.control("others come in", await trial.knock(Name.OPEN, "/ws/busy"))


@attack()
async def offers_are_strange(trial: Trial) -> None:
    """Offers of extensions that are malformed, endless, or want windows that there are not."""
    line = await trial.line(Name.OPEN)
    line.send(upgrade("/ws/talk:offers", COMPRESSED))
    answer = await line.answer()
    agreed = answer is not None and "permessage-deflate" in answer.headers.get("sec-websocket-extensions", "")
    trial.control("a good offer", agreed, True)
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
        seen = await trial.knock(Name.OPEN, "/ws/talk:offers", f"Sec-WebSocket-Extensions: {offer}")
        trial.safe(seen, seen in ("101", "400"), f"{offer[:40]!r} came to {seen}")


@attack()
async def frames_are_noise(trial: Trial) -> None:
    """Two hundred connections send random bytes in place of frames, by the same dice every time."""
    await _speaks(trial)
    rng = Random(7)  # noqa: S311 -- no secret depends on it
    for number in range(200):
        extension = (COMPRESSED,) if number % 2 else ()
        line = await trial.enter(Name.OPEN, "/ws/talk:noise", *extension)
        begin = bytes((rng.choice((0x81, 0x82, 0xC1, 0x01, 0x88, 0x89, 0xC2)), 0x80 | rng.randrange(126)))
        line.send(begin + rng.randbytes(rng.randint(0, 400)))
        await line.frame(0.01)
        line.leave()
    await _speaks(trial)
    # What it would break shows in the log, which is looked into in the end.
    trial.safe("others are served", True, "")
