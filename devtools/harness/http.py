"""Requests, responses and frames as bytes, and a GET for asyncio programs."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

__all__ = ["KEY", "Answer", "answers", "client_frame", "get", "head", "upgrade"]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455 section 1.3; its answer is `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`."""

_MASK = b"\x01\x02\x03\x04"


def head(request_line: str, *lines: str | bytes) -> bytes:
    """Return a request head. Lines are encoded as latin-1, so that any byte may stand in one."""
    encoded = [line.encode("latin-1") if isinstance(line, str) else line for line in (request_line, *lines)]
    return b"\r\n".join([*encoded, b"", b""])


def upgrade(path: str = "/ws/room", *lines: str | bytes, key: str = KEY, version: str = "13") -> bytes:
    """Return the head of a WebSocket handshake with more header fields at its end."""
    return head(
        f"GET {path} HTTP/1.1",
        "Host: relay.example",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        f"Sec-WebSocket-Version: {version}",
        *lines,
    )


def client_frame(first: int, payload: bytes = b"", *, length: int | None = None, masked: bool = True) -> bytes:
    """Return a client's frame, which may be malformed.

    Args:
        first: The first byte: FIN, reserved bits and opcode.
        payload: The payload.
        length: The payload length that the header claims; if None, the right one.
        masked: True if the payload is masked, as RFC 6455 section 5.1 requires of clients.
    """
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if size < 126:
        header = bytes((first, bit | size))
    elif size < 65536:
        header = bytes((first, bit | 126)) + struct.pack("!H", size)
    else:
        header = bytes((first, bit | 127)) + struct.pack("!Q", size)
    if not masked:
        return header + payload
    return header + _MASK + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))


@dataclass(frozen=True)
class Answer:
    """One HTTP response.

    Attributes:
        status: Its status code.
        headers: Its fields, names in lower case.
        body: Its body.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def answers(data: bytes, *, to_head: bool = False) -> list[Answer]:
    """Return the HTTP responses in received bytes.

    Args:
        data: Everything that was received.
        to_head: True if the requests were HEAD, so that no body follows whatever the length says.

    Raises:
        ValueError: The bytes are something else than complete responses, or a response has a field twice.
    """
    found = []
    while data:
        top, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            raise ValueError(f"no end of head: {data!r}")
        status_line, *lines = top.decode("ascii").split("\r\n")
        version, status, _phrase = status_line.split(" ", 2)
        if version != "HTTP/1.1":
            raise ValueError(status_line)
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        if len(headers) != len(pairs):
            raise ValueError(f"a field is there twice: {lines}")
        size = 0 if to_head or status == "101" else int(headers.get("content-length", "0"))
        if len(rest) < size:
            raise ValueError(f"{size} bytes promised, {len(rest)} came")
        found.append(Answer(int(status), headers, rest[:size]))
        data = rest[size:]
    return found


async def get(port: int, path: str, seconds: float) -> tuple[int, str]:
    """Return status and body of a GET from loopback; 0 and the reason if there is no answer in time."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n\r\n".encode())
            top, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            return int(top.split(b" ", 2)[1]), body.decode(errors="replace")
    except (OSError, TimeoutError, ValueError, IndexError) as error:
        return 0, str(error) or type(error).__name__
    finally:
        if writer is not None:
            writer.transport.abort()
