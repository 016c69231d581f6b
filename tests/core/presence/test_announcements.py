"""A property: what several processes announce of a channel, however clients come and go."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.memory.presence_store import MemoryPresenceStore
from wsrelay.core.presence.lease_book import LEASE_SECONDS, LeaseBook
from wsrelay.core.presence.local_members import LocalMembers
from wsrelay.core.presence.member import Member
from wsrelay.core.presence.tables import LEAVE_SECONDS, announced_table

HERE = announced_table("chat")
USERS = ("ann", "bob", "")
PROCESSES = 3
STEP_SECONDS = 0.5

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("connect"), st.integers(0, PROCESSES - 1), st.sampled_from(USERS)),
        st.tuples(st.just("disconnect"), st.integers(0, 20), st.just("")),
        st.tuples(st.just("reconnect"), st.integers(0, 20), st.sampled_from("012")),
        st.tuples(st.just("pass"), st.integers(0, 40), st.just("")),
        st.tuples(st.just("crash"), st.integers(0, PROCESSES - 1), st.just("")),
    ),
    max_size=60,
)


class Process:
    """One process: its members, and the leases that it keeps of them."""

    def __init__(self, number: int) -> None:
        self.members = LocalMembers()
        self.book = LeaseBook(number / PROCESSES)


class Fleet:
    """Processes that share a store, and those who look at what is announced.

    Attributes:
        announced: The keys that were announced and have not left since.
        connected: The connections: their processes and members.
        last_seen: When a key was last connected, or when the process that it was connected to crashed.
        problems: What must not happen and did.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryPresenceStore(self.clock.seconds, lambda: "")
        self.processes = [Process(number) for number in range(PROCESSES)]
        self.announced: set[str] = set()
        self.connected: dict[str, tuple[int, Member]] = {}
        self.last_seen: dict[str, float] = {}
        self.problems: list[str] = []
        self._messages: list[tuple[int, list[str]]] = []
        self._names = iter(range(10**6))

    def connect(self, number: int, user: str) -> None:
        client = f"c{next(self._names)}"
        member = Member(client, user)
        process = self.processes[number]
        change = process.members.add("chat", client, member)
        assert change is not None
        self.connected[client] = number, member
        if change.is_edge_of_key:
            process.book.hold(HERE, member.key, self.clock.seconds())

    def disconnect(self, index: int) -> str | None:
        if not self.connected:
            return None
        client = list(self.connected)[index % len(self.connected)]
        number, member = self.connected.pop(client)
        process = self.processes[number]
        change = process.members.remove("chat", client)
        assert change is not None
        if change.is_edge_of_key:
            process.book.release(HERE, member.key, self.clock.seconds())
        self.last_seen[member.key] = self.clock.seconds()
        return member.user

    def crash(self, number: int) -> None:
        """End a process, and start another one in its place."""
        for client, (owner, member) in list(self.connected.items()):
            if owner == number:
                del self.connected[client]
                self.last_seen[member.key] = self.clock.seconds()
        self.processes[number] = Process(number)

    def work(self) -> None:
        """Let every process do what is due, and receive what the others said before."""
        messages, self._messages = self._messages, []
        for number, process in enumerate(self.processes):
            now = self.clock.seconds()
            for sender, names in messages:
                if sender != number:
                    process.book.released_elsewhere(HERE, names, now)
            while work := process.book.take(now):
                for table, released in work.release.items():
                    result_of(self.store.release(table, released))
                    self._messages.append((number, list(released)))
                for table, held in work.hold.items():
                    for name in process.book.confirm(table, held, result_of(self.store.hold(table, held)), now):
                        self._join(name)
                for table in work.collect:
                    for name in result_of(self.store.take_ended(table)):
                        self._leave(name)

    def pass_time(self, steps: int) -> None:
        for _ in range(steps):
            self.clock.advance(STEP_SECONDS)
            self.work()

    @property
    def present(self) -> set[str]:
        """The keys of those who are connected."""
        return {member.key for _number, member in self.connected.values()}

    def _join(self, name: str) -> None:
        if name in self.announced:
            self.problems.append(f"{name} joins twice")
        self.announced.add(name)

    def _leave(self, name: str) -> None:
        if name not in self.announced:
            self.problems.append(f"{name} leaves twice")
        if name in self.present:
            self.problems.append(f"{name} is said to leave and is here")
        elif self.clock.seconds() - self.last_seen[name] < LEAVE_SECONDS:
            self.problems.append(f"{name} is said to leave too soon")
        self.announced.discard(name)


def result_of(deferred: Deferred[Any]) -> list[str]:
    """Return the names that a Deferred has fired with, if any."""
    results: list[Any] = []
    deferred.addCallback(results.append)
    (result,) = results
    return list(result) if isinstance(result, list) else []


class AnnouncementTests(SynchronousTestCase):
    """Joins and leaves."""

    @settings(max_examples=300, deadline=None)
    @given(STEPS)
    def test_joins_and_leaves_alternate_come_to_the_truth_and_spare_who_reconnects(
        self, steps: list[tuple[str, int, str]]
    ) -> None:
        """A leave comes `LEAVE_SECONDS` behind the last connection at the earliest: a reconnect is not told at all."""
        fleet = Fleet()
        for name, number, argument in steps:
            if name == "connect":
                fleet.connect(number, argument)
            elif name == "disconnect":
                fleet.disconnect(number)
            elif name == "reconnect":
                user = fleet.disconnect(number)
                if user is not None:
                    fleet.pass_time(number)
                    fleet.connect(int(argument), user)
            elif name == "pass":
                fleet.pass_time(number)
            else:
                fleet.crash(number)
            fleet.work()
            self.assertEqual(fleet.problems, [])
        # One more client keeps each process at work: without any nobody is there to be told.
        for number in range(PROCESSES):
            fleet.connect(number, "cat")
        fleet.pass_time(int((LEASE_SECONDS + LEASE_SECONDS) / STEP_SECONDS))
        self.assertEqual((fleet.problems, fleet.announced), ([], fleet.present))

    def test_user_that_moves_from_process_to_process_joins_once_and_leaves_once(self) -> None:
        fleet = Fleet()
        fleet.connect(0, "cat")
        for number in (0, 1, 2, 1, 0):
            fleet.connect(number, "ann")
            fleet.pass_time(1)
            self.assertEqual(fleet.announced, {"user:cat", "user:ann"})
            fleet.disconnect(1)
            fleet.pass_time(20)
            self.assertEqual(fleet.announced, {"user:cat", "user:ann"})
        fleet.pass_time(8)
        self.assertEqual((fleet.announced, fleet.problems), ({"user:cat"}, []))
