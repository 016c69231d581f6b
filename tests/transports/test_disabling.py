"""Tests of `wsrelay.transports.disabling`."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.switch import SwitchState
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.timers import TimerWheel
from wsrelay.metrics.counters import Counters
from wsrelay.transports.connection_registry import DRAINING, ConnectionRegistry
from wsrelay.transports.disabling import CLOSES_PER_SECOND, MAX_DRAIN_SECONDS, Disabling, disabled_response
from wsrelay.transports.paused_connections import PausedConnections
from wsrelay.transports.rate_limits import RateLimits

ON = SwitchState()
OFF = SwitchState(is_disabled=True, explanation="later")


class RecordingRegistered:
    """A connection that records what it is closed with.

    Args:
        closed: Where.
        is_broken: Whether closing fails.
    """

    def __init__(self, closed: list[object], *, is_broken: bool = False) -> None:
        self._closed = closed
        self._is_broken = is_broken

    def close(self, disconnect: Disconnect) -> None:
        """See `RegisteredConnection.close`."""
        self._closed.append((self, disconnect))
        if self._is_broken:
            raise ValueError("broken")

    def abort(self) -> None:
        """See `RegisteredConnection.abort`."""


class DisablingTests(SynchronousTestCase):
    """The connections of one process."""

    def setUp(self) -> None:
        """Make a registry."""
        self.clock = Clock()
        limits = RateLimits(1, 1, TimerWheel(self.clock))
        self.connections = ConnectionRegistry(PausedConnections(Counters(), limits, self.clock.seconds))
        self.disabling = Disabling(self.connections, self.clock)
        self.closed: list[Any] = []

    def open(self, count: int) -> list[RecordingRegistered]:
        """Open connections."""
        opened = [RecordingRegistered(self.closed) for _ in range(count)]
        for each in opened:
            self.connections.opened(each)
        return opened

    def test_handshakes_are_refused_with_the_explanation_until_websockets_are_on(self) -> None:
        self.disabling.apply(OFF)
        refusal = self.connections.refusal
        assert refusal is not None
        self.assertEqual((refusal.status, refusal.text), (503, "Websockets are disabled: later"))
        self.assertEqual(dict(refusal.headers), {"Retry-After": "30"})
        self.disabling.apply(ON)
        self.assertEqual((self.connections.refusal, self.connections.is_disabled), (None, False))

    def test_without_an_explanation_the_text_says_what_to_do(self) -> None:
        self.assertEqual(disabled_response("").text, "Websockets are disabled by the operator. Reconnect later.")

    def test_few_connections_are_closed_at_once_and_the_oldest_first(self) -> None:
        opened = self.open(3)
        self.disabling.apply(OFF)
        self.assertEqual(self.closed, [(each, Disconnect.DISABLED) for each in opened])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pending_handshakes_are_rejected(self) -> None:
        waiting = RecordingRegistered(self.closed)
        self.connections.handshake_begun(waiting)
        self.disabling.apply(OFF)
        self.assertEqual(self.closed, [(waiting, Disconnect.DISABLED)])
        self.assertIs(self.connections.response_to(Disconnect.DISABLED), self.connections.refusal)

    def test_many_connections_are_closed_a_few_hundred_a_second(self) -> None:
        opened = self.open(2000)
        self.disabling.apply(OFF)
        self.clock.pump([0.1] * 10)
        self.assertTrue(CLOSES_PER_SECOND <= len(self.closed) <= 1.2 * CLOSES_PER_SECOND, len(self.closed))
        self.clock.pump([0.1] * 40)
        self.assertEqual([each for each, _disconnect in self.closed], opened)

    def test_drain_of_very_many_connections_is_bounded(self) -> None:
        self.open(40_000)
        self.disabling.apply(OFF)
        self.clock.pump([0.1] * round(MAX_DRAIN_SECONDS * 10 + 10))
        self.assertEqual((len(self.closed), self.clock.getDelayedCalls()), (40_000, []))

    def test_connections_that_are_open_when_websockets_are_on_again_stay(self) -> None:
        self.open(200)
        self.disabling.apply(OFF)
        self.disabling.apply(ON)
        self.clock.pump([0.1] * 20)
        self.assertEqual((len(self.closed), self.clock.getDelayedCalls()), (50, []))

    def test_another_explanation_during_the_drain_changes_the_response_only(self) -> None:
        self.open(200)
        self.disabling.apply(OFF)
        self.disabling.apply(SwitchState(is_disabled=True, explanation="much later"))
        self.assertEqual(self.connections.refusal, disabled_response("much later"))
        self.clock.pump([0.1] * 20)
        self.assertEqual(len(self.closed), 200)

    def test_connection_that_cannot_be_closed_does_not_keep_the_others_open(self) -> None:
        self.connections.opened(RecordingRegistered(self.closed, is_broken=True))
        self.open(1)
        self.disabling.apply(OFF)
        self.assertEqual((len(self.closed), len(self.flushLoggedErrors(ValueError))), (2, 1))

    def test_process_that_stops_says_so_whatever_the_switch(self) -> None:
        self.open(1)
        self.connections.start_draining()
        self.disabling.apply(OFF)
        self.assertEqual((self.connections.refusal, self.closed), (DRAINING, []))
        self.disabling.apply(ON)
        self.assertEqual(self.connections.refusal, DRAINING)
