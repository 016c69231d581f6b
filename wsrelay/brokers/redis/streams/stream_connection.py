"""The connection that reads streams, and on which the server says what has changed.

It is a connection of its own: long replies to XRANGE keep no publication waiting, a proxy that drops one of the two
does not hide behind the other, and the way from a write to the news of it is proved between two connections.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import Random

from twisted.internet.interfaces import IReactorTime

from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.command_sender import CommandSender
from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.link import ReconnectingConnection
from wsrelay.brokers.redis.pubsub_listener import NullListener
from wsrelay.brokers.redis.request_protocol import ResponseError
from wsrelay.brokers.redis.sign_in import sign_in
from wsrelay.brokers.redis.streams.resting import Resting
from wsrelay.brokers.redis.streams.ways import Way, has_stream_events

__all__ = ["StreamConnection"]


class StreamConnection(CommandSender):
    """Reads streams, and finds out how to learn of their changes.

    Args:
        address: How Redis is reached, and how to sign in.
        on_up: Called when the connection came up.
        on_down: Called when a connection ended, even if it was never up.
        on_change: Called with keys that have changed. If None, any key may have.
        on_read_finished: Called when everything that arrived in one read has been handled.
        clock: Time.
        rng: Randomness for the back-off.
        ways: The ways that may be used, best first.

    Attributes:
        way: The best way that the server offers and that has not failed. If None, there is no connection yet.
        database: The number of the database.
        ways: The ways that may be used.
        failed: Those that were found not to work on this server.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        on_change: Callable[[list[bytes] | None], None],
        on_read_finished: Callable[[], None],
        clock: IReactorTime,
        rng: Random,
        ways: Collection[Way] = tuple(Way),
    ) -> None:
        self._address = address
        self._resting = Resting(clock)
        self.ways = ways
        self.way: Way | None = None
        self.database = 0
        self.failed: set[Way] = set()
        listener = _ChangeListener(on_change, on_read_finished)
        super().__init__(
            ReconnectingConnection(
                "stream connection",
                address,
                self._set_up,
                on_up=on_up,
                on_down=on_down,
                clock=clock,
                rng=rng,
                listener=listener,
            ),
            clock.callLater,
        )

    def entries_came(self, count: int) -> None:
        """Take that entries of a number of streams were read together, and rest if it is a busy time."""
        connection = self.link.current
        if connection is not None and self.way is Way.TRACKING:
            self._resting.entries_came(connection.transport, count)

    def stop(self) -> None:
        """Disconnect for good."""
        self._resting.stop()
        self.link.stop()

    async def _set_up(self, connection: RedisConnection) -> None:
        url = await sign_in(connection, self._address, b"streams")
        self.database = url.database
        if url.database:
            await connection.command(b"SELECT", str(url.database).encode())
        self.way = await self._choose(connection)
        await connection.ping()

    async def _choose(self, connection: RedisConnection) -> Way:
        if self._may_use(Way.TRACKING) and await self._track(connection):
            return Way.TRACKING
        if self._may_use(Way.KEYSPACE_EVENTS) and await self._may_publish_events(connection):
            return Way.KEYSPACE_EVENTS
        return Way.BLOCKING_READS

    def _may_use(self, way: Way) -> bool:
        return way in self.ways and way not in self.failed

    async def _track(self, connection: RedisConnection) -> bool:
        try:
            # Own writes come back, too: NOLOOP is not asked for.
            await connection.command(b"HELLO", b"3")
            await connection.command(b"CLIENT", b"TRACKING", b"ON")
        except ResponseError:
            # A server before version 6, a hoster or an ACL without one of them, or a proxy.
            return False
        return True

    async def _may_publish_events(self, connection: RedisConnection) -> bool:
        try:
            reply = await connection.command(b"CONFIG", b"GET", b"notify-keyspace-events")
        except ResponseError:
            # Hosters forbid CONFIG, and may have the events switched on by other means: the probe finds it out.
            return True
        flags = reply.get(b"notify-keyspace-events", b"") if isinstance(reply, dict) else b"".join(reply[1:2])
        return has_stream_events(flags)


class _ChangeListener(NullListener):
    """Passes on what the server pushes about keys."""

    def __init__(self, on_change: Callable[[list[bytes] | None], None], on_read_finished: Callable[[], None]) -> None:
        # In place of methods that would call them: this is done for every message.
        self.keys_changed = on_change  # type: ignore[assignment,method-assign]  # see above
        self.read_finished = on_read_finished  # type: ignore[method-assign]  # see above
