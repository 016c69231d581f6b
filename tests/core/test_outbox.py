"""Tests of `wsrelay.core.outbox`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outbox import Outbox


class OutboxTests(SynchronousTestCase):
    """The queue of a slow client."""

    def test_first_in_first_out(self) -> None:
        """Batches leave in the order in which they came, and then nothing is left."""
        outbox = Outbox(10)
        self.assertEqual([outbox.put(b"one"), outbox.put(b"two")], [True, True])
        self.assertEqual([outbox.take(), outbox.take(), outbox.take()], [b"one", b"two", None])

    def test_shared(self) -> None:
        """A batch is kept as the object it is, because a thousand clients may wait for the same one."""
        batch = bytes(100)
        outbox = Outbox(100)
        outbox.put(batch)
        self.assertIs(outbox.take(), batch)

    def test_limit(self) -> None:
        """The limit may be reached and not exceeded; what is refused leaves the queue as it was."""
        outbox = Outbox(5)
        self.assertEqual([outbox.put(b"abc"), outbox.put(b"def"), outbox.put(b"de")], [True, False, True])
        self.assertEqual(outbox.size, 5)
        self.assertEqual([outbox.take(), outbox.take(), outbox.take()], [b"abc", b"de", None])

    @given(st.integers(0, 40), st.lists(st.none() | st.binary(max_size=20), max_size=60))
    def test_model(self, limit: int, steps: list[bytes | None]) -> None:
        """Through any mix of puts and takes it is a list that never holds more than the limit."""
        outbox, model = Outbox(limit), list[bytes]()
        for batch in steps:
            if batch is None:
                self.assertEqual(outbox.take(), model.pop(0) if model else None)
            else:
                fits = sum(map(len, model)) + len(batch) <= limit
                self.assertEqual(outbox.put(batch), fits)
                model += [batch] if fits else []
            self.assertEqual(outbox.size, sum(map(len, model)))
            self.assertLessEqual(outbox.size, limit)
