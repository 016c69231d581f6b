"""A text that never appears in logs, errors or dumps."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import NoReturn

__all__ = ["Secret", "is_one_of"]


class Secret:
    """A credential. `str` and `repr` never show it, so that no log, error or dump does. Cannot be pickled.

    Args:
        text: The credential.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the credential, for immediate use: it must be neither kept nor formatted."""
        return self._text

    @property
    def digest(self) -> bytes:
        """The SHA-256 digest: tells whether two secrets are equal, and nothing else about them."""
        return sha256(self._text.encode("utf-8", "surrogateescape")).digest()

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.digest, other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)


def is_one_of(given: Secret, known: Iterable[Secret]) -> bool:
    """Return whether a secret is one of several, in a time that reveals nothing about them but their number."""
    found = False
    for each in known:
        # Goes on behind a match: the time would reveal its place.
        found |= given == each
    return found
