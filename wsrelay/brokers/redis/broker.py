"""The Redis broker: plain PUBLISH and SUBSCRIBE, two connections for each process however many clients it has.

One connection subscribes, only to channels that have subscribers in this process; the other sends commands. Two,
because a connection that is subscribed may send nothing but subscriptions and PING (RESP2).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from random import Random
from secrets import token_hex

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.commands import Commands
from wsrelay.brokers.redis.credential_store import RedisCredentialStore
from wsrelay.brokers.redis.event_log import RedisEventLog
from wsrelay.brokers.redis.internal_channels import InternalChannels
from wsrelay.brokers.redis.presence_store import RedisPresenceStore
from wsrelay.brokers.redis.probe import Probe
from wsrelay.brokers.redis.problems import Problem
from wsrelay.brokers.redis.streams.history import RedisHistory
from wsrelay.brokers.redis.streams.ways import Way
from wsrelay.brokers.redis.subscriber import Subscriber
from wsrelay.brokers.redis.switch import RedisSwitch
from wsrelay.core.messaging.publications import PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, IBrokerSink

__all__ = ["RedisBroker"]

_TAKEN = PublishResult()


@implementer(IBroker)
class RedisBroker:
    """Publishes to and subscribes at one Redis server.

    Args:
        address: How Redis is reached, and how to sign in.
        prefix: The beginning of every channel's name and key in Redis. No client can reach a name without it.
        clock: Time.
        rng: Randomness for the back-off.
        keeps_history: Whether there are channels with history, which needs a third connection.
        ways: The ways to learn of entries that may be used.
        now: The wall clock, in seconds since the epoch, by which entries grow old. If None, the reactor's clock is one.
    """

    name = "redis"

    def __init__(
        self,
        address: RedisAddress,
        prefix: str,
        clock: IReactorTime,
        rng: Random,
        *,
        keeps_history: bool = False,
        ways: Collection[Way] = tuple(Way),
        now: Callable[[], float] | None = None,
    ) -> None:
        self.node_id = token_hex(8)
        self._prefix = prefix.encode()
        self._sink: IBrokerSink | None = None
        self._was_disconnected = False
        self._probe = Probe(self._send_probe, self._probe_replied, self._probe_failed, clock, rng)
        self._internal = InternalChannels(self._prefix, self.node_id, self._probe.name)
        self._subscriber = Subscriber(
            address,
            self._prefix,
            self._internal,
            on_probe=self._probe.reply_received,
            on_up=self._connection_up,
            on_down=self._subscriber_down,
            on_key_event=self._key_event,
            on_key_subscribed=self._key_subscribed,
            clock=clock,
            rng=rng,
        )
        self._commands = Commands(
            address,
            on_up=self._commands_up,
            on_down=self._commands_down,
            clock=clock,
            rng=rng,
            on_pressure=self._pressure_changed,
        )
        self.history: RedisHistory | None = None
        if keeps_history:
            self.history = RedisHistory(
                address,
                self._prefix,
                self._commands,
                self._subscriber,
                clock=clock,
                rng=rng,
                now=now or clock.seconds,
                ways=ways,
            )
        self.credentials = RedisCredentialStore(self._prefix, self._commands.send)
        self.switch = RedisSwitch(self._prefix, self._commands.send)
        self.presence = RedisPresenceStore(self._prefix, self._commands.send, self._commands.transaction, clock.seconds)
        self.events = RedisEventLog(self._prefix, self._commands.send)

    @property
    def ready(self) -> bool:
        """See `IBroker.ready`."""
        return (
            self._subscriber.link.is_up
            and self._commands.link.is_up
            and self._probe.is_healthy
            and (self.history is None or self.history.is_healthy)
        )

    @property
    def problem(self) -> str:
        """See `IBroker.problem`."""
        for problem in (self._subscriber.link.problem, self._commands.link.problem):
            if problem.summary:
                return problem.summary
        if self._probe.problem.summary or self.history is None:
            return "" if self.ready else self._probe.problem.summary
        return self.history.problem.summary

    def attach(self, sink: IBrokerSink) -> None:
        """See `IBroker.attach`."""
        self._sink = sink
        self._subscriber.attach(sink)
        if self.history is not None:
            self.history.attach(sink)

    def start(self) -> None:
        """See `IBroker.start`."""
        self._subscriber.link.start()
        self._commands.link.start()
        if self.history is not None:
            self.history.start()

    def stop(self) -> Deferred[None]:
        """See `IBroker.stop`."""
        self._subscriber.link.stop()
        self._commands.link.stop()
        self._probe.stop()
        if self.history is not None:
            self.history.stop()
        return succeed(None)

    def subscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.subscribe`."""
        self._subscriber.subscribe(channels)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.unsubscribe`."""
        self._subscriber.unsubscribe(channels)

    def pause(self) -> None:
        """See `IBroker.pause`. Redis keeps what is not read, up to its client-output-buffer-limit."""
        self._subscriber.link.pause()
        self._probe.pause()
        if self.history is not None:
            self.history.pause()

    def resume(self) -> None:
        """See `IBroker.resume`."""
        self._subscriber.link.resume()
        self._probe.resume()
        if self.history is not None:
            self.history.resume()

    def publish(self, channel: str, data: bytes) -> Deferred[PublishResult]:
        """See `IBroker.publish`."""
        published = self._commands.send(b"PUBLISH", self._prefix + channel.encode(), data)
        return published.addCallback(lambda _subscribers: _TAKEN)

    def post(self, channel: str, data: bytes, done: Callable[[BrokerUnavailable | None], None]) -> None:
        """See `IBroker.post`."""
        self._commands.post((b"PUBLISH", self._prefix + channel.encode(), data), done)

    def send_control(self, payload: bytes, node_id: str | None = None) -> Deferred[int]:
        """See `IBroker.send_control`."""
        name = self._internal.control if node_id is None else self._internal.control_of(node_id)
        return self._commands.send(b"PUBLISH", name, payload)

    def _commands_up(self) -> None:
        # Before the probe, so that what the sink asks for now is answered when the broker gets ready.
        if self._sink is not None:
            self._sink.connected()
        self._connection_up()

    def _connection_up(self) -> None:
        if self._subscriber.link.is_up and self._commands.link.is_up:
            self._probe.start()
            if self.history is not None:
                self.history.peer_up()

    def _pressure_changed(self, *, is_high: bool) -> None:
        if self._sink is not None:
            self._sink.pressure_changed(is_high=is_high)

    def _commands_down(self) -> None:
        self._probe.stop()
        if self.history is not None:
            self.history.peer_down()

    def _key_event(self, channel: str) -> None:
        if self.history is not None:
            self.history.key_event(channel)

    def _key_subscribed(self, channel: str | None) -> None:
        if self.history is not None:
            self.history.key_subscribed(channel)

    def _subscriber_down(self, lost: Collection[str]) -> None:
        self._commands_down()
        self._was_disconnected = True
        if self._sink is not None:
            self._sink.disconnected(lost)

    async def _send_probe(self, payload: bytes) -> None:
        await self._commands.send_probe(self._internal.probe, payload)

    def _probe_replied(self) -> None:
        self._subscriber.link.mark_healthy()
        self._commands.link.mark_healthy()
        if self._was_disconnected and self._sink is not None:
            self._was_disconnected = False
            self._sink.reconnected()

    def _probe_failed(self, problem: Problem) -> None:
        self._subscriber.link.restart(problem)
        self._commands.link.restart(problem)
