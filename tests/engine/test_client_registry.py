"""Tests of `wsrelay.engine.client_registry`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.client_registry import ClientRegistry


class Guest:
    """A member that writes down how it was ended."""

    def __init__(self) -> None:
        self.disconnects: list[Disconnect] = []

    def dismiss(self, disconnect: Disconnect) -> None:
        """See `RegisteredClient.dismiss`."""
        self.disconnects.append(disconnect)


class RosterTests(SynchronousTestCase):
    """Who is here, and by what name."""

    def setUp(self) -> None:
        self.registry = ClientRegistry()

    def enter(self, *names: str) -> Guest:
        """Somebody new."""
        guest = Guest()
        self.registry.enter(guest, names)
        return guest

    def test_names(self) -> None:
        """A member is found by each of its names, and by no other."""
        guest = self.enter("connection:1", "user:42", "token:x")
        other = self.enter("connection:2", "user:43")
        self.assertEqual(
            [
                self.registry.dismiss(name, Disconnect.REVOKED)
                for name in ("connection:1", "user:42", "token:x", "user:4", "")
            ],
            [1, 1, 1, 0, 0],
        )
        self.assertEqual((guest.disconnects, other.disconnects), ([Disconnect.REVOKED] * 3, []))

    def test_all_of_a_name(self) -> None:
        """All members of a name are ended, oldest first, with what is said, and counted."""
        order: list[int] = []

        class Numbered(Guest):
            def dismiss(self, disconnect: Disconnect) -> None:
                super().dismiss(disconnect)
                order.append(len(order))

        guests = [Numbered() for _ in range(3)]
        for number, guest in enumerate(guests):
            self.registry.enter(guest, [f"connection:{number}", "user:42"])
        self.assertEqual(self.registry.dismiss("user:42", Disconnect.RECONNECT), 3)
        self.assertEqual([guest.disconnects for guest in guests], [[Disconnect.RECONNECT]] * 3)
        self.assertEqual(order, [0, 1, 2])

    def test_stays_until_it_leaves(self) -> None:
        """Who is ended is here until it has left: only then nobody is found by its names."""
        guest = self.enter("user:42", "connection:1")
        self.registry.dismiss("user:42", Disconnect.REVOKED)
        self.assertEqual((len(self.registry), self.registry.names()), (1, ["user:42", "connection:1"]))
        self.registry.leave(guest)
        self.assertEqual((len(self.registry), self.registry.names()), (0, []))
        self.assertEqual(self.registry.dismiss("user:42", Disconnect.REVOKED), 0)

    def test_leaves_alone(self) -> None:
        """Who leaves takes nobody of the same name along, and no name that somebody else has."""
        guest, other = self.enter("user:42", "connection:1"), self.enter("user:42", "connection:2")
        self.registry.leave(guest)
        self.assertEqual((len(self.registry), sorted(self.registry.names())), (1, ["connection:2", "user:42"]))
        self.assertEqual(self.registry.dismiss("user:42", Disconnect.REVOKED), 1)
        self.assertEqual((guest.disconnects, other.disconnects), ([], [Disconnect.REVOKED]))

    def test_leaves_twice(self) -> None:
        """Who leaves twice, or never was here, is forgiven."""
        guest = self.enter("user:42")
        for each in (guest, guest, Guest()):
            self.registry.leave(each)
        self.assertEqual((len(self.registry), self.registry.names()), (0, []))

    def test_same_name_twice(self) -> None:
        """A member that gives a name twice has it once, and leaves all the same."""
        guest = self.enter("user:42", "user:42")
        self.assertEqual(self.registry.dismiss("user:42", Disconnect.REVOKED), 1)
        self.registry.leave(guest)
        self.assertEqual((len(self.registry), self.registry.names()), (0, []))

    def test_leaves_while_it_is_ended(self) -> None:
        """Whoever is ended may leave at once, and take others along, while the others of the name are ended too."""
        registry, left = self.registry, []

        class Hasty(Guest):
            def dismiss(self, disconnect: Disconnect) -> None:
                super().dismiss(disconnect)
                for guest in guests[:2]:
                    registry.leave(guest)
                left.append(len(registry))

        guests: list[Guest] = [Hasty(), Guest(), Hasty()]
        for guest in guests:
            registry.enter(guest, ["user:42"])
        self.assertEqual(registry.dismiss("user:42", Disconnect.REVOKED), 3)
        self.assertEqual([guest.disconnects for guest in guests], [[Disconnect.REVOKED]] * 3)
        self.assertEqual((left, registry.names()), ([1, 1], ["user:42"]))

    def test_one_that_fails(self) -> None:
        """A member that cannot be ended is logged, and does not save the others."""

        class Stuck(Guest):
            def dismiss(self, disconnect: Disconnect) -> None:
                raise ZeroDivisionError

        first = self.enter("user:42")
        self.registry.enter(Stuck(), ["user:42"])
        last = self.enter("user:42")
        self.assertEqual(self.registry.dismiss("user:42", Disconnect.REVOKED), 3)
        self.assertEqual((first.disconnects, last.disconnects), ([Disconnect.REVOKED], [Disconnect.REVOKED]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @given(st.lists(st.tuples(st.integers(0, 4), st.sets(st.sampled_from("abc"))), max_size=12))
    def test_model(self, steps: list[tuple[int, set[str]]]) -> None:
        """Whoever comes and goes: names are those of who is here, and the roster is empty when all have left."""
        registry, here = ClientRegistry(), dict[Guest, set[str]]()
        guests = [Guest() for _ in range(5)]
        for number, names in steps:
            guest = guests[number]
            if guest in here:
                del here[guest]
                registry.leave(guest)
            else:
                here[guest] = names
                registry.enter(guest, sorted(names))
            self.assertEqual((len(registry), set(registry.names())), (len(here), set[str]().union(*here.values())))
            for name in "abc":
                expected = sum(name in each for each in here.values())
                self.assertEqual(registry.dismiss(name, Disconnect.REVOKED), expected)
        for guest in list(here):
            registry.leave(guest)
        self.assertEqual((len(registry), registry.names(), vars(registry)), (0, [], {"_by_name": {}, "_names": {}}))
