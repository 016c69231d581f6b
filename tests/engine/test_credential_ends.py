"""Tests of `wsrelay.engine.credential_ends`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.engine.credential_ends import LOOK_SECONDS, NEAR_SECONDS, CredentialEnds
from wsrelay.engine.timers import RESOLUTION_SECONDS, TimerWheel

EPOCH = 1_800_000_000.0


class Wall:
    """A wall clock that can be set, and the ends that go by it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.epoch = EPOCH
        self.ends = CredentialEnds(TimerWheel(self.clock), self.now)

    def now(self) -> float:
        """Return the time of the wall clock."""
        return self.epoch + self.clock.seconds()

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps as fine as the timers'."""
        for _ in range(round(seconds / RESOLUTION_SECONDS)):
            self.clock.advance(RESOLUTION_SECONDS)


class EndingClient:
    """A client that notes when its credential ends."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.ended: list[float] = []

    def credential_ended(self) -> None:
        """See `EndingClient.credential_ended`."""
        self.ended.append(self.wall.now() - EPOCH)


class CredentialEndsTests(SynchronousTestCase):
    """`CredentialEnds`."""

    def setUp(self) -> None:
        """Make a wall clock, and a client."""
        self.wall = Wall()
        self.ends, self.clock = self.wall.ends, self.wall.clock
        self.client = EndingClient(self.wall)

    def test_client_is_ended_once_at_its_time_however_far_that_is(self) -> None:
        for seconds in (0.0, 10.0, LOOK_SECONDS, NEAR_SECONDS - 0.5, NEAR_SECONDS, NEAR_SECONDS + 0.5, 4000.0):
            client, before = EndingClient(self.wall), self.wall.now() - EPOCH
            self.ends.add(client, self.wall.now() + seconds)
            self.wall.pass_time(seconds + 2 * LOOK_SECONDS)
            self.assertEqual(len(client.ended), 1, seconds)
            self.assertTrue(0 <= client.ended[0] - before - seconds <= RESOLUTION_SECONDS, (seconds, client.ended))
        self.assertEqual((len(self.ends), self.clock.getDelayedCalls()), (0, []))

    def test_later_end_takes_the_place_of_the_one_before_and_so_does_an_earlier_one(self) -> None:
        for first, second in ((30.0, 60.0), (30.0, 600.0), (600.0, 30.0), (600.0, 900.0)):
            client, before = EndingClient(self.wall), self.wall.now() - EPOCH
            self.ends.add(client, self.wall.now() + first)
            self.ends.add(client, self.wall.now() + second)
            self.assertEqual(len(self.ends), 1)
            self.wall.pass_time(1200)
            self.assertEqual([each - before for each in client.ended], [second])

    def test_client_that_is_removed_is_not_ended_and_leaves_no_timer(self) -> None:
        for seconds, waited in ((30.0, 0.0), (600.0, 0.0), (600.0, 550.0)):
            self.ends.add(self.client, self.wall.now() + seconds)
            self.wall.pass_time(waited)
            for _ in range(2):
                self.ends.remove(self.client)
            self.assertEqual(len(self.ends), 0)
            self.assertFalse(any(self.ends._timers._buckets.values()))
        self.wall.pass_time(1200)
        self.assertEqual(self.client.ended, [])

    def test_others_are_ended_though_one_is_removed(self) -> None:
        other = EndingClient(self.wall)
        for client in (self.client, other):
            self.ends.add(client, EPOCH + 600)
        self.ends.remove(self.client)
        self.wall.pass_time(700)
        self.assertEqual((self.client.ended, other.ended), ([], [600.0]))

    def test_client_may_remove_others_that_end_at_the_same_time(self) -> None:
        ends, others = self.ends, [EndingClient(self.wall), EndingClient(self.wall)]

        class Hasty(EndingClient):
            def credential_ended(self) -> None:
                super().credential_ended()
                for each in others:
                    ends.remove(each)

        hasty = Hasty(self.wall)
        for client in (others[0], hasty, others[1]):
            self.ends.add(client, EPOCH + 600)
        self.wall.pass_time(700)
        self.assertEqual([each.ended for each in (others[0], hasty, others[1])], [[600.0], [600.0], []])

    def test_clock_that_is_set_forward_is_noticed_within_a_minute_and_one_set_back_is_waited_for(self) -> None:
        self.ends.add(self.client, EPOCH + 90_000)
        self.wall.epoch += 90_000
        self.wall.pass_time(LOOK_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(len(self.client.ended), 1)
        self.ends.add(self.client, self.wall.now() + 60)
        self.wall.epoch -= 600
        self.wall.pass_time(659)
        self.assertEqual(len(self.client.ended), 1)
        self.wall.pass_time(1)
        self.assertEqual(len(self.client.ended), 2)

    def test_clock_that_is_set_back_and_right_again_keeps_nobody_beyond_the_end(self) -> None:
        for seconds in (60.0, 600.0):
            client, end = EndingClient(self.wall), self.wall.now() + seconds
            self.ends.add(client, end)
            self.wall.epoch -= 3000
            self.wall.pass_time(seconds + NEAR_SECONDS)
            self.wall.epoch += 3000
            self.assertEqual((client.ended, end <= self.wall.now()), ([], True))
            self.wall.pass_time(LOOK_SECONDS + RESOLUTION_SECONDS)
            self.assertEqual(len(client.ended), 1)

    @given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(1, 400), st.integers(0, 200)), max_size=8))
    def test_each_client_is_ended_when_it_was_last_said(self, steps: list[tuple[int, int | None, int]]) -> None:
        wall = Wall()
        clients = [EndingClient(wall) for _ in range(4)]
        due: dict[int, float] = {}
        expected: list[list[float]] = [[] for _ in clients]
        for number, seconds, waited in steps:
            if seconds is None:
                wall.ends.remove(clients[number])
                due.pop(number, None)
            else:
                due[number] = wall.now() - EPOCH + seconds
                wall.ends.add(clients[number], EPOCH + due[number])
            wall.pass_time(waited)
            for each in [each for each, at in due.items() if at <= wall.now() - EPOCH]:
                expected[each].append(due.pop(each))
        self.assertEqual(([each.ended for each in clients], len(wall.ends)), (expected, len(due)))
