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

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar, cast

import txredisapi
from twisted.internet import defer
from twisted.internet import error as errors
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.brokers.redis.connection import RedisConnection, _ConnectionFactory
from wsrelay.core.flow.backoff import FullJitter

__all__ = ["Link"]

CONNECT_TIMEOUT_SECONDS = 10.0

GREETING_TIMEOUT_SECONDS = 5.0

PING_INTERVAL_SECONDS = 5.0

PING_TIMEOUT_SECONDS = 3.0

SECOND_LOOK_SECONDS = 1.0

SETTLED_SECONDS = 4.0
"""How long a link must have been up for its next outage to be met without delay: the next probe after the first."""

_T = TypeVar("_T")


class Link:
    """Keeps one connection to Redis: connects, greets, pings, and after any failure does it again, for ever.

    Args:
        what: What the link is for, in the log.
        endpoint: How Redis is reached.
        build: Makes the protocol of a new connection.
        greet: Signs in and sets the connection up; the link is up when it is done, and retries when it fails.
        up: Called when the link came up.
        down: Called when a connection ended, whether or not it ever was up.
        clock: Time.
        rng: Randomness for the back-off.
    """

    log = Logger()

    def __init__(
        self,
        what: str,
        endpoint: IStreamClientEndpoint,
        build: Callable[[], RedisConnection],
        greet: Callable[[RedisConnection], Coroutine[Deferred[Any], Any, None]],
        *,
        up: Callable[[], None],
        down: Callable[[], None],
        clock: IReactorTime,
        rng: Random,
    ) -> None:
        self._what = what
        self._endpoint = endpoint
        self._factory = _ConnectionFactory(build)
        self._greet = greet
        self._on_up = up
        self._on_down = down
        self._clock = clock
        self._backoff = FullJitter(rng)
        self._running: Deferred[None] | None = None
        self._pause: Deferred[None] | None = None
        self._stopping = False
        self._held = False
        self._held_since_ping = False
        self._up_since = 0.0
        self._told = ""
        self.connection: RedisConnection | None = None
        self.is_up = False
        self.problem = "not connected yet"

    def start(self) -> None:
        """Begin to connect."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._ended)

    def stop(self) -> None:
        """Disconnect and stay so. Nothing is left running when this returns."""
        self._stopping = True
        self.problem = "stopped"
        if self._running is not None:
            self._running.cancel()

    def proved(self) -> None:
        """Messages flow: the outage, if there was one, is over, and the next one is tried again at once.

        Not when the link comes up, and not for one that breaks at once, because a server that is no good would then be
        connected to without a pause.
        """
        if self._clock.seconds() - self._up_since >= SETTLED_SECONDS:
            self._backoff.reset()
        if self._told:
            self.log.info("{what}: works again", what=self._what)
            self._told = ""

    def restart(self, problem: str) -> None:
        """This connection is no good, for a reason that it cannot see itself: make a new one."""
        if self.connection is not None:
            self.connection.problem = problem
            self.connection.transport.abortConnection()

    def hold(self, held: bool) -> None:
        """Read nothing, or read again. A PING that stays unanswered meanwhile proves nothing and is forgiven."""
        self._held = held
        self._held_since_ping = self._held_since_ping or held
        # Not before it is up: the answers to its greeting would stay unread, and it would be given up.
        if self.connection is not None and self.is_up:
            self._apply_hold(self.connection)

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._live()
            except Exception as error:  # noqa: BLE001 -- whatever it was, the one right answer is to connect again
                # Unless it was `stop`: a cancelled wait raises its own kind of exception, in each endpoint another.
                if not self._stopping:
                    self._failed(error)
            finally:
                self._disconnect()
            if not self._stopping:
                await self._sleep(self._backoff.next())

    async def _live(self) -> None:
        """One connection from its first byte to its end, which is always an exception."""
        protocol = await self._within(CONNECT_TIMEOUT_SECONDS, self._endpoint.connect(self._factory))
        connection = cast(RedisConnection, protocol)
        self.connection = connection
        connection.lost = self._wake
        await self._within(GREETING_TIMEOUT_SECONDS, Deferred.fromCoroutine(self._greet(connection)))
        self.is_up, self.problem = True, ""
        self._up_since = self._clock.seconds()
        self._on_up()
        self._apply_hold(connection)
        while True:
            await self._sleep(PING_INTERVAL_SECONDS)
            if not self._held:
                await self._ping(connection)

    async def _ping(self, connection: RedisConnection) -> None:
        self._held_since_ping = False
        try:
            await self._within(PING_TIMEOUT_SECONDS, connection.ping())
        except defer.TimeoutError:
            # Nothing was read for our own sake, or a busy reactor, whose timers run before its reads: look once more.
            reads = connection.reads
            await self._sleep(SECOND_LOOK_SECONDS)
            if connection.reads == reads and not self._held_since_ping:
                raise

    def _apply_hold(self, connection: RedisConnection) -> None:
        if self._held:
            connection.transport.pauseProducing()
        else:
            connection.transport.resumeProducing()

    def _within(self, seconds: float, deferred: Deferred[_T]) -> Deferred[_T]:
        return deferred.addTimeout(seconds, self._clock)

    async def _sleep(self, seconds: float) -> None:
        """Wait; a connection that is lost meanwhile ends the wait at once with an exception."""
        connection = self.connection
        if connection is not None and not connection.connected:
            raise ConnectionError(connection.problem)
        self._pause = deferLater(self._clock, seconds)
        try:
            await self._pause
        except CancelledError:
            if connection is not None and not connection.connected:
                raise ConnectionError(connection.problem) from None
            raise
        finally:
            self._pause = None

    def _wake(self) -> None:
        if self._pause is not None:
            self._pause.cancel()

    def _failed(self, error: Exception) -> None:
        connection = self.connection
        if isinstance(error, (defer.TimeoutError, errors.TimeoutError)):
            self.problem = "Redis does not answer"
        elif isinstance(error, txredisapi.ConnectionError) and connection is not None:
            self.problem = connection.problem
        else:
            self.problem = str(error) or type(error).__name__
        # A server that is away for an hour is one event, not a line for every try.
        if self.problem != self._told:
            self._told = self.problem
            self.log.warn("{what}: {problem}; trying again until it works", what=self._what, problem=self.problem)

    def _disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.lost = None
            self.is_up = False
            try:
                connection.transport.abortConnection()
                self._on_down()
            except Exception:  # noqa: BLE001 -- nothing that others make of it may keep the link from coming back
                self.log.failure("{what}: telling that it is down failed", what=self._what)

    def _ended(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("{what}: broke down and will not come back", failure, what=self._what)
