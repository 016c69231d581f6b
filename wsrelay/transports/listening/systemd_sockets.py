"""Sockets that systemd has opened and passed to the process (sd_listen_fds(3)).

Twisted's own endpoint `systemd:` is not used. It has to be told the address family, and takes a wrong one: that of
`ListenStream=8080` is INET6. It fails for an unnamed socket with an IndexError. A unix socket it makes writable for
everybody, which only its owner may do, and removes it at the end, so that systemd has lost it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from twisted.internet import tcp, unix
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.python.failure import Failure

from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["PassedSocket", "PassedSockets", "adopt_unix_socket", "passed_sockets"]

_PREFIX = "systemd"

_FIRST_DESCRIPTOR = 3
_MAX_SOCKETS = 1000


@dataclass(frozen=True, slots=True)
class PassedSocket:
    """One socket.

    Attributes:
        descriptor: Its descriptor.
        name: FileDescriptorName= of its unit, by default the name of the unit. If empty, it has none.
    """

    descriptor: int
    name: str


def passed_sockets(environ: Mapping[str, str], pid: int) -> tuple[PassedSocket, ...]:
    """Return the sockets that an environment says were passed to a process, in the order of their descriptors.

    Args:
        environ: The environment that the process was started with.
        pid: The ID of the process.
    """
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not (count.isascii() and count.isdigit() and len(count) < 5):
        return ()
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    return tuple(
        PassedSocket(_FIRST_DESCRIPTOR + index, names[index] if index < len(names) else "")
        for index in range(min(int(count), _MAX_SOCKETS))
    )


class PassedSockets:
    """The sockets that were passed to this process, each of which is used once.

    Args:
        sockets: See `passed_sockets`.
    """

    def __init__(self, sockets: Sequence[PassedSocket]) -> None:
        self._sockets = sockets
        self._used: set[int] = set()

    @property
    def unused(self) -> list[str]:
        """The names of the sockets that nothing listens on."""
        return [_text(each) for each in self._sockets if each.descriptor not in self._used]

    @staticmethod
    def is_meant(text: str) -> bool:
        """Return whether an endpoint is such sockets."""
        return text.partition(":")[0] == _PREFIX

    def endpoints(self, reactor: Any, text: str) -> list[IStreamServerEndpoint]:
        """Return the endpoints of the sockets that a text stands for.

        Args:
            reactor: The reactor.
            text: `systemd` or `systemd:` for all of them, `systemd:NAME` for those of a name, or as Twisted writes it:
                `systemd:domain=INET:index=0` and `systemd:domain=INET:name=NAME`, where the domain has no meaning.

        Raises:
            ConfigError: There is none, or one of them cannot be used.
        """
        if not self._sockets:
            raise ConfigError(
                "systemd has passed no socket: start the service by its socket unit (systemctl start wsrelay.socket), "
                "or listen elsewhere"
            )
        found = self._find(text.partition(":")[2])
        for each in found:
            if each.descriptor in self._used:
                raise ConfigError(f"the socket {_text(each)} is used twice")
            self._used.add(each.descriptor)
        return [self._endpoint(reactor, each) for each in found]

    def _endpoint(self, reactor: Any, passed: PassedSocket) -> IStreamServerEndpoint:
        """Return the endpoint of a socket.

        Raises:
            ConfigError: It is no socket that accepts connections.
        """
        try:
            with socket.socket(fileno=os.dup(passed.descriptor)) as probe:
                family, kind = probe.family, probe.type
                is_listening = kind == socket.SOCK_STREAM and probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise ConfigError(f"the socket {_text(passed)} cannot be used: {error.strerror}") from None
        if not is_listening:
            raise ConfigError(
                f"the socket {_text(passed)} accepts no connections: its unit needs ListenStream=, and Accept=no, "
                "which is the default"
            )
        os.set_inheritable(passed.descriptor, False)
        is_accepted_here = not getattr(reactor, "shares_sockets", False)
        using = _UnixAdopter(reactor) if family == socket.AF_UNIX and is_accepted_here else reactor
        endpoint: IStreamServerEndpoint = AdoptedStreamServerEndpoint(using, passed.descriptor, family)
        return endpoint

    def _find(self, text: str) -> Sequence[PassedSocket]:
        if not text:
            return self._sockets
        arguments = dict(each.split("=", 1) for each in text.split(":") if "=" in each)
        positional = [each for each in text.split(":") if "=" not in each]
        if not arguments and len(positional) == 1:
            arguments, positional = {"name": text}, []
        # Twisted's order, in which the domain comes first.
        arguments = dict(zip(("domain", "index", "name"), positional, strict=False)) | arguments
        index, name = arguments.pop("index", None), arguments.pop("name", None)
        arguments.pop("domain", None)
        if arguments or len(positional) > 3 or (index is None) == (name is None):
            raise ConfigError("write systemd for all sockets, systemd:NAME, or systemd:index=0")
        if index is None:
            found = [each for each in self._sockets if each.name == name]
        else:
            found = [each for number, each in enumerate(self._sockets) if str(number) == index]
        if not found:
            passed = ", ".join(map(_text, self._sockets))
            raise ConfigError(f"systemd has passed no such socket; those passed, from index 0: {passed}")
        return found


def _text(passed: PassedSocket) -> str:
    return passed.name or f"(descriptor {passed.descriptor} without a name)"


def adopt_unix_socket(reactor: Any, descriptor: int, factory: Any) -> IListeningPort:
    """Listen on a unix socket that another process has opened, and may go on to use when this one has ended.

    Args:
        reactor: The reactor.
        descriptor: Its descriptor, of which a copy is made.
        factory: Makes the protocols of connections.
    """
    port = _PassedUnixPort._fromListeningDescriptor(reactor, descriptor, factory)  # noqa: SLF001 -- as adoptStreamPort of Twisted does
    port.startListening()
    return cast(IListeningPort, port)


class _UnixAdopter:
    """Makes a port of a unix socket that another process has opened."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def adoptStreamPort(self, fileno: int, _family: int, factory: Any) -> IListeningPort:  # noqa: N802 -- IReactorSocket
        """Listen. See `IReactorSocket`."""
        return adopt_unix_socket(self._reactor, fileno, factory)


class _PassedUnixPort(unix.Port):
    """A listening unix socket whose mode, queue and file are those of its owner."""

    factory: Any
    fileno: Any
    _preexistingSocket: Any  # noqa: N815 -- unix.Port's

    def startListening(self) -> None:
        tcp._reservedFD.reserve()  # noqa: SLF001 -- as unix.Port does
        self.factory.doStart()
        self.socket, self._preexistingSocket = self._preexistingSocket, None
        self.connected = True
        self.fileno = self.socket.fileno
        self.numberAccepts = 100
        self._shouldShutdown = False
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        tcp.Port.connectionLost(self, reason)
