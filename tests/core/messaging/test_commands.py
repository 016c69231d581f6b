"""Tests of `wsrelay.core.messaging.commands`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.commands import Connect, Publish, Subscribe, Unsubscribe, Unsupported
from wsrelay.core.outcomes.client_errors import ClientError


class CommandTests(SynchronousTestCase):
    """Commands are values."""

    def test_fields_stand_in_the_documented_order(self) -> None:
        self.assertEqual(Connect(1, None), Connect(id=1, credential=None))
        self.assertEqual(Subscribe(1, "a"), Subscribe(id=1, channel="a", since=None))
        self.assertEqual(Unsubscribe(1, "a"), Unsubscribe(id=1, channel="a"))
        self.assertEqual(Publish(0, None, b"x"), Publish(id=0, channel=None, data=b"x"))
        self.assertEqual(Unsupported(1, ClientError.NOT_SUPPORTED), Unsupported(id=1, error=ClientError.NOT_SUPPORTED))

    def test_commands_are_equal_where_they_ask_the_same(self) -> None:
        self.assertNotEqual(Publish(0, None, b"x"), Publish(0, "a", b"x"))
        self.assertNotEqual(Publish(1, "a", b"x"), Publish(2, "a", b"x"))
        self.assertNotEqual(Subscribe(1, "a"), Subscribe(1, "a", since=""))
        self.assertNotEqual(Subscribe(1, "a"), Unsubscribe(1, "a"))
