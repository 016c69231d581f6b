"""The connect that a request of Centrifugo's client protocol carries: in its body, or in the query."""

from __future__ import annotations

from wsrelay.core.wire.handshake import Handshake

__all__ = ["CONNECT_PARAMETER", "carried_connect"]

CONNECT_PARAMETER = "cf_connect"
"""The parameter of the query. An EventSource can send nothing else."""


def carried_connect(handshake: Handshake) -> bytes | None:
    """Return what a request carries, as it was sent. None if it carries nothing."""
    if handshake.body:
        return handshake.body
    carried = handshake.parameters(CONNECT_PARAMETER)
    return carried[-1].encode() if carried and carried[-1] else None
