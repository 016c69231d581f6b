"""The content of files that settings name, read at the start and again later."""

from __future__ import annotations

import functools
from pathlib import Path

__all__ = ["read_file"]


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    A pipe, such as a shell makes of ``<(command)``, can be read once: later reads return what it held. Reading it again
    would block the whole process.

    Raises:
        OSError: It cannot be read.
    """
    return path.read_bytes() if path.is_file() else _read_once(path)


@functools.cache
def _read_once(path: Path) -> bytes:
    return path.read_bytes()
