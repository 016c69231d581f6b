"""From results to tables: Markdown that can be read in a terminal as it is."""

from __future__ import annotations

from devtools.bench.figures import markdown, middle, number, ratio
from devtools.bench.goals import goals
from devtools.bench.run import Results
from devtools.bench.servers import SERVERS
from devtools.bench.tables import TABLES, Table

__all__ = ["baseline", "compare", "report", "rows", "table"]


def baseline(results: Results) -> str:
    """Choose the server that ratios refer to: wsrelay, else the C program, else the first."""
    measured = [name for by_server in results["values"].values() for name, rounds in by_server.items() if rounds]
    for name in ("wsrelay", "c", *measured):
        if name in measured:
            return str(name)
    return ""


def rows(results: Results, shown: Table) -> dict[str, str]:
    """Return the titles of a table's rows by the server's name.

    They are those that were measured, those that could not be, and, where the table says so, peers that cannot do it.
    """
    measured, missing = results["values"][shown.scenario], results["missing"]
    found: dict[str, str] = {}
    for name in [*SERVERS, *(name for name in measured if name not in SERVERS)]:
        server = SERVERS.get(name)
        title = server.title if server else name
        if measured.get(name):
            found[name] = title
        elif server and name in missing and shown.scenario in server.scenarios:
            found[name] = f"{title}: not measured"
        elif server and name in measured and shown.has_all_peers and server.is_peer:
            found[name] = title
    return found


def table(results: Results, shown: Table, base: str) -> str:
    """Return one table."""
    header = [""]
    for column in shown.columns:
        header.append(column.title)
        if column.ratio:
            header.append(f"x {base}")
    lines = []
    for name, title in rows(results, shown).items():
        row = [title]
        for column in shown.columns:
            value = middle(results, shown.scenario, name, column.metric)
            row.append(number(None if value is None else value / column.scale))
            if column.ratio:
                row.append(number(ratio(results, shown.scenario, column.metric, name, base)))
        lines.append(row)
    return markdown(header, lines)


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
        f"Load client: {results['load_client']}. Environment of the relay: {results.get('relay', 'unknown')}. "
        f"Load average at the start {about['load_average']:.2f}, "
        f"{about.get('stolen_percent', 0):.1f} % of the processors' time stolen by other guests.",
        "",
    ]
    if results["quick"]:
        lines += ["A quick run: for orientation only.", ""]
    for shown in TABLES:
        if any(results["values"].get(shown.scenario, {}).values()):
            lines += [
                f"### {shown.title}",
                "",
                f"{shown.note(results)} (`--only {shown.scenario}`)",
                "",
                table(results, shown, base),
                "",
            ]
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
    changed = []
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
                changed.append([f"{shown.title}: {column.title}", *figures, change, number(corrected)])
    names = [f"{one['commit'] or 'unknown'}{'*' if one['changed'] else ''}" for one in (first, second)]
    header = ["wsrelay", *names, "second / first", "the same / C program's"]
    if not changed:
        return "The two have no figure of wsrelay in common."
    return markdown(header, changed)
