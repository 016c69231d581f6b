"""TCP ports of loopback."""

from __future__ import annotations

import socket
from pathlib import Path
from random import SystemRandom

__all__ = ["free_port"]

_FIRST = 10240
_LAST = 32767
"""The last port of the range if the system does not say where that of outgoing connections begins."""


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago.

    It is outside the range of outgoing connections: until a server listens on it, no client can take it by chance.
    """
    rng = SystemRandom()
    last = _last_port()
    while True:
        port = rng.randint(_FIRST, last)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _last_port() -> int:
    try:
        first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return _LAST
    # A range that begins low leaves too few ports before it.
    return first_outgoing - 1 if first_outgoing > 2 * _FIRST else 65535
