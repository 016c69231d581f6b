"""Tests of `wsrelay.engine.hub` under any schedule of coming, leaving, publishing and turns."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fanout import LOOK, LineDialect, Listener, Turns
from wsrelay.core.messaging.publications import Publication
from wsrelay.engine.hub import SLICE_SECONDS, Hub, Subscriber

CHANNELS = ("a", "b")
SEND_SECONDS = SLICE_SECONDS / 50


class RegisteredClient(Listener):
    """A subscriber of the machine below, of one of the tempers."""

    TEMPERS = ("calm", "raises", "leaves", "expels", "invites", "answers")

    def __init__(
        self, number: int, temper: str, dialect: LineDialect, hear: Callable[[RegisteredClient, bytes], None]
    ) -> None:
        super().__init__(dialect, lambda data: hear(self, data))
        self.number = number
        self.temper = temper
        self.answers_left = 3


class HubMachine(RuleBasedStateMachine):
    """A hub under any schedule of coming, leaving, publishing and turns, with sends that interfere.

    A message is one number behind its channel's name; the numbers of all messages ascend. Of each listener the
    machine remembers what it is owed: what was published while it was there and has not reached it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()
        self.failures = self.raised = self.count = self.sends = 0
        self.hub = Hub(self.turns.call_later, self.turns.seconds, self.on_failure)
        self.owed: dict[tuple[RegisteredClient, str], list[int]] = {}
        self.newest: dict[tuple[RegisteredClient, str], int] = {}
        dialects = LineDialect("one"), LineDialect("other")
        self.members = [
            RegisteredClient(n, temper, dialects[n % 2], self.hear)
            for n, temper in enumerate(RegisteredClient.TEMPERS * 2)
        ]
        # Half of the members stand before the crowd in every fan-out, the others come behind it.
        for member in self.members[::2]:
            self.join(member, "a")
        for n in range(LOOK + 6):
            self.join(RegisteredClient(100 + n, "calm", dialects[0], self.hear), "a")

    def on_failure(self, _subscriber: Subscriber) -> None:
        """A send raised."""
        self.failures += 1

    def join(self, member: RegisteredClient, channel: str) -> None:
        """Come, or be there already."""
        self.hub.add(member, channel)
        self.owed.setdefault((member, channel), [])

    def leave(self, member: RegisteredClient, channel: str) -> None:
        """Go, or be away already."""
        self.hub.remove(member, channel)
        self.owed.pop((member, channel), None)

    def write(self, channel: str) -> Publication:
        """Make a message; everyone who is there is owed it."""
        self.count += 1
        for (_, heard), owed in self.owed.items():
            if heard == channel:
                owed.append(self.count)
        return Publication(channel, f"{channel}{self.count}".encode())

    def say(self, channel: str) -> None:
        """Publish a message."""
        self.hub.publish(self.write(channel))

    def hear(self, member: RegisteredClient, data: bytes) -> None:
        """A batch reached a member: check it, then do as the member's temper is."""
        self.turns.now += SEND_SECONDS
        self.sends += 1
        lines = data.decode().split()
        channel = lines[0][0]
        seat = member, channel
        assert seat in self.owed, "sent to somebody who had left"
        assert {line[0] for line in lines} == {channel}, "two channels in one batch"
        for number in (int(line[1:]) for line in lines):
            assert number > self.newest.get(seat, 0), "out of order, or twice"
            self.newest[seat] = number
            if self.owed[seat] and self.owed[seat][0] <= number:
                assert self.owed[seat].pop(0) == number, "one was left out"
        self.act(member, channel)

    def act(self, member: RegisteredClient, channel: str) -> None:
        """Interfere with the fan-out."""
        other = self.members[(member.number + 1) % len(self.members)]
        if member.temper == "raises":
            self.raised += 1
            raise RuntimeError(member.temper)
        if member.temper == "leaves":
            self.leave(member, channel)
        elif member.temper == "expels":
            self.leave(other, channel)
        elif member.temper == "invites":
            self.join(other, channel)
        elif member.temper == "answers" and member.answers_left:
            member.answers_left -= 1
            if member.answers_left % 2:
                self.say(channel)
            else:
                self.hub.publish_all([self.write(channel), self.write("b")])

    @rule(number=st.integers(0, 2 * len(RegisteredClient.TEMPERS) - 1), channel=st.sampled_from(CHANNELS))
    def somebody_joins(self, number: int, channel: str) -> None:
        """Somebody comes."""
        self.join(self.members[number], channel)

    @rule(number=st.integers(0, 2 * len(RegisteredClient.TEMPERS) - 1), channel=st.sampled_from(CHANNELS))
    def somebody_leaves(self, number: int, channel: str) -> None:
        """Somebody goes."""
        self.leave(self.members[number], channel)

    @rule(channel=st.sampled_from(CHANNELS))
    def somebody_publishes(self, channel: str) -> None:
        """A message comes in."""
        self.say(channel)

    @rule(channels=st.lists(st.sampled_from(CHANNELS), max_size=4))
    def several_publish(self, channels: list[str]) -> None:
        """Messages come in together, and are sent within a slice and what is sent meanwhile by those who answer."""
        self.hub.publish_all([self.write(channel) for channel in channels])

    @rule()
    def one_turn(self) -> None:
        """One turn passes, within its slice and the sends between two looks."""
        began = self.turns.now
        self.turns.turn()
        assert self.turns.now - began < SLICE_SECONDS + LOOK * SEND_SECONDS + 1e-9, "holds the reactor"

    @rule()
    def quiet(self) -> None:
        """Nothing more comes in for a while: everybody has everything that was published while they were there."""
        self.turns.drain()
        late = {(member.number, channel): owed for (member, channel), owed in self.owed.items() if owed}
        assert not late, f"messages were lost: {late}"

    @invariant()
    def one_turn_at_most_is_due(self) -> None:
        """The hub asks for one turn at a time, reports each failure, and knows how many listen."""
        assert len(self.turns.due) <= 1
        assert self.failures == self.raised
        for channel in CHANNELS:
            assert self.hub.listeners(channel) == sum(1 for _, heard in self.owed if heard == channel)

    def teardown(self) -> None:
        """Every schedule ends in silence."""
        self.quiet()


class SchedulePropertyTests(SynchronousTestCase):
    """Whatever happens, in whatever order."""

    def test_promises(self) -> None:
        """Nobody misses a message or gets one twice, order never changes, and no turn exceeds its slice."""
        run_state_machine_as_test(HubMachine, settings=settings(max_examples=100, stateful_step_count=30))
