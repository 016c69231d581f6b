"""The command side of the Redis broker: one connection for everything but subscriptions."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.command_sender import CommandSender, PressureListener, ignore_pressure
from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.link import ReconnectingConnection
from wsrelay.brokers.redis.problems import Problem, RedisProblemError
from wsrelay.brokers.redis.request_protocol import ResponseError
from wsrelay.brokers.redis.sign_in import sign_in

__all__ = ["Commands"]


class Commands(CommandSender):
    """The connection for commands.

    Args:
        address: How Redis is reached, and how to sign in.
        on_up: Called when the connection came up.
        on_down: Called when a connection ended, even if it was never up.
        clock: Time.
        rng: Randomness for the back-off.
        on_pressure: See `CommandSender`.
    """

    log = Logger()

    def __init__(
        self,
        address: RedisAddress,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        clock: IReactorTime,
        rng: Random,
        on_pressure: PressureListener = ignore_pressure,
    ) -> None:
        self._address = address
        self._logged_nodes = 0
        super().__init__(
            ReconnectingConnection(
                "command connection", address, self._set_up, on_up=on_up, on_down=on_down, clock=clock, rng=rng
            ),
            clock.callLater,
            on_pressure,
        )

    async def send_probe(self, name: bytes, payload: bytes) -> None:
        """Publish a probe message, outside the bounds and on a master only. Without a connection, do nothing.

        Raises:
            RedisProblemError: The server is a replica.
            ResponseError: Redis rejects the message.
            NotConnectedError: The connection was lost.
        """
        connection = self.link.current
        if connection is not None:
            await self._reject_replica(connection)
            await connection.command(b"PUBLISH", name, payload)

    async def _set_up(self, connection: RedisConnection) -> None:
        url = await sign_in(connection, self._address, b"commands")
        if url.database:
            await connection.command(b"SELECT", str(url.database).encode())
        await connection.ping()
        # Not awaited: an ACL or a proxy may reject it, and nothing depends on it but a line in the log.
        connection.command(b"CLUSTER", b"INFO").addCallbacks(self._cluster_described, lambda _failure: None)

    def _cluster_described(self, description: object) -> None:
        found = re.search(rb"cluster_size:(\d+)", description) if isinstance(description, bytes) else None
        nodes = int(found[1]) if found is not None else 0
        if nodes > 1 and nodes != self._logged_nodes:
            self.log.warn(
                "Redis is a cluster of {nodes} primaries, which is not supported: channels work, but tickets and "
                "revocations whose keys are on another one do not, so that clients with a credential are turned away; "
                "use a server, or a cluster with one primary",
                nodes=nodes,
            )
        self._logged_nodes = nodes

    async def _reject_replica(self, connection: RedisConnection) -> None:
        """Raise on a replica, which takes PUBLISH and delivers to its own subscribers only (valkey#1780)."""
        try:
            role = await connection.command(b"ROLE")
        except ResponseError:
            # An ACL may forbid the command. The probe still proves the way there and back.
            return
        if role[0] == b"slave":
            raise RedisProblemError(Problem("it is a replica: messages published to it reach nobody else"))
