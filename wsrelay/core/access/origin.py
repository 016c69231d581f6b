"""Which pages may connect: the Origin of a browser's handshake.

An advice and no authentication: any client but a browser writes there what it likes. In a browser it keeps other sites'
pages from using what the browser adds by itself, cookies above all (RFC 6455 section 10.2).
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
# No label is empty, lest .example.com be taken for *.example.com; a dot at the end is part of a name (RFC 3986 3.2.2).
_LABEL = "[a-z0-9_-]+"
_ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://(?:(\*\.)?{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?")

_Origin = tuple[str, str, int | None]
"""Scheme, host in lower case, port."""


class OriginPolicy:
    """Says which origins are let in.

    Args:
        allowed: Origins: exact ones; such with ``*.`` before the host, which stands for any number of labels, but not
            none; ``null`` for pages without one (RFC 6454 section 6.1: sandboxed ones, files); ``*`` for all.
            Empty: only pages of the same host and port as the relay.
        require: Whether clients without an Origin, which are no browsers, are refused.

    Raises:
        ConfigError: One of them is not an origin.
    """

    def __init__(self, allowed: Iterable[str] = (), *, require: bool = False) -> None:
        origins = [text.strip().lower() for text in allowed]
        self._require = require
        self._any = "*" in origins
        self._null = "null" in origins
        self._same = not origins
        self._exact: set[_Origin] = set()
        self._below: set[_Origin] = set()
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
            (self._below if found[1] else self._exact).add(origin)

    def client_error(self, handshake: Handshake) -> ClientError | None:
        """Why a handshake's origin is not let in; None where it is."""
        if handshake.origin is None:
            return ClientError.NO_ORIGIN if self._require else None
        if self._any:
            return None
        if handshake.origin == "null":
            return None if self._null else ClientError.ORIGIN
        origin = _parse(handshake.origin.lower())
        if origin is None:
            return ClientError.ORIGIN
        permitted = self._is_same(origin, handshake) if self._same else self._is_listed(origin)
        return None if permitted else ClientError.ORIGIN

    def _is_listed(self, origin: _Origin) -> bool:
        if origin in self._exact:
            return True
        scheme, host, port = origin
        while "." in host and self._below:
            host = host.partition(".")[2]
            if (scheme, host, port) in self._below:
                return True
        return False

    @staticmethod
    def _is_same(origin: _Origin, handshake: Handshake) -> bool:
        scheme, host, port = origin
        if scheme not in ("http", "https") or handshake.is_secure not in (None, scheme == "https"):
            return False
        # Host leaves the port out where it is the scheme's own (RFC 9110 section 4.2), and the scheme is the page's.
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
    # There is a host: the grammar sees to it, which the types do not know.
    return parts.scheme, parts.hostname or "", _PORTS.get(parts.scheme) if port is None else port
