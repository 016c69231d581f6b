"""The switch as a key of Redis, which any program can set and delete with one plain command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from wsrelay.core.messaging.channel_names import SWITCH
from wsrelay.core.messaging.switch import MAX_VALUE_BYTES
from wsrelay.interfaces import ISwitch

__all__ = ["RedisSwitch"]


@implementer(ISwitch)
class RedisSwitch:
    """The switch of all processes with one prefix.

    Args:
        prefix: The beginning of every key.
        send: Sends a command. Its Deferred fires with the reply, and fails with `BrokerUnavailable`.
    """

    def __init__(self, prefix: bytes, send: Callable[..., Deferred[Any]]) -> None:
        self._key = prefix + SWITCH.encode()
        self._send = send

    def read(self) -> Deferred[bytes]:
        """See `ISwitch.read`. Not by GET: another program may have written a value of any length."""
        return self._send(b"GETRANGE", self._key, b"0", b"%d" % (MAX_VALUE_BYTES - 1))

    def set(self, value: bytes) -> Deferred[None]:
        """See `ISwitch.set`."""
        return self._send(b"SET", self._key, value).addCallback(lambda _reply: None)

    def clear(self) -> Deferred[bool]:
        """See `ISwitch.clear`."""
        return self._send(b"DEL", self._key).addCallback(lambda count: count > 0)
