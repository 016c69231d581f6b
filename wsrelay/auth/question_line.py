"""The questions to the application that wait for others to be answered."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

__all__ = ["MAX_WAITING", "WAIT_SECONDS", "QuestionLine"]

WAIT_SECONDS = 30.0
"""How long a question may wait to be asked."""

MAX_WAITING = 20_000
"""How many questions may wait. Each client has a few at most, and is read no further meanwhile."""


class QuestionLine:
    """Lets questions wait until there is room for them: those of one party in their order, the parties by turns.

    Args:
        has_room: Returns whether a question about a party may be asked now.
        is_full: Returns whether none may be, about whomever. All that wait are looked through only if it is not.
        clock: Runs the deadlines.
    """

    def __init__(self, has_room: Callable[[str], bool], is_full: Callable[[], bool], clock: IReactorTime) -> None:
        self._has_room = has_room
        self._is_full = is_full
        self._clock = clock
        self._parties: OrderedDict[str, deque[Deferred[None]]] = OrderedDict()
        self._count = 0
        self._is_serving = False

    def __len__(self) -> int:
        """Return how many questions wait."""
        return self._count

    async def wait(self, party: str) -> None:
        """Wait until there is room, or until it has taken too long. The caller looks whether there is.

        Raises:
            CancelledError: It was cancelled.
        """
        if (self._has_room(party) and party not in self._parties) or self._count >= MAX_WAITING:
            return
        turn: Deferred[None] = Deferred()
        self._parties.setdefault(party, deque()).append(turn)
        self._count += 1
        try:
            await turn.addTimeout(WAIT_SECONDS, self._clock)
        except TimeoutError:
            self._forget(party, turn)
        except CancelledError:
            self._forget(party, turn)
            raise

    def serve(self) -> None:
        """Let those go on for whom there is room by now."""
        if self._is_serving:
            # One that went on has ended already.
            return
        self._is_serving = True
        try:
            while not self._is_full() and (party := next(filter(self._has_room, self._parties), None)) is not None:
                turns = self._parties[party]
                turn = turns.popleft()
                self._count -= 1
                if turns:
                    self._parties.move_to_end(party)
                else:
                    del self._parties[party]
                turn.callback(None)
        finally:
            self._is_serving = False

    def _forget(self, party: str, turn: Deferred[None]) -> None:
        turns = self._parties.get(party)
        if turns is not None and turn in turns:
            turns.remove(turn)
            self._count -= 1
            if not turns:
                del self._parties[party]
