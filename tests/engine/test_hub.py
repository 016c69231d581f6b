"""Tests of `wsrelay.engine.hub`, one promise at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.fanout import LOOK, LineDialect, Listener, Turns
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.publications import Publication
from wsrelay.engine.hub import BATCH_BYTES, HELD_BYTES, Hub, Subscriber

SLICE = 1.0
"""How long a slice is here, in seconds: together with the 64 a number that floats add up to exactly."""


class HubCase(SynchronousTestCase):
    """A hub on turns that the test takes."""

    def setUp(self) -> None:
        """Make a hub."""
        self.turns = Turns()
        self.dialect = LineDialect()
        self.failed: list[tuple[Subscriber, str]] = []
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure, slice_seconds=SLICE)

    def on_failure(self, subscriber: Subscriber) -> None:
        """Write down who failed and why."""
        self.failed.append((subscriber, str(sys.exc_info()[1])))

    def listener(
        self, channel: str = "a", on_send: Callable[[bytes], None] | None = None, dialect: LineDialect | None = None
    ) -> Listener:
        """A subscriber that hears a channel."""
        listener = Listener(dialect or self.dialect, on_send)
        self.hub.add(listener, channel)
        return listener

    def publish(self, *payloads: bytes, channel: str = "a") -> None:
        """Publish messages, without a turn in between."""
        for payload in payloads:
            self.hub.publish(Publication(channel, payload))


class RegistryTests(HubCase):
    """Who hears what."""

    def test_listeners(self) -> None:
        """The number of listeners counts each subscriber once, in whatever dialect."""
        one = self.listener()
        self.hub.add(one, "a")
        self.listener(dialect=LineDialect("other"))
        self.assertEqual([self.hub.listeners("a"), self.hub.listeners("b")], [2, 0])

    def test_remove(self) -> None:
        """A subscriber that was removed hears no more; the others do."""
        gone, stays = self.listener(), self.listener()
        self.hub.remove(gone, "a")
        self.publish(b"1")
        self.turns.drain()
        self.assertEqual((gone.sent, stays.sent, self.hub.listeners("a")), ([], [b"1\n"], 1))

    def test_remove_the_last(self) -> None:
        """A channel whose last listener left is forgotten, whichever dialects it had."""
        one, other = self.listener(), self.listener(dialect=LineDialect("other"))
        self.hub.remove(one, "a")
        self.hub.remove(other, "a")
        self.assertEqual((self.hub.listeners("a"), self.hub._topics), (0, {}))

    def test_remove_a_stranger(self) -> None:
        """Removing who is not there, from a channel that is there or is not, is fine."""
        stays = self.listener()
        for stranger in (Listener(self.dialect), Listener(LineDialect("other"))):
            self.hub.remove(stranger, "a")
            self.hub.remove(stranger, "nowhere")
        self.hub.remove(stays, "b")
        self.assertEqual(self.hub.listeners("a"), 1)

    def test_added_twice(self) -> None:
        """A subscriber that was added twice hears once, and is gone when removed once."""
        listener = self.listener()
        self.hub.add(listener, "a")
        self.publish(b"1")
        self.turns.drain()
        self.hub.remove(listener, "a")
        self.assertEqual((listener.sent, self.hub.listeners("a")), ([b"1\n"], 0))


class BatchTests(HubCase):
    """One turn, one batch."""

    def test_end_of_the_turn(self) -> None:
        """Nothing is sent while messages arrive; at the end of the turn they are one batch in one send."""
        listener = self.listener()
        self.publish(b"1", b"2", b"3")
        self.assertEqual((listener.sent, len(self.turns.due)), ([], 1))
        self.turns.turn()
        self.assertEqual((listener.sent, self.turns.due), ([b"1\n2\n3\n"], []))

    def test_one_turn_for_all_channels(self) -> None:
        """However many channels have messages, one turn is asked for."""
        for channel in ("a", "b", "c"):
            self.listener(channel)
            self.publish(b"1", channel=channel)
        self.assertEqual(len(self.turns.due), 1)

    def test_nobody_hears(self) -> None:
        """A message that nobody hears costs no turn."""
        self.publish(b"1")
        self.assertEqual(self.turns.due, [])

    def test_everybody_left(self) -> None:
        """A batch whose listeners all left before its turn is not even encoded."""
        listener = self.listener()
        self.publish(b"1")
        self.hub.remove(listener, "a")
        self.turns.drain()
        self.assertEqual((listener.sent, self.dialect.batches), ([], 0))

    def test_encoded_once_for_each_dialect(self) -> None:
        """A batch is encoded once for each dialect, and all its listeners share the very same bytes."""
        other = LineDialect("other")
        listeners = [self.listener() for _ in range(3)]
        strangers = [self.listener(dialect=other) for _ in range(3)]
        self.publish(b"1", b"2")
        self.turns.drain()
        self.assertEqual((self.dialect.batches, other.batches), (1, 1))
        for group in (listeners, strangers):
            self.assertEqual([len({id(listener.sent[0]) for listener in group}), group[0].sent], [1, [b"1\n2\n"]])

    def test_channels_are_apart(self) -> None:
        """A message reaches its own channel and no other."""
        a, b = self.listener("a"), self.listener("b")
        self.publish(b"1", channel="a")
        self.publish(b"2", channel="b")
        self.turns.drain()
        self.assertEqual((a.sent, b.sent), ([b"1\n"], [b"2\n"]))

    def test_published_by_a_send(self) -> None:
        """A message that is published while its channel is sent to is the next batch, not lost and not mixed in."""

        def answer(data: bytes) -> None:
            if data == b"1\n":
                self.publish(b"2")

        first, second = self.listener(on_send=answer), self.listener()
        self.publish(b"1")
        self.turns.drain()
        self.assertEqual((first.sent, second.sent), ([b"1\n", b"2\n"], [b"1\n", b"2\n"]))


class TogetherTests(HubCase):
    """Messages that came together."""

    def all(self, *payloads: bytes, channel: str = "a") -> None:
        """Publish messages that came together."""
        self.hub.publish_all([Publication(channel, payload) for payload in payloads])

    def test_at_once(self) -> None:
        """They are one batch and are sent at once, without a turn."""
        listener = self.listener()
        self.all(b"1", b"2")
        self.assertEqual((listener.sent, self.turns.due), ([b"1\n2\n"], []))

    def test_nobody_hears(self) -> None:
        """Where nobody hears them nothing happens."""
        self.listener()
        self.all(b"1", b"2", channel="b")
        self.assertEqual((self.dialect.batches, self.turns.due), (0, []))

    def test_turn_is_due(self) -> None:
        """Where a turn is due already they are sent in it, behind what waits."""
        listener = self.listener()
        self.publish(b"1")
        self.all(b"2")
        self.assertEqual(listener.sent, [])
        self.turns.drain()
        self.assertEqual(listener.sent, [b"1\n2\n"])

    def test_published_by_a_send(self) -> None:
        """Messages that come together while their channel is sent to are the next batch, for everyone."""

        def answer(data: bytes) -> None:
            if data == b"1\n":
                self.all(b"2", b"3")

        first, second = self.listener(on_send=answer), self.listener()
        self.all(b"1")
        self.turns.drain()
        self.assertEqual((first.sent, second.sent), ([b"1\n", b"2\n3\n"], [b"1\n", b"2\n3\n"]))

    def test_slice(self) -> None:
        """What does not fit into the slice goes on in the next turn."""
        crowd = [self.listener(on_send=self.turns.spend(SLICE / LOOK)) for _ in range(2 * LOOK)]
        self.all(b"1")
        self.assertEqual((sum(len(one.sent) for one in crowd), len(self.turns.due)), (LOOK, 1))
        self.turns.drain()
        self.assertEqual(sum(len(one.sent) for one in crowd), 2 * LOOK)


class SizeTests(HubCase):
    """How much goes into one batch, and how much may wait."""

    def test_split(self) -> None:
        """A burst is split where a batch is full; nothing is lost and the order stays."""
        listener = self.listener()
        size = BATCH_BYTES // 4
        payloads = [b"%04d" % number + b"x" * (size - 4) for number in range(10)]
        self.publish(*payloads)
        self.turns.drain()
        self.assertEqual(b"".join(listener.sent), b"".join(payload + b"\n" for payload in payloads))
        # Full is what has reached the bound: the message that reaches it is the last of its batch.
        self.assertEqual([len(batch) // size for batch in listener.sent], [4, 4, 2])
        self.assertTrue(all(len(batch) < BATCH_BYTES + size for batch in listener.sent))

    def test_small_messages(self) -> None:
        """A message counts more than its payload, so that a flood of empty ones is split as well."""
        listener = self.listener()
        self.publish(*[b""] * 1000)
        self.turns.drain()
        self.assertEqual(sum(map(len, listener.sent)), 1000)
        self.assertGreater(len(listener.sent), 1)

    def test_giant(self) -> None:
        """A message beyond the size of a batch goes alone when it is the oldest one."""
        listener = self.listener()
        giant = b"x" * (3 * BATCH_BYTES)
        self.publish(giant, b"1", giant, b"2")
        self.turns.drain()
        self.assertEqual(listener.sent, [giant + b"\n", b"1\n" + giant + b"\n", b"2\n"])

    def test_channels_take_turns(self) -> None:
        """Between two batches of a burst another channel gets its message."""
        order: list[str] = []
        self.listener("busy", on_send=lambda _: order.append("busy"))
        self.listener("quiet", on_send=lambda _: order.append("quiet"))
        self.publish(*[b"x" * BATCH_BYTES] * 3, channel="busy")
        self.publish(b"1", channel="quiet")
        self.turns.drain()
        self.assertEqual(order, ["busy", "quiet", "busy", "busy"])

    def pressed(self) -> list[bool]:
        """A hub that writes down when it feels pressure."""
        told: list[bool] = []
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure, told.append, slice_seconds=SLICE)
        return told

    def test_pressure(self) -> None:
        """Beyond what may wait the broker is asked once to hold, and once to go on when half of it is left."""
        told = self.pressed()
        waiting: list[tuple[int, bool]] = []
        self.listener(on_send=lambda _: waiting.append((self.hub._waiting_bytes, told[-1])))
        payload = b"x" * (BATCH_BYTES - 200)
        count = HELD_BYTES // BATCH_BYTES
        self.publish(*[payload] * count)
        self.assertEqual((told, self.hub._waiting_bytes), ([], HELD_BYTES))
        self.publish(b"1", b"2", payload)
        self.assertEqual(told, [True])
        self.turns.drain()
        self.assertEqual(told, [True, False])
        # While it is sent, a batch no longer waits.
        self.assertTrue(all(held == (size > HELD_BYTES // 2) for size, held in waiting))
        self.assertEqual(waiting[-1], (0, False))

    def test_pressure_again(self) -> None:
        """Pressure that comes again is told again."""
        told = self.pressed()
        self.listener()
        for _ in range(2):
            self.publish(b"x" * HELD_BYTES)
            self.turns.drain()
        self.assertEqual(told, [True, False, True, False])

    def test_pressure_by_many_channels(self) -> None:
        """What waits is counted over all channels, whether it came alone or together."""
        told = self.pressed()
        for channel in ("a", "b", "c"):
            self.listener(channel)
        self.publish(b"x" * (HELD_BYTES // 2))
        self.publish(b"x" * (HELD_BYTES // 3), channel="b")
        self.assertEqual(told, [])
        self.hub.publish_all([Publication("c", b"x" * (HELD_BYTES // 3))])
        self.assertEqual(told, [True])
        self.turns.drain()
        self.assertEqual((told, self.hub._waiting_bytes), ([True, False], 0))

    def test_pressure_of_a_channel_that_everybody_left(self) -> None:
        """What waits for a channel whose listeners all left waits no more, and the broker may go on."""
        told = self.pressed()
        listener = self.listener()
        self.publish(*[b"x" * BATCH_BYTES] * (HELD_BYTES // BATCH_BYTES))
        self.hub.remove(listener, "a")
        self.turns.drain()
        self.assertEqual((told, self.hub._waiting_bytes, listener.sent), ([True, False], 0, []))

    def test_without_a_broker(self) -> None:
        """Where nobody wants to know of pressure it is felt all the same, and nothing is lost."""
        listener = self.listener()
        self.publish(b"x" * HELD_BYTES, b"1")
        self.turns.drain()
        self.assertEqual(sum(map(len, listener.sent)), HELD_BYTES + 3)


class PolicyTests(HubCase):
    """What a listener is told to do with a batch if it is behind."""

    def told(self, policy: SlowPolicy | None, *payloads: bytes) -> list[tuple[SlowPolicy, str, bytes]]:
        """What comes beside a batch of a channel with this policy."""
        asked: list[str] = []

        def policies(channel: str) -> SlowPolicy:
            asked.append(channel)
            return policy or SlowPolicy.CLOSE

        more: dict[str, Any] = {} if policy is None else {"policy": policies}
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure, **more)
        listeners = [self.listener() for _ in range(2)]
        self.publish(*payloads)
        self.turns.drain()
        self.assertEqual(asked, [] if policy is None else ["a"])
        self.assertEqual([listener.sent for listener in listeners], [[b"".join(p + b"\n" for p in payloads)]] * 2)
        self.assertEqual(listeners[0].told, listeners[1].told)
        return listeners[0].told

    def test_close(self) -> None:
        """A channel whose listeners are closed, which is all of them where nobody says otherwise."""
        for policy in (None, SlowPolicy.CLOSE):
            self.assertEqual(self.told(policy, b"1", b"2"), [(SlowPolicy.CLOSE, "", b"")])

    def test_drop(self) -> None:
        """A channel whose messages may be dropped."""
        self.assertEqual(self.told(SlowPolicy.DROP, b"1", b"2"), [(SlowPolicy.DROP, "", b"")])

    def test_latest(self) -> None:
        """A channel of which the newest message is enough: it comes beside the batch, with the channel's name."""
        self.assertEqual(self.told(SlowPolicy.LATEST, b"1", b"2"), [(SlowPolicy.LATEST, "a", b"2\n")])
        self.assertEqual(self.dialect.batches, 2)

    def test_latest_alone(self) -> None:
        """A batch of one message is its own newest: encoded once."""
        self.assertEqual(self.told(SlowPolicy.LATEST, b"1"), [(SlowPolicy.LATEST, "a", b"1\n")])
        self.assertEqual(self.dialect.batches, 1)


class SliceTests(HubCase):
    """A fan-out that takes long."""

    def crowd(self, count: int, seconds: float) -> list[Listener]:
        """Listeners of the channel `busy` whose sends take a while."""
        return [self.listener("busy", self.turns.spend(seconds)) for _ in range(count)]

    def test_fast_sends_take_one_turn(self) -> None:
        """A fan-out within its slice is done in one turn, however many listen."""
        crowd = self.crowd(1000, 0.0)
        self.publish(b"1", channel="busy")
        self.turns.turn()
        self.assertEqual((sum(len(one.sent) for one in crowd), self.turns.due), (1000, []))

    def test_several_turns(self) -> None:
        """A fan-out beyond its slice goes on in later turns, each ended by the first look past the deadline."""
        crowd = self.crowd(10 * LOOK, SLICE / LOOK)
        self.publish(b"1", channel="busy")
        reached = []
        while self.turns.due:
            self.turns.turn()
            reached.append(sum(len(one.sent) for one in crowd))
        self.assertEqual(reached[:10], [LOOK * n for n in range(1, 11)])
        self.assertEqual({tuple(one.sent) for one in crowd}, {(b"1\n",)})

    def test_default_slice(self) -> None:
        """Where nobody says otherwise a slice is 5 milliseconds."""
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure)
        crowd = self.crowd(20 * LOOK, 0.005 / LOOK / 9.5)
        self.publish(b"1", channel="busy")
        self.turns.turn()
        self.assertEqual(sum(len(one.sent) for one in crowd), 10 * LOOK)

    def test_quiet_channel_in_between(self) -> None:
        """A quiet channel gets its message between two slices of a busy one, and does not wait for its end."""
        crowd, quiet = self.crowd(4 * LOOK, SLICE / LOOK), self.listener("quiet")
        self.publish(b"1", channel="busy")
        self.turns.turn()
        self.publish(b"2", channel="quiet")
        self.turns.turn()
        self.turns.turn()
        self.assertEqual(quiet.sent, [b"2\n"])
        self.assertLess(sum(len(one.sent) for one in crowd), 4 * LOOK)
        self.turns.drain()
        self.assertEqual(sum(len(one.sent) for one in crowd), 4 * LOOK)

    def test_many_channels_share_the_turns(self) -> None:
        """Many small fan-outs are sliced as well: the reactor is given back between them."""
        listeners = [self.listener(f"c{n}", self.turns.spend(SLICE / LOOK)) for n in range(3 * LOOK)]
        for n in range(3 * LOOK):
            self.publish(b"1", channel=f"c{n}")
        reached = []
        while self.turns.due:
            self.turns.turn()
            reached.append(sum(len(one.sent) for one in listeners))
        self.assertEqual(reached, [LOOK, 2 * LOOK, 3 * LOOK])

    def test_order_across_slices(self) -> None:
        """What is published during a fan-out waits until the last listener has the batch before it."""
        crowd = self.crowd(3 * LOOK, SLICE / LOOK)
        self.publish(b"1", channel="busy")
        self.turns.turn()
        self.publish(b"2", channel="busy")
        self.turns.turn()
        self.publish(b"3", channel="busy")
        self.turns.drain()
        self.assertEqual({tuple(one.sent) for one in crowd}, {(b"1\n", b"2\n3\n")})

    def test_left_between_slices(self) -> None:
        """Who leaves between two slices hears nothing more of the fan-out on its way."""
        crowd = self.crowd(2 * LOOK, SLICE / LOOK)
        self.publish(b"1", channel="busy")
        self.turns.turn()
        self.hub.remove(crowd[-1], "busy")
        self.turns.drain()
        self.assertEqual((crowd[-1].sent, crowd[-2].sent), ([], [b"1\n"]))

    def test_came_between_slices(self) -> None:
        """Who comes between two slices hears what is published from then on, and nothing of before."""
        self.crowd(2 * LOOK, SLICE / LOOK)
        self.publish(b"1", channel="busy")
        self.turns.turn()
        late = self.listener("busy")
        self.publish(b"2", channel="busy")
        self.turns.drain()
        self.assertEqual(late.sent, [b"2\n"])


class FailureTests(HubCase):
    """One bad member."""

    @staticmethod
    def bad(_data: bytes) -> None:
        """What a send does that fails."""
        raise RuntimeError("no")

    def test_send_raises(self) -> None:
        """A listener whose send raises is reported with its exception at hand; the others get the message."""
        first, bad, last = self.listener(), self.listener(on_send=self.bad), self.listener()
        self.publish(b"1")
        self.turns.drain()
        self.assertEqual((first.sent, last.sent, self.failed), ([b"1\n"], [b"1\n"], [(bad, "no")]))

    def test_leaves_during_send(self) -> None:
        """A listener may leave, and make others leave, while it is sent to."""

        def leave(_data: bytes) -> None:
            self.hub.remove(first, "a")
            self.hub.remove(second, "a")

        first = self.listener(on_send=leave)
        second, third = self.listener(), self.listener()
        self.publish(b"1")
        self.turns.drain()
        self.assertEqual((first.sent, second.sent, third.sent), ([b"1\n"], [], [b"1\n"]))

    def test_dialect_raises(self) -> None:
        """A dialect that fails costs its own listeners the message; the channel goes on, for them too."""
        other = LineDialect("other")
        listener, stranger = self.listener(), self.listener(dialect=other)
        self.dialect.broken = True
        self.publish(b"1")
        self.turns.drain()
        self.dialect.broken = False
        self.publish(b"2")
        self.turns.drain()
        self.assertEqual((listener.sent, stranger.sent), ([b"2\n"], [b"1\n", b"2\n"]))
        self.assertEqual(self.failed, [(listener, "the dialect is broken")])
