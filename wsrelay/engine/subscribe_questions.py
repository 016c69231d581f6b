"""Questions to the application about the channels that one client subscribes to by commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from wsrelay.core.sessions.effects import SubscribeChannel

__all__ = ["MAX_IN_FLIGHT", "SubscribeQuestions"]

MAX_IN_FLIGHT = 8
"""Questions of one client at the same time. The application's capacity is for everybody: a client that subscribes to
all the channels that it may would else take the whole share of its address, and others could not connect."""


class SubscribeQuestions:
    """Asks about the channels of one client, a few at a time and in order.

    A question that is no longer of use stays in flight until it is answered, and counts until then: a client that
    subscribes and unsubscribes in turn asks no more than one that waits.

    Args:
        ask: Asks whether a client may subscribe. Returns None if nobody has to be asked. May raise.
        answered: Called with what is asked about and None if the client may subscribe, or the failure if not. `discard`
            is owed then, as it is for a question without an answer.
    """

    __slots__ = ("_answered", "_ask", "_in_flight", "_is_asking", "_is_stopped", "_waiting", "_wanted")

    def __init__(
        self,
        ask: Callable[[SubscribeChannel], Deferred[None] | None],
        answered: Callable[[SubscribeChannel, Failure | None], None],
    ) -> None:
        self._ask = ask
        self._answered = answered
        self._waiting: deque[SubscribeChannel] = deque()
        self._in_flight: set[Deferred[None]] = set()
        # The question whose answer counts for each channel, until that is a yes. If None, it is still to be asked.
        self._wanted: dict[str, Deferred[None] | None] = {}
        self._is_asking = False
        self._is_stopped = False

    @property
    def pending(self) -> tuple[str, ...]:
        """The channels whose answer is awaited, or was a no."""
        return tuple(self._wanted)

    def add(self, effect: SubscribeChannel) -> None:
        """Ask about a channel, now or when there is a place for it. The answer may come before this returns."""
        self._wanted[effect.channel] = None
        self._waiting.append(effect)
        self._ask_some()

    def discard(self, channel: str) -> bool:
        """Drop the question about a channel.

        Returns:
            True if there was one that was not answered by a yes, so that nothing has been subscribed.
        """
        if channel not in self._wanted:
            return False
        if self._wanted.pop(channel) is None:
            self._waiting = deque(each for each in self._waiting if each.channel != channel)
        return True

    def stop(self) -> None:
        """Cancel every question, and report no answer any more."""
        self._is_stopped = True
        self._waiting.clear()
        self._wanted.clear()
        for question in tuple(self._in_flight):
            question.cancel()

    def _ask_some(self) -> None:
        if self._is_asking:
            # An answer that came at once: the loop below goes on by itself.
            return
        self._is_asking = True
        while self._waiting and len(self._in_flight) < MAX_IN_FLIGHT and not self._is_stopped:
            effect = self._waiting.popleft()
            try:
                question = self._ask(effect) or succeed(None)
            except Exception:  # noqa: BLE001 -- one that raises has answered
                question = fail()
            self._wanted[effect.channel] = question
            self._in_flight.add(question)
            question.addBoth(self._take_answer, effect, question)
        self._is_asking = False

    def _take_answer(self, answer: Failure | None, effect: SubscribeChannel, question: Deferred[None]) -> None:
        self._in_flight.discard(question)
        if self._wanted.get(effect.channel) is question:
            if answer is None:
                del self._wanted[effect.channel]
            self._answered(effect, answer)
        self._ask_some()
