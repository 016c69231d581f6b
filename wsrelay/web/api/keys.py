"""API keys: the credential of the application's own servers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from twisted.web.http import Request

from wsrelay.core.access.secret import Secret, is_one_of

__all__ = ["APIKeys", "KeyForm"]


class KeyForm(Enum):
    """How a request carries its key.

    Attributes:
        BEARER: ``Authorization: Bearer KEY``.
        CENTRIFUGO: ``X-API-Key: KEY`` or ``Authorization: apikey KEY``, as libraries for Centrifugo's API do.
    """

    BEARER = "bearer"
    CENTRIFUGO = "centrifugo"


class APIKeys:
    """The keys that open the API.

    Args:
        keys: The valid keys; several, so that they can be rotated.
    """

    def __init__(self, keys: Iterable[Secret]) -> None:
        self.replace(keys)

    def replace(self, keys: Iterable[Secret]) -> None:
        """Accept these keys from now on, and no others."""
        self._keys = tuple(keys)

    def accepts(self, request: Request) -> bool:
        """Return whether a request carries one of the keys.

        The time that this takes depends on the number of keys only.
        """
        return is_one_of(Secret(_find(request)[1]), self._keys)

    @staticmethod
    def form(request: Request) -> KeyForm | None:
        """Return how a request carries its key, valid or not; None if it carries none."""
        return _find(request)[0]


def _find(request: Request) -> tuple[KeyForm | None, str]:
    """Return the form of a request's key, and the key: that of X-API-Key if it has both."""
    own = _only(request, b"x-api-key")
    if own is not None:
        return KeyForm.CENTRIFUGO, own.strip().decode("latin-1")
    scheme, _, key = (_only(request, b"authorization") or b"").partition(b" ")
    form = {b"bearer": KeyForm.BEARER, b"apikey": KeyForm.CENTRIFUGO}.get(scheme.lower())
    return form, key.strip().decode("latin-1") if form is not None else ""


def _only(request: Request, name: bytes) -> bytes | None:
    fields: Sequence[bytes] = request.requestHeaders.getRawHeaders(name) or ()
    return fields[0] if len(fields) == 1 else None
