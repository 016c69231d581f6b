"""API keys: the credential of the application's own servers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twisted.web.http import Request

from wsrelay.core.access.secret import Secret, is_one_of

__all__ = ["APIKeys"]


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
        """Return whether a request carries one of the keys, as ``Authorization: Bearer <key>``.

        The time that this takes depends on the number of keys only.
        """
        fields: Sequence[bytes] = request.requestHeaders.getRawHeaders(b"authorization") or ()
        scheme, _, key = (fields[0] if len(fields) == 1 else b"").partition(b" ")
        return scheme.lower() == b"bearer" and is_one_of(Secret(key.strip().decode("latin-1")), self._keys)
