"""Tests of `wsrelay.engine.switch`."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.engine.harness import log_lines, make_node
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.switch import SwitchState
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.switch import LOOK_SECONDS, Switch
from wsrelay.interfaces import ISwitch
from wsrelay.testing.brokers import FakeBroker

ON = SwitchState()
OFF = SwitchState(is_disabled=True, explanation="later")


@implementer(ISwitch)
class FakeSwitch:
    """A switch that answers when the test likes.

    Attributes:
        value: The value.
        error: What `read` fails with. If None, it does not.
        is_slow: Whether the test fires `answers`.
        answers: The answers that are owed.
        reads: The number of reads.
    """

    def __init__(self) -> None:
        self.value = b""
        self.error: Exception | None = None
        self.is_slow = False
        self.answers: list[Deferred[bytes]] = []
        self.reads = 0

    def read(self) -> Deferred[bytes]:
        """See `ISwitch.read`."""
        self.reads += 1
        if self.error is not None:
            return fail(self.error)
        if self.is_slow:
            self.answers.append(Deferred())
            return self.answers[-1]
        return succeed(self.value)

    def set(self, value: bytes) -> Deferred[None]:
        """See `ISwitch.set`."""
        self.value = value
        return succeed(None)

    def clear(self) -> Deferred[bool]:
        """See `ISwitch.clear`."""
        self.value = b""
        return succeed(True)


class SwitchTests(SynchronousTestCase):
    """The switch of one process."""

    def setUp(self) -> None:
        """Make a switch, and record its changes."""
        self.clock = Clock()
        self.store = FakeSwitch()
        self.switch = Switch(self.store, self.clock, Random(1))
        self.changes: list[SwitchState] = []
        self.switch.on_change = self.changes.append

    def test_websockets_are_on_until_the_switch_has_been_read(self) -> None:
        self.assertEqual(self.switch.state, ON)

    def test_change_is_reported_once(self) -> None:
        self.store.value = b"later"
        for _ in range(3):
            self.switch.look()
        self.store.value = b""
        self.switch.look()
        self.assertEqual(self.changes, [OFF, ON])
        self.assertEqual(self.switch.state, ON)

    def test_another_explanation_is_a_change(self) -> None:
        for self.store.value in (b"1", b"later"):
            self.switch.look()
        self.assertEqual(self.changes, [SwitchState(is_disabled=True), OFF])

    def test_plain_set_is_noticed_within_the_interval(self) -> None:
        self.switch.start()
        self.addCleanup(self.switch.stop)
        for self.store.value, expected in ((b"later", OFF), (b"", ON)):
            self.clock.advance(LOOK_SECONDS)
            self.assertEqual(self.changes[-1], expected)

    def test_looks_are_not_in_step_and_end_with_the_process(self) -> None:
        times = set()
        for seed in range(5):
            switch = Switch(self.store, self.clock, Random(seed))
            switch.start()
            (call,) = self.clock.getDelayedCalls()
            times.add(call.getTime())
            for _ in range(2):
                switch.stop()
            self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(times), 5)
        self.assertTrue(all(0.7 * LOOK_SECONDS < each <= LOOK_SECONDS for each in times), times)

    def test_look_that_is_asked_for_during_another_one_follows_it(self) -> None:
        self.store.is_slow = True
        for _ in range(3):
            self.switch.look()
        self.assertEqual(self.store.reads, 1)
        self.store.answers[0].callback(b"")
        self.assertEqual(self.store.reads, 2)
        self.store.answers[1].callback(b"later")
        self.assertEqual((self.store.reads, self.changes), (2, [OFF]))

    def test_last_position_holds_during_an_outage_without_a_line_about_it(self) -> None:
        self.store.value = b"later"
        self.switch.look()
        self.store.error = BrokerUnavailable("the connection ended")
        with capturedLogs() as events:
            self.switch.look()
        self.assertEqual((self.switch.state, events), (OFF, []))

    def test_denied_look_is_logged_once_until_one_succeeds(self) -> None:
        self.store.error = BrokerUnavailable("NOPERM no permission for the key wsrelay:disabled")
        with capturedLogs() as events:
            self.switch.look()
            self.switch.look()
        ((level, text),) = log_lines(events)
        self.assertEqual(level, LogLevel.warn)
        self.assertIn("(NOPERM), so that websockets stay enabled: permit GETRANGE", text)
        error, self.store.error = self.store.error, None
        self.switch.look()
        self.store.error = error
        with capturedLogs() as events:
            self.switch.look()
        self.assertEqual(len(events), 1)

    def test_change_that_fails_does_not_end_the_looks(self) -> None:
        self.switch.on_change = lambda _state: 1 // 0  # type: ignore[assignment]  # it fails
        self.store.value = b"later"
        self.switch.look()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.switch.on_change = self.changes.append
        self.store.value = b""
        self.switch.look()
        self.assertEqual(self.changes, [ON])

    def test_unexpected_failure_is_logged_and_does_not_end_the_looks(self) -> None:
        self.store.error = ValueError("of the store")
        self.switch.look()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.store.error, self.store.value = None, b"later"
        self.switch.look()
        self.assertEqual(self.changes, [OFF])

    def test_position_is_logged_with_its_explanation(self) -> None:
        lines = []
        for value in (b"later", b"", b"1"):
            self.store.value = value
            with capturedLogs() as events:
                self.switch.look()
            lines += [text for _level, text in log_lines(events)]
        self.assertEqual(
            lines,
            [
                "websockets are disabled by the switch: later",
                "websockets are enabled again",
                "websockets are disabled by the switch",
            ],
        )


class NodeTests(SynchronousTestCase):
    """The events at which a node looks."""

    def test_node_looks_when_redis_answers_and_when_a_control_message_says_so(self) -> None:
        broker = FakeBroker()
        broker.switch = FakeSwitch()
        node = make_node(broker, Namespaces([]), Clock())
        self.assertEqual(broker.switch.reads, 0)
        broker.sink.connected()
        self.assertEqual(broker.switch.reads, 1)
        broker.switch.value = b"later"
        node.control_received(b'{"switch":{}}')
        self.assertEqual((broker.switch.reads, node.switch.state), (2, OFF))
        node.stop()
