"""Limits on connections: in total, of one address, and handshakes per second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from wsrelay.core.access.client_address import rate_limit_key
from wsrelay.core.flow.token_bucket import TokenBucket
from wsrelay.core.outcomes.errors import HTTPError
from wsrelay.core.wire.http_response import ErrorResponse

__all__ = ["Admission"]

HANDSHAKE_BURST_SECONDS = 2.0
"""How many seconds' worth of handshakes may begin at once."""

_RETRY = (("Retry-After", "5"),)

_FULL = ErrorResponse(
    503, "This process has reached its limit of connections. Reconnect: another process may have room.", _RETRY
)

_TOO_MANY = ErrorResponse(429, "Too many connections from this address.", _RETRY)

_TOO_FAST = ErrorResponse(503, "Too many handshakes at once. Reconnect later.", _RETRY)


class Admission:
    """Counts connections, and rejects those beyond the limits.

    Args:
        max_connections: The limit in total.
        max_per_address: The limit of one address, counted by `rate_limit_key`. If 0, there is none.
        handshakes_per_second: The rate at which handshakes may begin. If 0, there is no limit.
        seconds: A monotonic clock.

    Attributes:
        count: The number of connections.
        max_connections: See above.
        max_per_address: See above.
    """

    def __init__(
        self, max_connections: int, max_per_address: int, handshakes_per_second: float, seconds: Callable[[], float]
    ) -> None:
        self.max_connections = max_connections
        self.max_per_address = max_per_address
        self._seconds = seconds
        self._handshakes: TokenBucket | None = None
        if handshakes_per_second:
            self._handshakes = TokenBucket(handshakes_per_second, HANDSHAKE_BURST_SECONDS, seconds())
        self._by_address: Counter[str] = Counter()
        self.count = 0

    @property
    def addresses(self) -> int:
        """The number of addresses whose connections are counted."""
        return len(self._by_address)

    def admit(self, address: str) -> None:
        """Count one more connection. The caller must `release` it once.

        Args:
            address: The client's address.

        Raises:
            HTTPError: A limit is reached. Nothing is counted.
        """
        if self.count >= self.max_connections:
            raise HTTPError(_FULL)
        address = rate_limit_key(address) if self.max_per_address else address
        if self.max_per_address and self._by_address[address] >= self.max_per_address:
            raise HTTPError(_TOO_MANY)
        if self._handshakes is not None and not self._handshakes.take(1, self._seconds()):
            raise HTTPError(_TOO_FAST)
        self.count += 1
        if self.max_per_address:
            self._by_address[address] += 1

    def release(self, address: str) -> None:
        """Count one connection less."""
        self.count -= 1
        if self.max_per_address:
            address = rate_limit_key(address)
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
