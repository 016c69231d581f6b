"""Centrifugo's protocol at the edge, beside raw clients: the whole relay in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import jwt
from websockets.frames import Opcode as FrameOpcode

from devtools.harness.http import client_frame, upgrade
from tests.support.centrifugo_client import CentrifugoClient
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.dialects.centrifugo import PATH, JSONDialect
from wsrelay.dialects.centrifugo.commands import MAX_COMMANDS_PER_MESSAGE
from wsrelay.dialects.raw import RawDialect
from wsrelay.testing.brokers import FakeBroker

KEY = "k" * 40


class CentrifugoCase(EdgeCase):
    """A relay that speaks both dialects."""

    def relay(self, broker: Any = None, **settings: Any) -> InMemoryRelay:
        """Build a relay with the route of Centrifugo's protocol."""
        return super().relay(broker, **{"centrifugo": True, "channels": ("*",), "publish": ("room",), **settings})

    def assert_closed(self, client: WebSocketClient, code: int, reason: str | None = None) -> None:
        """Read, and check the close frame that the client has received."""
        client.read()
        assert client.close_received is not None, client.frames
        self.assertEqual(client.close_received[0], code)
        if reason is not None:
            self.assertEqual(client.close_received[1], reason)


class RouteTests(CentrifugoCase):
    """Where the protocol is spoken."""

    def status(self, relay: InMemoryRelay, path: str, *lines: str) -> int:
        """Return the status of the answer to a handshake."""
        wire = ClientWire(relay)
        wire.send(upgrade(path, *lines))
        return int(wire.read().split(b" ", 2)[1])

    def test_route_is_off_by_default(self) -> None:
        self.assertEqual(self.status(self.relay(centrifugo=False), PATH), 404)
        self.assertEqual(self.status(self.relay(), PATH), 101)

    def test_only_its_own_path_is_the_route(self) -> None:
        self.assertEqual(
            [self.status(self.relay(), path) for path in (PATH + "/", PATH + "2", "/connection/")], [404] * 3
        )

    def test_subprotocol_of_the_protocol_is_chosen_if_it_is_offered(self) -> None:
        relay = self.relay()
        client = WebSocketClient(relay, PATH, subprotocols=["centrifuge-json"]).connect()
        self.assertEqual(client.protocol.subprotocol, "centrifuge-json")
        self.assertIsNone(CentrifugoClient(relay).connect().protocol.subprotocol)

    def test_subprotocol_of_the_route_is_chosen_whatever_else_is_offered(self) -> None:
        relay, offered = self.relay(), ["centrifuge-json", "wsrelay", "centrifuge-protobuf"]
        chosen = [
            WebSocketClient(relay, path, subprotocols=offered).connect().protocol.subprotocol
            for path in ("/ws/room", PATH)
        ]
        self.assertEqual(chosen, ["wsrelay", "centrifuge-protobuf"])

    def test_handshake_is_completed_before_the_broker_is_asked(self) -> None:
        broker = FakeBroker()
        client = CentrifugoClient(self.relay(broker)).connect()
        self.assertEqual((broker.wanted, client.frames), (set(), []))

    def test_other_origin_is_rejected_with_403(self) -> None:
        self.assertEqual(self.status(self.relay(), PATH, "Origin: https://other.example"), 403)


class ConversationTests(CentrifugoCase):
    """Commands, replies and publications."""

    def test_connect_and_subscribes_in_one_message_are_answered_in_order(self) -> None:
        relay = self.relay()
        client = CentrifugoClient(relay).connect()
        channels = [f"room-{number}" for number in range(100)]
        subscribes = [{"id": number, "subscribe": {"channel": name}} for number, name in enumerate(channels, 2)]
        client.send({"id": 1, "connect": {}}, *subscribes)
        connected, *subscribed = client.documents()
        self.assertEqual((connected["id"], connected["connect"]["ping"], connected["connect"]["pong"]), (1, 25, True))
        self.assertEqual(subscribed, [{"id": number, "subscribe": {}} for number in range(2, 102)])
        for channel in channels:
            relay.publish(b'{"of": "%s"}' % channel.encode(), channel=channel)
        self.assertEqual([each["push"]["channel"] for each in client.documents()], channels)

    def test_subscribe_is_answered_when_the_broker_has_confirmed_the_channel(self) -> None:
        relay = self.relay(FakeBroker())
        client = CentrifugoClient(relay).connect()
        client.send({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": "a"}})
        client.send({"id": 3, "subscribe": {"channel": "b"}})
        self.assertEqual([each["id"] for each in client.documents()], [1])
        relay.node.subscribed("b")
        relay.node.publications_received([Publication("b", b"1"), Publication("a", b"early")])
        relay.node.subscribed("a")
        relay.node.publications_received([Publication("a", b"2")])
        *documents, last = client.documents()
        self.assertEqual(documents[0], {"id": 3, "subscribe": {}})
        self.assertEqual(documents[1:], [{"push": {"channel": "b", "pub": {"data": 1}}}, {"id": 2, "subscribe": {}}])
        self.assertEqual(last, {"push": {"channel": "a", "pub": {"data": 2}}})

    def test_unconfirmed_subscribe_fails_with_a_temporary_error_and_the_connection_stays(self) -> None:
        relay = self.relay(FakeBroker())
        client = CentrifugoClient(relay).connect()
        client.send({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": "a"}})
        client.documents()
        relay.pass_time(5.5)
        (failed,) = client.documents()
        self.assertEqual((failed["id"], failed["error"]["code"], failed["error"]["temporary"]), (2, 100, True))
        self.assertFalse(client.wire.closed)

    def test_publish_reaches_raw_and_centrifugo_subscribers(self) -> None:
        relay = self.relay()
        client, other = CentrifugoClient(relay).subscribe("room"), CentrifugoClient(relay).subscribe("room")
        raw = WebSocketClient(relay).connect()
        client.send({"id": 9, "publish": {"channel": "room", "data": {"text": "h\u00e9"}}})
        relay.turn()
        # The reply and the push have no order among each other.
        received = client.documents()
        self.assertIn({"id": 9, "publish": {}}, received)
        self.assertEqual([each["push"]["pub"]["data"] for each in received if "push" in each], [{"text": "h\u00e9"}])
        self.assertEqual(other.data(), [{"text": "h\u00e9"}])
        self.assertEqual([json.loads(message) for message in raw.messages()], [{"text": "h\u00e9"}])

    def test_unsubscribed_channel_is_received_no_more_and_others_are(self) -> None:
        relay = self.relay()
        client = CentrifugoClient(relay).subscribe("a", "b")
        client.send({"id": 9, "unsubscribe": {"channel": "a"}})
        self.assertEqual(client.documents(), [{"id": 9, "unsubscribe": {}}])
        relay.publish(b"1", channel="a")
        relay.publish(b"2", channel="b")
        self.assertEqual(client.data(), [2])

    def test_errors_have_centrifugos_codes_and_the_connection_stays(self) -> None:
        namespaces = (Namespace("room", ("room",)), Namespace("token", ("token",), Access.TOKEN))
        client = CentrifugoClient(self.relay(namespaces=namespaces, publish=(), token_keys=Secret(KEY)))
        client.subscribe("room")
        for command, code in (
            ({"subscribe": {"channel": "token"}}, 103),
            ({"subscribe": {"channel": "unknown"}}, 102),
            ({"subscribe": {"channel": "room"}}, 105),
            ({"subscribe": {"channel": "a b"}}, 107),
            ({"publish": {"channel": "room", "data": 1}}, 103),
            ({"history": {"channel": "room"}}, 108),
        ):
            client.send({"id": 9, **command})
            (reply,) = client.documents()
            self.assertEqual((reply["id"], reply["error"]["code"]), (9, code), command)
        self.assertFalse(client.wire.closed)

    def test_token_in_connect_gives_access(self) -> None:
        relay = self.relay(
            namespaces=(Namespace("token", ("token",), Access.TOKEN),), publish=(), token_keys=Secret(KEY)
        )
        claims = {"sub": "42", "exp": relay.clock.seconds() + 60, "channels": ["token"]}
        client = CentrifugoClient(relay).connect()
        connect = {"id": 1, "connect": {"token": jwt.encode(claims, KEY, "HS256")}}
        client.send(connect, {"id": 2, "subscribe": {"channel": "token"}})
        connected, subscribed = client.documents()
        # The channel that the token names is subscribed to with the connect, and not again by a command.
        self.assertEqual((connected["connect"]["subs"], subscribed["error"]["code"]), ({"token": {}}, 105))
        self.assertEqual(len(relay.node.registry), 1)

    def test_invalid_token_closes_with_3500(self) -> None:
        client = CentrifugoClient(self.relay(token_keys=Secret(KEY), access=Access.TOKEN, publish=())).connect()
        client.send({"id": 1, "connect": {"token": "a.b.c"}}, {"id": 2, "subscribe": {"channel": "room"}})
        self.assert_closed(client, 3500, "invalid credential")

    def test_expired_token_is_an_error_and_the_client_has_the_deadline_of_a_connect_to_leave(self) -> None:
        relay = self.relay(token_keys=Secret(KEY), access=Access.TOKEN, publish=())
        claims = {"sub": "42", "exp": relay.clock.seconds() - 600, "channels": ["room"]}
        connect = {"id": 1, "connect": {"token": jwt.encode(claims, KEY, "HS256")}}
        client, leaver = CentrifugoClient(relay).connect(), CentrifugoClient(relay).connect()
        for each in (client, leaver):
            each.send(connect, {"id": 2, "subscribe": {"channel": "room"}})
            (failed,) = each.documents()
            self.assertEqual((failed["id"], failed["error"]["code"]), (1, 109))
        leaver.wire.hang_up()
        relay.pass_time(11)
        self.assert_closed(client, 3004)
        relay.pass_time(relay.settings.close_timeout_seconds + 1)
        self.assertTrue(client.wire.closed)
        self.assertEqual((len(relay.node.registry), relay.connections.open_connections()), (0, ()))

    def test_malformed_message_closes_with_3501(self) -> None:
        for data in (client_frame(0x81, b"hello"), client_frame(0x81, b"[]"), client_frame(0x82, b"{}")):
            client = CentrifugoClient(self.relay()).subscribe("room")
            client.wire.send(data)
            self.assert_closed(client, 3501, "bad request")

    def test_asynchronous_message_closes_with_3508_behind_what_was_sent_before_it(self) -> None:
        client = CentrifugoClient(self.relay()).connect()
        client.send({"id": 1, "connect": {}}, {"id": 2, "rpc": {}}, {"send": {"data": 1}}, {"id": 3, "rpc": {}})
        self.assertEqual([each["id"] for each in client.documents()], [1, 2])
        self.assert_closed(client, 3508, "not available")

    def test_asynchronous_message_before_the_connect_closes_with_3501(self) -> None:
        client = CentrifugoClient(self.relay()).connect()
        client.send({"send": {"data": 1}})
        self.assert_closed(client, 3501, "bad request")

    def test_connect_that_never_comes_closes_with_3502(self) -> None:
        relay = self.relay()
        client = CentrifugoClient(relay).connect()
        relay.pass_time(11)
        self.assert_closed(client, 3502, "stale")
        self.assertTrue(client.wire.closed)

    def test_gap_ends_the_subscription_of_its_channel_with_2500(self) -> None:
        relay = self.relay(FakeBroker())
        client, raw = CentrifugoClient(relay).connect(), WebSocketClient(relay)
        raw.send_handshake()
        subscribes = [{"id": number, "subscribe": {"channel": name}} for number, name in ((2, "room"), (3, "b"))]
        client.send({"id": 1, "connect": {}}, *subscribes)
        for channel in ("room", "b"):
            relay.node.subscribed(channel)
        client.read()
        relay.node.disconnected(["room"])
        relay.node.subscribed("room")
        relay.pass_time(2)
        reason = Disconnect.GAP.reason
        push = {"push": {"channel": "room", "unsubscribe": {"code": 2500, "reason": reason}}}
        self.assertEqual(client.documents(), [push])
        self.assert_closed(raw, 4010, reason)
        relay.node.publications_received([Publication("room", b"1"), Publication("b", b"2")])
        self.assertEqual(client.data(), [2])


class FanOutTests(CentrifugoCase):
    """Raw and Centrifugo clients of one channel."""

    def count_encodings(self, dialect: type[Any]) -> list[int]:
        """Count the calls of a dialect's `encode`: one number for each, how many events it was given."""
        calls: list[int] = []
        encode: Callable[..., Any] = dialect.encode

        def counting(instance: Any, events: Sequence[Any]) -> Any:
            calls.append(len(events))
            return encode(instance, events)

        self.patch(dialect, "encode", counting)
        return calls

    def test_each_client_receives_its_own_form_and_each_form_is_encoded_once(self) -> None:
        raw_calls, json_calls = self.count_encodings(RawDialect), self.count_encodings(JSONDialect)
        relay = self.relay()
        raws = [WebSocketClient(relay).connect() for _ in range(3)]
        clients = [CentrifugoClient(relay).subscribe("room") for _ in range(3)]
        # A short text of ASCII is framed without the raw dialect.
        relay.publish(b'{"n": "\xc3\xa9"}', b"\xff no JSON")
        for raw in raws:
            self.assertEqual(raw.messages(), [b'{"n": "\xc3\xa9"}', b"\xff no JSON"])
        sent = {client.wire.transport.value() for client in clients}
        self.assertEqual(len(sent), 1)
        for client in clients:
            self.assertEqual(client.data(), [{"n": "é"}, "\ufffd no JSON"])
        self.assertEqual((raw_calls, json_calls), ([1, 1], [1, 1]))

    def test_batch_is_one_message_to_a_centrifugo_client(self) -> None:
        relay = self.relay()
        client, raw = CentrifugoClient(relay).subscribe("room"), WebSocketClient(relay).connect()
        relay.node.publications_received([Publication("room", b"%d" % number) for number in range(20)])
        self.assertEqual(len(raw.messages()), 20)
        (message,) = client.messages()
        numbers = [json.loads(line)["push"]["pub"]["data"] for line in message.split(b"\n")]
        self.assertEqual(numbers, [*range(20)])

    def test_slow_clients_are_closed_with_the_code_of_their_dialect_and_others_go_on(self) -> None:
        relay = self.relay(max_outbox_bytes=100_000)
        slow, slow_raw = CentrifugoClient(relay).subscribe("room"), WebSocketClient(relay).connect()
        client, raw = CentrifugoClient(relay).subscribe("room"), WebSocketClient(relay).connect()
        messages = [bytes((65 + number,)) * 40_000 for number in range(8)]
        received: list[Any] = []
        received_raw: list[bytes] = []
        for message in messages:
            relay.publish(message)
            received += client.data()
            received_raw += raw.messages()
        self.assertEqual((received, received_raw), ([message.decode() for message in messages], messages))
        for each, code in ((slow, 3008), (slow_raw, 4008)):
            # The transport gets the close frame when it has been read empty.
            each.read()
            self.assert_closed(each, code, "slow consumer, reconnect")
        self.assertEqual(
            (relay.node.counters.connections_closed[3008], relay.node.counters.connections_closed[4008]), (1, 1)
        )


class PingTests(CentrifugoCase):
    """Pings of the protocol, in place of those of WebSocket."""

    def pings(self, client: CentrifugoClient) -> int:
        """Read, and return the number of the protocol's pings; there may be nothing else."""
        documents = client.documents()
        self.assertEqual(documents, [{}] * len(documents))
        return len(documents)

    def wait_for_ping(self, relay: InMemoryRelay, client: CentrifugoClient, seconds: float) -> float:
        """Let time pass until a ping comes; returns how long that took."""
        start = relay.clock.seconds()
        while not self.pings(client):
            relay.clock.advance(0.25)
            self.assertLessEqual(relay.clock.seconds() - start, seconds)
        took: float = relay.clock.seconds() - start
        return took

    def test_client_that_answers_is_pinged_at_the_interval_and_kept(self) -> None:
        relay = self.relay(ping_interval_seconds=10, ping_timeout_seconds=4)
        client = CentrifugoClient(relay).subscribe("room")
        for _ in range(5):
            self.assertGreaterEqual(self.wait_for_ping(relay, client, 10.5), 7.75)
            client.send({})
        self.assertFalse(client.wire.closed)
        self.assertNotIn(FrameOpcode.PING, {frame.opcode for frame in client.frames})

    def test_raw_client_of_the_same_relay_gets_websocket_pings(self) -> None:
        relay = self.relay(ping_interval_seconds=10)
        raw = WebSocketClient(relay).connect()
        relay.pass_time(10.5)
        self.assertEqual([frame.opcode for frame in raw.read()], [FrameOpcode.PING])

    def test_any_message_counts_as_pong(self) -> None:
        relay = self.relay(ping_interval_seconds=10, ping_timeout_seconds=4)
        client = CentrifugoClient(relay).subscribe("room")
        self.wait_for_ping(relay, client, 10.5)
        relay.pass_time(3)
        client.send({"id": 9, "subscribe": {"channel": "b"}})
        self.assertEqual(client.documents(), [{"id": 9, "subscribe": {}}])
        relay.pass_time(4)
        self.assertFalse(client.wire.closed)

    def test_message_during_the_grace_counts_as_pong(self) -> None:
        relay = self.relay(ping_interval_seconds=10, ping_timeout_seconds=4)
        client = CentrifugoClient(relay).subscribe("room")
        self.wait_for_ping(relay, client, 10.5)
        relay.pass_time(4.25)
        client.send({})
        relay.pass_time(4)
        self.assertFalse(client.wire.closed)

    def test_silent_client_is_dropped_after_timeout_and_grace(self) -> None:
        relay = self.relay(ping_interval_seconds=10, ping_timeout_seconds=4)
        client = CentrifugoClient(relay).subscribe("room")
        self.wait_for_ping(relay, client, 10.5)
        relay.pass_time(4.75)
        self.assertFalse(client.wire.closed)
        relay.pass_time(1.5)
        self.assertTrue(client.wire.transport.aborted)
        self.assertEqual(relay.connections.open_connections(), ())

    def test_receiving_publications_does_not_count_as_pong(self) -> None:
        relay = self.relay(ping_interval_seconds=10, ping_timeout_seconds=4)
        client = CentrifugoClient(relay).subscribe("room")
        for _ in range(20):
            relay.pass_time(1)
            relay.publish(b"1")
            client.read()
        self.assertTrue(client.wire.closed)


class LimitTests(CentrifugoCase):
    """Clients that send too much."""

    def test_message_too_big_closes_with_1009(self) -> None:
        client = CentrifugoClient(self.relay(max_message_bytes=1000)).subscribe("room")
        client.send({"id": 9, "publish": {"channel": "room", "data": "x" * 1000}})
        self.assert_closed(client, 1009)

    def test_frames_over_the_rate_close_with_3013(self) -> None:
        relay = self.relay()
        client = CentrifugoClient(relay).subscribe("room")
        client.wire.send(client_frame(0x81, b"{}") * 10_000)
        self.assert_closed(client, 3013, "rate limit exceeded")
        relay.pass_time(2)
        self.assertTrue(client.wire.closed)

    def test_commands_over_the_rate_close_with_3013_also_in_one_frame(self) -> None:
        relay = self.relay()
        client = CentrifugoClient(relay).subscribe("room")
        subscriber = CentrifugoClient(relay).subscribe("room")
        message = [{"id": 9, "publish": {"channel": "room", "data": 1}}] * MAX_COMMANDS_PER_MESSAGE
        for _ in range(2):
            client.send(*message)
            relay.turn()
        self.assert_closed(client, 3013, "rate limit exceeded")
        self.assertEqual(len(subscriber.documents()), MAX_COMMANDS_PER_MESSAGE)

    def test_bytes_over_the_rate_close_with_3013(self) -> None:
        client = CentrifugoClient(self.relay(max_bytes_per_second=20_000)).subscribe("room")
        client.wire.send(b"\x81\xfe\xff\xff" + bytes(70_000))
        self.assert_closed(client, 3013, "rate limit exceeded")
