"""The JSON form of Centrifugo's client protocol.

::

    ws://host/connection/websocket

    client -> relay   {"id": 1, "connect": {"token": "..."}}
                      {"id": 2, "subscribe": {"channel": "news"}}
    relay -> client   {"id": 1, "connect": {"client": "5f0c...", "ping": 25, "pong": true, ...}}
                      {"id": 2, "subscribe": {"recoverable": true, "offset": 137438953472, ...}}
                      {"push": {"channel": "news", "pub": {"data": ..., "offset": 137438957568}}}
    relay -> client   {}                                                        a ping, answered with {}

A text message carries one or more objects, separated by line feeds. Errors are `{"id": 2, "error": {"code": 103,
"message": "permission denied"}}`. The data of a publication is JSON: what is valid JSON in Redis is passed on byte for
byte, with spaces for line breaks, anything else as a JSON string, with what is not UTF-8 in it replaced (U+FFFD).

Sources: `client.proto` of github.com/centrifugal/protocol, the documentation of Centrifugo, and the published SDKs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

from zope.interface import implementer

from wsrelay.core.messaging.commands import Command, Connect, Subscribe
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message, MessagePair
from wsrelay.core.messaging.publications import ChannelEvent, Publication
from wsrelay.core.messaging.replies import Connected, Published, Reply, Subscribed
from wsrelay.core.messaging.subscription_start import NO_TERMS
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ProtocolViolation
from wsrelay.core.wire.json_text import dump_json, embed_json, parse_json
from wsrelay.dialects.centrifugo.command_dialect import CommandDialect
from wsrelay.dialects.centrifugo.commands import MAX_COMMANDS_PER_MESSAGE, Document, read_command
from wsrelay.dialects.centrifugo.replies import (
    VERSION,
    event_document,
    is_told,
    publication_info,
    publication_offset,
    publication_tags,
    reply_document,
)
from wsrelay.dialects.centrifugo.usual_publish import read_usual_publish
from wsrelay.interfaces import IDialect

T = TypeVar("T")
U = TypeVar("U")

__all__ = ["MAX_REMEMBERED", "PATH", "JSONDialect", "write_document", "write_push", "write_reply"]

PATH = "/connection/websocket"
"""Where the dialect is spoken: Centrifugo's default."""

MAX_REMEMBERED = 1024
"""How many lines are remembered, and how many messages."""

MAX_REMEMBERED_LENGTH = 300
"""The longest of either: a channel's name has 255 characters."""

_PING = Message(b"{}")

_CONNECTED = b'{"id":%d,"connect":{"client":"%b","version":%b,"ping":%d,"pong":true}}'

_VERSION = dump_json(VERSION)


@implementer(IDialect)
class JSONDialect(CommandDialect):
    """Centrifugo's client protocol in JSON."""

    name = "centrifugo-json"
    subprotocols = ("centrifuge-json",)

    def decode(self, message: Message, *, is_connected: bool) -> Sequence[Command]:
        """Read the commands of a message. The client's credential is one of them, whether it is connected or not."""
        if message.is_binary:
            raise ProtocolViolation(Disconnect.BAD_REQUEST)
        remembered = _remembered_messages.get(message.data)
        if remembered is not None:
            return remembered
        try:
            text = message.data.decode()
        except UnicodeDecodeError:
            # Not on a WebSocket, whose text has been checked.
            raise ProtocolViolation(Disconnect.BAD_REQUEST) from None
        usual = read_usual_publish(text)
        if usual is not None:
            return (usual,)
        lines = [line for line in text.split("\n") if line and not line.isspace()]
        if not 0 < len(lines) <= MAX_COMMANDS_PER_MESSAGE:
            raise ProtocolViolation(Disconnect.BAD_REQUEST)
        commands = [_remembered.get(line) or _read(line) for line in lines]
        if len(text) <= MAX_REMEMBERED_LENGTH and all(line in _remembered for line in lines):
            _remember(_remembered_messages, message.data, commands)
        return commands

    def encode(self, events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> Sequence[MessagePair]:
        """Make one message of all events, in which publications are JSON."""
        if len(events) == 1:
            # Most batches are one publication.
            push = write_push(events[0])
            return ((b'{"push":%b}' % push, False),) if push else ()
        pushes = [b'{"push":%b}' % push for push in map(write_push, events) if push]
        return ((b"\n".join(pushes), False),) if pushes else ()

    def reply(self, replies: Sequence[Reply]) -> Sequence[Message]:
        """Make one message of all replies."""
        if len(replies) == 1 and type(replies[0]) is Published:
            return (Message(write_reply(replies[0])),)
        lines = [write_reply(each) for each in replies if is_told(each)]
        return (Message(b"\n".join(lines)),) if lines else ()

    def ping(self) -> Message:
        """Return the ping of the protocol."""
        return _PING


def write_document(value: Any) -> bytes:
    """Return a document as JSON on one line. Bytes in it are put in as they are, if they are JSON, else as a string."""
    try:
        return dump_json(value)
    except TypeError:
        return _splice(value)


def _splice(value: Any) -> bytes:
    """Return a document with bytes in it as JSON."""
    if isinstance(value, bytes):
        return embed_json(value)
    if isinstance(value, dict):
        return b"{%b}" % b",".join([b"%b:%b" % (dump_json(name), _splice(each)) for name, each in value.items()])
    if isinstance(value, list):
        return b"[%b]" % b",".join(map(_splice, value))
    return dump_json(value)


_remembered: dict[str, Command] = {}

_remembered_messages: dict[bytes, Sequence[Command]] = {}
"""Messages of nothing but remembered lines: the connect and the subscribe that most clients send together."""


def _remember(remembered: dict[T, U], key: T, value: U) -> None:
    if len(remembered) >= MAX_REMEMBERED:
        remembered.clear()
    remembered[key] = value


def _read(line: str) -> Command:
    """Return the command of a line.

    The connect of a client without a credential and the subscribe to a plain channel are the same text from one client
    to the next, and are remembered; nothing is that only one client can have sent.
    """
    usual = read_usual_publish(line)
    if usual is not None:
        return usual
    command = read_command(_read_document(line))
    if len(line) <= MAX_REMEMBERED_LENGTH and (command == Connect(1, None) or _is_plain(command)):
        _remember(_remembered, line, command)
    return command


def _is_plain(command: Command) -> bool:
    return isinstance(command, Subscribe) and command == Subscribe(command.id, command.channel)


def write_reply(reply: Reply) -> bytes:
    """Return a reply as JSON. The replies that nearly every client gets are put together without a document."""
    if type(reply) is Published:
        return b'{"id":%d,"publish":{}}' % reply.id
    if type(reply) is Subscribed:
        is_plain = not (reply.position or reply.since is not None or reply.recovered or reply.publications)
        if reply.id and is_plain and reply.terms is NO_TERMS:
            return b'{"id":%d,"subscribe":{}}' % reply.id
    elif type(reply) is Connected:
        client, seconds = reply.client, reply.ping_seconds
        is_plain = not (reply.subscriptions or reply.expires_seconds is not None or reply.session or reply.node)
        if seconds and is_plain and client.isascii() and client.isalnum():
            return _CONNECTED % (reply.id, client.encode(), _VERSION, seconds)
    return write_document(reply_document(reply))


def _read_document(line: str) -> object:
    try:
        document = parse_json(line)
    except ValueError:
        raise ProtocolViolation(Disconnect.BAD_REQUEST) from None
    if isinstance(document, dict):
        for request in document.values():
            if isinstance(request, dict) and "data" in request:
                _take_data(request)
    return document


def _take_data(request: Document) -> None:
    """Make bytes of the one field in which a client passes JSON on."""
    try:
        request["data"] = dump_json(request["data"])
    except ValueError:
        # A number that is too large for any reader (1e999), or it is nested too deeply.
        request["data"] = None


@lru_cache(maxsize=1024)
def _beginning(channel: str) -> bytes:
    """Return the beginning of a publication's push, which is the same for all of a channel."""
    return b'{"channel":%b,"pub":{"data":' % dump_json(channel)


def write_push(event: ChannelEvent) -> bytes:
    """Return the push of an event as JSON. Empty if the protocol has no form for it."""
    if not isinstance(event, Publication):
        document = event_document(event)
        return b"" if document is None else write_document(document["push"])
    # Spliced, because the data is by far the longest part and most of it is JSON already.
    head = _beginning(event.channel) + embed_json(event.data)
    if event.origin is None:
        return head + b"}}"
    if info := publication_info(event):
        head += b',"info":%b' % write_document(info)
    if offset := publication_offset(event):
        head += b',"offset":%d' % offset
    if tags := publication_tags(event):
        head += b',"tags":%b' % dump_json(tags)
    return head + b"}}"
