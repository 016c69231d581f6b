"""Handing a connection over from one protocol to another."""

from __future__ import annotations

from typing import Any

from twisted.protocols.policies import ProtocolWrapper

__all__ = ["hand_over", "talk_to"]


def talk_to(transport: Any, protocol: Any) -> None:
    """Make a transport talk to a protocol that knows it."""
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol


def hand_over(transport: Any, protocol: Any) -> None:
    """Make a transport talk to a new protocol from now on."""
    talk_to(transport, protocol)
    protocol.makeConnection(transport)
