"""The tables of a report: one for each scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devtools.bench.crowds import BYSTANDER_RATE
from devtools.bench.publishing import FACTORS
from devtools.bench.run import Results
from devtools.bench.scenarios import PING_NORM

__all__ = ["TABLES", "Column", "Table"]


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
    """One table: scenario, heading, explanation and columns.

    Attributes:
        has_all_peers: True if peers that cannot do this have a row without figures.
    """

    scenario: str
    title: str
    note: Callable[[Results], str]
    columns: tuple[Column, ...]
    has_all_peers: bool = False


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
        has_all_peers=True,
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
        has_all_peers=True,
    ),
    Table(
        "return",
        "A crowd that returns",
        lambda r: (
            f"{r['sizes']['returning'][0]:,} and {r['sizes']['returning'][1]:,} clients connect at once, on one "
            "channel, to a server that has just started, with its default limits. The time is until each has had a "
            "message. A client that is refused tries again when it is told to, or after a second. The bystander was "
            f"connected before on another channel and gets {BYSTANDER_RATE} messages per second."
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
        has_all_peers=True,
    ),
)
