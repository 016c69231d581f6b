"""The check of URLs that the operator configures."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.host_name import ascii_host_name

__all__ = ["check_url"]

# Any name that a network of containers gives, in ASCII and without %-escapes.
_HOST_NAME = re.compile(r"[a-z0-9_.-]+")


def check_url(text: str, setting: str) -> str:
    """Check a URL to make requests to.

    Args:
        text: The URL that the operator configured.
        setting: The name of its setting.

    Returns:
        The text, unchanged.

    Raises:
        ConfigError: The text is not an http(s) URL, or others could read a secret sent to it. The error does not repeat
            the text.
    """
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        # An empty port is allowed in RFC 3986, and not in the requests of Twisted.
        has_port = parts.port != 0 and not parts.netloc.endswith(":")
        # In brackets also stands IPvFuture (section 3.2.2), of which there is none.
        is_complete = has_port and _is_host(host) and ("[" in parts.netloc) == (":" in host)
    except ValueError:
        is_complete = False
    if not is_complete or parts.scheme not in ("http", "https") or re.fullmatch(r"[!-~]+", text) is None:
        raise ConfigError(f"{setting} should look like https://host/path, in ASCII and without spaces")
    if "@" in parts.netloc:
        raise ConfigError(f"{setting} must not hold a user or a password: put the secret into a setting of its own")
    if "#" in text:
        raise ConfigError(f"{setting} has a part after #, which is never sent: leave it out")
    if parts.scheme == "http" and not _is_loopback(str(parts.hostname)):
        raise ConfigError(f"{setting} leads to another machine without encryption: use https")
    return text


def _is_host(host: str) -> bool:
    """Return whether a host may be found: an address, or what is no error at once for a resolver.

    Raises:
        ValueError: It is too long, or a part of it is empty.
    """
    if ":" in host:
        return bool(ip_address(host))
    ascii_host_name(host)
    return _HOST_NAME.fullmatch(host) is not None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
