"""A TCP proxy that can be told to misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from devtools.faults.net import reset
from devtools.harness.redis_server import free_port

__all__ = ["Proxy", "Role", "Way"]

_LOOK_AGAIN_SECONDS = 0.02
_CHUNK_BYTES = 16384


class Way(Enum):
    """Which way bytes go."""

    UP = "to the server"
    DOWN = "from the server"


class Role(Enum):
    """What a connection is for: the relay tells Redis, and the proxy listens."""

    UNKNOWN = b""
    SUBSCRIBER = b"-subscriber"
    COMMANDER = b"-commands"


class Proxy:
    """Listens on a port of its own and passes on what comes, as well as it is let.

    Args:
        upstream: The port of the server.
        receive_buffer: SO_RCVBUF towards the server, so that it feels soon that nothing is read; 0 leaves it.

    Attributes:
        upstream: The port that new connections are passed on to.
        accepted: How many connections came.
        slams: Whether connections are closed as soon as they are accepted.
        delay: How many seconds every piece waits.
        rate: How many bytes a second pass each way of a connection; 0 is no limit.
        mangle: What is done to bytes that go a way, or nothing.
    """

    def __init__(self, upstream: int, receive_buffer: int = 0) -> None:
        self.port = free_port()
        self.upstream = upstream
        self.accepted = 0
        self.slams = False
        self.delay = 0.0
        self.rate = 0.0
        self.mangle: dict[Way, Callable[[bytes], bytes]] = {}
        self._receive_buffer = receive_buffer
        self._stalls: set[tuple[Role | None, Way]] = set()
        self._pairs: dict[_Pair, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Take connections; again after `refuse`, too."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, backlog=1024)

    def refuse(self) -> None:
        """Take no new connections: they are refused. Those that exist stay."""
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

    def cut(self, *, politely: bool = False, role: Role | None = None) -> None:
        """End the connections that exist: with FIN if politely, else with RST."""
        for pair in self._of(role):
            pair.end(politely=politely)

    def strand(self, role: Role | None = None) -> None:
        """Let the server vanish from the connections that exist: they stay open, and nobody is there any more."""
        for pair in self._of(role):
            pair.strand()

    def half_close(self) -> None:
        """Say to the clients of the connections that exist that nothing more comes, and go on listening to them."""
        for pair in self._of(None):
            pair.half_close()

    def inject(self, data: bytes, role: Role | None = None) -> None:
        """Say something to the server in the name of the clients."""
        for pair in self._of(role):
            pair.inject(data)

    @contextmanager
    def stall(self, *ways: Way, role: Role | None = None) -> Iterator[None]:
        """Hold what comes, in both ways or those given, on the connections that exist and on new ones."""
        stalls = {(role, way) for way in (ways or tuple(Way))}
        self._stalls |= stalls
        try:
            yield
        finally:
            self._stalls -= stalls

    def stalls(self, role: Role, way: Way) -> bool:
        """Tell whether bytes are held now."""
        return (None, way) in self._stalls or (role, way) in self._stalls

    def _of(self, role: Role | None) -> list[_Pair]:
        return [pair for pair in self._pairs if role in (None, pair.role)]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server."""
        handle = socket.socket()
        handle.setblocking(False)
        if self._receive_buffer:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(handle, ("127.0.0.1", self.upstream))
        except BaseException:
            handle.close()
            raise
        return await asyncio.open_connection(sock=handle, limit=_CHUNK_BYTES)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.slams:
            writer.close()
            return
        pair = _Pair(self, reader, writer)
        task = asyncio.get_running_loop().create_task(pair.run())
        self._pairs[pair] = task
        task.add_done_callback(lambda _task: self._pairs.pop(pair, None))


class _Pair:
    """One connection of a client and its counterpart to the server."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.role = Role.UNKNOWN
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._server: asyncio.StreamWriter | None = None
        self._stranded = False
        self._half_closed = False

    async def run(self) -> None:
        try:
            reader, self._server = await self._proxy.connect()
        except OSError:
            reset(self._writer)
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(Way.UP, self._reader, self._server))
                both.create_task(self._pump(Way.DOWN, reader, self._writer))
        except* OSError:
            pass
        finally:
            self.end(politely=True)

    async def _pump(self, way: Way, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        proxy = self._proxy
        while data := await source.read(_CHUNK_BYTES):
            if way is Way.UP and self.role is Role.UNKNOWN:
                self.role = next((role for role in Role if role.value and role.value in data), Role.UNKNOWN)
            if proxy.delay:
                await asyncio.sleep(proxy.delay)
            if proxy.rate:
                await asyncio.sleep(len(data) / proxy.rate)
            while proxy.stalls(self.role, way):
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            if way in proxy.mangle:
                data = proxy.mangle[way](data)
            if not self._stranded and not (self._half_closed and way is Way.DOWN):
                target.write(data)
                await target.drain()
        if not self._stranded and target.can_write_eof() and not target.is_closing():
            target.write_eof()

    def end(self, *, politely: bool) -> None:
        for writer in (self._writer, self._server):
            if writer is None:
                continue
            if politely:
                writer.close()
            else:
                reset(writer)

    def strand(self) -> None:
        self._stranded = True
        if self._server is not None:
            reset(self._server)

    def half_close(self) -> None:
        self._half_closed = True
        self._writer.write_eof()

    def inject(self, data: bytes) -> None:
        if self._server is not None:
            self._server.write(data)
