"""Tests of wsrelay.transports.listening.connection_ids."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.transports.listening.connection_ids import ConnectionIDs


class ConnectionIDsTests(SynchronousTestCase):
    """Ids are random bits, each used once."""

    def test_ids_are_the_random_bytes_in_their_order_and_never_again(self) -> None:
        asked: list[int] = []

        def random_bytes(size: int) -> bytes:
            asked.append(size)
            return bytes([len(asked)]) * 7 + b"\xff" + b"".join(n.to_bytes(8, "big") for n in range(1, size // 8))

        ids = ConnectionIDs(random_bytes)
        self.assertEqual(ids.next(), "01010101010101ff")
        self.assertEqual(ids.next(), "0000000000000001")
        rest = [ids.next() for _ in range(asked[0] // 8 - 2)]
        self.assertEqual(asked, [2048])
        self.assertEqual(ids.next(), "02020202020202ff")
        self.assertEqual({len(each) for each in rest}, {16})
        self.assertEqual(len(set(rest)), len(rest))

    def test_ids_of_two_processes_differ(self) -> None:
        self.assertNotEqual(ConnectionIDs().next(), ConnectionIDs().next())
