"""A client that does not keep to the rules. As a program it is many, and waits to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from devtools.faults.net import reset

__all__ = ["Hostile"]

_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


class Hostile:
    """One connection, byte by byte.

    Args:
        port: The relay.
        source: The address it comes from.

    Attributes:
        end: How the connection ended: an HTTP status, a close code, "reset" or "closed".
    """

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.end = "open"
        self._port = port
        self._source = source
        self._got = bytearray()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._may_read = asyncio.Event()
        self._may_read.set()

    async def connect(self) -> None:
        """Connect, and begin to read."""
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(self._source, 0), limit=4096
        )
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def open(self, channel: str) -> None:
        """Complete a handshake.

        Raises:
            ConnectionError: It was refused.
        """
        if not await self.ask(channel):
            raise ConnectionError(f"the handshake was answered {self.end}")

    async def ask(self, channel: str) -> bool:
        """Try to complete a handshake; tell whether it was."""
        await self.connect()
        self.write(self.head(channel))
        while b"\r\n\r\n" not in self._got and self._reading is not None and not self._reading.done():
            await asyncio.sleep(0.01)
        head, _, rest = bytes(self._got).partition(b"\r\n\r\n")
        self._got = bytearray(rest)
        status = head[9:12].decode()
        if status != "101":
            self.end = status or "closed"
        return status == "101"

    @staticmethod
    def head(channel: str) -> bytes:
        """A request head that is all right."""
        fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + _KEY
        return b"GET /ws/%s HTTP/1.1\r\nHost: relay.test\r\n%s\r\n\r\n" % (channel.encode(), fields)

    @staticmethod
    def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
        """A frame, masked with zeros, which is a mask as good as any."""
        first = opcode | (0x80 if final else 0)
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
        return bytes([first]) + length + b"\0\0\0\0" + payload

    def write(self, data: bytes) -> None:
        """Send."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the other side takes what was sent, or half a second."""
        if self._writer is not None:
            try:
                async with asyncio.timeout(0.5):
                    await self._writer.drain()
            except (OSError, TimeoutError):
                return

    async def is_open(self, seconds: float) -> bool:
        """Wait a moment; tell whether the connection still has both ends."""
        await asyncio.sleep(seconds)
        return self._reading is not None and not self._reading.done()

    def pause(self) -> None:
        """Read nothing any more."""
        self._may_read.clear()

    def resume(self) -> None:
        """Read again."""
        self._may_read.set()

    async def wait(self) -> None:
        """Wait until the other side has ended the connection."""
        if self._reading is not None:
            await self._reading

    def vanish(self) -> None:
        """Let go of everything."""
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            reset(self._writer)

    async def _read(self) -> None:
        if self._reader is None:
            return
        try:
            while True:
                await self._may_read.wait()
                data = await self._reader.read(65536)
                if not data:
                    break
                self._got += data
        except OSError:
            self.end = self._last_words() or "reset"
        else:
            self.end = self._last_words() or "closed"

    def _last_words(self) -> str:
        """The HTTP status of a refusal, or the code of a close frame, or nothing."""
        data = bytes(self._got)
        if data.startswith(b"HTTP/1.1 "):
            if not data.startswith(b"HTTP/1.1 101"):
                return data[9:12].decode()
            data = data.partition(b"\r\n\r\n")[2]
        at = 0
        while at + 2 <= len(data):
            opcode, size, begin = data[at] & 0x0F, data[at + 1], at + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, begin = int.from_bytes(data[begin : begin + width]), begin + width
            if opcode == 8:
                return str(int.from_bytes(data[begin : begin + 2]))
            at = begin + size
        return ""


async def _be_many(port: int, count: int) -> None:
    hostiles = [Hostile(port) for _ in range(count)]
    for number, hostile in enumerate(hostiles):
        if number % 2:
            await hostile.open("c4")
        else:
            await hostile.connect()
            hostile.write(hostile.head("c4")[:40])
    sys.stdout.write("there\n")
    sys.stdout.flush()
    # Not for ever, should nobody come to kill it.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and os.getppid() != 1:
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(_be_many(int(sys.argv[1]), int(sys.argv[2])))
