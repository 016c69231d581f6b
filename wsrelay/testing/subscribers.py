"""Test doubles of subscribers."""

from __future__ import annotations

from typing import NamedTuple

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.outcomes.disconnects import AnyDisconnect

__all__ = ["RecordingSubscriber", "SendArguments"]


class SendArguments(NamedTuple):
    """The arguments of one call of `Subscriber.send` beside its data.

    Attributes:
        policy: The argument of that name.
        channel: The argument of that name.
        latest: The argument of that name.
    """

    policy: SlowPolicy = SlowPolicy.CLOSE
    channel: str = ""
    latest: bytes = b""


class RecordingSubscriber:
    """A `wsrelay.engine.topic.Subscriber` that records its calls.

    Attributes:
        sent: The data of each send, in order.
        send_arguments: The other arguments of each send, in order.
        gaps: The channels of the gaps that were reported, in order.
        disconnects: The disconnects of the calls of `close`, in order.
    """

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.send_arguments: list[SendArguments] = []
        self.gaps: list[str] = []
        self.disconnects: list[AnyDisconnect] = []

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """See `Subscriber.send`."""
        self.sent.append(data)
        self.send_arguments.append(SendArguments(policy, channel, latest))

    def close(self, disconnect: AnyDisconnect) -> None:
        """See `Subscriber.close`."""
        self.disconnects.append(disconnect)

    def report_gap(self, channel: str) -> None:
        """See `Subscriber.report_gap`."""
        self.gaps.append(channel)
