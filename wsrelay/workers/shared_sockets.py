"""The listening sockets that the parent opens and its workers accept from.

The parent holds every socket for as long as it runs and accepts on none of them. A worker that ends, for whatever
reason, so closes no queue that clients stand in: its successor gets the same socket, and finds them there.

TCP ports have a socket for each worker, among which the kernel distributes connections by a hash of their addresses
(SO_REUSEPORT, socket(7)). One that all workers accept from would go to the one that epoll wakes first. Unix sockets and
those that systemd passes exist once, and are shared.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from twisted.internet.defer import Deferred, execute
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from wsrelay.transports.listening.systemd_sockets import PassedSocket, PassedSockets, adopt_unix_socket
from wsrelay.transports.listening.unix_sockets import UnixPort

__all__ = ["InheritedPassedSockets", "InheritedSockets", "SharedSockets"]


class SharedSockets:
    """A reactor for endpoints that listens, and accepts nothing. Everything else is the reactor's own.

    Args:
        reactor: The reactor.
        workers: The number of workers.
    """

    shares_sockets = True
    """Nothing is to be accepted here, see `wsrelay.transports.listening.systemd_sockets`."""

    def __init__(self, reactor: Any, workers: int) -> None:
        self._reactor = reactor
        self._workers = workers
        self._ports: list[_HeldPort] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def of_slot(self, slot: int) -> list[tuple[int, int]]:
        """Return descriptor and address family of each socket of a worker, in the order in which they were opened."""
        return [port.of_slot(slot) for port in self._ports]

    def close(self) -> None:
        """Close this process's descriptors, and remove the files of unix sockets. May be called more than once."""
        ports, self._ports = self._ports, []
        for port in ports:
            port.stopListening()

    def close_after(self, seconds: float, ended: Deferred[Any]) -> None:
        """Close after some time, or when something has ended.

        Args:
            seconds: The time.
            ended: Fires when nobody needs them any more.
        """
        timer = self._reactor.callLater(seconds, self.close)

        def close(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            self.close()
            return result

        ended.addBoth(close)

    def listenTCP(  # noqa: N802 -- IReactorTCP
        self, port: int, _factory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """Open a socket for each worker. See `IReactorTCP`.

        Raises:
            CannotListenError: The address is taken, or cannot be used.
        """
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        sockets: list[socket.socket] = []
        try:
            if port:
                # With SO_REUSEPORT a second relay of the same user would listen beside this one, and take its clients.
                with _bound(family, interface, port, share=False) as probe:
                    probe.listen(1)
            for _ in range(self._workers):
                sockets.append(_bound(family, interface, port, share=True))
                port = sockets[-1].getsockname()[1]
            # Not before all are bound: the kernel would distribute clients among those that are there.
            for each in sockets:
                each.listen(backlog)
        except OSError as error:
            for each in sockets:
                each.close()
            raise CannotListenError(interface, port, error) from None
        return self._hold(_HeldPort([(each.fileno(), family) for each in sockets], sockets))

    def listenSSL(  # noqa: N802 -- IReactorSSL
        self, port: int, factory: Any, _context: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """Open a socket for each worker, which do TLS themselves. See `IReactorSSL`."""
        return self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(  # noqa: N802 -- IReactorUNIX
        self,
        address: bytes,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,  # noqa: N803 -- IReactorUNIX
    ) -> IListeningPort:
        """Open one socket for all workers. See `IReactorUNIX`.

        Raises:
            CannotListenError: A process answers at the path, or something is in the way.
        """
        port = UnixPort(address, factory, backlog, mode, self._reactor, wantPID)
        port.startListening()
        # Before the reactor's next turn, so that nothing has been accepted.
        port.stopReading()
        return self._hold(_HeldPort([(port.fileno(), socket.AF_UNIX)] * self._workers, [_Closing(port)]))

    def adoptStreamPort(  # noqa: N802 -- IReactorSocket
        self, descriptor: int, family: int, _factory: Any
    ) -> IListeningPort:
        """Share a socket that is open already. See `IReactorSocket`."""
        held = socket.socket(fileno=socket.dup(descriptor))
        return self._hold(_HeldPort([(held.fileno(), family)] * self._workers, [held]))

    def _hold(self, port: _HeldPort) -> _HeldPort:
        self._ports.append(port)
        return port


class _Closing:
    """A port of Twisted that is closed like a socket."""

    def __init__(self, port: UnixPort) -> None:
        self._port = port

    def close(self) -> None:
        self._port.stopListening()


@implementer(IListeningPort)
class _HeldPort:
    """The sockets of one endpoint."""

    def __init__(self, descriptors: Sequence[tuple[int, int]], sockets: Sequence[Any]) -> None:
        self._descriptors = descriptors
        self._sockets = sockets

    def of_slot(self, slot: int) -> tuple[int, int]:
        """Return descriptor and address family of a worker's socket."""
        return self._descriptors[slot]

    def startListening(self) -> None:
        """See `IListeningPort`. The sockets listen."""

    def stopListening(self) -> None:
        """See `IListeningPort`."""
        for each in self._sockets:
            with suppress(OSError):
                each.close()
        self._sockets = ()

    def getHost(self) -> Any:
        """See `IListeningPort`. The workers log where they listen."""
        raise NotImplementedError


class InheritedSockets:
    """A worker's reactor for endpoints: each takes the next of the sockets that the parent has opened.

    The endpoints have to be those of the parent, in the same order. Everything else is the reactor's own.

    Args:
        reactor: The reactor.
        sockets: Descriptor and address family of each socket. They are this process's from now on.
    """

    def __init__(self, reactor: Any, sockets: Sequence[tuple[int, int]]) -> None:
        self._reactor = reactor
        self._sockets = iter(sockets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(  # noqa: N802 -- IReactorTCP
        self,
        port: int,
        factory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """Listen on the next socket. See `IReactorTCP`."""
        return self._adopt(factory, interface, port)

    def listenUNIX(  # noqa: N802 -- IReactorUNIX
        self,
        address: bytes,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,  # noqa: N803 -- IReactorUNIX
    ) -> IListeningPort:
        """Listen on the next socket. See `IReactorUNIX`."""
        return self._adopt(factory, None, address)

    def adoptStreamPort(  # noqa: N802 -- IReactorSocket
        self, descriptor: int, _family: int, factory: Any
    ) -> IListeningPort:
        """Listen on the next socket. See `IReactorSocket`."""
        return self._adopt(factory, None, descriptor)

    def listenSSL(  # noqa: N802 -- IReactorSSL
        self,
        port: int,
        factory: Any,
        context: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """Listen on the next socket, with TLS. See `IReactorSSL`."""
        return self._adopt(TLSMemoryBIOFactory(context, False, factory), interface, port)

    def _adopt(self, factory: Any, interface: Any, port: Any) -> IListeningPort:
        found = next(self._sockets, None)
        if found is None:
            raise CannotListenError(interface, port, OSError("its parent process has opened no socket for it"))
        descriptor, family = found
        try:
            if family == socket.AF_UNIX:
                return adopt_unix_socket(self._reactor, descriptor, factory)
            return cast(IListeningPort, self._reactor.adoptStreamPort(descriptor, family, factory))
        finally:
            # The port has made a descriptor of its own.
            socket.close(descriptor)


class InheritedPassedSockets(PassedSockets):
    """A worker's sockets of systemd: those that the parent has shared, in the order of the endpoints."""

    def _endpoint(self, reactor: Any, _passed: PassedSocket) -> IStreamServerEndpoint:
        return _InheritedEndpoint(reactor)


@implementer(IStreamServerEndpoint)
class _InheritedEndpoint:
    """The endpoint of the next socket.

    Args:
        reactor: An `InheritedSockets`.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803 -- IStreamServerEndpoint
        """See `IStreamServerEndpoint`."""
        return execute(self._reactor.adoptStreamPort, -1, 0, protocolFactory)


def _bound(family: socket.AddressFamily, interface: str, port: int, *, share: bool) -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setblocking(False)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind((interface, port))
    except BaseException:
        found.close()
        raise
    return found
