"""Many clients that break the rules at the same time. As a program: connections that wait until they are killed."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from devtools.harness.http import upgrade
from devtools.harness.raw_connection import RawConnection

__all__ = ["DEADLINE_SECONDS", "READY_LINE", "open_websocket", "outcome", "run_many"]

DEADLINE_SECONDS = 20.0
"""How long the relay may take to end a hostile client."""

READY_LINE = "connected"
_PROGRAM_SECONDS = 30.0


async def run_many(
    port: int, count: int, behavior: Callable[[RawConnection], Awaitable[str]], *, source: str = "127.0.0.1"
) -> Counter[str]:
    """Run a behavior on many connections at the same time, and reset them afterwards.

    Args:
        port: The relay's port.
        count: The number of connections.
        behavior: Returns the outcome for one connection.
        source: The clients' address.

    Returns:
        The outcomes; "still open" for those that passed the deadline, the name of the error for those that failed.
    """
    outcomes: Counter[str] = Counter()

    async def run_one() -> None:
        connection: RawConnection | None = None
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                connection = await RawConnection.connect(port, source=source)
                outcomes[await behavior(connection)] += 1
        except TimeoutError:
            outcomes["still open"] += 1
        except OSError as error:
            outcomes[type(error).__name__] += 1
        finally:
            if connection is not None:
                connection.reset()

    await asyncio.gather(*(run_one() for _ in range(count)))
    return outcomes


async def open_websocket(connection: RawConnection, channel: str) -> None:
    """Complete a handshake.

    Raises:
        ConnectionError: It was rejected.
    """
    if not await connection.upgrade(f"/ws/{channel}"):
        raise ConnectionError(f"the handshake was rejected: {bytes(connection.received[:200])!r}")


async def outcome(connection: RawConnection) -> str:
    """Wait for the end of a connection; return its HTTP status or close code if it got one, else "reset" or "closed".

    The caller has read the response of a handshake that succeeded.
    """
    ended = await connection.wait_for_end(DEADLINE_SECONDS)
    if connection.received.startswith(b"HTTP/1.1 101"):
        return await connection.close_code(0)
    response = await connection.response(0)
    return ended if response is None else str(response.status)


async def _main(port: int, count: int) -> None:
    connections = [await RawConnection.connect(port) for _ in range(count)]
    for number, connection in enumerate(connections):
        if number % 2:
            await open_websocket(connection, "c4")
        else:
            connection.send(upgrade("/ws/c4")[:40])
    sys.stdout.write(f"{READY_LINE}\n")
    sys.stdout.flush()
    # Not for ever, should nothing kill it.
    deadline = time.monotonic() + _PROGRAM_SECONDS
    while time.monotonic() < deadline and os.getppid() != 1:
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
