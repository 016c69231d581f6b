"""Readiness compared with what clients receive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from devtools.harness.relay import AsyncRelay

__all__ = ["ReadinessMonitor"]

_POLL_SECONDS = 0.25
RESPONSE_SECONDS = 3.0


class ReadinessMonitor:
    """Polls `/readyz` of one relay, and compares the status with what its clients receive.

    Args:
        relay: The relay.
        last_received: Returns when a message last came to a client of this relay.
        accepted: Returns how many messages Redis has accepted so far.

    Attributes:
        relay: See above.
        is_ready: True if the last status was 200.
        reason: The last body.
        unready_reports: Time and body of every status other than 200.
        longest_false_ready: The longest time in seconds for which the status was 200 while messages were published and
            none was received.
    """

    def __init__(self, relay: AsyncRelay, last_received: Callable[[], float], accepted: Callable[[], int]) -> None:
        self.relay = relay
        self.is_ready = False
        self.reason = ""
        self.unready_reports: list[tuple[float, str]] = []
        self.longest_false_ready = 0.0
        self._last_received = last_received
        self._accepted = accepted
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop polling."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        # Since when nothing was received, and how many messages Redis had accepted then.
        since, accepted = time.monotonic(), self._accepted()
        while True:
            status, self.reason = await self.relay.get("/readyz", RESPONSE_SECONDS)
            now = time.monotonic()
            self.is_ready = status == 200
            if not self.is_ready:
                self.unready_reports.append((now, self.reason.strip()))
            if self._last_received() >= since or not self.is_ready:
                since, accepted = now, self._accepted()
            elif self._accepted() > accepted:
                self.longest_false_ready = max(self.longest_false_ready, now - since)
            await asyncio.sleep(_POLL_SECONDS)
