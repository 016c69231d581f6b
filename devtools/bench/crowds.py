"""The scenario of a crowd that returns at once."""

from __future__ import annotations

from devtools.bench.servers import Option, Server
from devtools.bench.sessions import Bench, Values

__all__ = ["BYSTANDER_RATE", "returning"]

BYSTANDER_RATE = 100
"""Messages per second to the one client that was there before."""


def returning(bench: Bench, server: Server) -> Values:
    """1,000, then 10,000 clients connect at once to a server that has just started, with its default limits."""
    sizes = bench.sizes
    found: Values = {}
    for name, crowd in zip(("few", "many"), sizes.returning, strict=True):
        with bench.session(server, options=frozenset({Option.DEFAULTS})) as session:
            session.connect(1)
            session.load.ask("sync")
            cpu, reply = session.measured(
                "arrive", n=crowd, first=1, side=BYSTANDER_RATE, side_channel=0, size=sizes.size
            )
            side = reply["side_latency"]
            found |= {
                f"{name}_seconds": float(reply["subscribed"]),
                f"{name}_cpu_us": cpu * 1e6 / crowd,
                f"{name}_refused": float(reply["refusals"]),
                f"{name}_side_p50_us": float(side.get("p50", 0)),
                f"{name}_side_p99_us": float(side.get("p99", 0)),
                f"{name}_side_max_us": float(side.get("max", 0)),
            }
    return found
