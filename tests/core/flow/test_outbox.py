"""Tests of `wsrelay.core.flow.outbox`: a queue that is bounded, and never tears a frame apart."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.flow.outbox import Outbox, SlowPolicy

ALL = 2**40


def drain(outbox: Outbox) -> list[bytes]:
    """What is left, batch by batch."""
    left = []
    while outbox.size:
        left.append(outbox.take(ALL))
    return left


class PolicyTests(SynchronousTestCase):
    """What an operator may choose."""

    def test_names(self) -> None:
        """The policies are written close, drop and latest."""
        self.assertEqual([policy.value for policy in SlowPolicy], ["close", "drop", "latest"])


class OutboxTests(SynchronousTestCase):
    """The queue of a slow client."""

    def test_first_in_first_out(self) -> None:
        """Batches leave in the order in which they came, and then nothing is left."""
        outbox = Outbox(10)
        self.assertEqual([outbox.put(b"one", 0), outbox.put(b"two", 0)], [True, True])
        self.assertEqual([outbox.take(ALL), outbox.take(ALL), outbox.take(ALL)], [b"one", b"two", b""])

    def test_shared(self) -> None:
        """A batch is kept as the object it is, because a thousand clients may wait for the same one."""
        batch = bytes(100)
        outbox = Outbox(100)
        outbox.put(batch, 0)
        self.assertIs(outbox.take(100), batch)

    def test_limit(self) -> None:
        """The limit may be reached and not exceeded; what is refused leaves the queue as it was."""
        outbox = Outbox(5)
        self.assertEqual([outbox.put(b"abc", 0), outbox.put(b"def", 0), outbox.put(b"de", 0)], [True, False, True])
        self.assertEqual((outbox.size, drain(outbox)), (5, [b"abc", b"de"]))

    def test_one_always_fits(self) -> None:
        """A batch beyond the limit fits where nothing waits, and then nothing else does but a control frame."""
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

    def test_pieces(self) -> None:
        """What is too long for one piece leaves in several, before anything else."""
        outbox = Outbox(100)
        outbox.put(b"abcdefgh", 0)
        outbox.put(b"x", 0)
        self.assertEqual([outbox.take(3) for _ in range(4)], [b"abc", b"def", b"gh", b"x"])

    def test_latest(self) -> None:
        """The newest message of a channel takes the place of the one that waits, behind all else that waits."""
        outbox = Outbox(100)
        outbox.put_latest("a", b"a1", 1)
        outbox.put_latest("b", b"b1", 2)
        outbox.put(b"c", 3)
        outbox.put_latest("a", b"a22", 4)
        self.assertEqual((outbox.size, outbox.oldest), (6, 2))
        self.assertEqual(drain(outbox), [b"b1", b"c", b"a22"])

    def test_latest_makes_room(self) -> None:
        """A newest message may need the room of the one it replaces; if even that is too little, both are gone."""
        outbox = Outbox(5)
        outbox.put(b"xx", 0)
        self.assertTrue(outbox.put_latest("a", b"123", 0))
        self.assertTrue(outbox.put_latest("a", b"456", 0))
        self.assertFalse(outbox.put_latest("a", b"7890", 0))
        self.assertEqual(drain(outbox), [b"xx"])

    def test_latest_that_is_begun(self) -> None:
        """A message that the client has had a part of is finished, however new the next one is."""
        outbox = Outbox(100)
        outbox.put_latest("a", b"first", 1)
        self.assertEqual(outbox.take(2), b"fi")
        outbox.put_latest("a", b"second", 2)
        outbox.put_latest("a", b"third", 3)
        self.assertEqual((outbox.oldest, drain(outbox)), (1, [b"rst", b"third"]))

    def test_cut(self) -> None:
        """Cutting leaves the rest of what is begun, whoever began it, and a control frame still goes behind it."""
        outbox = Outbox(100)
        outbox.begin(memoryview(b"rest"), 1)
        outbox.put(b"never", 2)
        outbox.put_latest("a", b"never", 2)
        outbox.cut()
        outbox.put_control(b"bye", 3)
        self.assertEqual((outbox.size, outbox.oldest), (7, 1))
        self.assertEqual((outbox.take(2), outbox.size), (b"re", 5))
        outbox.cut()
        outbox.put_control(b"BYE", 3)
        self.assertEqual(drain(outbox), [b"st", b"BYE"])
        outbox.put(b"never", 4)
        outbox.cut()
        self.assertEqual((outbox.size, outbox.oldest, outbox.take(ALL)), (0, None, b""))

    def test_oldest(self) -> None:
        """A rest is as old as its batch; nothing has no age."""
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
    """What an outbox promises, as a list of entries: a channel or none, bytes, time, and whether it is begun."""

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

    def cut(self) -> None:
        self.entries = [entry for entry in self.entries if entry[3]]


def batches(largest: int) -> st.SearchStrategy[int]:
    """How long a batch is."""
    return st.integers(1, largest)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), batches(24)),
        st.tuples(st.sampled_from(("a", "b")), batches(24)),
        st.tuples(st.just("control"), batches(4)),
        st.tuples(st.just("begin"), batches(40)),
        st.tuples(st.just("take"), st.integers(1, 30)),
        st.tuples(st.just("cut"), st.just(0)),
    ),
    max_size=60,
)


class ModelTests(SynchronousTestCase):
    """Any mix of calls."""

    @given(st.integers(0, 40), STEPS)
    @example(10, [("a", 8), ("take", 3), ("a", 5), ("a", 6), ("cut", 0), ("control", 2), ("take", 30), ("take", 30)])
    def test_model(self, limit: int, steps: list[tuple[str, int]]) -> None:
        """Through any mix of calls it is the list above: its order, its size, its age and its bounds."""
        outbox, model = Outbox(limit), Model(limit)
        controls = 0
        for number, (step, size) in enumerate(steps):
            now = float(number)
            data = bytes((number % 256,)) * size
            self.step(outbox, model, step, data, size, now)
            controls += size if step == "control" else 0
            self.assertEqual(outbox.size, model.size)
            self.assertEqual(outbox.oldest, model.entries[0][2] if model.entries else None)
            # One batch, begun or not, and the control frames are all that may go beyond the limit.
            longest = max((len(entry[1]) for entry in model.entries), default=0)
            self.assertLessEqual(outbox.size, max(limit, longest) + controls)
        self.assertEqual(b"".join(drain(outbox)), b"".join(entry[1] for entry in model.entries))

    def step(self, outbox: Outbox, model: Model, step: str, data: bytes, size: int, now: float) -> None:
        """Do one thing to both, and compare what they say."""
        puts: dict[str, Callable[[], tuple[bool, bool]]] = {
            "put": lambda: (outbox.put(data, now), model.put(data, now)),
            "a": lambda: (outbox.put_latest("a", data, now), model.put(data, now, "a")),
            "b": lambda: (outbox.put_latest("b", data, now), model.put(data, now, "b")),
        }
        if step in puts:
            said, expected = puts[step]()
            self.assertEqual(said, expected)
        elif step == "control":
            outbox.put_control(data, now)
            model.entries.append(("", data, now, False))
        elif step == "begin" and not model.entries:
            outbox.begin(memoryview(data), now)
            model.entries.append(("", data, now, True))
        elif step == "take":
            self.assertEqual(outbox.take(size), model.take(size))
        elif step == "cut":
            outbox.cut()
            model.cut()

    @given(st.lists(st.binary(min_size=1, max_size=40), min_size=1), st.lists(st.integers(1, 15), min_size=1))
    def test_pieces_join(self, sent: list[bytes], sizes: list[int]) -> None:
        """Taken in pieces of any sizes, everything comes out as it went in, and no piece is longer than asked."""
        outbox = Outbox(ALL)
        for batch in sent:
            outbox.put(batch, 0)
        pieces: list[bytes] = []
        while outbox.size:
            most = sizes[len(pieces) % len(sizes)]
            pieces.append(outbox.take(most))
            self.assertLessEqual(len(pieces[-1]), most)
        self.assertEqual(b"".join(pieces), b"".join(sent))
