"""The Redis broker: plain PUBLISH and SUBSCRIBE, two connections for each process however many clients it has.

One connection subscribes, only to channels that have listeners in this process; the other sends commands. Two,
because a connection that is subscribed may send nothing but subscriptions and PING (RESP2).
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from secrets import token_hex
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay import __version__
from wsrelay.brokers.redis.connection import RedisConnection, ResponseError
from wsrelay.brokers.redis.credential_store import RedisCredentialStore
from wsrelay.brokers.redis.link import Link
from wsrelay.brokers.redis.probe import Probe
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.flow.desired_subscriptions import DesiredSubscriptions
from wsrelay.core.messaging.publications import Publication, PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import IBroker, IBrokerSink

__all__ = ["RedisBroker"]

NAMES_PER_COMMAND = 500
"""How many channels go into one SUBSCRIBE: long enough to be cheap, short enough not to hold Redis up."""

MAX_COMMANDS_IN_FLIGHT = 10_000
MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024
"""Beyond these a command fails at once: what waits for Redis must not eat the memory of the process."""


CONTROL = "$control"
"""The channel on which the application tells all processes something; no client can spell it."""


_TAKEN = PublishResult()


@implementer(IBroker)
class RedisBroker:
    """Publishes to and subscribes at one Redis server.

    Args:
        endpoint: How Redis is reached.
        url: How to sign in; where it is is the endpoint's affair.
        prefix: What every channel's name begins with in Redis. No client can reach a name without it.
        clock: Time.
        rng: Randomness for back-off.
    """

    name = "redis"
    history = None
    log = Logger()

    def __init__(
        self, endpoint: IStreamClientEndpoint, url: RedisURL, prefix: str, clock: IReactorTime, rng: Random
    ) -> None:
        self._url = url
        self._prefix = prefix.encode()
        self.node_id = token_hex(8)
        self.credentials = RedisCredentialStore(self._prefix, self._command)
        self._control_name = self._prefix + CONTROL.encode()
        self._control_names = (self._control_name, self._control_name_of(self.node_id))
        self._was_interrupted = False
        self._clock = clock
        self._subscriptions = DesiredSubscriptions()
        self._channels: dict[bytes, str] = {}
        self._sink: IBrokerSink | None = None
        self._arrived: list[Publication] = []
        self._asked: dict[str, None] = {}
        self._flush_is_due = False
        self._in_flight = 0
        self._bytes_in_flight = 0
        self._probe = Probe(self._send_probe, self._probe_back, self._probe_lost, clock, rng)
        self._probe_name = self._prefix + b"$probe:" + self._probe.name
        self._subscriber = Link(
            "subscriber link",
            endpoint,
            lambda: RedisConnection(self._message, self._subscribed, self._read, self._refused),
            self._greet_subscriber,
            up=self._subscriber_up,
            down=self._subscriber_down,
            clock=clock,
            rng=rng,
        )
        self._commander = Link(
            "command link",
            endpoint,
            lambda: RedisConnection(lambda _channel, _payload: None, lambda _channel: None),
            self._greet_commander,
            up=self._commander_up,
            down=self._probe.failed,
            clock=clock,
            rng=rng,
        )

    @property
    def ready(self) -> bool:
        """See `IBroker.ready`."""
        return self._subscriber.is_up and self._commander.is_up and self._probe.is_back

    @property
    def problem(self) -> str:
        """See `IBroker.problem`."""
        return self._subscriber.problem or self._commander.problem or ("" if self.ready else self._probe.problem)

    def attach(self, sink: IBrokerSink) -> None:
        """See `IBroker.attach`."""
        self._sink = sink

    def start(self) -> None:
        """See `IBroker.start`."""
        self._subscriber.start()
        self._commander.start()

    def stop(self) -> Deferred[None]:
        """See `IBroker.stop`."""
        self._subscriber.stop()
        self._commander.stop()
        self._probe.stop()
        return succeed(None)

    def subscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.subscribe`."""
        names = list(channels)
        self._subscriptions.want(names)
        self._asked.update(dict.fromkeys(names))
        self._ask_for_flush()

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """See `IBroker.unsubscribe`."""
        names = list(channels)
        self._subscriptions.unwant(names)
        for name in names:
            self._asked.pop(name, None)
        self._ask_for_flush()

    def pause(self) -> None:
        """See `IBroker.pause`. Redis keeps what is not read, up to its client-output-buffer-limit."""
        self._subscriber.hold(True)
        self._probe.hold(True)

    def resume(self) -> None:
        """See `IBroker.resume`."""
        self._subscriber.hold(False)
        self._probe.hold(False)

    def publish(self, channel: str, data: bytes) -> Deferred[PublishResult]:
        """See `IBroker.publish`."""
        published = self._command(b"PUBLISH", self._prefix + channel.encode(), data)
        return published.addCallback(lambda _subscribers: _TAKEN)

    def send_control(self, payload: bytes, node_id: str | None = None) -> Deferred[None]:
        """See `IBroker.send_control`."""
        name = self._control_name if node_id is None else self._control_name_of(node_id)
        return self._command(b"PUBLISH", name, payload).addCallback(lambda _subscribers: None)

    def _control_name_of(self, node_id: str) -> bytes:
        return b"%s:%s" % (self._control_name, node_id.encode())

    def _command(self, *words: bytes) -> Deferred[Any]:
        connection = self._commander.connection
        if connection is None or not self._commander.is_up or not connection.connected:
            return fail(BrokerUnavailable(self._commander.problem))
        size = len(words[-1])
        if self._in_flight >= MAX_COMMANDS_IN_FLIGHT or self._bytes_in_flight + size > MAX_BYTES_IN_FLIGHT:
            return fail(BrokerUnavailable("Redis is behind: too many messages wait for its answer"))
        self._in_flight += 1
        self._bytes_in_flight += size

        def answered(result: Any) -> Any:
            self._in_flight -= 1
            self._bytes_in_flight -= size
            if isinstance(result, Failure):
                raise BrokerUnavailable(result.getErrorMessage())
            return result

        return connection.command(*words).addBoth(answered)

    # The subscriber connection

    async def _greet_subscriber(self, connection: RedisConnection) -> None:
        await self._sign_in(connection, b"subscriber")
        connection.write_unanswered(b"SUBSCRIBE", self._probe_name)
        # By itself, for an ACL may allow the one and not the other.
        connection.write_unanswered(b"SUBSCRIBE", self._control_name)
        connection.write_unanswered(b"SUBSCRIBE", self._control_name_of(self.node_id))
        self._write_changes(connection)
        # The answer comes behind those of all SUBSCRIBE commands: with it the link is truly up.
        await connection.ping()

    def _ask_for_flush(self) -> None:
        # Once for each turn: a name that comes and goes within it costs Redis nothing.
        if not self._flush_is_due:
            self._flush_is_due = True
            self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        if self._subscriber.is_up and self._subscriber.connection is not None:
            self._write_changes(self._subscriber.connection)
            self._confirm_the_certain()

    def _confirm_the_certain(self) -> None:
        """Answer for channels that were given up and wanted again before anything was written: Redis will not."""
        asked, self._asked = self._asked, {}
        for channel in asked:
            if self._sink is not None and self._subscriptions.is_certain(channel):
                self._sink.subscribed(channel)

    def _write_changes(self, connection: RedisConnection) -> None:
        added, removed = self._subscriptions.changes()
        for verb, channels in ((b"SUBSCRIBE", added), (b"UNSUBSCRIBE", removed)):
            names = [self._prefix + channel.encode() for channel in channels]
            if verb == b"SUBSCRIBE":
                self._channels.update(zip(names, channels, strict=True))
            for start in range(0, len(names), NAMES_PER_COMMAND):
                connection.write_unanswered(verb, *names[start : start + NAMES_PER_COMMAND])
        for channel in removed:
            self._channels.pop(self._prefix + channel.encode(), None)

    def _message(self, name: bytes, payload: bytes) -> None:
        channel = self._channels.get(name)
        if channel is None:
            if name == self._probe_name:
                self._probe.came_back(payload)
            elif name in self._control_names and self._sink is not None:
                self._sink.control_received(payload)
        else:
            self._arrived.append(Publication(channel, payload))

    def _read(self) -> None:
        if self._arrived and self._sink is not None:
            arrived, self._arrived = self._arrived, []
            self._sink.publications_received(arrived)

    def _subscribed(self, name: bytes) -> None:
        # By the name and not by the table of messages, which has forgotten what is wanted no more: the answer counts.
        channel = name[len(self._prefix) :].decode()
        ours = name == self._probe_name or name in self._control_names
        if not ours and self._subscriptions.answered(channel) and self._sink is not None:
            self._asked.pop(channel, None)
            self._sink.subscribed(channel)

    def _refused(self, names: tuple[bytes, ...], why: str) -> None:
        """One name that an ACL does not allow has SUBSCRIBE refused with all its names: try them one by one."""
        connection = self._subscriber.connection
        if self._probe_name in names or not why.startswith("NOPERM"):
            # Not about one channel: the prefix as a whole, or a server that understood something else than was sent.
            self._subscriber.restart(f"Redis refused a subscription: {why}")
        elif len(names) > 1 and connection is not None:
            for name in names:
                connection.write_unanswered(b"SUBSCRIBE", name)
        elif names[0] in self._control_names:
            if names[0] == self._control_name:
                # The other one is the same ACL's doing: one line is enough.
                self.log.warn("Redis rejects the channel {name}: control messages do not arrive", name=CONTROL)
        else:
            channel = names[0][len(self._prefix) :].decode()
            self.log.warn("Redis refuses the channel {channel}: {why}", channel=channel, why=why)
            self._subscriptions.refused(channel)
            if self._sink is not None:
                self._sink.subscribe_failed(channel)

    def _subscriber_up(self) -> None:
        self._ask_for_flush()
        if self._commander.is_up:
            self._probe.start()

    def _subscriber_down(self) -> None:
        self._probe.failed()
        lost = self._subscriptions.disconnected()
        self._channels.clear()
        self._was_interrupted = True
        if self._sink is not None:
            self._sink.disconnected(lost)

    # The command connection

    async def _greet_commander(self, connection: RedisConnection) -> None:
        await self._sign_in(connection, b"commander")
        if self._url.database:
            await connection.command(b"SELECT", str(self._url.database).encode())
        await connection.ping()

    def _commander_up(self) -> None:
        if self._subscriber.is_up:
            self._probe.start()

    # The probe

    async def _send_probe(self, payload: bytes) -> None:
        connection = self._commander.connection
        if connection is not None:
            await self._refuse_replica(connection)
            await connection.command(b"PUBLISH", self._probe_name, payload)

    async def _refuse_replica(self, connection: RedisConnection) -> None:
        """A replica takes PUBLISH, and delivers it to nobody but its own subscribers (valkey#1780)."""
        try:
            role = await connection.command(b"ROLE")
        except ResponseError:
            # An ACL may forbid the question; the probe still proves the way there and back.
            return
        if role[0] == b"slave":
            raise BrokerUnavailable("this Redis server is a replica: what is published here reaches nobody else")

    def _probe_back(self) -> None:
        self._subscriber.proved()
        self._commander.proved()
        if self._was_interrupted and self._sink is not None:
            self._was_interrupted = False
            self._sink.reconnected()

    def _probe_lost(self, problem: str) -> None:
        self._subscriber.restart(problem)
        self._commander.restart(problem)

    async def _sign_in(self, connection: RedisConnection, role: bytes) -> None:
        if self._url.password is not None:
            user = [] if self._url.username is None else [self._url.username.encode()]
            try:
                await connection.command(b"AUTH", *user, self._url.password.encode())
            except ResponseError as error:
                # The code alone: a server that does not know AUTH repeats what it was sent.
                code = str(error).partition(" ")[0]
                raise BrokerUnavailable(f"Redis refused to sign us in ({code})") from None
        # For the operator's CLIENT LIST. Its failure (an ACL without it, an old server) does no harm.
        name = b"wsrelay-%s-%s" % (__version__.encode(), role)
        connection.command(b"CLIENT", b"SETNAME", name).addErrback(lambda _failure: None)
