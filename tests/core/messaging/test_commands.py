"""Tests of `wsrelay.core.messaging.commands`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.commands import Publish, Subscribe


class CommandTests(SynchronousTestCase):
    """What clients ask."""

    def test_values(self) -> None:
        """Commands are values: equal where they ask the same, with their fields in the documented order."""
        self.assertEqual(Subscribe("a"), Subscribe(channel="a"))
        self.assertEqual(Publish(None, b"x"), Publish(channel=None, payload=b"x"))
        self.assertNotEqual(Publish(None, b"x"), Publish("a", b"x"))
