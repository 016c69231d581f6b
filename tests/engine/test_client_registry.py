"""Tests of `wsrelay.engine.client_registry`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.identity import ANONYMOUS, ApplicationAnswer, Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.engine.client_registry import ClientRegistry

IDENTITIES = st.builds(
    Identity,
    subject=st.none() | st.sampled_from("ab"),
    answer=st.builds(ApplicationAnswer, credential_subject=st.none() | st.sampled_from(["", "a", "c"])),
    credential_id=st.none() | st.sampled_from(["token:a", "ticket:a"]),
    is_authenticated=st.booleans(),
)


class RecordingClient:
    """A registered client that records its disconnects.

    Args:
        connection_id: See `RegisteredClient`.
    """

    registered_as: Identity | None = None

    def __init__(self, connection_id: str = "1") -> None:
        self.connection_id = connection_id
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


class CountUsersTests(SynchronousTestCase):
    """How many different users there are."""

    def count(self, *identities: Identity, anonymous: int = 0) -> int:
        """Return the number of users of a registry with one client for each of these, and others without a name."""
        registry = ClientRegistry()
        clients = [RecordingClient(f"c{number}") for number, _ in enumerate(identities)]
        for client, identity in zip(clients, identities, strict=True):
            registry.add(client, identity)
        return registry.count_users(len(clients) + anonymous)

    def test_connections_of_a_user_are_one_and_those_of_nobody_are_one_more(self) -> None:
        self.assertEqual(self.count(), 0)
        self.assertEqual(self.count(Identity("42"), Identity("42"), Identity("43")), 2)
        self.assertEqual(self.count(Identity("42"), ANONYMOUS, ANONYMOUS, anonymous=3), 2)

    def test_user_that_the_application_calls_by_another_name_than_the_token_is_one(self) -> None:
        user = Identity("ann", answer=ApplicationAnswer(credential_subject="42"))
        self.assertEqual(self.count(user), 1)
        self.assertEqual(self.count(user, user, Identity("43")), 2)
        self.assertEqual(self.count(user, anonymous=1), 2)

    def test_user_whose_new_token_is_looked_up_is_one(self) -> None:
        registry, client = ClientRegistry(), RecordingClient()
        registry.add(client, ANONYMOUS)
        registry.replace(client, ANONYMOUS, Identity("42"), Identity("ann"))
        self.assertEqual((registry.count_users(1), registry.count_users(2)), (1, 2))


class SessionTests(SynchronousTestCase):
    """Clients by their session, which is a secret."""

    def setUp(self) -> None:
        """Register two connections of a user, of which the first has a session."""
        self.registry = ClientRegistry()
        self.client, other = RecordingClient("c1"), RecordingClient("c2")
        self.registry.add(self.client, Identity("42"))
        self.registry.add(other, Identity("42"))
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
        self.registry.replace(self.client, Identity(credential_id="token:new"))
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

    def add(self, connection_id: str, identity: Identity) -> RecordingClient:
        """Add a new client."""
        client = RecordingClient(connection_id)
        self.registry.add(client, identity)
        return client

    def test_client_is_found_by_each_of_its_targets_and_by_no_other(self) -> None:
        client = self.add("1", Identity("42", credential_id="token:x"))
        other = self.add("2", Identity("43"))
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
                super().__init__(f"{number}")
                self.number = number

            def disconnect(self, disconnect: AnyDisconnect) -> None:
                super().disconnect(disconnect)
                order.append(self.number)

        clients = [Numbered(number) for number in range(3)]
        for client in clients:
            self.registry.add(client, Identity("42"))
        self.assertEqual(self.registry.disconnect("user:42", Disconnect.RECONNECT), 3)
        self.assertEqual([client.disconnects for client in clients], [[Disconnect.RECONNECT]] * 3)
        self.assertEqual(order, [0, 1, 2])

    def test_identity_that_is_added_later_is_added_to_those_before(self) -> None:
        client = self.add("1", Identity("ann", credential_id="token:x"))
        self.registry.add(client, Identity("42"))
        self.assertEqual(sorted(self.registry.targets_of(client)), ["connection:1", "token:x", "user:42", "user:ann"])
        self.assertEqual(sorted(self.registry.targets()), ["connection:1", "token:x", "user:42", "user:ann"])
        self.assertEqual((len(self.registry), self.registry.disconnect("user:ann", Disconnect.REVOKED)), (1, 1))

    def test_identity_whose_targets_a_later_one_has_takes_no_place_beside_it(self) -> None:
        client, identity = self.add("1", ANONYMOUS), Identity("42", credential_id="token:x")
        for each in (Identity("42"), identity):
            self.registry.add(client, each)
        self.assertEqual(self.registry.targets_of(client), ("connection:1", "user:42", "token:x"))
        self.assertIs(client.registered_as, identity)
        self.assertEqual(self.registry._further, {})

    def test_client_is_found_by_the_name_that_the_application_has_for_its_user_and_by_the_credential_s(self) -> None:
        client = self.add("1", Identity("42", answer=ApplicationAnswer(credential_subject="ann")))
        self.assertEqual(self.registry.targets_of(client), ("connection:1", "user:42", "user:ann"))
        self.assertEqual([self.registry.clients(each) for each in ("user:42", "user:ann")], [[client], [client]])

    def test_identities_can_be_replaced(self) -> None:
        client = self.add("1", Identity("42", credential_id="token:x"))
        other = self.add("2", Identity(credential_id="token:x"))
        new = Identity("42", credential_id="token:y")
        self.registry.replace(client, Identity("42", credential_id="token:x"), new, new)
        self.assertEqual(self.registry.targets_of(client), ("connection:1", "user:42", "token:x", "token:y"))
        self.registry.replace(client, new)
        self.assertEqual(self.registry.targets_of(client), ("connection:1", "user:42", "token:y"))
        self.assertEqual(self.registry.clients("token:x"), [other])
        self.assertEqual(self.registry.clients("token:y"), [client])
        self.assertEqual(self.registry.authenticated_clients, 2)
        self.registry.replace(client, ANONYMOUS)
        self.assertEqual(self.registry.targets(), ["connection:1", "connection:2", "token:x"])

    def test_identity_of_a_client_that_is_not_there_is_not_replaced(self) -> None:
        self.registry.replace(RecordingClient(), Identity("42"))
        self.assertEqual((len(self.registry), self.registry.targets()), (0, []))

    def test_client_that_is_not_there_has_no_targets(self) -> None:
        self.assertEqual(self.registry.targets_of(RecordingClient()), ())

    def test_client_that_is_disconnected_stays_until_it_is_removed(self) -> None:
        client = self.add("1", Identity("42"))
        self.registry.disconnect("user:42", Disconnect.REVOKED)
        self.assertEqual((len(self.registry), self.registry.targets()), (1, ["connection:1", "user:42"]))
        self.registry.remove(client)
        self.assertEqual((len(self.registry), self.registry.targets()), (0, []))
        self.assertEqual(self.registry.disconnect("user:42", Disconnect.REVOKED), 0)

    def test_authenticated_clients_are_counted_until_they_are_removed(self) -> None:
        client, _anonymous = self.add("1", ANONYMOUS), self.add("2", ANONYMOUS)
        self.assertEqual(self.registry.authenticated_clients, 0)
        for _ in range(2):
            self.registry.add(client, Identity("42"))
            self.assertEqual(self.registry.authenticated_clients, 1)
        for _ in range(2):
            self.registry.remove(client)
            self.assertEqual(self.registry.authenticated_clients, 0)

    def test_removing_a_client_leaves_others_of_the_same_target(self) -> None:
        client, other = self.add("1", Identity("42")), self.add("2", Identity("42"))
        self.registry.remove(client)
        self.assertEqual((len(self.registry), sorted(self.registry.targets())), (1, ["connection:2", "user:42"]))
        self.assertEqual(self.registry.disconnect("user:42", Disconnect.REVOKED), 1)
        self.assertEqual((client.disconnects, other.disconnects), ([], [Disconnect.REVOKED]))

    def test_removing_a_client_that_is_not_there_is_ignored(self) -> None:
        client = self.add("1", Identity("42"))
        for each in (client, client, RecordingClient()):
            self.registry.remove(each)
        self.assertEqual((len(self.registry), self.registry.targets()), (0, []))

    def test_target_of_two_identities_counts_once(self) -> None:
        client = self.add("1", Identity("42", credential_id="token:x"))
        self.registry.add(client, Identity("42", credential_id="token:y"))
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

        clients: list[RecordingClient] = [Hasty("1"), RecordingClient("2"), Hasty("3")]
        for client in clients:
            registry.add(client, Identity("42"))
        self.assertEqual(registry.disconnect("user:42", Disconnect.REVOKED), 3)
        self.assertEqual([client.disconnects for client in clients], [[Disconnect.REVOKED]] * 3)
        self.assertEqual((left, registry.targets()), ([1, 1], ["connection:3", "user:42"]))

    def test_client_that_cannot_be_disconnected_is_logged_and_costs_the_others_nothing(self) -> None:
        class Stuck(RecordingClient):
            def disconnect(self, disconnect: AnyDisconnect) -> None:
                raise ZeroDivisionError

        first = self.add("1", Identity("42"))
        self.registry.add(Stuck("2"), Identity("42"))
        last = self.add("3", Identity("42"))
        self.assertEqual(self.registry.disconnect("user:42", Disconnect.REVOKED), 3)
        self.assertEqual((first.disconnects, last.disconnects), ([Disconnect.REVOKED], [Disconnect.REVOKED]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @given(
        st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["add", "replace", "remove"]), IDENTITIES), max_size=16)
    )
    def test_targets_are_those_of_the_clients_that_are_there(self, steps: list[tuple[int, str, Identity]]) -> None:
        registry, here = ClientRegistry(), dict[RecordingClient, list[Identity]]()
        clients = [RecordingClient(f"{number}") for number in range(5)]
        for number, step, identity in steps:
            client = clients[number]
            match step:
                case "add":
                    here.setdefault(client, []).insert(0, identity)
                    registry.add(client, identity)
                case "replace":
                    if client in here:
                        here[client] = [identity, *here[client][:1]]
                    registry.replace(client, *here.get(client, [identity]))
                case _:
                    here.pop(client, None)
                    registry.remove(client)
            targets = {
                client: {target for each in identities for target in each.revocation_targets(client.connection_id)}
                for client, identities in here.items()
            }
            self.assertEqual((len(registry), set(registry.targets())), (len(here), set[str]().union(*targets.values())))
            self.assertEqual({client: set(registry.targets_of(client)) for client in here}, targets)
            self.assertEqual(registry.authenticated_clients, sum(each[0].is_authenticated for each in here.values()))
            for target in registry.targets():
                expected = sorted(each.connection_id for each in here if target in targets[each])
                found = [each for each in clients if each in registry.clients(target)]
                self.assertEqual([each.connection_id for each in found], expected)
                self.assertEqual(registry.disconnect(target, Disconnect.REVOKED), len(expected))
        for client in list(here):
            registry.remove(client)
        self.assertEqual((len(registry), registry.targets(), registry.authenticated_clients), (0, [], 0))
        self.assertEqual(registry._further, {})
