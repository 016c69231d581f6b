"""The Origin check: which web pages may connect.

Not authentication: clients other than browsers send any Origin they like. In a browser it keeps pages of other sites
from using credentials that the browser adds by itself, above all cookies (RFC 6455 section 10.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.handshake import Handshake

__all__ = ["OriginPolicy"]

_PORTS = {"http": 80, "https": 443}
# No label is empty: .example.com would match as *.example.com. A dot at the end is part of a name (RFC 3986 3.2.2).
_LABEL = "[a-z0-9_-]+"
_ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://(?:(\*\.)?{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?")

_Origin = tuple[str, str, int | None]
"""Scheme, host in lower case, port. The port is None if the origin names none and the scheme has no default."""


class OriginPolicy:
    """The origins whose pages may connect.

    Args:
        allowed: Origins: exact ones; with ``*.`` before the host, which stands for one or more labels; ``null`` for
            pages without an origin (RFC 6454 section 6.1: sandboxed pages, files); ``*`` for all. If empty, only pages
            of the same host and port as the relay.
        require: Whether clients without an Origin, which are not browsers, are rejected.

    Raises:
        ConfigError: An entry is not an origin.
    """

    def __init__(self, allowed: Iterable[str] = (), *, require: bool = False) -> None:
        origins = [text.strip().lower() for text in allowed]
        self._require = require
        self._allows_all = "*" in origins
        self._allows_null = "null" in origins
        self._is_same_origin_only = not origins
        self._exact: set[_Origin] = set()
        self._wildcards: set[_Origin] = set()
        for text in origins:
            if text in ("*", "null"):
                continue
            found = _ORIGIN.fullmatch(text.removesuffix("/"))
            origin = _parse(text.removesuffix("/").replace("://*.", "://", 1))
            if found is None or origin is None or origin[0] in ("ws", "wss"):
                raise ConfigError(
                    f"{text!r} is no origin: it should look like https://example.com, https://*.example.com, "
                    "http://localhost:3000, null or *"
                )
            (self._wildcards if found[1] else self._exact).add(origin)

    def check(self, handshake: Handshake) -> ClientError | None:
        """Check the origin of a handshake.

        Returns:
            None if it may connect. Else why not.
        """
        if handshake.origin is None:
            return ClientError.NO_ORIGIN if self._require else None
        if self._allows_all:
            return None
        if handshake.origin == "null":
            return None if self._allows_null else ClientError.ORIGIN
        origin = _parse(handshake.origin.lower())
        if origin is None:
            return ClientError.ORIGIN
        permitted = self._is_same(origin, handshake) if self._is_same_origin_only else self._is_listed(origin)
        return None if permitted else ClientError.ORIGIN

    def _is_listed(self, origin: _Origin) -> bool:
        if origin in self._exact:
            return True
        scheme, host, port = origin
        while "." in host and self._wildcards:
            host = host.partition(".")[2]
            if (scheme, host, port) in self._wildcards:
                return True
        return False

    @staticmethod
    def _is_same(origin: _Origin, handshake: Handshake) -> bool:
        scheme, host, port = origin
        if scheme not in ("http", "https") or handshake.is_secure not in (None, scheme == "https"):
            return False
        # Host omits the default port of the scheme (RFC 9110 section 4.2), and the scheme is the page's.
        own = _parse(f"{scheme}://{handshake.host.lower()}")
        return own is not None and (host, port) == own[1:]


def _parse(text: str) -> _Origin | None:
    found = _ORIGIN.fullmatch(text)
    if found is None or found[1]:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    # The grammar guarantees a host, which the types do not show.
    return parts.scheme, parts.hostname or "", _PORTS.get(parts.scheme) if port is None else port
