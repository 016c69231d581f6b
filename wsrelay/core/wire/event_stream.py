"""The text of event streams (WHATWG HTML section 9.2.6): lines, events, batches, and the answer that asks to come back.

An event is a few lines and an empty one. What its parser does with them decides what stands here:

- A payload is one ``data`` line for each of its own lines, whether those end in CR, LF or CRLF; it comes back with line
  feeds. One space behind the colon is dropped, so there is always one.
- An ``id`` line moves the client's position, also in an event without data, of which a page is told nothing. One with
  NUL is ignored, and an empty one forgets the position: positions are ASCII text, and never empty here.
- What stands behind the last empty line when the stream ends is dropped, its position too: an event that was cut off
  comes again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from wsrelay.core.wire.http_response import SECURITY_HEADERS, ErrorResponse

__all__ = [
    "END_OF_EVENT",
    "HEARTBEAT",
    "EventBatch",
    "PositionedLines",
    "RetryResponse",
    "data_lines",
    "event_lines",
    "id_line",
    "retry_event",
    "stream_head",
]

END_OF_EVENT = b"\n"

HEARTBEAT = b":\n\n"
"""A comment, which keeps the connection alive and reaches no page."""

_HEADERS = (
    ("Connection", "close"),
    *((name, value) for name, value in SECURITY_HEADERS if name != "Cache-Control"),
    # no-transform: intermediaries that compress collect first. no-cache: for those of HTTP/1.0 habits.
    ("Cache-Control", "no-cache, no-store, no-transform"),
    # nginx and those that follow it: pass on what comes when it comes.
    ("X-Accel-Buffering", "no"),
)


def data_lines(data: bytes) -> bytes:
    """Return the lines that carry data.

    Args:
        data: UTF-8.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"data: %b\n" % data


def event_lines(name: str, document: Mapping[str, object]) -> bytes:
    """Return the lines of an event with a name and a JSON object, all of it ASCII."""
    return f"event: {name}\ndata: {json.dumps(document, separators=(',', ':'))}\n".encode("ascii")


def id_line(position: bytes) -> bytes:
    """Return the line that moves the client's position."""
    return b"id: %b\n" % position


def retry_event(seconds: float, comment: str = "") -> bytes:
    """Return what tells a client how long to wait before it connects again.

    Args:
        seconds: The time to wait, in seconds; sent in whole milliseconds.
        comment: A line for those who read the stream with their own eyes. If empty, there is none.
    """
    line = f": {comment}\n" if comment else ""
    return f"retry: {round(seconds * 1000)}\n{line}\n".encode()


def stream_head(headers: Sequence[tuple[str, str]] = (), content_type: str = "text/event-stream") -> bytes:
    """Return the head of the response that begins a stream.

    Its end is that of the connection: without a length, and not in chunks (RFC 9112 section 6.3). Clients of HTTP/1.0
    can read it, whatever is sent is the same for all clients of a channel, and proxies in front make chunks of it for
    their own clients as they like.

    Args:
        headers: Additional header fields, as pairs of name and value.
        content_type: The media type of the stream.
    """
    fields = (("Content-Type", content_type), *_HEADERS, *headers)
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("ascii")


class PositionedLines(bytes):
    """The lines of one event on a stream of several channels, without an id: that depends on the stream.

    Attributes:
        channel: The event's channel.
        position: The channel's position behind the event. Empty if the event moves none.
    """

    channel: str
    position: bytes

    def __new__(cls, lines: bytes, channel: str, position: bytes = b"") -> Self:
        """Make the lines of an event."""
        made = super().__new__(cls, lines)
        made.channel = channel
        made.position = position
        return made


class EventBatch(bytes):
    """Events for streams of several channels, encoded once for all of them. The bytes are those without any id.

    Attributes:
        events: The events, each with its end.
    """

    events: tuple[PositionedLines, ...]

    def __new__(cls, events: Sequence[PositionedLines]) -> Self:
        """Make a batch of events without their ends."""
        ended = tuple(PositionedLines(each + END_OF_EVENT, each.channel, each.position) for each in events)
        made = super().__new__(cls, b"".join(ended))
        made.events = ended
        return made

    def with_ids(self, positions: dict[str, bytes]) -> bytes:
        """Return the events with the ids of one stream.

        Args:
            positions: The positions of the stream's channels, in the order of its ids. Those that the events move are
                changed.
        """
        pieces: list[bytes] = []
        for event in self.events:
            if event.position:
                positions[event.channel] = event.position
                pieces.append(id_line(b",".join(positions.values())))
            pieces.append(event)
        return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class RetryResponse(ErrorResponse):
    """A temporary error, told in a form that browsers come back after: a stream that ends at once.

    An EventSource gives up for ever on any status but 200.

    Attributes:
        retry_seconds: How long the client waits before it connects again, in seconds.
    """

    retry_seconds: float = 0.0

    def to_bytes(self) -> bytes:
        """See `ErrorResponse.to_bytes`; the status is 200, and the text a comment."""
        headers = [pair for pair in self.headers if pair[0] != "Retry-After"]
        return stream_head(headers) + retry_event(self.retry_seconds, self.text)
