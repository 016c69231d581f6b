"""The two kinds of clients of a walk: those that are told of a gap by an event, and those that resume by offset."""

from __future__ import annotations

from collections.abc import Sequence

from wsrelay.core.history.offsets import EPOCH, position_of_offset, position_offset
from wsrelay.core.messaging.publications import ChannelEvent, Gap, Publication
from wsrelay.dialects.centrifugo.replies import publication_offset
from wsrelay.engine.encodings import Encoding

__all__ = ["ENCODINGS", "LINES", "OFFSETS", "WalkEncoding"]


class WalkEncoding(Encoding):
    """Makes a line of each event, as it is for event streams: whole positions, and a line for a gap.

    Attributes:
        has_gap_event: See `Encoding`.
        has_positions: See `Encoding`.
        has_fingerprints: Whether a position tells two entries of the same ID apart.
    """

    __slots__ = ("has_fingerprints",)

    def __init__(self, *, has_gap_event: bool = True, has_fingerprints: bool = True) -> None:
        self.has_gap_event = has_gap_event
        self.has_positions = True
        self.has_fingerprints = has_fingerprints

    def encode(self, events: Sequence[ChannelEvent]) -> bytes:
        """See `Encoding.encode`."""
        return b"".join(map(self._line, events))

    def read_position(self, text: str) -> str:
        """Return the position that a client resumes from which was sent this one in a line."""
        return text

    def keep_position(self, position: str) -> str:
        """Return the position that a client resumes from which is told this one at the start of its subscription."""
        return position

    def _line(self, event: ChannelEvent) -> bytes:
        if isinstance(event, Gap):
            return f"gap {event.reason.value}\n".encode()
        return b"%b %b\n" % (event.data, event.position.encode()) if isinstance(event, Publication) else b""


class _Offsets(WalkEncoding):
    """Makes a line of each publication, as Centrifugo's protocol does: with an offset. Nothing is made of a gap."""

    __slots__ = ()

    def read_position(self, text: str) -> str:
        """See `WalkEncoding.read_position`."""
        return position_of_offset(int(text), EPOCH)

    def keep_position(self, position: str) -> str:
        """See `WalkEncoding.keep_position`."""
        return position_of_offset(position_offset(position), EPOCH)

    def _line(self, event: ChannelEvent) -> bytes:
        return b"%b %d\n" % (event.data, publication_offset(event)) if isinstance(event, Publication) else b""


LINES = WalkEncoding()
"""That of clients which are told of a gap in its place among the publications."""

OFFSETS: WalkEncoding = _Offsets(has_gap_event=False, has_fingerprints=False)
"""That of clients which are told of a gap by the end of their subscription, some time later, and resume by offset."""

ENCODINGS = (LINES, OFFSETS)
