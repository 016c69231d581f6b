"""Asks all processes what they have, and replies for this one.

A question goes to all processes over the control channel, and their replies to the one that asked. Nothing is kept in
Redis: a process that is gone is not there to reply. The broker says how many processes got the question, so that the
last reply ends the wait; a process of an older version, or a program that watches the control channel, makes it end
with the deadline instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from itertools import count

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay import __version__
from wsrelay.core.messaging.surveys import NodeNumbers, SurveyQuestion, SurveyReply
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.client_registry import ClientRegistry
from wsrelay.engine.hub import Hub
from wsrelay.interfaces import IBroker

__all__ = ["CHANNELS_PER_TURN", "MAX_CHANNELS", "MAX_SURVEYS", "SURVEY_SECONDS", "Survey", "SurveyOutcome"]

SURVEY_SECONDS = 2.0
"""How long replies are waited for."""

MAX_SURVEYS = 16
"""How many questions of this process may wait for replies, and how many of all processes it works on."""

MAX_CHANNELS = 10_000
"""The most channels in one reply."""

CHANNELS_PER_TURN = 2000
"""How many channels are looked at before the reactor has its turn: about a millisecond."""


@dataclass(frozen=True, slots=True)
class SurveyOutcome:
    """The outcome of a question.

    Attributes:
        replies: The replies that came in time.
        processes: The number of processes that were asked.
    """

    replies: tuple[SurveyReply, ...]
    processes: int


class _Asked:
    __slots__ = ("done", "expected", "replies")

    def __init__(self) -> None:
        self.replies: dict[str, SurveyReply] = {}
        # If None, the broker has not said yet how many processes get the question.
        self.expected: int | None = None
        self.done: Deferred[None] = Deferred()

    def check(self) -> None:
        if self.expected is not None and len(self.replies) >= self.expected and not self.done.called:
            self.done.callback(None)


class Survey:
    """Asks, and replies.

    Args:
        broker: Carries questions and replies.
        hub: The channels of this process.
        registry: Its authenticated clients.
        clock: Time, for the deadline and the end of a turn.
        count_connections: Returns the number of its connections.
        name: What its operator may know it by.
    """

    log = Logger()

    def __init__(
        self,
        broker: IBroker,
        hub: Hub,
        registry: ClientRegistry,
        clock: IReactorTime,
        count_connections: Callable[[], int],
        name: str,
    ) -> None:
        self._broker = broker
        self._hub = hub
        self._registry = registry
        self._clock = clock
        self._count_connections = count_connections
        self._name = name
        self._started = clock.seconds()
        self._ids = count(1)
        self._asked: dict[int, _Asked] = {}
        self._replying: set[Deferred[None]] = set()

    def ask(self, pattern: str | None = None) -> Deferred[SurveyOutcome]:
        """Ask all processes.

        Args:
            pattern: The channels to ask for, as a glob. If None, the numbers of each process.

        Returns:
            Fires with the replies, when all have come or after `SURVEY_SECONDS`.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) Nobody can be asked now.
        """
        return Deferred.fromCoroutine(self._ask(pattern))

    def question_received(self, question: SurveyQuestion) -> None:
        """Reply to a question. One that comes while too many are worked on is left without a reply."""
        if len(self._replying) < MAX_SURVEYS:
            replying = Deferred.fromCoroutine(self._reply(question))
            self._replying.add(replying)
            replying.addErrback(self._reply_failed)
            replying.addBoth(lambda _outcome: self._replying.discard(replying))

    def reply_received(self, reply: SurveyReply) -> None:
        """Take a reply. One that comes too late is ignored."""
        asked = self._asked.get(reply.id)
        if asked is not None:
            asked.replies[reply.node] = reply
            asked.check()

    def stop(self) -> None:
        """End all questions and replies."""
        for asked in list(self._asked.values()):
            asked.done.cancel()
        for replying in list(self._replying):
            replying.cancel()

    async def _ask(self, pattern: str | None) -> SurveyOutcome:
        if len(self._asked) >= MAX_SURVEYS:
            raise BrokerUnavailable("too many questions to the other processes wait for replies")
        number = next(self._ids)
        asked = self._asked[number] = _Asked()
        try:
            question = SurveyQuestion(number, self._broker.node_id, pattern)
            # With the embedded broker the reply is here before this is.
            asked.expected = await self._broker.send_control(question.to_bytes())
            asked.check()
            try:
                await asked.done.addTimeout(SURVEY_SECONDS, self._clock)
            except DeferredTimeout:
                pass
            return SurveyOutcome(tuple(asked.replies.values()), max(asked.expected, len(asked.replies)))
        finally:
            del self._asked[number]

    async def _reply(self, question: SurveyQuestion) -> None:
        node = self._broker.node_id
        if question.pattern is None:
            reply = SurveyReply(question.id, node, await self._numbers())
        else:
            channels = await self._channels(question.pattern)
            counts = {channel: self._hub.subscriber_count(channel) for channel in channels[:MAX_CHANNELS]}
            reply = SurveyReply(question.id, node, None, counts, len(channels) <= MAX_CHANNELS)
        await self._broker.send_control(reply.to_bytes(), question.node)

    async def _channels(self, pattern: str) -> list[str]:
        matches = re.compile(translate(pattern or "*")).match
        found: list[str] = []
        for turn in self._turns():
            found += filter(matches, turn)
            if len(found) > MAX_CHANNELS:
                break
            await self._next_turn(turn)
        return found

    async def _numbers(self) -> NodeNumbers:
        subscriptions = channels = 0
        for turn in self._turns():
            counts = [self._hub.subscriber_count(channel) for channel in turn]
            subscriptions += sum(counts)
            channels += sum(map(bool, counts))
            await self._next_turn(turn)
        connections = self._count_connections()
        return NodeNumbers(
            self._name,
            __version__,
            connections,
            self._registry.count_users(connections),
            channels,
            subscriptions,
            int(self._clock.seconds() - self._started),
        )

    def _turns(self) -> list[list[str]]:
        channels = self._hub.channels()
        return [channels[start : start + CHANNELS_PER_TURN] for start in range(0, len(channels), CHANNELS_PER_TURN)]

    async def _next_turn(self, turn: list[str]) -> None:
        if len(turn) == CHANNELS_PER_TURN:
            await deferLater(self._clock, 0)

    def _reply_failed(self, failure: Failure) -> None:
        # The one that asked gets fewer replies than processes, and says so.
        if failure.check(BrokerUnavailable, CancelledError) is None:
            self.log.failure("a question of another process could not be replied to", failure)
