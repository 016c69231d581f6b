"""Tests of `wsrelay.transports.listening.systemd_sockets`, with sockets that this process has opened itself."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.transports.listening.systemd_sockets import PassedSocket, PassedSockets, passed_sockets

REACTOR: Any = reactor


def opened(*address: Any, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, listens: bool = True) -> int:
    """Return the descriptor of a new socket, as systemd passes one."""
    with socket.socket(family, kind) as made:
        made.bind(address[0] if family == socket.AF_UNIX else address)
        if listens:
            made.listen(77)
        return made.detach()


class EnvironmentTests(SynchronousTestCase):
    """LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES."""

    def test_sockets_have_the_names_of_their_units_or_none(self) -> None:
        environ = {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:https"}
        self.assertEqual(passed_sockets(environ, 7), (PassedSocket(3, "http"), PassedSocket(4, "https")))
        del environ["LISTEN_FDNAMES"]
        self.assertEqual(passed_sockets(environ, 7), (PassedSocket(3, ""), PassedSocket(4, "")))

    def test_sockets_of_another_process_and_counts_that_are_none_are_ignored(self) -> None:
        for pid, count in (("8", "1"), ("", "1"), ("7", ""), ("7", "-1"), ("7", "x"), ("7", "²"), ("7", "99999")):
            self.assertEqual(passed_sockets({"LISTEN_PID": pid, "LISTEN_FDS": count}, 7), (), (pid, count))
        self.assertEqual(passed_sockets({}, 7), ())

    def test_number_of_sockets_is_bounded(self) -> None:
        self.assertEqual(len(passed_sockets({"LISTEN_PID": "7", "LISTEN_FDS": "9999"}, 7)), 1000)


class SelectionTests(SynchronousTestCase):
    """Sockets by name and by index."""

    def setUp(self) -> None:
        self.descriptors = [opened("127.0.0.1", 0) for _ in range(3)]
        for descriptor in self.descriptors:
            self.addCleanup(os.close, descriptor)
        self.passed = PassedSockets(
            [PassedSocket(each, name) for each, name in zip(self.descriptors, "aba", strict=True)]
        )

    def chosen(self, text: str) -> list[int]:
        """Return the indices of the sockets that a text stands for."""
        passed = PassedSockets(self.passed._sockets)
        return [self.descriptors.index(each.fileno) for each in passed.endpoints(REACTOR, text)]  # type: ignore[attr-defined]  # Twisted's class

    def test_all_those_of_a_name_or_one_by_its_index(self) -> None:
        for text, chosen in {
            "systemd": [0, 1, 2],
            "systemd:": [0, 1, 2],
            "systemd:a": [0, 2],
            "systemd:b": [1],
            "systemd:name=b": [1],
            "systemd:index=2": [2],
            "systemd:domain=INET:index=1": [1],
            "systemd:domain=INET6:name=a": [0, 2],
            "systemd:INET:2": [2],
        }.items():
            self.assertEqual(self.chosen(text), chosen, text)

    def test_one_that_was_not_passed_is_an_error_that_names_those_that_were(self) -> None:
        for text in (
            "systemd:c",
            "systemd:index=3",
            "systemd:domain=INET:index=-1",
            "systemd:index=x",
            "systemd:name=",
        ):
            with self.assertRaisesRegex(ConfigError, "^systemd has passed no such socket; .*index 0: a, b, a$"):
                self.passed.endpoints(REACTOR, text)

    def test_text_that_chooses_nothing_is_an_error_with_the_right_forms(self) -> None:
        for text in (
            "systemd:domain=INET",
            "systemd:index=0:name=a",
            "systemd:fd=3",
            "systemd:INET:0:a",
            "systemd:a:b:c:d",
        ):
            with self.assertRaisesRegex(ConfigError, "^write systemd for all sockets"):
                self.passed.endpoints(REACTOR, text)

    def test_socket_is_used_once_and_those_left_have_names(self) -> None:
        self.assertEqual(self.passed.unused, ["a", "b", "a"])
        self.passed.endpoints(REACTOR, "systemd:b")
        self.assertEqual(self.passed.unused, ["a", "a"])
        with self.assertRaisesRegex(ConfigError, "^the socket b is used twice$"):
            self.passed.endpoints(REACTOR, "systemd")

    def test_no_socket_is_an_error_that_says_how_to_get_one(self) -> None:
        with self.assertRaisesRegex(ConfigError, "^systemd has passed no socket: .*systemctl start wsrelay.socket"):
            PassedSockets(()).endpoints(REACTOR, "systemd")

    def test_socket_is_not_inherited_by_child_processes(self) -> None:
        os.set_inheritable(self.descriptors[1], True)
        self.passed.endpoints(REACTOR, "systemd:b")
        self.assertFalse(os.get_inheritable(self.descriptors[1]))

    def test_descriptor_that_accepts_no_connections_is_an_error(self) -> None:
        read, write = os.pipe()
        closed = 1 << 20  # higher than any descriptor
        for descriptor, reason in (
            (opened("127.0.0.1", 0, listens=False), "accepts no connections"),
            (opened("127.0.0.1", 0, kind=socket.SOCK_DGRAM, listens=False), "accepts no connections"),
            (read, "cannot be used: Socket operation on non-socket"),
            (write, "cannot be used: Socket operation on non-socket"),
            (closed, "cannot be used: Bad file descriptor"),
        ):
            passed = PassedSockets([PassedSocket(descriptor, "")])
            with self.assertRaisesRegex(ConfigError, rf"^the socket \(descriptor {descriptor} .* {reason}"):
                passed.endpoints(REACTOR, "systemd")
            if descriptor != closed:
                os.close(descriptor)


class ListeningTests(TestCase):
    """Ports of sockets that were passed."""

    async def answer(self, port: Any, client: Any) -> bytes:
        """Return what a client receives through a port."""
        received: Deferred[bytes] = Deferred()

        class Reader(Protocol):
            def dataReceived(self, data: bytes) -> None:
                received.callback(data)

        connected: Any = await client.connect(Factory.forProtocol(Reader))
        data = await received
        connected.transport.abortConnection()
        await port.stopListening()
        return data

    async def listen(self, descriptor: int) -> Any:
        """Listen on a socket with a factory that greets its clients."""

        class Greeter(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"hello")  # type: ignore[union-attr]  # it is connected
                self.transport.loseConnection()  # type: ignore[union-attr]  # it is connected

        (endpoint,) = PassedSockets([PassedSocket(descriptor, "x")]).endpoints(REACTOR, "systemd")
        return await endpoint.listen(Factory.forProtocol(Greeter))

    async def test_family_is_that_of_the_socket(self) -> None:
        for family, host, kind in (
            (socket.AF_INET, "127.0.0.1", TCP4ClientEndpoint),
            (socket.AF_INET6, "::1", TCP6ClientEndpoint),
        ):
            port = await self.listen(opened(host, 0, family=family))
            address = port.getHost()
            self.assertEqual(address.host, host)
            self.assertEqual(await self.answer(port, kind(REACTOR, host, address.port)), b"hello")

    async def test_unix_socket_keeps_its_mode_and_its_file_and_accepts_for_the_next_process(self) -> None:
        path = Path(self.enterContext(tempfile.TemporaryDirectory())) / "s"
        descriptor = opened(str(path), family=socket.AF_UNIX)
        path.chmod(0o640)
        systemds = os.dup(descriptor)
        self.addCleanup(os.close, systemds)
        port = await self.listen(descriptor)
        self.assertEqual(await self.answer(port, UNIXClientEndpoint(REACTOR, str(path))), b"hello")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
