"""The switch: websockets off and on for all processes."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from wsrelay.core.messaging.switch import (
    NO_EXPLANATION,
    SwitchChanged,
    SwitchState,
    check_explanation,
    read_switch_state,
)
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker

__all__ = ["SwitchOperations"]


class SwitchOperations:
    """Turns websockets off and on.

    Args:
        broker: Keeps the switch, and tells the processes.
    """

    def __init__(self, broker: IBroker) -> None:
        self._broker = broker

    def state(self) -> Deferred[SwitchState]:
        """Look up the position.

        Returns:
            Fires with it, within the broker's bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be looked up now.
        """
        return Deferred.fromCoroutine(self._state())

    def disable(self, explanation: str = "") -> Deferred[SwitchState]:
        """Turn websockets off: handshakes are refused, and open connections drain.

        Args:
            explanation: What clients are told, at most `MAX_EXPLANATION_CHARACTERS`. If empty, nothing more than that.

        Returns:
            Fires with the position when it is kept, within the broker's bounded time. Processes follow soon after.

        Raises:
            ClaimError: (Failure of the Deferred.) The explanation cannot be used.
            BrokerUnavailable: (Failure of the Deferred.) Websockets are not off, or that cannot be known.
        """
        return Deferred.fromCoroutine(self._disable(explanation))

    def enable(self) -> Deferred[SwitchState]:
        """Turn websockets on.

        Returns:
            Fires with the position when it is kept, within the broker's bounded time. Processes follow soon after.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) Websockets are not on, or that cannot be known.
        """
        return Deferred.fromCoroutine(self._enable())

    async def _state(self) -> SwitchState:
        return read_switch_state(await self._broker.switch.read())

    async def _disable(self, explanation: str) -> SwitchState:
        explanation = check_explanation(explanation)
        await self._broker.switch.set((explanation or NO_EXPLANATION).encode())
        await self._tell()
        return SwitchState(is_disabled=True, explanation=explanation)

    async def _enable(self) -> SwitchState:
        await self._broker.switch.clear()
        await self._tell()
        return SwitchState()

    async def _tell(self) -> None:
        try:
            await self._broker.send_control(SwitchChanged().to_bytes())
        except BrokerUnavailable:
            # The position is kept: processes find it when they look next.
            return
