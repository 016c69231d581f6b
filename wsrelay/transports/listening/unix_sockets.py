"""Unix sockets to listen on, in whatever state an earlier process has left their files.

A process that is killed leaves its socket behind, and beside it the lock that Twisted makes, a symbolic link to a
process ID. Twisted believes that lock as long as any process has that ID. In a container each relay has the same one,
so that none would ever start again; where there is no lock, every socket is in the way for ever. Here the kernel is
asked instead: if nobody accepts connections at the path, the files are stale and are removed. What is no socket, or
cannot be asked, stays, and the error names it. So does a datagram socket that a process has open; of one whose process
is gone the kernel no longer tells the type, and nothing can use it any more, so that it is replaced like our own.

Between the question and the answer to it, bind and listen, another relay could ask the same and get the same answer,
and the first to listen would lose its socket to the second. The directory is locked meanwhile (flock(2), which leaves
no file behind).

This depends on `_bindPath` and `lockFile` of `twisted.internet.unix.Port`;
tests/transports/listening/test_unix_sockets.py fails if they change.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["UnixPort", "UnixReactor"]

_CLOSED = Failure(CONNECTION_DONE)

_LOCK_POLLS = 100
_LOCK_POLL_SECONDS = 0.02
"""The directory is locked for the few system calls of a start; 2 seconds in all are enough for many of them."""

_log = Logger("wsrelay")


class UnixPort(unix.Port):
    """A listening unix socket that takes the place of a stale one, and removes no file but its own."""

    lockFile: Any  # noqa: N815 -- unix.Port declares it as None alone
    _socket_identity: tuple[int, ...] | None = None
    _lock_identity: tuple[int, ...] | None = None

    def startListening(self) -> None:
        """Listen.

        Raises:
            CannotListenError: A process answers at the path, or something is in the way. The text says what to do.
        """
        path = self._bindPath
        if path.startswith(b"\0"):
            # In Linux's abstract namespace nothing is left behind.
            self._start_listening()
            return
        with _exclusive_start(path):
            self._start_listening()
            self._socket_identity = _identity(path)
            self._lock_identity = _identity(_lock_of(path))

    def loseConnection(self, connDone: Any = _CLOSED) -> Any:  # noqa: N803 -- Twisted's name
        """Remove the files at once, and close the port in the next iteration of the reactor.

        A start that fails ends before that.

        Args:
            connDone: The reason why the port is closed.

        Returns:
            A Deferred that fires with None when the port is closed.
        """
        self._remove_files()
        return super().loseConnection(connDone)

    stopListening = loseConnection

    def connectionLost(self, reason: Failure) -> None:
        # Twisted's own code removes whatever is at the path, and stops halfway if nothing is.
        self._remove_files()
        tcp.Port.connectionLost(self, reason)

    def _start_listening(self) -> None:
        path = self._bindPath
        try:
            if not path.startswith(b"\0"):
                _remove_stale_files(path, has_lock=bool(self.wantPID))
            super().startListening()
        except OSError as error:
            self._undo_lock()
            raise CannotListenError(None, path, error) from None
        except CannotListenError:
            self._undo_lock()
            raise

    def _undo_lock(self) -> None:
        if self.lockFile is not None and self.lockFile.locked:
            with suppress(OSError, ValueError):
                self.lockFile.unlock()

    def _remove_files(self) -> None:
        """Remove the socket and its lock, each unless another process has put its own into its place."""
        path = self._bindPath
        if self._socket_identity is not None and _identity(path) == self._socket_identity:
            _remove_at_the_end(path)
        # Not by the process ID in it: in another container that may be the same.
        if self.lockFile is not None and self._lock_identity is not None:
            if _identity(_lock_of(path)) == self._lock_identity:
                _remove_at_the_end(_lock_of(path))
            self.lockFile.locked = False
        self._socket_identity = self._lock_identity = None


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
        wantPID: bool = False,  # noqa: N803 -- IReactorUNIX
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
    lock = _lock_of(path)
    has_stale_lock = has_lock and _kind(lock) is not None
    if has_stale_lock and not _is_lock(lock):
        raise _in_the_way(path, f"{os.fsdecode(lock)} is no lock of a relay; remove it, or listen elsewhere")
    if kind is not None:
        _remove(path)
        _log.warn("{path} was left behind by a process that no longer listens, and is replaced", path=os.fsdecode(path))
    if has_stale_lock:
        _remove(lock)


def _lock_of(path: bytes) -> bytes:
    return path + b".lock"


def _is_lock(path: bytes) -> bool:
    """Return whether a file is a lock as Twisted makes it: a symbolic link to a process ID."""
    try:
        return os.readlink(path).isdigit()
    except FileNotFoundError:  # its process has removed it meanwhile
        return True
    except OSError:  # no symbolic link
        return False


@contextmanager
def _exclusive_start(path: bytes) -> Iterator[None]:
    """Keep other relays from starting in the directory of a path meanwhile, as far as that is possible."""
    folder = os.path.dirname(path) or b"."
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # It is missing, which bind says, or may not be read.
        descriptor = None
    try:
        if descriptor is not None:
            _lock_folder(descriptor, folder)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock_folder(descriptor: int, folder: bytes) -> None:
    for _ in range(_LOCK_POLLS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_POLL_SECONDS)
        except OSError:  # not every file system has locks
            return
        else:
            return
    # No error: a wrapper such as flock(1) may hold it for the life of the relay, and has excluded others by that.
    _log.warn(
        "{folder} stays locked by another process; the relay starts without that lock", folder=os.fsdecode(folder)
    )


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


def _identity(path: bytes) -> tuple[int, ...] | None:
    """Return what tells a file from another one of its name, or None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    # An open socket holds its inode; that of a link that is removed is given to the next file.
    return found.st_dev, found.st_ino, found.st_mtime_ns if stat.S_ISLNK(found.st_mode) else 0


def _in_the_way(path: bytes, reason: str) -> CannotListenError:
    return CannotListenError(None, path, reason)
