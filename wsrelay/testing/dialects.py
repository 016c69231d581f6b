"""Test doubles of dialects and framings."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from wsrelay.core.access.credentials import read_credential
from wsrelay.core.messaging.commands import Command, Connect, Publish, Subscribe
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Farewell, Message, MessagePair
from wsrelay.core.messaging.publications import ChannelEvent, Publication
from wsrelay.core.messaging.replies import Reply, Subscribed
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.outcomes.errors import ProtocolViolation
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.encodings import Encoding
from wsrelay.interfaces import IDialect

__all__ = ["LineDialect", "LineFraming"]


class LineFraming:
    """One line for each message. Implements `wsrelay.core.wire.framing.Framing`."""

    name = "line"
    text_headers: tuple[bytes, ...] = ()

    def frame(self, messages: Sequence[MessagePair]) -> bytes:
        """See `Framing.frame`."""
        return b"".join([data + b"\n" for data, _is_binary in messages])


@implementer(IDialect)
class LineDialect:
    """The simplest dialect that does everything a raw one does, for several channels on one connection.

    Its URL path ends in the names of the channels, with commas between them. A publication is a message, and a message
    is published to the first channel. Binary messages make no sense in it.

    Args:
        name: See `IDialect.name`.

    Attributes:
        encoding: The dialect in the framing of lines.
        batches: The number of calls of `encode`.
        is_broken: Whether `encode` raises instead.
    """

    subprotocols = ()
    acceptance = Acceptance.SUBSCRIBED
    has_gap_event = False
    has_session = False
    is_verbatim = False
    has_pong = True

    def __init__(self, name: str = "line") -> None:
        self.name = name
        self.encoding = Encoding(self, LineFraming())
        self.batches = 0
        self.is_broken = False

    def open(self, handshake: Handshake) -> Sequence[Command]:
        """See `IDialect.open`."""
        names = handshake.path.rpartition("/")[2]
        return [Subscribe(0, name) for name in names.split(",") if name]

    def first_message(self, _handshake: Handshake) -> Message | None:
        """See `IDialect.first_message`."""
        return None

    def decode(self, message: Message, *, is_connected: bool) -> Sequence[Command]:
        """See `IDialect.decode`."""
        if message.is_binary:
            raise ProtocolViolation(Disconnect.PROTOCOL_ERROR)
        return [Publish(0, None, message.data) if is_connected else Connect(0, read_credential(message.data))]

    def encode(self, events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> Sequence[Message]:
        """See `IDialect.encode`. Joins and leaves have no form."""
        self.batches += 1
        if self.is_broken:
            raise RuntimeError("the dialect is broken")
        return [Message(each.data) for each in events if isinstance(each, Publication)]

    def reply(self, replies: Sequence[Reply]) -> Sequence[Message]:
        """See `IDialect.reply`. Nothing but a confirmation has a form."""
        return [Message(b"subscribed " + each.channel.encode()) for each in replies if isinstance(each, Subscribed)]

    def ping(self) -> Message:
        """See `IDialect.ping`."""
        return Message(b"ping")

    def close(self, disconnect: AnyDisconnect) -> Farewell:
        """See `IDialect.close`."""
        return Farewell(disconnect.code, disconnect.reason, (Message(b"bye"),))
