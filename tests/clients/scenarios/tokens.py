"""Tokens of connections and of subscriptions, and what happens when they expire."""

from __future__ import annotations

from tests.clients.relays import token
from tests.clients.scenarios.case import ScenarioCase

__all__ = ["TokenScenarios"]

SHORT_SECONDS = 3


class TokenScenarios(ScenarioCase):
    """Tokens that last for a few seconds, and the SDK's question for the next one."""

    def warm_up(self) -> None:
        """Connect another client first: the SDK is then quick enough for a token that does not last."""
        self.connect(name="first")

    def test_connection_survives_its_first_token(self) -> None:
        channel = self.channel("plain")
        self.warm_up()
        self.connect(name="", token=token("42", SHORT_SECONDS), tokens=[token("42")])
        self.subscribe(channel)
        self.take("token wanted")
        # A publication behind the refresh, on the same connection.
        self.client.call("publish", channel=channel, data="still here")
        self.assert_values(channel, ["still here"])
        self.assertEqual(len(self.client.record.all(event="connected", name="")), 1)
        self.assertEqual(self.client.record.all(event="disconnected"), [])

    def test_client_with_an_expired_token_asks_for_another_one(self) -> None:
        self.connect(token=token("42", -60), tokens=[token("42")])
        self.take("token wanted")
        self.subscribe("user:42")

    def test_token_of_another_user_ends_the_connection_for_good(self) -> None:
        self.warm_up()
        self.connect(name="", token=token("42", SHORT_SECONDS), tokens=[token("43")])
        self.assertEqual(self.take("disconnected")["code"], 3500)

    def test_subscription_with_a_token_survives_its_first_one(self) -> None:
        channel = self.channel("closed")
        self.connect(token=token("42"))
        first, second = (token("42", seconds, channel=channel) for seconds in (SHORT_SECONDS, 3600))
        self.subscribe(channel, token=first, tokens=[second])
        self.take("subscription token wanted")
        self.site.publish(channel, "still here")
        self.assert_values(channel, ["still here"])
        self.assertEqual(len(self.client.record.all(event="subscribed")), 1)

    def test_subscription_with_an_expired_token_asks_for_another_one(self) -> None:
        channel = self.channel("closed")
        expired, valid = (token("42", seconds, channel=channel) for seconds in (-60, 3600))
        self.connect(token=token("42"))
        self.subscribe(channel, token=expired, tokens=[valid])
        self.take("subscription token wanted")

    def test_subscription_with_the_token_of_another_channel_disconnects_for_good(self) -> None:
        channel = self.channel("closed")
        self.connect(token=token("42"))
        self.client.call("subscribe", channel=channel, token=token("42", channel=self.channel("closed")))
        self.assertEqual(self.take("disconnected")["code"], 3500)

    def test_channels_of_a_token_are_subscribed_to_by_the_server(self) -> None:
        channel = self.channel("closed")
        self.connect(token=token("42", channels=[channel]))
        self.take("server subscribed", channel=channel)
        self.site.publish(channel, *range(3))
        found = self.client.record.wait_for(3, event="server publication", channel=channel)
        self.assertEqual([report["data"] for report in found], [0, 1, 2])
