"""Test doubles of connections."""

from __future__ import annotations

from wsrelay.core.flow.outbox import SlowPolicy
from wsrelay.core.outcomes.disconnects import Closing
from wsrelay.core.wire.http_response import Refusal
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
        refusals: The refusals it was given.
        sent: The batches it was sent.
        closings: The closings it was given.
    """

    def __init__(self, dialect: str = "raw") -> None:
        self.dialect: IDialect = DIALECTS[dialect]
        self.encoding = ENCODINGS.get(self.dialect)
        self.accepted = False
        self.name: str | None = None
        self.refusals: list[Refusal] = []
        self.sent: list[bytes] = []
        self.closings: list[Closing] = []

    def compress(self) -> None:
        """See `Connection.compress`: this client offers it."""
        self.encoding = ENCODINGS.get(self.dialect, compressed=True)

    def accept(self, name: str | None = None) -> None:
        """See `Connection.accept`."""
        self.accepted = True
        self.name = name

    def refuse(self, refusal: Refusal) -> None:
        """See `Connection.refuse`."""
        self.refusals.append(refusal)

    @property
    def subscriber(self) -> Subscriber:
        """See `Connection.subscriber`."""
        return self

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """See `Subscriber.send`."""
        self.sent.append(data)

    def close(self, closing: Closing) -> None:
        """See `Subscriber.close`."""
        self.closings.append(closing)
