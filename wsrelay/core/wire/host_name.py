"""Host names as resolvers take them, which is more than DNS or IDNA allow for the hosts of the Internet."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

import idna

__all__ = ["ascii_host_name", "check_host"]

# Letters and digits of any script, and what networks of containers have in their names.
_HOST_NAME = re.compile(r"[\w.-]+")
_SCOPED_ADDRESS = re.compile(r"(?P<address>[0-9A-Fa-f:.]+)(%[\w.-]+)?", re.ASCII)


def ascii_host_name(host: str) -> str:
    """Return the form of a host name that is resolved, asked for and compared with names in certificates.

    ASCII stays as it is: networks of containers have names such as ``redis_cache`` and ``my--redis``, which IDNA does
    not allow and every resolver knows.

    Args:
        host: A host name, or an IP address without brackets.

    Raises:
        ValueError: No resolver takes it: a label is empty or longer than 63 characters (RFC 1035 section 2.3.4), or a
            character is not allowed in IDNA (RFC 5891).
    """
    if not host.isascii():
        return idna.encode(host, uts46=True).decode("ascii")
    # As getaddrinfo of Python does: a host that this rejects would be an error in the resolver's thread.
    host.encode("idna")
    return host


def check_host(host: str, *, in_brackets: bool) -> None:
    """Check that the host of a URL is an address, or a name that is not an error at once for a resolver.

    Args:
        host: The host, without brackets. An IPv6 address may have a zone (RFC 4007 section 11).
        in_brackets: Whether it stands in brackets. Only IPv6 addresses do: of IPvFuture (RFC 3986 section 3.2.2) there
            are none.

    Raises:
        ValueError: It is neither.
    """
    if in_brackets:
        found = _SCOPED_ADDRESS.fullmatch(host)
        if found is None:
            raise ValueError("not an IPv6 address with or without a zone")
        IPv6Address(found["address"])
    else:
        ascii_host_name(host)
        if _HOST_NAME.fullmatch(host) is None:
            raise ValueError("no name of a host has such characters")
