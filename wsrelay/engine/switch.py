"""Follows the switch by which the operator turns websockets off: looks it up at once when told to, and now and then.

The last position that was read holds while none can be read: an outage of Redis turns websockets neither off nor on.
Until the first one has been read they are on, but no client gets far: subscribing waits for Redis, and the first look
is answered before the broker is ready.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.core.messaging.switch import SwitchState, read_switch_state
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import ISwitch

__all__ = ["LOOK_SECONDS", "Switch"]

LOOK_SECONDS = 5.0
"""The longest time until the next look, which finds a plain SET. Each comes up to a quarter earlier, so that processes
do not look in step."""


class Switch:
    """The position of the switch, as far as this process knows.

    Args:
        store: Keeps the switch.
        clock: Time.
        rng: Randomness for the times of looks.

    Attributes:
        state: The position.
        on_change: Called with each new position.
    """

    log = Logger()

    def __init__(self, store: ISwitch, clock: IReactorTime, rng: Random) -> None:
        self.state = SwitchState()
        self.on_change: Callable[[SwitchState], None] = _ignore
        self._store = store
        self._clock = clock
        self._rng = rng
        self._timer: IDelayedCall | None = None
        self._is_looking = False
        # Something may have changed since the look that is under way began.
        self._is_outdated = False
        self._logged_problem = ""

    def start(self) -> None:
        """Begin to look now and then."""
        self._timer = self._clock.callLater(LOOK_SECONDS * self._rng.uniform(0.75, 1.0), self._look_again)

    def stop(self) -> None:
        """Look no more by itself. May be called more than once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Look the switch up, once more if that is under way already."""
        if self._is_looking:
            self._is_outdated = True
            return
        self._is_looking = True
        self._is_outdated = False
        looked = self._store.read().addCallbacks(self._read, self._read_failed)
        looked.addErrback(lambda failure: self.log.failure("the switch cannot be followed", failure))
        looked.addCallback(self._looked)

    def _looked(self, _result: object) -> None:
        self._is_looking = False
        if self._is_outdated:
            self.look()

    def _look_again(self) -> None:
        self.start()
        self.look()

    def _read(self, value: bytes) -> None:
        self._logged_problem = ""
        state = read_switch_state(value)
        if state == self.state:
            return
        if not state.is_disabled:
            self.log.info("websockets are enabled again")
        elif state.explanation:
            self.log.warn("websockets are disabled by the switch: {explanation}", explanation=state.explanation)
        else:
            self.log.warn("websockets are disabled by the switch")
        self.state = state
        self.on_change(state)

    def _read_failed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, BrokerUnavailable):
            failure.raiseException()
        code = error.code
        # Without an answer there is a line about Redis itself.
        if code != "no answer" and code != self._logged_problem:
            self._logged_problem = code
            self.log.warn(
                "the switch cannot be read ({code}), so that websockets stay {position}: permit GETRANGE on the key "
                "<prefix>disabled, which has to be a string",
                code=code,
                position="disabled" if self.state.is_disabled else "enabled",
            )


def _ignore(_state: SwitchState) -> None:
    """Leave the change without effect."""
