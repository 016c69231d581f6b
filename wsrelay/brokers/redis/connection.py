"""One connection to Redis: commands with their replies, and Pub/Sub messages.

txredisapi encodes commands and pairs them with replies. Three things are done here instead, for reasons that were
measured against version 1.6:

- AUTH is a command like any other, sent by `wsrelay.brokers.redis.sign_in`. Given a password, txredisapi stops
  reconnecting for ever when the connection drops while its AUTH is in flight.
- hiredis parses replies in `dataReceived`, and messages go straight to their listener, as bytes. The stock path turns
  ``b"007"`` into 7, and costs five times as much for each message.
- What is sent for every message, `RedisConnection.request`, is encoded by hiredis and waits for its reply without a
  Deferred. By way of `command` a read of a stream costs twice as much in all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import hiredis
import txredisapi
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IAddress, IHandshakeListener
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.brokers.redis.eager_write import write_at_once
from wsrelay.brokers.redis.problems import NO_PROBLEM, Problem, problem_of, reply_problem
from wsrelay.config.redis_url import RedisURL

__all__ = [
    "NotConnectedError",
    "NullListener",
    "PubSubListener",
    "RedisConnection",
    "RedisConnectionFactory",
    "ResponseError",
    "pack_command",
]

ResponseError = txredisapi.ResponseError
"""An error reply of Redis. Its text begins with a code such as NOPERM."""

NotConnectedError = txredisapi.ConnectionError
"""A command cannot be sent, or its reply cannot come, because the connection is lost."""


pack_command: Callable[[tuple[bytes, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its stub is wrong
"""Returns a command, given by its words, as Redis reads it."""


class PubSubListener(Protocol):
    """Receives what Redis sends about channels. Names are those of Redis, with the prefix."""

    def message_received(self, name: bytes, payload: bytes) -> None:
        """Take a message of a channel."""

    def subscribed(self, name: bytes) -> None:
        """Take the reply to a SUBSCRIBE for one of its channels."""

    def subscribe_failed(self, names: tuple[bytes, ...], why: str) -> None:
        """Take the error reply to a SUBSCRIBE.

        Args:
            names: All channels of the command: Redis subscribes to none of them.
            why: The text of the reply.
        """

    def keys_changed(self, keys: list[bytes] | None) -> None:
        """Take that keys have changed which this connection has read since (CLIENT TRACKING).

        Args:
            keys: The keys. If None, all of them.
        """

    def read_finished(self) -> None:
        """Take the end of the messages and replies that arrived in one read."""


class NullListener:
    """Ignores everything. For connections that never subscribe."""

    def message_received(self, name: bytes, payload: bytes) -> None:
        """See `PubSubListener.message_received`."""

    def subscribed(self, name: bytes) -> None:
        """See `PubSubListener.subscribed`."""

    def subscribe_failed(self, names: tuple[bytes, ...], why: str) -> None:
        """See `PubSubListener.subscribe_failed`."""

    def keys_changed(self, keys: list[bytes] | None) -> None:
        """See `PubSubListener.keys_changed`."""

    def read_finished(self) -> None:
        """See `PubSubListener.read_finished`."""


@implementer(IHandshakeListener)
class RedisConnection(txredisapi.SubscriberProtocol):
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
        super().__init__(charset=None, convertNumbers=False)
        self._reader = hiredis.Reader(replyError=txredisapi.ResponseError)
        self._listener = listener
        # Bound once: this is called for every message.
        self._message_received = listener.message_received
        self._keys_changed = listener.keys_changed
        self._on_lost = on_lost
        # One entry for each reply to come, in order: the channels of a SUBSCRIBE or UNSUBSCRIBE and the number of
        # their replies that are missing, the receiver of the reply to a request, or None for a command of txredisapi.
        self._expected: deque[list[Any] | Callable[[Any], None] | None] = deque()
        self._is_receiving = False
        # Requests that were made while replies and messages are handled.
        self._outgoing: list[bytes] = []
        self.url: RedisURL | None = None
        self.reads = 0
        self.problem = NO_PROBLEM
        self._is_in_tls_handshake = False
        self._is_authenticating = False
        # What an error reply meant that nothing but the end has followed yet, before the first reply to a PING.
        self._farewell = NO_PROBLEM
        self._is_settled = False

    @property
    def silence(self) -> Problem:
        """The meaning of a server that does not answer."""
        if self._farewell.summary:
            return self._farewell
        if self._is_in_tls_handshake:
            return Problem("it does not answer the TLS handshake: does this port speak TLS? (redis:// is without)")
        return Problem("Redis does not answer")

    def connectionMade(self) -> None:
        self._is_in_tls_handshake = isinstance(self.transport, TLSMemoryBIOProtocol)
        # Without it a PUBLISH waits for the acknowledgement of the one before. A unix socket has no such switch.
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        super().connectionMade()

    def handshakeCompleted(self) -> None:  # noqa: N802 -- Twisted's name
        """See `twisted.internet.interfaces.IHandshakeListener`."""
        self._is_in_tls_handshake = False

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
            self._is_authenticating = False
            return result

        self._is_authenticating = True
        return self.command(b"AUTH", *words).addBoth(finished)

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
        self._flush()
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
        self._expected.append(received)
        self._write(pack_command(tuple(words)))

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

        # All but the last one go into the list without a call of ours.
        self._expected.extend([replies.append] * (len(commands) - 1))
        self._expected.append(last_received)
        self._write(b"".join(commands))

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
        self._expected.extend([_ignore] * (len(packed) - 1))
        self._expected.append(received)
        self._write(b"".join(packed))

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
            self._is_settled, self._farewell = True, NO_PROBLEM

        return self.command(b"PING").addErrback(failed).addCallback(replied)

    def send_subscribe(self, *names: bytes) -> None:
        """Send SUBSCRIBE. The listener receives the replies, one for each channel."""
        self._send_for_channels(b"SUBSCRIBE", names)

    def send_unsubscribe(self, *names: bytes) -> None:
        """Send UNSUBSCRIBE; without names, for all channels of the connection."""
        self._send_for_channels(b"UNSUBSCRIBE", names)

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
        try:
            gets = self._reader.gets
            while (reply := gets()) is not False:
                if type(reply) is list and len(reply) == 3:
                    kind = reply[0]
                    if kind == b"message":
                        self._message_received(reply[1], reply[2])
                        continue
                    if kind in (b"subscribe", b"unsubscribe"):
                        self._channel_reply_received(kind, reply[1])
                        continue
                elif type(reply) is hiredis.PushNotification:
                    # RESP3 (https://redis.io/docs/latest/develop/reference/client-side-caching/). No reply to anything.
                    if reply[0] == b"invalidate":
                        self._keys_changed(reply[1])
                    continue
                self._reply_received(reply)
        except hiredis.ProtocolError:
            self.abort(Problem("the server does not speak the Redis protocol"))
        finally:
            self._listener.read_finished()
            self._is_receiving = False
            self._flush()

    def connectionLost(self, why: Failure) -> None:
        if not self.problem.summary:
            self.problem = self._ending(why.value)
        super().connectionLost(why)
        self._outgoing.clear()
        expected, self._expected = self._expected, deque()
        for received in expected:
            if callable(received):
                received(NotConnectedError("Lost connection"))
        self._on_lost(self)

    def _ending(self, error: BaseException | None) -> Problem:
        """Return what it means that the connection ended by itself."""
        if self._farewell.summary:
            return self._farewell
        if isinstance(error, ConnectionClosed) and self._is_in_tls_handshake:
            return Problem(
                "it ended the connection during the TLS handshake: this port has no TLS, or it has too many clients",
                str(error),
            )
        if isinstance(error, ConnectionClosed) and not self.reads:
            return Problem(
                "it ended the connection before its first reply: a port with TLS needs a rediss:// URL", str(error)
            )
        return problem_of(error)

    def _send_for_channels(self, verb: bytes, names: tuple[bytes, ...]) -> None:
        # Not a `command`: each channel has a reply, not each command.
        self._expected.append([names, len(names)])
        self._write(pack_command((verb, *names)))

    def _write(self, data: bytes) -> None:
        """Send bytes; those that are caused by what one read brought, together when all of that is handled."""
        if self._is_receiving:
            self._outgoing.append(data)
        else:
            self.transport.write(data)

    def _flush(self) -> None:
        if self._outgoing:
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            write_at_once(self.transport, data)

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
            self._farewell = (
                reply_problem(str(reply), with_detail=not self._is_authenticating) if is_error else NO_PROBLEM
            )
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


def _ignore(_reply: object) -> None:
    """Take a reply that says nothing."""


class RedisConnectionFactory(Factory):
    """Makes connections.

    Args:
        listener: See `RedisConnection`.
        on_lost: See `RedisConnection`.
    """

    noisy = False

    def __init__(self, listener: PubSubListener, on_lost: Callable[[RedisConnection], None]) -> None:
        self._listener = listener
        self._on_lost = on_lost

    def buildProtocol(self, _address: IAddress | None) -> RedisConnection:
        connection = RedisConnection(self._listener, self._on_lost)
        connection.factory = self
        return connection
