"""Waits for entries in XREAD BLOCK on a connection of its own: what works where a server offers nothing else.

A blocked connection takes no other command, so that a stream that is added waits for the end of the block. It begins at
the newest ID that was read of each stream and never at ``$``, which is resolved anew in each call and loses what comes
in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.link import ReconnectingConnection
from wsrelay.brokers.redis.sign_in import sign_in
from wsrelay.brokers.redis.streams.ways import MAX_BLOCKING_STREAMS, POLL_SECONDS
from wsrelay.core.history.positions import EntryID, format_id

__all__ = ["BlockingReads"]

BLOCK_MS = 1000
"""The longest time of one block, in milliseconds: below the deadline of a PING, which waits behind it."""

IDLE_SECONDS = 0.25
"""The pause when there is nothing to wait for, or an error."""


class BlockingReads:
    """Reports changes of streams that it finds by reading.

    Args:
        address: How Redis is reached, and how to sign in.
        prefix: The beginning of every key.
        newest: Returns the newest ID that was read of each stream that is watched.
        on_change: Called with the channels whose streams have new entries.
        clock: Time.
        rng: Randomness for the back-off.
    """

    def __init__(
        self,
        address: RedisAddress,
        prefix: bytes,
        newest: Callable[[], Mapping[str, EntryID]],
        on_change: Callable[[Iterable[str]], None],
        clock: IReactorTime,
        rng: Random,
    ) -> None:
        self._address = address
        self._prefix = prefix
        self._newest = newest
        self._on_change = on_change
        self._clock = clock
        self._rng = rng
        # What the last call returned of each stream, if that is newer than what was read.
        self._returned: dict[str, EntryID] = {}
        self._link: ReconnectingConnection | None = None
        self._waiting: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to wait."""
        if self._link is None:
            self._link = ReconnectingConnection(
                "blocking connection",
                self._address,
                self._set_up,
                on_up=self._came_up,
                on_down=self._went_down,
                clock=self._clock,
                rng=self._rng,
            )
            self._link.start()

    def stop(self) -> None:
        """Wait no more, and disconnect."""
        link, self._link = self._link, None
        if link is not None:
            link.stop()
        self._returned.clear()

    async def _set_up(self, connection: RedisConnection) -> None:
        url = await sign_in(connection, self._address, b"blocking")
        if url.database:
            await connection.command(b"SELECT", str(url.database).encode())
        await connection.ping()

    def _came_up(self) -> None:
        if self._link is not None and self._link.current is not None:
            self._waiting = Deferred.fromCoroutine(self._wait(self._link.current))
            # It ends with its connection, which is made again.
            self._waiting.addErrback(lambda _failure: None)

    def _went_down(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    async def _wait(self, connection: RedisConnection) -> None:
        # Looked at each time, because a report may have stopped it, which does not cancel what is running.
        while self._link is not None and self._link.current is connection:
            newest = self._newest()
            if not newest:
                await deferLater(self._clock, IDLE_SECONDS)
            elif len(newest) > MAX_BLOCKING_STREAMS:
                await deferLater(self._clock, POLL_SECONDS * self._rng.uniform(0.7, 1.0))
                self._on_change(list(newest))
            else:
                await self._block(connection, newest)

    async def _block(self, connection: RedisConnection, newest: Mapping[str, EntryID]) -> None:
        self._returned = {name: each for name, each in self._returned.items() if name in newest}
        after = {name: max(each, self._returned.get(name, each)) for name, each in newest.items()}
        reply = await connection.command(
            *(b"XREAD", b"COUNT", b"1", b"BLOCK", b"%d" % BLOCK_MS, b"STREAMS"),
            *(self._prefix + name.encode() for name in after),
            *(format_id(each).encode() for each in after.values()),
        )
        if reply:
            self._on_change([self._take(key, entries) for key, entries in _pairs(reply)])

    def _take(self, key: bytes, entries: Any) -> str:
        channel = key[len(self._prefix) :].decode()
        ms, _, number = entries[-1][0].partition(b"-")
        self._returned[channel] = (int(ms), int(number))
        return channel


def _pairs(reply: Any) -> Iterable[tuple[bytes, Any]]:
    """Return the streams of a reply to XREAD: a list of pairs in RESP2, a map in RESP3."""
    return reply.items() if isinstance(reply, dict) else reply
