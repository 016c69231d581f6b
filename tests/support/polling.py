"""The wait for a condition outside this process, which nothing announces."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["DEADLINE_SECONDS", "wait_until"]

DEADLINE_SECONDS = 60.0
"""Longer than any of them takes on a busy machine."""

_POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], object], describe: Callable[[], object]) -> None:
    """Wait until a condition holds, by trying it again and again.

    Args:
        condition: Returns a true value when it holds.
        describe: Returns how matters stand, for the error.

    Raises:
        TimeoutError: It did not hold within `DEADLINE_SECONDS`.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it never held: {describe()}")
        time.sleep(_POLL_SECONDS)
