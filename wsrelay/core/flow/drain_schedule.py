"""The times at which the connections of a process are closed in a drain."""

from __future__ import annotations

from random import Random

__all__ = ["drain_delays"]


def drain_delays(count: int, window: float, rate: float, rng: Random) -> list[float]:
    """Return the delay before each connection is closed, in seconds from now, in ascending order.

    Few connections are closed at once. Many are spread so that no more than `rate` clients a second reconnect to the
    other processes, and never beyond `window`.

    Args:
        count: The number of connections.
        window: The longest spread, in seconds.
        rate: Closes per second that are harmless.
        rng: The source of the jitter.
    """
    spread = min(window, count / rate)
    if spread < 1.0:
        return [0.0] * count
    return sorted(rng.uniform(0.0, spread) for _ in range(count))
