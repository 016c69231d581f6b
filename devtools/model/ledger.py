"""The truth about a stream: everything that was added to it, by the server that is in charge."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wsrelay.core.history.entries import Entry
from wsrelay.core.history.positions import EntryID

__all__ = ["Addition", "Ledger", "SavedLedger", "serial_of"]


@dataclass(slots=True)
class Addition:
    """One entry that was added.

    Attributes:
        serial: Its number, which is its payload: no two entries are alike.
        id: Its ID.
        is_deleted: Whether XDEL took it out.
    """

    serial: int
    id: EntryID
    is_deleted: bool = False


SavedLedger = list[Addition]


class Ledger:
    """The additions in their order.

    Attributes:
        additions: Those that the server in charge has seen. A fail-over forgets those that were lost with it.
        removals: How often the stream was removed: DEL, expiry, FLUSHALL, a restart without data.
        fail_overs: How often another server took over.
        trims: How often entries were removed otherwise than by removal of the stream.
    """

    def __init__(self) -> None:
        self.additions: list[Addition] = []
        self.removals = 0
        self.fail_overs = 0
        self.trims = 0
        self._serial = 0
        self._serials: dict[EntryID, int] = {}

    def next_fields(self) -> tuple[bytes, ...]:
        """Return the fields of the next entry."""
        self._serial += 1
        return b"data", b"%d" % self._serial

    def add(self, entry_id: EntryID) -> None:
        """Note that the entry of `next_fields` was added."""
        self.additions.append(Addition(self._serial, entry_id))
        self._serials[entry_id] = self._serials.get(entry_id, 0) + 1

    def delete(self, entry: Entry) -> None:
        """Note that an entry was taken out."""
        self.additions[self.index(serial_of(entry)) - 1].is_deleted = True
        self.trims += 1

    def index(self, serial: int) -> int:
        """Return how many entries had been added with this one."""
        return next(at for at in range(len(self.additions), 0, -1) if self.additions[at - 1].serial == serial)

    def due(self, index: int) -> list[int]:
        """Return the serials of the entries that were added since, and not taken out, in their order."""
        return [each.serial for each in self.additions[index:] if not each.is_deleted]

    def was_given_twice(self, entry_id: EntryID) -> bool:
        """Return whether two entries had this ID, on whichever server."""
        return self._serials.get(entry_id, 0) > 1

    def save(self) -> SavedLedger:
        """Return what a replica has."""
        return [replace(each) for each in self.additions]

    def fail_over(self, saved: SavedLedger) -> int:
        """Go on with what a replica had.

        Returns:
            How many of the additions that had been seen are still those of the server in charge.
        """
        kept = 0
        while kept < min(len(saved), len(self.additions)) and saved[kept].serial == self.additions[kept].serial:
            kept += 1
        self.additions = [replace(each) for each in saved]
        self.fail_overs += 1
        return kept


def serial_of(entry: Entry) -> int:
    """Return the number of an entry."""
    data = entry.data
    assert data is not None, "of this ledger"  # noqa: S101 -- made by `next_fields`
    return int(data)
