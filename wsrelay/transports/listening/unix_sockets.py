"""Unix sockets to listen on, in whatever state an earlier process has left their files.

A process that is killed leaves its socket behind, and beside it the lock that Twisted makes, a symbolic link to a
process ID. Twisted believes that lock as long as any process has that ID. In a container each relay has the same one,
so that none would ever start again; where there is no lock, every socket is in the way for ever. Here the kernel is
asked instead: if nobody accepts connections at the path, the files are stale and are removed. What is no socket, or
cannot be asked, stays, and the error names it.

This depends on `_bindPath` and `lockFile` of `twisted.internet.unix.Port`;
tests/transports/listening/test_unix_sockets.py fails if they change.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["UnixPort", "UnixReactor"]

_log = Logger("wsrelay")


class UnixPort(unix.Port):
    """A listening unix socket that takes the place of a stale one, and removes no file but its own."""

    lockFile: Any  # noqa: N815 -- unix.Port declares it as None alone
    _identity: tuple[int, int] | None = None

    def startListening(self) -> None:
        """Listen.

        Raises:
            CannotListenError: A process answers at the path, or something is in the way. The text says what to do.
        """
        path = self._bindPath
        # A name that begins with a null byte is in Linux's abstract namespace, where nothing is left behind.
        is_file = not path.startswith(b"\0")
        try:
            if is_file:
                _remove_stale_files(path, has_lock=bool(self.wantPID))
            super().startListening()
        except OSError as error:
            self._release_lock()
            raise CannotListenError(None, path, error) from None
        except CannotListenError:
            self._release_lock()
            raise
        if is_file:
            self._identity = _identity(path)

    def connectionLost(self, reason: Failure) -> None:
        # Twisted's own code removes whatever is at the path, and stops halfway if nothing is.
        if self._identity is not None and _identity(self._bindPath) == self._identity:
            _remove_at_the_end(self._bindPath)
        self._release_lock()
        tcp.Port.connectionLost(self, reason)

    def _release_lock(self) -> None:
        lock = self.lockFile
        if lock is not None and lock.locked:
            # Another process that took the socket over has replaced it, or it has been removed.
            with suppress(OSError, ValueError):
                lock.unlock()


class UnixReactor:
    """A reactor whose unix sockets are each a `UnixPort`. Everything else is the reactor's own.

    Args:
        reactor: The reactor.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listenUNIX(  # noqa: N802 -- IReactorUNIX
        self,
        address: bytes,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,  # noqa: N803
    ) -> IListeningPort:
        """Listen on a unix socket. See `IReactorUNIX`."""
        port = UnixPort(address, factory, backlog, mode, self._reactor, wantPID)
        port.startListening()
        return port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def _remove_stale_files(path: bytes, *, has_lock: bool) -> None:
    """Remove a socket that no process listens on, and its lock.

    Raises:
        CannotListenError: A process listens, or something else is in the way.
        OSError: It cannot be found out, or a file cannot be removed.
    """
    kind = _kind(path)
    if kind is not None and _is_answered(path):
        raise _in_the_way(path, "a process answers there; stop it, or listen elsewhere")
    if kind is not None and not stat.S_ISSOCK(kind):
        raise _in_the_way(path, "this file is no socket; remove it, or listen elsewhere")
    if kind is not None:
        _remove(path)
        _log.warn("{path} was left behind by a process that no longer listens, and is replaced", path=os.fsdecode(path))
    lock = path + b".lock"
    if has_lock and (kind := _kind(lock)) is not None:
        # Twisted's lock is a symbolic link; an empty file holds nothing that could be lost.
        if not (stat.S_ISLNK(kind) or (stat.S_ISREG(kind) and not os.lstat(lock).st_size)):
            raise _in_the_way(path, f"{os.fsdecode(lock)} is no lock of a relay; remove it, or listen elsewhere")
        _remove(lock)


def _is_answered(path: bytes) -> bool:
    """Return whether a process accepts connections at a path. One that is stopped, or too busy, does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # its queue is full
            return True
        except (ConnectionRefusedError, FileNotFoundError):  # the latter: a symbolic link to nothing
            return False
        except PermissionError:
            raise _in_the_way(
                path, "permission denied to connect to it; remove it if no process listens there, or listen elsewhere"
            ) from None
        return True


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        name = os.fsdecode(path)
        raise _in_the_way(path, f"{name} is stale and cannot be removed ({error.strerror}); remove it") from None


def _remove_at_the_end(path: bytes) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        # For instance in a directory of root's, after twistd has changed its user. The next start replaces it.
        _log.info("{path} stays behind: {reason}", path=os.fsdecode(path), reason=error.strerror)


def _kind(path: bytes) -> int | None:
    """Return the mode of a file, or None if there is none."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _identity(path: bytes) -> tuple[int, int] | None:
    """Return what tells a file from another one of its name, or None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _in_the_way(path: bytes, reason: str) -> CannotListenError:
    return CannotListenError(None, path, reason)
