"""Sends commands to Redis, and keeps who waits for each of their replies: one half of a connection.

txredisapi encodes commands and pairs them with replies. What is sent for every message, `RequestProtocol.request_each`,
is encoded without it and waits for its reply without a Deferred: by way of `command` a read of a stream costs twice as
much in all (measured against version 1.6).

A request that finds nothing in flight is written at once. The others of a turn of the reactor are collected, and
written together by `flush`: the messages that a thousand clients send in one turn are a few system calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import hiredis
import txredisapi
from twisted.internet.defer import Deferred

from wsrelay.brokers.redis.eager_write import write_at_once

__all__ = ["MAX_COLLECTED", "NotConnectedError", "RequestProtocol", "ResponseError", "pack_command"]

MAX_COLLECTED = 64
"""How many requests are collected before they are written within the turn: Redis works while this process does."""

ResponseError = txredisapi.ResponseError
"""An error reply of Redis. Its text begins with a code such as NOPERM."""

NotConnectedError = txredisapi.ConnectionError
"""A command cannot be sent, or its reply cannot come, because the connection is lost."""


pack_command: Callable[[tuple[bytes, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its stub is wrong
"""Returns a command, given by its words, as Redis reads it."""


class RequestProtocol(txredisapi.SubscriberProtocol):
    """Sends commands. `RedisConnection`, which is the other half, receives their replies."""

    def __init__(self) -> None:
        super().__init__(charset=None, convertNumbers=False)
        # One entry for each reply to come, in order: the channels of a SUBSCRIBE or UNSUBSCRIBE and the number of
        # their replies that are missing, the receiver of the reply to a request, or None for a command of txredisapi.
        self._expected: deque[list[Any] | Callable[[Any], None] | None] = deque()
        self._is_receiving = False
        # Requests that are written when the replies and messages of a read are handled, or by `flush`.
        self._outgoing: list[bytes] = []

    @property
    def has_collected(self) -> bool:
        """True if requests wait for `flush`, which is owed by the end of the turn."""
        return bool(self._outgoing) and not self._is_receiving

    def command(self, *words: bytes) -> Deferred[Any]:
        """Send a command.

        Args:
            words: Its name and arguments. SUBSCRIBE and UNSUBSCRIBE have methods of their own.

        Returns:
            Fires with the reply, which has no deadline.

        Raises:
            ResponseError: (Failure of the Deferred.) Redis replied with an error.
            NotConnectedError: The connection is lost; as a failure of the Deferred if it is lost before the reply.
        """
        self.flush()
        reply: Deferred[Any] = self.execute_command(*words)
        self._expected.append(None)
        return reply

    def request(self, words: Sequence[bytes], received: Callable[[Any], None]) -> None:
        """Send a command whose reply goes to a function.

        Args:
            words: As for `command`.
            received: Called with the reply once; with a `ResponseError` if Redis replied with an error, and with a
                `NotConnectedError` if the connection was lost before the reply.

        Raises:
            NotConnectedError: The connection is lost.
        """
        if not self.connected:
            raise NotConnectedError("Not connected")
        expected = self._expected
        is_first = not expected
        expected.append(received)
        self._write(pack_command(tuple(words)), is_first=is_first)

    def request_each(self, commands: Sequence[bytes], received: Callable[[list[Any]], None]) -> None:
        """Send commands together, all of whose replies go to a function.

        Args:
            commands: Each as `pack_command` returns it. At least one.
            received: Called with their replies in order, once; one that is an error, or has not come before the
                connection was lost, is an exception as for `request`.

        Raises:
            NotConnectedError: The connection is lost.
        """
        if not self.connected:
            raise NotConnectedError("Not connected")
        replies: list[Any] = []

        def last_received(reply: Any) -> None:
            received([*replies, reply])

        is_first = not self._expected
        # All but the last one go into the list without a call of ours.
        self._expected.extend([replies.append] * (len(commands) - 1))
        self._expected.append(last_received)
        self._write(b"".join(commands), is_first=is_first)

    def request_transaction(self, commands: Iterable[Sequence[bytes]], received: Callable[[Any], None]) -> None:
        """Send commands that are carried out with nothing in between (MULTI and EXEC).

        Args:
            commands: The words of each.
            received: As for `request`. The reply is the list of theirs, in order; that of a command that failed is a
                `ResponseError`. If Redis rejects one of them, it has carried out none, and the error is that of EXEC.

        Raises:
            NotConnectedError: The connection is lost.
        """
        if not self.connected:
            raise NotConnectedError("Not connected")
        packed = [pack_command(tuple(words)) for words in ((b"MULTI",), *commands, (b"EXEC",))]
        is_first = not self._expected
        self._expected.extend([_ignore] * (len(packed) - 1))
        self._expected.append(received)
        self._write(b"".join(packed), is_first=is_first)

    def send_subscribe(self, *names: bytes) -> None:
        """Send SUBSCRIBE. The listener receives the replies, one for each channel."""
        self._send_for_channels(b"SUBSCRIBE", names)

    def send_unsubscribe(self, *names: bytes) -> None:
        """Send UNSUBSCRIBE; without names, for all channels of the connection."""
        self._send_for_channels(b"UNSUBSCRIBE", names)

    def _send_for_channels(self, verb: bytes, names: tuple[bytes, ...]) -> None:
        # Not a `command`: each channel has a reply, not each command.
        data = pack_command((verb, *names))
        self._expected.append([names, len(names)])
        if self._is_receiving:
            self._outgoing.append(data)
        else:
            self.flush()
            self.transport.write(data)

    def _write(self, data: bytes, *, is_first: bool) -> None:
        """Send a request, whose reply is expected already.

        Args:
            data: Its bytes.
            is_first: Whether nothing else is in flight: then it is written at once. Otherwise it is collected.
        """
        outgoing = self._outgoing
        if self._is_receiving:
            outgoing.append(data)
        elif is_first:
            write_at_once(self.transport, data)
        else:
            outgoing.append(data)
            if len(outgoing) >= MAX_COLLECTED:
                self.flush()

    def flush(self) -> None:
        """Write the requests that are collected."""
        if self._outgoing:
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            write_at_once(self.transport, data)


def _ignore(_reply: object) -> None:
    """Take a reply that says nothing."""
