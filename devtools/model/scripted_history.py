"""The history of one process in a walk: its connection to the server answers when the walk says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from devtools.model.server import StreamServer
from wsrelay.core.history.entries import Entry, StreamLook
from wsrelay.core.history.positions import EntryID
from wsrelay.core.history.retention import Retention
from wsrelay.core.messaging.publications import PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.stream_readers import StreamReaders
from wsrelay.interfaces import IHistory

__all__ = ["ScriptedHistory"]


class _Call:
    """A command that was sent.

    Attributes:
        run: Carries it out on the server.
        reply: Fires with its result.
    """

    def __init__(self, run: Callable[[], object]) -> None:
        self.run = run
        self.reply: Deferred[Any] = Deferred()


@implementer(IHistory)
class ScriptedHistory:
    """Commands are carried out in their order, and replies and reports of changes arrive in theirs, each step late.

    Args:
        server: The server.
        rng: Randomness.
        on_look: Called with each look as it is carried out.

    Attributes:
        readers: Where changes are reported.
        is_connected: Whether the process takes its connection for a good one.
        arriving: What has been sent to the process and has not arrived.
        violations: What the process has done and may not do.
    """

    way = "scripted"

    def __init__(self, server: StreamServer, rng: Random, on_look: Callable[[StreamLook], None]) -> None:
        self._server = server
        self._rng = rng
        self._on_look = on_look
        self.readers: StreamReaders | None = None
        self.is_connected = False
        self._is_broken = True
        self._watched: set[str] = set()
        # Whether the server reports the next change.
        self._is_armed = False
        # Whether changes are reported on a connection of their own, ahead of the replies, and all of them.
        self._reports_apart = rng.random() < 0.3
        self.violations: list[str] = []
        self._sent: deque[_Call] = deque()
        self.arriving: deque[Callable[[], None]] = deque()
        self._unanswered: dict[_Call, None] = {}

    # The walk's side

    @property
    def is_busy(self) -> bool:
        """True if something is under way, a reconnect included."""
        return bool(self._sent or self.arriving) or not self.is_connected

    def carry_out(self) -> None:
        """Let the server carry out the oldest command."""
        if self._sent and not self._is_broken:
            call = self._sent.popleft()
            result = call.run()
            self._is_armed = True
            self.arriving.append(lambda: self._answer(call, result))

    def arrive(self) -> None:
        """Let the oldest reply or report arrive."""
        if self.arriving:
            self.arriving.popleft()()

    def server_changed(self) -> None:
        """Let the server report that the stream has changed."""
        if self._is_broken:
            return
        if self._reports_apart:
            self.arriving.appendleft(self._report)
        elif self._is_armed:
            self._is_armed = False
            self.arriving.append(self._report)

    def break_connection(self) -> None:
        """Break the connection, which the process learns behind what has been sent to it, or before."""
        if not self._is_broken:
            self._is_broken, self._is_armed = True, False
            if self._rng.random() < 0.3:
                # Changes were reported on a connection of their own.
                self.arriving.appendleft(self._report_end)
            else:
                self.arriving.append(self._report_end)
            self.arriving.append(self._fail_rest)

    def connect(self) -> None:
        """Connect, once the process knows that it is not connected and nothing of before is under way."""
        if self._is_broken and not self.is_connected and not self.arriving:
            assert self.readers is not None, "set by the walk"  # noqa: S101 -- see there
            self._is_broken, self.is_connected = False, True
            self.readers.connected()

    def _answer(self, call: _Call, result: object) -> None:
        self._unanswered.pop(call, None)
        if not call.reply.called:
            call.reply.callback(result)

    def _report(self) -> None:
        if self.is_connected and self.readers is not None:
            self.readers.changed(self._watched)

    def _report_end(self) -> None:
        self.is_connected = False
        if self.readers is not None:
            self.readers.disconnected()

    def _fail_rest(self) -> None:
        self._sent.clear()
        calls, self._unanswered = [*self._unanswered], {}
        for call in calls:
            if not call.reply.called:
                call.reply.errback(BrokerUnavailable("the connection was lost"))

    # The process's side: see `IHistory`

    def watch(self, channels: Iterable[str]) -> None:
        """See `IHistory.watch`."""
        self._watched.update(channels)

    def unwatch(self, channels: Iterable[str]) -> None:
        """See `IHistory.unwatch`."""
        self._watched.difference_update(channels)

    def read(self, _channel: str, since: EntryID | None, count: int) -> Deferred[Sequence[Entry]]:
        """See `IHistory.read`."""
        return self._send(lambda: self._server.read(since, count))

    def read_behind(
        self,
        anchors: Sequence[tuple[str, Entry]],
        count: int,
        came: Callable[[Sequence[Sequence[Entry] | BrokerUnavailable | None]], None],
    ) -> None:
        """See `IHistory.read_behind`. There is one channel."""
        if not self.is_connected or self.readers is None or self.readers.is_paused:
            self.violations.append("the process reads though it is paused, or not connected")
        ((channel, anchor),) = anchors
        read: Deferred[Sequence[Entry]] = self.read(channel, anchor.id, count + 1)

        def found(entries: Sequence[Entry]) -> None:
            came([entries[1:] if entries and entries[0] == anchor else None])

        read.addCallbacks(found, lambda failure: came([failure.value]))

    def look(self, _channel: str, since: EntryID | None, count: int) -> Deferred[StreamLook]:
        """See `IHistory.look`."""
        return self._send(lambda: self._look(self._server.look(since, count)))

    def look_at_newest(self, _channel: str, count: int) -> Deferred[StreamLook]:
        """See `IHistory.look_at_newest`."""
        return self._send(lambda: self._look(self._server.look_at_newest(count)))

    def append(
        self,
        channel: str,
        data: bytes,
        retention: Retention,
        idempotency_key: str = "",
        info: bytes = b"",
        tags: bytes = b"",
    ) -> Deferred[PublishResult]:
        """See `IHistory.append`. The walk's own writers do that."""
        raise NotImplementedError

    def clear(self, channel: str) -> Deferred[None]:
        """See `IHistory.clear`. The walk's own writers do that."""
        raise NotImplementedError

    def maintain(self, channel: str, retention: Retention, *, is_idle: bool = False) -> None:
        """See `IHistory.maintain`. The walk's own writers trim."""

    def _look(self, look: StreamLook) -> StreamLook:
        self._on_look(look)
        return look

    def _send(self, run: Callable[[], object]) -> Deferred[Any]:
        if not self.is_connected:
            return fail(BrokerUnavailable("not connected"))
        call = _Call(run)
        self._sent.append(call)
        self._unanswered[call] = None
        return call.reply
