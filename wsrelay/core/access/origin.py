"""The Origin check: which web pages may connect.

Not authentication: clients other than browsers send any Origin they like. In a browser it keeps pages of other sites
from using credentials that the browser adds by itself, above all cookies (RFC 6455 section 10.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.handshake import Handshake

__all__ = ["OriginPolicy"]

_PORTS = {"http": 80, "https": 443}
# No label is empty: .example.com would match as *.example.com. A dot at the end is part of a name (RFC 3986 3.2.2).
_LABEL = "[a-z0-9_-]+"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*\.?"
_WEB_ORIGIN = re.compile(rf"(https?)://({_NAME}|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}))?")
_WEB_PATTERN = re.compile(rf"(https?)://((?:\*\.)?{_NAME}|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}|\*))?")
# Of applications and extensions: any scheme, and a host of any form or none (file://, app://., moz-extension://<uuid>).
_OTHER_ORIGIN = re.compile(r"(?!(?:https?|wss?):)[a-z][a-z0-9+.-]*://[a-z0-9_.:-]*")

_MAX_HOST = 253
"""The longest name of a host (RFC 1035 section 2.3.4)."""

_FILE = "file://"
_ANY_PORT = -1

_Origin = tuple[str, str, int]
"""Scheme, host in lower case, port."""


class OriginPolicy:
    """The origins whose pages may connect.

    Args:
        allowed: Origins: exact ones; with ``*.`` before the host, which stands for one or more labels; with ``:*`` for
            any port; ``moz-extension://*`` and the like for any host of a scheme that is not the web's; ``null`` for
            pages without an origin (RFC 6454 section 6.1: sandboxed pages, files), and ``file://``, which some
            WebViews send for files; ``*`` for all. If empty, only pages of the same host and port as the relay.
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
        self._others: set[str] = {_FILE} if self._allows_null else set()
        for text in origins:
            if text not in ("*", "null"):
                self._add(text)

    def _add(self, text: str) -> None:
        found = _WEB_PATTERN.fullmatch(text.removesuffix("/"))
        if found is not None:
            scheme, host, port = found.groups()
            origin = scheme, host.removeprefix("*."), _ANY_PORT if port == "*" else _port(scheme, port)
            if _is_valid(origin):
                (self._wildcards if host.startswith("*.") else self._exact).add(origin)
                return
        elif _OTHER_ORIGIN.fullmatch(text.removesuffix("*")) is not None and _is_other_pattern(text):
            self._others.add(text)
            return
        raise ConfigError(
            f"{text!r} is no origin: it should look like https://example.com, https://*.example.com, "
            "http://localhost:3000, http://localhost:*, file://, moz-extension://*, null or *"
        )

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
        text = handshake.origin.lower()
        origin = _parse(text)
        if self._is_same_origin_only:
            return ClientError.ORIGIN if origin is None else self._check_same(origin, handshake)
        is_listed = self._lists_other(text) if origin is None else self._lists(origin)
        return None if is_listed else ClientError.ORIGIN

    def add_own_origin(self, handshake: Handshake) -> None:
        """Add the origin of a page that, as its browser says, is of the same origin as what it requests.

        A browser sends no Origin with such a GET (Fetch section 3.2), but Sec-Fetch-Site, which no page can set. Where
        a proxy hides the scheme, one of the two that may connect is taken.

        Args:
            handshake: A request without an Origin. Its origin is set.
        """
        schemes = [scheme for scheme in ("https", "http") if handshake.is_secure in (None, scheme == "https")]
        for scheme in schemes:
            handshake.origin = f"{scheme}://{handshake.host.lower()}"
            if self.check(handshake) is None:
                return

    def _lists(self, origin: _Origin) -> bool:
        scheme, host, port = origin
        if origin in self._exact or (scheme, host, _ANY_PORT) in self._exact:
            return True
        while "." in host and self._wildcards:
            host = host.partition(".")[2]
            if (scheme, host, port) in self._wildcards or (scheme, host, _ANY_PORT) in self._wildcards:
                return True
        return False

    def _lists_other(self, text: str) -> bool:
        if _OTHER_ORIGIN.fullmatch(text) is None:
            return False
        return text in self._others or f"{text.partition('://')[0]}://*" in self._others

    @staticmethod
    def _check_same(origin: _Origin, handshake: Handshake) -> ClientError | None:
        scheme, host, port = origin
        # Host omits the default port of the scheme (RFC 9110 section 4.2), and the scheme is the page's.
        own = _parse(f"{scheme}://{handshake.host.lower()}")
        if own is None or (host, port) != own[1:]:
            return ClientError.ORIGIN
        return None if handshake.is_secure in (None, scheme == "https") else ClientError.ORIGIN_SCHEME


def _parse(text: str) -> _Origin | None:
    """Return the parts of an origin of the web, or None if the text is anything else."""
    found = _WEB_ORIGIN.fullmatch(text)
    if found is None:
        return None
    scheme, host, port = found.groups()
    origin = scheme, host, _port(scheme, port)
    return origin if _is_valid(origin) else None


def _port(scheme: str, text: str | None) -> int:
    return _PORTS[scheme] if text is None else int(text)


def _is_valid(origin: _Origin) -> bool:
    """Return whether the parts of an origin are more than of the right form: its port, and its address in brackets."""
    _, host, port = origin
    if len(host) > _MAX_HOST:
        return False
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except ValueError:
            return False
    return port <= 65535


def _is_other_pattern(text: str) -> bool:
    """Return whether a star, if there is one, stands for the whole host."""
    return not text.endswith("*") or text.endswith("://*")
