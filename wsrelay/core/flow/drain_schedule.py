"""When each connection is closed in a drain."""

from __future__ import annotations

from random import Random

__all__ = ["drain_delays"]


def drain_delays(count: int, window: float, rate: float, rng: Random) -> list[float]:
    """When each of `count` clients is told goodbye, in ascending seconds from now.

    Few clients are told at once; many are spread so that no more than `rate` a second come back to the other
    processes, and never later than `window`.

    Args:
        count: How many clients there are.
        window: The longest spread, in seconds.
        rate: Farewells per second that are harmless.
        rng: Where the jitter comes from.
    """
    spread = min(window, count / rate)
    if spread < 1.0:
        return [0.0] * count
    return sorted(rng.uniform(0.0, spread) for _ in range(count))
