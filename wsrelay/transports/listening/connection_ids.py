"""Random ids of connections."""

from __future__ import annotations

from collections.abc import Callable
from os import urandom

__all__ = ["ConnectionIDs"]

_CHARACTERS = 16
_AT_ONCE = 256


class ConnectionIDs:
    """Makes ids of 64 random bits, which no two connections of all processes share.

    As `secrets.token_hex(8)` does, but for the system call for each of them.

    Args:
        random_bytes: Returns so many random bytes.
    """

    __slots__ = ("_position", "_random_bytes", "_text")

    def __init__(self, random_bytes: Callable[[int], bytes] = urandom) -> None:
        self._random_bytes = random_bytes
        self._text = ""
        self._position = 0

    def next(self) -> str:
        """Return another id."""
        start = self._position
        if start >= len(self._text):
            self._text = self._random_bytes(_CHARACTERS // 2 * _AT_ONCE).hex()
            start = 0
        self._position = end = start + _CHARACTERS
        return self._text[start:end]
