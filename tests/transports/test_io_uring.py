"""Tests of wsrelay.transports.io_uring, on real sockets."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from array import array

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.transports import io_uring as module
from wsrelay.transports.io_uring import MAX_DATA_BYTES, RING_ENTRIES, UNKNOWN, SendRing

CROWD = 2 * RING_ENTRIES + 17
"""More sockets than a ring has requests, and no multiple of their number."""


class RingCase(SynchronousTestCase):
    """A ring, and pairs of connected sockets."""

    ring: SendRing

    def setUp(self) -> None:
        """Open a ring."""
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.ring = SendRing.open()
        self.addCleanup(self.ring.close)
        self.addCleanup(self.close_pairs)

    def close_pairs(self) -> None:
        """Close all sockets."""
        for pair in self.pairs:
            for each in pair:
                each.close()

    def open(self, count: int = 1) -> array[int]:
        """Open pairs of sockets; returns the descriptors of the near ends."""
        pairs = [socket.socketpair() for _ in range(count)]
        self.pairs += pairs
        for near, far in pairs:
            near.setblocking(False)
            far.setblocking(False)
        return array("i", [near.fileno() for near, _ in pairs])

    def received(self) -> list[bytes]:
        """Return what has arrived at the far ends."""
        received = []
        for _, far in self.pairs:
            try:
                received.append(far.recv(2 * MAX_DATA_BYTES))
            except BlockingIOError:
                received.append(b"")
        return received


class SendRingTests(RingCase):
    """A ring, and sockets in all states."""

    def test_every_socket_takes_everything(self) -> None:
        descriptors = self.open(CROWD)
        for number in range(5):
            data = b"message %d" % number * (number + 1)
            self.assertIsNone(self.ring.send(descriptors, data))
            self.assertEqual(self.received(), [data] * CROWD)

    def test_any_number_of_sockets_in_a_row(self) -> None:
        descriptors = self.open(CROWD)
        sent = [0] * CROWD
        for count in (0, 1, 255, 3, 256, 100, 257, 31, CROWD, 7, 255, 511):
            self.assertIsNone(self.ring.send(descriptors[:count], b"x"))
            sent[:count] = [each + 1 for each in sent[:count]]
        self.assertEqual([len(data) for data in self.received()], sent)

    def test_socket_without_room_has_its_error_and_the_others_their_bytes(self) -> None:
        descriptors = self.open(5)
        full = self.pairs[2][0]
        while True:
            try:
                full.send(b"-" * 65536)
            except BlockingIOError:
                break
        self.assertEqual(self.ring.send(descriptors, b"abc"), [3, 3, -errno.EAGAIN, 3, 3])
        received = self.received()
        self.assertEqual(received[:2] + received[3:], [b"abc"] * 4)

    def test_part_that_fits_is_counted(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
        self.pairs += [(near, far), (listener, far)]
        near.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        data = b"x" * MAX_DATA_BYTES
        total = 0
        for _ in range(1000):
            outcome = self.ring.send(array("i", [near.fileno()]), data)
            if outcome is not None and outcome[0] < 0:
                break
            total += MAX_DATA_BYTES if outcome is None else outcome[0]
        else:
            self.fail("the buffer never was full")
        self.assertGreater(total, 0)
        received = 0
        while received < total:
            received += len(far.recv(65536))
        self.assertEqual(received, total)

    def test_nobody_and_closed_descriptors_are_errors_of_their_own(self) -> None:
        descriptors = self.open(4)
        descriptors[1] = -1
        self.pairs[3][1].close()
        self.assertEqual(self.ring.send(descriptors, b"abc"), [3, -errno.EBADF, 3, -errno.EPIPE])

    def test_errors_behind_the_first_part_of_many_are_in_their_places(self) -> None:
        descriptors = self.open(CROWD)
        descriptors[-2] = -1
        self.assertEqual(self.ring.send(descriptors, b"abc"), [3] * (CROWD - 2) + [-errno.EBADF, 3])

    def test_longest_data_arrives_whole(self) -> None:
        descriptors = self.open(3)
        data = os.urandom(MAX_DATA_BYTES)
        self.assertIsNone(self.ring.send(descriptors, data))
        self.assertEqual(self.received(), [data] * 3)

    def test_closed_ring_sends_nothing(self) -> None:
        descriptors = self.open(2)
        self.ring.close()
        self.ring.close()
        self.assertEqual(self.ring.send(descriptors, b"abc"), [-errno.EAGAIN] * 2)
        self.assertEqual((self.ring.is_open, self.received()), (False, [b""] * 2))

    def test_kernel_that_takes_only_a_part_ends_the_ring_and_nothing_is_sent_twice(self) -> None:
        descriptors = self.open(CROWD)
        syscall = self.ring._syscall
        # As if there were no memory for more than two.
        self.ring._syscall = lambda number, ring, _count, *more: syscall(number, ring, 2, *more)
        self.assertEqual(self.ring.send(descriptors, b"abc"), [3, 3] + [-errno.EAGAIN] * (CROWD - 2))
        self.assertEqual((self.ring.is_open, self.received()), (False, [b"abc"] * 2 + [b""] * (CROWD - 2)))

    def test_request_that_is_not_completed_at_once_has_no_known_result(self) -> None:
        descriptors = self.open(3)
        self.ring._syscall = lambda *_: 2
        self.assertEqual(self.ring.send(descriptors, b"abc"), [UNKNOWN, UNKNOWN, -errno.EAGAIN])
        self.assertFalse(self.ring.is_open)

    def test_call_that_fails_sends_nothing(self) -> None:
        descriptors = self.open(3)
        self.ring._syscall = lambda *_: -1
        self.assertEqual(self.ring.send(descriptors, b"abc"), [-errno.EAGAIN] * 3)
        self.assertFalse(self.ring.is_open)

    def test_layout_is_the_kernels(self) -> None:
        self.assertEqual((ctypes.sizeof(module._Parameters), ctypes.sizeof(module._Request)), (120, 64))


class RefusalTests(SynchronousTestCase):
    """Systems without rings."""

    def test_another_system_is_refused(self) -> None:
        self.patch(sys, "platform", "darwin")
        self.assertRaises(OSError, SendRing.open)

    def test_refusal_of_the_kernel_has_its_reason(self) -> None:
        self.patch(module, "_SETUP", -1)
        self.assertEqual(self.assertRaises(OSError, SendRing.open).errno, errno.ENOSYS)

    def test_descriptor_of_a_ring_that_cannot_be_used_is_closed(self) -> None:
        class Libc:
            """Makes a descriptor of another kind, of a kernel without any features."""

            def syscall(self, *_: object) -> int:
                """Return a descriptor."""
                return os.dup(2)

        parameters = module._Parameters
        self.patch(module, "_libc", Libc)
        for features in (0, 1):
            answer = parameters(features=features)
            self.patch(module, "_Parameters", lambda answer=answer, **_: answer)
            before = _next_descriptor()
            self.assertRaises((OSError, ValueError), SendRing.open)
            self.assertEqual(_next_descriptor(), before)

    def test_this_system_has_rings_or_says_why_not(self) -> None:
        try:
            SendRing.open().close()
        except OSError as error:
            self.assertTrue(error.strerror)


def _next_descriptor() -> int:
    number = os.dup(2)
    os.close(number)
    return number


def _has_rings() -> bool:
    try:
        SendRing.open().close()
    except OSError:
        return False
    return True


if not _has_rings():
    # Not skipped: the last of the tests above is what such a system can show.
    del SendRingTests
