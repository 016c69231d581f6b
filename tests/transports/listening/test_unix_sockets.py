"""Tests of wsrelay.transports.listening.unix_sockets: real sockets, and files that others have left."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet import unix
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.support.edge import REACTOR
from wsrelay.transports.listening.unix_sockets import UnixPort, UnixReactor

DEAD_PID = 2**22 + 1
"""A process ID that Linux never gives (pid_max is at most 2**22)."""


@contextmanager
def closing_descriptor(folder: Path) -> Iterator[int]:
    """Open a directory for a while."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class UnixSocketTests(TestCase):
    """Files at the path of a socket, and beside it."""

    def setUp(self) -> None:
        # The path of a unix socket has at most 107 bytes.
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path = self.folder / "relay.sock"
        self.lock = self.folder / "relay.sock.lock"

    def listen(self, options: str = "") -> Any:
        """Return the port that listens at the path; it is closed after the test."""
        endpoint: Any = serverFromString(UnixReactor(REACTOR), f"unix:{self.path}{options}")
        listening: Deferred[Any] = endpoint.listen(Factory.forProtocol(Protocol))
        port = self.successResultOf(listening)
        self.addCleanup(lambda: port.stopListening() if port.connected else None)
        return port

    def error(self, options: str = "") -> str:
        """Return the reason why nothing can listen at the path."""
        endpoint: Any = serverFromString(UnixReactor(REACTOR), f"unix:{self.path}{options}")
        failed: Any = endpoint.listen(Factory.forProtocol(Protocol))
        error: Any = self.failureResultOf(failed, CannotListenError).value
        self.assertEqual(error.port, os.fsencode(self.path))
        return f"{error.socketError}"

    def assert_answers(self) -> None:
        """Check that a client can connect."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))

    def leave_socket(self) -> None:
        """Leave a socket behind, as a process does that is killed."""
        with socket.socket(socket.AF_UNIX) as abandoned:
            abandoned.bind(str(self.path))
            abandoned.listen()

    def test_attributes_of_twisted_are_as_expected(self) -> None:
        port = self.listen()
        self.assertIsInstance(port, unix.Port)
        self.assertEqual(port._bindPath, os.fsencode(self.path))
        self.assertTrue(port.lockFile.locked)

    async def test_socket_and_lock_are_removed_when_the_port_is_closed(self) -> None:
        await self.listen().stopListening()
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_stale_socket_is_replaced_whatever_its_lock_says(self) -> None:
        for target in (None, "1", str(os.getpid()), str(DEAD_PID)):
            self.path.unlink(missing_ok=True)
            self.lock.unlink(missing_ok=True)
            self.leave_socket()
            if target is not None:
                self.lock.symlink_to(target)
            with capturedLogs() as events:
                self.listen()
            self.assert_answers()
            self.assertEqual(os.readlink(self.lock), str(os.getpid()))
            self.assertTrue(any(str(self.path) in (formatEvent(event) or "") for event in events))

    def test_stale_socket_without_a_lock_is_replaced(self) -> None:
        self.leave_socket()
        self.listen(":lockfile=0")
        self.assert_answers()
        self.assertFalse(self.lock.is_symlink())

    def test_stale_lock_without_a_socket_is_replaced(self) -> None:
        self.lock.symlink_to(str(os.getpid()))
        self.listen()
        self.assert_answers()

    def test_anything_else_in_place_of_the_lock_is_named_and_left_with_the_socket(self) -> None:
        self.leave_socket()
        file = self.folder / "mine"
        file.write_text("mine")
        problem = f"{self.lock} is no lock of a relay; remove it, or listen elsewhere"
        for target in (str(file), "nonsense", "12a", "-1", "\u0661"):
            self.lock.symlink_to(target)
            self.assertEqual(self.error(), problem)
            self.assertEqual(os.readlink(self.lock), target)
            self.lock.unlink()
        for text in ("mine", ""):
            self.lock.write_text(text)
            self.assertEqual(self.error(), problem)
            self.assertEqual(self.lock.read_text(), text)
        self.lock.unlink()
        self.lock.mkdir()
        self.assertEqual(self.error(), problem)
        self.assertTrue(self.path.is_socket())

    def test_lock_that_its_process_removes_meanwhile_is_no_obstacle(self) -> None:
        self.lock.symlink_to("1")
        readlink = os.readlink

        def late(path: bytes) -> bytes:
            self.lock.unlink(missing_ok=True)
            return readlink(path)

        self.patch(os, "readlink", late)
        self.listen()
        self.assert_answers()

    def test_live_socket_is_refused_and_stays_alive(self) -> None:
        self.listen()
        for options in ("", ":lockfile=0"):
            self.assertEqual(self.error(options), "a process answers there; stop it, or listen elsewhere")
            self.assert_answers()
        self.assertTrue(self.lock.is_symlink())

    def test_live_socket_without_room_in_its_queue_is_refused(self) -> None:
        with socket.socket(socket.AF_UNIX) as busy:
            busy.bind(str(self.path))
            busy.listen(0)
            with socket.socket(socket.AF_UNIX) as first:
                first.connect(str(self.path))
                self.assertIn("a process answers there", self.error())
        self.assertTrue(self.path.is_socket())

    def test_datagram_socket_is_left_alone(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(self.path))
            self.error()
        self.assertTrue(self.path.is_socket())

    def test_datagram_socket_whose_process_is_gone_is_replaced(self) -> None:
        """The kernel no longer tells its type."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(self.path))
        self.listen()
        self.assert_answers()

    def test_what_is_no_socket_is_left_alone(self) -> None:
        self.path.write_text("mine")
        self.assertEqual(self.error(), "this file is no socket; remove it, or listen elsewhere")
        self.assertEqual(self.path.read_text(), "mine")
        self.path.unlink()
        self.path.symlink_to(self.folder / "nowhere")
        self.assertIn("is no socket", self.error(":lockfile=0"))
        self.path.unlink()
        self.path.mkdir()
        self.assertIn("is no socket", self.error())

    def test_files_that_cannot_be_asked_or_removed_are_named(self) -> None:
        def denied(*_given: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.leave_socket()
        self.patch(os, "unlink", denied)
        self.assertEqual(self.error(), f"{self.path} is stale and cannot be removed (Permission denied); remove it")
        self.patch(socket.socket, "connect", denied)
        self.assertIn("permission denied to connect to it; remove it if no process listens there", self.error())

    def test_stale_file_that_another_process_has_removed_meanwhile_is_no_obstacle(self) -> None:
        unlink = os.unlink
        self.leave_socket()

        def twice(path: bytes) -> None:
            unlink(path)
            unlink(path)

        self.patch(os, "unlink", twice)
        self.listen(":lockfile=0")
        self.assert_answers()

    def test_missing_directory_and_too_long_path_are_errors_of_the_path(self) -> None:
        self.path = self.folder / "missing" / "relay.sock"
        self.assertIn("No such file or directory", self.error())
        self.path = self.folder / ("x" * 120)
        self.assertIn("too long", self.error())
        self.assertFalse(self.path.with_name(f"{self.path.name}.lock").is_symlink())

    async def test_files_of_a_process_that_took_the_socket_over_are_left_alone(self) -> None:
        port = self.listen()
        self.path.unlink()
        self.lock.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            other.listen()
            self.lock.symlink_to("1")
            await port.stopListening()
            self.assert_answers()
        self.assertEqual(os.readlink(self.lock), "1")

    async def test_lock_with_our_process_id_that_is_another_s_is_left_alone(self) -> None:
        """In another container a process has the same ID, and a file system may give its link the same inode."""
        port = self.listen()
        self.path.unlink()
        self.lock.unlink()
        self.lock.symlink_to(str(os.getpid()))
        await port.stopListening()
        self.assertTrue(self.lock.is_symlink())

    async def test_files_are_removed_before_the_port_is_closed(self) -> None:
        port = self.listen()
        closing = port.stopListening()
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertTrue(port.connected)
        await closing

    async def test_files_are_removed_when_the_reactor_ends_without_closing_the_port(self) -> None:
        port = self.listen()
        port.stopReading()
        port.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_directory_is_locked_from_the_question_until_the_socket_listens(self) -> None:
        self.leave_socket()
        locked: list[bool] = []
        start, remove = unix.Port.startListening, os.unlink

        def note() -> None:
            with closing_descriptor(self.folder) as descriptor:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    locked.append(True)
                else:
                    locked.append(False)

        def noting_unlink(path: bytes) -> None:
            note()
            remove(path)

        def noting_start(port: unix.Port) -> None:
            start(port)
            note()

        self.patch(os, "unlink", noting_unlink)
        self.patch(unix.Port, "startListening", noting_start)
        self.listen()
        self.assertEqual(locked, [True, True])
        note()
        self.assertFalse(locked[-1])

    def test_start_waits_for_another_one_in_its_directory_and_then_finds_its_socket(self) -> None:
        self.leave_socket()
        other = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_EX)

        def other_listens(_seconds: float) -> None:
            self.path.unlink()
            first.bind(str(self.path))
            first.listen()
            os.close(other)

        with socket.socket(socket.AF_UNIX) as first:
            self.patch(time, "sleep", other_listens)
            self.assertIn("a process answers there", self.error())

    def test_directory_that_stays_locked_does_not_prevent_the_start(self) -> None:
        waits: list[float] = []
        self.patch(time, "sleep", waits.append)
        with closing_descriptor(self.folder) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with capturedLogs() as events:
                self.listen()
        self.assert_answers()
        self.assertAlmostEqual(sum(waits), 2.0)
        self.assertTrue(any("stays locked by another process" in (formatEvent(event) or "") for event in events))

    def test_directory_that_cannot_be_locked_does_not_prevent_the_start(self) -> None:
        def unsupported(_descriptor: int, _operation: int) -> None:
            raise OSError(95, "Operation not supported")

        self.patch(fcntl, "flock", unsupported)
        self.listen()
        self.assert_answers()

    async def test_files_that_are_gone_or_cannot_be_removed_do_not_keep_the_port_open(self) -> None:
        port = self.listen()
        self.path.unlink()
        self.lock.unlink()
        await port.stopListening()
        self.assertFalse(port.connected)
        port = self.listen(":lockfile=0")

        def denied(_path: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(os, "unlink", denied)
        await port.stopListening()
        self.assertFalse(port.connected)

    async def test_abstract_socket_leaves_no_file(self) -> None:
        name = f"\0wsrelay-{self.folder.name}"
        port: Any = UnixReactor(REACTOR).listenUNIX(name.encode(), Factory.forProtocol(Protocol))
        self.assertIsInstance(port, UnixPort)
        await port.stopListening()
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_everything_else_is_the_reactor_s_own(self) -> None:
        reactor = MemoryReactorClock()
        endpoint: Any = serverFromString(UnixReactor(reactor), "tcp:8080")
        self.successResultOf(endpoint.listen(Factory.forProtocol(Protocol)))
        self.assertEqual(reactor.tcpServers[0][0], 8080)
