"""Tests of `wsrelay.engine.client_registry`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.engine.client_registry import ClientRegistry


class RecordingClient:
    """A registered client that records its disconnects."""

    def __init__(self) -> None:
        self.disconnects: list[AnyDisconnect] = []
        self.ended: list[str] = []

    def disconnect(self, disconnect: AnyDisconnect) -> None:
        """See `RegisteredClient.disconnect`."""
        self.disconnects.append(disconnect)

    def end_subscription(self, channel: str) -> None:
        """See `RegisteredClient.end_subscription`."""
        self.ended.append(channel)

    def subscribe_by_server(self, subscription: ServerSubscription, since: str | None = None) -> None:
        """See `RegisteredClient.subscribe_by_server`."""
        raise NotImplementedError

    def refresh_by_server(self, expires: float | None, *, is_expired: bool = False, info: bytes = b"") -> None:
        """See `RegisteredClient.refresh_by_server`."""
        raise NotImplementedError


class SessionTests(SynchronousTestCase):
    """Clients by their session, which is a secret."""

    def setUp(self) -> None:
        """Register two connections of a user, of which the first has a session."""
        self.registry = ClientRegistry()
        self.client, other = RecordingClient(), RecordingClient()
        self.registry.add(self.client, ["connection:c1", "user:42"])
        self.registry.add(other, ["connection:c2", "user:42"])
        self.registry.add_session(self.client, "secret")

    def test_client_is_found_by_its_session_alone_and_with_targets_that_it_has(self) -> None:
        for targets in ((), ("user:42",), ("user:42", "connection:c1")):
            self.assertEqual(self.registry.clients(*targets, session="secret"), [self.client])

    def test_client_is_not_found_by_another_session_nor_with_a_target_that_it_has_not(self) -> None:
        for targets, session in (
            ((), "other"),
            (("user:42",), "secre"),
            (("user:43",), "secret"),
            (("user:42", "connection:c2"), "secret"),
        ):
            self.assertEqual(self.registry.clients(*targets, session=session), [])

    def test_session_is_no_target_and_stays_when_those_are_replaced(self) -> None:
        self.registry.replace(self.client, ["connection:c1", "token:new"])
        self.assertEqual(sorted(self.registry.targets()), ["connection:c1", "connection:c2", "token:new", "user:42"])
        self.assertEqual(self.registry.clients(session="secret"), [self.client])

    def test_session_ends_with_its_client_and_is_not_taken_afterwards(self) -> None:
        self.registry.remove(self.client)
        self.registry.add_session(self.client, "late")
        self.assertEqual(self.registry.clients(session="secret") + self.registry.clients(session="late"), [])


class ClientRegistryTests(SynchronousTestCase):
    """Clients by target."""

    def setUp(self) -> None:
        """Make a registry."""
        self.registry = ClientRegistry()

    def add(self, *targets: str) -> RecordingClient:
        """Add a new client."""
        client = RecordingClient()
        self.registry.add(client, targets)
        return client

    def test_client_is_found_by_each_of_its_targets_and_by_no_other(self) -> None:
        client = self.add("connection:1", "user:42", "token:x")
        other = self.add("connection:2", "user:43")
        counts = [
            self.registry.disconnect(target, Disconnect.REVOKED)
            for target in ("connection:1", "user:42", "token:x", "user:4", "")
        ]
        self.assertEqual(counts, [1, 1, 1, 0, 0])
        self.assertEqual((client.disconnects, other.disconnects), ([Disconnect.REVOKED] * 3, []))

    def test_all_clients_of_a_target_are_disconnected_oldest_first(self) -> None:
        order: list[int] = []

        class Numbered(RecordingClient):
            def __init__(self, number: int) -> None:
                super().__init__()
                self.number = number

            def disconnect(self, disconnect: AnyDisconnect) -> None:
                super().disconnect(disconnect)
                order.append(self.number)

        clients = [Numbered(number) for number in range(3)]
        for number, client in enumerate(clients):
            self.registry.add(client, [f"connection:{number}", "user:42"])
        self.assertEqual(self.registry.disconnect("user:42", Disconnect.RECONNECT), 3)
        self.assertEqual([client.disconnects for client in clients], [[Disconnect.RECONNECT]] * 3)
        self.assertEqual(order, [0, 1, 2])

    def test_targets_that_are_added_later_are_added_to_those_before(self) -> None:
        client = self.add("connection:1")
        self.registry.add(client, ["connection:1", "user:42"])
        self.assertEqual(self.registry.targets_of(client), ("connection:1", "user:42"))
        self.assertEqual((len(self.registry), self.registry.disconnect("connection:1", Disconnect.REVOKED)), (1, 1))

    def test_targets_can_be_replaced(self) -> None:
        client, other = self.add("connection:1", "user:42", "token:x"), self.add("token:x")
        self.registry.authenticated(client)
        self.registry.replace(client, ["connection:1", "user:42", "token:y", "user:42"])
        self.assertEqual(self.registry.targets_of(client), ("connection:1", "user:42", "token:y"))
        self.assertEqual(self.registry.clients("token:x"), [other])
        self.assertEqual(self.registry.clients("token:y"), [client])
        self.assertEqual(self.registry.authenticated_clients, 1)
        self.registry.replace(client, ["connection:1"])
        self.assertEqual(self.registry.targets(), ["connection:1", "token:x"])

    def test_targets_of_a_client_that_is_not_there_are_not_replaced(self) -> None:
        self.registry.replace(RecordingClient(), ["user:42"])
        self.assertEqual((len(self.registry), self.registry.targets()), (0, []))

    def test_client_that_is_not_there_has_no_targets(self) -> None:
        self.assertEqual(self.registry.targets_of(RecordingClient()), ())

    def test_client_that_is_disconnected_stays_until_it_is_removed(self) -> None:
        client = self.add("user:42", "connection:1")
        self.registry.disconnect("user:42", Disconnect.REVOKED)
        self.assertEqual((len(self.registry), self.registry.targets()), (1, ["user:42", "connection:1"]))
        self.registry.remove(client)
        self.assertEqual((len(self.registry), self.registry.targets()), (0, []))
        self.assertEqual(self.registry.disconnect("user:42", Disconnect.REVOKED), 0)

    def test_authenticated_clients_are_counted_until_they_are_removed(self) -> None:
        client, _anonymous = self.add("user:42"), self.add("connection:2")
        self.registry.authenticated(client)
        self.registry.authenticated(client)
        self.registry.authenticated(RecordingClient())
        self.assertEqual(self.registry.authenticated_clients, 1)
        self.registry.remove(client)
        self.registry.authenticated(client)
        self.assertEqual(self.registry.authenticated_clients, 0)

    def test_removing_a_client_leaves_others_of_the_same_target(self) -> None:
        client, other = self.add("user:42", "connection:1"), self.add("user:42", "connection:2")
        self.registry.remove(client)
        self.assertEqual((len(self.registry), sorted(self.registry.targets())), (1, ["connection:2", "user:42"]))
        self.assertEqual(self.registry.disconnect("user:42", Disconnect.REVOKED), 1)
        self.assertEqual((client.disconnects, other.disconnects), ([], [Disconnect.REVOKED]))

    def test_removing_a_client_that_is_not_there_is_ignored(self) -> None:
        client = self.add("user:42")
        for each in (client, client, RecordingClient()):
            self.registry.remove(each)
        self.assertEqual((len(self.registry), self.registry.targets()), (0, []))

    def test_target_that_is_given_twice_counts_once(self) -> None:
        client = self.add("user:42", "user:42")
        self.assertEqual(self.registry.disconnect("user:42", Disconnect.REVOKED), 1)
        self.registry.remove(client)
        self.assertEqual((len(self.registry), self.registry.targets()), (0, []))

    def test_clients_that_are_removed_while_others_are_disconnected_are_disconnected_too(self) -> None:
        registry, left = self.registry, []

        class Hasty(RecordingClient):
            def disconnect(self, disconnect: AnyDisconnect) -> None:
                super().disconnect(disconnect)
                for client in clients[:2]:
                    registry.remove(client)
                left.append(len(registry))

        clients: list[RecordingClient] = [Hasty(), RecordingClient(), Hasty()]
        for client in clients:
            registry.add(client, ["user:42"])
        self.assertEqual(registry.disconnect("user:42", Disconnect.REVOKED), 3)
        self.assertEqual([client.disconnects for client in clients], [[Disconnect.REVOKED]] * 3)
        self.assertEqual((left, registry.targets()), ([1, 1], ["user:42"]))

    def test_client_that_cannot_be_disconnected_is_logged_and_costs_the_others_nothing(self) -> None:
        class Stuck(RecordingClient):
            def disconnect(self, disconnect: AnyDisconnect) -> None:
                raise ZeroDivisionError

        first = self.add("user:42")
        self.registry.add(Stuck(), ["user:42"])
        last = self.add("user:42")
        self.assertEqual(self.registry.disconnect("user:42", Disconnect.REVOKED), 3)
        self.assertEqual((first.disconnects, last.disconnects), ([Disconnect.REVOKED], [Disconnect.REVOKED]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @given(st.lists(st.tuples(st.integers(0, 4), st.sets(st.sampled_from("abc"))), max_size=12))
    def test_targets_are_those_of_the_clients_that_are_there(self, steps: list[tuple[int, set[str]]]) -> None:
        registry, here = ClientRegistry(), dict[RecordingClient, set[str]]()
        clients = [RecordingClient() for _ in range(5)]
        for number, targets in steps:
            client = clients[number]
            if client in here:
                del here[client]
                registry.remove(client)
            else:
                here[client] = targets
                registry.add(client, sorted(targets))
            self.assertEqual((len(registry), set(registry.targets())), (len(here), set[str]().union(*here.values())))
            for target in "abc":
                expected = sum(target in each for each in here.values())
                self.assertEqual(registry.disconnect(target, Disconnect.REVOKED), expected)
        for client in list(here):
            registry.remove(client)
        self.assertEqual(
            (len(registry), registry.targets(), vars(registry)),
            (
                0,
                [],
                {"_by_target": {}, "_targets": {}, "_authenticated": set(), "_by_session": {}, "_sessions": {}},
            ),
        )
