"""A connect command that is under way, and the commands that wait behind it."""

from __future__ import annotations

from wsrelay.core.messaging.commands import (
    Command,
    Connect,
    Publish,
    ReadHistory,
    Refresh,
    RefreshSubscription,
    Subscribe,
    Unsubscribe,
)
from wsrelay.core.messaging.replies import Subscribed

__all__ = ["MAX_QUEUED_BYTES", "MAX_QUEUED_COMMANDS", "MAX_QUEUED_TEXT_BYTES", "PendingConnect"]

MAX_QUEUED_COMMANDS = 256
"""Commands that may wait behind an asynchronous connect: all channels, subscribed in one frame, and as much again."""

MAX_QUEUED_BYTES = 65536
"""Data of publishes among them, in bytes: nobody knows yet who the client is."""

MAX_QUEUED_TEXT_BYTES = 256 * 1024
"""Tokens and other texts among them: a subscription token of 2 KB for every channel."""


class PendingConnect:
    """A connect that is under way.

    Args:
        command: The command.

    Attributes:
        id: The id of the command. If 0, a failure ends the connection.
        positions: From where the client resumes, by channel.
        channels: What it wants to be subscribed to.
        queue: Commands that came behind it.
        data: What the client is told of channels that it is subscribed to without having asked.
        subscribed: What it is subscribed to so far.
    """

    __slots__ = ("_data_bytes", "_text_bytes", "channels", "data", "id", "positions", "queue", "subscribed")

    def __init__(self, command: Connect) -> None:
        self.id = command.id
        self.positions = command.positions
        self.channels = command.channels
        self.queue: list[Command] = []
        self.data: dict[str, bytes] = {}
        self.subscribed: list[Subscribed] = []
        self._data_bytes = 0
        self._text_bytes = 0

    def enqueue(self, command: Command) -> bool:
        """Have a command wait; return whether it may."""
        self.queue.append(command)
        if isinstance(command, Publish):
            self._data_bytes += len(command.data)
        self._text_bytes += _length_of_texts(command)
        return (
            len(self.queue) <= MAX_QUEUED_COMMANDS
            and self._data_bytes <= MAX_QUEUED_BYTES
            and self._text_bytes <= MAX_QUEUED_TEXT_BYTES
        )


def _length_of_texts(command: Command) -> int:
    """Return the length of what a command holds of any length, besides the data of a publish."""
    match command:
        case Subscribe() | RefreshSubscription() | Refresh():
            return len(command.token)
        case Unsubscribe():
            return len(command.channel)
        case ReadHistory():
            return len(command.epoch)
        case Connect():
            # A second one, which is an error when its turn comes.
            return sum(map(len, (*command.positions, *command.channels)))
        case _:
            return 0
