"""Accounts for every message on every connection that was open when it was published.

A message that Redis accepted while a connection was open is expected on that connection. One that did not come is
*lost*. The loss is *announced* if the connection then ended, because its client knows that it missed messages, and
*silent* if the connection stayed open across it. Silent loss is the failure that this suite looks for. A message that
comes twice, out of order or on the wrong channel is another.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from devtools.faults.clients import ConnectionRecord
from devtools.faults.publisher import MessageState, NumberedMessage

__all__ = ["DeliveryReport", "audit", "check_announcement_delay"]

ANNOUNCE_SECONDS = 20.0
"""How long after the end of a fault a connection may still be closed for an earlier loss: about ten seconds until the
relay detects it, a margin for a slow machine, and up to ten seconds in which the relay notifies many clients."""


@dataclass(slots=True)
class DeliveryReport:
    """Messages that were lost, and whether the loss was announced.

    Attributes:
        expected: Messages times connections that were open.
        lost: Those that did not come.
        announced: Those lost on connections that then ended.
        silent: Those lost on connections that are still open.
        announced_after: The longest time from the first loss on a connection to its end, in seconds.
        announced_at: When the last of those connections ended.
        disordered: Messages that came twice, or out of the order of the connection that they were sent on.
        late: Messages sent on a connection that had ended, received after those of a later one. A command that is on
            its way to Redis when a link is abandoned may still be executed, and cannot be recalled.
        unknown: Messages that were not published on that channel.
        examples: A few descriptions of what went wrong.
    """

    expected: int = 0
    lost: int = 0
    announced: int = 0
    silent: int = 0
    announced_after: float = 0.0
    announced_at: float = 0.0
    disordered: int = 0
    late: int = 0
    unknown: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


def audit(
    connections: Iterable[ConnectionRecord], log: Mapping[str, Sequence[NumberedMessage]], until: float
) -> DeliveryReport:
    """Compare what was published until a moment with what connections received."""
    delivery = DeliveryReport()
    for connection in connections:
        _audit_one(connection, log[connection.channel], until, delivery)
    return delivery


def _audit_one(
    connection: ConnectionRecord, log: Sequence[NumberedMessage], until: float, delivery: DeliveryReport
) -> None:
    delivery.unknown += connection.unknown
    highest = -1
    got: set[int] = set()
    last: dict[int, int] = {}
    for number in connection.numbers:
        origin = log[number].origin if number < len(log) else -1
        if number in got or number < last.get(origin, -1):
            delivery.disordered += 1
            if len(delivery.examples) < 5:
                delivery.examples.append(f"{connection.channel}: {number} came behind {highest}")
        elif number < highest:
            delivery.late += 1
        got.add(number)
        last[origin] = max(last.get(origin, -1), number)
        highest = max(highest, number)
    end = min(moment for moment in (until, connection.closed, connection.expected_until) if moment is not None)
    first = bisect_right(log, connection.opened, key=lambda each: each.sent)
    missing: list[int] = []
    for number in range(first, len(log)):
        message = log[number]
        if message.sent > end:
            break
        if message.state is MessageState.ACCEPTED:
            delivery.expected += 1
            if number not in got:
                missing.append(number)
    if not missing:
        return
    delivery.lost += len(missing)
    # A connection that its client closed announces nothing.
    if connection.closed is None or connection.expected_until is not None:
        delivery.silent += len(missing)
        if len(delivery.examples) < 5:
            ago = time.monotonic() - log[missing[0]].sent
            delivery.examples.append(
                f"{connection.channel}: {len(missing)} lost silently, from {missing[0]} ({ago:.1f} s ago) to "
                f"{missing[-1]}; the connection got up to {highest}"
            )
    else:
        delivery.announced += len(missing)
        delivery.announced_after = max(delivery.announced_after, connection.closed - log[missing[0]].sent)
        delivery.announced_at = max(delivery.announced_at, connection.closed)


def check_announcement_delay(delivery: DeliveryReport, ended: float) -> str | None:
    """Return a problem if the last announcement came too long after the end of a fault, else None."""
    late = delivery.announced_at - ended
    if late > ANNOUNCE_SECONDS:
        return f"a loss was announced {late:.1f} s after the end of the fault; {ANNOUNCE_SECONDS:.0f} s are allowed"
    return None
