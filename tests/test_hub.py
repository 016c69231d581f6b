"""Tests of `wsrelay.hub`, one promise at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.fanout import LOOK, LineDialect, Listener, Turns
from wsrelay.core.publication import Publication
from wsrelay.hub import Hub, Subscriber
from wsrelay.interfaces import IDialect

SLICE = 1.0
"""How long a slice is here, in seconds: together with the 64 a number that floats add up to exactly."""


class HubCase(SynchronousTestCase):
    """A hub on turns that the test takes."""

    def setUp(self) -> None:
        """Make a hub."""
        self.turns = Turns()
        self.dialect = LineDialect()
        self.failed: list[tuple[Subscriber, str]] = []
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure, SLICE)

    def on_failure(self, subscriber: Subscriber) -> None:
        """Write down who failed and why."""
        self.failed.append((subscriber, str(sys.exc_info()[1])))

    def listener(
        self, channel: str = "a", on_send: Callable[[bytes], None] | None = None, dialect: IDialect | None = None
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
        listeners = [self.listener(f"c{n}", self.turns.spend(SLICE / 2)) for n in range(6)]
        for n in range(6):
            self.publish(b"1", channel=f"c{n}")
        reached = []
        while self.turns.due:
            self.turns.turn()
            reached.append(sum(len(one.sent) for one in listeners))
        self.assertEqual(reached[:3], [2, 4, 6])

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
