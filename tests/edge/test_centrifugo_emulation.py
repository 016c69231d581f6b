"""Centrifugo's emulated transports at the edge: streams, and messages beside them, to one process and across two."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from devtools.harness.http import Answer, answers, head
from tests.dialects.centrifugo.protobuf_table import GOOGLE_COMMAND, GOOGLE_REPLY
from tests.support.edge import EdgeCase, RealEdgeCase
from tests.support.google_protobuf import GoogleMessage
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.message_stream import MessageStreamClient, with_connect
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.messaging.emulated import MAX_EMULATED_BYTES, EmulatedMessage
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.protobuf import read_block, write_block
from wsrelay.dialects import EMULATED_HTTP_STREAM, EMULATED_SSE
from wsrelay.dialects.centrifugo import EMULATION_PATH
from wsrelay.transports.streams.emulated_streams import MAX_WAITING_BYTES
from wsrelay.web.one_request import MAX_DROPPED_BYTES

SSE, LINES = EMULATED_SSE.path, EMULATED_HTTP_STREAM.path
CONNECT: dict[str, Any] = {"id": 1, "connect": {}}
OCTETS = "Content-Type: application/octet-stream"

GOOGLE_REQUEST = GoogleMessage("EmulationRequest node:1:string session:2:string data:3:bytes", "EmulationRequest")


class EmulatedClient(MessageStreamClient):
    """A client of the JSON form.

    Args:
        relay: The relay.
        *fields: Header fields of the request for its stream.
        through: The relay that it sends to. If None, the same.
        is_sse: Whether its stream is one of events.

    Attributes:
        connect: The reply to its connect.
    """

    def __init__(
        self, relay: InMemoryRelay, *fields: str, through: InMemoryRelay | None = None, is_sse: bool = False
    ) -> None:
        self._through = through or relay
        if is_sse:
            super().__init__(relay, with_connect(SSE, CONNECT), *fields)
        else:
            super().__init__(relay, LINES, *fields, body=CONNECT)
        (reply,) = self.documents()
        self.connect: dict[str, Any] = reply["connect"]

    def send(self, *commands: dict[str, Any], **fields: Any) -> Answer:
        """Send commands, and return the response."""
        data = "\n".join(map(json.dumps, commands))
        body = {"session": self.connect["session"], "node": self.connect["node"], "data": data, **fields}
        return post(self._through, json.dumps(body).encode())

    def subscribe(self, channel: str) -> None:
        """Subscribe, and read the reply.

        Raises:
            AssertionError: It is an error.
        """
        assert self.send({"id": 2, "subscribe": {"channel": channel}}).status == 204
        (reply,) = self.documents()
        assert "subscribe" in reply, reply


def post(relay: InMemoryRelay, body: bytes, *fields: str, method: str = "POST") -> Answer:
    """Send a request to the path of messages, and return the response."""
    wire = ClientWire(relay)
    length = f"Content-Length: {len(body)}"
    wire.send(head(f"{method} {EMULATION_PATH} HTTP/1.1", "Host: relay.example", length, *fields) + body)
    (answer,) = answers(wire.read())
    return answer


class EmulationCase(EdgeCase):
    """A relay that speaks Centrifugo's protocol."""

    def relay(self, broker: Any = None, **settings: Any) -> InMemoryRelay:
        """Build a relay with the routes of Centrifugo's protocol."""
        return super().relay(broker, **{"centrifugo": True, "channels": ("*",), "publish": ("*",), **settings})

    def assert_disconnected(self, client: MessageStreamClient, code: int) -> None:
        """Assert that a stream ends with a disconnect, and says nothing else."""
        (last,) = client.documents()
        self.assertEqual(last["push"]["disconnect"]["code"], code)
        self.assertTrue(client.wire.closed)


def publish(command_id: int, data: object) -> dict[str, Any]:
    """Return a command that publishes to the channel a."""
    return {"id": command_id, "publish": {"channel": "a", "data": data}}


def without_info(document: dict[str, Any]) -> dict[str, Any]:
    """Return a push of a publication without the client that published it."""
    push = document.get("push", {})
    publication = {name: value for name, value in push.get("pub", {}).items() if name != "info"}
    return {"push": {**push, "pub": publication}}


def read_reply(data: bytes) -> dict[str, Any]:
    """Return the one reply in bytes of a Protobuf stream.

    Raises:
        AssertionError: They are none.
    """
    block, end = read_block(data, 0)
    assert end == len(data), data
    document = GOOGLE_REPLY.read(block)
    assert document is not None, data
    return document


class LinkedBroker(MemoryBroker):
    """The broker of one of several processes, which brings the others their control messages.

    Args:
        clock: Time.
        others: Those of the others, by the names of their processes; it adds itself.
    """

    def __init__(self, clock: Any, others: dict[str, Any]) -> None:
        super().__init__(clock)
        self._others = others
        others[self.node_id] = self

    def send_control(self, payload: bytes, node_id: str | None = None) -> Deferred[int]:
        """See `IBroker.send_control`."""
        other = self._others.get(node_id or "", self)
        return super().send_control(payload, node_id) if other is self else other.send_control(payload, node_id)


class ConversationTests(EmulationCase):
    """Streams, and messages to the process that has them."""

    def test_connect_is_answered_on_the_stream_with_a_session_and_the_node(self) -> None:
        relay = self.relay()
        for is_sse in (True, False):
            connect = EmulatedClient(relay, is_sse=is_sse).connect
            self.assertEqual((connect["node"], connect["pong"], connect["ping"]), (relay.broker.node_id, True, 25))
            self.assertGreaterEqual(len(connect["session"]), 32)
        self.assertEqual(len(relay.node.emulation), 2)

    def test_commands_come_by_requests_and_their_replies_on_the_stream(self) -> None:
        relay = self.relay()
        for is_sse in (True, False):
            client = EmulatedClient(relay, is_sse=is_sse)
            client.subscribe("a")
            answer = client.send({"id": 3, "publish": {"channel": "a", "data": "hé"}}, {"id": 4, "ping": {}})
            self.assertEqual((answer.status, answer.body), (204, b""))
            self.assertNotIn("content-length", answer.headers)
            relay.turn()
            received = client.documents()
            self.assertIn({"id": 3, "publish": {}}, received)
            self.assertIn({"push": {"channel": "a", "pub": {"data": "hé"}}}, [without_info(each) for each in received])
            self.assertEqual([each["error"]["code"] for each in received if each.get("id") == 4], [108])
            client.wire.hang_up()

    def test_first_message_may_hold_more_than_the_connect(self) -> None:
        body = b"\n".join(json.dumps(each).encode() for each in (CONNECT, {"id": 2, "subscribe": {"channel": "a"}}))
        client = MessageStreamClient(self.relay(), LINES, body=body)
        self.assertEqual([each["id"] for each in client.documents()], [1, 2])

    def test_first_message_that_is_no_connect_ends_the_stream(self) -> None:
        relay = self.relay()
        for body in (b"", b"{}", b"\xff", b"[]", b'{"id": 1, "subscribe": {"channel": "a"}}'):
            self.assert_disconnected(MessageStreamClient(relay, LINES, body=body), 3501)
        self.assert_disconnected(MessageStreamClient(relay, SSE), 3501)
        self.assertEqual(len(relay.node.emulation), 0)

    def test_failed_connect_is_an_error_after_which_the_client_leaves(self) -> None:
        client = MessageStreamClient(self.relay(), LINES, body={"id": 1, "connect": {"token": "x" * 20}})
        (reply,) = client.documents()
        self.assertEqual((reply["id"], reply["error"]["code"]), (1, 109))
        self.assertFalse(client.wire.closed)

    def test_protobuf_is_spoken_on_a_stream_that_is_asked_for_in_it(self) -> None:
        relay = self.relay()
        first = write_block(GOOGLE_COMMAND.write(CONNECT))
        client = MessageStreamClient(relay, LINES, OCTETS, body=first)
        self.assertIn(b"\r\nContent-Type: application/octet-stream\r\n", client.head)
        reply = read_reply(client.read())
        self.assertEqual(reply["id"], 1)
        connect = reply["connect"]
        data = write_block(GOOGLE_COMMAND.write({"id": 2, "subscribe": {"channel": "a"}}))
        request = {"session": connect["session"], "node": connect["node"], "data": data}
        self.assertEqual(post(relay, GOOGLE_REQUEST.write(request), OCTETS).status, 204)
        self.assertEqual(read_reply(client.read())["id"], 2)
        relay.publish(b"\xff", channel="a")
        self.assertEqual(read_reply(client.read())["push"]["pub"]["data"], b"\xff")
        relay.pass_time(26)
        self.assertEqual(client.read(), b"\0")
        (connection,) = relay.connections.open_connections()
        connection.close(Disconnect.RESTART)
        self.assertEqual(read_reply(client.read())["push"]["disconnect"]["code"], 3001)

    def test_ping_is_answered_by_a_request_and_a_client_that_does_not_is_ended(self) -> None:
        relay = self.relay()
        client, silent = EmulatedClient(relay), EmulatedClient(relay)
        for _ in range(3):
            relay.pass_time(26)
            if not silent.wire.closed:
                self.assertEqual(silent.documents(), [{}])
            self.assertEqual(client.documents(), [{}])
            self.assertEqual(client.send({}).status, 204)
        self.assertEqual((client.wire.closed, silent.wire.closed, len(relay.node.emulation)), (False, True, 1))

    def test_pong_that_comes_within_the_grace_is_in_time(self) -> None:
        relay = self.relay(ping_interval_seconds=200.0, ping_timeout_seconds=20.0, router_idle_timeout_seconds=300.0)
        client = EmulatedClient(relay)
        while not client.documents():
            relay.pass_time(0.25)
        relay.pass_time(20.5)
        client.send({})
        relay.pass_time(60)
        self.assertFalse(client.wire.closed)

    def test_messages_wait_while_there_is_too_much_to_do_and_keep_their_order(self) -> None:
        relay = self.relay()
        client = EmulatedClient(relay)
        client.subscribe("a")
        relay.node.pressure_changed(is_high=True)
        for number in range(5):
            self.assertEqual(client.send(publish(3 + number, number)).status, 204)
        relay.turn()
        self.assertEqual((client.documents(), len(relay.connections.paused)), ([], 1))
        relay.node.pressure_changed(is_high=False)
        relay.turn()
        documents = client.documents()
        self.assertEqual([each["id"] for each in documents if "id" in each], [3, 4, 5, 6, 7])
        self.assertEqual([each["push"]["pub"]["data"] for each in documents if "push" in each], [0, 1, 2, 3, 4])
        self.assertEqual(len(relay.connections.paused), 0)

    def test_messages_that_wait_are_served_as_far_as_there_is_room(self) -> None:
        relay = self.relay()
        client = EmulatedClient(relay)
        client.subscribe("a")
        relay.node.pressure_changed(is_high=True)
        for number in range(3):
            client.send(publish(3 + number, number))
        relay.node.pressure_changed(is_high=False)
        take = relay.broker.post

        def post(*arguments: Any) -> None:
            take(*arguments)
            relay.node.pressure_changed(is_high=True)

        self.patch(relay.broker, "post", post)
        for command_id in (3, 4, 5):
            relay.turn()
            self.assertEqual([each["id"] for each in client.documents() if "id" in each], [command_id])
            relay.node.pressure_changed(is_high=False)

    def test_stream_that_ends_while_its_messages_wait_publishes_none_of_them(self) -> None:
        relay = self.relay()
        client = EmulatedClient(relay)
        client.subscribe("a")
        relay.node.pressure_changed(is_high=True)
        for number in range(3):
            client.send(publish(3 + number, number))
        client.wire.hang_up()
        published: list[object] = []
        self.patch(relay.broker, "post", lambda *arguments: published.append(arguments))
        relay.node.pressure_changed(is_high=False)
        relay.turn()
        self.assertEqual((published, len(relay.connections.paused)), ([], 0))

    def test_drain_is_told_and_the_session_ends_with_the_stream(self) -> None:
        relay = self.relay()
        client = EmulatedClient(relay)
        (connection,) = relay.connections.open_connections()
        connection.close(Disconnect.RESTART)
        self.assert_disconnected(client, 3001)
        self.assertEqual(client.send({"id": 2, "subscribe": {"channel": "a"}}).status, 204)
        self.assertEqual((client.documents(), len(relay.node.emulation)), ([], 0))


class LimitTests(EmulationCase):
    """Limits on messages of clients, as on a WebSocket."""

    def test_too_many_messages_or_commands_end_the_stream(self) -> None:
        relay = self.relay(max_frames_per_second=10.0)
        many, one = EmulatedClient(relay), EmulatedClient(relay)
        for number in range(2, 50):
            many.send({"id": number, "unsubscribe": {"channel": "a"}})
            if many.wire.closed:
                break
        self.assertEqual(many.documents()[-1]["push"]["disconnect"]["code"], 3013)
        one.send(*({"id": number, "unsubscribe": {"channel": "a"}} for number in range(2, 100)))
        self.assert_disconnected(one, 3013)

    def test_too_much_that_waits_ends_the_stream(self) -> None:
        relay = self.relay(max_frames_per_second=1000, max_bytes_per_second=10_000_000)
        client = EmulatedClient(relay)
        client.subscribe("a")
        relay.node.pressure_changed(is_high=True)
        for number in range(MAX_WAITING_BYTES // 50_000):
            client.send(publish(2 + number, "x" * 49_900))
        self.assertFalse(client.wire.closed)
        for number in range(2):
            client.send(publish(2 + number, "x" * 49_900))
        self.assert_disconnected(client, 3013)

    def test_too_long_a_message_ends_the_stream(self) -> None:
        client = EmulatedClient(self.relay(max_message_bytes=1000))
        self.assertEqual(client.send({"id": 2, "publish": {"channel": "a", "data": "x" * 1000}}).status, 204)
        self.assert_disconnected(client, 1009)

    def test_client_that_does_not_read_is_ended_and_its_session_with_it(self) -> None:
        relay = self.relay(max_outbox_bytes=65536)
        client = EmulatedClient(relay)
        client.subscribe("a")
        client.wire.transport.high_water = 0
        for _ in range(40):
            relay.publish(b'"%b"' % (b"x" * 10000), channel="a")
        relay.pass_time(10)
        self.assertTrue(client.wire.closed)
        self.assertEqual(len(relay.node.emulation), 0)


class RequestTests(EmulationCase):
    """Requests by which messages come, which are hostile."""

    def test_malformed_body_is_400(self) -> None:
        relay = self.relay()
        for body in (
            *(b"", b"{", b"[]", b"\xff", b'{"session": 1, "node": "a", "data": ""}', b'{"session": "a", "data": ""}'),
            *(b'{"session": "a", "node": "a", "data": {}}', b'{"session": "a", "node": "a", "data": "\\ud83d"}'),
        ):
            self.assertEqual(post(relay, body).status, 400, body)
        for body in (b"", b"\xff", b"{}"):
            self.assertEqual(post(relay, body, OCTETS).status, 400, body)

    def test_unknown_node_is_404_and_an_unknown_session_no_different_from_a_known_one(self) -> None:
        relay = self.relay()
        client = EmulatedClient(relay)
        for node in ("f" * 16, "", "a b", "$control", "x" * 100, "\u00e9"):
            self.assertEqual(client.send({}, node=node).status, 404, node)
        known, unknown = client.send({}), client.send({}, session="x" * 32)
        self.assertEqual(unknown.headers | {"date": ""}, known.headers | {"date": ""})
        self.assertEqual((known.status, unknown.status), (204, 204))
        self.assertEqual(client.documents(), [])

    def test_client_that_names_the_session_of_another_form_is_told_so_on_its_stream(self) -> None:
        relay = self.relay()
        client = EmulatedClient(relay)
        request = {"session": client.connect["session"], "node": client.connect["node"], "data": b"\0"}
        self.assertEqual(post(relay, GOOGLE_REQUEST.write(request), OCTETS).status, 204)
        self.assert_disconnected(client, 3501)

    def test_body_that_is_too_long_is_413_and_one_that_comes_slowly_408(self) -> None:
        relay = self.relay()
        self.assertEqual(post(relay, b"x" * (MAX_DROPPED_BYTES + 1)).status, 413)
        wire = ClientWire(relay)
        wire.send(head(f"POST {EMULATION_PATH} HTTP/1.1", "Host: x", "Content-Length: 10"))
        for _ in range(11):
            relay.pass_time(1)
        self.assertEqual(answers(wire.read())[0].status, 408)

    def test_body_in_chunks_is_read(self) -> None:
        relay = self.relay()
        client = EmulatedClient(relay)
        body = json.dumps({**{name: client.connect[name] for name in ("session", "node")}, "data": "{}"}).encode()
        wire = ClientWire(relay)
        wire.send(head(f"POST {EMULATION_PATH} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"))
        wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        self.assertEqual(answers(wire.read())[0].status, 204)

    def test_foreign_origin_is_403_and_an_allowed_one_may_send(self) -> None:
        relay = self.relay(origins=("https://page.example",))
        client = EmulatedClient(relay)
        body = json.dumps({**{name: client.connect[name] for name in ("session", "node")}, "data": "x"}).encode()
        self.assertEqual(post(relay, body, "Origin: https://evil.example").status, 403)
        self.assertFalse(client.wire.closed)
        answer = post(relay, body, "Origin: https://page.example")
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://page.example")
        self.assertEqual(answer.headers["access-control-allow-credentials"], "true")
        self.assert_disconnected(client, 3501)

    def test_browser_that_asks_first_is_told_the_method(self) -> None:
        relay = self.relay(origins=("https://page.example",))
        for field, method in (("Origin: https://page.example", "POST"), ("X: y", None)):
            answer = post(relay, b"", field, method="OPTIONS")
            self.assertEqual((answer.status, answer.headers["allow"]), (204, "POST, OPTIONS"))
            self.assertEqual(answer.headers.get("access-control-allow-methods"), method)

    def test_other_methods_are_405(self) -> None:
        answer = post(self.relay(), b"", method="GET")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST, OPTIONS"))

    def test_path_is_off_by_default_and_no_body_is_kept_then(self) -> None:
        self.assertEqual(post(self.relay(centrifugo=False), b"{}").status, 404)

    def test_client_that_leaves_before_the_answer_gets_none(self) -> None:
        relay = self.relay()
        client = EmulatedClient(relay)
        sent: Deferred[int] = Deferred()
        self.patch(relay.broker, "send_control", lambda *_arguments: sent)
        body = json.dumps({"session": client.connect["session"], "node": "f" * 16, "data": "{}"}).encode()
        wire = ClientWire(relay)
        wire.send(head(f"POST {EMULATION_PATH} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}") + body)
        wire.hang_up()
        sent.callback(1)
        self.assertEqual(wire.read(), b"")

    def test_failure_of_the_relay_is_told(self) -> None:
        relay = self.relay()
        client = EmulatedClient(relay)
        relay.broker.ready = False
        self.assertEqual(client.send({}, node="f" * 16).status, 503)
        relay.broker.ready = True
        self.patch(relay.broker, "send_control", lambda *_arguments: fail(ArithmeticError("broken")))
        self.assertEqual(client.send({}, node="f" * 16).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ArithmeticError)), 1)


class ProcessesTests(EmulationCase):
    """Messages that another process gets than the one that has the stream."""

    def relays(self, **settings: Any) -> list[InMemoryRelay]:
        """Build the relays of two processes."""
        brokers: dict[str, Any] = {}
        relays = [self.relay(LinkedBroker(Clock(), brokers), **settings) for _ in range(2)]
        for relay in relays:
            relay.broker.start()
        return relays

    def test_message_reaches_the_process_that_has_the_stream(self) -> None:
        one, other = self.relays()
        for is_sse in (True, False):
            client = EmulatedClient(one, through=other, is_sse=is_sse)
            self.assertEqual(client.connect["node"], one.broker.node_id)
            client.subscribe("a")
            one.publish(b"1", channel="a")
            self.assertEqual(client.documents(), [{"push": {"channel": "a", "pub": {"data": 1}}}])

    def test_messages_keep_their_order_and_long_ones_arrive(self) -> None:
        one, other = self.relays()
        client = EmulatedClient(one, through=other)
        names = [f"room-{number}-{'x' * 200}" for number in range(100)]
        for start in (0, 50):
            commands = [{"id": 2 + start + n, "subscribe": {"channel": names[start + n]}} for n in range(50)]
            self.assertEqual(client.send(*commands).status, 204)
        self.assertEqual([each["id"] for each in client.documents()], list(range(2, 102)))

    def test_message_of_the_largest_size_is_taken(self) -> None:
        one, other = self.relays()
        client = EmulatedClient(one, through=other)
        room = MAX_DROPPED_BYTES - len(json.dumps({**client.connect, "data": ""}))
        self.assertEqual(client.send({"id": 2, "publish": {"channel": "a", "data": "x" * room}}).status, 204)
        self.assertEqual([each["error"]["code"] for each in client.documents()], [103])

    def test_process_without_the_session_ignores_the_message(self) -> None:
        one, other = self.relays()
        client = EmulatedClient(one, through=other)
        for session in ("", "x" * 32):
            self.assertEqual(client.send({}, session=session).status, 204)
            self.assertEqual(client.send({}, session=session, node=other.broker.node_id).status, 204)
        self.assertEqual(client.documents(), [])

    def test_messages_of_an_address_for_other_processes_are_bounded_whatever_they_name(self) -> None:
        one, other = self.relays(max_forwarded_per_second=2.0)
        client = EmulatedClient(one, through=other)
        published: list[bytes] = []
        send: Any = one.broker.send_control

        def count(payload: bytes, node_id: str | None = None) -> Any:
            published.append(payload)
            return send(payload, node_id)

        self.patch(other.broker, "send_control", count)
        made_up = [client.send({}, node=f"{number:016x}").status for number in range(20)]
        self.assertEqual(made_up, [404] * 6 + [429] * 14)
        sessions = [client.send({}, session=f"{number:032x}").status for number in range(20)]
        self.assertEqual((sessions, len(published)), ([429] * 20, 6))
        # Messages for the process itself cost Redis nothing.
        self.assertEqual(client.send({}, node=other.broker.node_id).status, 204)
        other.pass_time(1)
        client.subscribe("a")

    def test_messages_to_other_processes_are_not_bounded_where_the_operator_says_so(self) -> None:
        one, other = self.relays(max_forwarded_per_second=0.0)
        client = EmulatedClient(one, through=other)
        self.assertEqual({client.send({}, node="f" * 16).status for _ in range(1000)}, {404})

    def test_failure_of_one_client_does_not_reach_the_broker(self) -> None:
        relay = self.relay()

        def fail_to_receive(_message: Message) -> None:
            raise ArithmeticError("broken in the test")

        session = relay.node.emulation.open(fail_to_receive)
        relay.node.control_received(EmulatedMessage(session, Message(b"{}")).to_bytes())
        self.assertEqual(len(self.flushLoggedErrors(ArithmeticError)), 1)
        relay.node.emulation.close(session)

    def test_malformed_control_message_is_ignored(self) -> None:
        relay = self.relay()
        for text in ("{}", '{"session": "a", "data": "*", "binary": true}', '{"session": "a", "data": ""}', "1"):
            relay.node.control_received(b'{"emulated": %b}' % text.encode())
        relay.node.control_received(b'{"emulated":"%b"}' % (b"x" * MAX_EMULATED_BYTES))


class RealSocketTests(RealEdgeCase):
    """A stream and its messages over sockets."""

    async def test_message_over_a_connection_of_its_own_is_answered_on_the_stream(self) -> None:
        relay = await self.open(centrifugo=True, channels=("*",))
        stream = await self.connect()
        body = json.dumps(CONNECT).encode()
        stream.write(head(f"POST {LINES} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}") + body)
        connect = json.loads((await stream.until(b"}}\n")).partition(b"\r\n\r\n")[2])["connect"]
        data = json.dumps({"id": 2, "subscribe": {"channel": "a"}})
        body = json.dumps({"session": connect["session"], "node": connect["node"], "data": data}).encode()
        sender = await self.connect()
        sender.write(head(f"POST {EMULATION_PATH} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"))
        await self.next_turn()
        sender.write(body)
        self.assertEqual(await stream.until(b"}\n"), b'{"id":2,"subscribe":{}}\n')
        await sender.ended
        self.assertTrue(sender.data.startswith(b"HTTP/1.1 204 "))
        relay.broker.publish("a", b"1")
        self.assertEqual(await stream.until(b"}\n"), b'{"push":{"channel":"a","pub":{"data":1}}}\n')
