"""Datagrams to the service manager, in the protocol of sd_notify(3)."""

from __future__ import annotations

import socket
from collections.abc import MutableMapping

__all__ = ["Notifier"]


class Notifier:
    """Sends what changes to the socket of the service manager. It never blocks, and never raises.

    Args:
        address: A path, or a name in Linux's abstract namespace behind `@`. If it is neither, nothing is ever sent.
    """

    def __init__(self, address: str) -> None:
        self.is_connected = address.startswith(("/", "@"))
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        if self.is_connected:
            # Kept open: with all descriptors in use there would be no other one for the watchdog's sake.
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Return the notifier of a process, whose variable is removed: child processes have nothing to report."""
        return cls(environ.pop("NOTIFY_SOCKET", ""))

    def send(self, *assignments: str) -> bool:
        """Send one datagram.

        Args:
            *assignments: Texts such as READY=1, without line breaks.

        Returns:
            False if the service manager takes none now, or is gone.
        """
        if not self.is_connected:
            return False
        try:
            self._socket.sendto("\n".join(assignments).encode(errors="replace"), self._address)
        except (OSError, ValueError):  # ValueError: a null byte in the address
            return False
        return True

    def close(self) -> None:
        """Send nothing more."""
        if self.is_connected:
            self.is_connected = False
            self._socket.close()
