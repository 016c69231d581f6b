"""Tests of the API's methods about connected clients, with clients of each kind: what they are told."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.support.centrifugo_client import CentrifugoClient
from tests.support.event_source import StreamClient
from tests.support.websocket_client import WebSocketClient
from tests.web.api.method_case import MethodCase
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.presence import MAX_SHOWN_BYTES


class ClientMethodCase(MethodCase):
    """User 42 on a WebSocket, an event stream, and a connection of Centrifugo's protocol."""

    def ticket(self, user: str = "42", **claims: Any) -> str:
        """Return a ticket of a user."""
        answer = self.post("tickets", {"sub": user, **claims})
        assert answer is not None
        ticket: str = json.loads(answer.body)["ticket"]
        return ticket

    def setUp(self) -> None:
        """Connect the clients; those whose channel is in their URL are on `news`."""
        super().setUp()
        self.raw = WebSocketClient(self.relay, f"/ws/news?ticket={self.ticket()}").connect()
        self.stream = StreamClient(self.relay, f"/sse/news?ticket={self.ticket()}")
        self.sdk, self.sdk_id = self.connect_sdk("42")
        self.relay.turn()
        self.stream.read()

    def connect_sdk(self, user: str, **claims: Any) -> tuple[CentrifugoClient, str]:
        """Return a connected client of Centrifugo's protocol, and its id."""
        client = CentrifugoClient(self.relay)
        client.connect()
        client.send({"id": 1, "connect": {"token": self.ticket(user, **claims)}})
        self.relay.turn()
        # Its own join may stand behind it.
        reply, *_ = client.documents()
        return client, reply["connect"]["client"]

    def run_method(self, name: str, **fields: Any) -> None:
        """Call a method, and let its command arrive."""
        self.assertEqual(self.result(name, **fields), {})
        self.relay.turn()

    def pushes(self, client: CentrifugoClient) -> list[Any]:
        """Return the pushes that a client has got since the last call, each its kind and its content."""
        return [each["push"] for each in client.documents()]

    def closed(self, client: WebSocketClient) -> tuple[int, str] | None:
        """Return the code and the reason with which a client was closed; None if it is open."""
        client.read()
        return client.close_received

    def ends_stream(self) -> bool:
        """Return whether the event stream has ended, once the client has read what it was sent."""
        self.stream.read()
        return bool(self.stream.wire.closed)


class SubscribeTests(ClientMethodCase):
    """`subscribe`."""

    def test_clients_with_commands_are_subscribed_and_the_others_ignore_it(self) -> None:
        self.run_method("subscribe", user="42", channel="room:1", data={"a": 1})
        self.assertEqual(self.pushes(self.sdk), [{"channel": "room:1", "subscribe": {"data": {"a": 1}}}])
        self.run_method("publish", channel="room:1", data="hello")
        self.assertEqual(self.pushes(self.sdk), [{"channel": "room:1", "pub": {"data": "hello"}}])
        self.assertEqual((self.raw.messages(), self.stream.read(), self.closed(self.raw)), ([], [], None))

    def test_channel_that_nobody_may_subscribe_to_is_subscribed_and_only_by_the_one_that_is_named(self) -> None:
        other, _ = self.connect_sdk("42")
        self.run_method("subscribe", user="42", channel="closed", client=self.sdk_id)
        self.assertEqual(self.pushes(self.sdk), [{"channel": "closed", "subscribe": {}}])
        self.assertEqual(other.documents(), [])

    def test_what_the_channel_keeps_behind_a_position_comes_first(self) -> None:
        first = self.result("publish", channel="chat", data=1)
        self.result("publish", channel="chat", data=2, tags={"a": "b"})
        self.run_method("subscribe", user="42", channel="chat", recover_since=first)
        self.relay.pass_time(1)
        subscribe, publication = self.pushes(self.sdk)
        self.assertEqual((subscribe["channel"], subscribe["subscribe"]["recoverable"]), ("chat", True))
        offset = first["offset"] + 1
        self.assertEqual(publication, {"channel": "chat", "pub": {"data": 2, "offset": offset, "tags": {"a": "b"}}})

    def test_client_that_only_receives_is_subscribed_too(self) -> None:
        connect = quote(json.dumps({"token": self.ticket("43")}))
        client = StreamClient(self.relay, f"/connection/uni_sse?cf_connect={connect}")
        self.relay.turn()
        client.read()
        self.run_method("subscribe", user="43", channel="room:1", data="welcome")
        self.run_method("publish", channel="room:1", data=1)
        self.run_method("unsubscribe", user="43", channel="room:1")
        subscribe, publication, unsubscribe = map(json.loads, client.events())
        self.assertEqual(subscribe, {"channel": "room:1", "subscribe": {"data": "welcome"}})
        self.assertEqual(publication, {"channel": "room:1", "pub": {"data": 1}})
        self.assertEqual((unsubscribe["channel"], unsubscribe["unsubscribe"]["code"]), ("room:1", 2000))

    def test_client_that_is_subscribed_already_ignores_it(self) -> None:
        for _ in range(2):
            self.run_method("subscribe", user="42", channel="news")
        self.assertEqual(len(self.pushes(self.sdk)), 1)


class UnsubscribeTests(ClientMethodCase):
    """`unsubscribe`."""

    def test_clients_with_commands_are_told_and_stay_and_the_others_are_closed_with_the_code_of_the_table(self) -> None:
        self.run_method("subscribe", user="42", channel="news")
        self.sdk.documents()
        self.run_method("unsubscribe", user="42", channel="news")
        revoked = Disconnect.REVOKED
        push = {"channel": "news", "unsubscribe": {"code": 2000, "reason": revoked.reason}}
        self.assertEqual((self.pushes(self.sdk), self.closed(self.sdk)), ([push], None))
        self.assertEqual(self.closed(self.raw), (revoked.code, revoked.reason))
        (event,) = self.stream.read()
        self.assertEqual(event.data, f'{{"code":{revoked.code},"reason":"{revoked.reason}"}}')
        self.assertTrue(self.stream.wire.closed)

    def test_clients_on_other_channels_and_of_other_users_stay(self) -> None:
        other = WebSocketClient(self.relay, f"/ws/news?ticket={self.ticket('43')}").connect()
        self.run_method("unsubscribe", user="42", channel="room:1")
        self.run_method("unsubscribe", user="43", channel="news", client=self.sdk_id)
        self.assertEqual([self.closed(each) for each in (self.raw, other, self.sdk)], [None] * 3)
        self.assertFalse(self.ends_stream())


class DisconnectTests(ClientMethodCase):
    """`disconnect`."""

    def test_all_are_closed_but_for_the_one_that_is_spared(self) -> None:
        other, _ = self.connect_sdk("42")
        self.run_method("disconnect", user="42", whitelist=[self.sdk_id])
        self.assertEqual(self.closed(self.raw), (Disconnect.REVOKED.code, Disconnect.REVOKED.reason))
        self.assertEqual(self.closed(other), (3503, Disconnect.REVOKED.reason))
        self.assertEqual((self.ends_stream(), self.closed(self.sdk)), (True, None))

    def test_one_is_closed_with_the_code_of_the_application(self) -> None:
        self.run_method("disconnect", user="42", client=self.sdk_id, disconnect={"code": 4100, "reason": "elsewhere"})
        self.assertEqual((self.closed(self.sdk), self.closed(self.raw)), ((4100, "elsewhere"), None))


class SessionTests(ClientMethodCase):
    """Connections that are named by their session."""

    def connect_uni(self) -> tuple[StreamClient, str]:
        """Return a client of user 43 that only receives, and its session."""
        connect = quote(json.dumps({"token": self.ticket("43")}))
        client = StreamClient(self.relay, f"/connection/uni_sse?cf_connect={connect}")
        self.relay.turn()
        client.read()
        told = json.loads(client.parser.events[0].data)["connect"]
        self.assertNotIn("node", told)
        return client, told["session"]

    def test_client_that_only_receives_is_told_a_secret_and_reached_by_it(self) -> None:
        (one, session), (other, another) = self.connect_uni(), self.connect_uni()
        self.assertNotEqual(session, another)
        self.assertGreaterEqual(len(session), 32)
        self.run_method("subscribe", user="43", channel="room:1", session=session)
        self.run_method("subscribe", user="42", channel="room:2", session=session)
        self.run_method("subscribe", user="", channel="room:3", session=session)
        self.assertEqual([json.loads(each)["channel"] for each in one.events()], ["room:1"])
        self.run_method("disconnect", user="43", session=session)
        for client, is_closed in ((one, True), (other, False)):
            client.read()
            self.assertEqual(client.wire.closed, is_closed)

    def test_client_on_a_websocket_has_no_session(self) -> None:
        sdk, _ = self.connect_sdk("43")
        self.run_method("disconnect", user="43", session="x" * 32)
        self.assertIsNone(self.closed(sdk))


class RefreshTests(ClientMethodCase):
    """`refresh`."""

    def test_expired_connections_are_closed_as_such_in_every_dialect(self) -> None:
        self.run_method("refresh", user="42", expired=True)
        expired = Disconnect.CREDENTIAL_EXPIRED
        self.assertEqual(self.closed(self.raw), (expired.code, expired.reason))
        self.assertEqual(self.closed(self.sdk), (3005, expired.reason))
        self.assertTrue(self.ends_stream())

    def test_new_end_holds_until_there_is_another_one_or_none(self) -> None:
        for end in (2, 10):
            self.run_method("refresh", user="42", expire_at=end)
        self.run_method("refresh", user="42", client=self.sdk_id)
        self.relay.pass_time(9)
        self.assertIsNone(self.closed(self.raw))
        self.relay.pass_time(2)
        self.assertEqual(self.closed(self.raw), (4502, Disconnect.CREDENTIAL_EXPIRED.reason))
        self.assertTrue(self.ends_stream())
        self.assertIsNone(self.closed(self.sdk))


class InfoTests(ClientMethodCase):
    """The news that others get of a client: by its credential, and by the permission for a channel."""

    def test_presence_and_joins_have_what_credential_and_permission_say(self) -> None:
        self.run_method("subscribe", user="42", channel="lobby", info="host", client=self.sdk_id)
        self.relay.pass_time(1)
        self.sdk.documents()
        ann, ann_id = self.connect_sdk("43", info={"name": "Ann"}, subs={"lobby": {"info": [1]}})
        self.relay.pass_time(1)
        told = {"user": "43", "client": ann_id, "conn_info": {"name": "Ann"}, "chan_info": [1]}
        self.assertEqual(self.pushes(self.sdk), [{"channel": "lobby", "join": {"info": told}}])
        presence = self.result("presence", channel="lobby")["presence"]
        host = {"client": self.sdk_id, "user": "42", "chan_info": "host"}
        self.assertEqual(presence, {ann_id: told, self.sdk_id: host})
        ann.documents()
        ann.send({"id": 2, "presence": {"channel": "lobby"}})
        self.relay.turn()
        (reply,) = ann.documents()
        self.assertEqual(reply["presence"]["presence"], presence)

    def test_publication_of_a_client_has_it_too(self) -> None:
        ann, ann_id = self.connect_sdk("43", info={"name": "Ann"}, subs={"lobby": {"info": [1]}})
        ann.send({"id": 2, "publish": {"channel": "lobby", "data": "hi"}})
        self.relay.pass_time(1)
        (publication,) = self.result("history", channel="lobby", limit=9)["publications"]
        told = {"user": "43", "client": ann_id, "conn_info": {"name": "Ann"}, "chan_info": [1]}
        self.assertEqual((publication["data"], publication["info"]), ("hi", told))

    def test_raw_client_is_shown_with_the_info_of_its_credential(self) -> None:
        ticket = self.ticket("44", info="x")
        WebSocketClient(self.relay, f"/ws/lobby?ticket={ticket}").connect()
        self.relay.pass_time(1)
        (member,) = self.result("presence", channel="lobby")["presence"].values()
        self.assertEqual((member["user"], member["conn_info"]), ("44", "x"))

    def test_info_of_a_refresh_is_told_from_then_on_and_nobody_joins_or_leaves(self) -> None:
        ann, ann_id = self.connect_sdk("43", info={"name": "Ann"}, subs={"lobby": {"info": [1]}})
        self.relay.pass_time(1)
        ann.documents()
        self.run_method("refresh", user="43", info={"name": "Anna"})
        self.relay.pass_time(1)
        told = {"user": "43", "client": ann_id, "conn_info": {"name": "Anna"}, "chan_info": [1]}
        self.assertEqual(self.result("presence", channel="lobby")["presence"], {ann_id: told})
        self.assertEqual(self.pushes(ann), [])
        ann.send({"id": 2, "publish": {"channel": "lobby", "data": "hi"}})
        self.relay.pass_time(1)
        (publication,) = self.result("history", channel="lobby", limit=9)["publications"]
        self.assertEqual(publication["info"], told)
        self.run_method("refresh", user="43")
        self.relay.pass_time(1)
        self.assertEqual(self.result("presence", channel="lobby")["presence"], {ann_id: told})

    def test_info_that_is_too_long_to_be_repeated_is_left_out_of_presence(self) -> None:
        for user, length in (("44", MAX_SHOWN_BYTES - 2), ("45", MAX_SHOWN_BYTES - 1)):
            self.connect_sdk(user, info="x" * length, subs={"lobby": {}})
        self.relay.pass_time(1)
        members = self.result("presence", channel="lobby")["presence"].values()
        self.assertEqual({each["user"]: "conn_info" in each for each in members}, {"44": True, "45": False})
