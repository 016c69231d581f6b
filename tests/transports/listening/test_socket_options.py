"""Tests of wsrelay.transports.listening.socket_options."""

from __future__ import annotations

import socket
from typing import Any

from twisted.protocols.policies import ProtocolWrapper
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.listening.socket_options import tune_socket


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
    """What the kernel is told."""

    def setUp(self) -> None:
        self.handle = socket.socket()
        self.addCleanup(self.handle.close)
        self.before = self.send_buffer()

    def send_buffer(self) -> int:
        """SO_SNDBUF as the kernel has it."""
        return self.handle.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    def no_delay(self) -> int:
        """TCP_NODELAY as the kernel has it."""
        return self.handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_both(self) -> None:
        """Small messages go at once, and the send buffer is what was asked for, doubled by Linux."""
        tune_socket(_Stream(self.handle), 32768)
        self.assertNotEqual(self.no_delay(), 0)
        self.assertIn(self.send_buffer(), (32768, 65536))

    def test_kernel_decides(self) -> None:
        """0 leaves the send buffer to the kernel."""
        tune_socket(_Stream(self.handle), 0)
        self.assertNotEqual(self.no_delay(), 0)
        self.assertEqual(self.send_buffer(), self.before)

    def test_under_tls(self) -> None:
        """Under a wrapper such as TLS the socket below it is meant."""
        wrapper: Any = ProtocolWrapper.__new__(ProtocolWrapper)
        wrapper.transport = _Stream(self.handle)
        tune_socket(wrapper, 32768)
        self.assertNotEqual(self.no_delay(), 0)
        self.assertIn(self.send_buffer(), (32768, 65536))

    def test_without_nagle(self) -> None:
        """A Unix socket has no Nagle algorithm; its send buffer is set all the same."""
        here, there = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(there.close)
        self.addCleanup(here.close)
        tune_socket(_Stream(here), 16384)
        self.assertIn(here.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF), (16384, 32768))

    def test_without_socket(self) -> None:
        """A transport in memory has no socket, and that is fine."""
        transport = MemoryTransport()
        tune_socket(transport, 4096)
        self.assertTrue(transport.no_delay)
        tune_socket(object(), 4096)
