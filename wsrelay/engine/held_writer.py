"""Holds back what is sent to a client until it has been told what it is subscribed to."""

from __future__ import annotations

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.topic import Subscriber

__all__ = ["MAX_HELD_BYTES", "HeldWriter"]

MAX_HELD_BYTES = 1024 * 1024
"""The most that is held for one client, in bytes, beyond which it is closed as a slow one is."""


class HeldWriter:
    """The way out to a connection, closed at first. Implements `wsrelay.engine.topic.Subscriber`.

    A client that is subscribed without having asked learns of all its channels in one reply. What is published on the
    first of them while the last is being subscribed has to follow that reply.

    Args:
        writer: The way out.
    """

    __slots__ = ("_held", "_size", "_writer")

    def __init__(self, writer: Subscriber) -> None:
        self._writer = writer
        # If None, nothing is held any more.
        self._held: list[tuple[bytes, SlowPolicy, str, bytes]] | None = []
        self._size = 0

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """See `wsrelay.engine.topic.Subscriber.send`."""
        if self._held is None:
            self._writer.send(data, policy, channel, latest)
            return
        self._size += len(data)
        if self._size > MAX_HELD_BYTES:
            self._held.clear()
            self._writer.close(Disconnect.SLOW)
        else:
            self._held.append((data, policy, channel, latest))

    def close(self, disconnect: Disconnect) -> None:
        """See `wsrelay.engine.topic.Subscriber.close`."""
        self._writer.close(disconnect)

    def report_gap(self, channel: str) -> None:
        """See `wsrelay.engine.topic.Subscriber.report_gap`."""
        self._writer.report_gap(channel)

    def release(self) -> None:
        """Send what is held, and hold nothing from now on."""
        held, self._held = self._held or [], None
        for each in held:
            self._writer.send(*each)

    def drop(self) -> None:
        """Drop what is held, and hold nothing from now on: the client has left."""
        self._held = None
