"""Tests of `wsrelay.engine.operations.presence`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ChannelError, RejectedError
from wsrelay.engine.operations.presence import Member, PresenceCounts, PresenceOperations

RULES = Namespaces((Namespace("plain", ("news",)), Namespace("shown", ("room",), presence=True)))


class Reader:
    """A reader that finds the same clients everywhere."""

    def members(self, channel: str) -> Deferred[Sequence[Member]]:
        """Return two clients."""
        return succeed((Member(f"{channel}-1", "42"), Member(f"{channel}-2")))

    def counts(self, _channel: str) -> Deferred[PresenceCounts]:
        """Count them."""
        return succeed(PresenceCounts(2, 2))


class PresenceTests(SynchronousTestCase):
    """`PresenceOperations`."""

    def test_clients_are_read_and_counted(self) -> None:
        presence = PresenceOperations(Reader(), RULES)
        members = self.successResultOf(presence.members("room"))
        self.assertEqual(members, (Member("room-1", "42"), Member("room-2", "")))
        self.assertEqual(self.successResultOf(presence.counts("room")), (2, 2))

    def test_presence_that_is_not_kept_is_not_available(self) -> None:
        for reader, channel in ((Reader(), "news"), (None, "room")):
            presence = PresenceOperations(reader, RULES)
            for call in (presence.members, presence.counts):
                error: Any = self.failureResultOf(call(channel), RejectedError).value
                self.assertIs(error.client_error, ClientError.NOT_SUPPORTED)

    def test_unknown_and_impossible_channels_fail(self) -> None:
        presence = PresenceOperations(Reader(), RULES)
        error: Any = self.failureResultOf(presence.members("other"), RejectedError).value
        self.assertIs(error.client_error, ClientError.UNKNOWN_CHANNEL)
        self.failureResultOf(presence.counts("$control"), ChannelError)
