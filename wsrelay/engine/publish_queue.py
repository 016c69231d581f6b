"""The messages of one client on their way to the broker.

They wait for the application to authorize them, for room in the process (`wsrelay.engine.inflow`), or for the broker to
take what the same client published before. While too much waits the client is read no further. So the queue needs no
bound of its own: what comes behind a pause is the rest of one message of the client, which may hold many commands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.core.sessions.effects import PublishMessage
from wsrelay.engine.inflow import Inflow

__all__ = ["MAX_ASKED", "MAX_BYTES_IN_FLIGHT", "PausableConnection", "PublishQueue"]

MAX_ASKED = 16
"""About how many messages of one client the application is asked at the same time. A client of which so many wait is
paused until half of them are answered."""


MAX_BYTES_IN_FLIGHT = 256 * 1024
"""How much one client may have on its way through the broker. Its own echoes come back to it in a moment, and must not
fill its outbox before it can be paused: that has room for four times as much by default."""


class PausableConnection(Protocol):
    """The part of a connection that a queue uses; see `wsrelay.engine.client_services.Connection`."""

    def pause_reading(self) -> None:
        """See `Connection.pause_reading`."""

    def resume_reading(self) -> None:
        """See `Connection.resume_reading`."""


class _Waiting:
    __slots__ = ("answer", "is_authorized", "message")

    def __init__(self, message: PublishMessage) -> None:
        self.message = message
        # If None, the application has not been asked, or has not to be.
        self.answer: Deferred[None] | None = None
        self.is_authorized = False


class PublishQueue:
    """Publishes in the order in which the messages came, whatever the order of the answers.

    Args:
        connection: The client's.
        inflow: Says when messages may be published.
        ask: Returns the answer to whether a message may be published. If None, it may.
        publish: Called with every message that may be published.
        rejected: Called with the first message that may not, and the failure. Nothing that waits behind it is
            published any more where the queue stops then; see `stop`.

    Attributes:
        bytes_in_flight: How much was published that the broker has not yet taken; its owner subtracts.
        is_stopped: Whether nothing is published any more.
    """

    __slots__ = (
        "_ask",
        "_asked",
        "_connection",
        "_inflow",
        "_is_advancing",
        "_is_paused",
        "_publish",
        "_rejected",
        "_waiting",
        "bytes_in_flight",
        "is_stopped",
    )

    def __init__(
        self,
        connection: PausableConnection,
        inflow: Inflow,
        ask: Callable[[PublishMessage], Deferred[None] | None],
        publish: Callable[[PublishMessage], None],
        rejected: Callable[[PublishMessage, Failure], None],
    ) -> None:
        self._connection = connection
        self._inflow = inflow
        self._ask = ask
        self._publish = publish
        self._rejected = rejected
        self._waiting: deque[_Waiting] = deque()
        # So many of the first ones the application has been asked about.
        self._asked = 0
        self._is_advancing = False
        self._is_paused = False
        self.bytes_in_flight = 0
        self.is_stopped = False

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._waiting)

    @property
    def is_clear(self) -> bool:
        """True if a message that needs no authorization would not wait."""
        return not (self._waiting or self._inflow.is_closed) and self.bytes_in_flight < MAX_BYTES_IN_FLIGHT

    def publish(self, message: PublishMessage) -> None:
        """Publish a message now; see `is_clear`."""
        self.bytes_in_flight += len(message.data)
        self._publish(message)

    def published(self, message: PublishMessage) -> None:
        """Take that the broker has taken a message, or has not."""
        was_full = self.bytes_in_flight >= MAX_BYTES_IN_FLIGHT
        self.bytes_in_flight -= len(message.data)
        # What waits for anything else, room in the process for example, is not brought on by this. Under pressure most
        # clients have something that waits, and that would be looked at for each message.
        if was_full and self._waiting:
            self.proceed()

    def add(self, message: PublishMessage, answer: Deferred[None] | None = None) -> None:
        """Add a message.

        Args:
            message: The message.
            answer: The answer to whether it may be published, if the application has been asked: then nothing waits.
        """
        if self.is_stopped:
            if answer is not None:
                answer.addErrback(lambda _failure: None)
            return
        waiting = _Waiting(message)
        self._waiting.append(waiting)
        if answer is not None:
            self._await(waiting, answer)
        self.proceed()

    def proceed(self) -> None:
        """Publish what may be published by now; see `wsrelay.engine.inflow.Waiting`."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._advance():
                pass
        finally:
            self._is_advancing = False
        self._pause_or_resume()

    def stop(self) -> None:
        """Publish nothing any more, and cancel the questions that are under way."""
        self.is_stopped = True
        self._inflow.forget(self)
        waiting = list(self._waiting)
        self._waiting.clear()
        self._asked = 0
        for each in waiting:
            if each.answer is not None:
                # Nobody needs the answer any more, and the question takes others' room.
                each.answer.cancel()

    def _advance(self) -> bool:
        """Ask about one message, or publish one.

        Returns:
            True, or False if nothing can be done now.
        """
        waiting = self._waiting
        if self._asked < min(len(waiting), MAX_ASKED):
            each = waiting[self._asked]
            answer = self._ask(each.message)
            if answer is not None:
                self._await(each, answer)
            else:
                self._asked += 1
                each.is_authorized = True
            return True
        may_publish = not self._inflow.is_closed and self.bytes_in_flight < MAX_BYTES_IN_FLIGHT
        if may_publish and waiting and waiting[0].is_authorized:
            self._asked -= 1
            self.publish(waiting.popleft().message)
            return True
        return False

    def _await(self, waiting: _Waiting, answer: Deferred[None]) -> None:
        self._asked += 1
        waiting.answer = answer
        answer.addCallbacks(self._authorized, self._denied, callbackArgs=(waiting,), errbackArgs=(waiting,))

    def _authorized(self, _answer: object, waiting: _Waiting) -> None:
        waiting.is_authorized = True
        self.proceed()

    def _denied(self, failure: Failure, waiting: _Waiting) -> None:
        if self.is_stopped:
            return
        if waiting.message.id:
            # The client is told which of its messages it was; the others are independent of it.
            self._waiting.remove(waiting)
            self._asked -= 1
            self._rejected(waiting.message, failure)
            self.proceed()
        else:
            self.stop()
            self._rejected(waiting.message, failure)

    def _pause_or_resume(self) -> None:
        waiting = self._waiting
        if self.is_stopped:
            return
        is_held = bool(waiting) and waiting[0].is_authorized
        if is_held and self._inflow.is_closed:
            self._inflow.wait(self)
        if is_held or len(waiting) >= MAX_ASKED:
            if not self._is_paused:
                self._is_paused = True
                self._connection.pause_reading()
        elif self._is_paused and len(waiting) <= MAX_ASKED // 2:
            self._is_paused = False
            self._connection.resume_reading()
