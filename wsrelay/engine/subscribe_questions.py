"""Questions to the application about the channels that one client subscribes to by commands, or connects with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from wsrelay.core.sessions.effects import SubscribeChannel
from wsrelay.engine.timers import TimerWheel, WheelTimer

__all__ = ["ANSWER_TIMEOUT_SECONDS", "MAX_IN_FLIGHT", "SubscribeQuestions"]

MAX_IN_FLIGHT = 8
"""Questions of one client at the same time. The application's capacity is for everybody: a client that subscribes to
all the channels that it may would else take the whole share of its address, and others could not connect."""

ANSWER_TIMEOUT_SECONDS = 15.0
"""How long a question may take, the wait for its turn included. All channels of a connect are asked about in the same
moment, so that this is their common deadline: without it 128 channels and a slow application would make 16 rounds, each
with a deadline of its own. It is longer than the longest deadline of one question (`hook_timeout_seconds`)."""


class _Question:
    """A question about one channel.

    Attributes:
        effect: What is asked about.
        due: Until when it has to be answered, by the clock of the timers.
        answer: Its answer. If None, it waits for its turn.
        is_answered: Whether its answer has been reported.
    """

    __slots__ = ("answer", "due", "effect", "is_answered")

    def __init__(self, effect: SubscribeChannel, due: float) -> None:
        self.effect = effect
        self.due = due
        self.answer: Deferred[None] | None = None
        self.is_answered = False


class SubscribeQuestions:
    """Asks about the channels of one client, a few at a time and in order.

    A question that is no longer of use stays in flight until it is answered, and counts until then: a client that
    subscribes and unsubscribes in turn asks no more than one that waits.

    Args:
        ask: Asks whether a client may subscribe. Returns None if nobody has to be asked. May raise.
        answered: Called with what is asked about and None if the client may subscribe, or the failure if not: that of a
            `CancelledError` if there is no answer within `ANSWER_TIMEOUT_SECONDS`. `discard` is owed then, as it is for
            a question without an answer.
        timers: Time, for the deadline.
    """

    __slots__ = (
        "_answered",
        "_ask",
        "_in_flight",
        "_is_asking",
        "_is_stopped",
        "_timer",
        "_timers",
        "_waiting",
        "_wanted",
    )

    def __init__(
        self,
        ask: Callable[[SubscribeChannel], Deferred[None] | None],
        answered: Callable[[SubscribeChannel, Failure | None], None],
        timers: TimerWheel,
    ) -> None:
        self._ask = ask
        self._answered = answered
        self._timers = timers
        self._waiting: deque[_Question] = deque()
        self._in_flight: set[Deferred[None]] = set()
        # The question whose answer counts for each channel, until that is a yes; in the order of their deadlines.
        self._wanted: dict[str, _Question] = {}
        # Runs as long as something waits for an answer, and until the deadline of that at the latest.
        self._timer: WheelTimer | None = None
        self._is_asking = False
        self._is_stopped = False

    @property
    def pending(self) -> tuple[str, ...]:
        """The channels whose answer is awaited, or was a no."""
        return tuple(self._wanted)

    def is_awaited(self, effect: SubscribeChannel) -> bool:
        """Return whether the answer about this attempt to subscribe is still to come, and of use."""
        question = self._wanted.get(effect.channel)
        return question is not None and question.effect is effect and not question.is_answered

    def add(self, effect: SubscribeChannel) -> None:
        """Ask about a channel, now or when there is a place for it. The answer may come before this returns."""
        question = _Question(effect, self._timers.seconds() + ANSWER_TIMEOUT_SECONDS)
        self._wanted[effect.channel] = question
        self._waiting.append(question)
        self._ask_some()
        self._schedule()

    def discard(self, channel: str) -> bool:
        """Drop the question about a channel.

        Returns:
            True if there was one that was not answered by a yes, so that nothing has been subscribed.
        """
        question = self._wanted.pop(channel, None)
        if question is None:
            return False
        if question.answer is None:
            self._waiting = deque(each for each in self._waiting if each is not question)
        return True

    def stop(self) -> None:
        """Cancel every question, and report no answer any more."""
        self._is_stopped = True
        self._waiting.clear()
        self._wanted.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for question in tuple(self._in_flight):
            question.cancel()

    def _ask_some(self) -> None:
        if self._is_asking:
            # An answer that came at once: the loop below goes on by itself.
            return
        self._is_asking = True
        while self._waiting and len(self._in_flight) < MAX_IN_FLIGHT and not self._is_stopped:
            question = self._waiting.popleft()
            try:
                answer = self._ask(question.effect) or succeed(None)
            except Exception:  # noqa: BLE001 -- one that raises has answered
                answer = fail()
            question.answer = answer
            self._in_flight.add(answer)
            answer.addBoth(self._take_answer, question, answer)
        self._is_asking = False

    def _take_answer(self, result: Failure | None, question: _Question, answer: Deferred[None]) -> None:
        self._in_flight.discard(answer)
        self._report(question, result)
        self._ask_some()

    def _report(self, question: _Question, result: Failure | None) -> None:
        channel = question.effect.channel
        if self._wanted.get(channel) is not question:
            return
        question.is_answered = True
        if result is None:
            del self._wanted[channel]
        self._answered(question.effect, result)

    def _schedule(self) -> None:
        """Have the timer run if something waits for an answer."""
        due = next((each.due for each in self._wanted.values() if not each.is_answered), None)
        if due is not None and self._timer is None:
            self._timer = self._timers.call_later(due - self._timers.seconds(), self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        now = self._timers.seconds()
        late = [each for each in self._wanted.values() if each.due <= now and not each.is_answered]
        # Before any place is free, so that nothing is asked that would be late at once.
        self._waiting = deque(each for each in self._waiting if each.due > now)
        for question in late:
            if question.answer is None:
                self._report(question, Failure(CancelledError()))
            elif self._wanted.get(question.effect.channel) is question:
                question.answer.cancel()
        self._schedule()
