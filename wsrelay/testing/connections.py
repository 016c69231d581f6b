"""Test doubles of connections."""

from __future__ import annotations

from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.core.wire.framing import DeflatedWebSocketFraming, Framing, WebSocketFraming
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import RAW
from wsrelay.engine.client import Client
from wsrelay.engine.encodings import Encoding, Encodings
from wsrelay.engine.topic import Subscriber
from wsrelay.interfaces import IDialect
from wsrelay.testing.subscribers import RecordingSubscriber

__all__ = ["ENCODINGS", "PLAIN", "RecordingConnection"]

ENCODINGS = Encodings()
PLAIN = WebSocketFraming()
_DEFLATED = DeflatedWebSocketFraming()


class RecordingConnection(RecordingSubscriber):
    """A `wsrelay.engine.client_services.Connection`, its own writer, that records what happens to it.

    Args:
        dialect: The wire language spoken on it.

    Attributes:
        dialect: See `Connection.dialect`.
        accepted: Whether the handshake was completed.
        is_compressed: Whether compression was agreed on. This client offers it always.
        is_paused: Whether `pause_reading` was called last, and not `resume_reading`.
        pauses: The number of calls of `pause_reading`.
        connection_id: The id of its connection that the client was told.
        responses: The error responses that its handshake was answered with, in order.
    """

    ping_seconds = 25
    emulated_session = ""

    def __init__(self, dialect: IDialect = RAW.dialect) -> None:
        super().__init__()
        self.dialect = dialect
        self.accepted = False
        self.is_compressed = False
        self.is_paused = False
        self.pauses = 0
        self.connection_id: str | None = None
        self.responses: list[ErrorResponse] = []
        self._client: Client | None = None

    def encoding(self, frames: FrameType = FrameType.AUTO) -> Encoding:
        """See `Connection.encoding`."""
        framing: Framing = _DEFLATED if self.is_compressed else PLAIN
        return ENCODINGS.get(self.dialect, framing, frames)

    @property
    def writer(self) -> Subscriber:
        """See `Connection.writer`."""
        return self

    def attach(self, client: Client) -> None:
        """Report gaps and closes to a client, as a transport does."""
        self._client = client

    def offer_compression(self) -> None:
        """See `Connection.offer_compression`."""
        self.is_compressed = True

    def accept(self, connection_id: str | None) -> None:
        """See `Connection.accept`."""
        self.accepted = True
        self.connection_id = connection_id

    def counts_as(self, messages: int) -> bool:
        """See `Connection.counts_as`: the rate permits everything."""
        return True

    def pause_reading(self) -> None:
        """See `Connection.pause_reading`."""
        self.is_paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        """See `Connection.resume_reading`."""
        self.is_paused = False

    def reject(self, response: ErrorResponse) -> None:
        """See `Connection.reject`."""
        self.responses.append(response)

    def close(self, disconnect: AnyDisconnect) -> None:
        """See `Connection.close`."""
        super().close(disconnect)
        if self._client is not None:
            self._client.connection_closing(disconnect)

    def report_gap(self, channel: str) -> None:
        """See `Subscriber.report_gap`."""
        super().report_gap(channel)
        if self._client is not None:
            self._client.report_gap(channel)
