"""Hints at the name that was meant, for error texts about unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["suggestion"]

FORMER_NAMES = {"demo": "chat_page", "slow": "slow_consumer_policy", "tell_gaps": "notify_gaps"}
"""Names that settings and keys of namespaces had once, and that resemble their successors too little to be matched."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that was probably meant, to append to an error text, or an empty str.

    Args:
        name: The unknown name, as a flag, a variable or a key.
        known: The names that exist, written in the same way.
    """
    candidates = list(known)
    successor = FORMER_NAMES.get(_key(name))
    close = [each for each in candidates if _key(each) == successor] or difflib.get_close_matches(name, candidates, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _key(name: str) -> str:
    """Return the key of the file that a flag or a variable stands for."""
    return name.lower().lstrip("-").replace("-", "_").removeprefix("wsrelay_")
