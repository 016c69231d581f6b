"""Receives what Redis sends about channels and keys, without having been asked."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NullListener", "PubSubListener"]


class PubSubListener(Protocol):
    """Receives what Redis sends about channels. Names are those of Redis, with the prefix."""

    def message_received(self, name: bytes, payload: bytes) -> None:
        """Take a message of a channel."""

    def subscribed(self, name: bytes) -> None:
        """Take the reply to a SUBSCRIBE for one of its channels."""

    def subscribe_failed(self, names: tuple[bytes, ...], why: str) -> None:
        """Take the error reply to a SUBSCRIBE.

        Args:
            names: All channels of the command: Redis subscribes to none of them.
            why: The text of the reply.
        """

    def keys_changed(self, keys: list[bytes] | None) -> None:
        """Take that keys have changed which this connection has read since (CLIENT TRACKING).

        Args:
            keys: The keys. If None, all of them.
        """

    def read_finished(self) -> None:
        """Take the end of the messages and replies that arrived in one read."""


class NullListener:
    """Ignores everything. For connections that never subscribe."""

    def message_received(self, name: bytes, payload: bytes) -> None:
        """See `PubSubListener.message_received`."""

    def subscribed(self, name: bytes) -> None:
        """See `PubSubListener.subscribed`."""

    def subscribe_failed(self, names: tuple[bytes, ...], why: str) -> None:
        """See `PubSubListener.subscribe_failed`."""

    def keys_changed(self, keys: list[bytes] | None) -> None:
        """See `PubSubListener.keys_changed`."""

    def read_finished(self) -> None:
        """See `PubSubListener.read_finished`."""
