"""The link between the parent and a worker: a socket pair, with one JSON object after the other on it.

A worker reports that it has started, and then its state once a second; a parent that gets no state for long takes the
worker for one that stands still. Either side may ask the other a question. The parent asks for the numbers of a worker;
a worker, for the numbers and the readiness of all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

__all__ = ["ANSWER_SECONDS", "LinkClosedError", "WorkerLink"]

ANSWER_SECONDS = 2.0
"""The time within which a question is answered, or fails."""

MAX_QUESTIONS = 64
"""How many questions of one side may wait for their answers."""

Report = Mapping[str, Any]


class LinkClosedError(Exception):
    """The other process is gone, or too many questions wait for its answers."""


class WorkerLink(Int32StringReceiver):
    """One end of the link.

    Args:
        clock: Runs the deadlines.
        answer: Returns the answer to a question, or a Deferred with it: something that JSON can hold.
        reported: Called with each report of the other side.
        closed: Called once, when the other process is gone.
    """

    # The numbers of a worker are some ten kilobytes.
    MAX_LENGTH = 16 * 1024 * 1024

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        *,
        answer: Callable[[str], Any],
        reported: Callable[[Report], None],
        closed: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._answer = answer
        self._reported = reported
        self._closed = closed
        self._questions: dict[int, Deferred[Any]] = {}
        self._numbers = count(1)
        self._is_open = True

    def report(self, **fields: Any) -> None:
        """Send a report. Without effect when the other process is gone."""
        self._send({"report": fields})

    def ask(self, question: str) -> Deferred[Any]:
        """Ask the other side.

        Returns:
            Fires with the answer within `ANSWER_SECONDS`.

        Raises:
            LinkClosedError: The other process is gone, or is asked too much. (Failure of the Deferred.)
            twisted.internet.defer.TimeoutError: It did not answer in time. (Failure of the Deferred.)
        """
        asked: Deferred[Any] = Deferred()
        if not self._is_open or len(self._questions) >= MAX_QUESTIONS:
            asked.errback(LinkClosedError("the other process does not answer"))
            return asked
        number = next(self._numbers)
        self._questions[number] = asked

        def forget(result: Any) -> Any:
            self._questions.pop(number, None)
            return result

        asked.addTimeout(ANSWER_SECONDS, self._clock)
        asked.addBoth(forget)
        self._send({"ask": question, "number": number})
        return asked

    def close(self) -> None:
        """End the link."""
        if self.transport is not None:
            self.transport.loseConnection()

    def stringReceived(self, string: bytes) -> None:
        """Take one object. One that cannot be used ends the link: the other side is a process of ours."""
        try:
            message: dict[str, Any] = json.loads(string)
            if "report" in message:
                self._reported(message["report"])
            elif "ask" in message:
                self._ask_received(str(message["ask"]), message["number"])
            elif (asked := self._questions.get(message["number"])) is not None and not asked.called:
                asked.callback(message["answer"])
        except Exception:  # noqa: BLE001 -- whatever is wrong with it
            self.log.failure("the link between parent and worker has failed")
            self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail all questions."""
        self._is_open = False
        questions, self._questions = self._questions, {}
        for asked in questions.values():
            if not asked.called:
                asked.errback(LinkClosedError("the other process is gone"))
        self._closed()

    def _ask_received(self, question: str, number: int) -> None:
        def failed(failure: Failure) -> None:
            # The other side's deadline ends the question.
            self.log.debug("no answer to {question}: {reason}", question=question, reason=failure.getErrorMessage())

        answered = maybeDeferred(self._answer, question)
        answered.addCallback(lambda answer: self._send({"answer": answer, "number": number}))
        answered.addErrback(failed)

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._is_open and self.transport is not None:
            self.sendString(json.dumps(message, separators=(",", ":")).encode())
