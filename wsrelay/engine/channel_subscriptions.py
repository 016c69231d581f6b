"""The channels of this process: how many clients want each, whether the broker has confirmed it, and what was missed.

The first client of a channel subscribes the broker, and a while after the last one is gone it unsubscribes, so that a
page reload costs Redis nothing. A client is subscribed only after the broker has confirmed the channel: what is
published after that moment reaches it.
"""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.publications import Gap, GapReason
from wsrelay.core.messaging.subscription_start import START, SubscriptionStart
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.gap_notifier import GapNotifier
from wsrelay.engine.hub import Hub, Subscriber
from wsrelay.interfaces import IBroker

__all__ = ["CHANNEL_LINGER_SECONDS", "SUBSCRIBE_TIMEOUT_SECONDS", "ChannelSubscriptions"]

SUBSCRIBE_TIMEOUT_SECONDS = 5.0
"""How long a client waits for the broker's confirmation before its subscription fails."""

CHANNEL_LINGER_SECONDS = 5.0
"""How long a channel without clients stays subscribed."""


_AWAY = SubscriptionStart(gap=GapReason.NO_HISTORY)
"""The beginning of a subscription to a channel without history by a client that was away."""


class _Channel:
    """The needs of this process on one channel.

    Attributes:
        count: How many clients want it.
        is_confirmed: Whether the broker delivers it.
        is_rejected: Whether the broker has rejected it, and does not try it again by itself.
        had_gap: Whether it was confirmed once and interrupted since: its subscribers may have missed something.
        waiting: Clients that wait for the confirmation.
    """

    __slots__ = ("count", "had_gap", "is_confirmed", "is_rejected", "waiting")

    def __init__(self) -> None:
        self.count = 0
        self.is_confirmed = False
        self.is_rejected = False
        self.had_gap = False
        self.waiting: dict[Subscriber, tuple[Encoding, SubscriptionStart, Deferred[SubscriptionStart]]] = {}


class ChannelSubscriptions:
    """Subscribes clients to channels, and this process to the broker.

    Args:
        broker: Carries publications.
        hub: The registry of subscribers.
        gaps: Tells subscribers of possible message loss.
        namespaces: The rules about channels.
        clock: Time, for deadlines and the linger.
    """

    def __init__(
        self, broker: IBroker, hub: Hub, gaps: GapNotifier, namespaces: Namespaces, clock: IReactorTime
    ) -> None:
        self._broker = broker
        self._hub = hub
        self._gaps = gaps
        self._namespaces = namespaces
        self._clock = clock
        self._channels: dict[str, _Channel] = {}
        # Channels without clients and when to unsubscribe from them, oldest first: one timer serves them all.
        self._lingering: dict[str, float] = {}
        self._sweep: IDelayedCall | None = None

    def __len__(self) -> int:
        """Return how many channels this process is subscribed to, or wants to be."""
        return len(self._channels)

    def subscribe(
        self, subscriber: Subscriber, channel: str, encoding: Encoding, since: str | None = None, newest: int = 0
    ) -> Deferred[SubscriptionStart]:
        """Subscribe a client to a channel. Either way `unsubscribe` is owed once.

        Args:
            subscriber: The way out to its connection.
            channel: The channel's name.
            encoding: What is made of the channel's events for it.
            since: The position to resume from, as the client sent it. If None, it does not resume.
            newest: How many of the newest publications the client wants first, where the channel has history.

        Returns:
            Fires with the start of the subscription when everything published from then on will reach the client;
            within `SUBSCRIBE_TIMEOUT_SECONDS`.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) The broker did not confirm the channel in time, or rejects it.
        """
        wanted = self._channels.get(channel)
        if wanted is None:
            wanted = self._channels[channel] = _Channel()
            wanted.count = 1
            self._broker.subscribe([channel])
        else:
            wanted.count += 1
            self._lingering.pop(channel, None)
            if wanted.is_rejected:
                # The operator may have changed the rules of Redis since.
                wanted.is_rejected = False
                self._broker.subscribe([channel])
        start = START if since is None or not self._notifies_gaps(channel) else _AWAY
        if wanted.is_confirmed:
            self._hub.add(subscriber, channel, encoding)
            return succeed(start)
        confirmation: Deferred[SubscriptionStart] = Deferred()
        wanted.waiting[subscriber] = encoding, start, confirmation
        confirmation.addTimeout(SUBSCRIBE_TIMEOUT_SECONDS, self._clock, _not_confirmed)
        return confirmation

    def unsubscribe(self, subscriber: Subscriber, channel: str) -> None:
        """Unsubscribe a client from a channel; the counterpart of one call of `subscribe`."""
        self._hub.remove(subscriber, channel)
        self._gaps.withdraw(subscriber, channel)
        wanted = self._channels[channel]
        wanted.count -= 1
        waiting = wanted.waiting.pop(subscriber, None)
        if waiting is not None:
            waiting[-1].cancel()
        if wanted.count == 0:
            self._lingering[channel] = self._clock.seconds() + CHANNEL_LINGER_SECONDS
            self._schedule_sweep()

    def stop(self) -> None:
        """Stop the timer. Channels that linger stay subscribed until the broker stops."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    # What the broker reports: see `IBrokerSink`

    def confirmed(self, channel: str) -> None:
        """Take the confirmation of a channel."""
        wanted = self._channels.get(channel)
        if wanted is None:
            return
        wanted.is_confirmed = True
        if wanted.had_gap:
            wanted.had_gap = False
            if self._notifies_gaps(channel):
                self._hub.broadcast((Gap(channel, GapReason.CONNECTION_LOST),))
                self._gaps.notify(channel, self._hub.subscribers_without_gap_event(channel))
        # One by one, because telling one client may make another one leave.
        while wanted.waiting:
            subscriber = next(iter(wanted.waiting))
            encoding, start, confirmation = wanted.waiting.pop(subscriber)
            if not confirmation.called:
                # In the hub before anyone is told, and both in one turn: not one message falls between.
                self._hub.add(subscriber, channel, encoding)
                confirmation.callback(start)

    def rejected(self, channel: str) -> None:
        """Take the rejection of a channel: no client is left waiting, or subscribed to nothing."""
        wanted = self._channels.get(channel)
        if wanted is None:
            return
        wanted.is_rejected = True
        while wanted.waiting:
            _encoding, _start, confirmation = wanted.waiting.pop(next(iter(wanted.waiting)))
            if not confirmation.called:
                confirmation.errback(BrokerUnavailable("the broker rejects the channel"))
        self._gaps.notify(channel, self._hub.subscribers(channel))

    def interrupted(self, channels: Collection[str]) -> bool:
        """Take the loss of confirmations.

        Returns:
            True if any of these channels was confirmed, so that messages may be lost.
        """
        lost = [self._channels[channel] for channel in channels if channel in self._channels]
        was_confirmed = any(wanted.is_confirmed for wanted in lost)
        for wanted in lost:
            wanted.had_gap = wanted.had_gap or wanted.is_confirmed
            wanted.is_confirmed = False
        return was_confirmed

    def _notifies_gaps(self, channel: str) -> bool:
        namespace = self._namespaces.rule(channel)
        return namespace is not None and namespace.notify_gaps

    def _schedule_sweep(self) -> None:
        if self._sweep is None and self._lingering:
            due = next(iter(self._lingering.values()))
            self._sweep = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._unsubscribe_lingering)

    def _unsubscribe_lingering(self) -> None:
        self._sweep = None
        now = self._clock.seconds()
        over = []
        for channel, due in self._lingering.items():
            if due > now:
                break
            over.append(channel)
        for channel in over:
            del self._lingering[channel], self._channels[channel]
        if over:
            self._broker.unsubscribe(over)
        self._schedule_sweep()


def _not_confirmed(_failure: object, seconds: float) -> SubscriptionStart:
    raise BrokerUnavailable(f"no confirmation within {seconds:g} seconds")
