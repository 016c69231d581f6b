"""The library cent, made for Centrifugo's server API, against relays as their users run them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cent
import requests
from cent import CentApiResponseError, CentUnauthorizedError, Client
from cent.dto import HistoryResult, Node, PublishResult
from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from devtools.harness.redis_server import RedisServer
from devtools.harness.relay import Relay
from tests.integration.api_relay import KEY, api_relay
from tests.integration.test_relay import socket_to
from tests.support.polling import DEADLINE_SECONDS, wait_until


class CentCase(SynchronousTestCase):
    """The library, and relays with plain channels and a channel with history."""

    api: Client

    def setUp(self) -> None:
        """Make a folder for the configuration."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def client(self, relay: Relay, key: str = KEY) -> Client:
        """Return a client of a relay's API."""
        client = Client(f"{relay.url}/api", key, timeout=DEADLINE_SECONDS)
        self.addCleanup(client.close)
        return client

    def publish(self, channel: str, data: Any, **fields: Any) -> PublishResult:
        """Publish a message."""
        return self.api.publish(cent.PublishRequest(channel=channel, data=data, **fields))

    def history(self, **fields: Any) -> HistoryResult:
        """Read a page of `chat`."""
        return self.api.history(cent.HistoryRequest(channel="chat", **fields))

    def data(self, **fields: Any) -> list[Any]:
        """Return the messages of a page of `chat`."""
        return [each.data for each in self.history(**fields).publications]

    def counts(self, pattern: str = "") -> dict[str, int]:
        """Return the number of subscriptions to each channel."""
        found = self.api.channels(cent.ChannelsRequest(pattern=pattern)).channels
        return {name: each.num_clients for name, each in found.items()}

    def nodes(self) -> list[Node]:
        """Return the processes."""
        return self.api.info(cent.InfoRequest()).nodes

    def error(self, call: Any, request: Any) -> int:
        """Return the code of the error that a call is answered with."""
        code: int = self.assertRaises(CentApiResponseError, call, request).code
        return code

    def assert_closed(self, client: ClientConnection, code: int, reason: str) -> None:
        """Assert that a client is closed."""
        closed: Any = self.assertRaises(ConnectionClosed, client.recv, DEADLINE_SECONDS)
        self.assertEqual((closed.rcvd.code, closed.rcvd.reason), (code, reason))


class EmbeddedTests(CentCase):
    """With the embedded broker."""

    def setUp(self) -> None:
        """Start a relay."""
        super().setUp()
        self.relay = self.enterContext(api_relay(self.folder))
        self.api = self.client(self.relay)

    def test_publish_and_broadcast_reach_subscribers(self) -> None:
        with socket_to(self.relay.ws("news")) as subscriber:
            self.assertEqual(self.publish("news", {"text": "hello"}).offset, 0)
            request = cent.BroadcastRequest(channels=["news", "other", "chat"], data="hi", tags={"a": "b"})
            responses = self.api.broadcast(request).responses
            self.assertEqual(
                (subscriber.recv(DEADLINE_SECONDS), subscriber.recv(DEADLINE_SECONDS)), ('{"text":"hello"}', '"hi"')
            )
        self.assertEqual([each.error and each.error.code for each in responses], [None, 102, None])

    def test_history_is_read_in_pages_and_removed(self) -> None:
        first, second = (self.publish("chat", {"n": number}).offset for number in (1, 2))
        found = self.history(limit=10)
        publications = [(each.data, each.offset) for each in found.publications]
        self.assertEqual(publications, [({"n": 1}, first), ({"n": 2}, second)])
        self.assertTrue(0 < first < second)
        since = cent.StreamPosition(offset=first, epoch=found.epoch)
        self.assertEqual((self.data(limit=1, since=since), self.data(limit=1, reverse=True)), ([{"n": 2}], [{"n": 2}]))
        other = cent.HistoryRequest(channel="chat", since=cent.StreamPosition(offset=first, epoch="other"))
        self.assertEqual(self.error(self.api.history, other), 112)
        self.api.history_remove(cent.HistoryRemoveRequest(channel="chat"))
        empty = self.history(limit=10)
        self.assertEqual((empty.publications, empty.offset), ([], second))

    def test_history_has_the_tags_of_a_publication(self) -> None:
        self.publish("chat", {"n": 1}, tags={"kind": "note"})
        self.assertEqual([each.tags for each in self.history(limit=10).publications], [{"kind": "note"}])

    def test_idempotency_key_publishes_once(self) -> None:
        offsets = {self.publish("chat", 1, idempotency_key="order-7").offset for _ in range(3)}
        self.assertEqual((len(offsets), self.data(limit=9)), (1, [1]))

    def test_batch_has_a_result_for_each_command(self) -> None:
        commands: list[Any] = [
            cent.PublishRequest(channel="news", data={"a": 1}),
            cent.PublishRequest(channel="chat", data={"a": 1}),
            cent.HistoryRequest(channel="chat", limit=1),
            cent.ChannelsRequest(),
        ]
        for parallel in (False, True):
            replies: Any = self.api.batch(cent.BatchRequest(requests=commands, parallel=parallel)).replies
            self.assertEqual((replies[1].epoch, len(replies[2].publications), replies[3].channels), ("wsrelay", 1, {}))

    def test_channels_and_info_count_what_is_there(self) -> None:
        with socket_to(self.relay.ws("news")), socket_to(self.relay.ws("room:1")), socket_to(self.relay.ws("room:1")):
            self.assertEqual(self.counts("room:*"), {"room:1": 2})
            (node,) = self.nodes()
            self.assertEqual((node.num_clients, node.num_channels, node.num_subs), (3, 2, 3))

    def test_presence_is_that_of_connected_clients(self) -> None:
        def clients() -> int:
            return len(self.api.presence(cent.PresenceRequest(channel="lobby")).presence)

        with socket_to(self.relay.ws("lobby")), socket_to(self.relay.ws("lobby")):
            wait_until(lambda: clients() == 2, clients)
            stats = self.api.presence_stats(cent.PresenceStatsRequest(channel="lobby"))
            self.assertEqual((stats.num_clients, stats.num_users), (2, 1))

    def test_what_is_not_available_and_what_is_unknown_have_their_codes(self) -> None:
        for name, kind in (
            ("presence", cent.PresenceRequest),
            ("presence_stats", cent.PresenceStatsRequest),
            ("history", cent.HistoryRequest),
            ("history_remove", cent.HistoryRemoveRequest),
        ):
            call: Any = getattr(self.api, name)
            codes = [self.error(call, kind(channel=channel)) for channel in ("news", "other")]
            self.assertEqual(codes, [108, 102], name)
        self.assertEqual(self.error(self.api.subscribe, cent.SubscribeRequest(user="42", channel="other")), 102)

    def test_wrong_key_is_unauthorized(self) -> None:
        client = self.client(self.relay, "wrong-key-of-nobody")
        self.assertRaises(CentUnauthorizedError, client.info, cent.InfoRequest())

    def test_commands_for_a_user_without_connections_succeed(self) -> None:
        self.api.disconnect(cent.DisconnectRequest(user="42"))
        self.api.unsubscribe(cent.UnsubscribeRequest(user="42", channel="news"))
        self.api.refresh(cent.RefreshRequest(user="42", expire_at=1767229200))
        since = cent.StreamPosition(offset=1, epoch="x")
        request = cent.SubscribeRequest(user="42", channel="news", info={"a": 1}, data="hi", recover_since=since)
        self.api.subscribe(request)


class TwoProcessesTests(CentCase):
    """Two relays with one Redis: what is asked of one is done by both."""

    def setUp(self) -> None:
        """Start them."""
        super().setUp()
        url = f"{self.enterContext(RedisServer()).url}/0"
        self.one, self.other = (self.enterContext(api_relay(self.folder, redis_url=url)) for _ in range(2))
        self.api = self.client(self.one)
        # Each has to be subscribed to the control channel before it can be asked.
        wait_until(lambda: len(self.nodes()) == 2, self.nodes)

    def join(self, relay: Relay, channel: str) -> ClientConnection:
        """Return a client of user 42, who has a ticket."""
        answer = requests.post(f"{self.one.url}/api/tickets", json={"sub": "42"}, headers={"X-API-Key": KEY}, timeout=5)
        return self.enterContext(socket_to(f"{relay.ws(channel)}?ticket={answer.json()['ticket']}"))

    def test_channels_and_info_cover_both(self) -> None:
        with socket_to(self.one.ws("news")), socket_to(self.other.ws("news")), socket_to(self.other.ws("room:1")):
            self.assertEqual(self.counts(), {"news": 2, "room:1": 1})
            self.assertEqual(sorted(node.num_clients for node in self.nodes()), [1, 2])

    def test_disconnect_reaches_both_with_the_code_of_the_application_and_spares_who_is_to_stay(self) -> None:
        first, second, third = (self.join(relay, "news") for relay in (self.one, self.other, self.other))
        assert second.response is not None
        request = cent.DisconnectRequest(
            user="42",
            whitelist=[second.response.headers["X-Connection-Id"]],
            disconnect=cent.Disconnect(code=4100, reason="elsewhere"),
        )
        self.api.disconnect(request)
        for client in (first, third):
            self.assert_closed(client, 4100, "elsewhere")
        self.publish("news", "still here")
        self.assertEqual(second.recv(DEADLINE_SECONDS), '"still here"')

    def test_history_is_the_same_through_each_and_a_key_publishes_once(self) -> None:
        other = self.client(self.other)
        first = self.publish("chat", {"n": 1}, idempotency_key="order-7")
        request = cent.PublishRequest(channel="chat", data={"n": 2}, idempotency_key="order-7")
        self.assertEqual(other.publish(request), first)
        found = other.history(cent.HistoryRequest(channel="chat", limit=9))
        self.assertEqual([(each.data, each.offset) for each in found.publications], [({"n": 1}, first.offset)])

    def test_presence_names_the_clients_of_both(self) -> None:
        for relay in (self.one, self.other):
            self.join(relay, "lobby")
        request = cent.PresenceRequest(channel="lobby")
        wait_until(lambda: len(self.api.presence(request).presence) == 2, lambda: self.api.presence(request))
        self.assertEqual({each.user for each in self.api.presence(request).presence.values()}, {"42"})
        stats = self.api.presence_stats(cent.PresenceStatsRequest(channel="lobby"))
        self.assertEqual((stats.num_clients, stats.num_users), (2, 1))

    def test_client_of_the_other_process_is_subscribed_and_its_end_is_moved(self) -> None:
        answer = requests.post(f"{self.one.url}/api/tickets", json={"sub": "42"}, headers={"X-API-Key": KEY}, timeout=5)
        url = f"{self.other.url.replace('http', 'ws', 1)}/connection/websocket"
        client = self.enterContext(socket_to(url))
        client.send(json.dumps({"id": 1, "connect": {"token": answer.json()["ticket"]}}))
        self.assertIn("connect", json.loads(client.recv(DEADLINE_SECONDS)))
        position = self.publish("chat", 1)
        self.publish("chat", 2, tags={"a": "b"})
        since = cent.StreamPosition(offset=position.offset or 0, epoch=position.epoch or "")
        self.api.subscribe(cent.SubscribeRequest(user="42", channel="chat", data={"n": 1}, recover_since=since))
        lines: list[str] = []
        while len(lines) < 2:
            lines += str(client.recv(DEADLINE_SECONDS)).split("\n")
        first, second = (json.loads(line)["push"] for line in lines)
        self.assertEqual((first["channel"], first["subscribe"]["data"]), ("chat", {"n": 1}))
        self.assertEqual((second["pub"]["data"], second["pub"]["tags"]), (2, {"a": "b"}))
        self.api.refresh(cent.RefreshRequest(user="42", expired=True))
        self.assert_closed(client, 3005, "credential expired")

    def test_client_of_the_other_process_is_named_by_its_session_and_shown_with_another_info(self) -> None:
        answer = requests.post(f"{self.one.url}/api/tickets", json={"sub": "42"}, headers={"X-API-Key": KEY}, timeout=5)
        url = f"{self.other.url.replace('http', 'ws', 1)}/connection/uni_websocket"
        clients = [self.enterContext(socket_to(url)) for _ in range(2)]
        ticket = {"token": answer.json()["ticket"]}
        clients[0].send(json.dumps(ticket))
        clients[1].send(json.dumps({}))
        told, anonymous = (json.loads(each.recv(DEADLINE_SECONDS))["connect"] for each in clients)
        session = told["session"]
        self.assertNotEqual(session, anonymous["session"])
        self.api.subscribe(cent.SubscribeRequest(user="42", channel="lobby", session=anonymous["session"]))
        self.api.subscribe(cent.SubscribeRequest(user="42", channel="lobby", session=session, info="host"))
        self.assertEqual(json.loads(clients[0].recv(DEADLINE_SECONDS))["channel"], "lobby")
        # The library has no field for the info.
        refresh = {"user": "42", "session": session, "info": {"name": "Ann"}}
        answer = requests.post(f"{self.one.url}/api/refresh", json=refresh, headers={"X-API-Key": KEY}, timeout=5)
        self.assertEqual(answer.json(), {"result": {}})
        request = cent.PresenceRequest(channel="lobby")

        def infos() -> list[Any]:
            return [(each.conn_info, each.chan_info) for each in self.api.presence(request).presence.values()]

        wait_until(lambda: infos() == [({"name": "Ann"}, "host")], infos)
        self.api.unsubscribe(cent.UnsubscribeRequest(user="42", channel="lobby", session=session))
        wait_until(lambda: infos() == [], infos)
        self.api.disconnect(cent.DisconnectRequest(user="", session=anonymous["session"]))
        self.assertEqual(json.loads(clients[1].recv(DEADLINE_SECONDS))["disconnect"]["code"], 3503)
        self.assert_closed(clients[1], 3503, "disconnected by the application")

    def test_unsubscribe_closes_raw_clients_of_that_channel(self) -> None:
        news, room = (self.join(self.other, channel) for channel in ("news", "room:1"))
        self.api.unsubscribe(cent.UnsubscribeRequest(user="42", channel="news"))
        self.assert_closed(news, 4505, "disconnected by the application")
        self.publish("room:1", 1)
        self.assertEqual(room.recv(DEADLINE_SECONDS), "1")
