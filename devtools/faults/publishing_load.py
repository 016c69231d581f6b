"""Clients that publish at a steady rate and check what comes back: many, in one process, on one processor.

Each has a channel of its own, to which it is subscribed. A message is its number; one that the socket does not take
waits in the client, as in a browser's `WebSocket.send`. They send at their rate whatever comes back, unless a window is
given. As a program it prints the report as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import select
import socket
import struct
import sys
import time
from base64 import b64encode
from collections import Counter
from dataclasses import asdict, dataclass, field

__all__ = ["LoadReport", "run_load"]

_MASK = bytes(4)
"""A mask of zeros is valid (RFC 6455 section 5.3), and costs this program nothing."""

_HANDSHAKE_SECONDS = 30.0
_BUFFER_BYTES = 262144


@dataclass(slots=True)
class LoadReport:
    """The outcome for all clients.

    Attributes:
        clients: How many connected.
        sent: The number of messages whose bytes the socket took in whole.
        received: The number of messages that came back.
        disordered: Messages that came back out of order, or with one missing before them.
        closed: How connections ended, and how often: a close code, or "reset".
        per_second: How many came back in each second, while messages were sent.
        drained_after: How long it took after the last message was due until all had come back, in seconds.
        missing: The number of messages that were sent and did not come back.
    """

    clients: int = 0
    sent: int = 0
    received: int = 0
    disordered: int = 0
    closed: dict[str, int] = field(default_factory=dict)
    per_second: list[int] = field(default_factory=list)
    drained_after: float = 0.0
    missing: int = 0


class _Client:
    __slots__ = ("due", "expected", "incoming", "is_open", "next", "outgoing", "padding", "socket")

    def __init__(self, connection: socket.socket, rest: bytes, first_due: float, padding: bytes) -> None:
        self.socket = connection
        self.incoming = rest
        self.outgoing = b""
        self.padding = padding
        self.due = first_due
        self.next = 0
        self.expected = 0
        self.is_open = True

    def frame(self) -> bytes:
        """Return the next message as a masked frame."""
        payload = b"%d %b" % (self.next, self.padding)
        self.next += 1
        if len(payload) < 126:
            return struct.pack("!BB", 0x81, 0x80 | len(payload)) + _MASK + payload
        return struct.pack("!BBH", 0x81, 0x80 | 126, len(payload)) + _MASK + payload


def _connect(port: int, channel: str) -> tuple[socket.socket, bytes]:
    connection = socket.create_connection(("127.0.0.1", port), timeout=_HANDSHAKE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = b64encode(os.urandom(16)).decode()
    connection.sendall(
        (
            f"GET /ws/{channel} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
    )
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError(f"the handshake was not answered: {received!r}")
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(head.decode(errors="replace"))
    connection.setblocking(False)
    return connection, rest


class _Load:
    def __init__(self, port: int, clients: int, rate: float, padding: int, window: float, prefix: str) -> None:
        self.report = LoadReport(clients=clients)
        self._interval = 1 / rate
        self._poll = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._window = window
        self._closed: Counter[str] = Counter()
        opened = [_connect(port, f"{prefix}{number}") for number in range(clients)]
        self.began = time.monotonic()
        for number, (connection, rest) in enumerate(opened):
            # Spread evenly, as those of independent clients are.
            due = self.began + self._interval * number / clients
            self._clients[connection.fileno()] = _Client(connection, rest, due, b"x" * padding)
            self._poll.register(connection, select.EPOLLIN)

    def run(self, seconds: float, drain_seconds: float) -> None:
        """Send for some time, and wait until everything has come back."""
        end = self.began + seconds
        next_mark, before = self.began + 1, 0
        while (now := time.monotonic()) < end:
            self._send_due(now)
            self._receive(max(0.0, min(0.001, end - now)))
            if now >= next_mark:
                self.report.per_second.append(self.report.received - before)
                before, next_mark = self.report.received, next_mark + 1
        open_clients = [client for client in self._clients.values() if client.is_open]
        limit = end + drain_seconds
        while any(client.is_open and client.expected < client.next for client in open_clients):
            if time.monotonic() > limit:
                break
            for client in open_clients:
                if client.outgoing:
                    self._flush(client)
            self._receive(0.05)
        self.report.drained_after = round(time.monotonic() - end, 2)
        self.report.sent = sum(client.next for client in self._clients.values())
        self.report.missing = sum(client.next - client.expected for client in self._clients.values())
        self.report.closed = dict(self._closed)

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.socket.close()

    def _send_due(self, now: float) -> None:
        interval = self._interval
        for client in self._clients.values():
            if client.due > now or not client.is_open:
                continue
            frames = [client.outgoing]
            while client.due <= now:
                client.due += interval
                if client.next - client.expected < self._window:
                    frames.append(client.frame())
            client.outgoing = b"".join(frames)
            self._flush(client)

    def _flush(self, client: _Client) -> None:
        try:
            sent = client.socket.send(client.outgoing)
        except BlockingIOError:
            return
        except OSError:
            self._ended(client, "reset")
            return
        client.outgoing = client.outgoing[sent:]

    def _receive(self, timeout: float) -> None:
        for number, _ in self._poll.poll(timeout):
            client = self._clients[number]
            try:
                data = client.socket.recv(_BUFFER_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data:
                self._take(client, client.incoming + data)
            else:
                self._ended(client, "reset")

    def _take(self, client: _Client, data: bytes) -> None:
        at, end = 0, len(data)
        while end - at >= 2:
            opcode, length, start = data[at] & 15, data[at + 1], at + 2
            if length == 126:
                if end - at < 4:
                    break
                length, start = int.from_bytes(data[start : start + 2]), start + 2
            elif length == 127:
                if end - at < 10:
                    break
                length, start = int.from_bytes(data[start : start + 8]), start + 8
            if end - start < length:
                break
            payload, at = data[start : start + length], start + length
            if opcode in (1, 2):
                number = int(payload.partition(b" ")[0])
                self.report.received += 1
                if number != client.expected:
                    self.report.disordered += 1
                client.expected = number + 1
            elif opcode == 9:
                client.outgoing += struct.pack("!BB", 0x8A, 0x80 | len(payload)) + _MASK + payload
                self._flush(client)
            elif opcode == 8:
                self._ended(client, str(int.from_bytes(payload[:2])))
                return
        client.incoming = data[at:]

    def _ended(self, client: _Client, how: str) -> None:
        if client.is_open:
            client.is_open = False
            self._closed[how] += 1
            self._poll.unregister(client.socket)


def run_load(
    port: int,
    clients: int,
    rate: float,
    seconds: float,
    *,
    padding: int = 0,
    window: float = math.inf,
    prefix: str = "s",
    drain_seconds: float = 60.0,
) -> LoadReport:
    """Connect clients, have them publish, and report what came back.

    Args:
        port: The relay's port.
        clients: The number of clients.
        rate: The messages of each in a second.
        seconds: How long messages are sent.
        padding: The number of bytes added to each message.
        window: A client of which so many messages have not come back leaves out those that are due.
        prefix: The beginning of the name of each channel; its number follows.
        drain_seconds: How long may be waited for the last messages.

    Raises:
        ConnectionError: A client was not let in.
    """
    load = _Load(port, clients, rate, padding, window, prefix)
    try:
        load.run(seconds, drain_seconds)
    finally:
        load.close()
    return load.report


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--padding", type=int, default=0)
    parser.add_argument("--window", type=float, default=math.inf)
    parser.add_argument("--prefix", default="s")
    arguments = parser.parse_args()
    report = run_load(
        arguments.port,
        arguments.clients,
        arguments.rate,
        arguments.seconds,
        padding=arguments.padding,
        window=arguments.window,
        prefix=arguments.prefix,
    )
    json.dump(asdict(report), sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    _main()
