"""Tests of `wsrelay.engine.hub`: the size of batches, what may wait, and fan-outs that take long."""

from __future__ import annotations

from tests.engine.test_hub import SLICE, HubCase
from tests.support.fanout import LOOK, LineSubscriber
from wsrelay.core.messaging.publications import Publication
from wsrelay.engine.hub import MAX_PENDING_BYTES, Hub
from wsrelay.engine.topic import BATCH_BYTES, EVENT_OVERHEAD_BYTES


class SizeTests(HubCase):
    """How much goes into one batch."""

    def test_burst_is_split_where_a_batch_is_full_and_keeps_its_order(self) -> None:
        subscriber = self.subscriber()
        size = BATCH_BYTES // 4
        messages = [b"%04d" % number + b"x" * (size - 4) for number in range(10)]
        self.broadcast(*messages)
        self.turns.drain()
        self.assertEqual(b"".join(subscriber.sent), b"".join(data + b"\n" for data in messages))
        # Full is what has reached the bound: the message that reaches it is the last of its batch.
        self.assertEqual([len(batch) // size for batch in subscriber.sent], [4, 4, 2])
        self.assertTrue(all(len(batch) < BATCH_BYTES + size for batch in subscriber.sent))

    def test_message_counts_more_than_its_data_so_that_empty_ones_are_split(self) -> None:
        subscriber = self.subscriber()
        self.broadcast(*[b""] * 1000)
        self.turns.drain()
        self.assertEqual(sum(map(len, subscriber.sent)), 1000)
        self.assertGreater(len(subscriber.sent), 1)

    def test_message_beyond_a_batch_goes_alone_when_it_is_the_oldest(self) -> None:
        subscriber = self.subscriber()
        giant = b"x" * (3 * BATCH_BYTES)
        self.broadcast(giant, b"1", giant, b"2")
        self.turns.drain()
        self.assertEqual(subscriber.sent, [giant + b"\n", b"1\n" + giant + b"\n", b"2\n"])

    def test_another_channel_gets_its_message_between_two_batches_of_a_burst(self) -> None:
        order: list[str] = []
        self.subscriber("busy", on_send=lambda _data: order.append("busy"))
        self.subscriber("quiet", on_send=lambda _data: order.append("quiet"))
        burst = [Publication("busy", b"x" * BATCH_BYTES)] * 3
        self.hub.broadcast([*burst, Publication("quiet", b"1")])
        self.turns.drain()
        self.assertEqual(order, ["busy", "quiet", "busy", "busy"])


class PressureTests(HubCase):
    """How much may wait."""

    def setUp(self) -> None:
        """Make a hub that records when it is behind."""
        super().setUp()
        self.pressure: list[bool] = []
        self.hub = Hub(
            self.turns.call_later, self.turns.seconds, self.on_failure, self.pressure.append, slice_seconds=SLICE
        )

    def test_broker_is_paused_once_and_resumed_when_half_of_the_bound_is_left(self) -> None:
        pending: list[tuple[int, bool]] = []
        self.fill_turn()
        self.subscriber("b", on_send=lambda _data: pending.append((self.hub._pending_bytes, self.pressure[-1])))
        data = b"x" * (BATCH_BYTES - EVENT_OVERHEAD_BYTES)
        self.broadcast(*[data] * (MAX_PENDING_BYTES // BATCH_BYTES), channel="b")
        self.assertEqual((self.pressure, self.hub._pending_bytes), ([], MAX_PENDING_BYTES))
        self.broadcast(b"1", b"2", data, channel="b")
        self.broadcast(b"3", channel="b")
        self.assertEqual(self.pressure, [True])
        self.turns.drain()
        self.assertEqual(self.pressure, [True, False])
        # While it is sent, a batch no longer waits.
        self.assertTrue(all(is_paused == (size > MAX_PENDING_BYTES // 2) for size, is_paused in pending))
        self.assertEqual(pending[-1], (0, False))

    def test_broker_is_resumed_as_well_where_each_channel_has_one_subscriber(self) -> None:
        self.fill_turn()
        channels = [f"c{number}" for number in range(MAX_PENDING_BYTES // BATCH_BYTES + 1)]
        subscribers = [self.subscriber(channel) for channel in channels]
        data = b"x" * (BATCH_BYTES - EVENT_OVERHEAD_BYTES)
        for channel in channels:
            self.broadcast(data, channel=channel)
        self.assertEqual(self.pressure, [True])
        self.turns.drain()
        self.assertEqual((self.pressure, self.hub._pending_bytes), ([True, False], 0))
        self.assertEqual({len(each.sent) for each in subscribers}, {1})

    def test_pressure_that_comes_again_is_reported_again(self) -> None:
        self.subscriber()
        for _ in range(2):
            self.broadcast(b"x" * MAX_PENDING_BYTES)
        self.assertEqual(self.pressure, [True, False, True, False])

    def test_pending_bytes_of_all_channels_are_counted_together(self) -> None:
        self.fill_turn()
        for channel in ("b", "c", "d"):
            self.subscriber(channel)
        self.broadcast(b"x" * (MAX_PENDING_BYTES // 2), channel="b")
        self.broadcast(b"x" * (MAX_PENDING_BYTES // 3), channel="c")
        self.assertEqual(self.pressure, [])
        self.broadcast(b"x" * (MAX_PENDING_BYTES // 3), channel="d")
        self.assertEqual(self.pressure, [True])
        self.turns.drain()
        self.assertEqual((self.pressure, self.hub._pending_bytes), ([True, False], 0))

    def test_pending_events_of_a_channel_without_subscribers_are_released(self) -> None:
        self.fill_turn()
        subscriber = self.subscriber("b")
        self.broadcast(*[b"x" * BATCH_BYTES] * (MAX_PENDING_BYTES // BATCH_BYTES), channel="b")
        self.hub.remove(subscriber, "b")
        self.turns.drain()
        self.assertEqual((self.pressure, self.hub._pending_bytes, subscriber.sent), ([True, False], 0, []))

    def test_nothing_is_lost_where_no_broker_can_be_paused(self) -> None:
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure)
        subscriber = self.subscriber()
        self.broadcast(b"x" * MAX_PENDING_BYTES, b"1")
        self.turns.drain()
        self.assertEqual(sum(map(len, subscriber.sent)), MAX_PENDING_BYTES + 3)


class SliceTests(HubCase):
    """A fan-out that takes long."""

    def crowd(self, count: int, seconds: float) -> list[LineSubscriber]:
        """Return subscribers of the channel `busy` whose sends take a while."""
        return [self.subscriber("busy", self.turns.spend(seconds)) for _ in range(count)]

    @staticmethod
    def sends(crowd: list[LineSubscriber]) -> int:
        """Return how many sends there were."""
        return sum(len(each.sent) for each in crowd)

    def test_fan_out_within_its_slice_needs_no_turn(self) -> None:
        crowd = self.crowd(1000, 0.0)
        self.broadcast(b"1", channel="busy")
        self.assertEqual((self.sends(crowd), self.turns.due), (1000, []))

    def test_fan_out_beyond_its_slice_goes_on_in_later_turns(self) -> None:
        crowd = self.crowd(10 * LOOK, SLICE / LOOK)
        self.broadcast(b"1", channel="busy")
        reached = [self.sends(crowd)]
        while self.turns.due:
            self.turns.turn()
            reached.append(self.sends(crowd))
        # Each turn is ended by the first look at the clock past the deadline.
        self.assertEqual(reached[:10], [LOOK * n for n in range(1, 11)])
        self.assertEqual({tuple(each.sent) for each in crowd}, {(b"1\n",)})

    def test_default_slice_is_five_milliseconds(self) -> None:
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure)
        crowd = self.crowd(20 * LOOK, 0.005 / LOOK / 9.5)
        self.broadcast(b"1", channel="busy")
        self.assertEqual(self.sends(crowd), 10 * LOOK)

    def test_quiet_channel_does_not_wait_for_the_end_of_a_long_fan_out(self) -> None:
        crowd, quiet = self.crowd(4 * LOOK, SLICE / LOOK), self.subscriber("quiet")
        self.broadcast(b"1", channel="busy")
        self.broadcast(b"2", channel="quiet")
        self.turns.turn()
        self.turns.turn()
        self.assertEqual(quiet.sent, [b"2\n"])
        self.assertLess(self.sends(crowd), 4 * LOOK)
        self.turns.drain()
        self.assertEqual(self.sends(crowd), 4 * LOOK)

    def test_many_small_fan_outs_give_the_reactor_back_between_them(self) -> None:
        subscribers = [self.subscriber(f"c{n}", self.turns.spend(SLICE / LOOK)) for n in range(3 * LOOK)]
        self.hub.broadcast([Publication(f"c{n}", b"1") for n in range(3 * LOOK)])
        reached = [self.sends(subscribers)]
        while self.turns.due:
            self.turns.turn()
            reached.append(self.sends(subscribers))
        self.assertEqual(reached, [LOOK, 2 * LOOK, 3 * LOOK])

    def test_events_wait_until_the_last_subscriber_has_the_batch_before(self) -> None:
        crowd = self.crowd(3 * LOOK, SLICE / LOOK)
        self.broadcast(b"1", channel="busy")
        self.broadcast(b"2", channel="busy")
        self.turns.turn()
        self.broadcast(b"3", channel="busy")
        self.turns.drain()
        self.assertEqual({tuple(each.sent) for each in crowd}, {(b"1\n", b"2\n3\n")})

    def test_subscriber_removed_between_slices_receives_nothing_more_of_the_batch(self) -> None:
        crowd = self.crowd(2 * LOOK, SLICE / LOOK)
        self.broadcast(b"1", channel="busy")
        self.hub.remove(crowd[-1], "busy")
        self.turns.drain()
        self.assertEqual((crowd[-1].sent, crowd[-2].sent), ([], [b"1\n"]))

    def test_subscriber_removed_and_added_again_between_slices_receives_the_next_batch_only(self) -> None:
        crowd = self.crowd(2 * LOOK, SLICE / LOOK)
        self.broadcast(b"1", channel="busy")
        self.hub.remove(crowd[-1], "busy")
        self.hub.add(crowd[-1], "busy", self.dialect.encoding)
        self.broadcast(b"2", channel="busy")
        self.turns.drain()
        self.assertEqual((crowd[-1].sent, crowd[-2].sent), ([b"2\n"], [b"1\n", b"2\n"]))

    def test_subscriber_added_between_slices_receives_what_is_broadcast_from_then_on(self) -> None:
        self.crowd(2 * LOOK, SLICE / LOOK)
        self.broadcast(b"1", channel="busy")
        late = self.subscriber("busy")
        self.broadcast(b"2", channel="busy")
        self.turns.drain()
        self.assertEqual(late.sent, [b"2\n"])

    def test_subscriber_added_behind_pending_events_receives_none_of_them(self) -> None:
        crowd = self.crowd(2 * LOOK, SLICE / LOOK)
        self.broadcast(b"1", channel="busy")
        self.broadcast(b"2", channel="busy")
        first = self.subscriber("busy")
        self.broadcast(b"3", channel="busy")
        second = self.subscriber("busy")
        self.broadcast(b"4", channel="busy")
        self.turns.drain()
        self.assertEqual((first.sent, second.sent), ([b"3\n", b"4\n"], [b"4\n"]))
        self.assertEqual(crowd[0].sent, [b"1\n", b"2\n", b"3\n", b"4\n"])

    def test_subscribers_that_all_joined_behind_pending_events_receive_the_next_ones(self) -> None:
        crowd = self.crowd(LOOK + 1, SLICE / LOOK)
        self.broadcast(b"1", channel="busy")
        self.broadcast(b"2", channel="busy")
        late = self.subscriber("busy")
        for each in crowd:
            self.hub.remove(each, "busy")
        self.broadcast(b"3", channel="busy")
        self.turns.drain()
        self.assertEqual((late.sent, self.hub.subscribers("busy")), ([b"3\n"], [late]))

    def test_subscriber_that_leaves_while_it_joins_receives_nothing(self) -> None:
        self.crowd(LOOK + 1, SLICE / LOOK)
        self.broadcast(b"1", channel="busy")
        self.broadcast(b"2", channel="busy")
        late = self.subscriber("busy")
        self.hub.remove(late, "busy")
        self.broadcast(b"3", channel="busy")
        self.turns.drain()
        self.assertEqual((late.sent, late in self.hub.subscribers("busy")), ([], False))
