"""The truth about a stream: everything that was added to it, by the server that is in charge."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace

from wsrelay.core.history.entries import Entry, StreamLook
from wsrelay.core.history.positions import EntryID
from wsrelay.core.history.recovery import empty_position

__all__ = ["Addition", "Ledger", "SavedLedger", "serial_of"]


@dataclass(slots=True)
class Addition:
    """One entry that was added.

    Attributes:
        serial: Its number, which is its payload: no two entries are alike.
        id: Its ID.
        trims: How often entries had been removed before it was added.
        is_deleted: Whether XDEL took it out.
    """

    serial: int
    id: EntryID
    trims: int
    is_deleted: bool = False


SavedLedger = list[Addition]


class Ledger:
    """The additions in their order.

    Attributes:
        additions: Those that the server in charge has seen. A fail-over forgets those that were lost with it.
        removals: How often the stream was removed: DEL, expiry, FLUSHALL, a restart without data.
        fail_overs: How often another server took over.
        trims: How often entries were removed otherwise than by removal of the stream.
        removals_at_rest: The removals when everything had last been read.
        fail_overs_at_rest: The fail-overs, likewise.
        was_empty: Whether a position without an entry, and with a count, was given since then or in the time before.
    """

    def __init__(self) -> None:
        self.additions: list[Addition] = []
        self.removals = 0
        self.fail_overs = 0
        self.trims = 0
        self.removals_at_rest = 0
        self.fail_overs_at_rest = 0
        self.was_empty = False
        self._serial = 0
        # How many entries had an ID.
        self._uses: dict[EntryID, int] = {}
        # What positions mean: an entry, or a number of additions.
        self._serials: dict[str, int] = {}
        self._empty: dict[str, int] = {}
        # Entries that a fail-over has lost, and how many additions were kept.
        self._lost: dict[int, int] = {}
        self._taken_out: set[int] = set()

    def next_fields(self) -> tuple[bytes, ...]:
        """Return the fields of the next entry."""
        self._serial += 1
        return b"data", b"%d" % self._serial

    def add(self, entry: Entry) -> None:
        """Note that an entry was added."""
        serial = serial_of(entry)
        self.additions.append(Addition(serial, entry.id, self.trims))
        self._uses[entry.id] = self._uses.get(entry.id, 0) + 1
        self._serials[entry.position_text] = serial

    def looked(self, look: StreamLook) -> None:
        """Note what the position of an empty channel means that was derived from a look."""
        if look.info is None or not look.info.length:
            position = empty_position(look)
            self._empty[str(position)] = self.end(0)
            self.was_empty = self.was_empty or position.entries_added is not None

    def came_to_rest(self) -> None:
        """Note that everything has been read."""
        self.removals_at_rest, self.fail_overs_at_rest = self.removals, self.fail_overs

    def delete(self, entry: Entry) -> None:
        """Note that an entry was taken out."""
        self.additions[self.index(serial_of(entry)) - 1].is_deleted = True
        self._taken_out.add(serial_of(entry))
        self.trims += 1

    def index(self, serial: int) -> int:
        """Return how many entries had been added with this one."""
        found = self.find(serial)
        assert found is not None, "of the server in charge"  # noqa: S101 -- the caller has read it
        return found

    def find(self, serial: int) -> int | None:
        """Return how many entries had been added with this one. None if a fail-over has lost it."""
        at = bisect_left(self.additions, serial, key=lambda each: each.serial)
        return at + 1 if at < len(self.additions) and self.additions[at].serial == serial else None

    def index_of(self, position: str) -> int:
        """Return how many of the additions are before a position."""
        if position in self._empty:
            return self._empty[position]
        serial = self._serials[position]
        found = self.find(serial)
        return self._lost[serial] if found is None else found

    def due(self, index: int, end: int | None = None) -> list[int]:
        """Return the serials of the entries that were added since, and not taken out, in their order."""
        return [each.serial for each in self.additions[index:end] if not each.is_deleted]

    def holds_all_since(self, index: int) -> bool:
        """Return whether the stream has lost nothing since the last of some first additions, unless it was removed."""
        return 0 < index <= len(self.additions) and self.additions[index - 1].trims == self.trims

    def was_taken_out(self, serial: int) -> bool:
        """Return whether an entry was taken out, on whichever server."""
        return serial in self._taken_out

    def missed(self, index: int, end: int) -> list[int]:
        """Return the serials of `due` that never were taken out, not even on a server that has failed since."""
        return [serial for serial in self.due(index, end) if serial not in self._taken_out]

    def end(self, index: int) -> int:
        """Return the index of one who has had everything since an index.

        Entries at the end that were taken out are not counted: where a fail-over loses their deletion they come.
        """
        end = len(self.additions)
        while end > index and self.additions[end - 1].is_deleted:
            end -= 1
        return end

    def was_given_twice(self, entry_id: EntryID) -> bool:
        """Return whether two entries had this ID, on whichever server."""
        return self._uses.get(entry_id, 0) > 1

    def was_given_in(self, ms: int) -> bool:
        """Return whether an entry had an ID of this millisecond, on whichever server."""
        return any(entry_id[0] == ms for entry_id in self._uses)

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
        self._lost = {serial: min(index, kept) for serial, index in self._lost.items()}
        self._lost |= {each.serial: kept for each in self.additions[kept:]}
        self._empty = {position: min(index, kept) for position, index in self._empty.items()}
        self.additions = [replace(each) for each in saved]
        self.fail_overs += 1
        return kept


def serial_of(entry: Entry) -> int:
    """Return the number of an entry."""
    data = entry.data
    assert data is not None, "of this ledger"  # noqa: S101 -- made by `next_fields`
    return int(data)
