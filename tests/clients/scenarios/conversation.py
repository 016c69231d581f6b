"""Connecting, subscribing, publishing, and the errors of all that."""

from __future__ import annotations

from tests.clients.relays import token
from tests.clients.scenarios.case import ScenarioCase

__all__ = ["ConversationScenarios"]


class ConversationScenarios(ScenarioCase):
    """Channels without history."""

    def test_subscriber_gets_what_programs_publish_in_order(self) -> None:
        channel = self.channel("plain")
        self.connect()
        self.subscribe(channel)
        self.site.publish(channel, *range(100))
        self.assert_values(channel, range(100))

    def test_payloads_of_every_kind_arrive_as_they_were_published(self) -> None:
        channel = self.channel("plain")
        values = [{"text": 'quotes " and \\ and \n', "list": [1, 2.5, None, True]}, "äöü 漢字 🙂", 0, [], "x" * 50_000]
        self.connect()
        self.subscribe(channel)
        self.site.publish(channel, *values)
        self.assert_values(channel, values)

    def test_connection_carries_many_channels(self) -> None:
        channels = [self.channel("plain") for _ in range(20)]
        self.connect()
        for channel in channels:
            self.client.call("subscribe", channel=channel)
        for channel in channels:
            self.take("subscribed", channel=channel)
        for number, channel in enumerate(channels):
            self.site.publish(channel, number)
        for number, channel in enumerate(channels):
            self.assert_values(channel, [number])

    def test_client_publishes_to_its_channel(self) -> None:
        channel = self.channel("plain")
        self.connect(name="a")
        self.connect(name="b")
        self.subscribe(channel, name="a")
        self.subscribe(channel, name="b")
        for number in range(10):
            self.client.call("publish", name="a", channel=channel, data={"number": number})
        for name in ("a", "b"):
            self.assert_values(channel, [{"number": number} for number in range(10)], name=name)

    def test_client_that_has_unsubscribed_gets_nothing_until_it_subscribes_again(self) -> None:
        channel, other = self.channel("plain"), self.channel("plain")
        self.connect()
        self.subscribe(channel)
        self.subscribe(other)
        self.client.call("unsubscribe", channel=channel)
        self.assertEqual(self.take("unsubscribed", channel=channel)["code"], 0)
        # Commands are carried out in order: the relay has unsubscribed when this one is answered.
        self.client.call("publish", channel=other, data="marker")
        self.site.publish(channel, "missed")
        self.site.publish(other, "second marker")
        self.assert_values(other, ["marker", "second marker"])
        self.subscribe(channel)
        self.site.publish(channel, "received")
        self.assert_values(channel, ["received"])

    def test_subscription_to_an_unknown_channel_ends_with_102(self) -> None:
        self.connect()
        self.client.call("subscribe", channel="unknown")
        ended = self.take("unsubscribed", channel="unknown")
        self.assertEqual((ended["code"], ended["reason"]), (102, "unknown channel"))

    def test_subscription_that_is_not_permitted_ends_with_103(self) -> None:
        channel = self.channel("closed")
        self.connect()
        self.client.call("subscribe", channel=channel)
        ended = self.take("unsubscribed", channel=channel)
        self.assertEqual((ended["code"], ended["reason"]), (103, "permission denied"))

    def test_publish_that_is_not_permitted_fails_with_103(self) -> None:
        channel = self.channel("mute")
        self.connect()
        self.subscribe(channel)
        self.assertEqual(self.error("publish", channel=channel, data="no"), 103)

    def test_history_and_presence_of_channels_without_them_fail_with_108(self) -> None:
        channel = self.channel("plain")
        self.connect()
        self.subscribe(channel)
        for command in ("history", "presence", "presence_stats"):
            self.assertEqual(self.error(command, channel=channel), 108, command)

    def test_call_of_a_procedure_fails_with_108(self) -> None:
        self.connect()
        self.assertEqual(self.error("rpc", method="sum", data=[1, 2]), 108)

    def test_client_with_a_token_reaches_its_own_channel_and_no_other(self) -> None:
        self.connect(token=token("42"))
        self.subscribe("user:42")
        self.client.call("subscribe", channel="user:43")
        self.assertEqual(self.take("unsubscribed", channel="user:43")["code"], 103)

    def test_invalid_token_disconnects_for_good_with_3500(self) -> None:
        self.client.call("connect", url=self.site.url, token=token("42")[:-2] + "AA")
        self.assertEqual(self.take("disconnected")["code"], 3500)

    def test_client_that_disconnects_is_told_so(self) -> None:
        self.connect()
        self.client.call("disconnect")
        self.assertEqual(self.take("disconnected")["code"], 0)
