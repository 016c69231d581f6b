"""A text that must not be seen."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import NoReturn

__all__ = ["Secret", "is_one_of"]


class Secret:
    """Holds a credential. Its `str` and `repr` never show it, so that no log, error or dump does; it is not pickled.

    Args:
        text: The credential.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The credential, for where it is used; never to be kept or formatted."""
        return self._text

    @property
    def digest(self) -> bytes:
        """SHA-256 of it: says whether two are the same, and nothing else."""
        return sha256(self._text.encode("utf-8", "surrogateescape")).digest()

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be written down")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.digest, other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)


def is_one_of(given: Secret, known: Iterable[Secret]) -> bool:
    """Whether a credential is one of several, in a time that tells nothing about them but their number."""
    found = False
    for each in known:
        # Without a stop at the right one, whose place is nobody's business.
        found |= given == each
    return found
