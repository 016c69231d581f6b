"""How many workers there are."""

from __future__ import annotations

import os
from dataclasses import replace

from wsrelay.config import Settings

__all__ = ["divided", "worker_count"]


def worker_count(setting: int, uses_redis: bool) -> int:
    """Return how many workers to run.

    Args:
        setting: The setting `workers`; 0 stands for one for each processor.
        uses_redis: Whether publications travel through Redis. Without it each worker would have its own, and clients of
            one would not get what those of another send: there is one.
    """
    if not uses_redis:
        return 1
    # Those that this process may run on, which a container or a cgroup's cpuset restricts.
    return setting or len(os.sched_getaffinity(0))


def divided(settings: Settings, workers: int) -> Settings:
    """Return the settings of one of several workers: what is a limit of all of them is divided."""
    return replace(
        settings,
        max_connections=-(-settings.max_connections // workers),
        max_handshakes_per_second=settings.max_handshakes_per_second / workers,
    )
