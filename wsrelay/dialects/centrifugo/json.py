"""The JSON form of Centrifugo's client protocol.

::

    ws://host/connection/websocket

    client -> relay   {"id": 1, "connect": {"token": "..."}}
                      {"id": 2, "subscribe": {"channel": "news"}}
    relay -> client   {"id": 1, "connect": {"client": "5f0c...", "ping": 25, "pong": true, ...}}
                      {"id": 2, "subscribe": {}}
                      {"push": {"channel": "news", "pub": {"data": ...}}}
    relay -> client   {}                                                        a ping, answered with {}

A text message carries one or more objects, separated by line feeds. Errors are `{"id": 2, "error": {"code": 103,
"message": "permission denied"}}`. The data of a publication is JSON: what is valid JSON in Redis is passed on byte for
byte, with spaces for line breaks, anything else as a JSON string, with what is not UTF-8 in it replaced (U+FFFD).

Sources: `client.proto` of github.com/centrifugal/protocol, the documentation of Centrifugo, and the published SDKs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zope.interface import implementer

from wsrelay import __version__
from wsrelay.core.access.credentials import Credential, CredentialKind, check_credential
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.commands import Command, Connect, Pong, Publish, Subscribe, Unsubscribe, Unsupported
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Farewell, Message
from wsrelay.core.messaging.publications import ChannelEvent, Publication
from wsrelay.core.messaging.replies import (
    Connected,
    Failed,
    Published,
    Reply,
    Subscribed,
    Unsubscribed,
)
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.outcomes.errors import ChannelError, ProtocolViolation, RejectedError
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.json_text import dump_json, embed_json, parse_json
from wsrelay.dialects.centrifugo.codes import DISCONNECT_CODES, error_code, unsubscribe_code
from wsrelay.interfaces import IDialect

__all__ = ["MAX_COMMANDS_PER_MESSAGE", "PATH", "JSONDialect"]

PATH = "/connection/websocket"
"""Where the dialect is spoken: Centrifugo's default."""

MAX_COMMANDS_PER_MESSAGE = 256
"""Commands in one message: a connect and every subscribe of a client that reconnects, and as many again."""

_MAX_ID = 2**32 - 1
"""Command ids are unsigned and have 32 bits (`client.proto`)."""

_PING = Message(b"{}")
_EMPTY: Mapping[str, object] = {}

_UNSUPPORTED = frozenset(("history", "ping", "presence", "presence_stats", "refresh", "rpc", "sub_refresh"))
"""Methods of the protocol that are answered with error 108, "not available"."""


@implementer(IDialect)
class JSONDialect:
    """Centrifugo's client protocol in JSON."""

    name = "centrifugo-json"
    subprotocols = ("centrifuge-json",)
    acceptance = Acceptance.AT_ONCE
    has_gap_event = False

    def open(self, _handshake: Handshake) -> Sequence[Command]:
        """Ask for nothing: everything is asked by commands."""
        return ()

    def decode(self, message: Message, *, is_connected: bool) -> Sequence[Command]:
        """Read the commands of a message. The client's credential is one of them, whether it is connected or not."""
        if message.is_binary:
            raise ProtocolViolation(Disconnect.BAD_REQUEST)
        lines = [line for line in message.data.decode().split("\n") if line.strip()]
        if not 0 < len(lines) <= MAX_COMMANDS_PER_MESSAGE:
            raise ProtocolViolation(Disconnect.BAD_REQUEST)
        return [_read_command(line) for line in lines]

    def encode(self, events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> Sequence[Message]:
        """Make one message of all publications, which are JSON inside it. Joins and leaves have no form yet."""
        pushes = [_publication(each) for each in events if isinstance(each, Publication)]
        return (Message(b"\n".join(pushes)),) if pushes else ()

    def reply(self, replies: Sequence[Reply]) -> Sequence[Message]:
        """Make one message of all replies."""
        lines = [dump_json(_reply(each)) for each in replies]
        return (Message(b"\n".join(lines)),) if lines else ()

    def ping(self) -> Message:
        """Return the ping of the protocol."""
        return _PING

    def close(self, disconnect: AnyDisconnect) -> Farewell:
        """Close with Centrifugo's code. The reason is our own; it is never JSON, which an SDK would try to read."""
        code = DISCONNECT_CODES[disconnect] if isinstance(disconnect, Disconnect) else disconnect.code
        return Farewell(code, disconnect.reason)


# Commands


def _read_command(line: str) -> Command:
    try:
        document = parse_json(line)
    except ValueError:
        raise ProtocolViolation(Disconnect.BAD_REQUEST) from None
    if not isinstance(document, dict):
        raise ProtocolViolation(Disconnect.BAD_REQUEST)
    if not document:
        return Pong()
    command_id = document.pop("id", 0)
    if type(command_id) is not int or not 0 < command_id <= _MAX_ID or len(document) != 1:
        # Among them `send`, which has no id and is never answered: nothing here takes it.
        raise ProtocolViolation(Disconnect.BAD_REQUEST)
    ((method, request),) = document.items()
    if method in _UNSUPPORTED:
        return Unsupported(command_id, ClientError.NOT_SUPPORTED)
    read = _READERS.get(method)
    if read is None or not isinstance(request, dict):
        raise ProtocolViolation(Disconnect.BAD_REQUEST)
    return read(command_id, request)


def _connect(command_id: int, request: dict[str, Any]) -> Command:
    token = request.get("token")
    if token is None:
        token = ""
    if not isinstance(token, str):
        raise ProtocolViolation(Disconnect.BAD_REQUEST)
    return Connect(command_id, _credential(token) if token else None)


def _credential(token: str) -> Credential:
    """Return what a client gives as its token: a token has three parts, anything else is a ticket.

    Raises:
        RejectedError: It is neither.
    """
    try:
        return check_credential(CredentialKind.TOKEN if token.count(".") == 2 else CredentialKind.TICKET, token)
    except RejectedError:
        # An SDK that was told "get another one" would ask for the same again, without end.
        raise RejectedError(ClientError.TOKEN) from None


def _subscribe(command_id: int, request: dict[str, Any]) -> Command:
    channel = _channel(request)
    if channel is None or request.get("tf"):
        return Unsupported(command_id, ClientError.BAD_REQUEST)
    if request.get("type"):
        return Unsupported(command_id, ClientError.NOT_SUPPORTED)
    return Subscribe(command_id, channel, "" if request.get("recover") is True else None)


def _unsubscribe(command_id: int, request: dict[str, Any]) -> Command:
    channel = request.get("channel")
    if not isinstance(channel, str):
        return Unsupported(command_id, ClientError.BAD_REQUEST)
    # Also a name that no channel can have: it is not subscribed, and an SDK that gets an error here reconnects.
    return Unsubscribe(command_id, channel)


def _publish(command_id: int, request: dict[str, Any]) -> Command:
    channel = _channel(request)
    try:
        data = dump_json(request["data"])
    except (KeyError, ValueError):
        # There is none, or it has a number that is too large for any reader (1e999), or it is nested too deeply.
        return Unsupported(command_id, ClientError.BAD_REQUEST)
    return Unsupported(command_id, ClientError.BAD_REQUEST) if channel is None else Publish(command_id, channel, data)


def _channel(request: Mapping[str, Any]) -> str | None:
    name = request.get("channel")
    try:
        return check_channel(name) if isinstance(name, str) else None
    except ChannelError:
        return None


_READERS: dict[str, Callable[[int, dict[str, Any]], Command]] = {
    "connect": _connect,
    "publish": _publish,
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
}


# Replies


def _reply(reply: Reply) -> dict[str, Any]:
    """Return the object of a reply. A success has its method's object, empty if need be."""
    match reply:
        case Connected(command_id, client, ping_seconds):
            pings = {"ping": ping_seconds, "pong": True} if ping_seconds else {}
            return {"id": command_id, "connect": {"client": client, "version": f"wsrelay {__version__}", **pings}}
        case Subscribed(command_id, _, _, was_recovering, recovered):
            flags = {"was_recovering": was_recovering, "recovered": recovered}
            return {"id": command_id, "subscribe": {name: True for name, is_set in flags.items() if is_set}}
        case Unsubscribed(command_id):
            return {"id": command_id, "unsubscribe": _EMPTY}
        case Published(command_id):
            return {"id": command_id, "publish": _EMPTY}
        case Failed(command_id, error):
            return {"id": command_id, "error": _error(error)}
        case _:  # SubscriptionEnded, the one that is left; mypy sees to that
            body = {"code": unsubscribe_code(reply.disconnect), "reason": reply.disconnect.reason}
            return {"push": {"channel": reply.channel, "unsubscribe": body}}


def _error(error: ClientError) -> dict[str, Any]:
    code, message, is_temporary = error_code(error)
    # An SDK needs both code and message.
    return {"code": code, "message": message, **({"temporary": True} if is_temporary else {})}


def _publication(publication: Publication) -> bytes:
    # Spliced, because the data is by far the longest part and most of it is JSON already.
    return b'{"push":{"channel":%s,"pub":{"data":%s}}}' % (dump_json(publication.channel), embed_json(publication.data))
