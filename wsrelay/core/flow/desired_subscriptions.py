"""The channels that a subscriber connection should have, has asked for, and is confirmed to have."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["DesiredSubscriptions"]


class DesiredSubscriptions:
    """The state of the subscriptions of one subscriber connection at a time.

    `desired` is the truth and outlives connections. `take_changes` returns the commands to write so that the connection
    follows it. A channel is confirmed when the replies to all SUBSCRIBE commands written for it have come: with a
    SUBSCRIBE, an UNSUBSCRIBE and another SUBSCRIBE on the wire the first reply proves nothing, because the UNSUBSCRIBE
    is still to take effect.

    Attributes:
        desired: The desired channels, in the order in which they were subscribed.
    """

    def __init__(self) -> None:
        self.desired: dict[str, None] = {}
        # The channels whose last command on this connection was SUBSCRIBE.
        self._sent: set[str] = set()
        # The number of missing replies to SUBSCRIBE.
        self._missing_replies: dict[str, int] = {}
        # The channels that may have changed since the last `take_changes`, so that one among a hundred thousand is
        # found without a walk.
        self._touched: dict[str, None] = {}

    @property
    def pending(self) -> int:
        """The number of channels that the next `take_changes` examines."""
        return len(self._touched)

    def subscribe(self, channels: Iterable[str]) -> None:
        """Desire channels."""
        names = dict.fromkeys(channels)
        self.desired.update(names)
        self._touched.update(names)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Desire channels no more."""
        for channel in channels:
            self.desired.pop(channel, None)
            if channel in self._sent:
                self._touched[channel] = None
            else:
                # Nothing was written for it, and nothing need be: names must not pile up during an outage.
                self._touched.pop(channel, None)

    def take_changes(self) -> tuple[list[str], list[str]]:
        """Return the changes since the last call, which the caller must write in this order.

        Returns:
            The channels to SUBSCRIBE, and the channels to UNSUBSCRIBE.
        """
        touched, self._touched = self._touched, {}
        added = [channel for channel in touched if channel in self.desired and channel not in self._sent]
        removed = [channel for channel in touched if channel in self._sent and channel not in self.desired]
        for channel in added:
            self._missing_replies[channel] = self._missing_replies.get(channel, 0) + 1
        self._sent.update(added)
        self._sent.difference_update(removed)
        return added, removed

    def is_confirmed(self, channel: str) -> bool:
        """Return whether a channel is desired and subscribed for certain; then no further reply comes for it."""
        return channel in self.desired and channel in self._sent and channel not in self._missing_replies

    def reply_received(self, channel: str) -> bool:
        """Handle a reply to SUBSCRIBE.

        Returns:
            True if the channel is confirmed now.
        """
        missing = self._missing_replies.get(channel, 0) - 1
        if missing > 0:
            self._missing_replies[channel] = missing
            return False
        self._missing_replies.pop(channel, None)
        return channel in self._sent and channel in self.desired

    def rejected(self, channel: str) -> None:
        """Handle an error reply to SUBSCRIBE: the channel is desired no more."""
        self.desired.pop(channel, None)
        self._sent.discard(channel)
        self._missing_replies.pop(channel, None)

    def disconnected(self) -> tuple[str, ...]:
        """Handle the end of the connection: the next one begins without any subscription.

        Returns:
            The channels that were confirmed.
        """
        confirmed = tuple(channel for channel in self.desired if self.is_confirmed(channel))
        self._sent.clear()
        self._missing_replies.clear()
        self._touched = dict(self.desired)
        return confirmed
