"""Requests, responses and frames as bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["KEY", "Answer", "answers", "client_frame", "head", "upgrade"]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455 section 1.3; its answer is `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`."""

_MASK = b"\x01\x02\x03\x04"


def head(request_line: str, *lines: str | bytes) -> bytes:
    """A request head; lines are encoded as latin-1, so that any byte may stand in one."""
    encoded = [line.encode("latin-1") if isinstance(line, str) else line for line in (request_line, *lines)]
    return b"\r\n".join([*encoded, b"", b""])


def upgrade(path: str = "/ws/room", *lines: str | bytes, key: str = KEY, version: str = "13") -> bytes:
    """The head of a WebSocket handshake with more header fields at its end."""
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
    """A client's frame, as wrong as asked: its first byte, its payload, the length it claims, with a mask or not."""
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
    """The HTTP responses in these bytes; ValueError where they are not complete responses and nothing else.

    Args:
        data: All that came.
        to_head: The requests were HEAD: no body follows, whatever the length says.
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
