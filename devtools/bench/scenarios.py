"""The scenarios that are measured, one function each.

Each starts a fresh server, so that none inherits the memory of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from devtools.bench.load import Load, LoadError, Reply
from devtools.bench.measure import Meter, server_sockets
from devtools.bench.redis_commands import ask, calls, load_script
from devtools.bench.servers import QUIET_SECONDS, Running, Server, Start
from devtools.harness.ports import free_port

Values = dict[str, float]

READS = ("XRANGE", "XREVRANGE")
"""The commands that a stream is read with."""

PING_NORM = 25
"""Seconds: the usual ping interval, to which the cost measured at a shorter one is converted."""


@dataclass(frozen=True)
class Sizes:
    """Numbers and sizes.

    Attributes:
        size: Bytes of a message.
        crowd: Connections on the one channel of most scenarios.
        rate: Paced messages per second to the crowd.
        paced: How many of them.
        burst: Messages at once.
        bursts: How often.
        direct_rate: Messages per second, each to one connection.
        direct_paced: How many of them.
        direct_flat: How many without pacing.
        each: Channels of a connection that has many.
        idle: Connections opened to learn what one costs.
        many: Connections of the largest crowd.
        many_paced: How many messages go to the largest crowd.
        ping: Seconds between pings.
        pings: Seconds of watching them.
        missed: Messages that each client of a crowd misses which comes back.
        watching: Seconds of watching idle channels: as long as a sweep, so that each has its turn.
        slow_size: Bytes of a message beside a slow reader: large enough to fill the kernel's buffers soon.
        slow_paced: How many of them.
        slow_rest: How many more of them, without pacing.
    """

    size: int = 100
    crowd: int = 1000
    rate: int = 25
    paced: int = 75
    burst: int = 200
    bursts: int = 2
    direct_rate: int = 2500
    direct_paced: int = 4000
    direct_flat: int = 40000
    each: int = 20
    idle: int = 2000
    many: int = 10000
    many_paced: int = 10
    ping: int = 4
    pings: int = 8
    missed: int = 20
    watching: int = 35
    slow_size: int = 16384
    slow_paced: int = 100
    slow_rest: int = 250


NORMAL = Sizes()
QUICK = Sizes(
    paced=25,
    bursts=1,
    direct_paced=2000,
    direct_flat=15000,
    idle=1000,
    many=4000,
    many_paced=5,
    ping=2,
    pings=4,
    watching=8,
    slow_paced=50,
)


@dataclass(frozen=True)
class Bench:
    """The servers and processors that all scenarios share.

    Attributes:
        sizes: Numbers and sizes.
        redis_port: The port of Redis.
        redis: Measures Redis.
        server_cores: The processors of servers.
        load_cores: The processors of load client and Redis.
    """

    sizes: Sizes
    redis_port: int
    redis: Meter
    server_cores: set[int]
    load_cores: set[int]

    @contextmanager
    def session(self, server: Server, *, ping: int = 0) -> Iterator[Session]:
        """Start a server and a load client for it; end both afterwards."""
        ask(self.redis_port, "FLUSHALL")
        start = Start(free_port(), self.redis_port, ping)
        running = Running(server, start, cores=self.server_cores)

        def replace() -> Meter:
            nonlocal running
            running = running.successor(self.server_cores)
            return Meter(running.child.pid)

        try:
            load = Load(
                start.port,
                publish=f"script:{load_script(self.redis_port)}" if server.publish == "script" else server.publish,
                publish_port=start.port if server.takes_messages else self.redis_port,
                flavour=server.flavour,
                path=server.path,
                channel=server.channel,
                cores=self.load_cores,
            )
            try:
                session = Session(self.sizes, load, Meter(running.child.pid), self.redis, start.port, replace)
                yield session
                if not running.child.is_running:
                    raise LoadError(f"the server ended: {running.child.last_lines()}")
            finally:
                load.stop()
        finally:
            running.stop()


@dataclass(frozen=True)
class Session:
    """A started server with its load client, its meter and that of Redis."""

    sizes: Sizes
    load: Load
    meter: Meter
    redis: Meter
    port: int
    replace_server: Callable[[], Meter]
    """End the server, start another one in its place, and return its meter."""

    def connect(self, n: int, *, channels: int = 1, first: int = 0, each: int = 1, slow: bool = False) -> Reply:
        """Open connections, each on one of these channels and on those that follow it, `each` in all."""
        return self.load.ask("connect", n=n, channels=channels, first=first, each=each, slow=int(slow), deadline=90)

    def warm_up(self) -> None:
        """Wait until every connection is subscribed, then warm up code paths and compilers."""
        self.load.ask("sync")
        self.load.ask("paced", rate=100, count=15, size=self.sizes.size)
        self.settle()

    def settle(self, seconds: float = 0.3) -> None:
        """Wait until queues are empty."""
        self.load.ask("idle", seconds=seconds)

    def measured(self, command: str, **arguments: float) -> tuple[float, Reply]:
        """Send a command; return the server's CPU seconds during it, and the reply."""
        before = self.meter.cpu()
        reply = self.load.ask(command, deadline=90, **arguments)
        return self.meter.cpu() - before, reply

    def per_delivery(self, command: str, **arguments: float) -> tuple[float, Reply]:
        """Send a command; return the server's CPU microseconds per delivered message, and the reply."""
        seconds, reply = self.measured(command, **arguments)
        return seconds * 1e6 / max(1, reply["delivered"] + reply["side_delivered"]), reply

    def finish(self) -> Reply:
        """Check once more for late messages, then close everything."""
        self.settle(0.1)
        return self.load.ask("quit")


def _latency(reply: Reply, prefix: str = "") -> Values:
    latency = reply["latency"]
    return {f"{prefix}{name}_us": float(latency[name]) for name in ("p50", "p99", "p999")}


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
        **_latency(reply),
        "last_p50_us": float(reply["complete"]["p50"]),
        "load_cpu_us": (reply["cpu"] - load_before) * 1e6 / reply["delivered"],
    }


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
        **_latency(reply),
    }


def connections(bench: Bench, server: Server) -> Values:
    """CPU of a handshake and memory of an idle connection."""
    return _arrivals(bench, server, each=1)


def channels(bench: Bench, server: Server) -> Values:
    """The same where each connection is subscribed to 20 channels."""
    return _arrivals(bench, server, each=bench.sizes.each)


def _arrivals(bench: Bench, server: Server, *, each: int) -> Values:
    sizes = bench.sizes
    with bench.session(server) as session:
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
        **_latency(without, "without_"),
        **_latency(beside, "with_"),
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
}

ALIASES: dict[str, tuple[str, ...]] = {"latency": ("fanout", "direct"), "idle": ("connections", "pings")}
"""Other names that `--only` accepts: latency is a by-product of two scenarios."""

HEAVY = frozenset({"pings", "growth", "slow", "idle_channels"})
"""Scenarios that take long for each server; they run in every third round."""
