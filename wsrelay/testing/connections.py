"""Test doubles of connections."""

from __future__ import annotations

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import DIALECTS
from wsrelay.engine.encodings import Encodings
from wsrelay.engine.hub import Subscriber
from wsrelay.interfaces import IDialect

__all__ = ["RecordingConnection"]

ENCODINGS = Encodings()


class RecordingConnection:
    """A `wsrelay.engine.node.Connection`, its own subscriber, that writes down what happens to it.

    Args:
        dialect: The name of the wire language spoken on it.

    Attributes:
        accepted: Whether the handshake was completed.
        name: What its connection was called when it was.
        responses: The refusals it was given.
        sent: The batches it was sent.
        disconnects: The closings it was given.
    """

    def __init__(self, dialect: str = "raw") -> None:
        self.dialect: IDialect = DIALECTS[dialect]
        self.encoding = ENCODINGS.get(self.dialect)
        self.accepted = False
        self.name: str | None = None
        self.responses: list[ErrorResponse] = []
        self.sent: list[bytes] = []
        self.disconnects: list[Disconnect] = []

    def compress(self) -> None:
        """See `Connection.compress`: this client offers it."""
        self.encoding = ENCODINGS.get(self.dialect, compressed=True)

    def accept(self, name: str | None = None) -> None:
        """See `Connection.accept`."""
        self.accepted = True
        self.name = name

    def refuse(self, response: ErrorResponse) -> None:
        """See `Connection.refuse`."""
        self.responses.append(response)

    @property
    def subscriber(self) -> Subscriber:
        """See `Connection.subscriber`."""
        return self

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """See `Subscriber.send`."""
        self.sent.append(data)

    def close(self, disconnect: Disconnect) -> None:
        """See `Subscriber.close`."""
        self.disconnects.append(disconnect)
