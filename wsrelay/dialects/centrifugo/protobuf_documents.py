"""Commands and replies of Centrifugo's client protocol in Protobuf, as documents.

A document is what the JSON form has as an object, with the same names: `{"id": 2, "subscribe": {"channel": "news"}}`.
Payloads, and whatever else the schema has as bytes, are bytes in it. One message of a transport carries one or more
commands or replies, each behind its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from wsrelay.core.wire.protobuf import Document, decode, encode, read_block, write_block, write_varint
from wsrelay.dialects.centrifugo.schema import CLIENT_INFO, COMMAND, PUBLICATION, REPLY

__all__ = ["read_commands", "write_publication", "write_replies"]


def read_commands(data: bytes, max_commands: int) -> list[Document]:
    """Read the commands of a message. An empty one is a pong.

    Args:
        data: The message.
        max_commands: How many it may have.

    Raises:
        ValueError: The message is empty or malformed, or has more.
    """
    blocks: list[bytes] = []
    at = 0
    while at < len(data):
        if len(blocks) == max_commands:
            raise ValueError(f"more than {max_commands} commands")
        block, at = read_block(data, at)
        blocks.append(block)
    if not blocks:
        raise ValueError("no command")
    return [decode(COMMAND, each) for each in blocks]


def write_replies(documents: Iterable[Mapping[str, Any]]) -> bytes:
    """Write replies as one message. An empty one is a ping.

    Raises:
        ValueError: A document is none of a reply.
    """
    return b"".join([write_block(encode(REPLY, each)) for each in documents])


# Tags: of Reply.push, Push.channel and Push.pub, and of a publication's fields.
_PUSH, _CHANNEL, _PUB = b"\x22", b"\x12", b"\x22"
_DATA, _INFO, _OFFSET = b"\x22", b"\x2a", b"\x30"


def write_publication(
    channel: str,
    data: bytes,
    offset: int = 0,
    info: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """Write the push of a publication as one reply behind its length.

    The bytes are those of `write_replies`, without its way through the tables: every message of every channel is
    written here.

    Args:
        channel: The channel's name.
        data: The payload.
        offset: The publication's offset, from 1 on. 0 in a channel without history.
        info: The client that published it, as a document. If None, it was no client.
        tags: The publication's tags.
    """
    name = channel.encode()
    parts = [_DATA, write_varint(len(data)), data] if data else []
    if info is not None:
        parts += (_INFO, write_block(encode(CLIENT_INFO, info)))
    if offset:
        parts += (_OFFSET, write_varint(offset))
    if tags:
        parts.append(encode(PUBLICATION, {"tags": tags}))
    publication = b"".join(parts)
    push = b"".join((_CHANNEL, write_varint(len(name)), name, _PUB, write_varint(len(publication)), publication))
    size = write_varint(len(push))
    return b"".join((write_varint(1 + len(size) + len(push)), _PUSH, size, push))
