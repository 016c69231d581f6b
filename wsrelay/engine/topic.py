"""One channel with subscribers: its audiences, and what waits for them.

A publication reaches those who are subscribed when it arrives. Subscribers that come while publications wait join
behind them: they would else receive messages from before their subscription.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.publications import ChannelEvent, Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.encodings import Encoding

__all__ = [
    "BATCH_BYTES",
    "EVENT_OVERHEAD_BYTES",
    "SMALL_AUDIENCE",
    "Audience",
    "BulkAudience",
    "BulkSubscriber",
    "Subscriber",
    "Topic",
    "counted_bytes",
]

BATCH_BYTES = 65536
"""The size of one batch. A larger one would not be cheaper, and a slow connection could not hold it."""

SMALL_AUDIENCE = 64
"""Subscribers that are sent to without a look at the clock: reading it costs about as much as a twentieth of a send."""

EVENT_OVERHEAD_BYTES = 200
"""The cost of a waiting event beside its data, in bytes, so that a flood of empty ones is bounded too."""


class Subscriber(Protocol):
    """The way out to one connection: all that the hub needs of it."""

    def send(self, data: bytes, policy: SlowPolicy = ..., channel: str = ..., latest: bytes = ...) -> None:
        """Send complete frames. Never blocks, and keeps the order of the calls.

        Args:
            data: The frames.
            policy: What to do with them if the connection is behind.
            channel: Their channel, where the policy is LATEST.
            latest: The newest message alone, where the policy is LATEST.
        """

    def close(self, disconnect: Disconnect) -> None:
        """Close the connection."""

    def report_gap(self, channel: str) -> None:
        """Tell the client that messages of a channel may have been lost on their way to this process."""


class BulkSubscriber(Subscriber, Protocol):
    """A subscriber that may have a place in a flat audience."""

    def go_on(self, data: bytes, sent: int) -> None:
        """Take that the first `sent` bytes of frames are on their way, and send the rest before anything else.

        Raises:
            OSError: They cannot be completed, because the connection is closing, or `sent` is negative: not known.
        """


Audience: TypeAlias = "dict[Subscriber, int | None]"
"""The subscribers of a topic in one encoding, with their places in the flat copy; None for those that have none."""


class BulkAudience(Protocol):
    """A flat copy of a large audience. A place is a number, and belongs to one subscriber until it is removed."""

    def add(self, subscriber: Subscriber) -> None:
        """Give a new subscriber of the audience a place behind all others, if it can have one."""

    def remove(self, subscriber: Subscriber, place: int | None) -> None:
        """Take a subscriber out that has left the audience: nothing is sent to it any more, from now on."""

    def begin(self) -> int:
        """Prepare for one batch, and return the number of places. Places may move here, and nowhere else."""

    def individuals(self) -> tuple[Subscriber, ...]:
        """Return the subscribers without a place."""

    def send(self, start: int, stop: int, data: bytes) -> Sequence[tuple[BulkSubscriber, int]]:
        """Send frames to those who have the places from `start` up to, and without, `stop`.

        Returns:
            Those who did not get everything, and how many bytes each did get; negative if that is not known.
        """

    def clear(self) -> None:
        """Take away all places: the copy is used no more."""


def counted_bytes(event: ChannelEvent) -> int:
    """Return what a waiting event counts, in bytes."""
    return EVENT_OVERHEAD_BYTES + (len(event.data) if isinstance(event, Publication) else 0)


class Topic:
    """A channel with subscribers, their order of arrival kept.

    Args:
        channel: The channel's name.
        policy: What its subscribers get that are behind.
        payload_check: Tells whether a publication may be sent. If None, any may.

    Attributes:
        is_plain: Whether every publication may be sent, and subscribers that are behind are closed.
        alone: The only subscriber of a plain topic, known ahead because it is looked at for every message. If None,
            there are none or several, or the topic is not plain.
        alone_encoding: Its encoding; set while there is one.
        audiences: The subscribers, by their encoding.
        bulks: The flat copies of the large ones among the audiences. If None, there are none.
        pending: Events that wait for their fan-out.
        pending_bytes: What they count.
        joining: Subscribers that came while events were pending: how many of those are not theirs, and their encoding.
            If None, there are none.
        fan_out: The fan-out that is under way. If None, there is none.
        removed: Subscribers removed during the current fan-out. They receive nothing more of this batch, even if they
            subscribe again.
    """

    __slots__ = (
        "alone",
        "alone_encoding",
        "audiences",
        "bulks",
        "channel",
        "fan_out",
        "is_plain",
        "joining",
        "payload_check",
        "pending",
        "pending_bytes",
        "policy",
        "removed",
    )

    def __init__(self, channel: str, policy: SlowPolicy, payload_check: Callable[[bytes], bool] | None = None) -> None:
        self.channel = channel
        self.policy = policy
        self.payload_check = payload_check
        self.is_plain = policy is SlowPolicy.CLOSE and payload_check is None
        self.alone: Subscriber | None = None
        self.alone_encoding: Encoding
        self.audiences: dict[Encoding, Audience] = {}
        self.bulks: dict[Encoding, BulkAudience] | None = None
        self.pending: list[ChannelEvent] = []
        self.pending_bytes = 0
        self.fan_out: Iterator[bool] | None = None
        self.removed: set[Subscriber] = set()
        self.joining: dict[Subscriber, tuple[int, Encoding]] | None = None

    @property
    def is_empty(self) -> bool:
        """True if nobody is subscribed."""
        return not self.audiences and not self.joining

    def __len__(self) -> int:
        """Return the number of subscribers."""
        return sum(map(len, self.audiences.values())) + len(self.joining or ())

    def add(self, subscriber: Subscriber, encoding: Encoding) -> None:
        """Subscribe. Adding a subscriber twice is adding it once."""
        if self.joining is not None and subscriber in self.joining:
            return
        if self.pending and subscriber not in self.audiences.get(encoding, ()):
            if self.joining is None:
                self.joining = {}
            self.joining[subscriber] = len(self.pending), encoding
        else:
            self._join(subscriber, encoding)

    def remove(self, subscriber: Subscriber) -> None:
        """Unsubscribe; one that is not subscribed is ignored."""
        if self.joining is not None:
            self.joining.pop(subscriber, None)
        for encoding, audience in self.audiences.items():
            if subscriber in audience:
                place = audience.pop(subscriber)
                if self.bulks is not None and (bulk := self.bulks.get(encoding)) is not None:
                    bulk.remove(subscriber, place)
                if not audience:
                    del self.audiences[encoding]
                    self._drop_bulk(encoding)
                self._find_alone()
                break
        if self.fan_out is not None:
            self.removed.add(subscriber)

    def subscribers(self, chosen: Callable[[Encoding], bool] = lambda _encoding: True) -> list[Subscriber]:
        """Return everyone who is subscribed at this moment, in one of the encodings that are chosen."""
        found = [each for encoding, audience in self.audiences.items() if chosen(encoding) for each in audience]
        return [*found, *(each for each, (_, encoding) in (self.joining or {}).items() if chosen(encoding))]

    def small_audience(self) -> tuple[Encoding, tuple[Subscriber, ...]] | None:
        """Return the subscribers, if they are few and share one encoding."""
        if len(self.audiences) == 1:
            ((encoding, audience),) = self.audiences.items()
            if len(audience) <= SMALL_AUDIENCE:
                return encoding, tuple(audience)
        return None

    def divide(
        self, encoding: Encoding, make_bulk: Callable[[Audience], BulkAudience | None]
    ) -> tuple[BulkAudience | None, int, tuple[Subscriber, ...]]:
        """Divide the audience of an encoding, at the beginning of a fan-out, into those with a place and the others.

        Returns:
            The flat copy, None if there is none; the number of places in it; the subscribers without a place.
        """
        audience = self.audiences[encoding]
        if len(audience) <= SMALL_AUDIENCE:
            self._drop_bulk(encoding)
            return None, 0, tuple(audience)
        bulk = None if self.bulks is None else self.bulks.get(encoding)
        if bulk is None:
            bulk = make_bulk(audience)
            if bulk is None:
                return None, 0, tuple(audience)
            if self.bulks is None:
                self.bulks = {}
            self.bulks[encoding] = bulk
        return bulk, bulk.begin(), bulk.individuals()

    def take_batch(self) -> tuple[list[ChannelEvent], int]:
        """Take the oldest pending events that make one batch.

        Returns:
            The events, and what they counted.
        """
        if self.joining is None and self.pending_bytes <= BATCH_BYTES:
            batch, self.pending = self.pending, []
            size, self.pending_bytes = self.pending_bytes, 0
            return batch, size
        return self._take_some()

    def _take_some(self) -> tuple[list[ChannelEvent], int]:
        joining = self.joining or {}
        # A batch ends where somebody joins; those before whom nothing is left have joined.
        limit = min((count for count, _ in joining.values()), default=len(self.pending))
        size = count = 0
        while count < limit and (count == 0 or size < BATCH_BYTES):
            size += counted_bytes(self.pending[count])
            count += 1
        batch = self.pending[:count]
        del self.pending[:count]
        self.pending_bytes -= size
        self.joining = {each: (left - count, encoding) for each, (left, encoding) in joining.items()} or None
        return batch, size

    def admit_joining(self) -> None:
        """Subscribe those who joined behind events that have all been taken. Called between two batches."""
        joining, self.joining = self.joining or {}, None
        for subscriber, (left, encoding) in joining.items():
            if left <= 0:
                self._join(subscriber, encoding)
        self.joining = {each: found for each, found in joining.items() if found[0] > 0} or None

    def _join(self, subscriber: Subscriber, encoding: Encoding) -> None:
        audience = self.audiences.setdefault(encoding, {})
        if subscriber not in audience:
            audience[subscriber] = None
            self._find_alone()
            if self.bulks is not None and (bulk := self.bulks.get(encoding)) is not None:
                bulk.add(subscriber)

    def _find_alone(self) -> None:
        self.alone = None
        if self.is_plain and len(self.audiences) == 1:
            ((encoding, audience),) = self.audiences.items()
            if len(audience) == 1:
                (self.alone,), self.alone_encoding = audience, encoding

    def _drop_bulk(self, encoding: Encoding) -> None:
        if self.bulks is not None and (bulk := self.bulks.pop(encoding, None)) is not None:
            bulk.clear()
            self.bulks = self.bulks or None
