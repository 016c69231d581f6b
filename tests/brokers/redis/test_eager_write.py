"""Tests of `wsrelay.brokers.redis.eager_write`, over real sockets."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet import tcp
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.eager_write import write_at_once
from wsrelay.testing.transports import MemoryTransport

reactor: Any = the_reactor


class WriteTests(SynchronousTestCase):
    """A transport over one end of a pair of sockets. The reactor does not run."""

    def setUp(self) -> None:
        ours, self.peer = socket.socketpair()
        for each in (ours, self.peer):
            each.setblocking(False)
            self.addCleanup(each.close)
        self.transport = tcp.Connection(ours, Protocol(), reactor)
        self.transport.connected = True
        self.addCleanup(self.transport.stopWriting)

    def test_bytes_leave_within_the_call(self) -> None:
        write_at_once(self.transport, b"abc")
        self.assertEqual(self.peer.recv(100), b"abc")
        self.assertNotIn(self.transport, reactor.getWriters())

    def test_bytes_stay_behind_those_that_wait(self) -> None:
        self.transport.write(b"abc")
        write_at_once(self.transport, b"def")
        self.assertRaises(BlockingIOError, self.peer.recv, 100)
        self.transport.doWrite()
        self.assertEqual(self.peer.recv(100), b"abcdef")

    def test_bytes_that_the_kernel_does_not_take_are_sent_by_the_transport(self) -> None:
        data = bytes(range(256)) * 40_000
        write_at_once(self.transport, data)
        write_at_once(self.transport, b"end")
        self.assertIn(self.transport, reactor.getWriters())
        received = b""
        while len(received) < len(data) + 3:
            received += self.peer.recv(1_000_000)
            self.transport.doWrite()
        self.assertEqual(received, data + b"end")

    def test_broken_connection_is_left_to_the_transport(self) -> None:
        self.peer.close()
        write_at_once(self.transport, b"abc")
        self.assertIn(self.transport, reactor.getWriters())

    def test_other_transport_writes_as_ever(self) -> None:
        transport = MemoryTransport()
        write_at_once(transport, b"abc")
        self.assertEqual(transport.value(), b"abc")
