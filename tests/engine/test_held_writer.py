"""Tests of `wsrelay.engine.held_writer`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.held_writer import MAX_HELD_BYTES, HeldWriter


class Writer:
    """Records what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        self.calls.append((data, policy, channel, latest))

    def close(self, disconnect: Disconnect) -> None:
        self.calls.append(disconnect)

    def report_gap(self, channel: str) -> None:
        self.calls.append(channel)


class HeldWriterTests(SynchronousTestCase):
    """The way out of a client that has not been told yet what it is subscribed to."""

    def setUp(self) -> None:
        self.writer = Writer()
        self.held = HeldWriter(self.writer)

    def test_nothing_is_sent_until_the_release_and_then_everything_in_order(self) -> None:
        self.held.send(b"1")
        self.held.send(b"2", SlowPolicy.LATEST, "a", b"x")
        self.assertEqual(self.writer.calls, [])
        self.held.release()
        self.held.send(b"3")
        self.assertEqual(
            self.writer.calls,
            [
                (b"1", SlowPolicy.CLOSE, "", b""),
                (b"2", SlowPolicy.LATEST, "a", b"x"),
                (b"3", SlowPolicy.CLOSE, "", b""),
            ],
        )

    def test_what_is_held_is_bounded_and_beyond_it_the_client_is_a_slow_one(self) -> None:
        self.held.send(b"x" * MAX_HELD_BYTES)
        self.assertEqual(self.writer.calls, [])
        self.held.send(b"x")
        self.assertEqual(self.writer.calls, [Disconnect.SLOW])
        self.held.release()
        self.assertEqual(self.writer.calls, [Disconnect.SLOW])

    def test_what_is_held_for_a_client_that_leaves_is_dropped(self) -> None:
        self.held.send(b"1")
        self.held.drop()
        self.held.release()
        self.assertEqual(self.writer.calls, [])

    def test_closes_and_gaps_do_not_wait(self) -> None:
        self.held.close(Disconnect.RESTART)
        self.held.report_gap("a")
        self.assertEqual(self.writer.calls, [Disconnect.RESTART, "a"])
