"""Who is let in: so many connections in all, so many from one address, so many handshakes a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from wsrelay.core.access.client_address import rate_limit_key
from wsrelay.core.flow.token_bucket import TokenBucket
from wsrelay.core.outcomes.errors import HTTPError
from wsrelay.core.wire.http_response import ErrorResponse

__all__ = ["Admission"]

BURST_SECONDS = 2.0

_RETRY = (("Retry-After", "5"),)

_FULL = ErrorResponse(
    503, "This process has as many connections as it may have. Come back, another one may have room.", _RETRY
)

_TOO_MANY = ErrorResponse(429, "There are too many connections from this address.", _RETRY)

_TOO_FAST = ErrorResponse(503, "Too many clients come at the same moment. Come back a little later.", _RETRY)


class Admission:
    """Counts connections.

    Args:
        most: How many there may be.
        most_per_address: How many there may be from one address. 0: as many as there may be in all.
        handshakes_per_second: How many may begin in a second. 0: any number.
        seconds: A monotonic clock.
    """

    def __init__(
        self, most: int, most_per_address: int, handshakes_per_second: float, seconds: Callable[[], float]
    ) -> None:
        self.most = most
        self.most_per_address = most_per_address
        self._seconds = seconds
        self._handshakes: TokenBucket | None = None
        if handshakes_per_second:
            self._handshakes = TokenBucket(handshakes_per_second, BURST_SECONDS, seconds())
        self._by_address: Counter[str] = Counter()
        self.count = 0

    def enter(self, address: str) -> None:
        """One more connection; `leave` is owed once.

        Raises:
            RefusedError: It is one too many; nothing is owed.
        """
        if self.count >= self.most:
            raise HTTPError(_FULL)
        address = rate_limit_key(address) if self.most_per_address else address
        if self.most_per_address and self._by_address[address] >= self.most_per_address:
            raise HTTPError(_TOO_MANY)
        if self._handshakes is not None and not self._handshakes.take(1, self._seconds()):
            raise HTTPError(_TOO_FAST)
        self.count += 1
        if self.most_per_address:
            self._by_address[address] += 1

    def leave(self, address: str) -> None:
        """One connection less."""
        self.count -= 1
        if self.most_per_address:
            address = rate_limit_key(address)
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
