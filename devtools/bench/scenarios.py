"""The scenarios that are measured, one function each.

Each starts a fresh server, so that none inherits the memory of another.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from devtools.bench.crowds import returning
from devtools.bench.load import LoadError
from devtools.bench.measure import server_sockets
from devtools.bench.paths import CERTIFICATE, LOAD, SECURE_LOAD, TOKENS
from devtools.bench.publishing import echo, overload
from devtools.bench.redis_commands import calls
from devtools.bench.servers import QUIET_SECONDS, Option, Server
from devtools.bench.sessions import Bench, Values, latency
from devtools.bench.web_tokens import write_tokens

READS = ("XRANGE", "XREVRANGE")
"""The commands that a stream is read with."""

PING_NORM = 25
"""Seconds: the usual ping interval, to which the cost measured at a shorter one is converted."""

PENDING_SECONDS = 15
"""Seconds within which every connection must have been pinged, less than any server waits for a pong."""


def fanout(bench: Bench, server: Server) -> Values:
    """Paced messages to 1,000 connections on one channel."""
    sizes = bench.sizes
    with bench.session(server) as session:
        session.connect(sizes.crowd)
        session.warm_up()
        load_before = session.load.ask("idle", seconds=0)["cpu"]
        cost, reply = session.per_delivery("paced", rate=sizes.rate, count=sizes.paced, size=sizes.size)
        session.finish()
    return {
        "cpu_us": cost,
        **latency(reply),
        "last_p50_us": float(reply["complete"]["p50"]),
        "load_cpu_us": (reply["cpu"] - load_before) * 1e6 / reply["delivered"],
    }


def tls(bench: Bench, server: Server) -> Values:
    """Paced messages to 500 connections over TLS, which ends in the server."""
    sizes = bench.sizes
    with bench.session(server, options=frozenset({Option.TLS})) as session:
        before = session.meter.cpu()
        session.connect(sizes.tls_crowd)
        handshake = (session.meter.cpu() - before) * 1e6 / sizes.tls_crowd
        session.warm_up()
        cost, reply = session.per_delivery("paced", rate=sizes.rate, count=sizes.paced, size=sizes.size)
        session.finish()
    return {"cpu_us": cost, **latency(reply), "handshake_us": handshake}


def burst(bench: Bench, server: Server) -> Values:
    """Many messages at once to 1,000 connections on one channel, repeated."""
    sizes = bench.sizes
    with bench.session(server) as session:
        session.connect(sizes.crowd)
        session.warm_up()
        session.load.ask("burst", messages=sizes.burst // 4, size=sizes.size)
        cost, reply = session.per_delivery("burst", messages=sizes.burst, repeat=sizes.bursts, size=sizes.size)
        session.finish()
    return {
        "cpu_us": cost,
        "rate": reply["delivered"] / reply["seconds"],
        "p99_us": float(reply["latency"]["p99"]),
    }


def direct(bench: Bench, server: Server) -> Values:
    """Each message to one of 1,000 channels with one connection each, paced and flat out."""
    sizes = bench.sizes
    crowd = {"channels": sizes.crowd, "size": sizes.size}
    with bench.session(server) as session:
        session.connect(sizes.crowd, channels=sizes.crowd)
        session.load.ask("sync")
        session.load.ask("flat", total=4 * sizes.crowd, window=sizes.crowd // 4, **crowd)
        session.settle()
        redis = session.redis.cpu()
        paced, reply = session.per_delivery("paced", rate=sizes.direct_rate, count=sizes.direct_paced, **crowd)
        redis_paced = (session.redis.cpu() - redis) * 1e6 / reply["delivered"]
        session.settle()
        redis = session.redis.cpu()
        flat, flat_reply = session.per_delivery("flat", total=sizes.direct_flat, window=sizes.crowd // 2, **crowd)
        redis_flat = (session.redis.cpu() - redis) * 1e6 / flat_reply["delivered"]
        session.finish()
    return {
        "paced_us": paced,
        "flat_us": flat,
        "redis_paced_us": redis_paced,
        "redis_flat_us": redis_flat,
        "all_paced_us": paced + redis_paced,
        "all_flat_us": flat + redis_flat,
        "rate": flat_reply["delivered"] / flat_reply["seconds"],
        **latency(reply),
    }


def connections(bench: Bench, server: Server) -> Values:
    """CPU of a handshake, and memory of an idle connection: also with a ping pending, and with a token."""
    found = _arrivals(bench, server, each=1)
    if server.waits_for_pongs and server.flavour != "sse":
        found["pending_kb"] = _pending(bench, server)
    if server.takes_tokens:
        found |= {f"token_{name}": value for name, value in _arrivals(bench, server, each=1, tokens=True).items()}
    return found


def _pending(bench: Bench, server: Server) -> float:
    """Return the KB of an idle connection that has been pinged, and has not answered yet."""
    sizes = bench.sizes
    with bench.session(server, ping=sizes.ping) as session:
        session.connect(sizes.crowd)
        session.settle()
        memory = session.meter.memory()
        session.connect(sizes.idle, silent=True)
        for _ in range(4 * PENDING_SECONDS):
            if session.load.ask("idle", seconds=0.25)["pinged"] >= sizes.idle:
                return (session.meter.memory() - memory) / 1024 / sizes.idle
    raise LoadError(f"some of {sizes.idle} connections were not pinged within {PENDING_SECONDS} s")


def channels(bench: Bench, server: Server) -> Values:
    """The same where each connection is subscribed to 20 channels."""
    return _arrivals(bench, server, each=bench.sizes.each)


def _arrivals(bench: Bench, server: Server, *, each: int, tokens: bool = False) -> Values:
    sizes = bench.sizes
    credentials = write_tokens(TOKENS, sizes.crowd + sizes.idle) if tokens else None
    with bench.session(server, tokens=credentials) as session:
        session.connect(sizes.crowd, each=each)  # warms up compilers and allocators
        session.settle()
        memory = session.meter.memory()
        cpu = session.meter.cpu()
        session.connect(sizes.idle, each=each)
        session.settle(0.2)
        cpu = session.meter.cpu() - cpu
        session.settle(1)
        memory = session.meter.memory() - memory
        session.finish()
    return {"handshake_us": cpu * 1e6 / sizes.idle, "kb": memory / 1024 / sizes.idle}


def pings(bench: Bench, server: Server) -> Values:
    """CPU of 10,000 idle connections that are only pinged."""
    sizes = bench.sizes
    with bench.session(server, ping=sizes.ping) as session:
        session.connect(sizes.many)
        session.settle(sizes.ping)  # the first pings go out
        before = session.load.ask("idle", seconds=0)["pings"]
        cpu, reply = session.measured("idle", seconds=sizes.pings)
        session.finish()
    seen = reply["pings"] - before
    if seen < sizes.many:
        raise LoadError(f"only {seen} pings came in {sizes.pings} s on {sizes.many} connections")
    cost = cpu * 1e6 / seen
    return {
        "ping_us": cost,
        "pings_per_second": seen / reply["seconds"],
        "percent": cpu / reply["seconds"] * 100,
        "percent_of_10000": cost * 10000 / PING_NORM / 1e4,
    }


def idle_channels(bench: Bench, server: Server) -> Values:
    """CPU of 10,000 channels on which nothing happens, with one connection each."""
    sizes = bench.sizes
    with bench.session(server, ping=QUIET_SECONDS) as session:
        session.connect(sizes.many, channels=sizes.many)
        session.settle(3)
        redis = session.redis.cpu()
        cpu, reply = session.measured("idle", seconds=sizes.watching)
        redis = session.redis.cpu() - redis
        session.finish()
    scale = 100 / reply["seconds"] * 10000 / sizes.many
    return {"percent_of_10000": cpu * scale, "redis_percent_of_10000": redis * scale}


def recovery(bench: Bench, server: Server) -> Values:
    """1,000 clients of one channel come back to a new process, each from its position, and get what they missed."""
    sizes = bench.sizes
    with bench.session(server) as session:
        session.connect(sizes.crowd)
        session.warm_up()
        session.load.ask("leave")
        # Nobody is there to get them.
        session.load.ask("burst", messages=sizes.missed, size=sizes.size)
        session.settle()
        meter = session.replace_server()
        session.settle()
        reads, cpu = calls(bench.redis_port, *READS), meter.cpu()
        reply = session.load.ask("resume", window=sizes.crowd // 4)
        cpu = meter.cpu() - cpu
        reads = calls(bench.redis_port, *READS) - reads
        session.finish()
    return {
        "seconds": reply["seconds"],
        "cpu_us": cpu * 1e6 / sizes.crowd,
        "reads": float(reads),
    }


def growth(bench: Bench, server: Server) -> Values:
    """Paced messages to 1,000 and then to 10,000 connections, at the same number of deliveries per second.

    Another connection, on a channel of its own, gets 50 messages per second. Their latency is the time for which the
    server serves nothing but the largest fan-out.
    """
    sizes = bench.sizes
    rate = sizes.rate * sizes.crowd / sizes.many
    with bench.session(server) as session:
        session.connect(1, first=1)
        session.connect(sizes.crowd)
        session.warm_up()
        few, _ = session.per_delivery(
            "paced", rate=sizes.rate, count=sizes.many_paced * sizes.many // sizes.crowd // 2, size=sizes.size
        )
        session.connect(sizes.many - sizes.crowd)
        session.load.ask("sync")
        session.load.ask("paced", rate=rate * 2, count=2, size=sizes.size)
        session.settle()
        many, reply = session.per_delivery(
            "paced", rate=rate, count=sizes.many_paced, size=sizes.size, side=50, side_channel=1
        )
        session.finish()
    return {
        "few_us": few,
        "many_us": many,
        "growth": many / few,
        "last_p50_us": float(reply["complete"]["p50"]),
        "side_p50_us": float(reply["side_latency"]["p50"]),
        "side_p99_us": float(reply["side_latency"]["p99"]),
        "side_max_us": float(reply["side_latency"]["max"]),
    }


def slow(bench: Bench, server: Server) -> Values:
    """Paced larger messages to 1,000 connections, then the same with one more that never reads."""
    sizes = bench.sizes
    paced: dict[str, float] = {"rate": sizes.rate, "count": sizes.slow_paced, "size": sizes.slow_size}
    # The rest goes as fast as it is taken: enough to overflow what the kernel keeps for a connection (4 MB).
    rest: dict[str, float] = {"total": sizes.slow_rest, "window": 4 * sizes.crowd, "size": sizes.slow_size}
    with bench.session(server) as session:
        session.connect(sizes.crowd)
        session.warm_up()
        session.load.ask("paced", rate=sizes.rate, count=sizes.rate, size=sizes.slow_size)
        session.settle()
        memory = session.meter.memory()
        without = session.load.ask("paced", **paced)
        session.load.ask("flat", channels=1, **rest)
        session.settle()
        calm = session.meter.memory() - memory
        session.connect(1, slow=True)
        session.settle()
        memory = session.meter.memory()
        beside = session.load.ask("paced", **paced)
        session.load.ask("flat", channels=1, **rest)
        session.settle()
        grown = session.meter.memory() - memory
        established, kernel = server_sockets(session.port)
        session.finish()
    return {
        **latency(without, "without_"),
        **latency(beside, "with_"),
        "p99_ratio": float(beside["latency"]["p99"]) / float(without["latency"]["p99"]),
        "calm_kb": calm / 1024,
        "grown_kb": grown / 1024,
        "kernel_kb": kernel / 1024,
        # where messages come by HTTP, the publisher's connection is one of the server's as well
        "kept": float(established - sizes.crowd - server.takes_messages),
    }


Scenario = Callable[[Bench, Server], Values]

SCENARIOS: dict[str, Scenario] = {
    "fanout": fanout,
    "burst": burst,
    "direct": direct,
    "connections": connections,
    "channels": channels,
    "pings": pings,
    "growth": growth,
    "slow": slow,
    "idle_channels": idle_channels,
    "recovery": recovery,
    "echo": echo,
    "overload": overload,
    "return": returning,
    "tls": tls,
}

ALIASES: dict[str, tuple[str, ...]] = {
    "latency": ("fanout", "direct"),
    "idle": ("connections", "pings"),
    "crowd": ("echo", "overload", "return", "tls"),
}
"""Other names that `--only` accepts: latency is a by-product of two scenarios."""

HEAVY = frozenset({"pings", "growth", "slow", "idle_channels", "overload", "return"})
"""Scenarios that take long for each server; they run in every third round."""

HEAVY_ROUNDS = 3

_COMPILED = ((LOAD, "load"),)

NEEDS: dict[str, tuple[tuple[Path, str], ...]] = {
    "echo": _COMPILED,
    "overload": _COMPILED,
    "return": _COMPILED,
    "tls": ((SECURE_LOAD, "load_tls"), (CERTIFICATE, "certificate")),
}
"""The files that a scenario needs, with the part of the set-up that makes each.

The load client in Python is too slow for them, and has no TLS.
"""
