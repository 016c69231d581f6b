"""The parts of a factory that its WebSocket connections use."""

from __future__ import annotations

from typing import Protocol

from autobahn.websocket.utf8validator import Utf8Validator
from twisted.logger import Logger

from wsrelay.config import Settings
from wsrelay.core.flow.admission import Admission
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.engine.client import Client
from wsrelay.engine.client_services import Connection
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.timers import TimerWheel
from wsrelay.interfaces import IDialect
from wsrelay.metrics.counters import Counters
from wsrelay.transports.connection_registry import ConnectionRegistry
from wsrelay.transports.listening.http_connections import HTTPConnections
from wsrelay.transports.ping_schedule import PingSchedule
from wsrelay.transports.rate_limits import RateLimits
from wsrelay.transports.writer import ConnectionWriters

__all__ = ["ConnectionContext"]


class ConnectionContext(Protocol):
    """The parts of a factory that its connections use."""

    log: Logger
    settings: Settings
    timers: TimerWheel
    writers: ConnectionWriters
    counters: Counters
    rejections: RejectionLog
    admission: Admission
    http_connections: HTTPConnections
    rate_limits: RateLimits
    connections: ConnectionRegistry
    pings: PingSchedule
    shares_attributes: bool
    reads_fast: bool
    idle_validators: list[Utf8Validator]
    countConnections: int  # noqa: N815 -- Autobahn's name

    def client(self, connection: Connection) -> Client:
        """Make the client of a connection."""

    def encoding(self, dialect: IDialect, frames: FrameType, *, is_compressed: bool) -> Encoding:
        """Return the encoding that all subscriptions of a dialect share, compressed or not."""
