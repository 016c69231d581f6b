"""The clients of this process that can be disconnected, indexed by user, connection, ticket and token id.

Clients that show no credential, where the application is not asked about them either, are not in it and cost nothing
here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Protocol

from twisted.logger import Logger

from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.engine.client_index import ClientIndex

__all__ = ["ClientRegistry", "RegisteredClient"]

# The kinds of targets that are indexed by what stands behind the colon; the others are of credentials.
_CONNECTION = "connection"
_USER = "user"


class RegisteredClient(Protocol):
    """A client that can be disconnected.

    Attributes:
        registered_as: The identity by which the registry has it. It is the registry that writes this, and nobody else.
            If None, the client is not registered.
    """

    # Without it clients would have a dictionary each.
    __slots__ = ("registered_as",)

    registered_as: Identity | None

    @property
    def connection_id(self) -> str:
        """The unique name of the client's connection. Empty where the client is anonymous and is not registered."""

    def disconnect(self, disconnect: AnyDisconnect) -> None:
        """End the client, whether its handshake is complete or not."""

    def end_subscription(self, channel: str) -> None:
        """End the client's subscription to a channel; nothing if it has none."""

    def subscribe_by_server(self, subscription: ServerSubscription, since: str | None = None) -> None:
        """Subscribe the client to a channel; see `wsrelay.core.sessions.session.Session.subscribe_by_server`."""

    def refresh_by_server(self, expires: float | None, *, is_expired: bool = False, info: bytes = b"") -> None:
        """Give the client's credential another end.

        Args:
            expires: When it ends, in seconds since the epoch; if that is over, so does the connection. If None, it does
                not.
            is_expired: Whether it has ended already, and with it the connection.
            info: What others are told about the client from now on, as JSON on one line. If empty, what they were told.
        """


class ClientRegistry:
    """Clients by revocation target: ``user:42``, ``connection:5f0c``, ``ticket:...``, ``token:...``.

    A session is no target: it is a secret, and the targets are looked up in the store of revocations.
    """

    log = Logger()

    def __init__(self) -> None:
        # By what a client has in any case, such as the name of its user: a text for each target, and a list of those of
        # each client, would be a sixth of the memory of an idle connection.
        self._connections: ClientIndex[RegisteredClient] = ClientIndex()
        self._users: ClientIndex[RegisteredClient] = ClientIndex()
        self._credentials: ClientIndex[RegisteredClient] = ClientIndex()
        # Of clients that are indexed by several identities: all but the first one.
        self._further: dict[RegisteredClient, tuple[Identity, ...]] = {}
        self._by_session: dict[str, RegisteredClient] = {}
        self._sessions: dict[RegisteredClient, str] = {}
        self._authenticated = 0

    @property
    def authenticated_clients(self) -> int:
        """The number of clients that a credential or the application vouches for."""
        return self._authenticated

    def count_users(self, connections: int) -> int:
        """Count the different users. One that has several names, such as the application's and the token's, is one.

        Args:
            connections: The number of all connections of this process. If some are of nobody in particular, those count
                as one more user.
        """
        clients = {client for user in self._users for client in self._users.having(user)}
        return len(set(map(self._first_name, clients))) + (connections > len(clients))

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, client: RegisteredClient, identity: Identity) -> None:
        """Index a client by an identity, in addition to those that it has; `remove` is owed once."""
        first = client.registered_as
        self._connections.add(client.connection_id, client)
        if first is None and identity is ANONYMOUS:
            # It is how each begins that connects by a command, and has nothing to be indexed by.
            client.registered_as = identity
            return
        self._index(client, identity)
        if (first is None or first is ANONYMOUS) and client not in self._further:
            # As nearly always. Anonymous is covered by any other.
            client.registered_as = identity
            self._authenticated += identity.is_authenticated
            return
        others = [each for each in self._identities(client) if not _covers(identity, each)]
        self._keep(client, identity, *others)

    def replace(self, client: RegisteredClient, *identities: Identity) -> None:
        """Index a client by these identities and no others. One that has been removed meanwhile is ignored."""
        before = self._identities(client)
        if not before:
            return
        for identity in identities:
            self._index(client, identity)
        for user in _users(before) - _users(identities):
            self._users.remove(user, client)
        for credential in _credentials(before) - _credentials(identities):
            self._credentials.remove(credential, client)
        self._keep(client, *identities)

    def remove(self, client: RegisteredClient) -> None:
        """Remove a client; one that was never added is ignored."""
        if client.registered_as is None:
            return
        self.replace(client)
        self._connections.remove(client.connection_id, client)
        session = self._sessions.pop(client, None)
        if session is not None:
            del self._by_session[session]

    def add_session(self, client: RegisteredClient, session: str) -> None:
        """Take the session that a client is told. One that has been removed meanwhile is ignored."""
        if client.registered_as is not None:
            self._by_session[session] = client
            self._sessions[client] = session

    def targets_of(self, client: RegisteredClient) -> Sequence[str]:
        """Return the targets of a client."""
        first, connection = client.registered_as, client.connection_id
        if first is not None and client not in self._further:
            return tuple(first.revocation_targets(connection))
        identities = self._identities(client)
        return tuple(dict.fromkeys(chain.from_iterable(each.revocation_targets(connection) for each in identities)))

    def targets(self) -> list[str]:
        """Return every target that a client here has."""
        connections = (f"{_CONNECTION}:{each}" for each in self._connections)
        return [*connections, *(f"{_USER}:{each}" for each in self._users), *self._credentials]

    def disconnect(self, target: str, disconnect: AnyDisconnect) -> int:
        """End all clients of a target.

        Returns:
            How many there were.
        """
        return self.apply(self.clients(target), lambda client: client.disconnect(disconnect))

    def clients(self, *targets: str, session: str = "") -> list[RegisteredClient]:
        """Return the clients that have all of these targets.

        Args:
            targets: The targets. There may be none if a session is named.
            session: The session of the one client that is meant. If empty, it is of no account.
        """
        if session:
            holder = self._by_session.get(session)
            return [] if holder is None or any(holder not in self._having(each) for each in targets) else [holder]
        first, *others = targets
        return [client for client in self._having(first) if all(client in self._having(target) for target in others)]

    def _having(self, target: str) -> Collection[RegisteredClient]:
        kind, _colon, name = target.partition(":")
        if kind == _CONNECTION:
            return self._connections.having(name)
        return self._users.having(name) if kind == _USER else self._credentials.having(target)

    def apply(self, clients: Sequence[RegisteredClient], action: Callable[[RegisteredClient], None]) -> int:
        """Do something with each of these clients.

        Args:
            clients: The clients; a list of its own, because one that is ended may be removed at once.
            action: What is done. If it fails for one client, that is logged, and the others are not spared.

        Returns:
            How many clients there were.
        """
        for client in clients:
            try:
                action(client)
            except Exception:  # noqa: BLE001 -- one that cannot be reached must not save the others
                self.log.failure("a command of the application failed for one client")
        return len(clients)

    def _identities(self, client: RegisteredClient) -> tuple[Identity, ...]:
        first = client.registered_as
        return () if first is None else (first, *self._further.get(client, ()))

    def _first_name(self, client: RegisteredClient) -> str:
        return next(user for each in self._identities(client) for user in each.users)

    def _index(self, client: RegisteredClient, identity: Identity) -> None:
        for user in identity.users:
            self._users.add(user, client)
        if identity.credential_id is not None:
            self._credentials.add(identity.credential_id, client)

    def _keep(self, client: RegisteredClient, first: Identity | None = None, *further: Identity) -> None:
        before, client.registered_as = client.registered_as, first
        self._authenticated += _is_authenticated(first) - _is_authenticated(before)
        if further:
            self._further[client] = further
        else:
            self._further.pop(client, None)


def _covers(identity: Identity, other: Identity) -> bool:
    return other.credential_id in (None, identity.credential_id) and set(identity.users).issuperset(other.users)


def _users(identities: Sequence[Identity]) -> set[str]:
    return {user for each in identities for user in each.users}


def _credentials(identities: Sequence[Identity]) -> set[str]:
    return {each.credential_id for each in identities if each.credential_id is not None}


def _is_authenticated(identity: Identity | None) -> bool:
    return identity is not None and identity.is_authenticated
