"""Tests of `wsrelay.engine.client_index`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.engine.client_index import ClientIndex


class ClientIndexTests(SynchronousTestCase):
    """`ClientIndex`."""

    def setUp(self) -> None:
        """Make an index in which two clients share a name, and a third has one of its own."""
        self.index: ClientIndex[int] = ClientIndex()
        for name, client in (("ann", 1), ("bob", 3), ("ann", 2)):
            self.index.add(name, client)

    def test_clients_of_a_name_are_found_oldest_first(self) -> None:
        found = [list(self.index.having(name)) for name in ("ann", "bob", "eve")]
        self.assertEqual(found, [[1, 2], [3], []])
        self.assertEqual((len(self.index), list(self.index)), (2, ["ann", "bob"]))

    def test_name_stays_until_its_last_client_is_removed(self) -> None:
        self.index.remove("ann", 1)
        self.assertEqual(list(self.index.having("ann")), [2])
        self.index.remove("ann", 2)
        self.assertEqual((list(self.index.having("ann")), list(self.index)), ([], ["bob"]))

    def test_name_that_a_client_has_already_changes_nothing(self) -> None:
        for name, client in (("ann", 1), ("bob", 3)):
            self.index.add(name, client)
        self.assertEqual([list(self.index.having(name)) for name in ("ann", "bob")], [[1, 2], [3]])

    def test_client_may_have_several_names(self) -> None:
        self.index.add("ann", 3)
        self.index.remove("bob", 3)
        self.assertEqual((list(self.index.having("ann")), list(self.index.having("bob"))), ([1, 2, 3], []))
