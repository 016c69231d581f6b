"""Goals of the relay, each a figure of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devtools.bench.figures import markdown, middle, ratio
from devtools.bench.run import Results
from devtools.bench.sessions import NORMAL

__all__ = ["GOALS", "Goal", "Measure", "goals"]

HISTORY = "wsrelay-history"

CENTRIFUGO = "wsrelay-centrifugo"

PEERS = ("nchan", "ws", "websockets", "socketio", "picows", "autobahn", "centrifugo", "centrifugo-redis")

WRAPPING_PEERS = ("centrifugo", "centrifugo-redis", "socketio")
"""Those that make a JSON message of what is published, with its channel or event."""

BESIDE_CENTRIFUGO = {
    "fanout": ("cpu_us",),
    "burst": ("cpu_us",),
    "direct": ("paced_us", "flat_us"),
    "connections": ("kb", "token_kb", "handshake_us", "token_handshake_us"),
    "channels": ("kb", "handshake_us"),
    "pings": ("ping_us",),
    "growth": ("few_us", "many_us"),
    "idle_channels": ("percent_of_10000",),
    "echo": ("cpu_us",),
    "return": ("few_seconds", "few_cpu_us", "many_seconds", "many_cpu_us"),
    "tls": ("cpu_us",),
}
"""The figures in which the relay has to be ahead of Centrifugo, by scenario."""

MEMORY_MB = 64.0
"""The growth that a process may have while four times what it carries is offered."""


@dataclass(frozen=True)
class Measure:
    """A figure of a scenario: called with results, it returns the figure, or None where it was not measured."""

    scenario: str
    read: Callable[[Results], float | None]

    def __call__(self, results: Results) -> float | None:
        """Return the figure."""
        return self.read(results)


@dataclass(frozen=True)
class Goal:
    """A goal: a value that must not exceed a limit, or must not be below it."""

    text: str
    limit: float
    value: Measure
    is_least: bool = False

    def is_met(self, value: float) -> bool:
        """Return True if this value meets the goal."""
        return value >= self.limit if self.is_least else value <= self.limit


def _to(scenario: str, metric: str, peer: str, server: str = "wsrelay") -> Measure:
    return Measure(scenario, lambda results: ratio(results, scenario, metric, server, peer))


def _to_best(scenario: str, metric: str, server: str = "wsrelay", peers: Sequence[str] = PEERS) -> Measure:
    def value(results: Results) -> float | None:
        found = [ratio(results, scenario, metric, server, peer) for peer in peers]
        return max((one for one in found if one is not None), default=None)

    return Measure(scenario, value)


def _own(scenario: str, metric: str, scale: float = 1, server: str = "wsrelay") -> Measure:
    def value(results: Results) -> float | None:
        found = middle(results, scenario, server, metric)
        return None if found is None else found / scale

    return Measure(scenario, value)


def _worst_beside_centrifugo(scenario: str, server: str) -> Measure:
    def value(results: Results) -> float | None:
        rows = [(metric, peer) for metric in BESIDE_CENTRIFUGO[scenario] for peer in ("centrifugo", "centrifugo-redis")]
        found = [ratio(results, scenario, metric, server, peer) for metric, peer in rows]
        return max((one for one in found if one is not None), default=None)

    return Measure(scenario, value)


def _figures(scenario: str) -> str:
    return f"{scenario}: {', '.join(BESIDE_CENTRIFUGO[scenario])}"


_RETURNING = tuple(zip(("few", "many"), NORMAL.returning, strict=True))

GOALS = (
    Goal("paced fan-out, CPU / the C program's", 1.10, _to("fanout", "cpu_us", "c")),
    Goal("the same to the largest crowd", 1.05, _to("growth", "many_us", "c")),
    Goal("paced fan-out, CPU / the best peer's", 1.0, _to_best("fanout", "cpu_us")),
    Goal("burst, CPU / the best peer's", 1 / 20, _to_best("burst", "cpu_us")),
    Goal("CPU of a handshake / node ws's", 0.6, _to("connections", "handshake_us", "ws")),
    Goal("CPU of a handshake / picows'", 0.8, _to("connections", "handshake_us", "picows")),
    Goal(
        "CPU of a handshake / Centrifugo's, with connect and subscribe",
        0.6,
        _to("connections", "handshake_us", "centrifugo"),
    ),
    Goal("CPU of a ping with its pong / node ws's", 1.0, _to("pings", "ping_us", "ws")),
    Goal("10,000 idle connections with pings, % of a core", 1.0, _own("pings", "percent_of_10000")),
    Goal("one to one, paced, CPU / nchan's", 1.0, _to("direct", "paced_us", "nchan")),
    Goal("one to one, paced, CPU / node ws's", 1.0, _to("direct", "paced_us", "ws")),
    Goal("one to one, flat out, CPU / node ws's", 0.7, _to("direct", "flat_us", "ws")),
    Goal("from a client through Redis and back, CPU / node ws's", 0.8, _to("echo", "cpu_us", "ws")),
    Goal("overload: clients disconnected", 0.0, _own("overload", "closed")),
    Goal("overload: messages lost", 0.0, _own("overload", "lost")),
    Goal("overload: least delivered at 2x and 4x / peak", 0.9, _own("overload", "kept"), is_least=True),
    Goal("overload: MB grown", MEMORY_MB, _own("overload", "grown_kb", 1024)),
    *(
        goal
        for name, crowd in _RETURNING
        for goal in (
            Goal(f"return of {crowd:,}: refusals", 0.0, _own("return", f"{name}_refused")),
            Goal(f"return of {crowd:,}: time / the best peer's", 1.0, _to_best("return", f"{name}_seconds")),
            Goal(f"return of {crowd:,}: CPU / the best peer's", 1.0, _to_best("return", f"{name}_cpu_us")),
        )
    ),
    Goal("paced fan-out over TLS, CPU / node ws's", 0.9, _to("tls", "cpu_us", "ws")),
    Goal("memory of an idle connection, KB", 2.2, _own("connections", "kb")),
    Goal("the same with a token, KB", 2.2, _own("connections", "token_kb")),
    Goal("the same with a ping pending, KB", 2.2, _own("connections", "pending_kb")),
    Goal("memory of an idle connection / node ws's", 1.0, _to("connections", "kb", "ws")),
    *(
        Goal(f"worst ratio to Centrifugo, {_figures(scenario)}", 1.0, _worst_beside_centrifugo(scenario, "wsrelay"))
        for scenario in BESIDE_CENTRIFUGO
        if scenario != "channels"
    ),
    *(
        Goal(
            f"Centrifugo's protocol: worst ratio to Centrifugo, {_figures(scenario)}",
            1.0,
            _worst_beside_centrifugo(scenario, CENTRIFUGO),
        )
        for scenario in BESIDE_CENTRIFUGO
    ),
    Goal("others' p99 latency beside a slow reader / without", 1.1, _own("slow", "p99_ratio")),
    Goal("longest wait of a bystander of the largest fan-out, ms", 20.0, _own("growth", "side_max_us", 1e3)),
    Goal("history: paced fan-out, CPU / a plain channel's", 1.1, _to("fanout", "cpu_us", "wsrelay", HISTORY)),
    Goal("history: burst, CPU / a plain channel's", 1.1, _to("burst", "cpu_us", "wsrelay", HISTORY)),
    Goal("history: one to one, paced, CPU / plain channels'", 2.5, _to("direct", "paced_us", "wsrelay", HISTORY)),
    Goal("history: one to one, flat out, CPU / plain channels'", 2.5, _to("direct", "flat_us", "wsrelay", HISTORY)),
    Goal(
        "history: one to one, paced, CPU with Redis / the script's",
        1.0,
        _to("direct", "all_paced_us", "wsrelay-script", HISTORY),
    ),
    Goal(
        "history: one to one, flat out, CPU with Redis / the script's",
        1.0,
        _to("direct", "all_flat_us", "wsrelay-script", HISTORY),
    ),
    Goal("history: return of the crowd, seconds", 2.0, _own("recovery", "seconds", server="wsrelay-sse-history")),
    Goal("history: return of the crowd, reads of Redis", 5.0, _own("recovery", "reads", server="wsrelay-sse-history")),
    Goal("SSE: paced fan-out, CPU / the raw socket's", 1.1, _to("fanout", "cpu_us", "wsrelay", "wsrelay-sse")),
    Goal(
        "SSE: paced fan-out with history, CPU / SSE without",
        1.1,
        _to("fanout", "cpu_us", "wsrelay-sse", "wsrelay-sse-history"),
    ),
    Goal("SSE: memory of an idle connection, KB", 3.0, _own("connections", "kb", server="wsrelay-sse")),
    Goal(
        "Centrifugo's protocol: paced fan-out, CPU / the raw dialect's",
        1.15,
        _to("fanout", "cpu_us", "wsrelay", CENTRIFUGO),
    ),
    Goal(
        "Centrifugo's protocol: burst, CPU / the best peer's that makes JSON of messages",
        1 / 20,
        _to_best("burst", "cpu_us", CENTRIFUGO, WRAPPING_PEERS),
    ),
    Goal("Centrifugo's protocol: memory of an idle connection, KB", 4.0, _own("connections", "kb", server=CENTRIFUGO)),
    Goal("the same with 20 channels, KB", 12.0, _own("channels", "kb", server=CENTRIFUGO)),
    Goal("history: 10,000 idle channels, % of a core", 2.0, _own("idle_channels", "percent_of_10000", server=HISTORY)),
)


def goals(results: Results) -> str:
    """Return the goals of the scenarios of a run, and whether each is met."""
    rows = []
    for goal in GOALS:
        if goal.value.scenario not in results["values"]:
            continue
        value = goal.value(results)
        limit = f"{'at least' if goal.is_least else 'at most'} {goal.limit:.3g}"
        if value is None:
            rows.append([goal.text, "-", limit, "not measured"])
        else:
            rows.append([goal.text, f"{value:.3g}", limit, "yes" if goal.is_met(value) else "NO"])
    return markdown(["goal", "measured", "limit", "met"], rows) if rows else ""
