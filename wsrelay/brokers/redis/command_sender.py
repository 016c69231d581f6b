"""Commands on a connection to Redis, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.link import ReconnectingConnection
from wsrelay.core.outcomes.errors import BrokerUnavailable

__all__ = ["MAX_BYTES_IN_FLIGHT", "MAX_COMMANDS_IN_FLIGHT", "CommandSender"]

MAX_COMMANDS_IN_FLIGHT = 10_000
MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024
"""Beyond these a command fails at once: commands that wait for a reply must not exhaust the memory of the process."""


class CommandSender:
    """Sends commands on one connection, while it is up.

    Attributes:
        link: The connection.
        in_flight: The number of commands that wait for a reply.
        bytes_in_flight: The sum of the lengths of their words.
    """

    def __init__(self, link: ReconnectingConnection) -> None:
        self.link = link
        self.in_flight = 0
        self.bytes_in_flight = 0

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
        return self._send(sum(map(len, words)), lambda connection: connection.command(*words))

    def transaction(self, *commands: Sequence[bytes]) -> Deferred[list[Any]]:
        """Send commands that are carried out with nothing in between.

        Args:
            commands: The words of each.

        Returns:
            Fires with their replies, as `RedisConnection.transaction` does, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) As for `send`.
        """
        size = sum(len(word) for words in commands for word in words)
        return self._send(size, lambda connection: connection.transaction(*commands))

    def _send(self, size: int, write: Callable[[RedisConnection], Deferred[Any]]) -> Deferred[Any]:
        link = self.link
        connection = link.current
        if connection is None or not link.is_up or not connection.connected:
            return fail(BrokerUnavailable(link.problem.summary))
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

        return write(connection).addBoth(finished)
