"""Messages of one client that wait until the application has authorized them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.core.sessions.effects import PublishMessage

__all__ = ["MAX_WAITING", "PublishQueue"]

MAX_WAITING = 16
"""How many messages of one client may wait; what they hold in memory is at most so many times the longest message."""


class _Waiting:
    __slots__ = ("answer", "is_authorized", "message")

    def __init__(self, message: PublishMessage, answer: Deferred[None]) -> None:
        self.message = message
        self.answer = answer
        self.is_authorized = False


class PublishQueue:
    """Publishes in the order in which the messages came, whatever the order of the answers.

    Args:
        publish: Called with every message that may be published.
        rejected: Called with the first message that may not, and the failure. Nothing that waits behind it is
            published any more where the queue stops then; see `stop`.

    Attributes:
        is_stopped: Whether nothing is published any more.
    """

    def __init__(
        self, publish: Callable[[PublishMessage], None], rejected: Callable[[PublishMessage, Failure], None]
    ) -> None:
        self._publish = publish
        self._rejected = rejected
        self._waiting: deque[_Waiting] = deque()
        self.is_stopped = False

    @property
    def is_full(self) -> bool:
        """True if one more message would be too many."""
        return len(self._waiting) >= MAX_WAITING

    def add(self, message: PublishMessage, answer: Deferred[None]) -> None:
        """Add a message, and the answer to whether it may be published."""
        if self.is_stopped:
            answer.addErrback(lambda _failure: None)
            return
        waiting = _Waiting(message, answer)
        self._waiting.append(waiting)
        answer.addCallbacks(self._authorized, self._denied, callbackArgs=(waiting,), errbackArgs=(waiting,))

    def stop(self) -> None:
        """Publish nothing any more, and cancel the questions that are under way."""
        self.is_stopped = True
        waiting = list(self._waiting)
        self._waiting.clear()
        for each in waiting:
            # Nobody needs the answer any more, and the question takes others' room.
            each.answer.cancel()

    def _authorized(self, _answer: object, waiting: _Waiting) -> None:
        waiting.is_authorized = True
        self._publish_ready()

    def _denied(self, failure: Failure, waiting: _Waiting) -> None:
        if self.is_stopped:
            return
        if waiting.message.id:
            # The client is told which of its messages it was; the others are independent of it.
            self._waiting.remove(waiting)
            self._rejected(waiting.message, failure)
            self._publish_ready()
        else:
            self.stop()
            self._rejected(waiting.message, failure)

    def _publish_ready(self) -> None:
        while self._waiting and self._waiting[0].is_authorized:
            self._publish(self._waiting.popleft().message)
