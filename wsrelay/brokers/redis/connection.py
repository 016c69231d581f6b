"""One connection to Redis that comes back: the only importer of txredisapi.

txredisapi encodes commands and pairs them with replies. Everything that decides whether the relay is deaf is done
here instead, for reasons that were measured against version 1.6:

- AUTH is a command of our own greeting. Given a password, txredisapi stops reconnecting for ever when the link drops
  while its AUTH is in flight.
- Replies are parsed by hiredis in `dataReceived` and messages go straight to their receiver, as bytes. The stock path
  turns ``b"007"`` into 7, and costs five times as much for each message.
- A link is up when its greeting was answered, not when TCP connected: a frozen server still accepts.
- Every wait has a deadline, and a PING that is not answered ends the connection: a peer that vanished is silent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import txredisapi
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

__all__ = ["RedisConnection", "ResponseError", "_ConnectionFactory"]

ResponseError = txredisapi.ResponseError
"""What Redis answered with an error; its text begins with a code such as NOPERM."""


class RedisConnection(txredisapi.SubscriberProtocol):
    """One connection: commands out, replies to the one who asked, Pub/Sub messages to their receiver.

    Args:
        on_message: Called with channel and payload of every message.
        on_subscribed: Called with the channel of every answer to SUBSCRIBE.
        on_read: Called behind them when everything that came in one read has been told.
        on_refused: Called with the names of a SUBSCRIBE that the server refused, and with what it said.
    """

    def __init__(
        self,
        on_message: Callable[[bytes, bytes], None],
        on_subscribed: Callable[[bytes], None],
        on_read: Callable[[], None] = lambda: None,
        on_refused: Callable[[tuple[bytes, ...], str], None] = lambda _names, _why: None,
    ) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self._reader = hiredis.Reader(replyError=txredisapi.ResponseError)
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self._on_read = on_read
        self._on_refused = on_refused
        # What the replies to come belong to, in order: the names of a SUBSCRIBE with how many answers are left of it,
        # or None for a command.
        self._expected: deque[list[Any] | None] = deque()
        self.reads = 0
        self.lost: Callable[[], None] | None = None
        self.problem = ""

    def connectionMade(self) -> None:
        # Without it a PUBLISH waits for the acknowledgement of the one before. A unix socket has no such switch.
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        super().connectionMade()

    def command(self, *words: bytes) -> Deferred[Any]:
        """Send a command; fires with its reply, fails with what Redis answered or when the connection is lost."""
        reply: Deferred[Any] = self.execute_command(*words)
        self._expected.append(None)
        return reply

    def ping(self) -> Deferred[Any]:
        """Ask for a sign of life; fails if there is none, or if the server will not talk to us."""

        def answered(failure: Failure) -> None:
            # A server that cannot save to its disk says so to everything, PING too, and carries messages as ever.
            if not failure.getErrorMessage().startswith("MISCONF"):
                failure.raiseException()

        return self.command(b"PING").addErrback(answered)

    def write_unanswered(self, *words: bytes) -> None:
        """Send SUBSCRIBE or UNSUBSCRIBE, whose answers come one for each channel and not one for each command."""
        self._expected.append([words[1:], len(words) - 1])
        self.transport.write(self._build_command(*words))

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        self.reads += 1
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                if type(reply) is list and len(reply) == 3:
                    kind = reply[0]
                    if kind == b"message":
                        self._on_message(reply[1], reply[2])
                        continue
                    if kind in (b"subscribe", b"unsubscribe"):
                        self._confirmed(kind, reply[1])
                        continue
                self._answered(reply)
        except hiredis.ProtocolError:
            self.problem = "the server does not speak the Redis protocol"
            self.transport.abortConnection()
        finally:
            self._on_read()

    def _confirmed(self, kind: bytes, name: bytes) -> None:
        expected = self._expected[0] if self._expected else None
        if expected is not None:
            expected[1] -= 1
            if expected[1] == 0:
                self._expected.popleft()
        if kind == b"subscribe":
            self._on_subscribed(name)

    def _answered(self, reply: Any) -> None:
        expected = self._expected.popleft() if self._expected else None
        if expected is None:
            # Not by `replyReceived`, which keeps only the last three parts of a reply that is a list.
            self.replyQueue.put(reply)
        elif isinstance(reply, ResponseError):
            self._on_refused(expected[0], str(reply))

    def connectionLost(self, why: Failure) -> None:
        self.problem = self.problem or why.getErrorMessage()
        super().connectionLost(why)
        if self.lost is not None:
            self.lost()


class _ConnectionFactory(Factory):
    noisy = False

    def __init__(self, build: Callable[[], RedisConnection]) -> None:
        self._build = build

    def buildProtocol(self, _address: IAddress | None) -> RedisConnection:
        connection = self._build()
        connection.factory = self
        return connection
