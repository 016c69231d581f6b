"""What became of every message, on every connection that was open when it was published.

A message that Redis took while a connection was open is owed to that connection. One that did not come is *lost*; the
loss is *announced* if the connection then ended, for its client knows that it must look elsewhere, and *silent* if the
connection stayed open across it. Silence is the failure that this suite is for. What comes twice, or out of order, or
on the wrong channel, is another.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from devtools.faults.clients import Connection
from devtools.faults.publisher import Publication, State

__all__ = ["Account", "Result", "audit", "tell_at_most"]

TELL_SECONDS = 20.0
"""How long after the end of a fault a connection may still be closed for what was lost before: about ten seconds to
find out, some for a slow machine, and up to ten that the relay takes to tell many clients one after the other."""


@dataclass(slots=True)
class Account:
    """What was lost, and whether it was said.

    Attributes:
        owed: Messages times connections that were open.
        lost: Those that did not come.
        announced: Those lost on connections that then ended.
        silent: Those lost on connections that are still open.
        told_after: The longest time from the first loss on a connection to its end.
        told_at: When the last of those connections ended.
        disordered: Messages that came twice, or out of the order of the connection that they were sent on.
        late: Messages of a connection that had ended, behind those of a later one. What is under way to Redis when a
            link is given up may still be carried out, and nobody can call it back.
        strange: Messages that nobody published on that channel.
        examples: A few words on what went wrong, for people.
    """

    owed: int = 0
    lost: int = 0
    announced: int = 0
    silent: int = 0
    told_after: float = 0.0
    told_at: float = 0.0
    disordered: int = 0
    late: int = 0
    strange: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


def audit(connections: Iterable[Connection], log: Mapping[str, Sequence[Publication]], until: float) -> Account:
    """Compare what was published until a moment with what the connections got."""
    account = Account()
    for connection in connections:
        _audit_one(connection, log[connection.channel], until, account)
    return account


def _audit_one(connection: Connection, log: Sequence[Publication], until: float, account: Account) -> None:
    account.strange += connection.strange
    highest = -1
    got: set[int] = set()
    last: dict[int, int] = {}
    for number in connection.numbers:
        origin = log[number].origin if number < len(log) else -1
        if number in got or number < last.get(origin, -1):
            account.disordered += 1
            if len(account.examples) < 5:
                account.examples.append(f"{connection.channel}: {number} came behind {highest}")
        elif number < highest:
            account.late += 1
        got.add(number)
        last[origin] = max(last.get(origin, -1), number)
        highest = max(highest, number)
    end = min(moment for moment in (until, connection.closed, connection.owed_until) if moment is not None)
    first = bisect_right(log, connection.opened, key=lambda each: each.sent)
    missing: list[int] = []
    for number in range(first, len(log)):
        publication = log[number]
        if publication.sent > end:
            break
        if publication.state is State.TAKEN:
            account.owed += 1
            if number not in got:
                missing.append(number)
    if not missing:
        return
    account.lost += len(missing)
    # Who has left by itself was not told anything.
    if connection.closed is None or connection.owed_until is not None:
        account.silent += len(missing)
        if len(account.examples) < 5:
            ago = time.monotonic() - log[missing[0]].sent
            account.examples.append(
                f"{connection.channel}: {len(missing)} lost in silence, from {missing[0]} ({ago:.1f} s ago) to "
                f"{missing[-1]}; the connection got up to {highest}"
            )
    else:
        account.announced += len(missing)
        account.told_after = max(account.told_after, connection.closed - log[missing[0]].sent)
        account.told_at = max(account.told_at, connection.closed)


def tell_at_most(account: Account, ended: float) -> str | None:
    """Say so, if the last announcement came too long after the end of the fault."""
    late = account.told_at - ended
    if late > TELL_SECONDS:
        return f"a loss was announced {late:.1f} s after the end of the fault; {TELL_SECONDS:.0f} s are allowed"
    return None


@dataclass(slots=True)
class Result:
    """What came of one fault.

    Attributes:
        name: The fault.
        text: What it does.
        problems: Why it failed; empty if all is well.
        skipped: Why it could not be tried, or nothing.
        published: Messages that Redis took.
        owed: Messages times connections that were open.
        lost: Those that did not come.
        announced: Those of them that were followed by a close.
        silent: Those of them that were not.
        late: Messages of a connection that had ended, behind those of a later one: not a failure.
        told_after: From the first loss on a connection to its end, at most, in seconds.
        recovered: From the end of the fault until all clients get messages and all relays are ready.
        red_after: From the beginning of the fault until /readyz said so, or None.
        codes: How connections ended, and handshakes were refused.
        descriptors: Open files of the relays, before and after.
        resident: Resident bytes of the relays, before and after.
        connects: Connections made to Redis while the fault lasted and after.
        seconds: How long all of it took.
        log: The end of what the relays said, if it failed.
    """

    name: str
    text: str
    problems: list[str] = field(default_factory=list)
    skipped: str = ""
    published: int = 0
    owed: int = 0
    lost: int = 0
    announced: int = 0
    silent: int = 0
    late: int = 0
    told_after: float | None = None
    recovered: float | None = None
    red_after: float | None = None
    codes: dict[str, int] = field(default_factory=dict)
    descriptors: tuple[int, int] = (0, 0)
    resident: tuple[int, int] = (0, 0)
    connects: int = 0
    seconds: float = 0.0
    log: str = ""

    @property
    def verdict(self) -> str:
        """One word."""
        if self.skipped:
            return "skipped"
        return "FAILED" if self.problems else "ok"
