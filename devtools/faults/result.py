"""The result of one fault."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FaultResult", "HistoryFigures"]


@dataclass(slots=True, kw_only=True)
class HistoryFigures:
    """The figures of clients of event streams on channels with history.

    Attributes:
        entries: Entries that Redis accepted.
        deliveries: Messages that came, of all clients together.
        reconnects: How often clients came back.
        gaps: Gaps that clients were told of, by reason.
        needless: Those of them at which nothing was missing.
        missed: Messages that were missing at gaps that were told.
        again: Messages that came again behind a gap that says that the stream is another one.
        holes: Messages that did not come, and no gap was told.
        doubles: Messages that came twice or out of order.
    """

    entries: int
    deliveries: int
    reconnects: int
    gaps: dict[str, int]
    needless: int
    missed: int
    again: int
    holes: int
    doubles: int


@dataclass(slots=True)
class FaultResult:
    """The result of one fault.

    Attributes:
        name: The fault.
        text: One sentence about it.
        problems: Why it failed; empty if it passed.
        published: Messages that Redis accepted.
        expected: Messages times connections that were open.
        lost: Those that did not come.
        announced: Lost messages that were followed by a close.
        silent: Lost messages that were not.
        late: Messages sent on an ended connection that came after those of a later one: not a failure.
        announced_after: The longest time from the first loss on a connection to its end, in seconds.
        recovered: Seconds from the end of the fault until all clients received messages and all relays were ready.
        unready_after: Seconds from the beginning of the fault until /readyz reported it; None if it did not.
        codes: How connections ended and handshakes were rejected, and how often.
        descriptors: Open files of the relays, before and after.
        resident: Resident bytes of the relays, before and after.
        connects: Connections made to Redis during the fault and after it.
        seconds: How long all of it took.
        log: The end of the relays' logs, if it failed.
        history: The figures of clients of channels with history. If None, there were none.
    """

    name: str
    text: str
    problems: list[str] = field(default_factory=list)
    published: int = 0
    expected: int = 0
    lost: int = 0
    announced: int = 0
    silent: int = 0
    late: int = 0
    announced_after: float | None = None
    recovered: float | None = None
    unready_after: float | None = None
    codes: dict[str, int] = field(default_factory=dict)
    descriptors: tuple[int, int] = (0, 0)
    resident: tuple[int, int] = (0, 0)
    connects: int = 0
    seconds: float = 0.0
    log: str = ""
    history: HistoryFigures | None = None

    @property
    def verdict(self) -> str:
        """The verdict in one word."""
        return "FAILED" if self.problems else "ok"
