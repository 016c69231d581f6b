"""Commands on a connection to Redis, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail

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
        connection, size = self.link.current, sum(map(len, words))
        reply: Deferred[Any] = Deferred()
        if connection is None or not self._may_send(connection, size):
            return fail(self._rejection())
        connection.request(words, self._receiver(size, reply))
        return reply

    def send_each(self, commands: Sequence[bytes], received: Callable[[list[Any]], None]) -> None:
        """Send commands together.

        Args:
            commands: Each as `pack_command` returns it, which counts in whole towards the bound. At least one.
            received: Called once, within a bounded time, with their replies, in order; the error of one that has none
                is in its place.

        Raises:
            BrokerUnavailable: There is no connection, or too much is in flight.
        """
        connection, size = self.link.current, sum(map(len, commands))
        if connection is None or not self._may_send(connection, size):
            raise self._rejection()
        count = len(commands)
        self.in_flight += count
        self.bytes_in_flight += size

        def all_received(replies: list[Any]) -> None:
            self.in_flight -= count
            self.bytes_in_flight -= size
            received(replies)

        connection.request_each(commands, all_received)

    def transaction(self, *commands: Sequence[bytes]) -> Deferred[list[Any]]:
        """Send commands that are carried out with nothing in between.

        Args:
            commands: The words of each.

        Returns:
            Fires with their replies, in order, within a bounded time; that of a command that failed is a
            `ResponseError`.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) As for `send`.
        """
        connection, size = self.link.current, sum(len(word) for words in commands for word in words)
        reply: Deferred[Any] = Deferred()
        if connection is None or not self._may_send(connection, size):
            return fail(self._rejection())
        connection.request_transaction(commands, self._receiver(size, reply))
        return reply

    def _may_send(self, connection: RedisConnection, size: int) -> bool:
        return (
            self.link.is_up
            and bool(connection.connected)
            and self.in_flight < MAX_COMMANDS_IN_FLIGHT
            and self.bytes_in_flight + size <= MAX_BYTES_IN_FLIGHT
        )

    def _rejection(self) -> BrokerUnavailable:
        link = self.link
        if link.current is None or not link.is_up or not link.current.connected:
            return BrokerUnavailable(link.problem.summary)
        return BrokerUnavailable("Redis is too slow: too many commands wait for its reply")

    def _receiver(self, size: int, fired: Deferred[Any]) -> Callable[[Any], None]:
        """Count a command as in flight until its reply comes, with which a Deferred is fired."""
        self.in_flight += 1
        self.bytes_in_flight += size

        def received(reply: Any) -> None:
            self.in_flight -= 1
            self.bytes_in_flight -= size
            if isinstance(reply, Exception):
                fired.errback(BrokerUnavailable(str(reply)))
            else:
                fired.callback(reply)

        return received
