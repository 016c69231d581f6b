"""The members of a channel, and the news of them."""

from __future__ import annotations

from tests.clients.relays import token
from tests.clients.scenarios.case import ScenarioCase

__all__ = ["PresenceScenarios"]


class PresenceScenarios(ScenarioCase):
    """Channels with presence, and with joins and leaves."""

    def test_client_asks_who_is_there_and_is_told_who_joins_and_leaves(self) -> None:
        channel = self.channel("here")
        first = self.connect(name="a", token=token("alice"))["client"]
        self.subscribe(channel, name="a", join_leave=True)
        self.assertEqual(self.take("join", name="a")["user"], "alice")
        second = self.connect(name="b", token=token("bob"))["client"]
        self.subscribe(channel, name="b", join_leave=True)
        joined = self.take("join", name="a")
        self.assertEqual((joined["client"], joined["user"]), (second, "bob"))

        found = self.client.call("presence", name="a", channel=channel)
        self.assertEqual({each["client"]: each["user"] for each in found}, {first: "alice", second: "bob"})
        counts = self.client.call("presence_stats", name="a", channel=channel)
        self.assertEqual(counts, {"num_clients": 2, "num_users": 2})

        self.client.call("disconnect", name="b")
        # A leave is told when the user has not come back within some 15 s.
        self.assertEqual(self.take("leave", name="a")["user"], "bob")
        counts = self.client.call("presence_stats", name="a", channel=channel)
        self.assertEqual(counts, {"num_clients": 1, "num_users": 1})
