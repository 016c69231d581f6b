"""Tests of `wsrelay.engine.operations.presence`."""

from __future__ import annotations

from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ChannelError, RejectedError
from wsrelay.engine.operations.presence import PresenceOperations

RULES = Namespaces((Namespace("plain", ("news",)), Namespace("shown", ("room",), presence=True)))


class FakeMember(NamedTuple):
    """A client."""

    client: str
    user: str = ""


class FakeMembers(NamedTuple):
    """Clients."""

    members: tuple[FakeMember, ...]


class FakeCounts(NamedTuple):
    """Numbers of clients."""

    clients: int
    users: int


class Reader:
    """A reader that finds the same clients everywhere."""

    def presence(self, channel: str) -> Deferred[Any]:
        """Return two clients."""
        return succeed(FakeMembers((FakeMember(f"{channel}-1", "42"), FakeMember(f"{channel}-2"))))

    def presence_stats(self, _channel: str) -> Deferred[Any]:
        """Count them."""
        return succeed(FakeCounts(2, 2))


class PresenceTests(SynchronousTestCase):
    """`PresenceOperations`."""

    def test_clients_are_read_and_counted(self) -> None:
        presence = PresenceOperations(Reader(), RULES)
        members = self.successResultOf(presence.members("room"))
        self.assertEqual(members, (FakeMember("room-1", "42"), FakeMember("room-2", "")))
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
