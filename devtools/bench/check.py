"""The proof that the load client detects errors.

It connects to servers that are correct but unusual, and to servers that lose, duplicate, swap, cut or misdirect
messages. The former must pass and the latter must not. `python -m devtools.bench check` runs it; nothing is timed.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from devtools.bench import load
from devtools.bench.measure import cores
from devtools.bench.paths import CERTIFICATE, HERE, LOAD, LOGS, PROJECT, SECURE_LOAD
from devtools.harness.ports import free_port
from devtools.harness.processes import ChildProcess, interrupt_on_signals, wait_until_listening

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The Sec-WebSocket-Accept for the one key that the load client sends."""


PROBE = re.compile(rb"(^|\")P0")
"""The beginning of a message that is published to find out which connections are subscribed."""


def frame(payload: bytes, opcode: int = 1, *, final: bool = True, reserved: int = 0) -> bytes:
    """Return one frame as a server sends it."""
    length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return bytes([0x80 * final | reserved | opcode]) + length + payload


def fragments(payload: bytes) -> bytes:
    """Return a message in four frames, with a ping between them."""
    parts = frame(payload[:10], final=False), frame(b"ping", 9), frame(b"", 0, final=False)
    return b"".join(parts) + frame(payload[10:50], 0, final=False) + frame(payload[50:], 0)


def swapped() -> Callable[[int, bytes], bytes]:
    """Return a rule that swaps every two messages."""
    held: dict[int, bytes] = {}

    def rule(number: int, payload: bytes) -> bytes:
        if number % 2:
            return frame(payload) + held.pop(0, b"")
        held[0] = frame(payload)
        return b""

    return rule


def joined() -> Callable[[int, bytes], bytes]:
    """Return a rule that puts every two messages into one frame, as objects of Centrifugo's protocol."""
    held: dict[int, bytes] = {}

    def rule(number: int, payload: bytes) -> bytes:
        if number % 2:
            return frame(held.pop(0, b"") + b"\n" + payload)
        held[0] = payload
        return b""

    return rule


RULES: dict[str, tuple[bool, Callable[[int, bytes], bytes]]] = {
    "plain": (True, lambda number, payload: frame(payload)),
    "binary": (True, lambda number, payload: frame(payload, 2)),
    "fragments and pings": (True, lambda number, payload: fragments(payload)),
    "byte by byte": (True, lambda number, payload: frame(payload)),
    "lost": (False, lambda number, payload: frame(payload) if number % 7 else b""),
    "doubled": (False, lambda number, payload: frame(payload) * (1 if number % 7 else 2)),
    "swapped": (False, swapped()),
    "cut": (False, lambda number, payload: frame(payload[:-1])),
    "misdirected": (False, lambda number, payload: frame(payload.replace(b" 00000 ", b" 00001 "))),
    "compressed unasked": (False, lambda number, payload: frame(payload, reserved=0x40)),
    "last one lost": (False, lambda number, payload: frame(payload) if number < 39 else b""),
    "joined": (True, joined()),
    "pings": (True, lambda number, payload: frame(b"{}") + frame(payload)),
    "more fields": (True, lambda number, payload: frame(payload.replace(b"}}}}", b'},"offset":1}}}'))),
    "more fields, cut": (False, lambda number, payload: frame(payload.replace(b"}}}}", b'},"offset":1}}'))),
    "other channel": (False, lambda number, payload: frame(payload.replace(b'"b0"', b'"b1"'))),
    "error": (False, lambda number, payload: frame(payload)),
    "busy": (False, lambda number, payload: frame(payload)),
}
"""For each behaviour: True if it is correct, and the bytes for the n-th message.

Those from "joined" on are of Centrifugo's protocol. With "error" a subscription is refused.
With "busy", of every protocol, the third and the fourth connection are answered 503.
"""


@dataclass(frozen=True)
class Way:
    """A way to publish, and to receive.

    Attributes:
        publish: The load client's first argument but one.
        flavour: The protocol of subscribers.
        head: The answer to a subscriber's request.
        message: Makes what a subscriber is sent of what was published.
        reply: What is replied to a publication.
        rules: The behaviours that are tried with it.
        echoes: True if clients publish through their connections, and the server sends it back to them.
    """

    publish: str
    flavour: str
    head: str
    message: Callable[[bytes], bytes]
    reply: bytes
    rules: tuple[str, ...]
    echoes: bool = False


_SWITCHING = f"101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}"
_FEW = ("plain", "byte by byte", "lost", "doubled", "swapped", "cut", "misdirected", "last one lost")
_ALL = (*_FEW, "binary", "fragments and pings", "compressed unasked")
_OBJECTS = ("joined", "pings", "more fields", "more fields, cut", "other channel", "error")


def _push(data: bytes) -> bytes:
    return b'{"push":{"channel":"b0","pub":{"data":%b}}}' % data


def _protobuf_push(publication: bytes) -> bytes:
    """Return the push of a publication whose one field is its data."""
    return _push(publication[publication.index(b"{") :])


_ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + b'{"result":{}}'


WAYS = {
    "PUBLISH": Way("redis", "ws", _SWITCHING, bytes, b":1\r\n", (*_ALL, "busy")),
    "echo": Way("redis", "ws", _SWITCHING, bytes, b":1\r\n", _FEW, echoes=True),
    "objects": Way("redis", "centrifugo", _SWITCHING, _push, b":1\r\n", (*_ALL, *_OBJECTS)),
    "Protobuf": Way("protobuf", "centrifugo", _SWITCHING, _protobuf_push, b":1\r\n", _FEW),
    "API": Way("api:secret", "centrifugo", _SWITCHING, _push, _ACCEPTED, _FEW),
    "XADD": Way("xadd", "ws", _SWITCHING, bytes, b"$3\r\n1-0\r\n", _FEW),
    "script": Way(f"script:{'5' * 40}", "ws", _SWITCHING, lambda payload: b"1-0 " + payload, b":1\r\n", _FEW),
    "events": Way("xadd", "sse", "200 OK\r\nContent-Type: text/event-stream", bytes, b"$3\r\n1-0\r\n", _FEW),
}


def event(data: bytes) -> bytes:
    """Return the frames of a behaviour as events."""
    events = b""
    while data:
        header = 4 if data[1] == 126 else 2
        length = int.from_bytes(data[2:4], "big") if header == 4 else data[1]
        events += b"data: %b\nid: 1-0.5f3a9c01\n\n" % data[header : header + length]
        data = data[header + length :]
    return events


async def confirm_commands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_refused: bool) -> None:
    """Read the frame with the client's connect and its subscribe, and reply to both, in the wrong order and late."""
    commands = await reader.readuntil(b"}}\n") + await reader.readuntil(b"}}")
    if b'"connect"' in commands and b'"b0"' in commands:
        outcome = b'"error":{"code":103,"message":"permission denied"}' if is_refused else b'"subscribe":{}'
        writer.write(frame(b'{"id":2,%b}' % outcome))
        writer.write(frame(b'{"id":1,"connect":{"client":"c","ping":25,"pong":true}}'))


async def read_command(reader: asyncio.StreamReader, line: bytes) -> bytes:
    """Return the last word of a command of Redis, or what a request publishes."""
    payload = b""
    if line.startswith(b"POST "):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return (await reader.readexactly(length)).partition(b'"data":')[2][:-1]
    for _ in range(int(line[1:])):
        length = int((await reader.readline())[1:])
        payload = (await reader.readexactly(length + 2))[:-2]
    return payload


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the payload of a frame of the load client, which masks with zeros."""
    length = (await reader.readexactly(2))[1] & 127
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    return (await reader.readexactly(4 + length))[4:]


async def serve(way: Way, rule: str, port: int, publish_port: int, certificate: str = "") -> None:
    """Serve with a rule, over TLS if there is a certificate, and be the Redis in front of it."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    writers: list[asyncio.StreamWriter] = []
    count = requests = 0

    async def subscriber(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count, requests
        try:
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        requests += 1
        if rule == "busy" and requests in (3, 4):
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
            return
        confirmation = 'event: subscribed\ndata: {"channel":"b0"}\n\n' if way.flavour == "sse" else ""
        writer.write(f"HTTP/1.1 {way.head}\r\n\r\n{confirmation}".encode())
        if way.flavour == "centrifugo":
            await confirm_commands(reader, writer, is_refused=rule == "error")
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError):
            while True:
                payload = await read_frame(reader)
                if way.echoes:
                    await send([writer], RULES[rule][1](count, payload))
                    count += 1

    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while line := await reader.readline():
            payload = await read_command(reader, line)
            probe = PROBE.search(payload) is not None
            message = way.message(payload)
            data = frame(message) if probe else RULES[rule][1](count, message)
            if way.flavour == "sse":
                data = event(data)
            count += not probe
            await send(writers, data)
            writer.write(way.reply)

    async def send(targets: list[asyncio.StreamWriter], data: bytes) -> None:
        for each in targets:
            pieces: Iterator[bytes] = (data[i : i + 1] for i in range(len(data)))
            for piece in pieces if rule == "byte by byte" else [data]:
                each.write(piece)
                await each.drain()

    await asyncio.start_server(subscriber, "127.0.0.1", port, ssl=context)
    await asyncio.start_server(redis, "127.0.0.1", publish_port)
    await asyncio.Event().wait()


@contextmanager
def client_of(name: str, rule: str, command: list[str], *, certificate: Path | None = None) -> Iterator[load.Load]:
    """Run a client for a server with a rule, and with TLS if there is a certificate."""
    way = WAYS[name]
    server_cores, load_cores = cores()
    port, publish_port = free_port(), free_port()
    server = ChildProcess("odd", log=LOGS / "odd.log", cores=server_cores)
    module = [sys.executable, "-m", "devtools.bench.check"]
    words = [str(certificate)] if certificate else []
    server.spawn([*module, name, rule, str(port), str(publish_port), *words], cwd=PROJECT)
    try:
        wait_until_listening(server, publish_port)
        client = load.Load(
            port,
            publish=way.publish,
            publish_port=publish_port,
            flavour=way.flavour,
            path="/ws/b%d",
            channel="wsrelay:b%d",
            cores=load_cores,
            command=command,
            tls=certificate is not None,
        )
        try:
            yield client
        finally:
            client.stop()
    finally:
        server.close()


def passes(name: str, rule: str, command: list[str], *, deadline: float = 4, certificate: Path | None = None) -> str:
    """Run the client against a server with a rule, for at most `deadline` seconds; return its error, if any."""
    is_echo = WAYS[name].echoes
    with client_of(name, rule, command, certificate=certificate) as client:
        try:
            # What a connection publishes comes back to itself alone.
            client.ask("connect", n=1 if is_echo else 3)
            client.ask("sync")
            client.ask("echo" if is_echo else "paced", rate=400, count=40, size=300, deadline=deadline)
            client.ask("idle", seconds=0.1)
            client.ask("quit")
        except load.LoadError as error:
            return str(error)
    return ""


def check() -> int:
    """Run all rules; return 0 if the client judged each of them correctly."""
    interrupt_on_signals()
    clients: dict[str, tuple[list[str], Path | None]] = {
        "Python": ([sys.executable, str(HERE / "load_fallback.py")], None)
    }
    if LOAD.exists():
        clients["C"] = [str(LOAD)], None
    if SECURE_LOAD.exists() and CERTIFICATE.exists():
        clients["C, TLS"] = [str(SECURE_LOAD)], CERTIFICATE
    wrong = 0
    for language, (command, certificate) in clients.items():
        for name, way in WAYS.items():
            if way.echoes and language == "Python":
                continue
            for rule in way.rules:
                error_text = passes(name, rule, command, certificate=certificate)
                verdict = "correct" if RULES[rule][0] is not bool(error_text) else "WRONG"
                wrong += verdict == "WRONG"
                shown = "rejected" if error_text else "passed"
                print(f"{language:<7} {name:<8} {rule:<20} {shown:<8} {verdict}  {error_text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    asyncio.run(serve(WAYS[sys.argv[1]], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:]))
