"""Accepting TCP connections, with the least work for each.

Twisted's `Port.doRead` makes three address objects, two texts for logs that nobody prints, and looks up the socket's
constants anew for each connection; and options that each connection needs would be two system calls more. Here the
loop is written out, and the options are set once: on Linux a connection inherits them from the socket that listens.
The first read follows at once: a protocol whose whole request is there need not prepare to wait for it.

This depends on what `tcp.Port.doRead` does with a connection and on what `tcp.Server` sets, and takes its place only
where a connection has exactly the attributes that are known here. tests/transports/listening/test_accepting.py compares
both. Elsewhere Twisted accepts, and `tune_socket` sets the options.
"""

from __future__ import annotations

import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet import tcp
from twisted.internet.address import IPv6Address
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.transports.listening.eager_tcp import EagerServer

__all__ = ["AcceptedConnection", "PatientProtocol", "accept_cheaply"]

MAX_ACCEPTS = 32
"""Connections that are begun with in one turn of the reactor: with their handshakes it takes three milliseconds."""

MAX_ACCEPTS_OF_A_CROWD = 512
"""Connections that are taken out of the kernel's queue in one turn of the reactor: in three milliseconds, too."""

LOG_PREFIX = "connection"
"""Stands before what Twisted logs about a connection, which names the protocol and the peer in that place."""

_KNOWN_ATTRIBUTES = frozenset(
    (
        "_tempDataBuffer",
        "_tempDataLen",
        "client",
        "connected",
        "fileno",
        "hostname",
        "logstr",
        "protocol",
        "reactor",
        "repstr",
        "server",
        "sessionno",
        "socket",
    )
)
"""The attributes that Twisted gives an accepted connection."""


_log = Logger()


class PatientProtocol(Protocol):
    """A protocol that prepares to wait for input when it is told to, and not in `connectionMade`.

    Only on a transport with `is_read_at_once`.
    """

    def wait(self) -> None:
        """Take that the first read is over, and the connection still talks to this protocol."""


class AcceptedConnection(EagerServer):
    """An accepted connection whose socket has its options already.

    Args:
        handle: Its socket.
        protocol: What it talks to.
        client: The peer's address.
        server: The port that accepted it.
        sessionno: Its number among those of the port.
        reactor: The reactor.
    """

    is_tuned = True
    logstr = LOG_PREFIX

    def __init__(
        self,
        handle: socket.SocketType,
        protocol: Any,
        client: tuple[Any, ...],
        server: Any,
        sessionno: int,
        reactor: Any,
    ) -> None:
        # Instead of Twisted's, which formats two texts.
        self.reactor = reactor
        self._tempDataBuffer = []
        self._tempDataLen = 0
        # Here, because Twisted's own loop makes connections of this class, too.
        handle.setblocking(False)
        self.socket = handle  # type: ignore[assignment]  # what transports call of a socket, it has
        self.fileno = handle.fileno
        self.protocol = protocol
        if len(client) != 2:
            self._addressType = IPv6Address
        self.server = server
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        reactor.addReader(self)
        self.connected = 1

    def __repr__(self) -> str:
        return f"<{type(self.protocol).__name__} #{self.sessionno} on {self.server._realPortNumber}>"  # noqa: SLF001


class _ReadConnection(AcceptedConnection):
    """A connection whose first read follows as soon as it is made. Those that Twisted's own loop makes are none."""

    is_read_at_once = True


def accept_cheaply(port: Any, send_buffer_bytes: int, room: Callable[[], int]) -> None:
    """Make a listening port accept connections in the cheap way from now on, if it can be done.

    Args:
        port: The listening port (`IListeningPort`).
        send_buffer_bytes: SO_SNDBUF, as for `tune_socket`.
        room: Returns how many more connections there may be.
    """
    # Not a port of Unix sockets, which is made of Twisted's TCP port.
    is_tcp = isinstance(port, tcp.Port) and port.transport in (tcp.Server, EagerServer)
    if not (is_tcp and sys.platform == "linux" and _attributes() == _KNOWN_ATTRIBUTES):
        return
    port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if send_buffer_bytes:
        port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    port.transport = AcceptedConnection
    port.doRead = _Acceptor(port, room).accept


class _Acceptor:
    """Accepts the connections of one port.

    The kernel's queue holds a few thousand, and drops what comes beyond: its client tries again after a second, then
    after three. So all that wait there are accepted first, which takes 6 us each, and wait here, as bare sockets, for
    what takes ten times as long; as many as there may be connections.

    Args:
        port: The port.
        room: Returns how many more connections there may be.
    """

    def __init__(self, port: Any, room: Callable[[], int]) -> None:
        self._port = port
        self._room = room
        self._family = int(port.socket.family)
        # The router looks at no address, which would be three calls.
        self._needs_address = getattr(port.factory, "needs_address", True)
        self._waiting: deque[tuple[int, tuple[Any, ...]]] = deque()
        self._turn_is_due = False

    def accept(self) -> None:
        """Take what the kernel's queue has, and begin with the first of those that wait."""
        self._empty_queue()
        waiting = self._waiting
        for _ in range(min(len(waiting), MAX_ACCEPTS)):
            try:
                self._begin(*waiting.popleft())
            except Exception:  # noqa: BLE001 -- as in Twisted: it must cost neither the port nor those behind
                _log.failure("a connection could not be begun with")
        if waiting and not self._turn_is_due:
            self._turn_is_due = True
            self._port.reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        self.accept()

    def _empty_queue(self) -> None:
        port, waiting = self._port, self._waiting
        for _ in range(min(MAX_ACCEPTS_OF_A_CROWD, max(self._room(), MAX_ACCEPTS) - len(waiting))):
            if not port.connected:
                # It listens no more.
                return
            try:
                waiting.append(port.socket._accept())  # noqa: SLF001 -- without three look-ups of constants
            except BlockingIOError:
                return
            except OSError:
                # Twisted's own meets it again, and knows what to do where no descriptor is left.
                tcp.Port.doRead(port)
                return

    def _begin(self, descriptor: int, address: tuple[Any, ...]) -> None:
        """Do what `tcp.Port.doRead` does with a connection, and read what it has sent."""
        port = self._port
        # The type below `socket.socket`, whose own constructor takes as long as three system calls. It lacks `makefile`
        # and the like, which no transport calls.
        handle = socket.SocketType(self._family, socket.SOCK_STREAM, 0, descriptor)
        if len(address) == 4:
            # With the scope of a link-local address.
            numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            address = (socket.getnameinfo(address, numeric)[0], *address[1:])
        build_address = port._buildAddr  # noqa: SLF001 -- as Twisted's own does
        protocol = port.factory.buildProtocol(build_address(address) if self._needs_address else None)
        if protocol is None:
            handle.close()
            return
        number, port.sessionno = port.sessionno, port.sessionno + 1
        connection = _ReadConnection(handle, protocol, address, port, number, port.reactor)
        try:
            protocol.makeConnection(connection)
            if not connection.connected:
                return
            # In a crowd most requests are there by now: without a round through epoll and the reactor's dispatch, which
            # take longer than to find that nothing is there. What ends is seen there, too.
            connection.doRead()
            if connection.protocol is protocol and (wait := getattr(protocol, "wait", None)) is not None:
                wait()
        except Exception:  # noqa: BLE001 -- as the reactor does: it must cost no other connection
            failure = Failure()
            _log.failure("a connection failed; closing it", failure)
            connection.connectionLost(failure)


class _NoSocket:
    """Stands in for a socket and for a reactor."""

    def setblocking(self, _is_blocking: object) -> None:
        """Do nothing."""

    def fileno(self) -> int:
        """Return the number of no descriptor."""
        return -1

    def addReader(self, _reader: object) -> None:  # noqa: N802 -- Twisted's name
        """Do nothing."""


def _attributes() -> set[str]:
    """Return the attributes that this version of Twisted gives an accepted connection."""
    nothing: Any = _NoSocket()
    port: Any = tcp.Port(0, None)  # type: ignore[arg-type]  # it never listens
    return set(vars(tcp.Server(nothing, TwistedProtocol(), ("", 0), port, 0, nothing)))
