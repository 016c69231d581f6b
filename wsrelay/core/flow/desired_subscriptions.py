"""Which channels a subscriber connection should have, has asked for, and surely has."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["DesiredSubscriptions"]


class DesiredSubscriptions:
    """The book-keeping of one subscriber connection at a time.

    `wanted` is the truth and outlives connections. `changes` says what to write so that the connection follows it.
    A channel is certain when the answers to all SUBSCRIBE commands written for it have come: with a SUBSCRIBE,
    an UNSUBSCRIBE and another SUBSCRIBE on the wire the first answer proves nothing, for the UNSUBSCRIBE is still to
    take effect.
    """

    def __init__(self) -> None:
        self.wanted: dict[str, None] = {}
        self._sent: set[str] = set()
        self._unanswered: dict[str, int] = {}
        # What may have changed since the last time, so that one name among a hundred thousand is found without a walk.
        self._touched: dict[str, None] = {}

    def want(self, channels: Iterable[str]) -> None:
        """These channels are wanted."""
        names = dict.fromkeys(channels)
        self.wanted.update(names)
        self._touched.update(names)

    def unwant(self, channels: Iterable[str]) -> None:
        """These channels are wanted no more."""
        for channel in channels:
            self.wanted.pop(channel, None)
            if channel in self._sent:
                self._touched[channel] = None
            else:
                # Nothing has been written for it, and nothing need be: names must not pile up while there is no link.
                self._touched.pop(channel, None)

    def changes(self) -> tuple[list[str], list[str]]:
        """What to SUBSCRIBE and what to UNSUBSCRIBE now; the caller writes both, in this order."""
        touched, self._touched = self._touched, {}
        added = [channel for channel in touched if channel in self.wanted and channel not in self._sent]
        removed = [channel for channel in touched if channel in self._sent and channel not in self.wanted]
        for channel in added:
            self._unanswered[channel] = self._unanswered.get(channel, 0) + 1
        self._sent.update(added)
        self._sent.difference_update(removed)
        return added, removed

    def is_certain(self, channel: str) -> bool:
        """Whether a wanted channel is subscribed beyond doubt, so that asking for it again brings no answer."""
        return channel in self.wanted and channel in self._sent and channel not in self._unanswered

    def refused(self, channel: str) -> None:
        """The server does not let this channel be subscribed: it is wanted no more."""
        self.wanted.pop(channel, None)
        self._sent.discard(channel)
        self._unanswered.pop(channel, None)

    def answered(self, channel: str) -> bool:
        """A SUBSCRIBE of this channel was answered; says whether the channel is certain and still wanted."""
        left = self._unanswered.get(channel, 0) - 1
        if left > 0:
            self._unanswered[channel] = left
            return False
        self._unanswered.pop(channel, None)
        return channel in self._sent and channel in self.wanted

    def disconnected(self) -> tuple[str, ...]:
        """Begin anew, because the connection is gone and everything written on it with it.

        Returns:
            The desired channels: whatever was confirmed for them is void.
        """
        self._sent.clear()
        self._unanswered.clear()
        self._touched = dict(self.wanted)
        return tuple(self.wanted)
