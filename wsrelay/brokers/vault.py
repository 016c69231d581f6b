"""Values that end, for the embedded broker: what a key with EX is in Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["MOST_VALUES", "Vault"]

MOST_VALUES = 10_000

_V = TypeVar("_V")


class Vault(Generic[_V]):
    """A bounded table of values, each with its own end.

    Args:
        seconds: A monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._values: dict[str, tuple[float, _V]] = {}

    def put(self, name: str, value: _V, seconds: float) -> bool:
        """Keep a value for so long, in place of another; False, and nothing kept, if there is no room."""
        now = self._seconds()
        if len(self._values) >= MOST_VALUES and name not in self._values:
            self._values = {key: kept for key, kept in self._values.items() if kept[0] > now}
            if len(self._values) >= MOST_VALUES:
                return False
        self._values[name] = now + seconds, value
        return True

    def get(self, name: str) -> _V | None:
        """The value of a name, or None."""
        end, value = self._values.get(name, (0.0, None))
        return value if value is not None and end > self._seconds() else None

    def take(self, name: str) -> _V | None:
        """As `get`, and the value is there no more."""
        value = self.get(name)
        self._values.pop(name, None)
        return value
