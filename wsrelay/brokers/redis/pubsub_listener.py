"""Receives what Redis sends about channels and keys, without having been asked."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NullListener", "PubSubListener"]


class PubSubListener(Protocol):
    """Receives what Redis sends about channels. Names are those of Redis, with the prefix."""

    def messages_received(self, messages: list[list[bytes]]) -> None:
        """Take the messages of channels that arrived in one read, behind the replies that arrived in it.

        Args:
            messages: Each as Redis sends it: the word ``message``, the channel's name, and the payload. At least one.
        """

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

    def messages_received(self, messages: list[list[bytes]]) -> None:
        """See `PubSubListener.messages_received`."""

    def subscribed(self, name: bytes) -> None:
        """See `PubSubListener.subscribed`."""

    def subscribe_failed(self, names: tuple[bytes, ...], why: str) -> None:
        """See `PubSubListener.subscribe_failed`."""

    def keys_changed(self, keys: list[bytes] | None) -> None:
        """See `PubSubListener.keys_changed`."""

    def read_finished(self) -> None:
        """See `PubSubListener.read_finished`."""
