"""The Protobuf form of Centrifugo's client protocol, which the SDKs for Dart, Swift, Java and C# speak.

It is spoken at the path of the JSON form, by clients that offer the subprotocol ``centrifuge-protobuf`` or ask for it
in the query: ``?cf_protocol=protobuf``. Messages are binary, and payloads are passed on byte for byte.

Source: `client.proto` of github.com/centrifugal/protocol.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from wsrelay.core.messaging.commands import Command
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import ChannelEvent, Publication
from wsrelay.core.messaging.replies import Reply
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ProtocolViolation
from wsrelay.dialects.centrifugo.command_dialect import CommandDialect
from wsrelay.dialects.centrifugo.commands import MAX_COMMANDS_PER_MESSAGE, read_command
from wsrelay.dialects.centrifugo.protobuf_documents import read_commands, write_publication, write_replies
from wsrelay.dialects.centrifugo.replies import (
    event_document,
    is_told,
    publication_info,
    publication_offset,
    publication_tags,
    reply_document,
)
from wsrelay.interfaces import IDialect

__all__ = ["ProtobufDialect"]

_PING = Message(write_replies([{}]), is_binary=True)


@implementer(IDialect)
class ProtobufDialect(CommandDialect):
    """Centrifugo's client protocol in Protobuf."""

    name = "centrifugo-protobuf"
    subprotocols = ("centrifuge-protobuf",)

    def decode(self, message: Message, *, is_connected: bool) -> Sequence[Command]:
        """Read the commands of a message. The client's credential is one of them, whether it is connected or not."""
        if not message.is_binary:
            raise ProtocolViolation(Disconnect.BAD_REQUEST)
        try:
            documents = read_commands(message.data, MAX_COMMANDS_PER_MESSAGE)
        except ValueError:
            raise ProtocolViolation(Disconnect.BAD_REQUEST) from None
        return [read_command(each) for each in documents]

    def encode(self, events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> Sequence[Message]:
        """Make one message of all events."""
        data = b"".join(map(_push, events))
        return (Message(data, is_binary=True),) if data else ()

    def reply(self, replies: Sequence[Reply]) -> Sequence[Message]:
        """Make one message of all replies."""
        data = write_replies(map(reply_document, filter(is_told, replies)))
        return (Message(data, is_binary=True),) if data else ()

    def ping(self) -> Message:
        """Return the ping of the protocol."""
        return _PING


def _push(event: ChannelEvent) -> bytes:
    if isinstance(event, Publication):
        info, tags = publication_info(event), publication_tags(event)
        return write_publication(event.channel, event.data, publication_offset(event), info, tags)
    document = event_document(event)
    return b"" if document is None else write_replies([document])
