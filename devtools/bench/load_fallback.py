"""The load client in Python, for machines without a C compiler.

It speaks the same language as `load.c` (see the comment at its beginning), but for echo, offer, arrive and TLS, for
which it is too slow, and checks the same things.  It
costs several times as much per message, so latency and rates measured with it are its own rather than the
server's; the server's CPU time and memory stay meaningful.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import Any

HEADER = 37
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
RESET = struct.pack("ii", 1, 0)
MAXLEN = b"1000"
"""Entries of a stream."""
WRAP = b'{"m":"', b'"}'
"""Around a message that has to be JSON."""


@dataclass(slots=True)
class Connection:
    """One WebSocket or event stream."""

    sock: socket.socket
    channel: int
    slow: bool
    each: int = 1
    answered: set[int] = field(default_factory=set)
    state: str = "connecting"
    expected: int = 0
    synced: bool = False
    pending: bytes = b""
    fragments: list[bytes] = field(default_factory=list)
    position: bytes = b""
    silent: bool = False
    pinged: bool = False
    token: str = ""


def command(*words: bytes) -> bytes:
    """Return a command as Redis reads it."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def varint(value: int) -> bytes:
    """Return a number as Protobuf has it."""
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def quantiles(samples: list[int]) -> dict[str, float]:
    """Sum up latencies, given in nanoseconds, in microseconds."""
    if not samples:
        return {"count": 0}
    ranked = sorted(samples)
    count = len(ranked)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    found: dict[str, float] = {"count": count, "mean": sum(ranked) / count / 1e3, "max": ranked[-1] / 1e3}
    for name, part in at.items():
        found[name] = ranked[min(count - 1, int(part * count))] / 1e3
    return found


class Client:
    """All connections and the publisher."""

    def __init__(self, port: int, publish: str, publish_port: int, flavour: str, path: str, channel: str) -> None:
        self.port, self.path, self.channel_name = port, path, channel
        self.mode, _, self.publish_argument = publish.partition(":")
        self.flavour, self.resuming = flavour, False
        self.wrap = WRAP if flavour == "centrifugo" else (b"", b"")
        self.epoll = select.epoll()
        self.publisher = socket.create_connection(("127.0.0.1", publish_port))
        self.publisher.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.publisher.setblocking(False)
        self.epoll.register(self.publisher, select.EPOLLIN)
        self.connections: list[Connection] = []
        self.tokens: list[str] = []
        self.by_fd: dict[int, Connection] = {}
        self.sequence: dict[int, int] = {}
        self.subscribers: dict[int, int] = {}
        self.out = bytearray()
        self.replies, self.is_content = b"", False
        self.failure = ""
        self.counts = dict.fromkeys(
            ("lost", "late", "malformed", "unheard", "pings", "pinged", "frames", "bytes", "open"), 0
        )
        self.opening = 0
        self.side_channel = -1
        self.size = 0
        self.begin()

    def begin(self) -> None:
        """Start the figures of a command."""
        self.delivered = self.side_delivered = 0
        self.latency: list[int] = []
        self.side_latency: list[int] = []
        self.complete: list[int] = []
        self.remaining: dict[int, int] = {}

    def fail(self, what: str) -> None:
        """Remember the first thing that went wrong."""
        self.failure = self.failure or what

    def broken(self, deadline: int) -> bool:
        """Tell whether going on makes no sense."""
        wrong = self.failure or self.counts["late"] or self.counts["malformed"]
        return bool(wrong) or time.monotonic_ns() > deadline

    # --- publishing

    def publish(self, channel: int, size: int, *, probe: bool = False) -> None:
        """Append one publication to the outgoing bytes."""
        number = 0 if probe else self.sequence.get(channel, 0)
        letter = "P" if probe else "M"
        head, tail = self.wrap
        text = f"{letter}{number:09d} {time.monotonic_ns():019d} {channel:05d} ".encode()
        payload = head + text.ljust(size - len(head) - len(tail), b"x") + tail
        name = self.channel_name.replace("%d", str(channel)).encode()
        if self.mode == "http":
            self.out += b"POST %b HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b" % (
                name,
                size,
                payload,
            )
        elif self.mode == "api":
            body = b'{"channel":"%b","data":%b}' % (name, payload)
            head = b"Host: bench\r\nX-API-Key: %b\r\nContent-Type: application/json" % self.publish_argument.encode()
            self.out += b"POST /api/publish HTTP/1.1\r\n%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
        elif self.mode == "protobuf":
            # The field that a publication needs: number 4, bytes.
            self.out += command(b"PUBLISH", name, bytes([4 << 3 | 2]) + varint(size) + payload)
        elif self.mode == "xadd":
            self.out += command(b"XADD", name, b"MAXLEN", b"~", MAXLEN, b"*", b"data", payload)
        elif self.mode == "script":
            self.out += command(b"EVALSHA", self.publish_argument.encode(), b"1", name, MAXLEN, payload)
        else:
            self.out += command(b"PUBLISH", name, payload)
        if not probe:
            self.sequence[channel] = number + 1
            self.remaining[number] = self.subscribers.get(channel, 0)

    def flush(self) -> None:
        """Send what is outgoing, as far as it is taken."""
        while self.out:
            try:
                sent = self.publisher.send(self.out)
            except BlockingIOError:
                break
            except OSError:
                self.fail("the publishing connection broke")
                break
            del self.out[:sent]
        self.epoll.modify(self.publisher, select.EPOLLIN | (select.EPOLLOUT if self.out else 0))

    def read_replies(self) -> None:
        """Look for refusals among the answers to publications."""
        try:
            data = self.publisher.recv(65536)
        except BlockingIOError:
            return
        if not data:
            self.fail("the publishing connection was closed")
        if self.mode == "api" and b'{"error"' in data:
            # The API tells of errors in its answers, whose status is 200.
            self.fail("a publication was refused")
        lines = (self.replies + data).split(b"\n")
        self.replies = lines.pop()
        for line in lines:
            if self.is_content:
                self.is_content = False
                continue
            if self.mode in ("http", "api"):
                refused = line.startswith(b"HTTP/1.1 ") and line[9:10] != b"2"
            else:
                # The ID of an entry is a string: its length, and a line of its own.
                self.is_content = line[:1] == b"$"
                refused = line[:1] != (b"$" if self.mode == "xadd" else b":")
            if refused:
                self.fail("a publication was refused")
            self.counts["unheard"] += line == b":0\r"

    # --- receiving

    def send_frame(self, one: Connection, opcode: int, payload: bytes) -> None:
        """Send something; a zero mask is valid."""
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        one.sock.send(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def pong(self, one: Connection, opcode: int, payload: bytes) -> None:
        """Answer a ping, unless this connection answers none."""
        self.counts["pings"] += 1
        if not one.silent:
            self.send_frame(one, opcode, payload)
        elif not one.pinged:
            one.pinged = True
            self.counts["pinged"] += 1

    def send_commands(self, one: Connection) -> None:
        """Connect, and subscribe to all channels, in one frame."""
        commands: list[dict[str, Any]] = [{"id": 1, "connect": {"token": one.token} if one.token else {}}]
        for number in range(one.each):
            commands.append({"id": number + 2, "subscribe": {"channel": f"b{one.channel + number}"}})
        self.send_frame(one, 1, "\n".join(map(json.dumps, commands)).encode())

    def opened(self, one: Connection) -> None:
        """Count an open connection."""
        one.state = "open"
        self.opening -= 1
        self.counts["open"] += 1
        if one.slow:
            self.epoll.unregister(one.sock)
            return
        self.subscribers[one.channel] = self.subscribers.get(one.channel, 0) + 1
        if self.resuming:
            return
        one.expected = self.sequence.get(one.channel, 0)

    def on_object(self, one: Connection, line: bytes) -> None:
        """Handle one object of Centrifugo's protocol: a ping, a reply, or a push."""
        if line == b"{}":
            self.pong(one, 1, line)
            return
        try:
            document = json.loads(line)
            if one.state != "open":
                self.on_reply(one, document)
                return
            push = document["push"]
            payload = push["pub"]["data"]["m"].encode()
            is_own = push["channel"] == f"b{one.channel}"
        except (ValueError, LookupError, TypeError, AttributeError):
            is_own = False
        if is_own:
            self.on_publication(one, payload)
        else:
            self.counts["malformed"] += 1

    def on_reply(self, one: Connection, reply: dict[str, Any]) -> None:
        """Handle one reply to the commands; the last one opens the connection."""
        number = reply["id"]
        if "error" in reply:
            self.fail("a command was refused")
        elif number in one.answered or ("connect" if number == 1 else "subscribe") not in reply:
            self.counts["malformed"] += 1
        one.answered.add(number)
        if one.answered == set(range(1, one.each + 2)):
            self.opened(one)

    def on_message(self, one: Connection, payload: bytes) -> None:
        """Check one whole message."""
        if self.flavour == "centrifugo":
            for line in payload.removesuffix(b"\n").split(b"\n"):
                self.on_object(one, line)
            return
        if self.flavour == "socketio":
            if payload[:1] == b"2":
                self.pong(one, 1, b"3")
                return
            if one.state != "open":
                if payload[:1] == b"0":
                    self.send_frame(one, 1, b"40")
                elif payload[:2] == b"40":
                    self.opened(one)
                return
            if not payload.startswith(b'42["m","'):
                self.counts["malformed"] += 1
                return
            payload = payload[8:-2]
        if self.mode == "script":
            entry_id, _, payload = payload.partition(b" ")
            if not entry_id[:1].isdigit():
                self.counts["malformed"] += 1
                return
        self.on_publication(one, payload)

    def on_publication(self, one: Connection, payload: bytes) -> None:
        """Check what was published."""
        if payload[:1] == b"P":
            one.synced = True
            return
        try:
            number, sent, channel = int(payload[1:10]), int(payload[11:30]), int(payload[31:36])
        except ValueError:
            self.counts["malformed"] += 1
            return
        if payload[:1] != b"M" or channel != one.channel or len(payload) != self.size - sum(map(len, self.wrap)):
            self.counts["malformed"] += 1
            return
        if number < one.expected:
            self.counts["late"] += 1
            return
        self.counts["lost"] += number - one.expected
        one.expected = number + 1
        taken = time.monotonic_ns() - sent
        if channel == self.side_channel:
            self.side_delivered += 1
            self.side_latency.append(taken)
            return
        self.delivered += 1
        self.latency.append(taken)
        self.remaining[number] = self.remaining.get(number, 0) - 1
        if not self.remaining[number]:
            self.complete.append(taken)

    def on_readable(self, one: Connection) -> None:
        """Read once and take what is whole."""
        try:
            data = one.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.epoll.unregister(one.sock)
            one.state = "closed"
            self.fail("a connection was closed by the server")
            return
        self.counts["bytes"] += len(data)
        data = one.pending + data
        if one.state == "handshake":
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                one.pending = head
                return
            status, sign = (b"200", b"text/event-stream") if self.flavour == "sse" else (b"101", ACCEPT)
            if not head.startswith(b"HTTP/1.1 " + status) or sign not in head:
                self.fail(f"handshake refused: {head[:40]!r}")
                return
            one.state = "opening"
            if self.flavour == "ws":
                self.opened(one)
            elif self.flavour == "centrifugo":
                self.send_commands(one)
        if self.flavour == "sse":
            *events, one.pending = data.split(b"\n\n")
            for event in events:
                self.on_event(one, event)
        else:
            one.pending = data[self.take_frames(one, data) :]

    def on_event(self, one: Connection, event: bytes) -> None:
        """Handle one event of an event stream."""
        self.counts["frames"] += 1
        payloads = []
        is_confirmation = False
        for line in event.split(b"\n"):
            name, _, value = line.partition(b": ")
            if line == b"event: subscribed":
                is_confirmation = True
            elif name == b"data":
                payloads.append(value)
            elif name == b"id":
                one.position = value
            elif line[:1] == b":":
                self.counts["pings"] += 1
            elif name == b"event":
                self.fail("an event that is no message, such as a gap")
            elif name != b"retry":
                self.counts["malformed"] += 1
        self.counts["malformed"] += len(payloads) > 1
        if is_confirmation:
            self.opened(one)
        elif payloads:
            self.on_message(one, payloads[0])

    def take_frames(self, one: Connection, data: bytes) -> int:
        """Handle the whole frames in the data; return their length."""
        offset = 0
        while len(data) - offset >= 2:
            first, length, header = data[offset], data[offset + 1], 2
            if length in (126, 127):
                header = 4 if length == 126 else 10
                if len(data) - offset < header:
                    break
                length = int.from_bytes(data[offset + 2 : offset + header], "big")
            if len(data) - offset < header + length:
                break
            payload = data[offset + header : offset + header + length]
            offset += header + length
            self.counts["frames"] += 1
            self.on_frame(one, first, payload)
        return offset

    def on_frame(self, one: Connection, first: int, payload: bytes) -> None:
        """Handle one frame."""
        opcode = first & 15
        if first & 0x70 or opcode in (3, 4, 5, 6, 7) or opcode > 10:
            self.counts["malformed"] += 1
        elif opcode == 9:
            self.pong(one, 10, payload)
        elif opcode == 8:
            self.fail("a connection was closed by the server's close frame")
        elif opcode < 3:
            if bool(opcode) == bool(one.fragments):
                self.counts["malformed"] += 1
            one.fragments.append(payload)
            if first & 0x80:
                whole, one.fragments = b"".join(one.fragments), []
                self.on_message(one, whole)

    def turn(self, until: int) -> None:
        """Wait until something happens or the time has come, and handle it."""
        wait = max(0.0, (until - time.monotonic_ns()) / 1e9)
        for fd, events in self.epoll.poll(wait, 256):
            if fd == self.publisher.fileno():
                if events & select.EPOLLOUT:
                    self.flush()
                if events & ~select.EPOLLOUT:
                    self.read_replies()
                continue
            one = self.by_fd[fd]
            if one.state == "connecting":
                target = self.path.replace("%d", str(one.channel))
                lines = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
                if one.token and self.flavour != "centrifugo":
                    lines += [f"Authorization: Bearer {one.token}"]
                if self.flavour == "sse":
                    lines += ["Accept: text/event-stream"]
                    lines += [f"Last-Event-ID: {one.position.decode()}"] if one.position else []
                else:
                    lines += ["Upgrade: websocket", "Connection: Upgrade"]
                    lines += [f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]
                one.sock.send("\r\n".join([*lines, "", ""]).encode())
                one.state = "handshake"
                self.epoll.modify(fd, select.EPOLLIN)
            elif one.state != "closed":
                self.on_readable(one)

    # --- commands

    def start_connection(self, channel: int, slow: bool, each: int, silent: bool) -> None:
        """Begin to open one connection."""
        one = Connection(socket.socket(), channel, slow, each, silent=silent)
        if self.tokens:
            one.token = self.tokens[len(self.connections) % len(self.tokens)]
        self.connections.append(one)
        self.start(one, len(self.connections))

    def start(self, one: Connection, index: int) -> None:
        """Begin to open a connection that has a new socket."""
        sock = one.sock
        sock.setblocking(False)
        if one.slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        sock.bind((f"127.0.0.{1 + index // 8000}", 0))
        sock.connect_ex(("127.0.0.1", self.port))
        self.by_fd[sock.fileno()] = one
        self.epoll.register(sock, select.EPOLLOUT)
        self.opening += 1

    def connect(
        self,
        deadline: int,
        *,
        n: int,
        channels: int = 1,
        first: int = 0,
        each: int = 1,
        slow: int = 0,
        silent: int = 0,
    ) -> tuple[int, int]:
        """Open connections."""
        target, started = self.counts["open"] + n, 0
        while self.counts["open"] < target and not self.broken(deadline):
            while self.opening < 32 and started < n:
                self.start_connection(first + started % channels, bool(slow), each, bool(silent))
                started += 1
            self.turn(deadline)
        if self.counts["open"] < target:
            self.fail("deadline passed before all connections were open")
        return 0, 0

    def sync(self, deadline: int) -> tuple[int, int]:
        """Publish probes until every connection has had one."""
        while not self.broken(deadline):
            waiting = {one.channel for one in self.connections if not one.synced and not one.slow}
            if not waiting:
                break
            for channel in waiting:
                self.publish(channel, HEADER + sum(map(len, self.wrap)), probe=True)
            self.flush()
            until = time.monotonic_ns() + 300_000_000
            while time.monotonic_ns() < until:
                self.turn(until)
        else:
            self.fail("deadline passed before every connection had a probe")
        self.counts["unheard"] = 0
        return 0, 0

    def paced(
        self, deadline: int, *, rate: float, count: int, size: int, channels: int = 1, side: float = 0,
        side_channel: int = -1,
    ) -> tuple[int, int]:  # fmt: skip
        """Publish at a fixed rate."""
        self.size, self.side_channel = size, side_channel
        started, sent, beside, expected = time.monotonic_ns(), 0, 0, 0
        while not self.broken(deadline):
            passed = (time.monotonic_ns() - started) / 1e9
            while sent < count and passed >= sent / rate:
                self.publish(sent % channels, size)
                expected += self.subscribers.get(sent % channels, 0)
                sent += 1
            while side and sent < count and passed >= beside / side:
                self.publish(side_channel, size)
                beside += 1
            self.flush()
            if sent == count and self.delivered >= expected and self.side_delivered >= beside:
                break
            due = min(sent / rate, beside / side if side else sent / rate)
            self.turn(started + int(due * 1e9) if sent < count else deadline)
        return expected, beside

    def burst(self, deadline: int, *, messages: int, size: int, repeat: int = 1) -> tuple[int, int]:
        """Publish many at once, wait for all, repeat."""
        self.size, expected = size, 0
        for _ in range(repeat):
            for _ in range(messages):
                self.publish(0, size)
            expected += messages * self.subscribers.get(0, 0)
            self.flush()
            while self.delivered < expected and not self.broken(deadline):
                self.turn(deadline)
        return expected, 0

    def flat(self, deadline: int, *, total: int, window: int, channels: int, size: int) -> tuple[int, int]:
        """Keep so many deliveries under way."""
        self.size, sent, expected = size, 0, 0
        while (sent < total or self.delivered < expected) and not self.broken(deadline):
            while sent < total and expected - self.delivered < window:
                self.publish(sent % channels, size)
                expected += self.subscribers.get(sent % channels, 0)
                sent += 1
            self.flush()
            self.turn(deadline)
        return expected, 0

    def idle(self, deadline: int, *, seconds: float) -> tuple[int, int]:
        """Answer pings."""
        until = time.monotonic_ns() + int(seconds * 1e9)
        while time.monotonic_ns() < until and not self.broken(deadline):
            self.turn(until)
        return 0, 0

    def close_all(self) -> None:
        """Close all connections with a reset."""
        for one in self.connections:
            one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.sock.close()
            one.pending, one.state = b"", "closed"
        self.by_fd.clear()
        self.subscribers.clear()
        self.counts["open"] = 0

    def leave(self, _deadline: int) -> tuple[int, int]:
        """Close all connections, and remember how far each has come."""
        self.close_all()
        return 0, 0

    def resume(self, deadline: int, *, window: int = 32) -> tuple[int, int]:
        """Open all connections again, each from its position, until each has had what it missed."""
        self.resuming, started = True, 0
        expected = sum(self.sequence.get(one.channel, 0) - one.expected for one in self.connections)
        while not self.broken(deadline):
            while self.opening < window and started < len(self.connections):
                one = self.connections[started]
                one.sock, one.state = socket.socket(), "connecting"
                self.start(one, started)
                started += 1
            if self.counts["open"] == len(self.connections) and self.delivered >= expected:
                break
            self.turn(deadline)
        else:
            self.fail("deadline passed before all connections were open")
        self.resuming = False
        return expected, 0

    def do(self, line: str) -> dict[str, Any]:
        """Carry out one command and return the answer."""
        name, *words = line.split()
        arguments: dict[str, Any] = {}
        for word in words:
            key, _, value = word.partition("=")
            arguments[key] = float(value) if key in ("rate", "seconds", "timeout", "side") else int(float(value))
        started = time.monotonic_ns()
        deadline = started + int(arguments.pop("timeout", 60) * 1e9)
        self.begin()
        if name == "quit":
            self.close_all()
            return {"ok": not self.failure}
        expected, side_expected = getattr(self, name)(deadline, **arguments)
        if self.delivered != expected or self.side_delivered != side_expected:
            self.fail("messages are missing")
        if any(self.counts[what] for what in ("lost", "late", "malformed")):
            self.fail("lost, late or malformed messages")
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "ok": not self.failure,
            "failure": self.failure,
            "seconds": (time.monotonic_ns() - started) / 1e9,
            "expected": expected,
            "delivered": self.delivered,
            "side_delivered": self.side_delivered,
            **self.counts,
            "cpu": usage.ru_utime + usage.ru_stime,
            "latency": quantiles(self.latency),
            "complete": quantiles(self.complete),
            "side_latency": quantiles(self.side_latency),
        }


def main() -> int:
    """Execute commands until `quit`."""
    port, publish, publish_port, flavour, path, channel, *options = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    client = Client(int(port), publish, int(publish_port), flavour, path, channel)
    for option in options:
        if not option.startswith("tokens="):
            print(f"{option} needs the compiled load client", file=sys.stderr)
            return 2
        with open(option.removeprefix("tokens=")) as file:
            client.tokens = file.read().split()
    for line in sys.stdin:
        print(json.dumps(client.do(line)), flush=True)
        if line.startswith("quit"):
            break
    return 1 if client.failure else 0


if __name__ == "__main__":
    sys.exit(main())
