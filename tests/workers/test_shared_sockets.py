"""Tests of `wsrelay.workers.shared_sockets`, with real sockets."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from wsrelay.workers.shared_sockets import InheritedSockets, SharedSockets


class _Greeter(Protocol):
    def connectionMade(self) -> None:
        factory: Any = self.factory
        factory.made.append(self)


class SharedSocketsTests(TestCase):
    """Sockets that the parent opens and workers accept from."""

    def setUp(self) -> None:
        """Make the parent's sockets for two workers."""
        self.sockets = SharedSockets(reactor, 2)
        self.addCleanup(self.sockets.close)

    def open(self, text: str) -> None:
        """Open the sockets of an endpoint."""
        self.successResultOf(serverFromString(self.sockets, text).listen(Factory()))

    def port(self, slot: int = 0) -> int:
        """Return the port of a worker's first socket."""
        descriptor, family = self.sockets.of_slot(slot)[0]
        with socket.socket(family, socket.SOCK_STREAM, fileno=os.dup(descriptor)) as copy:
            port: int = copy.getsockname()[1]
            return port

    def worker(self, slot: int, text: str) -> tuple[Any, Any]:
        """Listen as a worker does, and return its port and its factory."""
        passed = [(os.dup(descriptor), family) for descriptor, family in self.sockets.of_slot(slot)]
        factory: Any = Factory.forProtocol(_Greeter)
        factory.noisy, factory.made = False, []
        port = self.successResultOf(serverFromString(InheritedSockets(reactor, passed), text).listen(factory))
        self.addCleanup(port.stopListening)
        self.addCleanup(lambda: [each.transport.abortConnection() for each in factory.made])
        return port, factory

    def client(self, address: Any, family: int = socket.AF_INET) -> socket.socket:
        """Connect to an address."""
        client = self.enterContext(socket.socket(family, socket.SOCK_STREAM))
        client.settimeout(10)
        client.connect(address)
        return client

    def wait_for(self, condition: Any) -> Any:
        """Return a Deferred that fires when a condition holds."""

        async def wait() -> None:
            while not condition():
                await deferLater(reactor, 0.005)

        return Deferred.fromCoroutine(wait()).addTimeout(30, reactor)

    def test_every_worker_has_a_tcp_socket_of_its_own_on_one_port(self) -> None:
        self.open("tcp:0:interface=127.0.0.1")
        self.assertEqual(self.port(0), self.port(1))
        self.assertNotEqual(self.sockets.of_slot(0), self.sockets.of_slot(1))

    async def test_client_waits_in_the_queue_of_a_worker_that_is_not_there(self) -> None:
        self.open("tcp:0:interface=127.0.0.1")
        clients = [self.client(("127.0.0.1", self.port())) for _ in range(20)]
        workers = [self.worker(slot, "tcp:1")[1] for slot in (0, 1)]
        await self.wait_for(lambda: sum(len(each.made) for each in workers) == len(clients))

    async def test_queue_of_a_worker_that_ends_goes_to_its_successor(self) -> None:
        self.open("tcp:0:interface=127.0.0.1")
        port, _ = self.worker(0, "tcp:1")
        await port.stopListening()
        for _ in range(20):
            self.client(("127.0.0.1", self.port()))
        workers = [self.worker(slot, "tcp:1")[1] for slot in (0, 1)]
        await self.wait_for(lambda: sum(len(each.made) for each in workers) == 20)

    async def test_unix_socket_is_one_for_all_workers(self) -> None:
        path = os.path.join(os.path.relpath(self.mktemp()) + ".s")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.open(f"unix:{path}")
        self.assertEqual(self.sockets.of_slot(0), self.sockets.of_slot(1))
        self.client(path, socket.AF_UNIX)
        port, factory = self.worker(1, f"unix:{path}")
        await self.wait_for(lambda: factory.made)
        await port.stopListening()
        # The other worker goes on with it.
        self.client(path, socket.AF_UNIX)
        self.sockets.close()
        self.assertFalse(os.path.exists(path))

    async def test_socket_that_is_open_already_is_shared(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as passed:
            # It closes the descriptor that it was given.
            endpoint = AdoptedStreamServerEndpoint(self.sockets, os.dup(passed.fileno()), socket.AF_INET)
            self.successResultOf(endpoint.listen(Factory()))
            self.assertEqual(self.port(0), passed.getsockname()[1])
        self.client(("127.0.0.1", self.port()))
        _, factory = self.worker(1, "tcp:1")
        await self.wait_for(lambda: factory.made)

    def test_port_that_another_process_listens_on_is_refused(self) -> None:
        with socket.socket() as other:
            # As a second relay with several workers does.
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            other.listen()
            text = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
            found = serverFromString(self.sockets, text).listen(Factory())
        error = self.failureResultOf(found, CannotListenError).value
        self.assertIn("in use", str(error))
        self.assertEqual(self.sockets.of_slot(0), [])

    def test_worker_without_a_socket_for_an_endpoint_says_so(self) -> None:
        found = serverFromString(InheritedSockets(reactor, []), "tcp:1").listen(Factory())
        self.assertIn("no socket", str(self.failureResultOf(found, CannotListenError).value))

    def test_other_methods_are_the_reactors(self) -> None:
        own: Any = reactor
        self.assertEqual(SharedSockets(reactor, 1).seconds, own.seconds)
        self.assertEqual(InheritedSockets(reactor, []).seconds, own.seconds)
