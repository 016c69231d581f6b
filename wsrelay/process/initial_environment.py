"""The environment that the process was started with."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["initial_environment"]


def initial_environment(path: str = "/proc/self/environ") -> dict[str, str]:
    """Return the variables that the process was started with, as far as the kernel still has them.

    Twisted takes LISTEN_PID and LISTEN_FDS out of `os.environ` when its endpoints are imported, and forgets the sockets
    if they have no names.

    Args:
        path: The kernel's copy. Where it cannot be read, the environment of now is returned.
    """
    try:
        variables = Path(path).read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    pairs = (each.partition(b"=") for each in variables)
    return {os.fsdecode(name): os.fsdecode(text) for name, equals, text in pairs if equals}
