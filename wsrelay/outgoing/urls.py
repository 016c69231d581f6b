"""The check of URLs that the operator configures."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.host_name import check_host

__all__ = ["check_url"]


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
        check_host(parts.hostname or "", in_brackets="[" in parts.netloc)
        # An empty port is allowed in RFC 3986, and not in the requests of Twisted.
        is_complete = parts.port != 0 and not parts.netloc.endswith(":")
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


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
