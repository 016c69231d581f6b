"""Tests of `wsrelay.engine.pending_credentials`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.harness import TOKEN_MESSAGE, EngineCase
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.pending_credentials import (
    CREDENTIAL_TIMEOUT_SECONDS,
    DEFAULT_MAX_PENDING,
    PendingCredentials,
)
from wsrelay.engine.timers import RESOLUTION_SECONDS, TimerWheel


class RecordingClient:
    """A pending client that records its end."""

    def __init__(self) -> None:
        self.timeouts = 0

    def credential_timed_out(self) -> None:
        """See `PendingClient.credential_timed_out`."""
        self.timeouts += 1


class PendingCredentialsTests(SynchronousTestCase):
    """A bounded number of clients, for a bounded time."""

    def setUp(self) -> None:
        self.clock = Clock()

    def pending(self, max_pending: int) -> PendingCredentials:
        """Return a registry of pending clients."""
        return PendingCredentials(TimerWheel(self.clock), max_pending)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps as fine as the timers."""
        self.clock.pump([RESOLUTION_SECONDS] * round(seconds / RESOLUTION_SECONDS))

    def test_one_client_too_many_costs_the_oldest_its_place(self) -> None:
        pending = self.pending(2)
        clients = [RecordingClient() for _ in range(4)]
        for client in clients:
            pending.add(client)
        self.assertEqual(([client.timeouts for client in clients], len(pending)), ([1, 1, 0, 0], 2))

    def test_removed_client_takes_no_place(self) -> None:
        pending = self.pending(1)
        first, second = RecordingClient(), RecordingClient()
        pending.add(first)
        pending.remove(first)
        pending.remove(first)
        pending.add(second)
        self.assertEqual((first.timeouts, second.timeouts, len(pending)), (0, 0, 1))

    def test_default_bound_is_a_thousand(self) -> None:
        self.assertEqual((PendingCredentials(TimerWheel(self.clock)).max_pending, DEFAULT_MAX_PENDING), (1000, 1000))

    def test_client_that_removes_itself_when_it_times_out_is_fine(self) -> None:
        pending = self.pending(1)

        class Leaving(RecordingClient):
            def credential_timed_out(self) -> None:
                super().credential_timed_out()
                pending.remove(self)

        first, second = Leaving(), Leaving()
        pending.add(first)
        pending.add(second)
        self.assertEqual((first.timeouts, second.timeouts, len(pending)), (1, 0, 1))

    def test_each_client_ends_at_its_own_deadline_and_one_that_came_is_spared(self) -> None:
        pending = self.pending(10)
        first, second, third, came = (RecordingClient() for _ in range(4))
        pending.add(first)
        pending.add(came)
        self.pass_time(3)
        pending.add(second)
        pending.add(third)
        pending.remove(came)
        self.pass_time(CREDENTIAL_TIMEOUT_SECONDS - 3 - RESOLUTION_SECONDS)
        self.assertEqual([each.timeouts for each in (first, second, third, came)], [0, 0, 0, 0])
        self.pass_time(2 * RESOLUTION_SECONDS)
        self.assertEqual([each.timeouts for each in (first, second, third, came)], [1, 0, 0, 0])
        self.pass_time(3)
        self.assertEqual([each.timeouts for each in (first, second, third, came)], [1, 1, 1, 0])
        self.assertEqual((len(pending), self.clock.getDelayedCalls()), (0, []))

    def test_client_that_is_added_again_has_its_time_again(self) -> None:
        pending, first, second = self.pending(2), RecordingClient(), RecordingClient()
        pending.add(first)
        pending.add(second)
        self.pass_time(CREDENTIAL_TIMEOUT_SECONDS / 2)
        pending.add(first)
        self.pass_time(CREDENTIAL_TIMEOUT_SECONDS - 1)
        self.assertEqual((first.timeouts, second.timeouts), (0, 1))
        self.pass_time(2)
        self.assertEqual((first.timeouts, second.timeouts), (1, 1))

    def test_failure_of_one_and_an_end_that_ends_another_cost_nobody_else_anything(self) -> None:
        pending = self.pending(10)

        class Failing(RecordingClient):
            def credential_timed_out(self) -> None:
                super().credential_timed_out()
                pending.remove(other)
                raise ValueError

        failing, other, last = Failing(), RecordingClient(), RecordingClient()
        for client in (failing, other, last):
            pending.add(client)
        self.pass_time(CREDENTIAL_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual((failing.timeouts, other.timeouts, last.timeouts, len(pending)), (1, 0, 1, 0))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class ClientTests(EngineCase):
    """Clients of a node with room for three."""

    max_pending_credentials = 3

    def test_oldest_clients_are_closed_where_there_are_too_many(self) -> None:
        connections = [self.open_with_first_message()[0] for _ in range(5)]
        self.assertEqual([each.disconnects for each in connections], [[Disconnect.STALE]] * 2 + [[]] * 3)
        self.assertEqual((len(self.node.pending_credentials), self.rejections), (3, {"too_late": 2}))

    def test_client_that_sent_its_credential_or_left_takes_no_place(self) -> None:
        sent, client = self.open_with_first_message()
        client.received(Message(TOKEN_MESSAGE))
        left, client = self.open_with_first_message()
        client.connection_lost()
        others = [self.open_with_first_message()[0] for _ in range(3)]
        self.assertEqual([each.disconnects for each in (sent, left, *others)], [[]] * 5)

    def test_client_that_lost_its_place_is_not_closed_again_by_its_deadline(self) -> None:
        connections = [self.open_with_first_message()[0] for _ in range(4)]
        self.clock.advance(60)
        self.assertEqual([each.disconnects for each in connections], [[Disconnect.STALE]] * 4)
