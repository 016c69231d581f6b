"""The book-keeping of the subscriber connection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.desired_subscriptions import DesiredSubscriptions

NAMES = st.sampled_from("abc")


class SubscriptionsTests(SynchronousTestCase):
    """Wanted, sent, certain."""

    def test_difference(self) -> None:
        """Only what changed since the last time is written."""
        names = DesiredSubscriptions()
        names.want(["a", "b"])
        self.assertEqual(names.changes(), (["a", "b"], []))
        names.want(["b", "c"])
        names.unwant(["a", "z"])
        self.assertEqual(names.changes(), (["c"], ["a"]))
        self.assertEqual(names.changes(), ([], []))

    def test_names_do_not_pile_up(self) -> None:
        """What is wanted and given up while there is no link leaves nothing behind."""
        names = DesiredSubscriptions()
        for number in range(100):
            names.want([f"{number}"])
            names.unwant([f"{number}"])
        self.assertEqual((names.wanted, names._touched), ({}, {}))

    def test_new_connection(self) -> None:
        """After the connection was lost everything wanted is written again."""
        names = DesiredSubscriptions()
        names.want(["a", "b"])
        names.changes()
        names.disconnected()
        names.unwant(["a"])
        self.assertEqual(names.changes(), (["b"], []))

    def test_certain_after_the_last_answer(self) -> None:
        """With SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE on the wire only the second answer proves anything."""
        names = DesiredSubscriptions()
        names.want(["a"])
        names.changes()
        names.unwant(["a"])
        names.changes()
        names.want(["a"])
        names.changes()
        self.assertFalse(names.answered("a"))
        self.assertTrue(names.answered("a"))

    def test_unwanted_meanwhile(self) -> None:
        """An answer for a channel that is no longer wanted confirms nothing."""
        names = DesiredSubscriptions()
        names.want(["a"])
        names.changes()
        names.unwant(["a"])
        self.assertFalse(names.answered("a"))

    @given(st.lists(st.tuples(st.sampled_from(["want", "unwant", "flush", "answer", "drop"]), NAMES), max_size=60))
    def test_certain_is_certain(self, steps: list[tuple[str, str]]) -> None:
        """Whatever comes and goes: a confirmed channel is subscribed at the server and no UNSUBSCRIBE is on its way."""
        names = DesiredSubscriptions()
        wire: list[tuple[str, str]] = []
        server: set[str] = set()
        answers: list[str] = []
        for step, name in steps:
            if step == "want":
                names.want([name])
            elif step == "unwant":
                names.unwant([name])
            elif step == "flush":
                added, removed = names.changes()
                wire += [("SUBSCRIBE", channel) for channel in added] + [
                    ("UNSUBSCRIBE", channel) for channel in removed
                ]
            elif step == "drop":
                names.disconnected()
                wire, answers = [], []
                server.clear()
            elif wire:
                verb, channel = wire.pop(0)
                if verb == "SUBSCRIBE":
                    server.add(channel)
                    answers.append(channel)
                else:
                    server.discard(channel)
            for channel in answers:
                if names.answered(channel):
                    self.assertIn(channel, server)
                    self.assertNotIn(("UNSUBSCRIBE", channel), wire)
            answers = []
        added, removed = names.changes()
        wire += [("SUBSCRIBE", channel) for channel in added] + [("UNSUBSCRIBE", channel) for channel in removed]
        for verb, channel in wire:
            (server.add if verb == "SUBSCRIBE" else server.discard)(channel)
        self.assertEqual(server, set(names.wanted))
