"""Tests of `wsrelay.engine.inflow`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.engine.inflow import CALM_SECONDS, Inflow, Pressure

BROKER, FAN_OUT = Pressure.BROKER, Pressure.FAN_OUT


class Sender:
    """Something that waits in the line, and records when it goes on."""

    def __init__(self, name: str, served: list[str], act: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self._served = served
        self._act = act

    def proceed(self) -> None:
        """See `Waiting.proceed`."""
        self._served.append(self.name)
        self._act()


class InflowTests(SynchronousTestCase):
    """The line."""

    def setUp(self) -> None:
        clock: Any = Clock()
        self.clock = clock
        self.inflow = Inflow(self.clock)
        self.served: list[str] = []

    def press(self, pressure: Pressure = BROKER) -> None:
        self.inflow.set_pressure(pressure, is_high=True)

    def relieve(self, pressure: Pressure = BROKER) -> None:
        self.inflow.set_pressure(pressure, is_high=False)

    def wait(self, *names: str, act: Callable[[], None] = lambda: None) -> list[Sender]:
        senders = [Sender(name, self.served, act) for name in names]
        for sender in senders:
            self.inflow.wait(sender)
        return senders

    def test_inflow_is_open_without_pressure(self) -> None:
        self.assertFalse(self.inflow.is_closed)
        self.press()
        self.assertTrue(self.inflow.is_closed)
        self.relieve()
        self.assertFalse(self.inflow.is_closed)

    def test_each_reason_closes_it(self) -> None:
        self.press(BROKER)
        self.press(FAN_OUT)
        self.relieve(BROKER)
        self.assertTrue(self.inflow.is_closed)
        self.relieve(FAN_OUT)
        self.assertFalse(self.inflow.is_closed)

    def test_line_is_served_in_its_order_in_the_next_turn(self) -> None:
        self.press()
        self.wait("a", "b", "c")
        self.relieve()
        self.assertEqual(self.served, [])
        self.clock.advance(0)
        self.assertEqual((self.served, self.inflow.is_closed, len(self.inflow)), (["a", "b", "c"], False, 0))

    def test_nobody_overtakes_the_line(self) -> None:
        self.press()
        self.wait("a")
        self.relieve()
        self.assertTrue(self.inflow.is_closed)

    def test_line_is_served_as_far_as_there_is_room(self) -> None:
        self.press()
        self.wait("a", "b", act=self.press)
        for served in (["a"], ["a", "b"]):
            self.relieve()
            self.clock.advance(0)
            self.assertEqual((self.served, self.inflow.is_closed), (served, True))

    def test_inflow_is_open_for_the_one_that_is_served(self) -> None:
        states: list[bool] = []
        self.press()
        self.wait("a", "b", act=lambda: states.append(self.inflow.is_closed))
        self.relieve()
        self.clock.advance(0)
        self.assertEqual(states, [False, False])

    def test_one_that_is_served_and_has_more_goes_to_the_end_of_the_line(self) -> None:
        self.press()

        def wait_again() -> None:
            self.press()
            self.inflow.wait(first)

        first = Sender("a", self.served, wait_again)
        self.inflow.wait(first)
        self.wait("b")
        for served in (["a"], ["a", "b", "a"]):
            self.relieve()
            self.clock.advance(0)
            self.assertEqual(self.served, served)

    def test_one_that_waits_twice_keeps_its_place(self) -> None:
        self.press()
        a, _ = self.wait("a", "b")
        self.inflow.wait(a)
        self.relieve()
        self.clock.advance(0)
        self.assertEqual(self.served, ["a", "b"])

    def test_one_that_leaves_is_not_served(self) -> None:
        self.press()
        a, _ = self.wait("a", "b")
        self.inflow.forget(a)
        self.inflow.forget(a)
        self.relieve()
        self.clock.advance(0)
        self.assertEqual(self.served, ["b"])

    def test_inflow_opens_when_the_last_one_leaves_that_waited(self) -> None:
        self.press()
        (a,) = self.wait("a")
        self.relieve()
        self.inflow.forget(a)
        self.assertFalse(self.inflow.is_closed)
        self.clock.advance(0)
        self.assertFalse(self.inflow.is_closed)

    def test_pressure_that_returns_before_the_turn_leaves_the_line_as_it_is(self) -> None:
        self.press()
        self.wait("a")
        self.relieve()
        self.relieve()
        self.press()
        self.clock.advance(0)
        self.assertEqual((self.served, self.inflow.is_closed), ([], True))
        self.relieve()
        self.clock.advance(0)
        self.assertEqual(self.served, ["a"])

    def test_failure_of_one_is_logged_and_does_not_keep_the_others_waiting(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        self.press()
        self.wait("a", act=fail)
        self.wait("b")
        self.relieve()
        self.clock.advance(0)
        self.assertEqual((self.served, self.inflow.is_closed), (["a", "b"], False))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_call_waits_in_the_line_as_well(self) -> None:
        self.successResultOf(self.inflow.opened())
        self.press()
        turn = self.inflow.opened()
        self.relieve()
        self.assertNoResult(turn)
        self.clock.advance(0)
        self.successResultOf(turn)

    def test_call_that_is_cancelled_leaves_the_line(self) -> None:
        self.press()
        turn = self.inflow.opened()
        turn.addErrback(lambda _failure: None)
        turn.cancel()
        self.assertEqual(len(self.inflow), 0)

    def test_stopped_inflow_has_no_timer(self) -> None:
        self.press()
        self.wait("a")
        self.inflow.stop()
        self.inflow.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_log_has_a_line_when_pressure_begins_and_one_when_it_is_over(self) -> None:
        with capturedLogs() as events:
            for _ in range(10):
                self.press()
                self.wait("a")
                self.relieve()
                self.clock.advance(1)
            self.assertEqual(len(events), 1)
            self.clock.pump([1] * round(2 * CALM_SECONDS))
        texts = [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]
        self.assertEqual(
            texts,
            [
                f"clients that publish are read more slowly: {BROKER.value}",
                "clients that publish are read at full speed again, after 15 s",
            ],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])
