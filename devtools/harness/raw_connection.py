"""A client connection to a relay, byte by byte: it sends whatever it is given, well-formed or not."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from devtools.harness.http import Answer, answers, upgrade

__all__ = ["DEADLINE_SECONDS", "RawConnection", "is_held_by_relay", "wait_until", "wait_until_async"]

DEADLINE_SECONDS = 8.0
"""How long any response may take where time is not what is tested."""

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CLOSE = 8
_DATA = (1, 2)


class RawConnection(asyncio.Protocol):
    """The client's end of a connection. Received bytes are kept; responses and frames are read from them in turn.

    Attributes:
        received: Everything that was received.
        ended: How the relay ended it: "closed" or "reset"; empty while it is open.
        port: The port on this side.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = ""
        self.port = 0
        self._read = 0
        self._changed = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, port: int, *, source: str = "127.0.0.1", receive_buffer: int = 0) -> RawConnection:
        """Connect to a relay.

        Args:
            port: The relay's port.
            source: The client's address.
            receive_buffer: SO_RCVBUF in bytes, so that the relay soon notices that nothing is read; 0 leaves it
                unchanged.
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
        _, connection = await loop.create_connection(cls, sock=handle)
        return connection

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.received += data
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.ended = "closed" if error is None else "reset"
        self._changed.set()

    # Sending

    def send(self, data: bytes) -> None:
        """Send, unless the connection has ended."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drip(self, data: bytes, seconds: float) -> None:
        """Send one byte at a time, so many seconds apart, until all are sent or the relay ends the connection."""
        for byte in data:
            if self.ended:
                return
            self.send(bytes((byte,)))
            await self._wait(lambda: self.ended, seconds)

    async def flood(self, data: bytes, times: int) -> None:
        """Send the same bytes repeatedly, as fast as the relay takes them, until it ends the connection."""
        for _ in range(times):
            if self.ended or self._transport is None:
                return
            self.send(data)
            await asyncio.sleep(0)
            while not self.ended and self._transport.get_write_buffer_size() > 4 * len(data):
                await asyncio.sleep(0.01)

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again after `pause`."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self, *, gracefully: bool = False) -> None:
        """End the connection, with FIN if `gracefully`, else in whatever way the kernel chooses."""
        if self._transport is not None:
            if gracefully:
                self._transport.close()
            else:
                self._transport.abort()

    def reset(self) -> None:
        """End the connection with an RST."""
        handle: socket.socket | None = None
        if self._transport is not None:
            handle = self._transport.get_extra_info("socket")
        if handle is not None and handle.fileno() >= 0:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    # Receiving

    async def response(self, seconds: float = DEADLINE_SECONDS) -> Answer | None:
        """Return the next HTTP response; None if none comes in time.

        Raises:
            ValueError: It is malformed, or has a field twice.
        """
        await self._wait(lambda: self.ended or self._size_of_response(), seconds)
        size = self._size_of_response()
        if not size:
            return None
        self._read += size
        # A request in HTTP/1.0 gets its response in HTTP/1.0, in the same form.
        data = bytes(self.received[self._read - size : self._read]).replace(b"HTTP/1.0 ", b"HTTP/1.1 ", 1)
        (found,) = answers(data)
        return found

    async def upgrade(self, path: str, *fields: str | bytes) -> bool:
        """Try a WebSocket handshake; return whether it succeeded."""
        self.send(upgrade(path, *fields))
        response = await self.response()
        return response is not None and response.status == 101

    async def wait_for_data(self, seconds: float) -> None:
        """Wait until any unread byte has come, or the time has passed."""
        await self._wait(lambda: self.ended or len(self.received) > self._read, seconds)

    async def frame(self, seconds: float = DEADLINE_SECONDS) -> tuple[int, bytes] | None:
        """Return opcode and payload of the next frame; None if none comes in time."""
        await self._wait(lambda: self.ended or self._next_frame(), seconds)
        found = self._next_frame()
        if found is None:
            return None
        opcode, payload, self._read = found
        return opcode, payload

    async def message(self, seconds: float = DEADLINE_SECONDS) -> bytes | None:
        """Return the payload of the next message; None if none comes in time."""
        while (found := await self.frame(seconds)) is not None and found[0] != _CLOSE:
            if found[0] in _DATA:
                return found[1]
        return None

    async def close_code(self, seconds: float = DEADLINE_SECONDS) -> str:
        """Return the code of the next close frame; "closed" or "reset" without one, "open" if neither comes in time."""
        while (found := await self.frame(seconds)) is not None:
            if found[0] == _CLOSE:
                return str(int.from_bytes(found[1][:2])) if found[1] else "1005"
        return self.ended or "open"

    async def wait_for_end(self, seconds: float = DEADLINE_SECONDS) -> str:
        """Return how the relay ended the connection; "open" if it has not in time."""
        await self._wait(lambda: self.ended, seconds)
        return self.ended or "open"

    async def _wait(self, condition: Callable[[], object], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def _size_of_response(self) -> int:
        """Return the length of the next HTTP response; 0 while it is incomplete."""
        end = self.received.find(b"\r\n\r\n", self._read)
        if end < 0:
            return 0
        head = self.received[self._read : end + 4]
        length = None if head.startswith(b"HTTP/1.1 101") else _LENGTH.search(head)
        size = len(head) + (int(length[1]) if length else 0)
        return size if len(self.received) - self._read >= size else 0

    def _next_frame(self) -> tuple[int, bytes, int] | None:
        """Return opcode, payload and end of the next frame; None while it is incomplete."""
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


def is_held_by_relay(relay_port: int, client_port: int) -> bool:
    """Return whether the relay's process still holds its end of a connection, whatever the client sees."""
    ends = f"0100007F:{relay_port:04X} 0100007F:{client_port:04X} "
    # A socket that no process holds any more has inode 0.
    return any(ends in line and line.split()[9] != "0" for line in Path("/proc/net/tcp").read_text().splitlines())


async def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until a condition is true, checking it every 50 ms; return whether it became true in time."""

    async def check() -> bool:
        return bool(condition())

    return await wait_until_async(check, seconds)


async def wait_until_async(condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Do the same for a condition that is a coroutine function."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True
