"""The turns of the reactor in which handshakes begin, and the connections that wait for theirs.

The router reads every head at once and has admission count it, so that nobody can fill the queue from one address;
other requests go on from there. A handshake begins in the same call as long as there is time (`HandshakeQueue`). Else
its connection talks to a `WaitingConnection` until its turn: nothing of the client has been looked at by then but its
head, and no ticket is spent. It is none of the HTTP connections that are aborted to make room for others.
"""

from __future__ import annotations

import math
import typing
from random import Random
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.core.flow.admission import Admission
from wsrelay.core.flow.handshake_queue import MAX_WAIT_SECONDS, HandshakeQueue
from wsrelay.core.flow.jitter import retry_delay
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.metrics.counters import Counters
from wsrelay.transports.connection_registry import ConnectionRegistry
from wsrelay.transports.listening.hand_over import talk_to
from wsrelay.transports.listening.request_checks import Destination

__all__ = ["HandshakeTurns", "WaitingConnection"]

_BUSY = "Too many clients connect at once. Reconnect later."

_DETAILS = {
    "wait": f"more clients connect at once than this process has time for within {MAX_WAIT_SECONDS:.0f} s",
    "full": "more clients connect at once than this process lets wait",
}
"""The text of the log, by the reason that is counted."""


class HandshakeStarter(typing.Protocol):
    """The router of a connection, as far as the turns know it."""

    def begin_handshake(self, destination: Destination, early: bytes) -> None:
        """Begin a handshake that has waited.

        Args:
            destination: Its destination.
            early: The bytes that have arrived behind the request.
        """

    def reject_handshake(self, destination: Destination, response: ErrorResponse) -> None:
        """Answer a client that has waited, and end its connection. Admission does not count it any more."""


@implementer(IHalfCloseableProtocol)
class WaitingConnection(Protocol):
    """The protocol of a connection whose handshake waits for its turn.

    Args:
        turns: Where it waits.
        router: Begins or rejects the handshake. Not two functions: in a crowd one of these is made for each client.
        destination: What the client asks for. Admission has counted it.
        early: The bytes that arrived behind the request.
    """

    def __init__(self, turns: HandshakeTurns, router: HandshakeStarter, destination: Destination, early: bytes) -> None:
        self._turns = turns
        self._router = router
        self._destination = destination
        self._early = early
        self._has_begun = False

    @property
    def address(self) -> str:
        """The address by which admission has counted it."""
        return self._destination.handshake.peer

    def begin(self) -> None:
        """Begin the handshake."""
        self._has_begun = True
        self._router.begin_handshake(self._destination, self._early)

    def reject(self, response: ErrorResponse) -> None:
        """Answer the client and end the connection. Admission does not count it any more."""
        self._router.reject_handshake(self._destination, response)

    def abort(self) -> None:
        """Leave the queue at once, and reset the connection."""
        self._turns.leave(self)
        transport: Any = self.transport
        transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        # A client that sends frames before its handshake is answered, which is rare.
        self._early += data
        if not self._turns.has_grown(self, len(data), len(self._early)):
            self.abort()

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.readConnectionLost`: nearly always a client that has left."""
        # A WebSocket or a stream without its client's direction would end as soon as it is accepted.
        self.abort()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.writeConnectionLost`."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # If the handshake has begun, it has failed before anything else took the connection over, and its place.
        self._turns.leave(self, has_place=self._has_begun)


class HandshakeTurns:
    """Begins handshakes, or lets them wait for the next turn of the reactor, and the next.

    Args:
        clock: The reactor.
        connections: The registry, which knows whether the process is stopping.
        admission: Counts connections, those that wait too.
        counters: Counts those that wait, how long, and those that are rejected.
        rejections: Logs that some are rejected.
        max_early_bytes: How much a client that waits may send ahead, in bytes.
        rng: Randomness for the time after which rejected clients may come again.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        connections: ConnectionRegistry,
        admission: Admission,
        counters: Counters,
        rejections: RejectionLog,
        *,
        max_early_bytes: int,
        rng: Random,
    ) -> None:
        self._clock = clock
        self._connections = connections
        self._admission = admission
        self._counters = counters
        self._rejections = rejections
        self._max_early_bytes = max_early_bytes
        self._rng = rng
        self._queue: HandshakeQueue[WaitingConnection] = HandshakeQueue()
        self._has_turn = False

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    def may_begin(self) -> float | None:
        """Return the time if a handshake may begin without waiting; then `ended` has to be called with it."""
        now = self._clock.seconds()
        return now if self._queue.may_begin(now) else None

    def ended(self, began: float) -> None:
        """Take that the handshake has begun, and done what it does before it waits for somebody's answer."""
        self._queue.ended(began, self._clock.seconds())

    def wait(self, waiting: WaitingConnection, transport: Any, size: int) -> None:
        """Have a handshake wait for its turn; reject it if that would take too long.

        Args:
            waiting: What the connection talks to while it waits.
            transport: The connection.
            size: How many bytes of it have arrived.
        """
        queue = self._queue
        if queue.wait_seconds > MAX_WAIT_SECONDS:
            self._reject(waiting, "wait")
        elif not queue.has_room(size):
            self._reject(waiting, "full")
        else:
            talk_to(transport, waiting)
            waiting.makeConnection(transport)
            queue.add(waiting, size, self._clock.seconds())
            self._counters.handshakes_deferred += 1
            if not self._has_turn:
                self._has_turn = True
                self._clock.callLater(0, self._take_turn, follows=False)

    def has_grown(self, waiting: WaitingConnection, size: int, early: int) -> bool:
        """Take that a client that waits has sent more.

        Args:
            waiting: What its connection talks to.
            size: How many bytes have come.
            early: How many there are by now behind its request.

        Returns:
            False if it is too much to be kept.
        """
        return early <= self._max_early_bytes and self._queue.grow(waiting, size)

    def leave(self, waiting: WaitingConnection, *, has_place: bool = False) -> None:
        """Take that the connection of a client is lost.

        Args:
            waiting: What it talks to.
            has_place: Whether admission counts it even if it does not wait any more.
        """
        if self._queue.remove(waiting) or has_place:
            self._admission.release(waiting.address)

    def _take_turn(self, *, follows: bool) -> None:
        seconds, queue = self._clock.seconds, self._queue
        queue.begin_slice(seconds(), follows=follows)
        while (taken := queue.take(seconds())) is not None:
            waiting, waited = taken
            self._counters.handshake_wait_seconds += waited
            try:
                self._have_turn(waiting, waited)
            except Exception:  # noqa: BLE001 -- it must cost no other connection, and not the turns of all others
                self.log.failure("a handshake failed")
                waiting.abort()
        self._has_turn = len(queue) > 0
        if self._has_turn:
            self._clock.callLater(0, self._take_turn, follows=True)

    def _have_turn(self, waiting: WaitingConnection, waited: float) -> None:
        if (refusal := self._connections.refusal) is not None:
            self._admission.release(waiting.address)
            waiting.reject(refusal)
        elif waited > MAX_WAIT_SECONDS:
            self._reject(waiting, "wait")
        else:
            waiting.begin()

    def _reject(self, waiting: WaitingConnection, reason: str) -> None:
        self._admission.release(waiting.address)
        self._counters.handshakes_rejected[reason] += 1
        self._rejections.log_detail(_DETAILS[reason])
        # Not all at the same time, or they would meet the same queue.
        delay = math.ceil(retry_delay(self._rng, is_rejected=True))
        waiting.reject(ErrorResponse(503, _BUSY, (("Retry-After", str(delay)),)))
