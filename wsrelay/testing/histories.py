"""Test doubles of histories."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from wsrelay.core.messaging.publications import Publication
from wsrelay.interfaces import IHistory

__all__ = ["FakeHistory"]


@implementer(IHistory)
class FakeHistory:
    """A history of the publications that the test names.

    Attributes:
        publications: The entries of all channels, oldest first, each with its position.
        failure: What `read` fails with. If None, it does not.
    """

    def __init__(self, publications: Sequence[Publication] = ()) -> None:
        self.publications = list(publications)
        self.failure: Exception | None = None

    def read(self, channel: str, since: str, limit: int) -> Deferred[Sequence[Publication]]:
        """See `IHistory.read`. A position that is not there stands before the oldest entry that is kept."""
        if self.failure is not None:
            return fail(self.failure)
        entries = [each for each in self.publications if each.channel == channel]
        positions = [each.position for each in entries]
        start = positions.index(since) + 1 if since in positions else 0
        return succeed(entries[start : start + limit])
