"""Tests of wsrelay.transports.flat_audience: every client gets what it would get one by one, and nobody else's."""

from __future__ import annotations

import sys
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fake_ring import FakeRing, bulk_over
from tests.support.fake_socket import FakeSocket, FakeTCPConnection
from tests.support.fanout import LineDialect, LineSubscriber, Turns
from wsrelay.config import Settings
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.hub import BULK_STEP, Hub
from wsrelay.engine.timers import TimerWheel
from wsrelay.engine.topic import SMALL_AUDIENCE, Audience, Subscriber
from wsrelay.transports.flat_audience import BulkSending, FlatAudience
from wsrelay.transports.io_uring import MAX_DATA_BYTES
from wsrelay.transports.writer import ConnectionWriter, ConnectionWriters

CROWD = 3 * BULK_STEP
LIMIT = 2000
"""The most bytes that may wait for one client here."""

SEEDS = 8
STEPS = 120


class Client:
    """A connection, and what its client has received. Implements `Owner`.

    Args:
        case: The test that it belongs to.
    """

    def __init__(self, case: FlatAudienceCase) -> None:
        self.case = case
        self.pipe = FakeTCPConnection(case.clock, FakeSocket())
        case.ring.add(self.pipe.kernel)
        self.kernel = self.pipe.kernel
        self.pipe.protocol = self  # type: ignore[assignment]  # it is only told of the end
        self.writer = ConnectionWriter(self, case.writers)
        self.writer.connect(self.pipe)
        self.received = b""
        self.drops = 0
        self.closes: list[Disconnect] = []
        case.clients.append(self)

    def open(self) -> Client:
        """Open it, and subscribe it to the channel `a`."""
        self.case.hub.add(self.writer, "a", self.case.dialect.encoding)
        self.writer.open()
        return self

    def read(self) -> bytes:
        """Let the client read everything, as often as it takes; returns all that it ever read."""
        self.kernel.capacity = self.kernel.max_per_send = 2**40
        self.pipe.turn()
        while data := self.pipe.drain():
            self.received += data
        return self.received

    def connectionLost(self, _reason: object = None) -> None:
        """Unsubscribe, as a session does."""
        self.writer.connection_lost()
        self.case.hub.remove(self.writer, "a")

    def outbox_emptied(self) -> None:
        """See `Owner.outbox_emptied`."""

    def batch_dropped(self) -> None:
        """See `Owner.batch_dropped`."""
        self.drops += 1

    def report_gap(self, channel: str) -> None:
        """See `Owner.report_gap`."""

    def close(self, disconnect: Disconnect) -> None:
        """See `Owner.close`."""
        self.closes.append(disconnect)
        self.writer.shut()


class FlatAudienceCase(SynchronousTestCase):
    """A hub whose large audiences are sent to through a ring."""

    policy = SlowPolicy.CLOSE

    def setUp(self) -> None:
        """Make a hub over a ring."""
        self.clock: Any = Clock()
        self.turns = Turns()
        self.ring = FakeRing()
        self.dialect = LineDialect()
        self.writers = ConnectionWriters(Settings(max_outbox_bytes=LIMIT), TimerWheel(self.clock))
        self.bulk = bulk_over(self.ring, self.writers.unready)
        self.clients: list[Client] = []
        self.failed: list[tuple[Subscriber, str]] = []
        self.hub = self.make_hub()

    def make_hub(self) -> Hub:
        """Return a hub with the policy of the case."""
        return Hub(
            self.turns.call_later,
            self.turns.seconds,
            lambda subscriber: self.failed.append((subscriber, str(sys.exc_info()[1]))),
            policy=lambda _channel: self.policy,
            make_bulk=self.bulk.make_bulk,
        )

    def crowd(self, size: int = CROWD) -> list[Client]:
        """Return the clients of a large audience."""
        return [Client(self).open() for _ in range(size)]

    def broadcast(self, data: bytes) -> None:
        """Broadcast one message, to the end."""
        self.hub.broadcast([Publication("a", data)])
        self.turns.drain()

    def flat(self) -> FlatAudience:
        """Return the one flat copy there is."""
        (bulk,) = (self.hub._topics["a"].bulks or {}).values()
        assert isinstance(bulk, FlatAudience)
        return bulk


class FlatAudienceTests(FlatAudienceCase):
    """One promise at a time."""

    def test_message_reaches_everybody_in_few_calls_and_no_socket_is_asked_twice(self) -> None:
        crowd = self.crowd()
        self.broadcast(b"1")
        self.assertEqual(self.ring.calls, [BULK_STEP] * 3)
        self.assertEqual({client.read() for client in crowd}, {b"1\n"})
        self.assertEqual({len(client.kernel.sends) for client in crowd}, {1})
        self.assertEqual(self.hub.deliveries, CROWD)

    def test_small_audience_is_sent_to_one_by_one(self) -> None:
        crowd = self.crowd(SMALL_AUDIENCE)
        self.broadcast(b"1")
        self.assertEqual((self.ring.calls, {client.read() for client in crowd}), ([], {b"1\n"}))

    def test_two_large_audiences_of_one_channel_are_both_flat(self) -> None:
        crowd = self.crowd()
        other = LineDialect("other")
        for client in crowd[: CROWD // 2]:
            self.hub.remove(client.writer, "a")
            self.hub.add(client.writer, "a", other.encoding)
        self.broadcast(b"1")
        self.assertEqual((len(self.hub._topics["a"].bulks or ()), sum(self.ring.calls)), (2, CROWD))
        self.assertEqual({client.read() for client in crowd}, {b"1\n"})

    def test_audience_that_has_become_small_is_no_longer_flat(self) -> None:
        crowd = self.crowd()
        other = LineSubscriber()
        self.hub.add(other, "a", LineDialect("other").encoding)
        self.broadcast(b"1")
        for client in crowd[1:]:
            client.pipe.hang_up()
        self.broadcast(b"2")
        self.assertEqual((crowd[0].read(), self.hub._topics["a"].bulks), (b"1\n2\n", None))
        crowd[0].pipe.hang_up()
        self.assertEqual((self.hub.subscribers("a"), self.writers.unready), ([other], set()))

    def test_part_of_a_message_is_followed_by_its_rest_before_anything_else(self) -> None:
        crowd = self.crowd()
        slow = crowd[5]
        slow.kernel.max_per_send = slow.kernel.capacity = 3
        self.broadcast(b"first message")
        self.broadcast(b"second")
        self.assertEqual(slow.read(), b"first message\nsecond\n")
        self.assertEqual(crowd[6].read(), b"first message\nsecond\n")

    def test_client_without_room_is_not_offered_anything_until_it_has_caught_up(self) -> None:
        crowd = self.crowd()
        slow = crowd[5]
        slow.kernel.capacity = 0
        self.broadcast(b"1")
        asked = len(slow.kernel.sends)
        self.broadcast(b"2")
        self.assertEqual(len(slow.kernel.sends), asked)
        self.assertEqual(slow.read(), b"1\n2\n")
        self.broadcast(b"3")
        self.assertEqual(slow.read(), b"1\n2\n3\n")

    def test_client_that_is_too_slow_is_closed_and_the_others_go_on(self) -> None:
        crowd = self.crowd()
        crowd[5].kernel.capacity = 0
        for _ in range(3):
            self.broadcast(b"x" * LIMIT)
        self.assertEqual((crowd[5].closes, crowd[6].closes), ([Disconnect.SLOW], []))
        self.assertEqual(len(crowd[6].read()), 3 * (LIMIT + 1))

    def test_subscriber_before_its_handshake_is_answered_gets_nothing(self) -> None:
        crowd = self.crowd()
        early = Client(self)
        self.hub.add(early.writer, "a", self.dialect.encoding)
        self.broadcast(b"1")
        early.writer.open()
        self.broadcast(b"2")
        self.assertEqual((early.read(), crowd[0].read()), (b"2\n", b"1\n2\n"))

    def test_descriptor_of_a_closed_connection_is_never_sent_to_under_its_next_owner(self) -> None:
        crowd = self.crowd()
        self.broadcast(b"1")
        gone = crowd[5]
        number = gone.kernel.number
        # The registry is told late, or never.
        gone.connectionLost = lambda _reason=None: gone.writer.connection_lost()  # type: ignore[method-assign]
        gone.pipe.hang_up()
        stranger = Client(self)
        self.assertEqual(stranger.kernel.number, number)
        self.broadcast(b"2")
        self.assertEqual((stranger.kernel.sends, gone.kernel.sends), ([], [2]))
        self.assertIn(gone.writer, self.writers.unready)
        self.hub.remove(gone.writer, "a")
        self.assertNotIn(gone.writer, self.writers.unready)

    def test_nothing_is_sent_while_the_socket_is_being_closed(self) -> None:
        crowd = self.crowd()
        self.broadcast(b"1")
        gone = crowd[5]
        close = gone.kernel.close

        def close_and_broadcast() -> None:
            close()
            stranger = FakeSocket()
            self.ring.add(stranger)
            self.broadcast(b"2")
            self.assertEqual(stranger.sends, [])

        gone.kernel.close = close_and_broadcast  # type: ignore[method-assign]
        gone.pipe.hang_up()
        self.assertEqual(crowd[6].read(), b"1\n2\n")

    def test_broken_connection_costs_nobody_else_the_message(self) -> None:
        crowd = self.crowd()
        crowd[5].kernel.mode = "broken"
        self.broadcast(b"1")
        crowd[5].pipe.turn()
        self.assertFalse(crowd[5].pipe.connected)
        self.assertEqual({client.read() for client in crowd if client is not crowd[5]}, {b"1\n"})

    def test_subscribers_of_other_kinds_get_the_same(self) -> None:
        crowd, other = self.crowd(), LineSubscriber()
        self.hub.add(other, "a", self.dialect.encoding)
        self.broadcast(b"1")
        self.hub.remove(other, "a")
        self.broadcast(b"2")
        self.assertEqual((other.sent, crowd[0].read()), ([b"1\n"], b"1\n2\n"))

    def test_subscriber_that_leaves_and_comes_back_during_a_fan_out_gets_nothing_of_it(self) -> None:
        crowd = self.crowd()
        self.broadcast(b"0")
        slice_seconds = self.hub._slice_seconds
        send = self.ring.send

        def slow_send(descriptors: Any, data: bytes) -> list[int] | None:
            self.turns.now += slice_seconds
            return send(descriptors, data)

        self.ring.send = slow_send  # type: ignore[method-assign]
        self.hub.broadcast([Publication("a", b"1")])
        self.assertEqual(len(self.turns.due), 1)
        last, late = crowd[-1], Client(self).open()
        self.hub.remove(last.writer, "a")
        self.hub.add(last.writer, "a", self.dialect.encoding)
        self.turns.drain()
        self.broadcast(b"2")
        self.assertEqual((last.read(), late.read(), crowd[0].read()), (b"0\n2\n", b"2\n", b"0\n1\n2\n"))

    def test_holes_are_closed_before_they_are_many(self) -> None:
        crowd = self.crowd()
        self.broadcast(b"1")
        for client in crowd[: CROWD // 2]:
            client.pipe.hang_up()
        self.ring.calls.clear()
        self.broadcast(b"2")
        self.assertEqual(sum(self.ring.calls), CROWD // 2)
        self.assertEqual({client.read() for client in crowd[CROWD // 2 :]}, {b"1\n2\n"})
        self.assertEqual(self.flat()._holes, 0)

    def test_channel_that_ends_during_its_fan_out_is_sent_to_no_more(self) -> None:
        crowd = self.crowd()
        send = self.ring.send

        def end(descriptors: Any, data: bytes) -> list[int] | None:
            outcome = send(descriptors, data)
            for client in crowd:
                if client.pipe.connected:
                    client.pipe.hang_up()
            return outcome

        self.ring.send = end  # type: ignore[method-assign]
        self.broadcast(b"1")
        self.assertEqual((sum(self.ring.calls), self.writers.unready), (BULK_STEP, set()))

    def test_batch_that_is_too_long_for_a_ring_is_sent_one_by_one(self) -> None:
        crowd = self.crowd()
        self.broadcast(b"x" * MAX_DATA_BYTES)
        self.assertEqual((self.ring.calls, {len(client.read()) for client in crowd}), ([], {MAX_DATA_BYTES + 1}))

    def test_crowd_of_slow_clients_is_found_either_way(self) -> None:
        crowd = self.crowd()
        for client in crowd[::2]:
            client.kernel.capacity = 0
        self.broadcast(b"1")
        self.broadcast(b"2")
        self.assertEqual({client.read() for client in crowd}, {b"1\n2\n"})

    def test_ring_that_fails_costs_those_whose_bytes_are_unknown_and_is_used_no_more(self) -> None:
        crowd = self.crowd()
        self.ring.lost = 2
        self.broadcast(b"1")
        self.flushLoggedErrors()
        unknown = [client.writer for client in crowd[BULK_STEP - 2 : BULK_STEP]]
        self.assertEqual([subscriber for subscriber, _ in self.failed], unknown)
        self.assertEqual(self.ring.calls, [BULK_STEP])
        self.broadcast(b"2")
        self.assertEqual({client.read() for client in crowd if client.writer not in unknown}, {b"1\n2\n"})
        self.assertEqual(self.ring.calls, [BULK_STEP])

    def test_system_without_rings_sends_one_by_one(self) -> None:
        def refuse() -> Any:
            raise OSError("not here")

        self.bulk = BulkSending(self.writers.unready, refuse)
        self.bulk.start()
        self.hub = self.make_hub()
        crowd = self.crowd()
        self.broadcast(b"1")
        self.bulk.stop()
        self.assertEqual(({client.read() for client in crowd}, self.hub._topics["a"].bulks), ({b"1\n"}, None))

    def test_stopped_means_send_no_more(self) -> None:
        crowd = self.crowd()
        self.broadcast(b"1")
        self.bulk.stop()
        self.bulk.stop()
        self.broadcast(b"2")
        self.assertEqual((self.ring.is_open, {client.read() for client in crowd}), (False, {b"1\n2\n"}))

    def test_means_that_fail_cost_the_audience_and_not_the_channel(self) -> None:
        crowd, other = self.crowd(), LineSubscriber()
        self.hub.add(other, "a", LineDialect("other").encoding)

        def fail(*_: object) -> Any:
            raise ValueError("no such thing")

        send = self.ring.send
        self.patch(self.ring, "send", fail)
        self.broadcast(b"1")
        self.assertEqual(self.failed, [(client.writer, "no such thing") for client in crowd])
        self.patch(self.ring, "send", send)
        self.broadcast(b"2")
        self.assertEqual((other.sent, crowd[0].read()), ([b"1\n", b"2\n"], b"2\n"))

    def test_encoding_that_fails_costs_its_subscribers_and_ends(self) -> None:
        crowd = self.crowd(SMALL_AUDIENCE + 1)
        self.broadcast(b"1")

        def fail(*_: object, **__: object) -> Any:
            raise ValueError("no such form")

        self.dialect.encoding._encode = fail
        self.broadcast(b"2")
        self.assertEqual(self.failed, [(client.writer, "no such form") for client in crowd])


class LatestTests(FlatAudienceCase):
    """Channels of which a slow client gets the newest message."""

    policy = SlowPolicy.LATEST

    def test_slow_client_gets_the_newest_message_alone(self) -> None:
        crowd = self.crowd()
        slow = crowd[5]
        slow.kernel.capacity = 0
        for number in range(5):
            self.broadcast(b"%d" % number)
        self.assertEqual((slow.read(), crowd[6].read()), (b"0\n4\n", b"0\n1\n2\n3\n4\n"))


class WalkTests(FlatAudienceCase):
    """Random lives of an audience, through a ring and one by one."""

    def test_every_client_receives_the_same_as_one_by_one(self) -> None:
        for seed in range(SEEDS):
            logs = []
            for flat in (True, False):
                self.setUp()
                if not flat:
                    self.bulk.stop()
                logs.append(self.walk(Random(seed)))
                self.assertEqual(bool(self.ring.calls), flat)
            self.assertEqual(*logs)

    def walk(self, rng: Random) -> list[tuple[bytes, int, list[Disconnect]]]:
        """Let clients come, go, stall and read while messages are sent; returns what each of them got."""
        self.crowd(2 * SMALL_AUDIENCE)
        others = LineSubscriber()
        self.hub.add(others, "a", self.dialect.encoding)
        for number in range(STEPS):
            connected = [client for client in self.clients if client.pipe.connected]
            client = rng.choice(connected)
            step = rng.randrange(8)
            if step == 0:
                Client(self).open()
            elif step == 1 and len(connected) > SMALL_AUDIENCE + 5:
                client.pipe.hang_up()
            elif step == 2:
                client.kernel.capacity = rng.randrange(40)
            elif step == 3:
                client.kernel.max_per_send = rng.randrange(1, 20)
            elif step == 4:
                client.read()
            elif step == 5:
                self.hub.remove(client.writer, "a")
            elif step == 6:
                self.hub.add(client.writer, "a", self.dialect.encoding)
            self.broadcast(b"%d " % number * rng.randrange(1, 9))
        self.assertEqual(len(others.sent), STEPS)
        ends = [(client.read(), client.drops, client.closes) for client in self.clients if client.pipe.connected]
        for client in self.clients:
            if client.pipe.connected:
                client.pipe.hang_up()
        self.assertEqual(self.writers.unready, set())
        return ends


class PlacesTests(FlatAudienceCase):
    """The places of an audience."""

    def test_each_subscriber_has_the_place_that_the_audience_says(self) -> None:
        crowd = self.crowd()
        self.broadcast(b"1")
        for client in crowd[: BULK_STEP + 1]:
            client.pipe.hang_up()
        Client(self).open()
        self.broadcast(b"2")
        (audience,) = self.hub._topics["a"].audiences.values()
        flat: Any = self.flat()
        self.assertEqual({flat._members[place or 0]: place for place in audience.values()}, audience)

    def test_clear_leaves_no_place(self) -> None:
        crowd = self.crowd()
        audience: Audience = {client.writer: None for client in crowd}
        flat = FlatAudience(audience, self.bulk)
        flat.remove(crowd[0].writer, audience.pop(crowd[0].writer))
        flat.clear()
        self.assertEqual((flat.begin(), set(audience.values())), (0, {None}))
        self.assertEqual({client.writer._places for client in crowd}, {0})
