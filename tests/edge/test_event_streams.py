"""Event streams at the edge: recovery and credentials, the whole relay in memory, and a real client with a socket."""

from __future__ import annotations

import json
import shutil
from random import Random
from typing import Any
from unittest import SkipTest

import jwt
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.support.edge import REACTOR, EdgeCase, RealEdgeCase
from tests.support.event_source import Event, EventStreamParser, StreamClient
from tests.support.in_memory_relay import InMemoryRelay
from tests.support.polling import DEADLINE_SECONDS
from wsrelay.core.access.secret import Secret
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import ApplicationDisconnect, Disconnect

KEY = "k" * 40
TICKET = "t" * 32
NAMESPACES = (
    Namespace("history", ("a*",), history_size=50, history_seconds=3600),
    Namespace("latest", ("l*",), history_size=50, history_seconds=3600, slow_consumer_policy=SlowPolicy.LATEST),
    Namespace("binary", ("b*",), history_size=50, history_seconds=3600, frames=FrameType.BINARY),
    Namespace("plain", ("p*",)),
    Namespace("room", ("room",), Access.AUTHENTICATED),
)


class EventSource:
    """A client that comes back with the last event ID whenever its connection has ended, as a browser does.

    Args:
        relay: The relay.
        target: The path and the query of its URL, which it repeats.

    Attributes:
        events: The events that its page was told of, over all connections.
        client: Its present connection.
    """

    def __init__(self, relay: InMemoryRelay, target: str) -> None:
        self._relay = relay
        self._target = target
        self.events: list[Event] = []
        self.client = StreamClient(relay, target)
        self.read()

    def come_back(self) -> None:
        """Lose the connection, without the events that have not been read, and make another one."""
        self.client.wire.hang_up()
        self.client = StreamClient(self._relay, self._target, last_event_id=self.client.parser.last_event_id)
        self._relay.turn()
        self.read()

    def read(self) -> None:
        """Take the events that have come."""
        self._relay.turn()
        while self.client.read():
            pass
        self.events += self.client.parser.events
        self.client.parser.events = []

    def of(self, kind: str) -> list[str]:
        """Return the data of all events of a type."""
        return [event.data for event in self.events if event.type == kind]


class RecoveryCase(EdgeCase):
    """A relay some of whose channels have history."""

    def history_relay(self, **more: Any) -> InMemoryRelay:
        """Return the relay."""
        return self.relay(namespaces=NAMESPACES, **more)

    def add(self, relay: InMemoryRelay, channel: str, *payloads: bytes) -> None:
        """Add entries to a channel's stream as a program does."""
        retention = relay.node.namespaces.rule(channel)
        assert retention is not None
        for payload in payloads:
            relay.broker.history.append(channel, payload, retention.retention)
        relay.turn()


class RecoveryTests(RecoveryCase):
    """Clients that lose their connection and come back."""

    def test_what_was_missed_comes_once_and_in_order(self) -> None:
        relay = self.history_relay()
        self.add(relay, "a", b"before")
        source = EventSource(relay, "/sse/a")
        self.add(relay, "a", b"1", b"2")
        source.read()
        source.client.wire.hang_up()
        self.add(relay, "a", b"3", b"4")
        source.come_back()
        self.add(relay, "a", b"5")
        source.read()
        self.assertEqual(source.of("message"), ["1", "2", "3", "4", "5"])
        self.assertEqual(source.of("gap"), [])

    def test_confirmation_has_the_first_position_so_that_what_is_missed_before_a_publication_comes(self) -> None:
        relay = self.history_relay()
        for content in ((), (b"old",)):
            self.add(relay, "a", *content)
            source = EventSource(relay, "/sse/a")
            self.assertEqual([event.type for event in source.events], ["subscribed"])
            self.assertEqual(source.events[0].last_event_id, source.client.parser.last_event_id)
            self.assertNotEqual(source.events[0].last_event_id, "")
            source.client.wire.hang_up()
            self.add(relay, "a", b"new")
            source.come_back()
            self.assertEqual((source.of("message"), source.of("gap")), (["new"], []))

    def test_several_channels_recover_each_from_its_own_position(self) -> None:
        relay = self.history_relay()
        source = EventSource(relay, "/sse/a1?channel=p&channel=a2")
        self.add(relay, "a1", b"1")
        self.add(relay, "a2", b"2")
        relay.publish(b"plain", channel="p")
        source.read()
        source.client.wire.hang_up()
        self.add(relay, "a2", b"3")
        self.add(relay, "a1", b"4", b"5")
        relay.publish(b"gone", channel="p")
        source.come_back()
        self.assertEqual((source.of("message:a1"), source.of("message:a2")), (["1", "4", "5"], ["2", "3"]))
        self.assertEqual(source.of("message:p"), ["plain"])
        self.assertEqual(source.of("gap"), ['{"channel":"p","reason":"no_history"}'])

    def test_confirmations_of_several_channels_have_the_positions_of_all_of_them(self) -> None:
        relay = self.history_relay()
        source = EventSource(relay, "/sse/a1?channel=p&channel=a2")
        ids = [event.last_event_id.split(",") for event in source.events if event.type == "subscribed"]
        self.assertEqual([len(each) for each in ids], [3, 3, 3])
        self.assertNotIn("-", [each[0] for each in ids])
        source.client.wire.hang_up()
        self.add(relay, "a2", b"1")
        source.come_back()
        self.assertEqual(
            (source.of("message:a2"), source.of("gap")), (["1"], ['{"channel":"p","reason":"no_history"}'])
        )

    def test_connection_that_ends_while_channels_are_being_subscribed_costs_no_position(self) -> None:
        relay = self.history_relay()
        source = EventSource(relay, "/sse/a1?channel=a2")
        self.add(relay, "a1", b"1")
        self.add(relay, "a2", b"2")
        source.read()
        before = source.client.parser.last_event_id
        source.client.wire.hang_up()
        self.add(relay, "a2", b"3")
        history, read = relay.broker.history, relay.broker.history.read
        history.read = lambda channel, *arguments: Deferred() if channel == "a2" else read(channel, *arguments)
        history.look = lambda *_arguments: Deferred()
        relay.pass_time(6)  # The channels linger no more: what has been read is gone.
        source.come_back()
        self.assertEqual(source.client.parser.last_event_id.split(",")[1], before.split(",")[1])
        del history.read, history.look
        source.client.wire.hang_up()
        relay.pass_time(6)
        source.come_back()
        self.assertEqual((source.of("message:a2"), source.of("gap")), (["2", "3"], []))

    def test_trimmed_stream_is_a_gap_and_what_is_left_follows(self) -> None:
        relay = self.history_relay()
        source = EventSource(relay, "/sse/a")
        self.add(relay, "a", b"first")
        source.read()
        source.client.wire.hang_up()
        relay.pass_time(6)
        count = NAMESPACES[0].retention.burst_size + 10
        self.add(relay, "a", *[b"%d" % number for number in range(count)])
        source.come_back()
        self.assertEqual(source.of("gap"), ['{"channel":"a","reason":"trimmed"}'])
        self.assertEqual(source.of("message")[-50:], [str(number) for number in range(count - 50, count)])

    def test_newest_come_first_if_the_url_asks_and_not_again_on_return(self) -> None:
        relay = self.history_relay()
        self.add(relay, "a", b"1", b"2", b"3")
        source = EventSource(relay, "/sse/a?history=2")
        source.come_back()
        self.assertEqual(source.of("message"), ["2", "3"])

    def test_position_of_a_page_that_was_loaded_again_is_in_the_query(self) -> None:
        relay = self.history_relay()
        source = EventSource(relay, "/sse/a")
        self.add(relay, "a", b"1")
        source.read()
        self.add(relay, "a", b"2")
        again = EventSource(relay, f"/sse/a?since={source.events[-1].last_event_id}")
        self.assertEqual(again.of("message"), ["2"])

    def test_entries_that_are_no_text_are_passed_by_or_sent_in_base64(self) -> None:
        relay = self.history_relay()
        for channel, expected in (("a", ["text"]), ("b", ["/w==", "dGV4dA=="])):
            source = EventSource(relay, f"/sse/{channel}")
            source.client.wire.hang_up()
            self.add(relay, channel, b"\xff", b"text")
            source.come_back()
            self.assertEqual((source.of("message"), source.of("gap")), (expected, []))
            source.come_back()
            self.assertEqual(source.of("message"), expected)

    @settings(max_examples=60)
    @given(st.randoms(use_true_random=False), st.integers(0, 10**6))
    def test_nothing_is_missed_or_doubled_whenever_connections_end(self, choices: Random, seed: int) -> None:
        relay = InMemoryRelay(rng=Random(seed), namespaces=NAMESPACES, max_outbox_bytes=20_000)
        channels = ["a1", "a2", "a3"]
        sources = [EventSource(relay, target) for target in ("/sse/a1", "/sse/a1?channel=a2&channel=a3")]
        added: dict[str, list[str]] = {channel: [] for channel in channels}
        for number in range(30):
            channel = choices.choice(channels)
            payload = f"{number}" + "x" * choices.choice((0, 0, 3000, 30_000))
            added[channel].append(payload)
            self.add(relay, channel, payload.encode())
            for source in sources:
                what = choices.random()
                if what < 0.3:
                    source.read()
                elif what < 0.5:
                    self.cut(source, choices)
        for source in sources:
            source.read()
            if source.client.wire.closed:
                source.come_back()
        one, several = sources
        self.assertEqual((one.of("gap"), several.of("gap")), ([], []))
        self.assertEqual(one.of("message"), added["a1"])
        self.assertEqual({channel: several.of(f"message:{channel}") for channel in channels}, added)
        self.assertEqual(relay.leftovers(), [])

    @staticmethod
    def cut(source: EventSource, choices: Random) -> None:
        """End a connection in the middle of what is on its way."""
        transport = source.client.wire.transport
        waiting = transport.value()
        transport.clear()
        transport.io.write(waiting[: choices.randint(0, len(waiting))])
        source.client.read()
        source.events += source.client.parser.events
        source.client.parser.events = []
        source.come_back()


class PresenceTests(RecoveryCase):
    """Joins and leaves on streams."""

    def test_joins_and_leaves_are_told_where_the_namespace_announces_them(self) -> None:
        rooms = Namespace("rooms", ("room*",), presence=True, join_leave=True)
        relay = self.relay(namespaces=(rooms, Namespace("quiet", ("quiet",), presence=True)))
        first = EventSource(relay, "/sse/room1?channel=quiet")
        second = EventSource(relay, "/sse/room1?channel=room2")
        relay.pass_time(1)
        second.client.wire.hang_up()
        relay.pass_time(30)
        first.read()
        joined, left = ([json.loads(data) for data in first.of(kind)] for kind in ("join", "leave"))
        self.assertEqual([document["channel"] for document in (*joined, *left)], ["room1"] * 3)
        self.assertEqual(left, [joined[-1]])
        self.assertEqual({*left[0]}, {"channel", "client", "user"})


class CredentialTests(RecoveryCase):
    """Streams of clients with a credential."""

    def relay_with_credentials(self, **more: Any) -> InMemoryRelay:
        """Return a relay with a ticket and a key for tokens."""
        relay = self.history_relay(token_keys=Secret(KEY), token_cookie="session", **more)
        relay.broker.credentials.create(TICKET, json.dumps({"sub": "42"}).encode(), 30)
        return relay

    def token(self, relay: InMemoryRelay, seconds: float = 60) -> str:
        """Return a token that expires after so many seconds."""
        return jwt.encode({"sub": "42", "exp": relay.clock.seconds() + seconds}, KEY, "HS256")

    def test_token_in_the_header_ticket_in_the_url_and_cookie_of_an_allowed_origin_are_accepted(self) -> None:
        relay = self.relay_with_credentials(origins=("https://a.example",))
        token = self.token(relay)
        cookie, origin = f"Cookie: session={token}", "Origin: https://a.example"
        self.assertEqual(StreamClient(relay, "/sse/room").status, 401)
        self.assertEqual(StreamClient(relay, "/sse/room", f"Authorization: Bearer {token}").status, 200)
        self.assertEqual(StreamClient(relay, "/sse/room", cookie, origin).status, 200)
        self.assertEqual(StreamClient(relay, "/sse/room", cookie).status, 403)
        self.assertEqual(StreamClient(relay, f"/sse/room?token={token}").status, 401)
        client = StreamClient(relay, f"/sse/room?ticket={TICKET}")
        self.assertEqual((client.status, len(client.headers["x-connection-id"])), (200, 16))
        self.assertNotIn(TICKET, repr(client.headers))

    def test_cookie_of_a_page_of_the_same_origin_is_accepted(self) -> None:
        relay = self.relay_with_credentials()
        cookie = f"Cookie: session={self.token(relay)}"
        self.assertEqual(StreamClient(relay, "/sse/room", cookie, "Sec-Fetch-Site: same-origin").status, 200)
        self.assertEqual(StreamClient(relay, "/sse/room", cookie, "Sec-Fetch-Site: cross-site").status, 403)

    def test_spent_ticket_is_final(self) -> None:
        relay = self.relay_with_credentials()
        StreamClient(relay, f"/sse/room?ticket={TICKET}")
        self.assertEqual(StreamClient(relay, f"/sse/room?ticket={TICKET}").status, 401)

    def test_end_of_a_stream_with_a_ticket_asks_for_a_new_one_and_names_the_position(self) -> None:
        for disconnect in (Disconnect.RESTART, Disconnect.SLOW, Disconnect.REVOKED, Disconnect.TOO_FAST):
            relay = self.relay_with_credentials()
            client = StreamClient(relay, f"/sse/a?ticket={TICKET}")
            self.add(relay, "a", b"1")
            (message,) = [event for event in client.read() if event.type == "message"]
            client.wire.transport.protocol.close(disconnect)
            (event,) = client.read()
            self.assertEqual((event.type, event.last_event_id), ("credential", message.last_event_id))
            self.assertEqual(json.loads(event.data), {"code": disconnect.code, "reason": disconnect.reason})
            self.assertTrue(client.wire.closed)

    def test_expiry_and_revocation_are_told_by_an_event(self) -> None:
        relay = self.relay_with_credentials()
        client = StreamClient(relay, "/sse/room", f"Authorization: Bearer {self.token(relay, 20)}")
        relay.pass_time(32)
        self.assertEqual(client.events("credential"), ['{"code":4502,"reason":"credential expired"}'])
        client = StreamClient(relay, "/sse/room", f"Authorization: Bearer {self.token(relay, 100)}")
        relay.node.control_received(b'{"disconnect": {"user": "42"}}')
        relay.turn()
        self.assertEqual(client.events("credential"), ['{"code":4505,"reason":"disconnected by the application"}'])

    def test_close_of_the_application_has_its_own_code_and_reason(self) -> None:
        relay = self.relay_with_credentials()
        for code, kinds in ((4999, ["close"]), (4400, [])):
            client = StreamClient(relay, "/sse/room", f"Authorization: Bearer {self.token(relay, 100)}")
            client.read()
            client.wire.transport.protocol.close(ApplicationDisconnect(code, "in\nits own words"))
            events = client.read()
            self.assertEqual([event.type for event in events], kinds)
            for event in events:
                self.assertEqual(json.loads(event.data), {"code": code, "reason": "in\nits own words"})
            self.assertTrue(client.wire.closed)

    def test_client_that_is_to_reconnect_is_told_nothing_but_when(self) -> None:
        relay = self.relay_with_credentials()
        client = StreamClient(relay, "/sse/room", f"Authorization: Bearer {self.token(relay)}")
        relay.node.control_received(b'{"disconnect": {"user": "42"}, "reconnect": true}')
        relay.turn()
        self.assertEqual(client.read(), [])
        self.assertTrue(client.wire.closed)


class _Curl(ProcessProtocol):
    """A running curl.

    Attributes:
        output: What it has printed.
        ended: Fires with its status when it has ended.
    """

    def __init__(self, until: bytes) -> None:
        self.output = b""
        self.ended: Deferred[int] = Deferred()
        self.seen: Deferred[None] = Deferred()
        self.seen.addTimeout(DEADLINE_SECONDS, REACTOR)
        self._until = until

    def outReceived(self, data: bytes) -> None:
        self.output += data
        self.wait_for(self._until)

    def wait_for(self, text: bytes) -> Deferred[None]:
        """Return a Deferred that fires when the output has this text."""
        if text != self._until:
            self._until, self.seen = text, Deferred()
            self.seen.addTimeout(DEADLINE_SECONDS, REACTOR)
        if text in self.output and not self.seen.called:
            self.seen.callback(None)
        return self.seen

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 -- Twisted's name
        found: Any = reason.value
        assert isinstance(found, ProcessDone | ProcessTerminated)
        self.ended.callback(0 if isinstance(found, ProcessDone) else found.exitCode)


class RealClientTests(RealEdgeCase):
    """Clients with sockets."""

    async def test_curl_prints_events_as_they_come_and_ends_well(self) -> None:
        found = shutil.which("curl")
        if found is None:
            raise SkipTest("curl is not installed")
        for tls in (False, True):
            relay = await self.open(tls=tls, namespaces=NAMESPACES, channels=())
            port = self._port.getHost().port
            url = f"{'https' if tls else 'http'}://relay.example:{port}/sse/a?channel=p"
            curl = _Curl(b'data: {"channel":"p"}\n\n')
            address = f"relay.example:{port}:127.0.0.1"
            # The contexts that these tests make answer ALPN with an alert; those of the relay do not.
            options = ("--silent", "--no-buffer", "--insecure", "--include", "--no-alpn")
            arguments = [found, *options, "--resolve", address, url]
            REACTOR.spawnProcess(curl, found, arguments, env={})
            await curl.wait_for(b'data: {"channel":"p"}\n\n')
            relay.broker.publish("p", b"one\ntwo")
            await curl.wait_for(b"event: message:p\ndata: one\ndata: two\n\n")
            self.assertTrue(curl.output.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"))
            for connection in relay.connections.open_connections():
                connection.close(Disconnect.RESTART)
            self.assertEqual(await curl.ended, 0)
            self.assertRegex(curl.output.decode(), r"retry: [0-9]+\n\n\Z")
            await self.wait_until_empty(relay)

    async def test_slow_reader_over_a_socket_is_ended_and_released(self) -> None:
        for target in ("/sse/room", "/sse/room?channel=other"):
            relay = await self.open(max_outbox_bytes=100_000, close_timeout_seconds=1)
            client = await self.connect()
            client.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await client.until(b"}\n\n")
            client.transport.pauseProducing()
            for _ in range(200):
                relay.node.publications_received([Publication("room", b"x" * 65536)])
                await self.next_turn()
            await self.wait_until_empty(relay)
            self.assertEqual(dict(relay.node.counters.connections_closed), {4008: 1})
            client.transport.resumeProducing()
            await client.ended

    async def test_stream_is_valid_text_however_it_is_cut_into_packets(self) -> None:
        relay = await self.open()
        client = await self.connect()
        client.write(b"GET /sse/room HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.until(b'{"channel":"room"}\n\n')
        parser = EventStreamParser()
        for number in range(500):
            relay.node.publications_received([Publication("room", f"\u00fc{number}\r\nx".encode())])
        relay.node.publications_received([Publication("room", b"end")])
        parser.feed(await client.until(b"data: end\n\n"))
        expected = [Event(f"\u00fc{number}\nx") for number in range(500)]
        self.assertEqual(parser.events, [*expected, Event("end")])
