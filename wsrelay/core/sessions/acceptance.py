"""The moment in which the handshake of a client is completed."""

from __future__ import annotations

from enum import Enum

__all__ = ["Acceptance"]


class Acceptance(Enum):
    """When a client's handshake is completed. It belongs to the dialect.

    Attributes:
        AT_ONCE: Before anything. The client connects and subscribes by commands that are answered.
        AUTHENTICATED: Once it is authenticated and may subscribe to its channels. What it is sent first tells that it
            is subscribed.
        SUBSCRIBED: Once it is subscribed: an open connection is a subscribed one, and a rejection is an HTTP status.
            What its first channels carry until the last one is subscribed does not reach it, so that such a dialect has
            one channel on a connection.
        has_commands: Whether the client connects and subscribes by commands. If not, its handshake says it all.
    """

    AT_ONCE = "at once"
    AUTHENTICATED = "authenticated"
    SUBSCRIBED = "subscribed"

    def __init__(self, value: str) -> None:
        # An attribute of each: it is asked several times for each client.
        self.has_commands = value == "at once"
