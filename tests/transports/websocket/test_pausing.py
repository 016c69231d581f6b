"""Tests of wsrelay.transports.websocket.pausing: clients that are read no further for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from devtools.harness.http import client_frame, upgrade
from tests.support.edge import EdgeCase, RealEdgeCase, TCPClient
from tests.support.in_memory_relay import InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.testing.brokers import FakeBroker


def texts(*messages: bytes) -> bytes:
    """Return messages as a client sends them."""
    return b"".join(client_frame(0x81, message) for message in messages)


class PausingCase(EdgeCase):
    """A relay whose broker has enough to do or not, as the test says."""

    def start(self, **settings: Any) -> tuple[InMemoryRelay, FakeBroker]:
        """Return a relay, in which every channel may be published to, and its broker."""
        broker = FakeBroker()
        return self.relay(broker, publish=("*",), **settings), broker

    def connect(self, relay: InMemoryRelay, path: str = "/ws/room") -> WebSocketClient:
        """Return a client that is connected."""
        client = WebSocketClient(relay, path)
        client.send_handshake()
        relay.broker.sink.subscribed(path.rpartition("/")[2])
        client.read()
        return client

    @staticmethod
    def press(relay: InMemoryRelay) -> None:
        """Let the broker have enough to do."""
        relay.node.pressure_changed(is_high=True)

    @staticmethod
    def relieve(relay: InMemoryRelay) -> None:
        """Let the broker take more, and let the turn pass in which that counts."""
        relay.node.pressure_changed(is_high=False)
        relay.turn()

    @staticmethod
    def is_read(client: WebSocketClient) -> bool:
        """Return whether the client's transport is read."""
        return bool(client.wire.transport.producerState == "producing")

    def assert_published(self, broker: FakeBroker, messages: Sequence[bytes]) -> None:
        """Assert that these messages have been published."""
        self.assertEqual([each.data for each in broker.published], messages)


class PressureTests(PausingCase):
    """A broker that has enough to do."""

    def test_client_that_publishes_is_not_read_and_nothing_of_it_is_lost_or_out_of_order(self) -> None:
        relay, broker = self.start()
        client = self.connect(relay)
        self.press(relay)
        client.wire.send(texts(b"1", b"2", b"3"))
        self.assertFalse(self.is_read(client))
        # What TLS had decrypted already.
        client.wire.send(texts(b"4")[:3])
        client.wire.send(texts(b"4")[3:])
        self.assert_published(broker, [])
        self.relieve(relay)
        self.assert_published(broker, [b"1", b"2", b"3", b"4"])
        self.assertTrue(self.is_read(client))
        client.wire.send(texts(b"5"))
        self.assert_published(broker, [b"1", b"2", b"3", b"4", b"5"])

    def test_transport_is_read_until_something_comes_in_the_pause(self) -> None:
        """Most pauses are over before that."""
        relay, broker = self.start()
        client = self.connect(relay)
        self.press(relay)
        client.wire.send(texts(b"1"))
        self.assertTrue(self.is_read(client))
        client.wire.send(texts(b"2")[:1])
        self.assertFalse(self.is_read(client))
        self.relieve(relay)
        self.assertTrue(self.is_read(client))
        client.wire.send(texts(b"2")[1:])
        self.assert_published(broker, [b"1", b"2"])

    def test_rest_of_a_read_is_left_alone_when_pressure_comes_in_its_midst(self) -> None:
        relay, broker = self.start()
        client = self.connect(relay)
        publish = broker.post

        def post(channel: str, data: bytes, done: Any) -> None:
            publish(channel, data, done)
            if len(broker.published) % 2 == 0:
                self.press(relay)

        self.patch(broker, "post", post)
        messages = [b"%d" % number for number in range(7)]
        client.wire.send(texts(*messages))
        for count in (2, 4, 6, 7):
            self.assert_published(broker, messages[:count])
            self.assertEqual(self.is_read(client), count >= 6)
            self.relieve(relay)

    def test_frame_of_which_a_part_has_come_is_completed_afterwards(self) -> None:
        relay, broker = self.start()
        client = self.connect(relay)
        self.press(relay)
        data = texts(b"1", b"2" * 200)
        client.wire.send(data[:-100])
        self.relieve(relay)
        self.assert_published(broker, [b"1"])
        client.wire.send(data[-100:])
        self.assert_published(broker, [b"1", b"2" * 200])

    def test_fragment_before_the_pause_and_one_behind_it_are_one_message(self) -> None:
        relay, broker = self.start()
        client = self.connect(relay)
        self.press(relay)
        client.wire.send(texts(b"1") + client_frame(0x01, b"first "))
        client.wire.send(client_frame(0x80, b"second"))
        self.relieve(relay)
        self.assert_published(broker, [b"1", b"first second"])

    def test_pause_that_ends_within_the_message_that_began_it_changes_nothing(self) -> None:
        relay, _ = self.start()
        client = self.connect(relay)
        connection: Any = client.wire.connection
        received: list[bytes] = []

        class Brief:
            """In place of the connection's client."""

            def received(self, message: Message) -> None:
                received.append(message.data)
                connection.pause_reading()
                connection.resume_reading()

        real, connection._client = connection._client, Brief()
        # By the short way, and by Autobahn's.
        client.wire.send(texts(b"1", b"2") + client_frame(0x01, b"3") + client_frame(0x80, b"") + texts(b"4"))
        client.wire.send(client_frame(0x01, b"5") + client_frame(0x80, b"6") + texts(b"7", b"8")[:-1])
        client.wire.send(texts(b"8")[-1:])
        self.assertEqual(received, [b"1", b"2", b"3", b"4", b"56", b"7", b"8"])
        connection._client = real

    def test_others_go_on_as_if_nothing_were(self) -> None:
        relay, _ = self.start()
        publisher, listener = self.connect(relay), self.connect(relay)
        self.press(relay)
        publisher.wire.send(texts(b"1", b"2"))
        relay.node.publications_received([Publication("room", b"news")])
        for client in (publisher, listener):
            self.assertEqual(client.messages(), [b"news"])
        listener.wire.send(client_frame(0x89, b"ping"))
        self.assertEqual([bytes(frame.data) for frame in listener.read()], [b"ping"])
        self.assertEqual((self.is_read(publisher), self.is_read(listener)), (False, True))

    def test_clients_are_served_in_the_order_in_which_they_were_paused(self) -> None:
        relay, broker = self.start()
        clients = [self.connect(relay) for _ in range(3)]
        self.press(relay)
        for number in (2, 0, 1):
            clients[number].wire.send(texts(b"%d" % number))
        self.relieve(relay)
        self.assert_published(broker, [b"2", b"0", b"1"])

    def test_pauses_are_counted_with_their_seconds(self) -> None:
        relay, _ = self.start()
        client = self.connect(relay)
        self.press(relay)
        client.wire.send(texts(b"1", b"2"))
        relay.pass_time(2)
        self.assertEqual(len(relay.connections.paused), 1)
        self.relieve(relay)
        counters = relay.node.counters
        self.assertEqual((counters.reading_pauses, counters.reading_paused_seconds), (1, 2.0))
        self.assertEqual(len(relay.connections.paused), 0)

    def test_what_piles_up_in_a_pause_is_within_the_rate_afterwards(self) -> None:
        relay, broker = self.start(max_frames_per_second=10)
        client = self.connect(relay)
        self.press(relay)
        client.wire.send(texts(b"x"))
        client.wire.send(texts(*[b"x"] * 200))
        relay.pass_time(20)
        self.relieve(relay)
        self.assertEqual((len(broker.published), client.close_received), (201, None))
        client.wire.send(texts(*[b"x"] * 40))
        client.read()
        self.assertEqual(client.close_received, (1008, "rate limit exceeded"))


class PingTests(PausingCase):
    """Clients whose pong stands behind what is not read."""

    def test_client_is_not_ended_for_a_pong_that_is_not_read(self) -> None:
        relay, _ = self.start(ping_interval_seconds=5, ping_timeout_seconds=2)
        client = self.connect(relay)
        self.press(relay)
        client.wire.send(texts(b"1", b"2"))
        relay.pass_time(30)
        client.read()
        client.flush()
        self.assertFalse(client.wire.closed)
        self.relieve(relay)
        relay.pass_time(4)
        self.assertFalse(client.wire.closed)

    def test_client_that_is_gone_is_ended_some_time_after_the_pause(self) -> None:
        relay, _ = self.start(ping_interval_seconds=5, ping_timeout_seconds=2)
        client = self.connect(relay)
        self.press(relay)
        client.wire.send(texts(b"1", b"2"))
        relay.pass_time(10)
        self.relieve(relay)
        relay.pass_time(12)
        self.assertTrue(client.wire.closed)


class EndTests(PausingCase):
    """Connections that end while they are not read."""

    def paused_client(self) -> tuple[InMemoryRelay, FakeBroker, WebSocketClient]:
        """Return a relay, its broker, and a client that is not read."""
        relay, broker = self.start(close_timeout_seconds=3)
        client = self.connect(relay)
        self.press(relay)
        client.wire.send(texts(b"1", b"2"))
        return relay, broker, client

    def assert_left_nothing(self, relay: InMemoryRelay, broker: FakeBroker) -> None:
        self.relieve(relay)
        self.assert_published(broker, [])
        self.assertEqual((len(relay.node.inflow), len(relay.connections.paused)), (0, 0))

    def test_client_that_is_lost_leaves_nothing_behind(self) -> None:
        relay, broker, client = self.paused_client()
        client.wire.hang_up()
        self.assert_left_nothing(relay, broker)

    def test_close_of_the_relay_is_completed_by_the_answer_of_the_client(self) -> None:
        for disconnect in (Disconnect.RESTART, Disconnect.REVOKED):
            relay, broker, client = self.paused_client()
            client.wire.connection.close(disconnect)
            client.read()
            self.assertEqual(client.close_received, (disconnect.code, disconnect.reason))
            client.flush()
            client.read()
            self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, False))
            self.assert_left_nothing(relay, broker)

    def test_close_of_the_relay_meets_a_close_frame_that_was_read_and_not_looked_at(self) -> None:
        relay, broker, client = self.paused_client()
        client.wire.send(client_frame(0x88, (1000).to_bytes(2)))
        client.wire.connection.close(Disconnect.RESTART)
        client.read()
        self.assertEqual(client.close_received, (1012, "service restart"))
        relay.pass_time(1)
        client.read()
        self.assertEqual((client.wire.closed, client.wire.transport.aborted), (True, False))
        self.assert_left_nothing(relay, broker)

    def test_close_frame_behind_all_that_piled_up_is_the_answer_to_that_of_the_relay(self) -> None:
        relay, _ = self.start(max_frames_per_second=10)
        client = self.connect(relay)
        self.press(relay)
        client.wire.send(texts(b"x"))
        client.wire.send(texts(*[b"x"] * 200))
        relay.pass_time(20)
        connection: Any = client.wire.connection
        connection.close(Disconnect.RESTART)
        client.read()
        client.flush()
        relay.pass_time(1)
        self.assertEqual((client.close_received, connection.wasClean), ((1012, "service restart"), True))

    def test_close_frame_of_the_client_is_answered_behind_its_messages(self) -> None:
        relay, broker, client = self.paused_client()
        client.wire.send(client_frame(0x88, (1000).to_bytes(2)))
        self.assertIsNone(client.close_received)
        self.relieve(relay)
        self.assert_published(broker, [b"1", b"2"])
        client.read()
        self.assertEqual((client.close_received, client.wire.closed), ((1000, ""), True))

    def test_client_that_does_not_answer_a_close_is_reset(self) -> None:
        relay, broker, client = self.paused_client()
        client.wire.connection.close(Disconnect.RESTART)
        client.read()
        relay.pass_time(4)
        self.assertTrue(client.wire.transport.aborted)
        self.assert_left_nothing(relay, broker)

    def test_drain_ends_clients_that_are_not_read(self) -> None:
        relay, broker, client = self.paused_client()
        relay.connections.start_draining()
        for connection in relay.connections.open_connections():
            connection.close(Disconnect.RESTART)
        client.read()
        client.flush()
        self.assertTrue(client.wire.closed)
        self.assert_left_nothing(relay, broker)

    def test_broker_that_goes_away_closes_those_whose_messages_wait(self) -> None:
        relay, broker, client = self.paused_client()
        broker.ready = False
        self.relieve(relay)
        client.read()
        self.assertEqual(client.close_received, (1013, "not published, try again later"))
        client.flush()
        client.read()
        self.assertTrue(client.wire.closed)

    def test_pause_of_a_connection_that_is_closing_has_no_effect(self) -> None:
        relay, _, client = self.paused_client()
        self.relieve(relay)
        connection = client.wire.connection
        connection.close(Disconnect.RESTART)
        connection.pause_reading()
        connection.resume_reading()
        client.read()
        client.flush()
        self.assertTrue(client.wire.closed)


class OutboxTests(PausingCase):
    """Clients that do not read what they cause."""

    def test_client_whose_outbox_fills_is_not_read_until_it_has_caught_up(self) -> None:
        relay = self.relay(publish=("*",), max_outbox_bytes=400_000)
        client = WebSocketClient(relay).connect()
        messages = [b"%d" % (number % 10) * 30_000 for number in range(30)]
        rest, received = list(messages), list[bytes]()
        while rest and self.is_read(client):
            client.wire.send(texts(rest.pop(0)))
            relay.turn()
        self.assertGreater(len(rest), 15)
        for _ in range(100):
            received += client.messages()
            if rest and self.is_read(client):
                client.wire.send(texts(rest.pop(0)))
            relay.turn()
        self.assertEqual((received == messages, client.close_received), (True, None))

    def test_client_that_never_reads_is_closed_as_slow(self) -> None:
        relay = self.relay(publish=("*",), max_outbox_bytes=400_000, max_outbox_seconds=5)
        client = WebSocketClient(relay).connect()
        while self.is_read(client):
            client.wire.send(texts(b"x" * 30_000))
            relay.turn()
        relay.pass_time(6)
        while client.read():
            pass
        self.assertEqual(client.close_received, (4008, "slow consumer, reconnect"))


class RealSocketTests(RealEdgeCase):
    """Sockets that are not read, with TLS and without."""

    MESSAGES = 20_000
    """More than one read brings, and than the kernel keeps."""

    async def publish_much(self, relay: InMemoryRelay) -> tuple[list[bytes], TCPClient]:
        """Connect a client that sends much while there is pressure; return what is published, and the client."""
        published: list[bytes] = []

        def post(_channel: str, data: bytes, done: Any) -> None:
            published.append(data)
            done(None)

        self.patch(relay.broker, "post", post)
        client = await self.connect()
        client.write(upgrade("/ws/room"))
        await client.until(b"\r\n\r\n")
        relay.node.pressure_changed(is_high=True)
        client.write(texts(*[b"%d" % number for number in range(self.MESSAGES)]))
        while not len(relay.connections.paused):
            await self.next_turn()
        return published, client

    async def test_everything_arrives_in_order_after_the_pause(self) -> None:
        for tls in (False, True):
            relay = await self.open(
                tls=tls, publish=("room",), channels=("room",), max_frames_per_second=1e6, max_bytes_per_second=1e9
            )
            published, client = await self.publish_much(relay)
            for _ in range(20):
                await self.next_turn()
            (connection,) = relay.open_websockets
            # What was read: two reads, and what TLS had decrypted.
            self.assertLess(len(connection.data), 3 * 65536)
            self.assertEqual(published, [])
            relay.node.pressure_changed(is_high=False)
            while len(published) < self.MESSAGES:
                await self.next_turn()
            self.assertEqual(published, [b"%d" % number for number in range(self.MESSAGES)])
            self.assertEqual(len(relay.connections.paused), 0)
            await self._hang_up(client)

    async def test_close_in_a_pause_reaches_the_client_and_its_end_is_seen(self) -> None:
        for tls in (False, True):
            relay = await self.open(tls=tls, publish=("room",), channels=("room",), close_timeout_seconds=5)
            published, client = await self.publish_much(relay)
            (connection,) = relay.open_websockets
            connection.close(Disconnect.RESTART)
            await client.ended
            self.assertIn((1012).to_bytes(2) + b"service restart", client.data)
            self.assertEqual((client.was_reset, published), (False, []))
