"""One process of the relay: joins the hub, the broker and the clients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from random import Random

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.payload_type import PayloadType
from wsrelay.core.messaging.publications import ChannelEvent, Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.channel_subscriptions import ChannelSubscriptions
from wsrelay.engine.client import Client
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS
from wsrelay.engine.client_registry import ClientRegistry
from wsrelay.engine.client_services import Connection
from wsrelay.engine.control_receiver import ControlReceiver
from wsrelay.engine.credential_ends import CredentialEnds
from wsrelay.engine.emulation import Emulation
from wsrelay.engine.gap_notifier import GapNotifier
from wsrelay.engine.hub import Hub, Subscriber
from wsrelay.engine.inflow import Inflow, Pressure
from wsrelay.engine.lookups import Lookups
from wsrelay.engine.pending_credentials import DEFAULT_MAX_PENDING, PendingCredentials
from wsrelay.engine.presence import build_presence
from wsrelay.engine.publishing import Publisher
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.revocation import Revocation
from wsrelay.engine.revocation_lookups import RevocationLookups
from wsrelay.engine.stream_readers import StreamReaders
from wsrelay.engine.survey import Survey
from wsrelay.engine.switch import Switch
from wsrelay.engine.timers import TimerWheel
from wsrelay.engine.topic import Audience, BulkAudience
from wsrelay.interfaces import IAuthenticator, IBroker, IBrokerSink
from wsrelay.metrics.counters import Counters

__all__ = ["RELEASE_TIMEOUT_SECONDS", "Node"]

RELEASE_TIMEOUT_SECONDS = 0.4
"""How long a process that stops waits for the broker to take its members out; without it they end by themselves."""


@implementer(IBrokerSink)
class Node:
    """One process of the relay. Implements `wsrelay.engine.client.ClientServices`.

    Args:
        broker: Carries publications between processes; the node attaches itself as its sink.
        namespaces: The rules about channels.
        clock: Time, for deadlines and the end of the turn.
        authenticator: Authenticates and authorizes clients.
        rng: Randomness for what must not happen in step.
        counters: Where what happens is counted.
        rejections: Records rejected clients.
        now: The wall clock, in seconds since the epoch, by which credentials expire.
        max_pending_credentials: How many connected clients may not have sent their credential yet.
        count_connections: Returns the number of connections of this process, whatever their transport.
        name: What the operator may know this process by.
        make_bulk: See `Hub`. If None, subscribers are sent to one by one.

    Attributes:
        registry: The authenticated clients.
        pending_credentials: The clients whose credential is still to come.
        credential_ends: The ends of the clients' credentials.
        subscriptions: The channels of this process.
        inflow: Says when messages of clients may be published.
        lookups: Looks up what clients ask for.
        revocation_lookups: Looks up whether clients are revoked when they come.
        timers: The timers of all clients.
        survey: Asks all processes what they know, and replies for this one.
        emulation: The sessions of clients that send beside their connections.
        switch: Says whether websockets are on; has to be started.
        presence: The members of channels. If None, nobody asked for that, or the broker keeps none.
    """

    log = Logger()

    def __init__(
        self,
        broker: IBroker,
        namespaces: Namespaces,
        clock: IReactorTime,
        authenticator: IAuthenticator,
        *,
        rng: Random,
        counters: Counters,
        rejections: RejectionLog,
        now: Callable[[], float],
        max_pending_credentials: int = DEFAULT_MAX_PENDING,
        count_connections: Callable[[], int] = lambda: 0,
        name: str = "",
        make_bulk: Callable[[Audience], BulkAudience | None] | None = None,
    ) -> None:
        self.namespaces = namespaces
        self.clock = clock
        self.authenticator = authenticator
        self.counters = counters
        self.rejections = rejections
        self.now = now
        self.timers = TimerWheel(clock)
        self.inflow = Inflow(clock)
        self.registry = ClientRegistry()
        self.pending_credentials = PendingCredentials(self.timers, max_pending_credentials)
        self.credential_ends = CredentialEnds(self.timers, now)
        self._broker = broker
        self._hub = Hub(
            clock.callLater,
            clock.seconds,
            self._send_failed,
            self._on_pressure,
            self._policy,
            self._payload_check,
            self._left_out,
            self._internal_received,
            make_bulk or (lambda _audience: None),
        )
        self._publisher = Publisher(broker, namespaces)
        self.lookups = Lookups(broker, namespaces)
        self._gaps = GapNotifier(clock, rng, counters)
        # If None, the broker keeps no history.
        self._readers = (
            None
            if broker.history is None
            else StreamReaders(broker.history, self._hub, self._gaps, namespaces, clock, rng, counters)
        )
        self.subscriptions = ChannelSubscriptions(broker, self._hub, self._gaps, namespaces, clock, self._readers)
        self._revocation = Revocation(self.registry, broker.credentials, authenticator, self.timers)
        self.revocation_lookups = RevocationLookups(self.are_revoked, clock, AUTHENTICATE_TIMEOUT_SECONDS)
        self.survey = Survey(broker, self._hub, self.registry, clock, count_connections, name)
        self.emulation = Emulation(broker)
        self.switch = Switch(broker.switch, clock, rng)
        self._control = ControlReceiver(
            self.registry, self._revocation, self.survey, self.emulation, self.switch, counters, clock.seconds
        )
        self.presence = build_presence(broker, namespaces, clock, self.timers, rng, counters, self._hub.broadcast)
        broker.attach(self)

    @property
    def node_id(self) -> str:
        """The name of this process among those that share the broker."""
        return self.emulation.node_id

    @property
    def deliveries(self) -> int:
        """The number of messages handed to subscribers: one for each message and subscriber."""
        return self._hub.deliveries

    @property
    def watched_streams(self) -> int:
        """The number of channels with history whose streams are read."""
        return 0 if self._readers is None else len(self._readers)

    def client(self, connection: Connection) -> Client:
        """Make the client of a new connection, not yet opened."""
        return Client(self, connection)

    def post(self, channel: str, data: bytes, done: Callable[[Exception | None], None], info: bytes = b"") -> None:
        """Publish a client's message to every process; see `Publisher.post`."""
        self._publisher.post(channel, data, done, info)

    def are_revoked(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """Look up whether targets are revoked; see `ICredentialStore.are_revoked`.

        Returns:
            Fires with one bool for each target, in their order.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be looked up now.
        """
        return self._revocation.are_revoked(targets)

    def release_members(self) -> Deferred[None]:
        """Let go of what this process holds for all processes, while the broker still works.

        Returns:
            Fires with None when that is done or has failed, within `RELEASE_TIMEOUT_SECONDS`.
        """
        if self.presence is None:
            return succeed(None)

        def give_up(failure: Failure) -> None:
            failure.trap(DeferredTimeout, CancelledError)

        return self.presence.stop().addTimeout(RELEASE_TIMEOUT_SECONDS, self.clock).addErrback(give_up)

    def stop(self) -> None:
        """Stop every timer."""
        self._gaps.stop()
        self.survey.stop()
        self.switch.stop()
        self.timers.stop()
        self.inflow.stop()
        self.subscriptions.stop()
        if self._readers is not None:
            self._readers.stop()

    # IBrokerSink

    def publications_received(self, publications: Sequence[Publication]) -> None:
        """See `IBrokerSink.publications_received`."""
        self.counters.broker_messages += len(publications)
        self._hub.broadcast(publications if self._readers is None else self._readers.sort_out(publications))

    def subscribed(self, channel: str) -> None:
        """See `IBrokerSink.subscribed`."""
        if channel.startswith("$") and self.presence is not None:
            self.presence.confirmed(channel)
        else:
            self.subscriptions.confirmed(channel)

    def subscribe_failed(self, channel: str) -> None:
        """See `IBrokerSink.subscribe_failed`."""
        self.subscriptions.rejected(channel)

    def disconnected(self, channels: Collection[str]) -> None:
        """See `IBrokerSink.disconnected`."""
        if self.subscriptions.interrupted(channels):
            self.counters.broker_interruptions += 1

    def connected(self) -> None:
        """See `IBrokerSink.connected`. The switch may have been set before this process started, or meanwhile."""
        self.switch.look()

    def reconnected(self) -> None:
        """See `IBrokerSink.reconnected`. Control messages sent meanwhile did not arrive here."""
        self._revocation.disconnect_revoked()
        if self.presence is not None:
            self.presence.reconnected()

    def streams_changed(self, channels: Iterable[str], *, is_certain: bool = False) -> None:
        """See `IBrokerSink.streams_changed`."""
        if self._readers is not None:
            self._readers.changed(channels, is_certain=is_certain)

    def streams_connected(self) -> None:
        """See `IBrokerSink.streams_connected`."""
        if self._readers is not None:
            self._readers.connected()

    def streams_disconnected(self) -> None:
        """See `IBrokerSink.streams_disconnected`."""
        if self._readers is not None:
            self._readers.disconnected()

    def control_received(self, payload: bytes) -> None:
        """See `IBrokerSink.control_received`."""
        self._control.received(payload)

    def pressure_changed(self, *, is_high: bool) -> None:
        """See `IBrokerSink.pressure_changed`."""
        self.inflow.set_pressure(Pressure.BROKER, is_high=is_high)

    # What the hub asks

    def _on_pressure(self, is_behind: bool) -> None:
        if is_behind:
            self._broker.pause()
        else:
            self._broker.resume()
        self.inflow.set_pressure(Pressure.FAN_OUT, is_high=is_behind)
        if self._readers is not None:
            # Reading is pulling: what is not read stays in Redis.
            (self._readers.pause if is_behind else self._readers.resume)()

    def _policy(self, channel: str) -> SlowPolicy:
        namespace = self.namespaces.rule(channel)
        return SlowPolicy.CLOSE if namespace is None else namespace.slow_consumer_policy

    def _payload_check(self, channel: str) -> Callable[[bytes], bool] | None:
        namespace = self.namespaces.rule(channel)
        return None if namespace is None else namespace.payload_check

    def _left_out(self, channel: str, count: int) -> None:
        namespace = self.namespaces.rule(channel)
        if namespace is not None and namespace.payload is PayloadType.JSON:
            self.counters.publications_not_json += count
            self.rejections.record_not_json(channel)
        else:
            self.counters.publications_not_text += count
            self.rejections.record_not_text(channel)

    def _internal_received(self, event: ChannelEvent) -> None:
        if self.presence is not None:
            self.presence.received(event)

    def _send_failed(self, subscriber: Subscriber) -> None:
        self.counters.send_failures += 1
        self.log.failure("a connection failed while a message was sent to it; closing it")
        try:
            subscriber.close(Disconnect.INTERNAL_ERROR)
        except Exception:  # noqa: BLE001 -- the fan-out must go on
            self.log.failure("and closing it failed too")
