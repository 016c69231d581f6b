"""Test doubles of event logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from wsrelay.interfaces import IEventLog

__all__ = ["RecordingEventLog"]


@implementer(IEventLog)
class RecordingEventLog:
    """An event log that records what is added.

    Attributes:
        batches: The events of each call, in order.
        appending: The Deferred that `append` returns. If None, all events are added at once.
    """

    def __init__(self) -> None:
        self.batches: list[list[Mapping[str, str]]] = []
        self.appending: Deferred[int] | None = None

    @property
    def events(self) -> list[Mapping[str, str]]:
        """All events, in order."""
        return [event for batch in self.batches for event in batch]

    def append(self, events: Sequence[Mapping[str, str]]) -> Deferred[int]:
        """See `IEventLog.append`."""
        self.batches.append(list(events))
        return succeed(len(events)) if self.appending is None else self.appending
