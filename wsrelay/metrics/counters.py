"""THE table of counters: everything that is counted in this process, with the help text of its metric.

Each counter is a plain attribute, because some are incremented on the path of every message.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

__all__ = ["CounterRow", "Counters", "counter_table"]


class CounterRow(NamedTuple):
    """One row of the table.

    Attributes:
        name: The attribute of `Counters`. The metric is ``wsrelay_<name>_total``.
        help: The help text of the metric.
        label: The label of the metric if the attribute is a `collections.Counter` by its values, else None.
    """

    name: str
    help: str
    label: str | None


def _count(help: str) -> Any:
    return field(default=0, metadata={"help": help, "label": None})


def _count_by(label: str, help: str) -> Any:
    return field(default_factory=Counter, metadata={"help": help, "label": label})


@dataclass(slots=True)
class Counters:
    """Numbers that only grow. See `counter_table` for the meaning of each."""

    connections_opened: int = _count("Connections that completed their handshake.")
    handshakes_deferred: int = _count("Handshakes that had to wait until the reactor had time for them.")
    handshake_wait_seconds: float = _count("How long they waited, in seconds.")
    handshakes_rejected: Counter[str] = _count_by(
        "reason", "Handshakes rejected because they would have had to wait too long, or among too many, by reason."
    )
    requests_rejected: Counter[int] = _count_by("status", "Handshakes and requests rejected, by HTTP status.")
    connections_closed: Counter[int] = _count_by("code", "Connections that the relay closed, by close code.")
    auth_rejections: Counter[str] = _count_by(
        "reason", "Clients rejected for lack of a valid credential or a permission, by reason."
    )
    hook_requests: Counter[str] = _count_by("outcome", "Requests to the application's hook, by outcome.")
    client_messages: int = _count("Messages received from clients.")
    reading_pauses: int = _count("Times that a client was read no further for a while, because it sent too much to do.")
    reading_paused_seconds: float = _count("Seconds for which clients were not read, those of all clients together.")
    broker_messages: int = _count("Messages that the broker delivered to this process.")
    deliveries: int = _count("Messages delivered to subscribers: one for each message and subscriber.")
    batches_dropped: int = _count("Batches that a slow subscriber did not get, by the policy of its namespace.")
    publications_not_text: int = _count(
        "Publications not sent because they are not valid UTF-8 and their namespace has frames = text; or not sent to "
        "event streams, which carry text only."
    )
    publications_not_json: int = _count(
        "Publications not sent because they are not JSON and their namespace has payload = json."
    )
    publications_not_kept: int = _count(
        "Publications on channels with history that were published without being added to the stream."
    )
    entries_without_data: int = _count("Entries of streams that were skipped because they have no field data.")
    history_gaps: Counter[str] = _count_by("reason", "Times that entries of a stream were gone unread, by reason.")
    recoveries: Counter[str] = _count_by("outcome", "Positions that clients resumed from, by outcome.")
    broker_interruptions: int = _count("Times that messages may have been lost between the broker and this process.")
    gap_notices: int = _count("Subscribers notified of possible message loss.")
    send_failures: int = _count("Subscribers whose send raised an exception.")
    presence_joins: int = _count("Joins that this process announced, each to all subscribers of its channel.")
    presence_leaves: int = _count("Leaves that this process announced, each to all subscribers of its channel.")
    presence_failures: int = _count("Steps of presence that the broker did not carry out.")
    events_written: int = _count("Events written for the application.")
    events_lost: int = _count("Events for the application that were lost because Redis was away or did not take them.")
    control_messages_unknown: int = _count("Control messages of a kind that this version does not know.")


def counter_table() -> list[CounterRow]:
    """Return the rows of the table, in the order of the attributes of `Counters`."""
    return [CounterRow(each.name, each.metadata["help"], each.metadata["label"]) for each in fields(Counters)]
