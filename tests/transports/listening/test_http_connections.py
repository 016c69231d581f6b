"""Tests of wsrelay.transports.listening.http_connections."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.transports.listening.http_connections import HTTPConnections


class Connection:
    """Records whether it is aborted."""

    is_aborted = False

    def abortConnection(self) -> None:
        self.is_aborted = True


class HTTPConnectionsTests(SynchronousTestCase):
    """The bounded set."""

    def setUp(self) -> None:
        self.evictions = 0
        self.connections = HTTPConnections(2, self.count)

    def count(self) -> None:
        """Count an eviction."""
        self.evictions += 1

    def test_oldest_connection_is_aborted_to_make_room(self) -> None:
        first, second, third = (Connection() for _ in range(3))
        for connection in (first, second, third):
            self.connections.add(connection)
        self.assertEqual([each.is_aborted for each in (first, second, third)], [True, False, False])
        self.assertEqual((len(self.connections), self.evictions), (2, 1))

    def test_connection_that_is_added_again_keeps_its_place(self) -> None:
        first, second, third = (Connection() for _ in range(3))
        for connection in (first, second, first, third):
            self.connections.add(connection)
        self.assertEqual([each.is_aborted for each in (first, second, third)], [True, False, False])
        self.assertEqual((len(self.connections), self.evictions), (2, 1))

    def test_removed_connection_leaves_its_slot(self) -> None:
        first, second, third = (Connection() for _ in range(3))
        self.connections.add(first)
        self.connections.add(second)
        self.connections.remove(first)
        self.connections.remove(first)
        self.connections.add(third)
        self.assertEqual([each.is_aborted for each in (first, second, third)], [False] * 3)
        self.assertEqual((len(self.connections), self.evictions), (2, 0))
