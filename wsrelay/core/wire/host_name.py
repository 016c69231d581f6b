"""Host names as resolvers take them, which is more than DNS or IDNA allow for the hosts of the Internet."""

from __future__ import annotations

import idna

__all__ = ["ascii_host_name"]


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
