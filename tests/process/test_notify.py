"""Tests of `wsrelay.process.notify`, with a socket in the place of the service manager's."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from uuid import uuid4

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.notify import Notifier


class NotifierTests(SynchronousTestCase):
    """Datagrams on their way."""

    def listen(self, address: str) -> socket.socket:
        """Return the socket of a service manager."""
        receiver = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        receiver.setblocking(False)
        receiver.bind(address)
        return receiver

    def path(self) -> str:
        """Return a path that is short enough for a socket."""
        return str(Path(self.enterContext(tempfile.TemporaryDirectory())) / "notify")

    def notifier(self, address: str) -> Notifier:
        """Return a notifier that is closed after the test."""
        notifier = Notifier(address)
        self.addCleanup(notifier.close)
        return notifier

    def test_assignments_are_lines_of_one_datagram_at_a_path_and_in_the_abstract_namespace(self) -> None:
        path, name = self.path(), f"wsrelay-{uuid4()}"
        for address, bound in ((path, path), (f"@{name}", f"\0{name}")):
            receiver = self.listen(bound)
            self.assertTrue(self.notifier(address).send("READY=1", "STATUS=réady"))
            self.assertEqual(receiver.recv(100), "READY=1\nSTATUS=réady".encode())

    def test_other_addresses_and_none_are_no_service_manager(self) -> None:
        for address in ("", "vsock:2:1234", "notify"):
            notifier = self.notifier(address)
            self.assertEqual((notifier.is_connected, notifier.send("READY=1")), (False, False))

    def test_service_manager_that_is_gone_is_no_error(self) -> None:
        for address in (self.path(), f"@wsrelay-{uuid4()}", "/x\0y", f"/{'x' * 200}"):
            self.assertFalse(self.notifier(address).send("READY=1"))

    def test_full_queue_of_the_service_manager_blocks_nothing(self) -> None:
        path = self.path()
        receiver = self.listen(path)
        notifier = self.notifier(path)
        sent = 0
        while notifier.send("WATCHDOG=1"):
            sent += 1
        self.assertGreater(sent, 0)
        receiver.recv(100)
        self.assertTrue(notifier.send("WATCHDOG=1"))

    def test_closed_notifier_sends_nothing(self) -> None:
        path = self.path()
        receiver = self.listen(path)
        notifier = Notifier(path)
        notifier.close()
        self.assertFalse(notifier.send("READY=1"))
        with self.assertRaises(BlockingIOError):
            receiver.recv(100)

    def test_variable_is_taken_out_of_the_environment(self) -> None:
        environ = {"NOTIFY_SOCKET": self.path(), "HOME": "/"}
        notifier = Notifier.take(environ)
        self.addCleanup(notifier.close)
        self.assertEqual((notifier.is_connected, environ), (True, {"HOME": "/"}))
        self.assertFalse(Notifier.take(environ).is_connected)

    def test_socket_is_not_inherited_by_child_processes(self) -> None:
        notifier = self.notifier(self.path())
        self.assertFalse(os.get_inheritable(notifier._socket.fileno()))
