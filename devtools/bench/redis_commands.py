"""Commands to the benchmark's Redis, without a library: what is kept, and what the server counts."""

from __future__ import annotations

import socket

__all__ = ["APPEND_AND_PUBLISH", "ask", "calls", "load_script"]

APPEND_AND_PUBLISH = """\
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'data', ARGV[2])
return redis.call('PUBLISH', KEYS[1], id .. ' ' .. ARGV[2])
"""
"""The script that teams write for a history beside Pub/Sub: every publisher runs it, and readers need not read."""

_SECONDS = 10.0


def ask(port: int, *words: str) -> str:
    """Send one command, and return the reply if it is one line or one string.

    Raises:
        OSError: Redis cannot be reached, or replied with an error.
    """
    with socket.create_connection(("127.0.0.1", port), _SECONDS) as connection:
        parts = [f"*{len(words)}", *(part for word in words for part in (f"${len(word.encode())}", word)), ""]
        connection.sendall("\r\n".join(parts).encode())
        with connection.makefile("rb") as replies:
            line = replies.readline().decode().strip()
            if line.startswith("-"):
                raise OSError(f"Redis: {line[1:]}")
            return replies.read(int(line[1:])).decode() if line.startswith("$") else line[1:]


def load_script(port: int) -> str:
    """Give the server the script `APPEND_AND_PUBLISH`; return what it is called by."""
    return ask(port, "SCRIPT", "LOAD", APPEND_AND_PUBLISH)


def calls(port: int, *commands: str) -> int:
    """Return how often clients have called these commands so far."""
    names = [f"cmdstat_{command.lower()}:calls" for command in commands]
    total = 0
    for line in ask(port, "INFO", "commandstats").splitlines():
        name, _, rest = line.partition("=")
        if name in names:
            total += int(rest.partition(",")[0])
    return total
