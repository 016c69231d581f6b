"""The proof that the load client detects errors.

It connects to servers that are correct but unusual, and to servers that lose, duplicate, swap, cut or misdirect
messages. The former must pass and the latter must not. `python -m devtools.bench check` runs it; nothing is timed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator

from devtools.bench import load
from devtools.bench.measure import cores
from devtools.bench.paths import HERE, LOAD, LOGS, PROJECT
from devtools.harness.ports import free_port
from devtools.harness.processes import ChildProcess, interrupt_on_signals, wait_until_listening

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The Sec-WebSocket-Accept for the one key that the load client sends."""


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
}
"""For each behaviour: True if it is correct, and the bytes for the n-th message."""


async def serve(rule: str, port: int, publish_port: int) -> None:
    """Serve with a rule, and be the Redis in front of it."""
    writers: list[asyncio.StreamWriter] = []
    count = 0

    async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{head}Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n".encode())
        writers.append(writer)
        while await reader.read(4096):
            pass

    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while await reader.readline():
            items = []
            for _ in range(3):
                length = int((await reader.readline())[1:])
                items.append((await reader.readexactly(length + 2))[:-2])
            payload = items[2]
            probe = payload.startswith(b"P")
            data = frame(payload) if probe else RULES[rule][1](count, payload)
            count += not probe
            for each in writers:
                pieces: Iterator[bytes] = (data[i : i + 1] for i in range(len(data)))
                for piece in pieces if rule == "byte by byte" else [data]:
                    each.write(piece)
                    await each.drain()
            writer.write(b":1\r\n")

    await asyncio.start_server(websocket, "127.0.0.1", port)
    await asyncio.start_server(redis, "127.0.0.1", publish_port)
    await asyncio.Event().wait()


def passes(rule: str, command: list[str]) -> str:
    """Run the client against a server with a rule; return its error, or an empty string."""
    server_cores, load_cores = cores()
    port, publish_port = free_port(), free_port()
    server = ChildProcess("odd", log=LOGS / "odd.log", cores=server_cores)
    server.spawn([sys.executable, "-m", "devtools.bench.check", rule, str(port), str(publish_port)], cwd=PROJECT)
    try:
        wait_until_listening(server, publish_port)
        client = load.Load(
            port,
            publish="redis",
            publish_port=publish_port,
            flavour="ws",
            path="/ws/b%d",
            channel="wsrelay:b%d",
            cores=load_cores,
            command=command,
        )
        try:
            client.ask("connect", n=3)
            client.ask("sync")
            client.ask("paced", rate=400, count=40, size=300, deadline=2)
            client.ask("idle", seconds=0.1)
            client.ask("quit")
        except load.LoadError as error:
            return str(error)
        finally:
            client.stop()
    finally:
        server.close()
    return ""


def check() -> int:
    """Run all rules; return 0 if the client judged each of them correctly."""
    interrupt_on_signals()
    clients = {"Python": [sys.executable, str(HERE / "load_fallback.py")]}
    if LOAD.exists():
        clients["C"] = [str(LOAD)]
    wrong = 0
    for language, command in clients.items():
        for rule, (right, _) in RULES.items():
            error_text = passes(rule, command)
            verdict = "correct" if right is not bool(error_text) else "WRONG"
            wrong += verdict == "WRONG"
            print(f"{language:<7} {rule:<20} {'rejected' if error_text else 'passed':<8} {verdict}  {error_text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
