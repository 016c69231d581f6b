"""The command side of the Redis broker: one connection for everything but subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from wsrelay.brokers.redis.connection import RedisConnection, ResponseError
from wsrelay.brokers.redis.link import ReconnectingConnection
from wsrelay.brokers.redis.sign_in import sign_in
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.outcomes.errors import BrokerUnavailable

__all__ = ["Commands"]

MAX_COMMANDS_IN_FLIGHT = 10_000
MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024
"""Beyond these a command fails at once: commands that wait for a reply must not exhaust the memory of the process."""


class Commands:
    """Sends commands to Redis, a bounded number at a time.

    Args:
        endpoint: How Redis is reached.
        url: How to sign in, and the database.
        on_up: Called when the connection came up.
        on_down: Called when a connection ended, even if it was never up.
        clock: Time.
        rng: Randomness for the back-off.

    Attributes:
        link: The connection.
        in_flight: The number of commands that wait for a reply.
        bytes_in_flight: The sum of the lengths of their words.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        url: RedisURL,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        clock: IReactorTime,
        rng: Random,
    ) -> None:
        self._url = url
        self.in_flight = 0
        self.bytes_in_flight = 0
        self.link = ReconnectingConnection(
            "command connection", endpoint, self._set_up, on_up=on_up, on_down=on_down, clock=clock, rng=rng
        )

    def send(self, *words: bytes) -> Deferred[Any]:
        """Send a command.

        Args:
            words: Its name and arguments. All of them count towards the bound.

        Returns:
            Fires with the reply, within a bounded time: a connection whose PING has no reply is ended.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) There is no connection, it was lost before the reply, Redis
                replied with an error, or too much is in flight. The text says which, in Redis' words if they are there.
        """
        link = self.link
        connection = link.current
        if connection is None or not link.is_up or not connection.connected:
            return fail(BrokerUnavailable(link.problem))
        size = sum(map(len, words))
        if self.in_flight >= MAX_COMMANDS_IN_FLIGHT or self.bytes_in_flight + size > MAX_BYTES_IN_FLIGHT:
            return fail(BrokerUnavailable("Redis is too slow: too many commands wait for its reply"))
        self.in_flight += 1
        self.bytes_in_flight += size

        def finished(result: Any) -> Any:
            self.in_flight -= 1
            self.bytes_in_flight -= size
            if isinstance(result, Failure):
                raise BrokerUnavailable(result.getErrorMessage())
            return result

        return connection.command(*words).addBoth(finished)

    async def send_probe(self, name: bytes, payload: bytes) -> None:
        """Publish a probe message, outside the bounds and on a master only. Without a connection, do nothing.

        Raises:
            BrokerUnavailable: The server is a replica.
            ResponseError: Redis rejects the message.
            NotConnectedError: The connection was lost.
        """
        connection = self.link.current
        if connection is not None:
            await self._reject_replica(connection)
            await connection.command(b"PUBLISH", name, payload)

    async def _set_up(self, connection: RedisConnection) -> None:
        await sign_in(connection, self._url, b"commands")
        if self._url.database:
            await connection.command(b"SELECT", str(self._url.database).encode())
        await connection.ping()

    async def _reject_replica(self, connection: RedisConnection) -> None:
        """Raise on a replica, which takes PUBLISH and delivers to its own subscribers only (valkey#1780)."""
        try:
            role = await connection.command(b"ROLE")
        except ResponseError:
            # An ACL may forbid the command. The probe still proves the way there and back.
            return
        if role[0] == b"slave":
            raise BrokerUnavailable("this Redis server is a replica: messages published to it reach nobody else")
