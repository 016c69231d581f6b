"""Tests of `wsrelay.core.flow.outbox`: a queue that is bounded, and never interrupts a frame."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.outbox import Outbox

ALL = 2**40


def drain(outbox: Outbox) -> list[bytes]:
    """Take everything, batch by batch."""
    left = []
    while outbox.size:
        left.append(outbox.take(ALL))
    return left


class OutboxTests(SynchronousTestCase):
    """The queue of a slow client."""

    def test_batches_leave_in_the_order_in_which_they_came(self) -> None:
        outbox = Outbox(10)
        self.assertEqual([outbox.put(b"one", 0), outbox.put(b"two", 0)], [True, True])
        self.assertEqual([outbox.take(ALL), outbox.take(ALL), outbox.take(ALL)], [b"one", b"two", b""])

    def test_batch_is_kept_as_the_object_it_is(self) -> None:
        """A thousand clients may wait for the same one."""
        batch = bytes(100)
        outbox = Outbox(100)
        outbox.put(batch, 0)
        self.assertIs(outbox.take(100), batch)

    def test_limit_may_be_reached_and_not_exceeded(self) -> None:
        """A batch that does not fit leaves the queue as it was."""
        outbox = Outbox(5)
        self.assertEqual([outbox.put(b"abc", 0), outbox.put(b"def", 0), outbox.put(b"de", 0)], [True, False, True])
        self.assertEqual((outbox.size, drain(outbox)), (5, [b"abc", b"de"]))

    def test_batch_of_any_length_fits_into_an_empty_queue(self) -> None:
        """Then nothing else does but a control frame."""
        for kind in ("put", "begin", "latest"):
            outbox = Outbox(5)
            if kind == "put":
                self.assertTrue(outbox.put(b"giant batch", 0))
            elif kind == "begin":
                outbox.begin(memoryview(b"giant batch"), 0)
            else:
                self.assertTrue(outbox.put_latest("c", b"giant batch", 0))
            self.assertEqual((outbox.put(b"x", 0), outbox.put_latest("d", b"x", 0)), (False, False))
            outbox.put_control(b"ping", 0)
            self.assertEqual((outbox.size, drain(outbox)), (15, [b"giant batch", b"ping"]))

    def test_long_batch_leaves_in_pieces_before_anything_else(self) -> None:
        outbox = Outbox(100)
        outbox.put(b"abcdefgh", 0)
        outbox.put(b"x", 0)
        self.assertEqual([outbox.take(3) for _ in range(4)], [b"abc", b"def", b"gh", b"x"])

    def test_latest_message_replaces_the_one_that_waits_and_goes_last(self) -> None:
        outbox = Outbox(100)
        outbox.put_latest("a", b"a1", 1)
        outbox.put_latest("b", b"b1", 2)
        outbox.put(b"c", 3)
        outbox.put_latest("a", b"a22", 4)
        self.assertEqual((outbox.size, outbox.oldest), (6, 2))
        self.assertEqual(drain(outbox), [b"b1", b"c", b"a22"])

    def test_latest_message_may_use_the_room_of_the_one_it_replaces(self) -> None:
        """If even that is too little, both are gone."""
        outbox = Outbox(5)
        outbox.put(b"xx", 0)
        self.assertTrue(outbox.put_latest("a", b"123", 0))
        self.assertTrue(outbox.put_latest("a", b"456", 0))
        self.assertFalse(outbox.put_latest("a", b"7890", 0))
        self.assertEqual(drain(outbox), [b"xx"])

    def test_begun_message_is_finished_however_new_the_next_one_is(self) -> None:
        outbox = Outbox(100)
        outbox.put_latest("a", b"first", 1)
        self.assertEqual(outbox.take(2), b"fi")
        outbox.put_latest("a", b"second", 2)
        outbox.put_latest("a", b"third", 3)
        self.assertEqual((outbox.oldest, drain(outbox)), (1, [b"rst", b"third"]))

    def test_truncate_leaves_the_rest_of_a_begun_batch_and_control_frames_go_behind_it(self) -> None:
        outbox = Outbox(100)
        outbox.begin(memoryview(b"rest"), 1)
        outbox.put(b"never", 2)
        outbox.put_latest("a", b"never", 2)
        outbox.truncate()
        outbox.put_control(b"bye", 3)
        self.assertEqual((outbox.size, outbox.oldest), (7, 1))
        self.assertEqual((outbox.take(2), outbox.size), (b"re", 5))
        outbox.truncate()
        outbox.put_control(b"BYE", 3)
        self.assertEqual(drain(outbox), [b"st", b"BYE"])
        outbox.put(b"never", 4)
        outbox.truncate()
        self.assertEqual((outbox.size, outbox.oldest, outbox.take(ALL)), (0, None, b""))

    def test_rest_is_as_old_as_its_batch_and_an_empty_queue_has_no_age(self) -> None:
        outbox = Outbox(100)
        self.assertIsNone(outbox.oldest)
        outbox.put(b"abc", 1)
        outbox.put_control(b"d", 2)
        ages = [outbox.oldest]
        for most in (2, 1, 1):
            outbox.take(most)
            ages.append(outbox.oldest)
        self.assertEqual(ages, [1, 1, 2, None])


class Model:
    """An outbox as a list of entries: a channel or none, bytes, time, and whether it is begun."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.entries: list[tuple[str, bytes, float, bool]] = []

    @property
    def size(self) -> int:
        return sum(len(data) for _, data, _, _ in self.entries)

    def fits(self, data: bytes) -> bool:
        return not self.size or self.size + len(data) <= self.limit

    def put(self, data: bytes, now: float, channel: str = "") -> bool:
        if channel:
            self.entries = [entry for entry in self.entries if entry[0] != channel]
        fits = self.fits(data)
        if fits:
            self.entries.append((channel, data, now, False))
        return fits

    def take(self, most: int) -> bytes:
        if not self.entries:
            return b""
        _, data, since, _ = self.entries.pop(0)
        if len(data) > most:
            self.entries.insert(0, ("", data[most:], since, True))
        return data[:most]

    def truncate(self) -> None:
        self.entries = [entry for entry in self.entries if entry[3]]


def batches(largest: int) -> st.SearchStrategy[int]:
    """Return a strategy for the length of a batch."""
    return st.integers(1, largest)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), batches(24)),
        st.tuples(st.sampled_from(("a", "b")), batches(24)),
        st.tuples(st.just("control"), batches(4)),
        st.tuples(st.just("begin"), batches(40)),
        st.tuples(st.just("take"), st.integers(1, 30)),
        st.tuples(st.just("truncate"), st.just(0)),
    ),
    max_size=60,
)


class ModelTests(SynchronousTestCase):
    """Any mix of calls."""

    @given(st.integers(0, 40), STEPS)
    @example(
        10, [("a", 8), ("take", 3), ("a", 5), ("a", 6), ("truncate", 0), ("control", 2), ("take", 30), ("take", 30)]
    )
    def test_any_mix_of_calls_behaves_as_the_model(self, limit: int, steps: list[tuple[str, int]]) -> None:
        """Its order, its size, its age and its bounds."""
        outbox, model = Outbox(limit), Model(limit)
        controls = 0
        for number, (step, size) in enumerate(steps):
            now = float(number)
            data = bytes((number % 256,)) * size
            self.step(outbox, model, step, data, size, now)
            controls += size if step == "control" else 0
            self.assertEqual(outbox.size, model.size)
            self.assertEqual(outbox.oldest, model.entries[0][2] if model.entries else None)
            # Only one batch, begun or not, and the control frames may exceed the limit.
            longest = max((len(entry[1]) for entry in model.entries), default=0)
            self.assertLessEqual(outbox.size, max(limit, longest) + controls)
        self.assertEqual(b"".join(drain(outbox)), b"".join(entry[1] for entry in model.entries))

    def step(self, outbox: Outbox, model: Model, step: str, data: bytes, size: int, now: float) -> None:
        """Do one step on both, and compare the results."""
        puts: dict[str, Callable[[], tuple[bool, bool]]] = {
            "put": lambda: (outbox.put(data, now), model.put(data, now)),
            "a": lambda: (outbox.put_latest("a", data, now), model.put(data, now, "a")),
            "b": lambda: (outbox.put_latest("b", data, now), model.put(data, now, "b")),
        }
        if step in puts:
            result, expected = puts[step]()
            self.assertEqual(result, expected)
        elif step == "control":
            outbox.put_control(data, now)
            model.entries.append(("", data, now, False))
        elif step == "begin" and not model.entries:
            outbox.begin(memoryview(data), now)
            model.entries.append(("", data, now, True))
        elif step == "take":
            self.assertEqual(outbox.take(size), model.take(size))
        elif step == "truncate":
            outbox.truncate()
            model.truncate()

    @given(st.lists(st.binary(min_size=1, max_size=40), min_size=1), st.lists(st.integers(1, 15), min_size=1))
    def test_pieces_of_any_sizes_join_to_what_was_put(self, sent: list[bytes], sizes: list[int]) -> None:
        """And no piece is longer than asked for."""
        outbox = Outbox(ALL)
        for batch in sent:
            outbox.put(batch, 0)
        pieces: list[bytes] = []
        while outbox.size:
            most = sizes[len(pieces) % len(sizes)]
            pieces.append(outbox.take(most))
            self.assertLessEqual(len(pieces[-1]), most)
        self.assertEqual(b"".join(pieces), b"".join(sent))
