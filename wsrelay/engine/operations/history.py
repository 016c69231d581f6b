"""The history of a channel, in pages, and its removal."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from wsrelay.core.history.entries import INFO_FIELD, TAGS_FIELD, Entry, StreamLook
from wsrelay.core.history.offsets import EPOCH, empty_offset, entry_offset, read_offset
from wsrelay.core.history.pages import HistoryPage, KeptPublication
from wsrelay.core.history.positions import EntryID
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import PositionError, RejectedError
from wsrelay.engine.operations.arguments import find_namespace
from wsrelay.interfaces import IBroker, IHistory

__all__ = ["MAX_PAGE_BYTES", "MAX_PAGE_SIZE", "HistoryOperations"]

MAX_PAGE_SIZE = 1000
"""The largest number of publications in one page; whoever wants more asks again from the last one's offset."""

MAX_PAGE_BYTES = 1024 * 1024
"""Data in one page, in bytes, beyond the publication that reaches it."""

ENTRIES_PER_READ = 100
"""Entries that are read at once, so that a page of large ones is not read far beyond its end."""


MAX_SKIPPED_BYTES = 4 * 1024 * 1024
"""Data that is read, in bytes, in search of what lies before an offset."""


class HistoryOperations:
    """Reads and removes what channels keep.

    Args:
        broker: Keeps it.
        namespaces: The channels that exist.
    """

    def __init__(self, broker: IBroker, namespaces: Namespaces) -> None:
        self._broker = broker
        self._namespaces = namespaces

    def page(
        self, channel: str, limit: int = 0, since: int | None = None, epoch: str = "", *, reverse: bool = False
    ) -> Deferred[HistoryPage]:
        """Read a page.

        Args:
            channel: The channel's name.
            limit: The number of publications, at most `MAX_PAGE_SIZE`. 0: the position alone. Negative: as many as a
                page holds.
            since: The offset to begin behind or, in reverse, before. 0: at the oldest. If None, at the oldest or, in
                reverse, at the newest.
            epoch: The epoch of `since`. If empty, any.
            reverse: Whether the newest publications come first.

        Returns:
            Fires with the page, within the broker's bounded time.

        Raises:
            ChannelError: (Failure of the Deferred.) The name is outside the grammar.
            RejectedError: (Failure of the Deferred.) No namespace has this channel, or it keeps no history, or in
                reverse `since` is too far from the newest publication.
            PositionError: (Failure of the Deferred.) `since` is no position to begin at.
            BrokerUnavailable: (Failure of the Deferred.) It cannot be read now.
        """
        return Deferred.fromCoroutine(self._page(channel, limit, since, epoch, reverse=reverse))

    def remove(self, channel: str) -> Deferred[None]:
        """Remove what a channel keeps. Its newest position stays.

        Returns:
            Fires with None when it is removed, within the broker's bounded time.

        Raises:
            ChannelError: (Failure of the Deferred.) The name is outside the grammar.
            RejectedError: (Failure of the Deferred.) No namespace has this channel, or it keeps no history.
            BrokerUnavailable: (Failure of the Deferred.) It was not removed, or that cannot be known.
        """
        return Deferred.fromCoroutine(self._remove(channel))

    async def _remove(self, channel: str) -> None:
        await self._history(channel).clear(channel)

    async def _page(self, channel: str, limit: int, since: int | None, epoch: str, *, reverse: bool) -> HistoryPage:
        history = self._history(channel)
        begin = None if since is None else _begin(since, epoch)
        size = MAX_PAGE_SIZE if limit < 0 else min(limit, MAX_PAGE_SIZE)
        if reverse and size:
            return await self._reverse_page(history, channel, size, since)
        top = _top(await history.look_at_newest(channel, 1))
        return HistoryPage(tuple(await self._read(history, channel, size, begin, since or 0)), top)

    async def _read(
        self, history: IHistory, channel: str, size: int, begin: EntryID | None, since: int
    ) -> list[KeptPublication]:
        found: list[KeptPublication] = []
        length = 0
        last: EntryID | None = None
        while len(found) < size and length < MAX_PAGE_BYTES:
            # One more, because the first entry of a read is the one that the page begins behind, or the last one read.
            count = min(size - len(found), ENTRIES_PER_READ) + 1
            entries = await history.read(channel, begin, count)
            for each in _publications(entry for entry in entries if entry.id != last):
                if (each.offset > since or not since) and len(found) < size and length < MAX_PAGE_BYTES:
                    found.append(each)
                    length += each.size
            if len(entries) < count:
                break
            begin = last = entries[-1].id
        return found

    async def _reverse_page(self, history: IHistory, channel: str, size: int, since: int | None) -> HistoryPage:
        # Streams are read forwards: what lies before a position is found among the newest entries, or not at all. A few
        # at first, because a thousand may be long.
        most = size if since is None else MAX_PAGE_SIZE
        count = min(most, ENTRIES_PER_READ)
        while True:
            look = await history.look_at_newest(channel, count)
            kept = _publications(look.entries)
            found: list[KeptPublication] = []
            length = 0
            for each in reversed(kept):
                if len(found) == size or length >= MAX_PAGE_BYTES:
                    break
                if since is None or each.offset < since:
                    found.append(each)
                    length += each.size
            if len(found) == size or length >= MAX_PAGE_BYTES or len(look.entries) < count:
                return HistoryPage(tuple(found), _top(look))
            if count == most or sum(each.size for each in kept) > MAX_SKIPPED_BYTES:
                if since is None:
                    return HistoryPage(tuple(found), _top(look))
                raise RejectedError(ClientError.NOT_SUPPORTED)
            count = min(most, count * 4)

    def _history(self, channel: str) -> IHistory:
        history: IHistory | None = self._broker.history
        if not find_namespace(self._namespaces, channel).has_history or history is None:
            raise RejectedError(ClientError.NO_HISTORY)
        return history


def _begin(since: int, epoch: str) -> EntryID | None:
    if epoch not in ("", EPOCH):
        raise PositionError("the epoch is another one than that of the channel")
    if since == 0:
        return None
    found = read_offset(since)
    if found is None:
        raise PositionError("nothing can be read from this offset")
    return found if isinstance(found, tuple) else (found.ms, 0)


def _top(look: StreamLook) -> int:
    # A stream from which all was removed keeps its last ID.
    info = look.info
    return empty_offset(look.now_ms) if info is None or info.last_id == (0, 0) else entry_offset(info.last_id)


def _publications(entries: Iterable[Entry]) -> list[KeptPublication]:
    # An entry without `data` is none of a publisher of messages.
    return [
        KeptPublication(entry_offset(each.id), each.data, each.field(INFO_FIELD), each.field(TAGS_FIELD))
        for each in entries
        if each.data is not None
    ]
