"""The subscriber side of the Redis broker: one connection, subscribed to the channels that this process desires."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from random import Random

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.internal_channels import CONTROL, InternalChannels
from wsrelay.brokers.redis.link import ReconnectingConnection
from wsrelay.brokers.redis.problems import reply_problem
from wsrelay.brokers.redis.sign_in import sign_in
from wsrelay.core.flow.desired_subscriptions import DesiredSubscriptions
from wsrelay.core.messaging.publications import Publication
from wsrelay.engine.rate_limited_log import LINES_PER_KIND, RateLimitedLog
from wsrelay.interfaces import IBrokerSink

__all__ = ["Subscriber"]

_make = tuple.__new__

NAMES_PER_COMMAND = 500
"""How many channels go into one SUBSCRIBE: long enough to be cheap, short enough not to block Redis."""


class Subscriber:
    """Keeps subscriptions, and passes messages on. Implements `PubSubListener` for its own connection.

    Args:
        address: How Redis is reached, and how to sign in.
        prefix: The beginning of every channel's name in Redis.
        internal: The relay's own channels, to which every connection is subscribed.
        on_probe: Called with the payload of each message of the probe's channel.
        on_up: Called when the connection came up.
        on_down: Called with the channels whose confirmation is void when a connection ended, even if it was never up.
        on_key_event: Called with a channel whose stream has an event.
        on_key_subscribed: Called with a channel whose stream's events are reported from now on. If None, they are not,
            because Redis rejects that.
        clock: Time.
        rng: Randomness for the back-off.

    Attributes:
        link: The connection.
    """

    log = Logger()

    def __init__(
        self,
        address: RedisAddress,
        prefix: bytes,
        internal: InternalChannels,
        *,
        on_probe: Callable[[bytes], None],
        on_up: Callable[[], None],
        on_down: Callable[[Collection[str]], None],
        on_key_event: Callable[[str], None],
        on_key_subscribed: Callable[[str | None], None],
        clock: IReactorTime,
        rng: Random,
    ) -> None:
        self._address = address
        self._prefix = prefix
        self._internal = internal
        self._on_probe = on_probe
        self._on_up = on_up
        self._on_down = on_down
        self._on_key_event = on_key_event
        self._on_key_subscribed = on_key_subscribed
        self._clock = clock
        self._sink: IBrokerSink | None = None
        self._lines = RateLimitedLog(self.log, clock.seconds)
        self._subscriptions = DesiredSubscriptions()
        # The channels whose streams' events are subscribed to, by the names of the events in Redis, and the other way.
        self._watched_keys: dict[bytes, str] = {}
        self._key_events: dict[str, bytes] = {}
        # The channels of the connection, by their names in Redis.
        self._channels: dict[bytes, str] = {}
        # What one read brought.
        self._received: list[Publication] = []
        # Channels that the sink awaits the confirmation of, if Redis sends no reply for them.
        self._unconfirmed: dict[str, None] = {}
        self._flush_is_scheduled = False
        self.link = ReconnectingConnection(
            "subscriber connection",
            address,
            self._set_up,
            on_up=self._came_up,
            on_down=self._went_down,
            clock=clock,
            rng=rng,
            listener=self,
        )

    def attach(self, sink: IBrokerSink) -> None:
        """Name the receiver of messages and confirmations."""
        self._sink = sink

    def subscribe(self, channels: Iterable[str]) -> None:
        """See `wsrelay.interfaces.IBroker.subscribe`."""
        names = list(channels)
        self._subscriptions.subscribe(names)
        self._unconfirmed.update(dict.fromkeys(names))
        self._schedule_flush()

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """See `wsrelay.interfaces.IBroker.unsubscribe`."""
        names = list(channels)
        self._subscriptions.unsubscribe(names)
        for name in names:
            self._unconfirmed.pop(name, None)
        self._schedule_flush()

    def watch_keys(self, channels: Iterable[str], database: int) -> None:
        """See `wsrelay.brokers.redis.streams.history.KeyspaceEvents.watch_keys`."""
        names = {}
        for channel in channels:
            if channel not in self._key_events:
                name = b"__keyspace@%d__:%b%b" % (database, self._prefix, channel.encode())
                self._key_events[channel], self._watched_keys[name] = name, channel
                names[name] = channel
        if names and self.link.is_up and self.link.current is not None:
            self._subscribe_to_key_events(self.link.current, list(names))

    def unwatch_keys(self, channels: Iterable[str]) -> None:
        """See `wsrelay.brokers.redis.streams.history.KeyspaceEvents.unwatch_keys`."""
        names = [self._key_events.pop(channel) for channel in channels if channel in self._key_events]
        for name in names:
            del self._watched_keys[name]
        if names and self.link.is_up and self.link.current is not None:
            self.link.current.send_unsubscribe(*names)

    # PubSubListener

    def messages_received(self, messages: list[list[bytes]]) -> None:
        """See `PubSubListener.messages_received`."""
        channels, received = self._channels, self._received
        for _, name, payload in messages:
            channel = channels.get(name)
            if channel is not None:
                # As `Publication(channel, payload)` does, at a third of the price: this is done for every message.
                received.append(_make(Publication, (channel, payload, None)))
            else:
                self._other_message_received(name, payload)

    def _other_message_received(self, name: bytes, payload: bytes) -> None:
        """Take a message that is not of a client's channel."""
        if (watched := self._watched_keys.get(name)) is not None:
            self._on_key_event(watched)
        elif name == self._internal.probe:
            self._on_probe(payload)
        elif name in self._internal and self._sink is not None:
            self._sink.control_received(payload)

    def keys_changed(self, keys: list[bytes] | None) -> None:
        """See `PubSubListener.keys_changed`: never, because this connection reads no key."""

    def read_finished(self) -> None:
        """See `PubSubListener.read_finished`."""
        if self._received and self._sink is not None:
            received, self._received = self._received, []
            self._sink.publications_received(received)

    def subscribed(self, name: bytes) -> None:
        """See `PubSubListener.subscribed`."""
        if name.startswith(b"__keyspace@"):
            if (watched := self._watched_keys.get(name)) is not None:
                self._on_key_subscribed(watched)
            return
        # By the name and not by `_channels`, where unsubscribed channels are missing: every reply counts.
        channel = name[len(self._prefix) :].decode()
        if name not in self._internal and self._subscriptions.reply_received(channel) and self._sink is not None:
            self._unconfirmed.pop(channel, None)
            self._sink.subscribed(channel)

    def subscribe_failed(self, names: tuple[bytes, ...], why: str) -> None:
        """See `PubSubListener.subscribe_failed`."""
        connection = self.link.current
        if self._internal.probe in names or not why.startswith("NOPERM"):
            # Not about one channel: the prefix as a whole, or a server that understood something else than was sent.
            self.link.restart(reply_problem(why))
        elif len(names) > 1 and connection is not None:
            # One channel that an ACL forbids has the whole command rejected: try them one by one.
            for name in names:
                connection.send_subscribe(name)
        elif names[0] in self._watched_keys:
            self._on_key_subscribed(None)
        elif names[0] in self._internal:
            if names[0] == self._internal.control:
                # The same ACL forbids the other control channel: one line is enough.
                self.log.warn("Redis rejects the channel {name}: control messages do not arrive", name=CONTROL)
        else:
            channel = names[0][len(self._prefix) :].decode()
            text = f"Redis rejects a channel: {why}"
            self._lines.write("rejected", text, LINES_PER_KIND, {"channel": channel}, level=LogLevel.warn)
            self._subscriptions.rejected(channel)
            if self._sink is not None:
                self._sink.subscribe_failed(channel)

    # The connection

    async def _set_up(self, connection: RedisConnection) -> None:
        await sign_in(connection, self._address, b"subscriber")
        # Each in a command of its own, for an ACL may allow the one and not the other.
        connection.send_subscribe(self._internal.probe)
        connection.send_subscribe(self._internal.control)
        connection.send_subscribe(self._internal.own_control)
        self._write_changes(connection)
        self._subscribe_to_key_events(connection, list(self._watched_keys))
        # Its reply comes behind those of all SUBSCRIBE commands: with it the connection is truly up.
        await connection.ping()

    def _came_up(self) -> None:
        self._schedule_flush()
        self._on_up()

    def _went_down(self) -> None:
        lost = self._subscriptions.disconnected()
        self._channels.clear()
        self._on_down(lost)

    def _schedule_flush(self) -> None:
        # Once in each turn of the reactor: a channel that comes and goes within it costs Redis nothing.
        if not self._flush_is_scheduled:
            self._flush_is_scheduled = True
            self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_is_scheduled = False
        if self.link.is_up and self.link.current is not None:
            self._write_changes(self.link.current)
            self._confirm_resubscribed()

    def _write_changes(self, connection: RedisConnection) -> None:
        added, removed = self._subscriptions.take_changes()
        names = [self._prefix + channel.encode() for channel in added]
        self._channels.update(zip(names, added, strict=True))
        for start in range(0, len(names), NAMES_PER_COMMAND):
            connection.send_subscribe(*names[start : start + NAMES_PER_COMMAND])
        names = [self._prefix + channel.encode() for channel in removed]
        for start in range(0, len(names), NAMES_PER_COMMAND):
            connection.send_unsubscribe(*names[start : start + NAMES_PER_COMMAND])
        for name in names:
            self._channels.pop(name, None)

    @staticmethod
    def _subscribe_to_key_events(connection: RedisConnection, names: list[bytes]) -> None:
        for start in range(0, len(names), NAMES_PER_COMMAND):
            connection.send_subscribe(*names[start : start + NAMES_PER_COMMAND])

    def _confirm_resubscribed(self) -> None:
        """Confirm channels that were unsubscribed and resubscribed before a flush.

        Nothing was written for them, so Redis sends no reply.
        """
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for channel in unconfirmed:
            if self._sink is not None and self._subscriptions.is_confirmed(channel):
                self._sink.subscribed(channel)
