"""The processes of the relay: their numbers, and their channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from wsrelay.core.messaging.surveys import MAX_PATTERN_CHARACTERS, NodeNumbers
from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.engine.survey import MAX_CHANNELS, Survey, SurveyOutcome

__all__ = ["ChannelCounts", "ProcessOperations", "Processes"]


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that replied.

    Attributes:
        numbers: The numbers of each, by its name among those that share the broker.
        missing: The number of processes that did not reply in time.
    """

    numbers: Mapping[str, NodeNumbers]
    missing: int


@dataclass(frozen=True, slots=True)
class ChannelCounts:
    """The channels with subscribers.

    Attributes:
        counts: The number of subscriptions to each.
        is_complete: Whether these are all of them: every process replied, and there were not too many.
    """

    counts: Mapping[str, int]
    is_complete: bool


class ProcessOperations:
    """Asks all processes.

    Args:
        survey: Carries the questions and the replies.
    """

    def __init__(self, survey: Survey) -> None:
        self._survey = survey

    def numbers(self) -> Deferred[Processes]:
        """Ask for the numbers of each process.

        Returns:
            Fires with them, within two seconds and the broker's bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) Nobody can be asked now.
        """
        return self._survey.ask().addCallback(_processes)

    def channels(self, pattern: str = "") -> Deferred[ChannelCounts]:
        """Ask for the channels with subscribers.

        Args:
            pattern: Which, as a glob of ``*``, ``?`` and ``[...]``. If empty, all.

        Returns:
            Fires with at most `MAX_CHANNELS` of them, within two seconds and the broker's bounded time.

        Raises:
            ClaimError: (Failure of the Deferred.) The pattern is too long, or of another form.
            BrokerUnavailable: (Failure of the Deferred.) Nobody can be asked now.
        """
        return Deferred.fromCoroutine(self._channels(pattern))

    async def _channels(self, pattern: str) -> ChannelCounts:
        if len(pattern) > MAX_PATTERN_CHARACTERS:
            raise ClaimError(f"pattern has at most {MAX_PATTERN_CHARACTERS} characters")
        if "{" in pattern:
            # Other globs take it for alternatives, and no channel has it in its name.
            raise ClaimError("pattern may hold *, ? and [...], and no {")
        outcome = await self._survey.ask(pattern)
        counts: Counter[str] = Counter()
        for reply in outcome.replies:
            counts.update(reply.channels)
        some = dict(sorted(counts.items())[:MAX_CHANNELS])
        is_complete = not _missing(outcome) and all(each.is_complete for each in outcome.replies)
        return ChannelCounts(some, is_complete and len(some) == len(counts))


def _processes(outcome: SurveyOutcome) -> Processes:
    numbers = {each.node: each.numbers for each in outcome.replies if each.numbers is not None}
    return Processes(dict(sorted(numbers.items())), _missing(outcome))


def _missing(outcome: SurveyOutcome) -> int:
    return outcome.processes - len(outcome.replies)
