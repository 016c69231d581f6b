"""The SDK for Java (Maven: centrifuge-java), which speaks Protobuf only."""

from __future__ import annotations

from tests.clients import scenarios
from tests.clients.relays import token
from tests.clients.scenarios import case
from tests.clients.sdk import JAVA


class JavaTests(scenarios.StatelessScenarios, case.ProgramCase):
    """With Protobuf."""

    sdk = JAVA
    encoding = "protobuf"

    def test_subscription_with_an_expired_token_asks_for_another_one(self) -> None:
        """Release 0.4.1 ends the subscription, although it means to ask: it does so when it is subscribed again."""
        channel = self.channel("closed")
        expired, valid = (token("42", seconds, channel=channel) for seconds in (-60, 3600))
        self.connect(token=token("42"))
        self.client.call("subscribe", channel=channel, token=expired, tokens=[valid])
        self.assertEqual(self.take("unsubscribed", channel=channel)["code"], 109)
        self.subscribe(channel)
        self.take("subscription token wanted")
