"""The channels in Redis that the relay keeps for itself."""

from __future__ import annotations

__all__ = ["CONTROL", "InternalChannels"]

CONTROL = "$control"
"""The channel for control messages to all processes, without the prefix. No client can spell it."""


class InternalChannels:
    """The names of the probe's channel and of the control channels, with the prefix.

    Args:
        prefix: The beginning of every name.
        node_id: The name of this process.
        probe_name: The name of this process's probe.

    Attributes:
        probe: The channel of the probe.
        control: The channel for control messages to all processes.
        own_control: The channel for control messages to this process.
    """

    def __init__(self, prefix: bytes, node_id: str, probe_name: bytes) -> None:
        self.probe = prefix + b"$probe:" + probe_name
        self.control = prefix + CONTROL.encode()
        self.own_control = self.control_of(node_id)

    def __contains__(self, name: bytes) -> bool:
        return name in (self.probe, self.control, self.own_control)

    def control_of(self, node_id: str) -> bytes:
        """Return the name of the channel for control messages to one process."""
        return b"%s:%s" % (self.control, node_id.encode())
