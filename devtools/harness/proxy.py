"""A TCP proxy that misbehaves on request."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import hiredis

from devtools.harness.ports import free_port

__all__ = ["Direction", "Proxy", "Role", "reset_connection"]

_POLL_SECONDS = 0.02
_CHUNK_BYTES = 16384


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """End a connection with an RST."""
    handle: socket.socket | None = writer.get_extra_info("socket")
    if handle is not None and handle.fileno() >= 0:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Direction(Enum):
    """The direction in which bytes pass."""

    UP = "to the server"
    DOWN = "from the server"


class Role(Enum):
    """The purpose of a connection to Redis, read from the client name that the relay sets."""

    UNKNOWN = b""
    SUBSCRIBER = b"-subscriber"
    COMMANDS = b"-command"
    STREAMS = b"-streams"


class Proxy:
    """Listens on a port of its own and forwards every connection to a server.

    Args:
        upstream: The port of the server.
        receive_buffer: SO_RCVBUF towards the server in bytes, so that the server soon notices that nothing is read;
            0 leaves it unchanged.

    Attributes:
        port: The port that it listens on.
        accepted: The number of connections accepted so far.
    """

    def __init__(self, upstream: int, receive_buffer: int = 0) -> None:
        self.port = free_port()
        self.accepted = 0
        self._upstream = upstream
        self._closes_at_once = False
        self._delay = 0.0
        self._rate = 0.0
        self._manglers: dict[Direction, Callable[[bytes], bytes]] = {}
        self._receive_buffer = receive_buffer
        self._stalls: set[tuple[Role | None, Direction]] = set()
        self._pairs: dict[_Pair, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Accept connections, for the first time or again after `refuse`."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, backlog=1024)

    def refuse(self) -> None:
        """Refuse new connections. Those that exist stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """End everything."""
        self.refuse()
        self.cut()
        tasks = list(self._pairs.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self, *, gracefully: bool = False, role: Role | None = None) -> None:
        """End the connections that exist: with FIN if `gracefully`, else with RST."""
        for pair in self._of(role):
            pair.end(gracefully=gracefully)

    def strand(self, role: Role | None = None) -> None:
        """Make the server vanish from the connections that exist: clients see them open, without a peer."""
        for pair in self._of(role):
            pair.strand()

    def half_close(self) -> None:
        """Send FIN to the clients of the connections that exist, and go on reading from them."""
        for pair in self._of(None):
            pair.half_close()

    def inject(self, data: bytes, role: Role | None = None) -> None:
        """Send bytes to the server as if the clients had sent them."""
        for pair in self._of(role):
            pair.inject(data)

    @contextmanager
    def stall(self, *directions: Direction, role: Role | None = None) -> Iterator[None]:
        """Hold bytes back in both directions or those given, on the connections that exist and on new ones."""
        stalls = {(role, direction) for direction in (directions or tuple(Direction))}
        self._stalls |= stalls
        try:
            yield
        finally:
            self._stalls -= stalls

    @contextmanager
    def closing_at_once(self) -> Iterator[None]:
        """Close new connections as soon as they are accepted."""
        self._closes_at_once = True
        try:
            yield
        finally:
            self._closes_at_once = False

    @contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Delay every chunk."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    @contextmanager
    def rate_limited(self, bytes_per_second: float) -> Iterator[None]:
        """Limit the bytes that pass in each direction of a connection."""
        self._rate = bytes_per_second
        try:
            yield
        finally:
            self._rate = 0.0

    @contextmanager
    def mangled(self, direction: Direction, mangle: Callable[[bytes], bytes]) -> Iterator[None]:
        """Pass the bytes of a direction through a function."""
        self._manglers[direction] = mangle
        try:
            yield
        finally:
            del self._manglers[direction]

    def redirect(self, upstream: int) -> None:
        """Forward new connections to another port."""
        self._upstream = upstream

    async def move(self) -> None:
        """Connect the connections that exist to the port of `redirect`, without a sign to the clients.

        Proxies that hide a fail-over do so. The new server speaks the protocol that the client has asked for, and
        knows nothing else of what it has told the old one. No command may be under way.
        """
        for pair in self._of(None):
            await pair.move()

    async def transform(self, data: bytes, role: Role, direction: Direction) -> bytes:
        """Return a chunk as it is to be forwarded, after all that holds it back."""
        if self._delay:
            await asyncio.sleep(self._delay)
        if self._rate:
            await asyncio.sleep(len(data) / self._rate)
        while self.stalls(role, direction):
            await asyncio.sleep(_POLL_SECONDS)
        return self._manglers[direction](data) if direction in self._manglers else data

    def stalls(self, role: Role, direction: Direction) -> bool:
        """Return whether bytes of a role and a direction are held back now."""
        return (None, direction) in self._stalls or (role, direction) in self._stalls

    def _of(self, role: Role | None) -> list[_Pair]:
        return [pair for pair in self._pairs if role in (None, pair.role)]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new connection to the server."""
        handle = socket.socket()
        handle.setblocking(False)
        if self._receive_buffer:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(handle, ("127.0.0.1", self._upstream))
        except BaseException:
            handle.close()
            raise
        return await asyncio.open_connection(sock=handle, limit=_CHUNK_BYTES)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._closes_at_once:
            writer.close()
            return
        pair = _Pair(self, reader, writer)
        task = asyncio.get_running_loop().create_task(pair.run())
        self._pairs[pair] = task
        task.add_done_callback(lambda _task: self._pairs.pop(pair, None))


class _Pair:
    """One connection of a client and its counterpart towards the server."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.role = Role.UNKNOWN
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._server: asyncio.StreamWriter | None = None
        self._stranded = False
        self._half_closed = False
        self._pumps: asyncio.TaskGroup | None = None
        self._down: asyncio.Task[None] | None = None

    async def run(self) -> None:
        try:
            reader, self._server = await self._proxy.connect()
        except OSError:
            reset_connection(self._writer)
            return
        try:
            async with asyncio.TaskGroup() as self._pumps:
                self._pumps.create_task(self._pump(Direction.UP, self._reader))
                self._down = self._pumps.create_task(self._pump(Direction.DOWN, reader))
        except* OSError:
            pass
        finally:
            self.end(gracefully=True)

    async def move(self) -> None:
        if self._pumps is None or self._down is None:
            return
        reader, writer = await self._proxy.connect()
        if self.role is Role.STREAMS:
            replies = hiredis.Reader()
            writer.write(b"HELLO 3\r\n")
            while replies.gets() is False:
                replies.feed(await reader.read(_CHUNK_BYTES))
        self._down.cancel()
        old, self._server = self._server, writer
        if old is not None:
            old.close()
        self._down = self._pumps.create_task(self._pump(Direction.DOWN, reader))

    async def _pump(self, direction: Direction, source: asyncio.StreamReader) -> None:
        while data := await source.read(_CHUNK_BYTES):
            if direction is Direction.UP and self.role is Role.UNKNOWN:
                self.role = next((role for role in Role if role.value and role.value in data), Role.UNKNOWN)
            data = await self._proxy.transform(data, self.role, direction)
            # Looked up each time: the server may be another one by now.
            target = self._server if direction is Direction.UP else self._writer
            if target is not None and not self._stranded and not (self._half_closed and direction is Direction.DOWN):
                target.write(data)
                await target.drain()
        target = self._server if direction is Direction.UP else self._writer
        if target is not None and not self._stranded and target.can_write_eof() and not target.is_closing():
            target.write_eof()

    def end(self, *, gracefully: bool) -> None:
        for writer in (self._writer, self._server):
            if writer is None:
                continue
            if gracefully:
                writer.close()
            else:
                reset_connection(writer)

    def strand(self) -> None:
        self._stranded = True
        if self._server is not None:
            reset_connection(self._server)

    def half_close(self) -> None:
        self._half_closed = True
        self._writer.write_eof()

    def inject(self, data: bytes) -> None:
        if self._server is not None:
            self._server.write(data)
