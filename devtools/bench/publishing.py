"""Scenarios of clients that publish: what it costs, and what happens when they publish too much."""

from __future__ import annotations

from devtools.bench.servers import Option, Server
from devtools.bench.sessions import Bench, Session, Values, latency

__all__ = ["FACTORS", "echo", "overload"]

FACTORS = (1, 2, 4)
"""The load that is offered, as multiples of what one core carries."""

DRAIN_SECONDS = 120.0
"""The deadline for what is still under way after more was offered than could be carried."""

_OPTIONS = frozenset({Option.PUBLISHING})


def _open(session: Session) -> None:
    """Connect clients with a channel each, and warm up the way from each through Redis and back."""
    sizes = session.sizes
    session.connect(sizes.crowd, channels=sizes.crowd)
    session.load.ask("sync")
    session.load.ask("echo", rate=sizes.echo_rate, count=2 * sizes.crowd, size=sizes.size)
    session.settle()


def echo(bench: Bench, server: Server) -> Values:
    """Each of 1,000 clients publishes on its own channel, and gets it back through Redis."""
    sizes = bench.sizes
    with bench.session(server, options=_OPTIONS) as session:
        _open(session)
        redis = session.redis.cpu()
        cost, reply = session.per_delivery("echo", rate=sizes.echo_rate, count=sizes.echoes, size=sizes.size)
        redis = (session.redis.cpu() - redis) * 1e6 / reply["delivered"]
        session.finish()
    return {"cpu_us": cost, "redis_us": redis, **latency(reply)}


def overload(bench: Bench, server: Server) -> Values:
    """Clients publish once, twice and four times what one core carries."""
    sizes = bench.sizes
    with bench.session(server, options=_OPTIONS) as session:
        _open(session)
        reply = session.load.ask("echo", window=sizes.crowd // 2, count=sizes.echo_flat, size=sizes.size)
        carried = reply["delivered"] / reply["seconds"]
        session.finish()
    found: Values = {"carried": carried}
    for factor in FACTORS:
        with bench.session(server, options=_OPTIONS) as session:
            _open(session)
            memory = session.meter.memory()
            session.meter.forget_peak()
            reply = session.load.ask(
                "offer",
                rate=carried * factor,
                seconds=sizes.overload_seconds,
                size=sizes.size,
                deadline=sizes.overload_seconds + DRAIN_SECONDS,
            )
            found |= {
                f"rate_{factor}": reply["in_time"] / sizes.overload_seconds,
                f"closed_{factor}": float(reply["closed"]),
                f"lost_{factor}": float(reply["lost"]),
                f"withheld_{factor}": reply["withheld"] / max(1, reply["offered"]) * 100,
                f"grown_{factor}_kb": (session.meter.peak() - memory) / 1024,
                f"p99_{factor}_us": float(reply["latency"].get("p99", 0)),
            }
    rates = [found[f"rate_{factor}"] for factor in FACTORS]
    found["kept"] = min(rates[1:]) / max(carried, *rates)
    found["closed"] = sum(found[f"closed_{factor}"] for factor in FACTORS)
    found["lost"] = sum(found[f"lost_{factor}"] for factor in FACTORS)
    found["grown_kb"] = max(found[f"grown_{factor}_kb"] for factor in FACTORS)
    return found
