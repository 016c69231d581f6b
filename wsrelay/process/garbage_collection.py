"""Settings of the garbage collector for a process that holds many long-lived objects."""

from __future__ import annotations

import gc

__all__ = ["tune_garbage_collector"]

COLLECTOR_THRESHOLD = 20_000
"""New containers between two collections of the youngest generation (Python's default is 700)."""


def tune_garbage_collector() -> None:
    """Make collections rarer, and keep them away from everything that exists now. Call this after the start.

    Ten thousand connections are some hundred thousand objects that live long and are freed by reference counting.
    A full collection visits all of them and stops every client meanwhile. With the interpreter's own thresholds one
    is never far away while clients connect and disconnect.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTOR_THRESHOLD, 20, 50)
