"""The channels of this process: how many clients want each, whether the broker has confirmed it, and what was missed.

The first client of a channel subscribes the broker, and a while after the last one is gone it unsubscribes, so that a
page reload costs Redis nothing. A client is subscribed only after the broker has confirmed the channel: what is
published after that moment reaches it.
"""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.publications import Gap, GapReason
from wsrelay.core.messaging.subscription_start import START, SubscriptionStart
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.channel_joins import ChannelJoins
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.gap_notifier import GapNotifier
from wsrelay.engine.hub import Hub, Subscriber
from wsrelay.engine.stream_readers import StreamReaders
from wsrelay.interfaces import IBroker

__all__ = ["CHANNEL_LINGER_SECONDS", "SUBSCRIBE_TIMEOUT_SECONDS", "ChannelSubscriptions"]

SUBSCRIBE_TIMEOUT_SECONDS = 5.0
"""How long a client waits for the broker's confirmation before its subscription fails."""

CHANNEL_LINGER_SECONDS = 5.0
"""How long a channel without clients stays subscribed."""


_AWAY = SubscriptionStart(gap=GapReason.NO_HISTORY)
"""The beginning of a subscription to a channel without history by a client that was away."""


class _Waiting:
    """A client that is not subscribed yet.

    Attributes:
        encoding: What is made of the channel's events for it.
        since: The position to resume from. If None, it does not resume.
        newest: How many of the newest publications it wants first.
        outcome: Fires with the start of its subscription.
        joining: Fires with its start, which is being looked for in the channel's stream. If None, it is not yet.
    """

    __slots__ = ("encoding", "joining", "newest", "outcome", "since")

    def __init__(self, encoding: Encoding, since: str | None, newest: int) -> None:
        self.encoding = encoding
        self.since = since
        self.newest = newest
        self.outcome: Deferred[SubscriptionStart] = Deferred(lambda _outcome: self.end())
        self.joining: Deferred[None] | None = None

    def end(self) -> None:
        """Read nothing for it any more: it has left, or waited too long."""
        # Not by an errback of the outcome: those of whoever has asked come before it, and leave it nothing to do.
        if self.joining is not None:
            self.joining.cancel()


class _Channel:
    """The needs of this process on one channel.

    Attributes:
        count: How many clients want it.
        is_confirmed: Whether the broker delivers it.
        is_rejected: Whether the broker has rejected it, and does not try it again by itself.
        had_gap: Whether it was confirmed once and interrupted since: its subscribers may have missed something.
        joins: Finds where clients begin in its stream. If None, it keeps no history.
        waiting: Clients that are not subscribed yet.
    """

    __slots__ = ("count", "had_gap", "is_confirmed", "is_rejected", "joins", "waiting")

    def __init__(self, joins: ChannelJoins | None) -> None:
        self.count = 0
        self.is_confirmed = False
        self.is_rejected = False
        self.had_gap = False
        self.joins = joins
        self.waiting: dict[Subscriber, _Waiting] = {}


class ChannelSubscriptions:
    """Subscribes clients to channels, and this process to the broker.

    Args:
        broker: Carries publications.
        hub: The registry of subscribers.
        gaps: Tells subscribers of possible message loss.
        namespaces: The rules about channels.
        clock: Time, for deadlines and the linger.
        readers: Reads the streams of channels with history. If None, the broker keeps none.
    """

    def __init__(
        self,
        broker: IBroker,
        hub: Hub,
        gaps: GapNotifier,
        namespaces: Namespaces,
        clock: IReactorTime,
        readers: StreamReaders | None = None,
    ) -> None:
        self._broker = broker
        self._hub = hub
        self._gaps = gaps
        self._namespaces = namespaces
        self._clock = clock
        self._readers = readers
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
        start = self.subscribe_at_once(subscriber, channel, encoding, since)
        if start is not None:
            return succeed(start)
        wanted = self._channels.get(channel)
        if wanted is None:
            wanted = self._channels[channel] = _Channel(self._open_stream(channel))
            wanted.count = 1
            self._broker.subscribe([channel])
        else:
            wanted.count += 1
            self._lingering.pop(channel, None)
            if wanted.is_rejected:
                # The operator may have changed the rules of Redis since.
                wanted.is_rejected = False
                self._broker.subscribe([channel])
        if wanted.is_confirmed and wanted.joins is None:
            self._hub.add(subscriber, channel, encoding)
            return succeed(self._plain_start(channel, since))
        waiting = wanted.waiting[subscriber] = _Waiting(encoding, since, newest)
        if wanted.is_confirmed:
            self._join(wanted, subscriber, channel)
        if not waiting.outcome.called:
            waiting.outcome.addTimeout(SUBSCRIBE_TIMEOUT_SECONDS, self._clock, _not_confirmed)
        return waiting.outcome

    def subscribe_at_once(
        self, subscriber: Subscriber, channel: str, encoding: Encoding, since: str | None = None
    ) -> SubscriptionStart | None:
        """Subscribe a client to a channel for which nobody has to be asked. See `subscribe` for the arguments.

        Returns:
            The start of the subscription: `unsubscribe` is owed once. If None, nothing was done, because the broker has
            not confirmed the channel or the start has to be looked for in its stream.
        """
        wanted = self._channels.get(channel)
        if wanted is None or not wanted.is_confirmed or wanted.is_rejected or wanted.joins is not None:
            return None
        wanted.count += 1
        if self._lingering:
            self._lingering.pop(channel, None)
        self._hub.add(subscriber, channel, encoding)
        return self._plain_start(channel, since)

    def unsubscribe(self, subscriber: Subscriber, channel: str) -> None:
        """Unsubscribe a client from a channel; the counterpart of one call of `subscribe`."""
        self._hub.remove(subscriber, channel)
        self._gaps.withdraw(subscriber, channel)
        wanted = self._channels[channel]
        wanted.count -= 1
        waiting = wanted.waiting.pop(subscriber, None)
        if waiting is not None:
            waiting.outcome.cancel()
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
        for subscriber in list(wanted.waiting):
            if subscriber in wanted.waiting:
                self._join(wanted, subscriber, channel)

    def rejected(self, channel: str) -> None:
        """Take the rejection of a channel: no client is left waiting, or subscribed to nothing."""
        wanted = self._channels.get(channel)
        if wanted is None:
            return
        wanted.is_rejected = True
        while wanted.waiting:
            waiting = wanted.waiting.pop(next(iter(wanted.waiting)))
            if not waiting.outcome.called:
                waiting.outcome.errback(BrokerUnavailable("the broker rejects the channel"))
            waiting.end()
        self._gaps.notify(channel, self._hub.subscribers(channel))

    def interrupted(self, channels: Collection[str]) -> bool:
        """Take the loss of confirmations.

        Returns:
            True if any of these channels was confirmed, so that messages may be lost.
        """
        lost = [self._channels[channel] for channel in channels if channel in self._channels]
        was_confirmed = any(wanted.is_confirmed for wanted in lost)
        for wanted in lost:
            # What is in a stream is read when the connection is back, and its reader finds out if anything is missing.
            wanted.had_gap = wanted.had_gap or (wanted.is_confirmed and wanted.joins is None)
            wanted.is_confirmed = False
        return was_confirmed

    def _open_stream(self, channel: str) -> ChannelJoins | None:
        namespace = self._namespaces.rule(channel)
        if self._readers is None or namespace is None or not namespace.has_history:
            return None
        return ChannelJoins(self._readers.open(channel))

    def _plain_start(self, channel: str, since: str | None) -> SubscriptionStart:
        return START if since is None or not self._notifies_gaps(channel) else _AWAY

    def _join(self, wanted: _Channel, subscriber: Subscriber, channel: str) -> None:
        """Add a waiting client to the hub, at once or when its start has been found in the channel's stream."""
        waiting = wanted.waiting[subscriber]
        if waiting.joining is not None or waiting.outcome.called:
            return

        def joined(start: SubscriptionStart) -> None:
            if wanted.waiting.get(subscriber) is waiting and not waiting.outcome.called:
                del wanted.waiting[subscriber]
                # In the hub before anyone is told, and both in one turn: not one message falls between.
                self._hub.add(subscriber, channel, waiting.encoding)
                waiting.outcome.callback(start)

        def failed(failure: Failure) -> None:
            if not waiting.outcome.called:
                waiting.outcome.errback(failure)

        if wanted.joins is None:
            joined(self._plain_start(channel, waiting.since))
        else:
            waiting.joining = wanted.joins.join(waiting.since, waiting.newest).addCallback(joined)
            waiting.joining.addErrback(failed)

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
            if self._readers is not None:
                self._readers.close(over)
        self._schedule_sweep()


def _not_confirmed(_failure: object, seconds: float) -> SubscriptionStart:
    raise BrokerUnavailable(f"no confirmation within {seconds:g} seconds")
