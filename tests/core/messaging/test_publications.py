"""Tests of `wsrelay.core.messaging.publications`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.publications import Publication


class PublicationTests(SynchronousTestCase):
    """One message."""

    def test_value(self) -> None:
        """A publication is a value: channel first, then the payload."""
        self.assertEqual(Publication("chat", b"hi"), Publication(channel="chat", data=b"hi"))
