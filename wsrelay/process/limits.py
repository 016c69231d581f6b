"""The limit of open files, and the number of clients that it allows."""

from __future__ import annotations

import resource

from twisted.logger import Logger

__all__ = ["client_capacity", "raise_open_file_limit"]

RESERVED_OPEN_FILES = 128
"""Open files that are not clients: Redis, the log, the reactor, and the minimum of HTTP connections of the router."""

MAX_OPEN_FILES = 1_000_000
"""Open files to reckon with where the system sets no limit."""

_log = Logger("wsrelay")


def raise_open_file_limit() -> int:
    """Allow as many open files as the system permits: each client is one, and the usual soft limit is 1024.

    Returns:
        The number of files that this process may now have open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # macOS reports no hard limit and rejects the attempt to set it; the relay runs with the soft one.
        _log.warn("the limit of open files stays at {soft}", soft=soft)
        return soft
    return hard if hard != resource.RLIM_INFINITY else MAX_OPEN_FILES


def client_capacity(open_files: int) -> int:
    """Return how many clients fit into a number of open files; below 1 if there is room for none.

    A tenth of the clients' number is set aside for connections that are not WebSockets; see the connection router.
    """
    return (open_files - RESERVED_OPEN_FILES) * 10 // 11
