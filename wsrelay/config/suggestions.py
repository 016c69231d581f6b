"""Hints at the name that was meant, for error texts about unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["suggestion"]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that was probably meant, to append to an error text, or an empty str.

    Args:
        name: The unknown name, as a flag, a variable or a key.
        known: The names that exist, written in the same way.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
