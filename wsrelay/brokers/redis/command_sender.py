"""Commands on a connection to Redis, a bounded number at a time.

A Redis that is busy, and a process that is, are not a Redis that is away: long before commands fail because too many
wait for their replies, whoever can wait is asked to (`on_pressure`). There are two reasons. So many are in flight that
more would only wait; or so many were sent in one turn of the reactor, in which a thousand clients may have something to
send, that it is time for replies and for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail

from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.link import ReconnectingConnection
from wsrelay.core.outcomes.errors import BrokerUnavailable

__all__ = [
    "HIGH_BYTES",
    "HIGH_COMMANDS",
    "MAX_BYTES_IN_FLIGHT",
    "MAX_COMMANDS_IN_FLIGHT",
    "TURN_COMMANDS",
    "CommandSender",
    "PressureListener",
    "ignore_pressure",
]

MAX_COMMANDS_IN_FLIGHT = 10_000
MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024
"""Beyond these a command fails at once: commands that wait for a reply must not exhaust the memory of the process."""

HIGH_COMMANDS = 2_000
HIGH_BYTES = 4 * 1024 * 1024
"""From these on there is pressure, until half of each is left. A Redis 100 ms away still gets 10,000 commands in a
second."""

TURN_COMMANDS = 128
"""From so many commands on in one turn of the reactor there is pressure, until the next one. To handle the messages of
so many clients takes 10 ms."""


def ignore_pressure(*, is_high: bool) -> None:
    """Take no notice of pressure."""


class PressureListener(Protocol):
    """Is called when pressure begins and ends."""

    def __call__(self, *, is_high: bool) -> None:
        """Take that pressure begins or ends."""


class CommandSender:
    """Sends commands on one connection, while it is up.

    Args:
        link: The connection.
        call_later: The reactor's.
        on_pressure: Called when commands that can wait should do so, and when they need to no more.

    Attributes:
        link: The connection.
        in_flight: The number of commands that wait for a reply.
        bytes_in_flight: The sum of the lengths of their words.
    """

    def __init__(
        self,
        link: ReconnectingConnection,
        call_later: Callable[[float, Callable[[], None]], object],
        on_pressure: PressureListener = ignore_pressure,
    ) -> None:
        self.link = link
        self.in_flight = 0
        self.bytes_in_flight = 0
        self._call_later = call_later
        self._on_pressure = on_pressure
        self._is_pressed = False
        # Too much is in flight, and not yet half of that has been answered.
        self._is_high = False
        self._in_turn = 0
        self._turn_is_due = False

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
        self._begin(connection, 1, size)
        return reply

    def post(self, words: Sequence[bytes], done: Callable[[BrokerUnavailable | None], None]) -> None:
        """Send a command whose reply says nothing but that it was carried out.

        Args:
            words: As for `send`.
            done: Called once, within a bounded time and possibly before this returns: with None, or with the error that
                `send` would fail with. It raises nothing.
        """
        connection, size = self.link.current, sum(map(len, words))
        if connection is None or not self._may_send(connection, size):
            done(self._rejection())
            return

        def received(reply: Any) -> None:
            self._end(1, size)
            done(BrokerUnavailable(str(reply)) if isinstance(reply, Exception) else None)

        connection.request(words, received)
        self._begin(connection, 1, size)

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

        def all_received(replies: list[Any]) -> None:
            self._end(count, size)
            received(replies)

        connection.request_each(commands, all_received)
        self._begin(connection, count, size)

    def send_first(self, commands: Sequence[bytes]) -> Deferred[Any]:
        """Send commands together, of which the first one's reply counts.

        Args:
            commands: As for `send_each`.

        Returns:
            Fires with the reply to the first one, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) As for `send`.
        """
        first: Deferred[Any] = Deferred()

        def received(replies: list[Any]) -> None:
            if isinstance(replies[0], Exception):
                first.errback(BrokerUnavailable(str(replies[0])))
            else:
                first.callback(replies[0])

        try:
            self.send_each(commands, received)
        except BrokerUnavailable as error:
            return fail(error)
        return first

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
        self._begin(connection, 1, size)
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
        """Return what fires a Deferred with a reply, and counts its command as in flight no more."""

        def received(reply: Any) -> None:
            self._end(1, size)
            if isinstance(reply, Exception):
                fired.errback(BrokerUnavailable(str(reply)))
            else:
                fired.callback(reply)

        return received

    def _begin(self, connection: RedisConnection, count: int, size: int) -> None:
        """Count commands as in flight, and see to it that they are written."""
        self.in_flight += count
        self.bytes_in_flight += size
        self._in_turn += count
        if not self._turn_is_due and connection.has_collected:
            self._turn_is_due = True
            self._call_later(0, self._end_turn)
        if self.in_flight >= HIGH_COMMANDS or self.bytes_in_flight >= HIGH_BYTES:
            self._is_high = True
        if not self._is_pressed and (self._is_high or self._in_turn >= TURN_COMMANDS):
            self._is_pressed = True
            self._on_pressure(is_high=True)

    def _end(self, count: int, size: int) -> None:
        """Count commands as in flight no more: their replies came, or their connection is lost."""
        self.in_flight -= count
        self.bytes_in_flight -= size
        if self._is_high and self.in_flight <= HIGH_COMMANDS // 2 and self.bytes_in_flight <= HIGH_BYTES // 2:
            self._is_high = False
        if not self._turn_is_due:
            self._in_turn = 0
            self._relieve()

    def _end_turn(self) -> None:
        self._turn_is_due = False
        self._in_turn = 0
        connection = self.link.current
        if connection is not None:
            connection.flush()
        self._relieve()

    def _relieve(self) -> None:
        if self._is_pressed and not self._is_high:
            self._is_pressed = False
            self._on_pressure(is_high=False)
