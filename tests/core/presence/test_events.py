"""Tests of `wsrelay.core.presence.events`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.presence.events import UNSUBSCRIBED, channel_event, client_connected, client_gone
from wsrelay.core.presence.member import Member

ANN = Member("c1", "ann")


class EventTests(SynchronousTestCase):
    """The fields of events."""

    def test_events_of_clients_name_the_client_and_its_user(self) -> None:
        about = {"channel": "chat", "client": "c1", "user": "ann"}
        self.assertEqual(client_connected("chat", ANN), {"event": "client_connected", **about})
        self.assertEqual(
            client_gone("chat", ANN, (4008, "too slow")),
            {"event": "client_gone", **about, "code": "4008", "reason": "too slow"},
        )
        self.assertEqual(client_gone("chat", ANN, UNSUBSCRIBED)["code"], "0")

    def test_events_of_channels_name_the_channel(self) -> None:
        self.assertEqual(channel_event("chat", is_occupied=True), {"event": "channel_occupied", "channel": "chat"})
        self.assertEqual(channel_event("chat", is_occupied=False), {"event": "channel_vacated", "channel": "chat"})
