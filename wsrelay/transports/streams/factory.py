"""Makes the streams of this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from random import Random

from twisted.logger import Logger

from wsrelay.config import Settings
from wsrelay.core.flow.admission import Admission
from wsrelay.core.flow.jitter import retry_delay
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.wire.cors import cors_headers
from wsrelay.core.wire.event_stream import RetryResponse
from wsrelay.core.wire.framing import EventStreamFraming, Framing, SeveralChannelsFraming
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import SSE, Route
from wsrelay.dialects.sse import SeveralChannelsDialect, accepts_event_streams
from wsrelay.engine.client import Client
from wsrelay.engine.client_services import Connection
from wsrelay.engine.emulation import Emulation
from wsrelay.engine.encodings import Encoding, Encodings
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.timers import TimerWheel
from wsrelay.interfaces import IDialect
from wsrelay.metrics.counters import Counters
from wsrelay.transports.connection_registry import ConnectionRegistry
from wsrelay.transports.listening.http_connections import HTTPConnections
from wsrelay.transports.ping_schedule import PingSchedule
from wsrelay.transports.rate_limits import RateLimits
from wsrelay.transports.streams.connection import StreamConnection
from wsrelay.transports.streams.emulated_streams import EmulatedStreamConnection
from wsrelay.transports.streams.encoding import StreamEncoding
from wsrelay.transports.streams.event_streams import EventStreamConnection
from wsrelay.transports.streams.message_streams import STREAM_KINDS, MessageStreamConnection
from wsrelay.transports.writer import ConnectionWriters

__all__ = ["StreamConnectionFactory"]

_TEMPORARY = frozenset((429, 500, 503))
"""The statuses of errors that may be gone a moment later."""


class StreamConnectionFactory:
    """Makes streams, and what they share. Implements `EventStreamContext` and `EmulatedStreamContext`.

    Args:
        make_client: Makes the client of a connection.
        settings: The operator's decisions.
        timers: Coarse timers.
        writers: What the writers of the process share.
        counters: Where what happens is counted.
        rejections: Counts and logs the closes.
        admission: Counts connections.
        http_connections: Where the connections of rejected clients wait for their end.
        connections: The registry of this process's connections.
        rate_limits: Limits what clients send.
        emulation: The sessions of clients that send beside their streams.
        pings: Pings all connections of this process.
        rng: Randomness for delays.
    """

    log = Logger()

    def __init__(
        self,
        make_client: Callable[[Connection], Client],
        settings: Settings,
        *,
        timers: TimerWheel,
        writers: ConnectionWriters,
        counters: Counters,
        rejections: RejectionLog,
        admission: Admission,
        http_connections: HTTPConnections,
        connections: ConnectionRegistry,
        rate_limits: RateLimits,
        emulation: Emulation,
        pings: PingSchedule,
        rng: Random,
    ) -> None:
        self._make_client = make_client
        self.settings = settings
        self.timers = timers
        self.writers = writers
        self.counters = counters
        self.rejections = rejections
        self.admission = admission
        self.http_connections = http_connections
        self.connections = connections
        self.rate_limits = rate_limits
        self.emulation = emulation
        self.pings = pings
        self._rng = rng
        one: tuple[IDialect, Framing] = SSE.dialect, EventStreamFraming()
        several: tuple[IDialect, Framing] = SeveralChannelsDialect(), SeveralChannelsFraming()
        # By whether the stream has several channels.
        self._dialects = {False: one[0], True: several[0]}
        # By whether the stream has several channels, and whether frames are binary.
        self._encodings = {
            (language is several, frames is FrameType.BINARY): StreamEncoding(*language, frames, self._not_text)
            for language in (one, several)
            for frames in (FrameType.AUTO, FrameType.BINARY)
        }

        self._message_encodings = Encodings()

    def build(self, route: Route, handshake: Handshake) -> StreamConnection:
        """Make a connection for a client that asked for a stream; the caller gives it the transport."""
        kind = STREAM_KINDS.get(route.transport)
        if kind is None:
            return EventStreamConnection(handshake, self)
        encoding = self._message_encodings.get(route.dialect, kind.framing)
        if route.dialect.has_pong:
            return EmulatedStreamConnection(handshake, self, route.dialect, kind, encoding)
        return MessageStreamConnection(handshake, self, route.dialect, kind, encoding)

    def client(self, connection: Connection) -> Client:
        """See `StreamContext.client`."""
        return self._make_client(connection)

    def dialect(self, *, has_several_channels: bool) -> IDialect:
        """See `EventStreamContext.dialect`."""
        return self._dialects[has_several_channels]

    def encoding(self, frames: FrameType, *, has_several_channels: bool) -> Encoding:
        """See `EventStreamContext.encoding`."""
        return self._encodings[has_several_channels, frames is FrameType.BINARY]

    def next_retry_delay(self) -> float:
        """See `StreamContext.next_retry_delay`."""
        return retry_delay(self._rng, is_disabled=self.connections.is_disabled)

    def error_response(self, handshake: Handshake, response: ErrorResponse) -> ErrorResponse:
        """Return the form in which a rejected client can make use of a response.

        Args:
            handshake: The client's request, whose origin has been checked.
            response: The response.
        """
        headers = (*response.headers, *cors_headers(handshake.origin))
        if response.status in _TEMPORARY and accepts_event_streams(handshake):
            delay = retry_delay(self._rng, is_rejected=True, is_disabled=self.connections.is_disabled)
            return RetryResponse(response.status, response.text, headers, retry_seconds=delay)
        return dataclasses.replace(response, headers=headers)

    def _not_text(self, channel: str, count: int) -> None:
        self.counters.publications_not_text += count
        self.rejections.record_not_text(
            channel, "for event streams carry text only; with frames = binary they carry base64"
        )
