"""A connection to Redis that is made again whenever it ends.

- It is up when `on_connect` has finished, not when TCP connected: a frozen server still accepts.
- Every wait has a deadline, and a PING without a reply ends the connection: a peer that vanished is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar, cast

from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.brokers.redis.connection import RedisConnection, connection_factory
from wsrelay.brokers.redis.problems import NO_PROBLEM, Problem, problem_of, reply_problem
from wsrelay.brokers.redis.pubsub_listener import NullListener, PubSubListener
from wsrelay.brokers.redis.request_protocol import NotConnectedError, ResponseError
from wsrelay.core.flow.backoff import FullJitter

__all__ = ["ReconnectingConnection"]

CONNECT_TIMEOUT_SECONDS = 10.0

SETUP_TIMEOUT_SECONDS = 5.0
"""How long `on_connect` may take."""

PING_INTERVAL_SECONDS = 5.0

PING_TIMEOUT_SECONDS = 3.0

PING_GRACE_SECONDS = 1.0
"""How much longer anything may be read after `PING_TIMEOUT_SECONDS` before the connection is ended."""

SETTLED_SECONDS = 4.0
"""How long a connection must have been up for the next outage to begin with the shortest back-off.

Shorter than the interval between probes, so that the second successful one resets the back-off.
"""

_T = TypeVar("_T")


class _ConnectionEnded(Exception):  # noqa: N818 -- an event; the connection has the reason
    """The connection ended between two commands."""


class ReconnectingConnection:
    """Keeps one connection to Redis: connects, sets up, pings, and after any failure does it again, for ever.

    Args:
        name: What the connection is for, in the log.
        endpoint: How Redis is reached. Its str is the address in the log.
        on_connect: Sets a new connection up. The connection is up when it has finished, and made again if it fails.
        on_up: Called when the connection came up.
        on_down: Called when a connection ended, even if it was never up.
        clock: Time.
        rng: Randomness for the back-off.
        listener: Receives the messages. If None, messages are ignored.

    Attributes:
        current: The connection of this moment, up or not; None while there is none.
        is_up: True while it is up.
        problem: Why not; `NO_PROBLEM` when up.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        endpoint: IStreamClientEndpoint,
        on_connect: Callable[[RedisConnection], Coroutine[Deferred[Any], Any, None]],
        *,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        clock: IReactorTime,
        rng: Random,
        listener: PubSubListener | None = None,
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._factory = connection_factory(listener or NullListener(), self._connection_lost)
        self._on_connect = on_connect
        self._on_up = on_up
        self._on_down = on_down
        self._clock = clock
        self._backoff = FullJitter(rng)
        self._running: Deferred[None] | None = None
        self._sleeping: Deferred[None] | None = None
        self._is_stopping = False
        self._is_paused = False
        self._was_paused_since_ping = False
        self._up_since = 0.0
        self._logged_problem = NO_PROBLEM
        self.current: RedisConnection | None = None
        self.is_up = False
        self.problem = Problem("not connected yet")

    def start(self) -> None:
        """Begin to connect."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._run_failed)

    def stop(self) -> None:
        """Disconnect for good. Nothing is left running when this returns."""
        self._is_stopping = True
        self.problem = Problem("stopped")
        if self._running is not None:
            self._running.cancel()

    def mark_healthy(self) -> None:
        """Declare the outage, if there was one, ended: the next one begins with the shortest back-off.

        The caller has seen that messages flow. The back-off is not reset when the connection comes up, nor for one that
        breaks at once, because a broken server would then be connected to without a pause.
        """
        if self._clock.seconds() - self._up_since >= SETTLED_SECONDS:
            self._backoff.reset()
        if self._logged_problem.summary:
            self.log.info("{name}: works again", name=self._name)
            self._logged_problem = NO_PROBLEM

    def restart(self, problem: Problem) -> None:
        """Replace the connection, which is broken in a way that it cannot detect itself.

        Args:
            problem: The reason.
        """
        if self.current is not None:
            self.current.abort(problem)

    def pause(self) -> None:
        """Read nothing until `resume`. A PING that stays without a reply meanwhile does not end the connection."""
        self._is_paused = self._was_paused_since_ping = True
        self._apply_pause()

    def resume(self) -> None:
        """Read again."""
        self._is_paused = False
        self._apply_pause()

    async def _run(self) -> None:
        while not self._is_stopping:
            try:
                await self._use_one_connection()
            except Exception as error:  # noqa: BLE001 -- whatever it was, the one right answer is to connect again
                # Unless it was `stop`: a cancelled wait raises its own kind of exception, in each endpoint another.
                if not self._is_stopping:
                    self._report(error)
            finally:
                self._disconnect()
            if not self._is_stopping:
                await self._sleep(self._backoff.next())

    async def _use_one_connection(self) -> None:
        """Make a connection and keep it to its end, which is always an exception."""
        protocol = await self._within(CONNECT_TIMEOUT_SECONDS, self._endpoint.connect(self._factory))
        connection = self.current = cast(RedisConnection, protocol)
        await self._within(SETUP_TIMEOUT_SECONDS, Deferred.fromCoroutine(self._on_connect(connection)))
        self.is_up, self.problem = True, NO_PROBLEM
        self._up_since = self._clock.seconds()
        self._on_up()
        self._apply_pause()
        while True:
            await self._sleep(PING_INTERVAL_SECONDS)
            if not self._is_paused:
                await self._ping(connection)

    async def _ping(self, connection: RedisConnection) -> None:
        self._was_paused_since_ping = False
        try:
            await self._within(PING_TIMEOUT_SECONDS, connection.ping())
        except defer.TimeoutError:
            # Either reading was paused, or the reactor is busy: it runs timers before it reads. Look once more.
            reads = connection.reads
            await self._sleep(PING_GRACE_SECONDS)
            if connection.reads == reads and not self._was_paused_since_ping:
                raise

    def _apply_pause(self) -> None:
        # Not before it is up: the replies that `on_connect` waits for would stay unread until its deadline.
        if self.current is None or not self.is_up:
            return
        if self._is_paused:
            self.current.transport.pauseProducing()
        else:
            self.current.transport.resumeProducing()

    def _within(self, seconds: float, deferred: Deferred[_T]) -> Deferred[_T]:
        return deferred.addTimeout(seconds, self._clock)

    async def _sleep(self, seconds: float) -> None:
        """Wait; if the connection is lost meanwhile, end the wait at once with an exception."""
        connection = self.current
        if connection is not None and not connection.connected:
            raise _ConnectionEnded
        self._sleeping = deferLater(self._clock, seconds)
        try:
            await self._sleeping
        except CancelledError:
            if connection is not None and not connection.connected:
                raise _ConnectionEnded from None
            raise
        finally:
            self._sleeping = None

    def _connection_lost(self, connection: RedisConnection) -> None:
        # The end of an earlier connection must not cancel the back-off: that would end `_run`.
        if connection is self.current and self._sleeping is not None:
            self._sleeping.cancel()

    def _report(self, error: Exception) -> None:
        connection = self.current
        if connection is not None and isinstance(error, (NotConnectedError, _ConnectionEnded)):
            self.problem = connection.problem
        elif connection is not None and isinstance(error, defer.TimeoutError):
            self.problem = connection.silence
        elif isinstance(error, ResponseError):
            self.problem = reply_problem(str(error))
        else:
            self.problem = problem_of(error)
        if connection is not None and connection.url is not None:
            # A server may repeat anything that it was sent.
            self.problem = self.problem.without(connection.url.password)
        # A server that is away for an hour is one event, not a line for every retry.
        if not self.problem.is_like(self._logged_problem):
            self._logged_problem = self.problem
            self.log.warn(
                "{name} to {address}: {problem}; reconnecting until it works",
                name=self._name,
                address=str(self._endpoint),
                problem=str(self.problem),
            )

    def _disconnect(self) -> None:
        connection, self.current = self.current, None
        if connection is not None:
            self.is_up = False
            try:
                connection.abort()
                self._on_down()
            except Exception:  # noqa: BLE001 -- a broken callback must not keep the connection from being made again
                self.log.failure("{name}: reporting that it is down failed", name=self._name)

    def _run_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("{name}: broke down and will not reconnect", failure, name=self._name)
