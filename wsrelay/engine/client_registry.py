"""The clients of this process that can be disconnected, indexed by user, connection, ticket and token id.

Clients that show no credential, where the application is not asked about them either, are not in it and cost nothing
here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from twisted.logger import Logger

from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.outcomes.disconnects import AnyDisconnect

__all__ = ["ClientRegistry", "RegisteredClient"]


class RegisteredClient(Protocol):
    """A client that can be disconnected."""

    # Without it clients would have a dictionary each.
    __slots__ = ()

    def disconnect(self, disconnect: AnyDisconnect) -> None:
        """End the client, whether its handshake is complete or not."""

    def end_subscription(self, channel: str) -> None:
        """End the client's subscription to a channel; nothing if it has none."""

    def subscribe_by_server(self, subscription: ServerSubscription, since: str | None = None) -> None:
        """Subscribe the client to a channel; see `wsrelay.core.sessions.session.Session.subscribe_by_server`."""

    def refresh_by_server(self, expires: float | None, *, is_expired: bool = False, info: bytes = b"") -> None:
        """Give the client's credential another end.

        Args:
            expires: When it ends, in seconds since the epoch. If None, it does not.
            is_expired: Whether it has ended already, and with it the connection.
            info: What others are told about the client from now on, as JSON on one line. If empty, what they were told.
        """


class ClientRegistry:
    """Clients by revocation target: ``user:42``, ``connection:5f0c``, ``ticket:...``, ``token:...``.

    A session is no target: it is a secret, and the targets are looked up in the store of revocations.
    """

    log = Logger()

    def __init__(self) -> None:
        # A target that one client has, as nearly every one, holds it without a dictionary of its own.
        self._by_target: dict[str, RegisteredClient | dict[RegisteredClient, None]] = {}
        self._targets: dict[RegisteredClient, tuple[str, ...]] = {}
        self._authenticated: set[RegisteredClient] = set()
        self._by_session: dict[str, RegisteredClient] = {}
        self._sessions: dict[RegisteredClient, str] = {}

    @property
    def authenticated_clients(self) -> int:
        """The number of clients that a credential or the application vouches for."""
        return len(self._authenticated)

    def count_users(self, connections: int) -> int:
        """Count the different users.

        Args:
            connections: The number of all connections of this process. If some are of nobody in particular, those count
                as one more user.
        """
        clients = [len(self._having(target)) for target in self._by_target if target.startswith("user:")]
        return len(clients) + (connections > sum(clients))

    def __len__(self) -> int:
        return len(self._targets)

    def add(self, client: RegisteredClient, targets: Iterable[str]) -> None:
        """Index a client by targets, in addition to those that it has; `remove` is owed once."""
        self._targets[client] = tuple(dict.fromkeys((*self._targets.get(client, ()), *targets)))
        for target in self._targets[client]:
            found = self._by_target.setdefault(target, client)
            if isinstance(found, dict):
                found[client] = None
            elif found is not client:
                self._by_target[target] = {found: None, client: None}

    def replace(self, client: RegisteredClient, targets: Iterable[str]) -> None:
        """Index a client by these targets and no others. One that has been removed meanwhile is ignored."""
        if client not in self._targets:
            return
        kept = tuple(dict.fromkeys(targets))
        for target in self._targets[client]:
            if target not in kept:
                self._remove_from(target, client)
        self._targets[client] = ()
        self.add(client, kept)

    def authenticated(self, client: RegisteredClient) -> None:
        """Take that a client is authenticated. One that has been removed meanwhile is ignored."""
        if client in self._targets:
            self._authenticated.add(client)

    def add_session(self, client: RegisteredClient, session: str) -> None:
        """Take the session that a client is told. One that has been removed meanwhile is ignored."""
        if client in self._targets:
            self._by_session[session] = client
            self._sessions[client] = session

    def remove(self, client: RegisteredClient) -> None:
        """Remove a client; one that was never added is ignored."""
        self._authenticated.discard(client)
        session = self._sessions.pop(client, None)
        if session is not None:
            del self._by_session[session]
        for target in self._targets.pop(client, ()):
            self._remove_from(target, client)

    def targets_of(self, client: RegisteredClient) -> Sequence[str]:
        """Return the targets of a client, in the order in which they were added."""
        return self._targets.get(client, ())

    def targets(self) -> list[str]:
        """Return every target that a client here has."""
        return list(self._by_target)

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
        found = self._by_target.get(target, ())
        return found if isinstance(found, (dict, tuple)) else (found,)

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

    def _remove_from(self, target: str, client: RegisteredClient) -> None:
        found = self._by_target[target]
        if isinstance(found, dict) and len(found) > 1:
            del found[client]
        else:
            del self._by_target[target]
