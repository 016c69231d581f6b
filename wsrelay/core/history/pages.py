"""Pages of what a channel keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from wsrelay.core.history.offsets import EPOCH

__all__ = ["HistoryPage", "KeptPublication"]


class KeptPublication(NamedTuple):
    """A publication that a channel keeps.

    Attributes:
        offset: Its offset; see `wsrelay.core.history.offsets`.
        data: The message.
        info: The client that published it, as JSON; see `wsrelay.core.history.entries.INFO_FIELD`. If None, none did.
        tags: Its tags, as JSON; see `wsrelay.core.history.entries.TAGS_FIELD`. If None, it has none.
    """

    offset: int
    data: bytes
    info: bytes | None = None
    tags: bytes | None = None

    @property
    def size(self) -> int:
        """The length of what it holds, in bytes."""
        return len(self.data) + len(self.info or b"") + len(self.tags or b"")


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A part of a channel's history.

    Attributes:
        publications: The publications, in the order that was asked for.
        offset: The offset of the channel's newest position.
        epoch: The epoch of the offsets.
    """

    publications: tuple[KeptPublication, ...]
    offset: int
    epoch: str = EPOCH
