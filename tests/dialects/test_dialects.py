"""Tests of the table in `wsrelay.dialects`."""

from __future__ import annotations

from itertools import permutations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from wsrelay.dialects import DIALECTS, find_dialect
from wsrelay.interfaces import IDialect


class TableTests(SynchronousTestCase):
    """The wire languages there are."""

    def test_names(self) -> None:
        """Each dialect stands under its own name and keeps the promises of a dialect."""
        for name, dialect in DIALECTS.items():
            self.assertEqual(dialect.name, name)
            verifyObject(IDialect, dialect)

    def test_paths(self) -> None:
        """No path of a dialect begins another's, so that the order of the table never matters."""
        for one, other in permutations(DIALECTS.values(), 2):
            self.assertFalse(one.path.startswith(other.path))
        for dialect in DIALECTS.values():
            self.assertTrue(dialect.path.startswith("/"))
            self.assertTrue(dialect.path.endswith("/"))

    def test_find(self) -> None:
        """A dialect is found by the beginning of the path, slash included; elsewhere no WebSocket lives."""
        self.assertIs(find_dialect("/ws/chat"), DIALECTS["raw"])
        self.assertIs(find_dialect("/ws/"), DIALECTS["raw"])
        for path in ("", "/", "/ws", "/wsx/chat", "/WS/chat", "//ws/chat", "ws/chat"):
            self.assertIsNone(find_dialect(path), path)
