"""The members of channels, and the leases of processes, as sorted sets in Redis.

::

    ZADD wsrelay:$presence:{chat} <end> '{"client":"5f0c","user":"42"}'     a member, and when its lease runs out
    ZADD wsrelay:$here:{chat}     <end> 'user:42'                           a user whose join has been announced
    ZADD wsrelay:$occupied        <end> 'chat'                              a channel with subscribers

Times are milliseconds since the epoch on the server's clock. A member is one name of one sorted set, so that every step
is one command, and no two keys can disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from zope.interface import implementer

from wsrelay.brokers.redis.request_protocol import ResponseError
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.presence.lease_book import LEASE_SECONDS
from wsrelay.core.presence.member import (
    MAX_COUNTED,
    MAX_MEMBERS,
    Members,
    PresenceStats,
    count_users,
    read_members,
)
from wsrelay.core.presence.tables import Table, members_table
from wsrelay.engine.shared_reads import SharedReads
from wsrelay.interfaces import IPresence

__all__ = ["CLOCK_SECONDS", "NAMES_PER_COMMAND", "TABLE_SECONDS", "RedisPresenceStore"]

NAMES_PER_COMMAND = 500
"""How many names go into one command: long enough to be cheap, short enough not to block Redis."""

ADDITIONS_AT_ONCE = 100
TABLES_AT_ONCE = 10
"""How many names are added at once to a table, and to how many tables: where thousands of users join, or Redis has lost
its data, there must be room for messages among the commands in flight."""

TABLE_SECONDS = 600
"""How long a table stays that no process writes to. Longer than a lease, because an ended one is still to be told."""

CLOCK_SECONDS = 10.0
"""How long the server's clock is taken to run as this process's. After a fail-over another one counts."""


@implementer(IPresence)
class RedisPresenceStore:
    """Leases that all processes share.

    Args:
        prefix: The beginning of every key.
        send: Sends a command. Its Deferred fires with the reply, and fails with `BrokerUnavailable`.
        transact: Sends commands that are carried out with nothing in between. Its Deferred fires with their replies.
        seconds: A monotonic clock.
    """

    def __init__(
        self,
        prefix: bytes,
        send: Callable[..., Deferred[Any]],
        transact: Callable[..., Deferred[list[Any]]],
        seconds: Callable[[], float],
    ) -> None:
        self._prefix = prefix
        self._send = send
        self._transact = transact
        self._seconds = seconds
        # What the server's clock is ahead of ours, in milliseconds, and when that was measured.
        self._offset: tuple[float, float] | None = None
        self._clock_reads = SharedReads()
        self._adding = DeferredSemaphore(TABLES_AT_ONCE)

    def presence(self, channel: str, limit: int = MAX_MEMBERS) -> Deferred[Members]:
        """See `IPresence.presence`."""
        return self._run(self._presence(members_table(channel), limit))

    def presence_stats(self, channel: str) -> Deferred[PresenceStats]:
        """See `IPresence.presence_stats`."""
        return self.presence(channel, MAX_COUNTED).addCallback(
            lambda found: PresenceStats(found.clients, count_users(found.members))
        )

    def hold(self, table: Table, names: Sequence[str]) -> Deferred[Sequence[str]]:
        """See `IPresence.hold`."""
        return self._run(self._hold(self._key(table), list(dict.fromkeys(names))))

    def release(self, table: Table, names: Sequence[str]) -> Deferred[None]:
        """See `IPresence.release`."""
        return self._run(self._release(table, names))

    def take_ended(self, table: Table) -> Deferred[Sequence[str]]:
        """See `IPresence.take_ended`."""
        return self._run(self._take_ended(self._key(table)))

    def _run(self, steps: Any) -> Deferred[Any]:
        def failed(failure: Any) -> Any:
            # Another server may be asked next.
            self._offset = None
            return failure

        return Deferred.fromCoroutine(steps).addErrback(failed)

    async def _presence(self, table: Table, limit: int) -> Members:
        key, now = self._key(table), b"(%d" % await self._now()
        count, names = await self._all(
            self._send(b"ZCOUNT", key, now, b"+inf"),
            self._send(b"ZRANGEBYSCORE", key, now, b"+inf", b"LIMIT", b"0", b"%d" % limit),
        )
        return Members(count, read_members(names))

    async def _hold(self, key: bytes, names: Sequence[str]) -> Sequence[str]:
        end = b"%d" % (await self._now() + int(LEASE_SECONDS * 1000))
        chunks = [names[start : start + NAMES_PER_COMMAND] for start in range(0, len(names), NAMES_PER_COMMAND)]
        # Most are renewed, which takes one command for hundreds: its reply is the number of names that are there.
        renewals = [self._send(b"ZADD", key, b"XX", b"CH", *_scored(end, chunk)) for chunk in chunks]
        *counts, _is_there = await self._all(*renewals, self._expire(key))
        missing = [name for chunk, count in zip(chunks, counts, strict=True) if count < len(chunk) for name in chunk]
        if not missing:
            return []
        new: list[str] = []
        for start in range(0, len(missing), ADDITIONS_AT_ONCE):
            some = missing[start : start + ADDITIONS_AT_ONCE]
            new += await self._adding.run(self._add, key, end, some)
        return new

    async def _add(self, key: bytes, end: bytes, names: Sequence[str]) -> list[str]:
        # One by one, because only so the reply says which of them was not there.
        additions = [self._send(b"ZADD", key, end, name.encode()) for name in names]
        *added, _is_there = await self._all(*additions, self._expire(key))
        return [name for name, is_new in zip(names, added, strict=True) if is_new]

    async def _release(self, table: Table, names: Sequence[str]) -> None:
        key = self._key(table)
        end = b"%d" % (await self._now() + int(table.leave_seconds * 1000)) if table.leave_seconds else b""
        for start in range(0, len(names), NAMES_PER_COMMAND):
            some = names[start : start + NAMES_PER_COMMAND]
            if end:
                await self._send(b"ZADD", key, b"XX", *_scored(end, some))
            else:
                await self._send(b"ZREM", key, *(name.encode() for name in some))

    async def _take_ended(self, key: bytes) -> Sequence[str]:
        now = b"%d" % await self._now()
        # Nearly always there is none.
        if not await self._send(b"ZRANGEBYSCORE", key, b"-inf", now, b"LIMIT", b"0", b"1"):
            return []
        ended, _count = await self._transact(
            (b"ZRANGEBYSCORE", key, b"-inf", now), (b"ZREMRANGEBYSCORE", key, b"-inf", now)
        )
        if isinstance(ended, ResponseError):
            # Another program made something else of the key just now.
            raise BrokerUnavailable(str(ended))
        return [name.decode("utf-8", "replace") for name in ended]

    async def _now(self) -> int:
        """Return the time of the server, in milliseconds since the epoch; never ahead of it."""
        if self._offset is None or self._seconds() - self._offset[1] > CLOCK_SECONDS:
            seconds, microseconds = await self._clock_reads.get(b"TIME", lambda: self._send(b"TIME"))
            now = self._seconds()
            self._offset = int(seconds) * 1000 + int(microseconds) / 1000 - now * 1000, now
        return int(self._offset[0] + self._seconds() * 1000)

    def _expire(self, key: bytes) -> Deferred[Any]:
        return self._send(b"EXPIRE", key, b"%d" % TABLE_SECONDS)

    async def _all(self, *replies: Deferred[Any]) -> list[Any]:
        """Return all replies, or raise the first failure when all have come."""
        outcomes = await DeferredList(replies, consumeErrors=True)
        for is_answer, outcome in outcomes:
            if not is_answer:
                raise outcome.value
        return [outcome for _is_answer, outcome in outcomes]

    def _key(self, table: Table) -> bytes:
        return self._prefix + table.name.encode()


def _scored(end: bytes, names: Sequence[str]) -> list[bytes]:
    """Return the arguments of ZADD for names with the same score."""
    return [word for name in names for word in (end, name.encode())]
