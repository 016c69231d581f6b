"""The way out of a stream of several channels."""

from __future__ import annotations

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.event_stream import EventBatch
from wsrelay.transports.writer import ConnectionWriter

__all__ = ["PositionWriter"]


class PositionWriter:
    """Puts the stream's own ids into batches that it shares with others. Implements `wsrelay.engine.topic.Subscriber`.

    Each id carries the positions of all channels of the stream, so that it differs from stream to stream. A stream of
    one channel needs none of this: its subscriber is the `ConnectionWriter` itself.

    Args:
        writer: The way out of the connection.
        positions: The positions of the channels, in the order of the stream's ids.
    """

    __slots__ = ("_positions", "_writer")

    def __init__(self, writer: ConnectionWriter, positions: dict[str, bytes]) -> None:
        self._writer = writer
        self._positions = positions

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """See `wsrelay.engine.topic.Subscriber.send`.

        The positions move with what is sent, in its order, also where a policy then drops it: the client is to have no
        more of that.
        """
        own = self._with_ids(data)
        self._writer.send(own, policy, channel, own if latest is data else self._with_ids(latest))

    def close(self, disconnect: Disconnect) -> None:
        """See `wsrelay.engine.topic.Subscriber.close`."""
        self._writer.close(disconnect)

    def report_gap(self, channel: str) -> None:
        """See `wsrelay.engine.topic.Subscriber.report_gap`."""
        self._writer.report_gap(channel)

    def _with_ids(self, data: bytes) -> bytes:
        return data.with_ids(self._positions) if isinstance(data, EventBatch) else data
