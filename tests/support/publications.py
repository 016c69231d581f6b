"""Publications with a position, without a stream that they were read from."""

from __future__ import annotations

from typing import NamedTuple

from wsrelay.core.history.positions import parse_id

__all__ = ["At"]


class At(NamedTuple):
    """Stands for an entry that a publication was read from.

    Attributes:
        position_text: The text of the position behind it.
        info: The value of its field `info`. If None, it has none.
        tags: The value of its field `tags`. If None, it has none.
    """

    position_text: str
    info: bytes | None = None
    tags: bytes | None = None

    @property
    def id(self) -> tuple[int, int]:
        """See `wsrelay.core.messaging.publications.Origin.id`."""
        return parse_id(self.position_text.partition(".")[0])

    def field(self, name: bytes) -> bytes | None:
        """See `wsrelay.core.messaging.publications.Origin.field`."""
        return {b"info": self.info, b"tags": self.tags}.get(name)
