"""The switch in the memory of one process, with which it ends."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from wsrelay.interfaces import ISwitch

__all__ = ["MemorySwitch"]


@implementer(ISwitch)
class MemorySwitch:
    """The switch of one process."""

    def __init__(self) -> None:
        self._value = b""

    def read(self) -> Deferred[bytes]:
        """See `ISwitch.read`."""
        return succeed(self._value)

    def set(self, value: bytes) -> Deferred[None]:
        """See `ISwitch.set`."""
        self._value = value
        return succeed(None)

    def clear(self) -> Deferred[bool]:
        """See `ISwitch.clear`."""
        was_set, self._value = bool(self._value), b""
        return succeed(was_set)
