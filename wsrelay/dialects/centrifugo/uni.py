"""The part of Centrifugo's client protocol for clients that only receive, which need no SDK.

::

    new EventSource('https://host/connection/uni_sse?cf_connect={"subs":{"news":{}}}')        (percent-encoded)
    curl -N -d '{"subs": {"news": {}}}' https://host/connection/uni_http_stream
    new WebSocket("wss://host/connection/uni_websocket"), and as its first message the same object

    {"connect": {"client": "5f0c...", "version": "...", "ping": 25, "subs": {"news": {...}}, "session": "..."}}
    {"channel": "news", "pub": {"data": ..., "offset": 137438957568}}
    {}                                                                                        a ping, without an answer
    {"disconnect": {"code": 3001, "reason": "service restart"}}

The client's one message is its connect: `token` and `subs`, the channels that it wants. Each that it may subscribe to
without a token of its own is among the `subs` of the first push, and nothing is said of the others. Every push is one
message. The last one tells why the connection ends, also where it never began: a client whose connect fails gets
nothing else.

Sources: the page "Unidirectional transports" of Centrifugo's documentation, and `client.proto`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from wsrelay.core.messaging.commands import Command
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Farewell, Message
from wsrelay.core.messaging.publications import ChannelEvent
from wsrelay.core.messaging.replies import Reply
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.outcomes.errors import ProtocolViolation
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.json_text import parse_json
from wsrelay.dialects.centrifugo.carried import carried_connect
from wsrelay.dialects.centrifugo.codes import disconnect_push, farewell
from wsrelay.dialects.centrifugo.commands import read_connect_request
from wsrelay.dialects.centrifugo.json import write_document, write_push
from wsrelay.dialects.centrifugo.replies import reply_document
from wsrelay.interfaces import IDialect

__all__ = ["UniDialect", "UniStreamDialect"]

_PING = Message(b"{}")


@implementer(IDialect)
class UniDialect:
    """Pushes alone, in JSON. The connect comes in the query, or as the first message."""

    name = "centrifugo-uni"
    subprotocols = ()
    acceptance = Acceptance.AT_ONCE
    has_gap_event = False
    has_session = True
    is_verbatim = False
    has_pong = False

    def open(self, _handshake: Handshake) -> Sequence[Command]:
        """Ask for nothing: the connect asks for everything."""
        return ()

    def first_message(self, handshake: Handshake) -> Message | None:
        """Return the connect that a request carries."""
        carried = carried_connect(handshake)
        return None if carried is None else Message(carried)

    def decode(self, message: Message, *, is_connected: bool) -> Sequence[Command]:
        """Read the connect. What a client sends behind it means nothing, as with Centrifugo."""
        if is_connected:
            return ()
        try:
            document = parse_json(message.data.decode())
        except ValueError:
            raise ProtocolViolation(Disconnect.BAD_REQUEST) from None
        return [read_connect_request(document)]

    def encode(self, events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> Sequence[Message]:
        """Make one message of each event, in which publications are JSON."""
        return [Message(push) for push in map(write_push, events) if push]

    def reply(self, replies: Sequence[Reply]) -> Sequence[Message]:
        """Make one message of each push, the answer to the connect among them; nothing else has a form."""
        pushes = [_push_of(reply_document(each)) for each in replies]
        return [Message(write_document(push)) for push in pushes if push is not None]

    def ping(self) -> Message:
        """Return the ping of the protocol."""
        return _PING

    def close(self, disconnect: AnyDisconnect) -> Farewell:
        """Close with Centrifugo's code, and tell it before: most clients see no other end than that of a stream."""
        code, reason, _messages = farewell(disconnect)
        return Farewell(code, reason, (Message(write_document(disconnect_push(disconnect))),))


class UniStreamDialect(UniDialect):
    """The same for streams, on which no message can follow: without a connect it is one without token and channels."""

    def first_message(self, handshake: Handshake) -> Message:
        """Return the connect that a request carries, or an empty one."""
        return super().first_message(handshake) or Message(b"{}")


def _push_of(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the push that a reply amounts to. None if it is none."""
    if "connect" in document:
        # Nobody can answer a ping.
        return {"connect": {name: value for name, value in document["connect"].items() if name != "pong"}}
    return document.get("push")
