"""Tests of wsrelay.transports.listening.socket_options."""

from __future__ import annotations

import socket
from typing import Any

from twisted.protocols.policies import ProtocolWrapper
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.listening.socket_options import limit_unacknowledged, tune_socket


class _Stream(MemoryTransport):
    """A transport with a real socket of its own, in no reactor."""

    def __init__(self, handle: socket.socket) -> None:
        super().__init__()
        self._handle = handle

    def getHandle(self) -> socket.socket:
        return self._handle

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)


class TuneSocketTests(SynchronousTestCase):
    """Options of sockets."""

    def setUp(self) -> None:
        self.handle = socket.socket()
        self.addCleanup(self.handle.close)
        self.before = self.send_buffer()

    def send_buffer(self) -> int:
        """Return SO_SNDBUF as the kernel has it."""
        return self.handle.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    def no_delay(self) -> int:
        """Return TCP_NODELAY as the kernel has it."""
        return self.handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_nagle_is_off_and_the_send_buffer_is_set(self) -> None:
        """Linux doubles the size of the buffer."""
        tune_socket(_Stream(self.handle), 32768)
        self.assertNotEqual(self.no_delay(), 0)
        self.assertIn(self.send_buffer(), (32768, 65536))

    def test_zero_leaves_the_send_buffer_to_the_kernel(self) -> None:
        tune_socket(_Stream(self.handle), 0)
        self.assertNotEqual(self.no_delay(), 0)
        self.assertEqual(self.send_buffer(), self.before)

    def test_socket_below_a_wrapper_is_tuned(self) -> None:
        wrapper: Any = ProtocolWrapper.__new__(ProtocolWrapper)
        wrapper.transport = _Stream(self.handle)
        tune_socket(wrapper, 32768)
        self.assertNotEqual(self.no_delay(), 0)
        self.assertIn(self.send_buffer(), (32768, 65536))

    def test_send_buffer_of_a_unix_socket_is_set(self) -> None:
        here, there = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(there.close)
        self.addCleanup(here.close)
        tune_socket(_Stream(here), 16384)
        self.assertIn(here.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF), (16384, 32768))

    def test_transport_without_a_socket_is_no_error(self) -> None:
        transport = MemoryTransport()
        tune_socket(transport, 4096)
        self.assertTrue(transport.no_delay)
        tune_socket(object(), 4096)

    def test_peer_that_acknowledges_nothing_is_given_up_after_a_time(self) -> None:
        limit_unacknowledged(_Stream(self.handle), 1.5)
        self.assertEqual(self.handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), 1500)

    def test_transport_without_acknowledgements_is_no_error(self) -> None:
        here, there = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(there.close)
        self.addCleanup(here.close)
        for transport in (_Stream(here), MemoryTransport(), object()):
            limit_unacknowledged(transport, 1)
