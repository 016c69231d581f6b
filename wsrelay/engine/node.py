"""Joins the hub, the broker and the clients of this process.

The node counts who is interested in a channel: the first interest subscribes the broker, and a while after the last
one is gone it unsubscribes, so that a page reload costs Redis nothing. A client is only told "you are subscribed"
after the broker has confirmed it: what is published after that moment reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random, SystemRandom

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.control import read_control
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.publications import Publication, PublishResult
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, ClaimError
from wsrelay.core.sessions.session import Session
from wsrelay.engine.client import Client, Connection
from wsrelay.engine.client_registry import ClientRegistry
from wsrelay.engine.gap_notifier import GapNotifier
from wsrelay.engine.hub import Hub, Subscriber
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.timers import TimerWheel, WheelTimer
from wsrelay.interfaces import IAuthenticator, IBroker, IBrokerSink, ICredentialStore
from wsrelay.metrics.counters import Counters

__all__ = ["Node"]

SUBSCRIBE_TIMEOUT_SECONDS = 5.0
"""How long a handshake waits for the broker's confirmation before it is answered with 503."""

LINGER_SECONDS = 5.0
"""How long a channel that nobody listens to stays subscribed."""

TARGETS_PER_QUESTION = 500
"""How many users are asked about at once whether they have been denied while the broker was away."""

MOST_AWAITED = 1000
"""As many clients may be in that have not shown yet who they are; whoever builds on a node may say otherwise."""

LOOK_AGAIN_SECONDS = 5.0
"""After how long that is asked again, where there was no answer."""


class _Interest:
    """What this process wants of one channel."""

    __slots__ = ("broken", "confirmed", "count", "waiting")

    def __init__(self) -> None:
        self.count = 0
        self.confirmed = False
        # Confirmed once, and interrupted since: who listened all the time may have missed something.
        self.broken = False
        self.waiting: dict[Subscriber, Deferred[None]] = {}


@implementer(IBrokerSink)
class Node:
    """One process of the relay.

    Args:
        broker: Carries publications between processes; the node attaches itself as its sink.
        namespaces: The rules about channels.
        clock: Time, for deadlines and the end of the turn.
        authenticator: Says who clients are.
        rng: Randomness for what must not happen in step.
        counters: Where what happens is counted.
        rejections: Where those who are turned away are noted. None: in one of its own.
        now: The wall clock, in seconds since the epoch, by which credentials end. None: the clock is one.

    Attributes:
        wheel: The timers of all clients.
        registry: The clients that are known.
        max_pending_credentials: How many clients may be in that have not shown yet who they are.
    """

    log = Logger()

    def __init__(
        self,
        broker: IBroker,
        namespaces: Namespaces,
        clock: IReactorTime,
        authenticator: IAuthenticator,
        rng: Random | None = None,
        counters: Counters | None = None,
        rejections: RejectionLog | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.counters = counters or Counters()
        self.authenticator = authenticator
        self.clock = clock
        self.now = now or clock.seconds
        self.wheel = TimerWheel(clock)
        self.registry = ClientRegistry()
        self.max_pending_credentials = MOST_AWAITED
        self._awaited: dict[Client, None] = {}
        self.rejections = rejections or RejectionLog(self.counters, clock.seconds)
        self._broker = broker
        self._namespaces = namespaces
        self._hub = Hub(clock.callLater, clock.seconds, self._send_failed, self._on_pressure, self._policy)
        self._gaps = GapNotifier(clock, rng or SystemRandom(), self.counters)
        self._interests: dict[str, _Interest] = {}
        # Channels without interest and when to give them up, oldest first: one timer serves them all.
        self._lingering: dict[str, float] = {}
        self._sweep: IDelayedCall | None = None
        self._look_again: WheelTimer | None = None
        broker.attach(self)

    @property
    def broker(self) -> IBroker:
        """The broker of this node."""
        return self._broker

    @property
    def channels(self) -> int:
        """How many channels this process is interested in, or was a moment ago."""
        return len(self._interests)

    @property
    def deliveries(self) -> int:
        """How many messages were handed to how many listeners, multiplied and added up."""
        return self._hub.deliveries

    def client(self, connection: Connection) -> Client:
        """The client behind a new connection, not yet opened."""
        return Client(self, connection, Session(self._namespaces))

    def subscribe(self, subscriber: Subscriber, channel: str) -> Deferred[None]:
        """Let a subscriber hear a channel; fires when everything published from then on will reach it.

        Fails with `BrokerUnavailable` after `SUBSCRIBE_TIMEOUT_SECONDS`. Either way `unsubscribe` is owed once.
        """
        interest = self._interests.get(channel)
        if interest is None:
            interest = self._interests[channel] = _Interest()
            interest.count = 1
            self._broker.subscribe([channel])
        else:
            interest.count += 1
            self._lingering.pop(channel, None)
        if interest.confirmed:
            self._hub.add(subscriber, channel)
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        interest.waiting[subscriber] = waiting
        waiting.addTimeout(SUBSCRIBE_TIMEOUT_SECONDS, self.clock, self._not_confirmed)
        return waiting

    def unsubscribe(self, subscriber: Subscriber, channel: str) -> None:
        """Let a subscriber hear a channel no more; pays what one call of `subscribe` owes."""
        self._hub.remove(subscriber, channel)
        interest = self._interests[channel]
        interest.count -= 1
        waiting = interest.waiting.pop(subscriber, None)
        if waiting is not None:
            waiting.cancel()
        if interest.count == 0:
            self._lingering[channel] = self.clock.seconds() + LINGER_SECONDS
            self._schedule_sweep()

    def compresses(self, channel: str) -> bool:
        """Whether the messages of a channel are compressed for clients that can take it."""
        namespace = self._namespaces.rule(channel)
        return namespace is not None and bool(namespace.compress)

    def publish(self, channel: str, payload: bytes) -> Deferred[PublishResult]:
        """Publish a message to every process; fails with `BrokerUnavailable`."""
        return self._broker.publish(channel, payload)

    def await_credential(self, client: Client) -> None:
        """A client is in that nobody knows; if it is one too many the one that has had the most time has to go."""
        if len(self._awaited) >= self.max_pending_credentials:
            next(iter(self._awaited)).give_up()
        self._awaited[client] = None

    def credential_came(self, client: Client) -> None:
        """It has shown its credential, or gone."""
        self._awaited.pop(client, None)

    def are_revoked(self, names: Sequence[str]) -> Deferred[Sequence[bool]]:
        """Whether clients of these names are to be let in no more; fails with `BrokerUnavailable`."""
        store: ICredentialStore = self._broker.credentials
        return store.are_revoked(names)

    # IBrokerSink

    def publications_received(self, publications: Sequence[Publication]) -> None:
        """See `IBrokerSink.publications_received`."""
        self.counters.broker_messages += len(publications)
        self._hub.publish_all(publications)

    def subscribed(self, channel: str) -> None:
        """See `IBrokerSink.subscribed`."""
        interest = self._interests.get(channel)
        if interest is None:
            return
        interest.confirmed = True
        if interest.broken:
            interest.broken = False
            namespace = self._namespaces.rule(channel)
            if namespace is not None and namespace.notify_gaps:
                self._gaps.notify(self._hub.audience(channel))
        # One by one, because telling one client may make another one leave.
        while interest.waiting:
            subscriber = next(iter(interest.waiting))
            deferred = interest.waiting.pop(subscriber)
            if not deferred.called:
                # In the hub before anyone is told, and both in one turn: not one message falls between.
                self._hub.add(subscriber, channel)
                deferred.callback(None)

    def subscribe_failed(self, channel: str) -> None:
        """See `IBrokerSink.subscribe_failed`: nobody is left waiting, or listening to nothing."""
        interest = self._interests.get(channel)
        if interest is None:
            return
        while interest.waiting:
            deferred = interest.waiting.pop(next(iter(interest.waiting)))
            if not deferred.called:
                deferred.errback(BrokerUnavailable("the broker refuses the channel"))
        self._gaps.notify(self._hub.audience(channel))

    def disconnected(self, channels: Collection[str]) -> None:
        """See `IBrokerSink.disconnected`."""
        lost = [self._interests[channel] for channel in channels if channel in self._interests]
        if any(interest.confirmed for interest in lost):
            self.counters.broker_interruptions += 1
        for interest in lost:
            interest.broken = interest.broken or interest.confirmed
            interest.confirmed = False

    def reconnected(self) -> None:
        """See `IBrokerSink.reconnected`: what the application told meanwhile was told to nobody here."""
        Deferred.fromCoroutine(self._dismiss_denied()).addErrback(self._not_dismissed)

    def control_received(self, payload: bytes) -> None:
        """See `IBrokerSink.control_received`."""
        try:
            disconnect = read_control(payload)
        except ClaimError as error:
            self.log.warn("a control message means nothing: {why}", why=str(error))
            return
        self.authenticator.clear_cache()
        count = self.registry.dismiss(disconnect.target, disconnect.disconnect)
        kind = disconnect.target.partition(":")[0]
        self.log.info("disconnecting {count} clients of one {kind}", count=count, kind=kind)

    # Private

    async def _dismiss_denied(self) -> None:
        names = self.registry.names()
        for start in range(0, len(names), TARGETS_PER_QUESTION):
            some = names[start : start + TARGETS_PER_QUESTION]
            for name, is_denied in zip(some, await self.are_revoked(some), strict=True):
                if is_denied:
                    self.registry.dismiss(name, Disconnect.REVOKED)

    def _not_dismissed(self, failure: Failure) -> None:
        if failure.check(BrokerUnavailable) is None:
            self.log.failure("looking for clients that were denied meanwhile failed", failure)
        # Nobody stays because the broker had enough to do, or went away without an interruption of its own.
        if self._look_again is not None:
            self._look_again.cancel()
        self._look_again = self.wheel.call_later(LOOK_AGAIN_SECONDS, self.reconnected)

    @staticmethod
    def _not_confirmed(_failure: object, seconds: float) -> None:
        raise BrokerUnavailable(f"no confirmation within {seconds} seconds")

    def _on_pressure(self, is_behind: bool) -> None:
        if is_behind:
            self._broker.pause()
        else:
            self._broker.resume()

    def _policy(self, channel: str) -> SlowPolicy:
        namespace = self._namespaces.rule(channel)
        return SlowPolicy.CLOSE if namespace is None else namespace.slow_consumer_policy

    def _schedule_sweep(self) -> None:
        if self._sweep is None and self._lingering:
            due = next(iter(self._lingering.values()))
            self._sweep = self.clock.callLater(max(0.0, due - self.clock.seconds()), self._give_up)

    def _give_up(self) -> None:
        self._sweep = None
        now = self.clock.seconds()
        over = []
        for channel, due in self._lingering.items():
            if due > now:
                break
            over.append(channel)
        for channel in over:
            del self._lingering[channel], self._interests[channel]
        if over:
            self._broker.unsubscribe(over)
        self._schedule_sweep()

    def stop(self) -> None:
        """Forget what lingers: no timer is left."""
        self._gaps.stop()
        self.wheel.stop()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _send_failed(self, subscriber: Subscriber) -> None:
        self.counters.send_failures += 1
        self.log.failure("a connection failed while a message was sent to it; closing it")
        try:
            subscriber.close(Disconnect.INTERNAL_ERROR)
        except Exception:  # noqa: BLE001 -- the fan-out must go on
            self.log.failure("and closing it failed too")
