"""Events for the application, as one stream in Redis.

::

    XADD wsrelay:$events MAXLEN ~ 10000 * event client_connected channel chat client 5f0c user 42 node 1f9a

Any consumer group reads it, with plain commands: XREADGROUP GROUP ... STREAMS wsrelay:$events >
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from wsrelay.interfaces import IEventLog

__all__ = ["EVENTS", "EVENTS_SECONDS", "MAX_EVENTS", "RedisEventLog"]

EVENTS = "$events"
"""The key of the stream, without the prefix."""

MAX_EVENTS = 10_000
"""About how many events the stream holds."""

EVENTS_SECONDS = 7 * 86400
"""How long the stream stays when no event is added to it."""


@implementer(IEventLog)
class RedisEventLog:
    """The stream of events.

    Args:
        prefix: The beginning of every key.
        send: Sends a command. Its Deferred fires with the reply, and fails with `BrokerUnavailable`.
    """

    def __init__(self, prefix: bytes, send: Callable[..., Deferred[Any]]) -> None:
        self._key = prefix + EVENTS.encode()
        self._send = send

    def append(self, events: Sequence[Mapping[str, str]]) -> Deferred[int]:
        """See `IEventLog.append`."""
        added = [
            self._send(b"XADD", self._key, b"MAXLEN", b"~", b"%d" % MAX_EVENTS, b"*", *_words(each)) for each in events
        ]
        self._send(b"EXPIRE", self._key, b"%d" % EVENTS_SECONDS).addErrback(lambda _failure: None)
        return DeferredList(added, consumeErrors=True).addCallback(
            lambda outcomes: sum(is_added for is_added, _outcome in outcomes)
        )


def _words(event: Mapping[str, str]) -> list[bytes]:
    return [text.encode() for pair in event.items() for text in pair]
