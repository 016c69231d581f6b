"""Messages, which dialects make and read and transports frame, and farewells."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

__all__ = ["Farewell", "Message", "MessagePair", "is_text"]


class Message(NamedTuple):
    """One message on a connection, without the framing of its transport.

    Attributes:
        data: The bytes.
        is_binary: Whether it is binary. If False, the data is valid UTF-8 (RFC 6455 section 5.6).
    """

    data: bytes
    is_binary: bool = False


MessagePair: TypeAlias = tuple[bytes, bool]
"""A `Message`, or a plain pair of the same: on the path of every publication, where a pair costs a tenth."""


class Farewell(NamedTuple):
    """How a client is told that its connection ends.

    Attributes:
        code: The status code of the close frame (RFC 6455 section 7.4).
        reason: The text of the close frame, at most 123 bytes.
        messages: What is sent before it.
    """

    code: int
    reason: str
    messages: tuple[Message, ...] = ()


def is_text(data: bytes) -> bool:
    """Return whether data is valid UTF-8, so that it may be sent as a text message."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
