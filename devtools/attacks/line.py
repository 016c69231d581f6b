"""One connection to a relay, byte by byte: a client that says what it is told to, right or wrong."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from devtools.harness.http import Answer, answers

__all__ = ["DEADLINE_SECONDS", "Line", "is_held", "until", "until_told"]

DEADLINE_SECONDS = 8.0
"""How long an answer may take that is not about time."""

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CLOSE = 8
_DATA = (1, 2)


class Line(asyncio.Protocol):
    """A client's end of a connection. All that comes is kept; what is read from it is read from what is kept.

    Attributes:
        received: All that came.
        ended: How the relay ended it: "closed" or "reset". Nothing: it has not.
        port: The port on this side.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = ""
        self.port = 0
        self._read = 0
        self._news = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int, *, source: str = "127.0.0.1", receive_buffer: int = 0) -> Line:
        """Connect.

        Args:
            port: The relay's.
            source: The address to come from.
            receive_buffer: SO_RCVBUF, so that the relay feels soon that nothing is read; 0 leaves it.
        """
        loop = asyncio.get_running_loop()
        handle = socket.socket()
        handle.setblocking(False)
        if receive_buffer:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            handle.bind((source, 0))
            async with asyncio.timeout(DEADLINE_SECONDS):
                await loop.sock_connect(handle, ("127.0.0.1", port))
        except BaseException:
            handle.close()
            raise
        _, line = await loop.create_connection(cls, sock=handle)
        return line

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.received += data
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.ended = "closed" if error is None else "reset"
        self._news.set()

    # What clients do

    def send(self, data: bytes) -> None:
        """Send, unless the connection has ended."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drip(self, data: bytes, seconds: float) -> None:
        """Send a byte at a time, so long apart, until it is all said or the relay has had enough."""
        for byte in data:
            if self.ended:
                return
            self.send(bytes((byte,)))
            await self._wait(lambda: self.ended, seconds)

    async def flood(self, data: bytes, times: int) -> None:
        """Send the same again and again, as fast as the relay takes it, until it has had enough."""
        for _ in range(times):
            if self.ended or self._transport is None:
                return
            self.send(data)
            await asyncio.sleep(0)
            while not self.ended and self._transport.get_write_buffer_size() > 4 * len(data):
                await asyncio.sleep(0.01)

    def pause(self) -> None:
        """Read nothing any more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def leave(self, *, politely: bool = False) -> None:
        """Hang up, with FIN if politely, else with whatever the kernel makes of it."""
        if self._transport is not None:
            if politely:
                self._transport.close()
            else:
                self._transport.abort()

    async def answer(self, seconds: float = DEADLINE_SECONDS) -> Answer | None:
        """The next HTTP response; None if none comes.

        Raises:
            ValueError: It is malformed, or has a field twice.
        """
        await self._wait(lambda: self.ended or self._size_of_answer(), seconds)
        size = self._size_of_answer()
        if not size:
            return None
        self._read += size
        # Who asks in HTTP/1.0 is answered in it, in the same form.
        data = bytes(self.received[self._read - size : self._read]).replace(b"HTTP/1.0 ", b"HTTP/1.1 ", 1)
        (found,) = answers(data)
        return found

    async def news(self, seconds: float) -> None:
        """Wait until something has come, whatever it is, or a while has passed."""
        await self._wait(lambda: self.ended or len(self.received) > self._read, seconds)

    async def frame(self, seconds: float = DEADLINE_SECONDS) -> tuple[int, bytes] | None:
        """Opcode and payload of the next frame; None if none comes."""
        await self._wait(lambda: self.ended or self._next_frame(), seconds)
        found = self._next_frame()
        if found is None:
            return None
        opcode, payload, self._read = found
        return opcode, payload

    async def message(self, seconds: float = DEADLINE_SECONDS) -> bytes | None:
        """The payload of the next message; None if none comes."""
        while (found := await self.frame(seconds)) is not None and found[0] != _CLOSE:
            if found[0] in _DATA:
                return found[1]
        return None

    async def ending(self, seconds: float = DEADLINE_SECONDS) -> str:
        """How a WebSocket ended: its close code, or else what became of the connection; "open" if it has not."""
        while (found := await self.frame(seconds)) is not None:
            if found[0] == _CLOSE:
                return str(int.from_bytes(found[1][:2])) if found[1] else "1005"
        return self.ended or "open"

    async def hung_up(self, seconds: float = DEADLINE_SECONDS) -> str:
        """How the relay ended the connection; "open" if it has not."""
        await self._wait(lambda: self.ended, seconds)
        return self.ended or "open"

    async def _wait(self, happened: Callable[[], object], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not happened():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    def _size_of_answer(self) -> int:
        """How long the next HTTP response is; 0 while it is not all there."""
        end = self.received.find(b"\r\n\r\n", self._read)
        if end < 0:
            return 0
        head = self.received[self._read : end + 4]
        length = None if head.startswith(b"HTTP/1.1 101") else _LENGTH.search(head)
        size = len(head) + (int(length[1]) if length else 0)
        return size if len(self.received) - self._read >= size else 0

    def _next_frame(self) -> tuple[int, bytes, int] | None:
        """Opcode, payload and end of the next frame; None while it is not all there."""
        data, at = self.received, self._read
        if len(data) < at + 2:
            return None
        opcode, size, begin = data[at] & 0x0F, data[at + 1] & 0x7F, at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, begin = int.from_bytes(data[begin : begin + width]), begin + width
        if len(data) < begin + size or begin > len(data):
            return None
        return opcode, bytes(data[begin : begin + size]), begin + size


def is_held(relay_port: int, client_port: int) -> bool:
    """Whether the relay's process still holds its end of a connection, whatever the client believes."""
    ends = f"0100007F:{relay_port:04X} 0100007F:{client_port:04X} "
    # What no process holds any more has no inode.
    return any(ends in line and line.split()[9] != "0" for line in Path("/proc/net/tcp").read_text().splitlines())


async def until(happened: Callable[[], object], seconds: float) -> bool:
    """Wait until something is so, looking now and then; tell whether it came to be."""

    async def look() -> bool:
        return bool(happened())

    return await until_told(look, seconds)


async def until_told(happened: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """The same, where somebody else has to be asked."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await happened():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True
