"""Large audiences as flat arrays: a batch for a thousand connections touches none of their objects.

A fan-out that looks at each subscriber, its bound method and its socket spends a tenth of its time on waiting for
memory. Here the descriptors of an audience are one array, of which a `SendRing` takes a piece at a time. Connections
that have something to wait for, or that are gone, are few: they are in one set of the process
(`ConnectionWriters.unready`), which is looked at for each piece. A descriptor leaves the arrays before it is closed,
because the kernel gives its number to the next connection: `EagerServer.connectionLost` puts the writer into that set,
where it stays as long as it has a place anywhere.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from errno import EAGAIN

from twisted.logger import Logger

from wsrelay.engine.topic import Audience, Subscriber
from wsrelay.transports.io_uring import MAX_DATA_BYTES, UNKNOWN, SendRing
from wsrelay.transports.writer import ConnectionWriter

__all__ = ["BulkSending", "FlatAudience"]

_NOBODY = -1
"""The descriptor of a place that nothing is sent to."""

_MAX_HOLES = 0.25
"""The part of the places that may be nobody's before the others move together."""


class BulkSending:
    """The means of a process to send to many connections at once.

    Args:
        unready: The writers of connections that cannot be sent to at this moment.
        open_ring: Makes a ring, or raises OSError.

    Attributes:
        unready: See above.
    """

    log = Logger()

    def __init__(
        self, unready: AbstractSet[ConnectionWriter], open_ring: Callable[[], SendRing] = SendRing.open
    ) -> None:
        self.unready = unready
        self._open_ring = open_ring
        self._ring: SendRing | None = None

    def start(self) -> None:
        """Find out whether this system has the means, in the thread and the process that will use them."""
        try:
            self._ring = self._open_ring()
        except OSError as error:
            self.log.info(
                "messages are sent to one connection after the other: no io_uring ({error})", error=str(error)
            )

    def stop(self) -> None:
        """Give the means back."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def make_bulk(self, audience: Audience) -> FlatAudience | None:
        """Return a flat copy of an audience; None if this process has no means to send to it."""
        return None if self._ring is None else FlatAudience(audience, self)

    def send(self, descriptors: array[int], data: bytes) -> list[int] | None:
        """Offer frames to connections; see `SendRing.send`. Those that cannot be sent to have EAGAIN."""
        if self._ring is None or len(data) > MAX_DATA_BYTES:
            return [-EAGAIN] * len(descriptors)
        outcome = self._ring.send(descriptors, data)
        if not self._ring.is_open:
            self._ring = None
            self.log.error("io_uring failed: messages are sent to one connection after the other from now on")
        return outcome


class FlatAudience:
    """A flat copy of an audience. Implements `wsrelay.engine.topic.BulkAudience`.

    Args:
        audience: The audience, which has the places of its subscribers.
        sending: The means.
    """

    __slots__ = ("_audience", "_descriptors", "_holes", "_individuals", "_members", "_sending")

    def __init__(self, audience: Audience, sending: BulkSending) -> None:
        self._audience = audience
        self._sending = sending
        self._descriptors = array("i")
        # None where somebody has left.
        self._members: list[ConnectionWriter | None] = []
        self._individuals: dict[Subscriber, None] = {}
        self._holes = 0
        for subscriber in audience:
            self.add(subscriber)

    def add(self, subscriber: Subscriber) -> None:
        """See `BulkAudience.add`."""
        descriptor = subscriber.descriptor if isinstance(subscriber, ConnectionWriter) else _NOBODY
        if isinstance(subscriber, ConnectionWriter) and descriptor >= 0:
            self._audience[subscriber] = len(self._members)
            self._members.append(subscriber)
            self._descriptors.append(descriptor)
            subscriber.place_taken()
        else:
            self._audience[subscriber] = None
            self._individuals[subscriber] = None

    def remove(self, subscriber: Subscriber, place: int | None) -> None:
        """See `BulkAudience.remove`."""
        if place is None:
            self._individuals.pop(subscriber, None)
            return
        member = self._members[place]
        if member is not None:
            self._members[place] = None
            self._descriptors[place] = _NOBODY
            self._holes += 1
            member.place_given_up()

    def begin(self) -> int:
        """See `BulkAudience.begin`."""
        if self._holes > _MAX_HOLES * len(self._members):
            self._close_holes()
        return len(self._members)

    def individuals(self) -> tuple[Subscriber, ...]:
        """See `BulkAudience.individuals`."""
        return tuple(self._individuals)

    def send(self, start: int, stop: int, data: bytes) -> Sequence[tuple[ConnectionWriter, int]]:
        """See `BulkAudience.send`."""
        descriptors = self._descriptors[start:stop]
        for place in self._unready_places(start, start + len(descriptors)):
            descriptors[place - start] = _NOBODY
        outcome = self._sending.send(descriptors, data)
        if outcome is None:
            return ()
        size = len(data)
        return [
            (member, UNKNOWN if sent == UNKNOWN else max(sent, 0))
            for sent, member in zip(outcome, self._members[start:stop], strict=True)
            if sent != size and member is not None
        ]

    def clear(self) -> None:
        """See `BulkAudience.clear`."""
        for member in self._members:
            if member is not None:
                self._audience[member] = None
                member.place_given_up()
        self._members.clear()
        self._individuals.clear()
        del self._descriptors[:]

    def _unready_places(self, start: int, stop: int) -> Iterable[int]:
        unready = self._sending.unready
        if len(unready) < stop - start:
            # The usual case: nobody else's memory is touched.
            places = map(self._audience.get, unready)
            return [place for place in places if place is not None and start <= place < stop]
        members = self._members
        return [place for place in range(start, stop) if members[place] in unready]

    def _close_holes(self) -> None:
        members = [member for member in self._members if member is not None]
        self._descriptors = array("i", (each for each in self._descriptors if each != _NOBODY))
        self._members[:] = members
        self._holes = 0
        for place, member in enumerate(members):
            self._audience[member] = place
