"""Pings of all connections, whatever their transport.

Ten thousand connections are pinged four hundred times a second, and nearly every pong is in time. So nothing is made
for a ping, and no timer for a pong: the connections that are due in the same half second are a group with one timer,
are pinged together with one frame, and wait together for their pongs. A pong moves its connection to a group that is
due later; what is left in a group at its deadline has not answered.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Protocol

from twisted.logger import Logger

from wsrelay.core.flow.jitter import PingIntervals
from wsrelay.core.wire.frames import Opcode, frame
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.timers import TimerWheel, WheelTimer
from wsrelay.interfaces import IDialect

__all__ = ["PONG_GRACE_SECONDS", "Ping", "PingGroup", "PingSchedule", "Pinged"]

PONG_GRACE_SECONDS = 1.0
"""How long a missing pong is looked for once more: it may wait in a socket while the reactor is busy."""

_PAYLOAD_BYTES = 4


class Ping:
    """The ping of a group, made once for all its connections.

    Args:
        payload: What a pong repeats.

    Attributes:
        payload: The argument of that name.
        frame: A WebSocket's ping.
    """

    __slots__ = ("_of_dialects", "frame", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.frame = frame(Opcode.PING, payload)
        self._of_dialects: dict[Encoding, bytes] = {}

    def of_dialect(self, dialect: IDialect, encoding: Encoding) -> bytes:
        """Return the bytes of a dialect's own ping; empty if it has none.

        Args:
            dialect: The dialect.
            encoding: An encoding of it.
        """
        data = self._of_dialects.get(encoding)
        if data is None:
            message = dialect.ping()
            data = self._of_dialects[encoding] = b"" if message is None else encoding.frame((message,))
        return data


class PingGroup:
    """Connections that are pinged at the same time.

    Attributes:
        connections: The connections, in the order in which they came.
        ping: The ping whose answer they have not sent. If None, they are to be pinged.
        timer: Ends the wait for either.
        slot: Where the group stands while it is to be pinged.
    """

    __slots__ = ("connections", "ping", "slot", "timer")

    def __init__(self, slot: int) -> None:
        self.connections: dict[Pinged, None] = {}
        self.ping: Ping | None = None
        self.timer: WheelTimer | None = None
        self.slot = slot


class Pinged(Protocol):
    """A connection, as the schedule knows it.

    Attributes:
        ping_group: Where it stands in the schedule, which sets it. If None, nowhere.
    """

    ping_group: PingGroup | None

    def send_ping(self, ping: Ping) -> bool:
        """Send a ping, and return whether it has to be answered."""

    def pong_missing(self) -> None:
        """End the connection, which has not answered in time."""


class PingSchedule:
    """Pings connections at an interval, and finds those that do not answer.

    Each ping comes up to a fifth of the interval early, so that connections do not ping in step. The next one is
    counted from the answer.

    Args:
        timers: Coarse timers.
        interval_seconds: The interval that is never exceeded, in seconds.
        timeout_seconds: How long an answer may take, in seconds.
        rng: Decides how early the first one is.
    """

    log = Logger()

    def __init__(self, timers: TimerWheel, interval_seconds: float, timeout_seconds: float, rng: Random) -> None:
        self._timers = timers
        self._timeout_seconds = timeout_seconds
        self._intervals = PingIntervals(interval_seconds, rng)
        # The groups that are to be pinged, by the slot of the wheel.
        self._due: dict[int, PingGroup] = {}
        self._suspended: set[Pinged] = set()
        self._pings = 0

    def start(self, connection: Pinged) -> None:
        """Ping a connection from now on."""
        slot = self._timers.slot_after(self._intervals.next())
        group = self._due.get(slot)
        if group is None:
            group = self._due[slot] = PingGroup(slot)
            group.timer = self._timers.call_in_slot(slot, partial(self._ping, group))
        group.connections[connection] = None
        connection.ping_group = group

    def stop(self, connection: Pinged) -> None:
        """Ping a connection no more. One that is not pinged is ignored."""
        self._leave(connection)
        self._suspended.discard(connection)

    def answered(self, connection: Pinged) -> None:
        """Take that a connection has answered its ping, if one is pending."""
        group = connection.ping_group
        if group is not None and group.ping is not None:
            self._leave(connection)
            self.start(connection)

    def pong_received(self, connection: Pinged, payload: bytes) -> bool:
        """Return whether a pong is the answer to a connection's ping; it is then taken as that.

        Args:
            connection: The connection.
            payload: The pong's content.
        """
        group = connection.ping_group
        if group is None or group.ping is None or group.ping.payload != payload:
            return False
        self._leave(connection)
        self.start(connection)
        return True

    def suspend(self, connection: Pinged) -> None:
        """Expect no answer of a connection until `resume`: what it sends is not read, its pongs among it.

        It is pinged nevertheless, so that nothing between it and the relay takes the connection for dead.
        """
        if connection.ping_group is not None:
            self._suspended.add(connection)
            self.answered(connection)

    def resume(self, connection: Pinged) -> None:
        """Expect answers again, from the next ping on. A connection that is not suspended is ignored."""
        self._suspended.discard(connection)

    def _leave(self, connection: Pinged) -> None:
        group, connection.ping_group = connection.ping_group, None
        if group is None:
            return
        del group.connections[connection]
        if not group.connections:
            self._end(group)

    def _end(self, group: PingGroup) -> None:
        if group.timer is not None:
            group.timer.cancel()
            group.timer = None
        if group.ping is None:
            del self._due[group.slot]

    def _ping(self, group: PingGroup) -> None:
        del self._due[group.slot]
        self._pings += 1
        payload = (self._pings % (1 << 8 * _PAYLOAD_BYTES)).to_bytes(_PAYLOAD_BYTES, "big")
        ping = group.ping = Ping(payload)
        # First, so that the wait ends whatever happens below.
        group.timer = self._timers.call_later(self._timeout_seconds, partial(self._look_again, group))
        for connection in tuple(group.connections):
            if connection.ping_group is not group:
                # The ping of another one has ended it.
                continue
            try:
                is_expected = connection.send_ping(ping) and connection not in self._suspended
            except Exception:  # noqa: BLE001 -- one connection's failure must not cost the others their ping
                self.log.failure("a ping failed")
                is_expected = True
            # If it stands elsewhere by now, it has ended, or answered already.
            if not is_expected and connection.ping_group is group:
                self._leave(connection)
                self.start(connection)

    def _look_again(self, group: PingGroup) -> None:
        group.timer = self._timers.call_later(PONG_GRACE_SECONDS, partial(self._give_up, group))

    def _give_up(self, group: PingGroup) -> None:
        group.timer = None
        for connection in tuple(group.connections):
            if connection.ping_group is group:
                self._leave(connection)
                try:
                    connection.pong_missing()
                except Exception:  # noqa: BLE001 -- one connection's end must not cost the others theirs
                    self.log.failure("a connection that does not answer could not be ended")
