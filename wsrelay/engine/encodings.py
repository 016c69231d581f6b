"""What publications are on the wire: made once for all who listen in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wsrelay.core.messaging.publications import Publication
from wsrelay.core.wire.deflate import Deflater
from wsrelay.core.wire.frames import message_frame
from wsrelay.interfaces import IDialect

__all__ = ["Encoding", "Encodings"]


class Encoding:
    """A dialect and a way to make frames of its messages. Listeners with the same one share their bytes.

    Args:
        dialect: The wire language.
        message_frame: Makes the frame of one message.
    """

    __slots__ = ("_dialect", "_message_frame")

    def __init__(self, dialect: IDialect, message_frame: Callable[[bytes], bytes] = message_frame) -> None:
        self._dialect = dialect
        self._message_frame = message_frame

    def encode(self, publications: Sequence[Publication]) -> bytes:
        """The frames of these publications of one channel, in this order, joined."""
        return self._dialect.encode(publications, self._message_frame)


class Encodings:
    """The encodings of one process, each made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, bool], Encoding] = {}

    def get(self, dialect: IDialect, *, compressed: bool = False) -> Encoding:
        """The one encoding for all listeners of a dialect who have, or have not, negotiated compression."""
        key = (dialect.name, compressed)
        found = self._made.get(key)
        if found is None:
            made = Encoding(dialect, Deflater().message_frame) if compressed else Encoding(dialect)
            found = self._made[key] = made
        return found
