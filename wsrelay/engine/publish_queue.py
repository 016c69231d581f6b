"""Messages of one client that wait until somebody has said whether they may be published."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["MOST_WAITING", "PublishQueue"]

MOST_WAITING = 16
"""How many messages of one client may wait; what they hold in memory is at most so many times the longest message."""


class _Message:
    __slots__ = ("answer", "channel", "is_approved", "payload")

    def __init__(self, channel: str, payload: bytes, answer: Deferred[None]) -> None:
        self.channel = channel
        self.payload = payload
        self.answer = answer
        self.is_approved = False


class PublishQueue:
    """Publishes in the order in which the messages came, whatever the order of the answers.

    Args:
        publish: Called with channel and payload of every message that may be published.
        refused: Called with the first refusal; nothing that waits is published any more.
    """

    def __init__(self, publish: Callable[[str, bytes], None], refused: Callable[[Failure], None]) -> None:
        self._publish = publish
        self._refused = refused
        self._waiting: deque[_Message] = deque()
        self._stopped = False

    @property
    def is_full(self) -> bool:
        """Whether one more message would be too many."""
        return len(self._waiting) >= MOST_WAITING

    def add(self, channel: str, payload: bytes, answer: Deferred[None]) -> None:
        """One more message, and the answer to the question whether it may be published."""
        if self._stopped:
            answer.addErrback(lambda _failure: None)
            return
        message = _Message(channel, payload, answer)
        self._waiting.append(message)
        answer.addCallbacks(self._approved, self._denied, callbackArgs=(message,))

    def stop(self) -> None:
        """Publish nothing any more."""
        self._stopped = True
        waiting = list(self._waiting)
        self._waiting.clear()
        for message in waiting:
            # Nobody wants to know any more, and the question takes others' room.
            message.answer.cancel()

    def _approved(self, _answer: object, message: _Message) -> None:
        message.is_approved = True
        while self._waiting and self._waiting[0].is_approved:
            ready = self._waiting.popleft()
            self._publish(ready.channel, ready.payload)

    def _denied(self, failure: Failure) -> None:
        if not self._stopped:
            self.stop()
            self._refused(failure)
