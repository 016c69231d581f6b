"""Entries that are kept for clients that were away."""

from __future__ import annotations

import time
from typing import Any

from tests.clients.relays import EPOCH, HISTORY_SIZE, offset_of, token
from tests.clients.scenarios.case import ScenarioCase

__all__ = ["HistoryScenarios", "StateScenarios"]


class HistoryScenarios(ScenarioCase):
    """Channels with history."""

    def read(self, channel: str, **fields: Any) -> list[Any]:
        """Return the values of a page of a channel's history."""
        found = self.client.call("history", channel=channel, **fields)
        return [publication["data"] for publication in found["publications"]]

    def test_history_is_read_in_pages_in_both_directions(self) -> None:
        channel = self.channel("kept")
        offsets = self.site.add(channel, *range(10))
        self.connect()
        self.subscribe(channel)
        found = self.client.call("history", channel=channel)
        self.assertEqual((found["publications"], found["offset"]), ([], offsets[-1]))
        since = {"offset": offsets[3], "epoch": found["epoch"]}
        self.assertEqual(self.read(channel, limit=3), [0, 1, 2])
        self.assertEqual(self.read(channel, limit=100), list(range(10)))
        self.assertEqual(self.read(channel, limit=3, reverse=True), [9, 8, 7])
        self.assertEqual(self.read(channel, limit=2, since=since), [4, 5])
        self.assertEqual(self.read(channel, limit=2, since=since, reverse=True), [2, 1])
        last = self.client.call("history", channel=channel, limit=2, reverse=True)["publications"]
        self.assertEqual([publication["offset"] for publication in last], [offsets[9], offsets[8]])

    def test_position_of_another_epoch_is_error_112(self) -> None:
        channel = self.channel("kept")
        offset = self.site.add(channel, 1)[0]
        self.connect()
        self.subscribe(channel)
        since = {"offset": offset, "epoch": "other"}
        self.assertEqual(self.error("history", channel=channel, limit=1, since=since), 112)

    def test_publications_have_the_offsets_of_their_entries(self) -> None:
        channel = self.channel("kept")
        before = self.site.add(channel, "before")[0]
        self.connect()
        subscribed = self.subscribe(channel, recoverable=True, positioned=True)
        self.assertEqual((subscribed["recoverable"], subscribed["positioned"]), (True, True))
        self.assertEqual(subscribed["offset"], before)
        offsets = self.site.add(channel, *range(5))
        self.assert_values(channel, range(5))
        found = self.client.record.all(event="publication", channel=channel)
        self.assertEqual([report["offset"] for report in found], offsets)

    def test_message_of_a_client_is_kept_with_its_publisher(self) -> None:
        channel = self.channel("kept")
        connected = self.connect(token=token("alice"))
        self.subscribe(channel)
        self.client.call("publish", channel=channel, data={"text": "hello"})
        self.assert_values(channel, [{"text": "hello"}])
        self.assertEqual(self.site.entries(channel), [{"text": "hello"}])
        publisher = self.take("publication", channel=channel)["info"]
        self.assertEqual((publisher["client"], publisher["user"]), (connected["client"], "alice"))

    def test_tags_of_an_entry_arrive_with_it(self) -> None:
        channel = self.channel("kept")
        self.connect()
        self.subscribe(channel)
        self.site.add_fields(channel, data="1", tags='{"kind": "first"}')
        self.assertEqual(self.take("publication", channel=channel)["tags"], {"kind": "first"})

    def test_client_gets_what_it_missed_when_it_comes_back(self) -> None:
        channel = self.channel("kept")
        self.connect()
        self.subscribe(channel, recoverable=True)
        self.site.add(channel, *range(5))
        self.values(channel, 5)
        self.client.call("disconnect")
        self.take("disconnected")
        self.site.add(channel, *range(5, 105))
        self.client.call("reconnect")
        back = self.take("subscribed")
        self.assertEqual((back["was_recovering"], back["recovered"]), (True, True))
        self.site.add(channel, 105)
        self.assert_values(channel, range(106))

    def test_client_is_told_when_what_it_missed_is_gone(self) -> None:
        channel = self.channel("kept")
        self.connect()
        self.subscribe(channel, recoverable=True)
        self.site.add(channel, 0)
        self.values(channel, 1)
        self.client.call("disconnect")
        self.take("disconnected")
        self.site.add_and_trim(channel, range(1, 11), 2)
        self.client.call("reconnect")
        # At once, or by an end of the subscription (2500) when the relay finds out: before anything behind the gap.
        self.take("subscribed", was_recovering=True, recovered=False)
        self.site.add(channel, "new")
        self.assert_values(channel, [0, "new"])

    def test_subscriber_is_told_of_entries_that_were_gone_before_the_relay_read_them(self) -> None:
        channel = self.channel("kept")
        self.connect()
        self.subscribe(channel, recoverable=True)
        self.site.add(channel, 0)
        self.values(channel, 1)
        self.site.add_and_trim(channel, range(1, 11), 1)
        self.take("subscribing", channel=channel, code=2500)
        # With the position of before the gap, because nothing behind that has arrived.
        self.take("subscribed", was_recovering=True, recovered=False)
        self.site.add(channel, "new")
        self.assert_values(channel, [0, "new"])

    def test_client_that_missed_too_much_is_told_so(self) -> None:
        channel = self.channel("kept")
        self.connect()
        self.subscribe(channel, recoverable=True)
        self.site.add(channel, 0)
        self.values(channel, 1)
        self.client.call("disconnect")
        self.take("disconnected")
        self.site.add(channel, *range(1, HISTORY_SIZE))
        self.client.call("reconnect")
        self.take("subscribed", was_recovering=True, recovered=False)


class StateScenarios(ScenarioCase):
    """Clients that load their state (`getState`), which some SDKs cannot."""

    def test_client_loads_its_state_anew_when_what_it_missed_is_gone(self) -> None:
        """Error 112, which only SDKs that can ask for the state want to be told."""
        channel = self.channel("kept")
        now = int(time.time() * 1000) - 60_000
        ids = [f"{now + number}-0" for number in range(12)]
        positions = [{"offset": offset_of(entry_id.encode()), "epoch": EPOCH} for entry_id in ids]
        self.site.add_with_ids(channel, {ids[0]: 0})
        self.connect()
        self.subscribe(channel, recoverable=True, state=[positions[0], positions[10]])
        self.take("state wanted")
        self.site.add_with_ids(channel, {ids[1]: 1})
        self.values(channel, 1)
        self.client.call("disconnect")
        self.take("disconnected")
        self.site.add_and_trim(channel, range(2, 11), 1, ids[2:11])
        self.client.call("reconnect")
        self.take("state wanted")
        self.take("subscribed")
        self.site.add_with_ids(channel, {ids[11]: 11})
        self.assert_values(channel, [1, 11])
