"""The queue of handshakes that wait until the reactor has time for them, first in, first out.

A handshake takes a fraction of a millisecond, and thousands come at once when a process or a network returns. All of
them in one turn of the reactor would keep everybody waiting who is connected. So handshakes are begun in slices, one in
each turn, and those for which a slice has no time wait here. The first ones of a quiet moment begin at once.

A queue must not be longer than clients are patient: a client that would wait longer is rejected while it is there to be
told. How long the wait would be, the queue estimates by how long it took lately from one handshake to the next.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["MAX_WAIT_SECONDS", "HandshakeQueue"]

MAX_WAIT_SECONDS = 5.0
"""The longest wait. Clients and SDKs give up soon after, and would come back for a second handshake."""

SLICE_SECONDS = 0.005
"""How long handshakes may occupy the reactor at a stretch."""

LONGEST_SLICE_SECONDS = 0.05
"""The same where the rest of a turn takes longer than that: handshakes get as much time as everything else together, so
that they get on where a process is busy with messages, or with reading the requests of those behind them."""

QUIET_SECONDS = 0.05
"""A moment is quiet if no handshake began for so long. Shorter pauses come from other processes on the same processor,
and may fall into one turn of the reactor."""

MAX_WAITING = 20_000
"""How many may wait: about as many as begin within the longest wait."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""The total size of the requests that may wait. A usual one has half a kilobyte."""

MEMORY_SECONDS = 1.0
"""How much of the past counts for the estimate, at least a half of it."""

_ASSUMED_SECONDS, _ASSUMED_HANDSHAKES = 0.1, 250.0
"""The past that a new process is taken to have: its first handshake takes long, and others do not."""

Waiting = TypeVar("Waiting")


class HandshakeQueue(Generic[Waiting]):
    """Decides when handshakes begin, and which are rejected because they would wait too long.

    Times are in seconds on a monotonic clock.
    """

    __slots__ = (
        "_began",
        "_bytes",
        "_ended",
        "_handshakes",
        "_has_taken",
        "_limit",
        "_seconds",
        "_spent",
        "_started",
        "_waiting",
    )

    def __init__(self) -> None:
        # With the size of each, and since when it waits. A plain dict is slow to find its first entry once many before
        # it are gone.
        self._waiting: OrderedDict[Waiting, tuple[int, float]] = OrderedDict()
        self._bytes = 0
        # What is left of the past: how many handshakes, and how long they took together.
        self._seconds, self._handshakes = _ASSUMED_SECONDS, _ASSUMED_HANDSHAKES
        # The last slice: when it began, when it has to end, whether any was taken from the queue in it, and how many
        # were to begin.
        self._began = self._limit = float("-inf")
        self._has_taken = False
        self._started = 0
        # When the last handshake or slice ended, and how much of a slice is used up by those that did not wait.
        self._ended = float("-inf")
        self._spent = 0.0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """The total size of the requests that wait."""
        return self._bytes

    @property
    def wait_seconds(self) -> float:
        """How long one more would wait, as far as can be told."""
        return (len(self._waiting) + 1) * self._seconds / self._handshakes

    def may_begin(self, now: float) -> bool:
        """Return whether a handshake that has just come may begin; `ended` is to be called afterwards.

        If not, it has to wait.
        """
        if self._waiting:
            return False
        if now - self._ended >= QUIET_SECONDS:
            self._spent = 0.0
        return self._spent < SLICE_SECONDS

    def ended(self, began: float, now: float) -> None:
        """Take how long a handshake took that did not wait.

        Args:
            began: When it began.
            now: The time.
        """
        self._spent += now - began
        self._ended = now
        self._measure(now - began, 1)

    def has_room(self, size: int) -> bool:
        """Return whether there is room for one more, whose request has this size in bytes."""
        return len(self._waiting) < MAX_WAITING and self._bytes + size <= MAX_WAITING_BYTES

    def add(self, waiting: Waiting, size: int, now: float) -> None:
        """Have a handshake wait.

        Args:
            waiting: It; hashable, compared by identity.
            size: The size of its request in bytes.
            now: The time.
        """
        self._waiting[waiting] = size, now
        self._bytes += size

    def grow(self, waiting: Waiting, size: int) -> bool:
        """Count more bytes of one that waits.

        Returns:
            False if there is no room for them: none are counted.
        """
        if self._bytes + size > MAX_WAITING_BYTES:
            return False
        before, since = self._waiting[waiting]
        self._waiting[waiting] = before + size, since
        self._bytes += size
        return True

    def remove(self, waiting: Waiting) -> bool:
        """Remove a handshake whose client has left.

        Returns:
            True if it was waiting.
        """
        size, _ = self._waiting.pop(waiting, (None, 0.0))
        self._bytes -= size or 0
        return size is not None

    def begin_slice(self, now: float, *, follows: bool) -> None:
        """Take that handshakes may begin for a while.

        Args:
            now: The time.
            follows: Whether handshakes have waited ever since the last slice.
        """
        length = SLICE_SECONDS
        if follows:
            # Where the rest of a turn took longer than the slice, that will pass: the heads of those behind had to be
            # read, which is done once, or the process stood still.
            self._measure(min(now - self._began, 2 * (self._ended - self._began)), self._started)
            length = min(max(length, now - self._ended), LONGEST_SLICE_SECONDS)
        self._began, self._limit = now, now + length
        self._has_taken = False
        self._started = 0

    def take(self, now: float) -> tuple[Waiting, float] | None:
        """Take the next handshake from the queue.

        Returns:
            It, and for how long it waited, in seconds: over `MAX_WAIT_SECONDS` it is to be rejected. If None, none
            waits, or the slice is over.
        """
        if not self._waiting or (now >= self._limit and self._has_taken):
            # Those that come in the rest of the turn have what is left of the slice.
            self._ended, self._spent = now, now - self._began
            return None
        waiting, (size, since) = self._waiting.popitem(last=False)
        self._bytes -= size
        waited = now - since
        self._has_taken = True
        self._started += waited <= MAX_WAIT_SECONDS
        return waiting, waited

    def _measure(self, seconds: float, handshakes: int) -> None:
        if handshakes:
            self._seconds += seconds
            self._handshakes += handshakes
            while self._seconds > MEMORY_SECONDS:
                self._seconds /= 2
                self._handshakes /= 2
