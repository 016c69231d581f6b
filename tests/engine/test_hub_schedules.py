"""Tests of `wsrelay.engine.hub` under any schedule of subscribing, leaving, broadcasts and turns."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fanout import LOOK, LineDialect, LineSubscriber, Turns
from wsrelay.core.messaging.publications import ChannelEvent, Join, Publication
from wsrelay.engine.encodings import Encoding
from wsrelay.engine.hub import SLICE_SECONDS, Hub, Subscriber

CHANNELS = ("a", "b")
SEND_SECONDS = SLICE_SECONDS / 50
BEHAVIOURS = ("calm", "raises", "leaves", "removes", "adds", "broadcasts")
ENCODINGS = LineDialect("one").encoding, LineDialect("other").encoding


class Member(LineSubscriber):
    """A subscriber of the machine below, of one of the behaviours.

    Its encoding is another one on each channel.
    """

    def __init__(self, number: int, behaviour: str, on_batch: Callable[[Member, bytes], None]) -> None:
        super().__init__(lambda data: on_batch(self, data))
        self.number = number
        self.behaviour = behaviour
        self.broadcasts_left = 3

    def encoding(self, channel: str) -> Encoding:
        """Return its encoding on a channel."""
        return ENCODINGS[(self.number + CHANNELS.index(channel)) % 2]


class HubMachine(RuleBasedStateMachine):
    """A hub under any schedule of subscribing, leaving, broadcasts and turns, with sends that interfere.

    A message is one number behind its channel's name, and the numbers of all messages ascend. Of each subscription the
    machine knows what is owed: what was broadcast while it was there and has not reached it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()
        self.failures = self.raised = self.count = self.sends = 0
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure)
        self.owed: dict[tuple[Member, str], list[int]] = {}
        self.newest: dict[tuple[Member, str], int] = {}
        self.members = [Member(n, behaviour, self.on_batch) for n, behaviour in enumerate(BEHAVIOURS * 2)]
        # Half of the members stand before the crowd in every fan-out, the others come behind it.
        for member in self.members[::2]:
            self.add(member, "a")
        for n in range(LOOK + 6):
            self.add(Member(100 + n, "calm", self.on_batch), "a")

    def on_failure(self, _subscriber: Subscriber) -> None:
        """Count a send that raised."""
        self.failures += 1

    def add(self, member: Member, channel: str) -> None:
        """Subscribe, perhaps a second time."""
        self.hub.add(member, channel, member.encoding(channel))
        self.owed.setdefault((member, channel), [])

    def remove(self, member: Member, channel: str) -> None:
        """Unsubscribe, perhaps without being there."""
        self.hub.remove(member, channel)
        self.owed.pop((member, channel), None)

    def message(self, channel: str) -> Publication:
        """Return a new message; every subscriber of the channel is owed it."""
        self.count += 1
        for (_, each), owed in self.owed.items():
            if each == channel:
                owed.append(self.count)
        return Publication(channel, f"{channel}{self.count}".encode())

    def on_batch(self, member: Member, data: bytes) -> None:
        """Check a batch that reached a member, then do as the member behaves."""
        self.turns.now += SEND_SECONDS
        self.sends += 1
        lines = data.decode().split()
        channel = lines[0][0]
        subscription = member, channel
        assert subscription in self.owed, "sent to a member that had left"
        assert {line[0] for line in lines} == {channel}, "two channels in one batch"
        for number in (int(line[1:]) for line in lines):
            assert number > self.newest.get(subscription, 0), "out of order, or twice"
            self.newest[subscription] = number
            assert self.owed[subscription], "sent from before the subscription"
            assert self.owed[subscription].pop(0) == number, "one was left out, or is from before the subscription"
        self.interfere(member, channel)

    def interfere(self, member: Member, channel: str) -> None:
        """Interfere with the fan-out."""
        other = self.members[(member.number + 1) % len(self.members)]
        if member.behaviour == "raises":
            self.raised += 1
            raise RuntimeError(member.behaviour)
        if member.behaviour == "leaves":
            self.remove(member, channel)
        elif member.behaviour == "removes":
            self.remove(other, channel)
        elif member.behaviour == "adds":
            self.add(other, channel)
        elif member.behaviour == "broadcasts" and member.broadcasts_left:
            member.broadcasts_left -= 1
            if member.broadcasts_left % 2:
                self.hub.broadcast([self.message(channel)])
            else:
                self.hub.broadcast([self.message(channel), self.message("b")])

    @rule(number=st.integers(0, 2 * len(BEHAVIOURS) - 1), channel=st.sampled_from(CHANNELS))
    def member_subscribes(self, number: int, channel: str) -> None:
        """A member subscribes."""
        self.add(self.members[number], channel)

    @rule(number=st.integers(0, 2 * len(BEHAVIOURS) - 1), channel=st.sampled_from(CHANNELS))
    def member_leaves(self, number: int, channel: str) -> None:
        """A member leaves."""
        self.remove(self.members[number], channel)

    @rule(channel=st.sampled_from(CHANNELS))
    def message_comes(self, channel: str) -> None:
        """One message comes."""
        self.hub.broadcast([self.message(channel)])

    @rule(channels=st.lists(st.sampled_from(CHANNELS), max_size=4), announces=st.booleans())
    def messages_come(self, channels: list[str], announces: bool) -> None:
        """Messages come together, perhaps with an event behind them that the dialects have no form for."""
        events: list[ChannelEvent] = [self.message(channel) for channel in channels]
        self.hub.broadcast([*events, *([Join("a", "5f0c")] if announces else ())])

    @rule()
    def one_turn(self) -> None:
        """One turn passes, within its slice and the sends between two looks."""
        began = self.turns.now
        self.turns.turn()
        assert self.turns.now - began < SLICE_SECONDS + LOOK * SEND_SECONDS + 1e-9, "holds the reactor"

    @rule()
    def quiet(self) -> None:
        """Nothing more comes for a while: everything has reached every subscriber that it was owed to."""
        self.turns.drain()
        late = {(member.number, channel): owed for (member, channel), owed in self.owed.items() if owed}
        assert not late, f"messages were lost: {late}"

    @invariant()
    def one_turn_at_most_is_due(self) -> None:
        """The hub asks for one turn at a time, reports each failure, and knows its subscribers."""
        assert len(self.turns.due) <= 1
        assert self.failures == self.raised
        for channel in CHANNELS:
            found = self.hub.subscribers(channel)
            assert len(found) == len(set(found)) == sum(1 for _, each in self.owed if each == channel)

    def teardown(self) -> None:
        """Every schedule ends in silence."""
        self.quiet()


class SchedulePropertyTests(SynchronousTestCase):
    """Everything that may happen, in any order."""

    def test_no_message_is_lost_doubled_or_out_of_order_and_no_turn_exceeds_its_slice(self) -> None:
        run_state_machine_as_test(HubMachine, settings=settings(max_examples=100, stateful_step_count=30))
