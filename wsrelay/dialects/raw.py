"""The raw dialect: one channel per URL, payload verbatim.

::

    ws://host/ws/<channel>

    relay -> client   what the channel carries: a text message where it is valid UTF-8, else a binary one, unless the
                      namespace has another type of `frames`
    client -> relay   what is published to the channel, where its namespace permits

Nothing is added in either direction, so `redis-cli PUBLISH` and a browser's `new WebSocket(...)` are all it takes.

A client that can put its credential nowhere else sends it as its first message::

    ws://host/ws/<channel>?auth=message

    client -> relay   {"token": "..."} or {"ticket": "..."}
    relay -> client   {"subscribed": "<channel>"}, or a close that says why not
    and from here on as above

A client that receives on another connection, such as an event stream, only publishes here. It is no subscriber, is sent
nothing, and nobody is told that it is here::

    ws://host/ws/<channel>?subscribe=false
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from zope.interface import implementer

from wsrelay.core.access.credentials import read_credential
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.commands import Command, Connect, Publish, Subscribe
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Farewell, Message, MessagePair, is_text
from wsrelay.core.messaging.publications import ChannelEvent, Publication
from wsrelay.core.messaging.replies import Reply, Subscribed
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.core.outcomes.errors import ChannelError, HTTPError
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects.newest import read_newest
from wsrelay.interfaces import IDialect

__all__ = ["PATH", "RawDialect"]

PATH = "/ws/"
"""Where the dialect is spoken; the channel's name follows."""

_NOT_A_CHOICE = ErrorResponse(400, "subscribe is true, or false for a client that only publishes.")
_NOTHING_RECEIVED = ErrorResponse(400, "A client with subscribe=false receives nothing: leave out history.")


@implementer(IDialect)
class RawDialect:
    """One channel per URL, payload verbatim."""

    name = "raw"
    subprotocols = ("wsrelay",)
    acceptance = Acceptance.SUBSCRIBED
    has_gap_event = False
    has_session = False
    is_verbatim = True
    has_pong = False

    def open(self, handshake: Handshake) -> Sequence[Command]:
        """Subscribe to the channel that the URL names, percent-decoded (RFC 3986 section 2.1).

        Its newest messages come first if the query has `history`. With `subscribe=false` the client only publishes.
        """
        plain = _subscribe(handshake.path)
        if not handshake.query:
            return plain
        newest = read_newest(handshake)
        only_publishes = _only_publishes(handshake)
        if only_publishes and newest:
            raise HTTPError(_NOTHING_RECEIVED)
        return [Subscribe(0, plain[0].channel, newest=newest, only_publishes=only_publishes)]

    def first_message(self, _handshake: Handshake) -> Message | None:
        """Find nothing: a credential that is promised comes as a message of its own."""
        return None

    def decode(self, message: Message, *, is_connected: bool) -> Sequence[Command]:
        """Take every message for a publication on the client's channel, but for a credential that is still to come."""
        if is_connected:
            return [Publish(0, None, message.data)]
        return [Connect(0, read_credential(message.data))]

    def encode(self, events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> Sequence[MessagePair]:
        """Make one message of each publication. There is no form for joins and leaves."""
        if frames is FrameType.BINARY:
            return [(each.data, True) for each in events if type(each) is Publication]
        if len(events) == 1 and type(event := events[0]) is Publication:
            # Most batches are one publication, and by hand it costs half as much.
            return ((data := event.data, not data.isascii() and not is_text(data)),)
        # Most text is ASCII, which is found out without a call.
        return [
            (data := each.data, not data.isascii() and not is_text(data))
            for each in events
            if type(each) is Publication
        ]

    def reply(self, replies: Sequence[Reply]) -> Sequence[Message]:
        """Confirm the subscription of a client whose credential was its first message; nothing else has a form."""
        return [
            Message(json.dumps({"subscribed": reply.channel}).encode())
            for reply in replies
            if isinstance(reply, Subscribed)
        ]

    def ping(self) -> None:
        """Leave pings to the WebSocket."""

    def close(self, disconnect: AnyDisconnect) -> Farewell:
        """Close with the codes of the table as they are."""
        return Farewell(disconnect.code, disconnect.reason)


@lru_cache(maxsize=1024)
def _subscribe(path: str) -> tuple[Subscribe]:
    """Return what a path asks for, shared by all clients that ask for it.

    Raises:
        HTTPError: It names no channel.
    """
    # latin-1 keeps every byte apart, so that a name outside ASCII fails the grammar and nothing else.
    name = unquote_to_bytes(path.removeprefix(PATH)).decode("latin-1")
    try:
        return (Subscribe(0, check_channel(name)),)
    except ChannelError as error:
        raise HTTPError(ErrorResponse(400, f"Not a channel: {error}. Use /ws/<channel>.")) from None


def _only_publishes(handshake: Handshake) -> bool:
    values = handshake.parameters("subscribe")
    if values not in ([], ["true"], ["false"]):
        raise HTTPError(_NOT_A_CHOICE)
    return values == ["false"]
