"""Tests of `wsrelay.engine.operations.presence`."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, ChannelError, RejectedError
from wsrelay.core.presence.member import Member, Members
from wsrelay.core.presence.tables import members_table
from wsrelay.engine.operations.presence import PresenceOperations

RULES = Namespaces((Namespace("plain", ("news",)), Namespace("shown", ("room",), presence=True)))
MEMBERS = (Member("c1", "42"), Member("c2", "42"), Member("c3"))


class PresenceTests(SynchronousTestCase):
    """`PresenceOperations` over the memory broker, with three clients in `room`."""

    def setUp(self) -> None:
        """Keep the clients."""
        self.broker: Any = MemoryBroker(Clock())
        self.broker.start()
        held = self.broker.presence.hold(members_table("room"), [each.text for each in MEMBERS])
        self.successResultOf(held)
        self.presence = PresenceOperations(self.broker, RULES)

    def test_clients_are_looked_up_and_counted(self) -> None:
        self.assertEqual(self.successResultOf(self.presence.members("room")), Members(3, MEMBERS))
        self.assertEqual(self.successResultOf(self.presence.stats("room")), (3, 2))

    def test_presence_that_is_not_kept_is_not_available(self) -> None:
        def check(channel: str) -> None:
            calls: tuple[Any, ...] = (self.presence.members, self.presence.stats)
            for call in calls:
                error: Any = self.failureResultOf(call(channel), RejectedError).value
                self.assertIs(error.client_error, ClientError.NOT_SUPPORTED)

        check("news")
        self.broker.presence = None
        check("room")

    def test_unknown_and_impossible_channels_and_outages_fail(self) -> None:
        error: Any = self.failureResultOf(self.presence.members("other"), RejectedError).value
        self.assertIs(error.client_error, ClientError.UNKNOWN_CHANNEL)
        self.failureResultOf(self.presence.stats("$control"), ChannelError)
        self.broker.stop()
        self.failureResultOf(self.presence.members("room"), BrokerUnavailable)
