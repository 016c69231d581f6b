"""Publications with a position, without a stream that they were read from."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["At"]


class At(NamedTuple):
    """Stands for an entry that a publication was read from.

    Attributes:
        position_text: The text of the position behind it.
    """

    position_text: str
