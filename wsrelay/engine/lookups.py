"""Lookups of clients by a command: the history of a channel, and who is subscribed to it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.python.failure import Failure

from wsrelay.core.messaging.commands import ReadHistory, ReadPresence
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.replies import Failed, HistoryRead, PresenceCounted, PresenceRead, Reply
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, PositionError, RejectedError
from wsrelay.engine.operations.history import HistoryOperations
from wsrelay.engine.operations.presence import PresenceOperations
from wsrelay.engine.shared_reads import SharedReads
from wsrelay.interfaces import IBroker

__all__ = ["MAX_LOOKUPS", "MAX_READS", "ClientLookups", "Lookups"]

MAX_LOOKUPS = 16
"""The most commands of one client that wait for their replies."""

MAX_READS = 32
"""The most pages of history that are read at the same time, for all clients: each may take some megabytes."""


class Lookups:
    """Looks up what clients ask for.

    Args:
        broker: Keeps it.
        namespaces: The channels that exist.
    """

    def __init__(self, broker: IBroker, namespaces: Namespaces) -> None:
        self._history = HistoryOperations(broker, namespaces)
        self._presence = PresenceOperations(broker, namespaces)
        # A crowd that returns asks for the same at the same moment. Who has published finds it in what is read then.
        self._shared = SharedReads(is_fresh=True)
        self._turns = DeferredSemaphore(MAX_READS)

    def look_up(self, command: ReadHistory | ReadPresence) -> Deferred[Reply]:
        """Return the reply to a command that the client may send.

        Returns:
            Fires with the reply, that of a failure included, within twice the broker's bounded time once it is its
            turn. It shows everything that the broker had confirmed before.
        """
        replied = self._read_history(command) if isinstance(command, ReadHistory) else self._read_presence(command)
        return replied.addErrback(_failed, command.id)

    def _read_history(self, command: ReadHistory) -> Deferred[Reply]:
        asked = command.channel, command.limit, command.since, command.epoch
        page, reverse = self._history.page, command.reverse
        read = self._shared.get((*asked, reverse), lambda: self._turns.run(page, *asked, reverse=reverse))
        return read.addCallback(lambda page: HistoryRead(command.id, page))

    def _read_presence(self, command: ReadPresence) -> Deferred[Reply]:
        channel, command_id = command.channel, command.id
        if command.only_counts:
            counted = self._shared.get((channel, "counts"), lambda: self._presence.stats(channel))
            return counted.addCallback(lambda stats: PresenceCounted(command_id, stats))
        read = self._shared.get((channel, "members"), lambda: self._presence.members(channel))
        return read.addCallback(lambda found: PresenceRead(command_id, found.members))


class ClientLookups:
    """The lookups of one client, a bounded number at a time.

    Args:
        lookups: Looks up.
        send: Sends a reply to the client.
    """

    def __init__(self, lookups: Lookups, send: Callable[[Reply], None]) -> None:
        self._lookups = lookups
        self._send = send
        self._waiting: set[Deferred[Reply]] = set()

    def look_up(self, command: ReadHistory | ReadPresence) -> Deferred[None]:
        """Look something up, and send the reply.

        Returns:
            Fires with None when it is sent.
        """
        if len(self._waiting) >= MAX_LOOKUPS:
            self._send(Failed(command.id, ClientError.TOO_MANY_REQUESTS))
            return succeed(None)
        reply = self._lookups.look_up(command)
        self._waiting.add(reply)
        return reply.addBoth(self._replied, reply)

    def stop(self) -> None:
        """Cancel every lookup, and send nothing from now on: others wait for their turns."""
        waiting, self._waiting = self._waiting, set()
        for reply in waiting:
            reply.cancel()

    def _replied(self, outcome: Reply | Failure, reply: Deferred[Reply]) -> Failure | None:
        if reply not in self._waiting:
            # The client has left.
            return None
        self._waiting.discard(reply)
        if isinstance(outcome, Failure):
            return outcome
        self._send(outcome)
        return None


def _failed(failure: Failure, command_id: int) -> Reply:
    failure.trap(RejectedError, BrokerUnavailable, PositionError)
    error = failure.value
    if isinstance(error, RejectedError):
        return Failed(command_id, error.client_error)
    is_away = isinstance(error, BrokerUnavailable)
    return Failed(command_id, ClientError.NOT_AVAILABLE if is_away else ClientError.UNRECOVERABLE)
