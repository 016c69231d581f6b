"""The base of all scenarios: sizes, processors, and a started server with its load client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devtools.bench.load import Load, LoadError, Reply
from devtools.bench.measure import Meter
from devtools.bench.redis_commands import ask, load_script
from devtools.bench.servers import Option, Running, Server, Start
from devtools.harness.ports import free_port

__all__ = ["NORMAL", "QUICK", "Bench", "Session", "Sizes", "Values", "latency"]

Values = dict[str, float]


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
        echo_rate: Messages per second that clients publish themselves.
        echoes: How many of them.
        echo_flat: How many without pacing, to learn what one core carries.
        overload_seconds: Seconds for which more is offered than that.
        returning: How many clients return at once, in two parts.
        tls_crowd: Connections over TLS on the one channel.
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
    echo_rate: int = 2500
    echoes: int = 7500
    echo_flat: int = 20000
    overload_seconds: float = 8
    returning: tuple[int, int] = (1000, 10000)
    tls_crowd: int = 500
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
    echoes=4000,
    echo_flat=8000,
    overload_seconds=3,
    returning=(1000, 4000),
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
    def session(
        self, server: Server, *, ping: int = 0, tokens: Path | None = None, options: frozenset[Option] = frozenset()
    ) -> Iterator[Session]:
        """Start a server and a load client for it; end both afterwards.

        Args:
            server: The server.
            ping: Seconds between two pings of a connection, 0 for none.
            tokens: A file with a token for each connection; if None, clients have no credential.
            options: Further differences from the ordinary start.
        """
        ask(self.redis_port, "FLUSHALL")
        options |= {Option.TOKENS} if tokens else frozenset()
        publish_port = free_port() if server.takes_messages and Option.TLS in options else 0
        start = Start(free_port(), self.redis_port, ping, options, publish_port)
        running = Running(server, start, cores=self.server_cores)

        def replace() -> Meter:
            nonlocal running
            running = running.successor(self.server_cores)
            return Meter(running.child.pid)

        try:
            load = Load(
                start.port,
                publish=f"script:{load_script(self.redis_port)}" if server.publish == "script" else server.publish,
                publish_port=(publish_port or start.port) if server.takes_messages else self.redis_port,
                flavour=server.flavour,
                path=server.path,
                channel=server.channel,
                cores=self.load_cores,
                tls=Option.TLS in options,
                tokens=tokens,
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

    def connect(
        self, n: int, *, channels: int = 1, first: int = 0, each: int = 1, slow: bool = False, silent: bool = False
    ) -> Reply:
        """Open connections, each on one of these channels and on those that follow it, `each` in all.

        Slow ones read nothing; silent ones answer no ping.
        """
        return self.load.ask(
            "connect",
            n=n,
            channels=channels,
            first=first,
            each=each,
            slow=int(slow),
            deadline=90,
            **({"silent": 1} if silent else {}),
        )

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


def latency(reply: Reply, prefix: str = "") -> Values:
    """Return the quantiles of a reply's latencies, in microseconds."""
    found = reply["latency"]
    return {f"{prefix}{name}_us": float(found[name]) for name in ("p50", "p99", "p999")}
