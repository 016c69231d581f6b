"""From results to tables: Markdown that can be read in a terminal as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from devtools.bench.crowds import BYSTANDER_RATE
from devtools.bench.publishing import FACTORS
from devtools.bench.run import Results
from devtools.bench.scenarios import PING_NORM
from devtools.bench.servers import SERVERS
from devtools.harness.reporting import markdown_table


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        metric: Its name in the results.
        title: Its heading.
        scale: The divisor of its values.
        ratio: True if a further column shows the ratio to the baseline's.
    """

    metric: str
    title: str
    scale: float = 1
    ratio: bool = False


@dataclass(frozen=True)
class Table:
    """One table: scenario, heading, explanation and columns."""

    scenario: str
    title: str
    note: Callable[[Results], str]
    columns: tuple[Column, ...]


def _size(results: Results, name: str) -> str:
    return f"{results['sizes'][name]:,}"


def _slow_kb(results: Results) -> int:
    sizes = results["sizes"]
    return int(sizes["slow_size"] * (sizes["slow_paced"] + sizes["slow_rest"]) // 1024)


TABLES = (
    Table(
        "fanout",
        "Paced fan-out",
        lambda r: (
            f"{_size(r, 'rate')} messages/s of {_size(r, 'size')} bytes to {_size(r, 'crowd')} connections "
            "on one channel. CPU of the server per delivered message; latency from publishing to the "
            "subscriber's read."
        ),
        (
            Column("cpu_us", "CPU us/delivery", ratio=True),
            Column("p50_us", "p50 ms", 1e3),
            Column("p99_us", "p99 ms", 1e3),
            Column("p999_us", "p99.9 ms", 1e3),
            Column("last_p50_us", "last subscriber, p50 ms", 1e3),
            Column("load_cpu_us", "(load client us)"),
        ),
    ),
    Table(
        "burst",
        "Burst",
        lambda r: f"{_size(r, 'burst')} messages at once to {_size(r, 'crowd')} connections on one channel.",
        (
            Column("cpu_us", "CPU us/delivery", ratio=True),
            Column("rate", "1,000 deliveries/s", 1e3),
            Column("p99_us", "p99 ms", 1e3),
        ),
    ),
    Table(
        "direct",
        "One to one",
        lambda r: (
            f"{_size(r, 'crowd')} channels with one connection each; paced: {_size(r, 'direct_rate')} "
            f"messages/s, flat out: {r['sizes']['crowd'] // 2:,} under way all the time. Latency is that of "
            "the paced part. The script adds an entry and publishes it with its ID, so that nobody has to read "
            "it; what a subscriber would have to do with the ID is not in its figures."
        ),
        (
            Column("paced_us", "paced, CPU us/message", ratio=True),
            Column("flat_us", "flat out, CPU us/message", ratio=True),
            Column("redis_paced_us", "paced, CPU of Redis us/message"),
            Column("redis_flat_us", "flat out, CPU of Redis us/message"),
            Column("all_paced_us", "paced, both", ratio=True),
            Column("all_flat_us", "flat out, both", ratio=True),
            Column("rate", "flat out, 1,000/s", 1e3),
            Column("p50_us", "p50 ms", 1e3),
            Column("p99_us", "p99 ms", 1e3),
            Column("p999_us", "p99.9 ms", 1e3),
        ),
    ),
    Table(
        "connections",
        "Connections",
        lambda r: (
            f"{_size(r, 'idle')} connections opened after {_size(r, 'crowd')} others; resident memory a second later. "
            "In Centrifugo's protocol a handshake includes the connect and the subscription."
        ),
        (
            Column("kb", "KB/idle connection", ratio=True),
            Column("pending_kb", "KB with a ping pending"),
            Column("token_kb", "KB with a token"),
            Column("handshake_us", "CPU us/handshake", ratio=True),
            Column("token_handshake_us", "CPU us/handshake with a token"),
        ),
    ),
    Table(
        "channels",
        "Connections with many channels",
        lambda r: (
            f"The same where each connection subscribes to {_size(r, 'each')} channels, all to the same: its connect "
            "and subscriptions are one frame."
        ),
        (
            Column("kb", "KB/idle connection"),
            Column("handshake_us", "CPU us/handshake"),
        ),
    ),
    Table(
        "pings",
        "Idle with pings",
        lambda r: (
            f"{_size(r, 'many')} connections, pinged every {r['sizes']['ping']} s to have enough pings in a "
            f"short time; the last column is converted to 10,000 connections pinged every {PING_NORM} s."
        ),
        (
            Column("ping_us", "CPU us/ping", ratio=True),
            Column("percent", "% of a core, as measured"),
            Column("percent_of_10000", "% of a core, converted"),
        ),
    ),
    Table(
        "idle_channels",
        "Idle channels",
        lambda r: (
            f"{_size(r, 'many')} channels with one connection each and no message, watched for "
            f"{r['sizes']['watching']} s without pings. Every stream is read once in 35 s, whatever is reported."
        ),
        (
            Column("percent_of_10000", "% of a core for 10,000"),
            Column("redis_percent_of_10000", "% of a core for 10,000, Redis"),
        ),
    ),
    Table(
        "recovery",
        "Recovery",
        lambda r: (
            f"{_size(r, 'crowd')} clients of one channel that each missed {_size(r, 'missed')} messages connect to a "
            "process that has just started, from their positions: the time until all have everything, and the reads of "
            "the stream. The probe's reads are among them, one in five seconds."
        ),
        (
            Column("seconds", "seconds"),
            Column("cpu_us", "CPU us/client"),
            Column("reads", "reads of Redis"),
        ),
    ),
    Table(
        "growth",
        "Growth",
        lambda r: (
            f"Paced fan-out to {_size(r, 'crowd')} and to {_size(r, 'many')} connections, the same number of "
            "deliveries per second. The bystander is one connection on another channel during the latter: "
            "its wait shows how long the server looks at nothing else."
        ),
        (
            Column("few_us", "few, CPU us/delivery", ratio=True),
            Column("many_us", "many, CPU us/delivery", ratio=True),
            Column("growth", "many / few"),
            Column("last_p50_us", "many: last subscriber, p50 ms", 1e3),
            Column("side_p50_us", "bystander p50 ms", 1e3),
            Column("side_p99_us", "bystander p99 ms", 1e3),
            Column("side_max_us", "bystander max ms", 1e3),
        ),
    ),
    Table(
        "slow",
        "One slow reader",
        lambda r: (
            f"{_size(r, 'rate')} messages/s of {_size(r, 'slow_size')} bytes to {_size(r, 'crowd')} "
            "connections, then the same with one more that never reads. Memory is growth over that part, "
            f"during which {_slow_kb(r):,} KB were sent to each; what the kernel holds for the slow one is "
            "not in the server's memory but the machine's."
        ),
        (
            Column("without_p50_us", "without: p50 ms", 1e3),
            Column("without_p99_us", "without: p99 ms", 1e3),
            Column("with_p50_us", "with: p50 ms", 1e3),
            Column("with_p99_us", "with: p99 ms", 1e3),
            Column("p99_ratio", "p99 with / without"),
            Column("calm_kb", "without: KB grown"),
            Column("grown_kb", "with: KB grown"),
            Column("kernel_kb", "KB in the kernel"),
            Column("kept", "slow one kept (1) or closed (0)"),
        ),
    ),
    Table(
        "echo",
        "From a client through Redis and back",
        lambda r: (
            f"{_size(r, 'crowd')} clients, each of which publishes on a channel of its own and gets it back, "
            f"{_size(r, 'echo_rate')} messages/s in all. Latency is from the client's send to its read."
        ),
        (
            Column("cpu_us", "CPU us/message", ratio=True),
            Column("redis_us", "CPU of Redis us/message"),
            Column("p50_us", "p50 ms", 1e3),
            Column("p99_us", "p99 ms", 1e3),
            Column("p999_us", "p99.9 ms", 1e3),
        ),
    ),
    Table(
        "overload",
        "More than one core carries",
        lambda r: (
            f"The same clients publish without waiting for {r['sizes']['overload_seconds']:g} s: once, twice and four "
            f"times what the server carried with {r['sizes']['crowd'] // 2:,} messages under way all the time. A "
            "client whose socket takes no more publishes no more until it does. Deliveries are those within that time. "
            "Lost is what did not come within two minutes after it. Memory is the highest during it."
        ),
        (
            Column("carried", "carried, 1,000/s", 1e3),
            *(Column(f"rate_{factor}", f"{factor}x: delivered, 1,000/s", 1e3) for factor in FACTORS),
            Column("kept", "least of 2x and 4x / peak"),
            *(Column(f"p99_{factor}_us", f"{factor}x: p99 ms", 1e3) for factor in FACTORS),
            *(Column(f"withheld_{factor}", f"{factor}x: % not sent") for factor in FACTORS),
            Column("closed", "clients disconnected"),
            Column("lost", "messages lost"),
            Column("grown_kb", "MB grown", 1024),
        ),
    ),
    Table(
        "return",
        "A crowd that returns",
        lambda r: (
            f"{r['sizes']['returning'][0]:,} and {r['sizes']['returning'][1]:,} clients connect at once, on one "
            "channel, to a server that has just started, with its default limits. The time is until each has had a message. A "
            "client that is refused tries again when it is told to, or after a second. The bystander was connected "
            f"before on another channel and gets {BYSTANDER_RATE} messages per second."
        ),
        tuple(
            Column(f"{name}_{metric}", f"{name}: {title}", scale, ratio=metric in ("seconds", "cpu_us"))
            for name in ("few", "many")
            for metric, title, scale in (
                ("seconds", "seconds", 1),
                ("cpu_us", "CPU us/client", 1),
                ("refused", "refusals", 1),
                ("side_p50_us", "bystander p50 ms", 1e3),
                ("side_p99_us", "bystander p99 ms", 1e3),
                ("side_max_us", "bystander max ms", 1e3),
            )
        ),
    ),
    Table(
        "tls",
        "Paced fan-out over TLS",
        lambda r: (
            f"{_size(r, 'rate')} messages/s of {_size(r, 'size')} bytes to {_size(r, 'tls_crowd')} connections on one "
            "channel, over TLS 1.3 (AES-256-GCM) that ends in the server."
        ),
        (
            Column("cpu_us", "CPU us/delivery", ratio=True),
            Column("p50_us", "p50 ms", 1e3),
            Column("p99_us", "p99 ms", 1e3),
            Column("p999_us", "p99.9 ms", 1e3),
            Column("handshake_us", "CPU us/handshake, with TLS"),
        ),
    ),
)


def values(results: Results, scenario: str, server: str, metric: str) -> dict[int, float]:
    """Return one metric by round."""
    rounds = results["values"].get(scenario, {}).get(server, [])
    return {entry["round"]: float(entry[metric]) for entry in rounds if metric in entry}


def middle(results: Results, scenario: str, server: str, metric: str) -> float | None:
    """Return the median of one metric over the rounds."""
    found = values(results, scenario, server, metric)
    return median(found.values()) if found else None


def ratio(results: Results, scenario: str, metric: str, server: str, to: str) -> float | None:
    """Return how many times one server's value is another's: the median of the ratios within each round."""
    above, below = values(results, scenario, server, metric), values(results, scenario, to, metric)
    ratios = [above[number] / below[number] for number in above if below.get(number)]
    return median(ratios) if ratios else None


def number(value: float | None, suffix: str = "") -> str:
    """Return a figure with three significant digits."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}{suffix}"
    if abs(value) >= 10:
        return f"{value:.1f}{suffix}"
    return f"{value:.2f}{suffix}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table: the first column to the left, figures to the right."""
    return markdown_table(header, rows, range(1, len(header)))


def baseline(results: Results) -> str:
    """Choose the server that ratios refer to: wsrelay, else the C program, else the first."""
    measured = [name for by_server in results["values"].values() for name, rounds in by_server.items() if rounds]
    for name in ("wsrelay", "c", *measured):
        if name in measured:
            return str(name)
    return ""


def table(results: Results, shown: Table, base: str) -> str:
    """Return one table."""
    header = [""]
    for column in shown.columns:
        header.append(column.title)
        if column.ratio:
            header.append(f"x {base}")
    rows = []
    for name, rounds in results["values"][shown.scenario].items():
        if not rounds:
            continue
        row = [SERVERS[name].title if name in SERVERS else name]
        for column in shown.columns:
            value = middle(results, shown.scenario, name, column.metric)
            row.append(number(None if value is None else value / column.scale))
            if column.ratio:
                row.append(number(ratio(results, shown.scenario, column.metric, name, base)))
        rows.append(row)
    return markdown(header, rows)


@dataclass(frozen=True)
class Goal:
    """A goal: a value that must not exceed a limit."""

    text: str
    limit: float
    value: Callable[[Results], float | None]


HISTORY = "wsrelay-history"

CENTRIFUGO = "wsrelay-centrifugo"

PEERS = ("nchan", "ws", "websockets", "socketio", "picows")

WRAPPING_PEERS = ("centrifugo", "centrifugo-redis", "socketio")
"""Those that make a JSON message of what is published, with its channel or event."""


def _to(scenario: str, metric: str, peer: str, server: str = "wsrelay") -> Callable[[Results], float | None]:
    return lambda results: ratio(results, scenario, metric, server, peer)


def _to_best(
    scenario: str, metric: str, server: str = "wsrelay", peers: Sequence[str] = PEERS
) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        found = [ratio(results, scenario, metric, server, peer) for peer in peers]
        return max((one for one in found if one is not None), default=None)

    return value


def _own(scenario: str, metric: str, scale: float = 1, server: str = "wsrelay") -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        found = middle(results, scenario, server, metric)
        return None if found is None else found / scale

    return value


GOALS = (
    Goal("paced fan-out, CPU / the C program's", 1.2, _to("fanout", "cpu_us", "c")),
    Goal("the same to the largest crowd", 1.1, _to("growth", "many_us", "c")),
    Goal("paced fan-out, CPU / the best peer's", 1.0, _to_best("fanout", "cpu_us")),
    Goal("burst, CPU / the best peer's", 1 / 20, _to_best("burst", "cpu_us")),
    Goal("one to one, paced, CPU / node ws's", 1.0, _to("direct", "paced_us", "ws")),
    Goal("one to one, flat out, CPU / node ws's", 1.0, _to("direct", "flat_us", "ws")),
    Goal("memory of an idle connection / node ws's", 1.0, _to("connections", "kb", "ws")),
    Goal("CPU of a handshake / node ws's", 1.2, _to("connections", "handshake_us", "ws")),
    Goal("10,000 idle connections with pings, % of a core", 3.0, _own("pings", "percent_of_10000")),
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
    """Return the goals, and whether each is met."""
    rows = []
    for goal in GOALS:
        value = goal.value(results)
        if value is not None:
            rows.append([goal.text, f"{goal.limit:.3g}", f"{value:.3g}", "yes" if value <= goal.limit else "NO"])
    return markdown(["goal", "at most", "measured", "met"], rows) if rows else ""


def report(results: Results) -> str:
    """Return the whole report."""
    about = results["machine"]
    where = "each server alone on core {}, the load client and Redis on core {}".format(
        ",".join(map(str, about["server_cores"])), ",".join(map(str, about["load_cores"]))
    )
    if about["server_cores"] == about["load_cores"]:
        where = "everything on one core, so latency and rate say little"
    base = baseline(results)
    commit = f"{results['commit'] or 'unknown'}{' with changes' if results['changed'] else ''}"
    lines = [
        f"Commit {commit}, {results['date']}. {about['processor']}, {about['cores']} cores, "
        f"{about['kernel']}, {about['python']}; {where}. {results['rounds']} rounds, medians; ratios are "
        f"medians of the ratios within each round{f' to {base}' if base else ''}. "
        f"Load client: {results['load_client']}. "
        f"Load average at the start {about['load_average']:.2f}, "
        f"{about.get('stolen_percent', 0):.1f} % of the processors' time stolen by other guests.",
        "",
    ]
    if results["quick"]:
        lines += ["A quick run: for orientation only.", ""]
    for shown in TABLES:
        if any(results["values"].get(shown.scenario, {}).values()):
            lines += [f"### {shown.title}", "", shown.note(results), "", table(results, shown, base), ""]
    goal_table = goals(results)
    if goal_table:
        lines += ["### Goals", "", goal_table, ""]
    if results["missing"]:
        lines += [f"- {name}: not measured: {why}" for name, why in results["missing"].items()] + [""]
    if results["failures"]:
        lines += [f"- FAILED: {failure}" for failure in results["failures"]] + [""]
    lines += ["Versions: " + ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + "."]
    return "\n".join(lines)


def compare(first: Results, second: Results) -> str:
    """Return the changes of wsrelay between two runs.

    The last column divides them by those of the C program, which is the same in both runs: this removes the influence
    of the machine.
    """
    rows = []
    for shown in TABLES:
        for column in shown.columns:
            if column.metric.startswith("load_"):
                continue
            changes: dict[str, float] = {}
            for name in ("wsrelay", "c"):
                before = middle(first, shown.scenario, name, column.metric)
                after = middle(second, shown.scenario, name, column.metric)
                if before and after is not None:
                    changes[name] = after / before
                    if name == "wsrelay":
                        figures = [number(before / column.scale), number(after / column.scale)]
            if "wsrelay" in changes:
                corrected = changes["wsrelay"] / changes["c"] if changes.get("c") else None
                change = number(changes["wsrelay"])
                rows.append([f"{shown.title}: {column.title}", *figures, change, number(corrected)])
    names = [f"{one['commit'] or 'unknown'}{'*' if one['changed'] else ''}" for one in (first, second)]
    header = ["wsrelay", *names, "second / first", "the same / C program's"]
    if not rows:
        return "The two have no figure of wsrelay in common."
    return markdown(header, rows)
