"""Heads, bodies and connections that are too long, too slow or too many, so that nothing is left for others."""

from __future__ import annotations

import asyncio

from devtools.attacks.acts.framing import HIDDEN, HOST, refused
from devtools.attacks.attack import attack
from devtools.attacks.line import is_held, until
from devtools.attacks.setups import Name
from devtools.attacks.trial import Trial, told
from devtools.harness.http import head, upgrade

SLOWLY = 40
"""So many bytes come five in a second: longer than the relay's own deadlines for heads and for silence."""

MEMORY_MIB = 40
"""By how much a relay may grow that is attacked by a handful of connections."""


@attack()
async def head_too_long(trial: Trial) -> None:
    """A megabyte of head, in one field, in many, and before the first line ends."""
    padded = head("GET /healthz HTTP/1.1", HOST, "X-Note: " + "x" * 15_000)
    trial.control("15 KB", await trial.ask(Name.OPEN, padded), "200")
    many = [f"X-{number}: {'x' * 1000}" for number in range(1000)]
    for request in (
        head("GET /healthz HTTP/1.1", HOST, "X-Note: " + "x" * 1_000_000),
        head("GET /healthz HTTP/1.1", HOST, *many),
        upgrade("/ws/news", *many),
        b"GET /" + b"x" * 1_000_000,
    ):
        line, answer = await trial.answered(Name.OPEN, request)
        trial.refused("1 MB", told(line, answer), "431")
        trial.safe("and hung up", await line.hung_up(3) != "open", "the connection stays open")


@attack()
async def body_too_long(trial: Trial) -> None:
    """A body of gigabytes: announced, and in chunks without an end."""
    small = head("GET /healthz HTTP/1.1", HOST, "Content-Length: 5") + b"hello"
    trial.control("a small one", await trial.ask(Name.OPEN, small), "200")
    for path in ("/", "/healthz", "/nothing", "/ws/news"):
        huge = head(f"POST {path} HTTP/1.1", HOST, "Content-Length: 5000000000")
        await refused(trial, "announced", huge, "413")
        line = await trial.line(Name.OPEN)
        line.send(head(f"POST {path} HTTP/1.1", HOST, "Transfer-Encoding: chunked"))
        await line.flood(b"4000\r\n" + b"x" * 0x4000 + b"\r\n", 100)
        # What is still under way when it is refused may end the connection before the answer is read.
        trial.refused("in chunks", told(line, await line.answer()), "413", "reset")
    huge = head("GET /healthz HTTP/1.1", HOST, "Transfer-Encoding: chunked") + b"f" * 5000
    await refused(trial, "a chunk's size without end", huge, "400", "413")


@attack()
async def head_is_slow(trial: Trial) -> None:
    """A head that comes a byte at a time, for ever, on a new connection."""
    line = await trial.line(Name.OPEN)
    await line.drip(HIDDEN, 0.02)
    trial.control("slow, and in time", told(line, await line.answer()), "200")
    for begun in (HIDDEN, upgrade("/ws/news")):
        line = await trial.line(Name.OPEN)
        await line.drip(begun[:SLOWLY], 0.2)
        trial.refused("too slow", told(line, await line.answer()), "408")


@attack()
async def body_is_slow(trial: Trial) -> None:
    """A body that comes a byte at a time, for ever."""
    begun = head("GET /healthz HTTP/1.1", HOST, "Content-Length: 1000")
    line = await trial.line(Name.OPEN)
    line.send(begun + b"x" * 990)
    await line.drip(b"x" * 10, 0.02)
    trial.control("slow, and in time", told(line, await line.answer()), "200")
    line = await trial.line(Name.OPEN)
    line.send(begun)
    await line.drip(b"x" * SLOWLY, 0.2)
    trial.safe("it is ended", line.ended, "a body may take for ever")


@attack(alone=Name.SMALL)
async def connections_are_idle(trial: Trial) -> None:
    """One address opens two hundred connections and keeps them: silent ones, begun ones, and such as were answered."""
    trial.control("somebody comes in before", await trial.knock(Name.SMALL, "/ws/news"))
    for number in range(200):
        try:
            line = await trial.line(Name.SMALL, source="127.0.0.2")
        except OSError:
            # There is no room for this one.
            continue
        line.send((b"", HIDDEN[:20], HIDDEN)[number % 3])
        await line.news(0.02)
    try:
        seen = await trial.knock(Name.SMALL, "/ws/news")
    except OSError:
        seen = "reset"
    trial.safe("others come in", seen == "101", f"idle connections keep everybody out: {seen}")


@attack(alone=Name.SMALL)
async def failures_use_up_places(trial: Trial) -> None:
    """Thirty handshakes of one address are refused, at every stage, or given up: its ten places must be free again."""
    await trial.enter(Name.SMALL, "/ws/news")
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
            line, answer = await trial.answered(Name.SMALL, request)
            trial.refused(f"{request[:20]!r}", told(line, answer), "400", "401 ticket", "403 origin", "426")
            earlier.append(line.port)
        line = await trial.line(Name.SMALL)
        line.send(good)
        line.leave()
        earlier.append(line.port)
    port = (await trial.relay(Name.SMALL)).port
    trial.control("all are gone", await until(lambda: not any(is_held(port, each) for each in earlier), 5), True)
    lines = [await trial.line(Name.SMALL) for _ in range(10)]
    for line in lines:
        line.send(good)
    outcomes = sorted([told(line, await line.answer()) for line in lines])
    trial.safe("nine more come in", outcomes == [*["101"] * 9, "429"], f"places are used up: {outcomes}")


@attack()
async def handshakes_half_open(trial: Trial) -> None:
    """Three hundred connections say nothing, or begin a handshake and do not end it."""
    trial.control("before", await trial.knock(Name.OPEN, "/ws/news"))
    lines = await asyncio.gather(*(trial.line(Name.OPEN) for _ in range(300)))
    for number, line in enumerate(lines):
        if number % 3:
            line.send(upgrade("/ws/news")[: 20 + number % 60])
    trial.control("meanwhile", await trial.knock(Name.OPEN, "/ws/news"))
    endings = await asyncio.gather(*(line.hung_up(5) for line in lines))
    trial.safe("all ended", "open" not in endings, f"{endings.count('open')} are still open")
    told_so = sum(line.received.startswith(b"HTTP/1.1 408") for line in lines)
    trial.safe("told 408", told_so == 200, f"{told_so} of 200 were told 408")


@attack(alone=Name.FLOODED)
async def answers_are_not_read(trial: Trial) -> None:
    """Five connections send requests without end, and do not read one answer."""
    relay = await trial.relay(Name.FLOODED)
    request = head("GET /metrics HTTP/1.1", HOST)
    trial.control("one request", await trial.ask(Name.FLOODED, request), "200")
    before = relay.resident_bytes()
    lines = [await trial.line(Name.FLOODED, receive_buffer=4096) for _ in range(5)]
    for line in lines:
        line.pause()
        line.send(request * 20_000)
    await asyncio.sleep(2)
    trial.control("others are answered", await trial.ask(Name.FLOODED, HIDDEN), "200")
    grown = (relay.resident_bytes() - before) >> 20
    trial.safe("memory stays", grown < MEMORY_MIB, f"the relay grew by {grown} MiB")
