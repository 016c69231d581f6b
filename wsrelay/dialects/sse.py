"""Event streams, which browsers read with EventSource (WHATWG HTML section 9.2).

::

    GET /sse/<channel>                              one channel
    GET /sse/<channel>?channel=<b>&channel=<c>      several on one stream, at most 32

    id: <position of each channel, with commas between them>
    data: <line of the payload>
    data: <next line>

On a stream of one channel a publication is a plain `message` event; on a stream of several its type is
`message:<channel>`. Payloads come back with LF in the place of CR, LF and CRLF. What is not valid UTF-8 cannot stand in
an event stream and is left out, unless the namespace has `frames = binary`: then every payload is sent in base64.

Only what moves a position has an id: a publication of a channel with history, the confirmation of its subscription, and
an event without data that pages do not see. A channel without a position on a stream that has others is `-` in the id.
A client that comes back sends the id in Last-Event-ID, as browsers do, or in the query as `since` (`last_event_id` and
`lastEventId` are the same, for clients that cannot set header fields). The field goes before the query, because an
EventSource that comes back repeats its URL. An id that cannot be read is never an error, for an EventSource would give
up for ever: the client is told of a gap.

Other events have a name and a JSON object:

==============  ======================================  =============================================================
name            data                                    meaning
==============  ======================================  =============================================================
``subscribed``  ``{"channel"}``                         what is published from now on arrives
``gap``         ``{"channel", "reason"}``               publications may be missing here
``join``        ``{"channel", "client", "user"}``       a client subscribed
``leave``       ``{"channel", "client", "user"}``       a client is no longer subscribed
``credential``  ``{"code", "reason"}``                  the stream ends, and the client needs a new credential: its own
                                                        has expired or is revoked, or was a ticket, which is spent
``close``       ``{"code", "reason"}``                  the stream ends, and connecting again unchanged will not help
==============  ======================================  =============================================================

Before any other end the client is told how long to wait (`retry`), and an EventSource comes back by itself.

What is temporary is told to a client that accepts event streams, as an EventSource does, by a stream that ends at once
with a `retry`: any other status would end the EventSource for ever. With `?errors=status`, or without
`text/event-stream` in Accept, the client gets the status.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from zope.interface import implementer

from wsrelay.core.history.positions import MAX_POSITION_CHARACTERS, NO_HISTORY_POSITION, parse_position
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.commands import Command, Subscribe
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Farewell, Message, MessagePair, is_text
from wsrelay.core.messaging.publications import ChannelEvent, Gap, Join, Positioned, Publication
from wsrelay.core.messaging.replies import Reply, Subscribed
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.outcomes.errors import ChannelError, HTTPError, PositionError, ProtocolViolation
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.wire.event_stream import PositionedLines, data_lines, event_lines, id_line
from wsrelay.core.wire.handshake import MAX_PARAMETERS, Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects.newest import read_newest
from wsrelay.interfaces import IDialect

__all__ = [
    "MAX_STREAM_CHANNELS",
    "PATH",
    "UNREADABLE_POSITION",
    "SSEDialect",
    "SeveralChannelsDialect",
    "accepts_event_streams",
    "credential_event",
    "read_subscriptions",
    "starting_position",
]

PATH = "/sse/"
"""Where the dialect is spoken; the name of the first channel follows."""

MAX_STREAM_CHANNELS = 32
"""The largest number of channels on one stream: each id carries the positions of all of them."""

UNREADABLE_POSITION = "?"
"""Stands for a position of which it is not known what channel it belongs to. It is no position of any."""

_POSITION_PARAMETERS = ("lastEventId", "last_event_id", "since")
"""In this order: clients that cannot set header fields add theirs to a URL that may hold an older one."""

_TOO_MANY = ErrorResponse(400, f"Too many channels: a stream has at most {MAX_STREAM_CHANNELS}.")
_QUERY_TOO_LONG = ErrorResponse(400, f"The query has more than {MAX_PARAMETERS} parameters.")
_NO_MESSAGES = ErrorResponse(
    400, "A client of an event stream sends no messages: put the credential into the request, as ?ticket=<ticket>."
)

_CREDENTIAL_DISCONNECTS = (
    Disconnect.CREDENTIAL,
    Disconnect.CREDENTIAL_EXPIRED,
    Disconnect.REVOKED,
    Disconnect.STALE,
)


def accepts_event_streams(handshake: Handshake) -> bool:
    """Return whether a client that is told of a temporary error by a stream comes back: see the module."""
    return "text/event-stream" in handshake.accept.lower() and handshake.parameters("errors") != ["status"]


def starting_position(command: Subscribe) -> str:
    """Return the position of a channel until it is subscribed: the one that the client came with, if it is one."""
    try:
        parse_position(command.since or "")
    except PositionError:
        return NO_HISTORY_POSITION
    return command.since or NO_HISTORY_POSITION


def credential_event(disconnect: AnyDisconnect) -> Message:
    """Make the event that tells a page to come back with a new credential."""
    return Message(event_lines("credential", {"code": disconnect.code, "reason": disconnect.reason}))


@implementer(IDialect)
class SSEDialect:
    """Event streams of one channel."""

    name = "sse"
    subprotocols = ()
    acceptance = Acceptance.AUTHENTICATED
    has_gap_event = True
    has_session = False
    is_verbatim = False
    has_pong = False

    def open(self, handshake: Handshake) -> Sequence[Command]:
        """Subscribe to the channels that the URL names, each once, in order, from the positions that the client has."""
        return read_subscriptions(handshake)

    def first_message(self, _handshake: Handshake) -> Message | None:
        """Find nothing: a stream has one direction."""
        return None

    def decode(self, message: Message, *, is_connected: bool) -> Sequence[Command]:
        """Reject every message: a stream has one direction."""
        raise ProtocolViolation(Disconnect.BAD_REQUEST)

    def encode(self, events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> Sequence[MessagePair]:
        """Make the lines of each event; see the module for what is left out."""
        is_base64 = frames is FrameType.BINARY
        found = [self._lines(event, is_base64=is_base64) for event in events]
        return [(lines, False) for lines in found if lines is not None]

    def reply(self, replies: Sequence[Reply]) -> Sequence[Message]:
        """Tell that the client is subscribed; nothing else has a form.

        A page learns its first position from that, unless something comes first that it has to get before it moves.
        """
        return [Message(self._subscribed_lines(reply)) for reply in replies if isinstance(reply, Subscribed)]

    def ping(self) -> None:
        """Leave the signs of life to the stream."""

    def close(self, disconnect: AnyDisconnect) -> Farewell:
        """Say why, unless the client comes back by itself and should."""
        messages: tuple[Message, ...] = ()
        if disconnect in _CREDENTIAL_DISCONNECTS:
            messages = (credential_event(disconnect),)
        elif not disconnect.reconnect:
            messages = (Message(event_lines("close", {"code": disconnect.code, "reason": disconnect.reason})),)
        return Farewell(disconnect.code, disconnect.reason, messages)

    def _subscribed_lines(self, reply: Subscribed) -> bytes:
        position = _first_position(reply)
        lines = event_lines("subscribed", {"channel": reply.channel})
        return id_line(position) + lines if position else lines

    def _lines(self, event: ChannelEvent, *, is_base64: bool) -> bytes | None:
        if type(event) is Publication:
            lines = _payload_lines(event.data, is_base64=is_base64)
            return lines if lines is None or not event.position else id_line(event.position.encode()) + lines
        if isinstance(event, Positioned):
            return id_line(event.position.encode())
        return _control_lines(event)


class SeveralChannelsDialect(SSEDialect):
    """Event streams of several channels. Events have no ids: each stream puts in its own (`EventBatch.with_ids`)."""

    name = "sse-several"

    def _subscribed_lines(self, reply: Subscribed) -> bytes:
        lines = event_lines("subscribed", {"channel": reply.channel})
        return PositionedLines(lines, reply.channel, _first_position(reply))

    def _lines(self, event: ChannelEvent, *, is_base64: bool) -> bytes | None:
        channel = event.channel
        if type(event) is Publication:
            lines = _payload_lines(event.data, is_base64=is_base64)
            if lines is None:
                return None
            return PositionedLines(b"event: message:%b\n%b" % (channel.encode(), lines), channel, _position(event))
        if isinstance(event, Positioned):
            return PositionedLines(b"", channel, _position(event))
        return PositionedLines(_control_lines(event), channel)


def read_subscriptions(handshake: Handshake) -> list[Subscribe]:
    """Return what the request for a stream asks for.

    Raises:
        HTTPError: It names no channel, one outside the grammar, or too many, or makes no sense in another way.
    """
    if handshake.query.count("&") >= MAX_PARAMETERS:
        raise HTTPError(_QUERY_TOO_LONG)
    if handshake.parameters("auth"):
        raise HTTPError(_NO_MESSAGES)
    channels = _channels(handshake)
    positions = _positions(handshake, len(channels))
    if positions is None:
        newest = read_newest(handshake)
        return [Subscribe(0, channel, newest=newest) for channel in channels]
    return [Subscribe(0, channel, since) for channel, since in zip(channels, positions, strict=True)]


def _channels(handshake: Handshake) -> list[str]:
    # latin-1 keeps every byte apart, so that a name outside ASCII fails the grammar and nothing else.
    first = unquote_to_bytes(handshake.path.removeprefix(PATH)).decode("latin-1")
    try:
        names = [check_channel(name) for name in (first, *handshake.parameters("channel"))]
    except ChannelError as error:
        text = f"Not a channel: {error}. Use {PATH}<channel>, and &channel=<channel> for each further one."
        raise HTTPError(ErrorResponse(400, text)) from None
    channels = list(dict.fromkeys(names))
    if len(channels) > MAX_STREAM_CHANNELS:
        raise HTTPError(_TOO_MANY)
    return channels


def _positions(handshake: Handshake, count: int) -> list[str] | None:
    """Return the positions that a client comes back with, one for each channel; None if it brings none."""
    text = _last_event_id(handshake)
    if not text:
        return None
    positions = text.split(",")
    if len(positions) != count:
        return [UNREADABLE_POSITION] * count
    # What is longer is no position; its beginning, one character too long, is none either.
    return [position[: MAX_POSITION_CHARACTERS + 1] for position in positions]


def _last_event_id(handshake: Handshake) -> str:
    if handshake.last_event_id:
        return handshake.last_event_id
    for name in _POSITION_PARAMETERS:
        # The newest of those that a client has added one after the other.
        if position := next(reversed(handshake.parameters(name)), ""):
            return position
    return ""


def _first_position(reply: Subscribed) -> bytes:
    """Return the position of a client that is subscribed; empty if publications or a gap come before it."""
    is_there = not reply.publications and (reply.recovered or not reply.was_recovering)
    return reply.position.encode() if is_there else b""


def _position(event: Publication | Positioned) -> bytes:
    return event.position.encode()


def _payload_lines(data: bytes, *, is_base64: bool) -> bytes | None:
    if is_base64:
        return b"data: %b" % b2a_base64(data)
    return data_lines(data) if data.isascii() or is_text(data) else None


def _control_lines(event: ChannelEvent) -> bytes:
    if isinstance(event, Gap):
        return event_lines("gap", {"channel": event.channel, "reason": event.reason.value})
    assert not isinstance(event, Publication | Positioned), event  # noqa: S101 -- those have lines of their own
    name = "join" if isinstance(event, Join) else "leave"
    return event_lines(name, {"channel": event.channel, "client": event.client, "user": event.user})
