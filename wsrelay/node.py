"""Joins the hub, the broker and the clients of this process.

The node counts who is interested in a channel: the first interest subscribes the broker, and a while after the last
one is gone it unsubscribes, so that a page reload costs Redis nothing. A client is only told "you are subscribed"
after the broker has confirmed it: what is published after that moment reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random, SystemRandom
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.core.channels import Namespaces
from wsrelay.core.closing import Closing
from wsrelay.core.counters import Counters
from wsrelay.core.errors import BrokerUnavailable, ProtocolViolation, RefusedError
from wsrelay.core.handshake import Handshake, Refusal
from wsrelay.core.outbox import SlowPolicy
from wsrelay.core.publication import Publication
from wsrelay.core.session import Accept, Effect, Emit, Listen, Refuse, Session, Unlisten
from wsrelay.gaps import GapTeller
from wsrelay.hub import Hub, Subscriber
from wsrelay.interfaces import IBroker, IBrokerSink, IDialect

__all__ = ["Client", "Connection", "Node"]

SUBSCRIBE_TIMEOUT_SECONDS = 5.0
"""How long a handshake waits for the broker's confirmation before it is answered with 503."""

LINGER_SECONDS = 5.0
"""How long a channel that nobody listens to stays subscribed."""


class Connection(Protocol):
    """What carries a client."""

    @property
    def dialect(self) -> IDialect:
        """The wire language spoken on it."""

    @property
    def subscriber(self) -> Subscriber:
        """What the hub sends to; stays the same."""

    def close(self, closing: Closing) -> None:
        """Say goodbye with this closing, and end the connection."""

    def compress(self) -> None:
        """Agree on compression, if the client offered it; called before `accept` or not at all."""

    def accept(self) -> None:
        """Complete the handshake; frames may be sent from here on."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with an HTTP status and end the connection."""


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
        rng: Randomness for what must not happen in step.
        counters: Where what happens is counted.
    """

    log = Logger()

    def __init__(
        self,
        broker: IBroker,
        namespaces: Namespaces,
        clock: IReactorTime,
        rng: Random | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.counters = counters or Counters()
        self._broker = broker
        self._namespaces = namespaces
        self._clock = clock
        self._hub = Hub(clock.callLater, clock.seconds, self._send_failed, broker.hold, self._policy)
        self._gaps = GapTeller(clock, rng or SystemRandom(), self.counters)
        self._interests: dict[str, _Interest] = {}
        # Channels without interest and when to give them up, oldest first: one timer serves them all.
        self._lingering: dict[str, float] = {}
        self._sweep: IDelayedCall | None = None
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
        waiting.addTimeout(SUBSCRIBE_TIMEOUT_SECONDS, self._clock, self._not_confirmed)
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
            self._lingering[channel] = self._clock.seconds() + LINGER_SECONDS
            self._schedule_sweep()

    def compresses(self, channel: str) -> bool:
        """Whether the messages of a channel are compressed for clients that can take it."""
        namespace = self._namespaces.rule(channel)
        return namespace is not None and bool(namespace.compress)

    def publish(self, channel: str, payload: bytes) -> Deferred[None]:
        """Publish a message to every process; fails with `BrokerUnavailable`."""
        return self._broker.publish(channel, payload)

    # IBrokerSink

    def deliver(self, publication: Publication) -> None:
        """See `IBrokerSink.deliver`."""
        self.counters.relayed += 1
        self._hub.publish(publication)

    def deliver_all(self, publications: Sequence[Publication]) -> None:
        """See `IBrokerSink.deliver_all`."""
        self.counters.relayed += len(publications)
        self._hub.publish_all(publications)

    def confirmed(self, channel: str) -> None:
        """See `IBrokerSink.confirmed`."""
        interest = self._interests.get(channel)
        if interest is None:
            return
        interest.confirmed = True
        if interest.broken:
            interest.broken = False
            namespace = self._namespaces.rule(channel)
            if namespace is not None and namespace.tell_gaps:
                self._gaps.tell(self._hub.audience(channel))
        # One by one, because telling one client may make another one leave.
        while interest.waiting:
            subscriber = next(iter(interest.waiting))
            deferred = interest.waiting.pop(subscriber)
            if not deferred.called:
                # In the hub before anyone is told, and both in one turn: not one message falls between.
                self._hub.add(subscriber, channel)
                deferred.callback(None)

    def refused(self, channel: str) -> None:
        """See `IBrokerSink.refused`: nobody is left waiting, or listening to nothing."""
        interest = self._interests.get(channel)
        if interest is None:
            return
        while interest.waiting:
            deferred = interest.waiting.pop(next(iter(interest.waiting)))
            if not deferred.called:
                deferred.errback(BrokerUnavailable("the broker refuses the channel"))
        self._gaps.tell(self._hub.audience(channel))

    def interrupted(self) -> None:
        """See `IBrokerSink.interrupted`."""
        if any(interest.confirmed for interest in self._interests.values()):
            self.counters.interruptions += 1
        for interest in self._interests.values():
            interest.broken = interest.broken or interest.confirmed
            interest.confirmed = False

    # Private

    @staticmethod
    def _not_confirmed(_failure: object, seconds: float) -> None:
        raise BrokerUnavailable(f"no confirmation within {seconds} seconds")

    def _policy(self, channel: str) -> SlowPolicy:
        namespace = self._namespaces.rule(channel)
        return SlowPolicy.CLOSE if namespace is None else namespace.slow

    def _schedule_sweep(self) -> None:
        if self._sweep is None and self._lingering:
            due = next(iter(self._lingering.values()))
            self._sweep = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._give_up)

    def _give_up(self) -> None:
        self._sweep = None
        now = self._clock.seconds()
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
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _send_failed(self, subscriber: Subscriber) -> None:
        self.counters.failures += 1
        self.log.failure("a connection failed while a message was sent to it; closing it")
        try:
            subscriber.close(Closing.INTERNAL_ERROR)
        except Exception:  # noqa: BLE001 -- the fan-out must go on
            self.log.failure("and closing it failed too")


class Client:
    """One client: its session, and the hands that carry out what the session decides.

    Args:
        node: The node it belongs to.
        connection: Its socket.
        session: Its state.
    """

    log = Node.log

    __slots__ = ("_connection", "_node", "_session")

    def __init__(self, node: Node, connection: Connection, session: Session) -> None:
        self._node = node
        self._connection = connection
        self._session = session

    def open(self, handshake: Handshake) -> None:
        """The client knocked: its connection's `accept` or `refuse` is called, now or within a deadline."""
        try:
            subscriptions = self._dialect.open(handshake)
        except RefusedError as error:
            self._connection.refuse(error.refusal)
        else:
            if subscriptions and all(self._node.compresses(each.channel) for each in subscriptions):
                self._connection.compress()
            self._perform(self._session.open(subscriptions))

    def received(self, payload: bytes) -> None:
        """The client sent a message."""
        try:
            self._node.counters.received += 1
            messages = self._dialect.decode(payload)
        except ProtocolViolation as violation:
            self._connection.close(violation.closing)
        else:
            self._perform(self._session.received(messages))

    def lost(self) -> None:
        """The connection is gone; calling it again does nothing."""
        self._perform(self._session.lost())

    @property
    def _dialect(self) -> IDialect:
        return self._connection.dialect

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Listen(channel):
                    outcome = self._node.subscribe(self._connection.subscriber, channel)
                    outcome.addCallback(lambda _: self._perform(self._session.listening()))
                    outcome.addErrback(self._feed_failure, self._session.not_listening)
                    outcome.addErrback(self._broken)
                case Emit(channel, payload):
                    outcome = self._node.publish(channel, payload)
                    outcome.addErrback(self._feed_failure, self._session.not_emitted)
                    outcome.addErrback(self._broken)
                case Unlisten(channel):
                    self._node.unsubscribe(self._connection.subscriber, channel)
                case Accept():
                    self._connection.accept()
                case Refuse(refusal):
                    self._connection.refuse(refusal)
                case _:  # Close, the one that is left; mypy sees to that
                    self._connection.close(effect.closing)

    def _feed_failure(self, failure: Failure, step: Callable[[], list[Effect]]) -> None:
        failure.trap(BrokerUnavailable, CancelledError)
        self._perform(step())

    def _broken(self, failure: Failure) -> None:
        self.log.failure("a client's request failed; closing its connection", failure)
        self._connection.close(Closing.INTERNAL_ERROR)
