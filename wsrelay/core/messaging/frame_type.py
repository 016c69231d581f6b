"""The choice of the type of frame that publications are sent in."""

from __future__ import annotations

from enum import Enum

__all__ = ["FrameType"]


class FrameType(Enum):
    """How the publications of a channel are sent, in dialects that pass them on as they are. A namespace chooses.

    A message that is published through Redis carries no type, and neither does what comes from there to other
    processes. So the type of a client's own message is not known either when it comes back.

    Attributes:
        value: The operator's word for it.
    """

    AUTO = "auto"
    """As text if the data is valid UTF-8, else as binary. Binary data is now and then valid UTF-8 by chance, such as
    the bytes 08 01 of a Protobuf message: a client that expects binary has to take both."""

    TEXT = "text"
    """As text. What is not valid UTF-8 cannot be (RFC 6455 section 5.6), and is not sent."""

    BINARY = "binary"
    """As binary, whatever it is."""
