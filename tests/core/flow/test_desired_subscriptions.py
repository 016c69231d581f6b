"""Tests of `wsrelay.core.flow.desired_subscriptions`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.desired_subscriptions import DesiredSubscriptions

NAMES = st.sampled_from("abc")


class DesiredSubscriptionsTests(SynchronousTestCase):
    """Desired, sent, confirmed."""

    def test_only_changes_since_the_last_call_are_returned(self) -> None:
        names = DesiredSubscriptions()
        names.subscribe(["a", "b"])
        self.assertEqual(names.take_changes(), (["a", "b"], []))
        names.subscribe(["b", "c"])
        names.unsubscribe(["a", "z"])
        self.assertEqual(names.take_changes(), (["c"], ["a"]))
        self.assertEqual(names.take_changes(), ([], []))

    def test_channels_that_come_and_go_during_an_outage_leave_nothing_behind(self) -> None:
        names = DesiredSubscriptions()
        for number in range(100):
            names.subscribe([f"{number}"])
            names.unsubscribe([f"{number}"])
        self.assertEqual((names.desired, names.pending), ({}, 0))

    def test_new_connection_subscribes_to_everything_desired(self) -> None:
        names = DesiredSubscriptions()
        names.subscribe(["a", "b"])
        names.take_changes()
        names.disconnected()
        names.unsubscribe(["a"])
        self.assertEqual(names.take_changes(), (["b"], []))

    def test_channel_is_confirmed_by_the_reply_to_the_last_subscribe(self) -> None:
        """With SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE on the wire the first reply proves nothing."""
        names = DesiredSubscriptions()
        names.subscribe(["a"])
        names.take_changes()
        names.unsubscribe(["a"])
        names.take_changes()
        names.subscribe(["a"])
        names.take_changes()
        self.assertFalse(names.reply_received("a"))
        self.assertTrue(names.reply_received("a"))

    def test_reply_for_a_channel_no_longer_desired_confirms_nothing(self) -> None:
        names = DesiredSubscriptions()
        names.subscribe(["a"])
        names.take_changes()
        names.unsubscribe(["a"])
        self.assertFalse(names.reply_received("a"))

    def test_disconnected_returns_the_confirmed_channels(self) -> None:
        names = DesiredSubscriptions()
        names.subscribe(["confirmed", "sent", "gone"])
        names.take_changes()
        self.assertTrue(names.reply_received("confirmed"))
        self.assertTrue(names.reply_received("gone"))
        names.unsubscribe(["gone"])
        names.subscribe(["new"])
        self.assertEqual([names.disconnected(), names.disconnected()], [("confirmed",), ()])

    def test_rejected_channel_is_desired_no_more(self) -> None:
        names = DesiredSubscriptions()
        names.subscribe(["a", "b"])
        names.take_changes()
        names.rejected("a")
        self.assertEqual((list(names.desired), names.is_confirmed("a")), (["b"], False))
        names.disconnected()
        self.assertEqual(names.take_changes(), (["b"], []))

    @given(
        st.lists(
            st.tuples(st.sampled_from(["subscribe", "unsubscribe", "flush", "reply", "disconnect"]), NAMES), max_size=60
        )
    )
    def test_confirmed_channel_is_subscribed_and_no_unsubscribe_is_on_its_way(
        self, steps: list[tuple[str, str]]
    ) -> None:
        names = DesiredSubscriptions()
        wire: list[tuple[str, str]] = []
        server: set[str] = set()
        replies: list[str] = []
        for step, name in steps:
            if step == "subscribe":
                names.subscribe([name])
            elif step == "unsubscribe":
                names.unsubscribe([name])
            elif step == "flush":
                added, removed = names.take_changes()
                wire += [("SUBSCRIBE", channel) for channel in added] + [
                    ("UNSUBSCRIBE", channel) for channel in removed
                ]
            elif step == "disconnect":
                names.disconnected()
                wire, replies = [], []
                server.clear()
            elif wire:
                verb, channel = wire.pop(0)
                if verb == "SUBSCRIBE":
                    server.add(channel)
                    replies.append(channel)
                else:
                    server.discard(channel)
            for channel in replies:
                if names.reply_received(channel):
                    self.assertIn(channel, server)
                    self.assertNotIn(("UNSUBSCRIBE", channel), wire)
            replies = []
        added, removed = names.take_changes()
        wire += [("SUBSCRIBE", channel) for channel in added] + [("UNSUBSCRIBE", channel) for channel in removed]
        for verb, channel in wire:
            (server.add if verb == "SUBSCRIBE" else server.discard)(channel)
        self.assertEqual(server, set(names.desired))
