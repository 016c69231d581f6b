"""One connection to Redis: what it sends (`wsrelay.brokers.redis.request_protocol`), and what it receives.

txredisapi encodes commands and pairs them with replies. Two things are done here instead, for reasons that were
measured against version 1.6:

- AUTH is a command like any other, sent by `wsrelay.brokers.redis.sign_in`. Given a password, txredisapi stops
  reconnecting for ever when the connection drops while its AUTH is in flight.
- hiredis parses replies in `dataReceived`, and messages go straight to their listener, as bytes. The stock path turns
  ``b"007"`` into 7, and costs five times as much for each message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import hiredis
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.brokers.redis.endings import Ending
from wsrelay.brokers.redis.problems import NO_PROBLEM, Problem, reply_problem
from wsrelay.brokers.redis.pubsub_listener import PubSubListener
from wsrelay.brokers.redis.request_protocol import NotConnectedError, RequestProtocol, ResponseError
from wsrelay.config.redis_url import RedisURL

__all__ = ["RedisConnection", "connection_factory"]


@implementer(IHandshakeListener)
class RedisConnection(RequestProtocol):
    """The protocol of one connection. Its user calls `command`, a listener receives the messages.

    Args:
        listener: Receives messages and the replies to SUBSCRIBE.
        on_lost: Called with this connection when it is lost, after every waiting command has failed.

    Attributes:
        url: The URL that it was made with: a later one may be for another server. If None, it has not been told yet.
        reads: The number of reads that brought anything.
        problem: Why the connection ended; `NO_PROBLEM` while it is open.
    """

    def __init__(self, listener: PubSubListener, on_lost: Callable[[RedisConnection], None]) -> None:
        super().__init__()
        self._reader = hiredis.Reader(replyError=ResponseError)
        self._listener = listener
        self._on_lost = on_lost
        self.url: RedisURL | None = None
        self.reads = 0
        self.problem = NO_PROBLEM
        self._ending = Ending()
        # Whether the server has replied to a PING.
        self._is_settled = False

    @property
    def silence(self) -> Problem:
        """The meaning of a server that does not answer."""
        return self._ending.silence

    def connectionMade(self) -> None:
        self._ending.is_in_tls_handshake = isinstance(self.transport, TLSMemoryBIOProtocol)
        # Without it a PUBLISH waits for the acknowledgement of the one before. A unix socket has no such switch.
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        super().connectionMade()

    def handshakeCompleted(self) -> None:  # noqa: N802 -- Twisted's name
        """See `twisted.internet.interfaces.IHandshakeListener`."""
        self._ending.is_in_tls_handshake = False

    def authenticate(self, *words: bytes) -> Deferred[Any]:
        """Send AUTH. Nothing else may be in flight.

        Args:
            words: Its arguments.

        Returns:
            Fires with any value when the server has accepted them.

        Raises:
            ResponseError: (Failure of the Deferred.) It has not. Its text may repeat the arguments.
            NotConnectedError: As for `command`.
        """

        def finished(result: Any) -> Any:
            self._ending.is_authenticating = False
            return result

        self._ending.is_authenticating = True
        return self.command(b"AUTH", *words).addBoth(finished)

    def ping(self) -> Deferred[Any]:
        """Send PING.

        Returns:
            Fires with any value when the server has replied.

        Raises:
            ResponseError: (Failure of the Deferred.) The server rejects commands of this connection.
            NotConnectedError: As for `command`.
        """

        def failed(failure: Failure) -> None:
            # A server that cannot save to its disk replies so to everything, PING too, and carries messages as ever.
            if not failure.getErrorMessage().startswith("MISCONF"):
                failure.raiseException()

        def replied(_reply: object) -> None:
            self._is_settled = True
            self._ending.reply_received(None)

        return self.command(b"PING").addErrback(failed).addCallback(replied)

    def abort(self, problem: Problem = NO_PROBLEM) -> None:
        """End the connection at once, without waiting for the peer.

        Args:
            problem: The reason, if the connection cannot detect it itself.
        """
        if problem.summary:
            self.problem = problem
        self.transport.abortConnection()

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        self.reads += 1
        self._reader.feed(data)
        self._is_receiving = True
        messages: list[list[bytes]] = []
        try:
            gets = self._reader.gets
            while (reply := gets()) is not False:
                if type(reply) is list and len(reply) == 3:
                    kind = reply[0]
                    if kind == b"message":
                        # Taken together below: a call for each would cost a tenth of all that is done for a message.
                        messages.append(reply)
                        continue
                    if kind in (b"subscribe", b"unsubscribe"):
                        self._channel_reply_received(kind, reply[1])
                        continue
                elif type(reply) is hiredis.PushNotification:
                    # RESP3 (https://redis.io/docs/latest/develop/reference/client-side-caching/). No reply to anything.
                    if reply[0] == b"invalidate":
                        self._listener.keys_changed(reply[1])
                    continue
                self._reply_received(reply)
        except hiredis.ProtocolError:
            self.abort(Problem("the server does not speak the Redis protocol"))
        finally:
            try:
                if messages:
                    self._listener.messages_received(messages)
            finally:
                self._listener.read_finished()
                self._is_receiving = False
                self.flush()

    def connectionLost(self, why: Failure) -> None:
        if not self.problem.summary:
            self.problem = self._ending.problem(why.value, self.reads)
        super().connectionLost(why)
        self._outgoing.clear()
        expected, self._expected = self._expected, deque()
        for received in expected:
            if callable(received):
                received(NotConnectedError("Lost connection"))
        self._on_lost(self)

    def _channel_reply_received(self, kind: bytes, name: bytes) -> None:
        expected = self._expected[0] if self._expected else None
        if isinstance(expected, list):
            expected[1] -= 1
            if expected[1] == 0:
                self._expected.popleft()
        if kind == b"subscribe":
            self._listener.subscribed(name)

    def _reply_received(self, reply: Any) -> None:
        is_error = isinstance(reply, ResponseError)
        if not self._is_settled:
            self._ending.reply_received(str(reply) if is_error else None)
        if is_error and not self._expected:
            # To no command of ours: later replies would be taken for those to other commands.
            self.abort(reply_problem(str(reply)))
            return
        expected = self._expected.popleft() if self._expected else None
        if expected is None:
            # Not by `replyReceived`, which keeps only the last three parts of a reply that is a list.
            self.replyQueue.put(reply)
        elif not isinstance(expected, list):
            expected(reply)
        elif is_error:
            self._listener.subscribe_failed(expected[0], str(reply))


def connection_factory(
    listener: PubSubListener, on_lost: Callable[[RedisConnection], None]
) -> Factory[RedisConnection]:
    """Return a factory of connections.

    Args:
        listener: See `RedisConnection`.
        on_lost: See `RedisConnection`.
    """
    factory = Factory.forProtocol(partial(RedisConnection, listener, on_lost))
    factory.noisy = False
    return factory
