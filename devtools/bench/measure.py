"""CPU time and memory of processes.

CPU time is read from the process's own CPU clock (`clock_gettime` with the clock of another process, Linux).
`/proc/PID/stat` shows the same sum of user and system time, but in ticks of 10 ms, which is too coarse for
the shorter scenarios.  `/proc/PID/schedstat` counts nanoseconds, but those of the first thread only, lags by
up to a tick while that thread runs, and forgets threads that have ended.  The clock counts nanoseconds,
covers all threads, living and ended, and is up to date when it is read.  Work the kernel does for a loopback
`send()`, up to queueing the bytes at the receiver, is done in the sender's context and so counts as its own.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from devtools.harness.processes import family, resident_bytes

_CPUCLOCK_SCHED = 2
"""The kernel's name for "time on a CPU", in the lower bits of a process clock's number."""


def cpu_seconds(pid: int) -> float:
    """Return user and system time of one process so far."""
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED) / 1e9


def server_sockets(port: int) -> tuple[int, int]:
    """Return how many connections to a local port are established, and the bytes in their send queues."""
    established = queued = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            established += fields[3] == "01"
            queued += int(fields[4].partition(":")[0], 16)
    return established, queued


class Meter:
    """Sums CPU time and memory over the processes of a server, which must stay the same while it is measured."""

    def __init__(self, pid: int) -> None:
        self.pids = family(pid)

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        return sum(cpu_seconds(pid) for pid in self.pids)

    def memory(self) -> int:
        """Return the resident bytes."""
        return sum(resident_bytes(pid) for pid in self.pids)

    def forget_peak(self) -> None:
        """Let the next peak be one from now on."""
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """Return the most bytes that were resident since the start, or since `forget_peak`.

        Raises:
            ProcessLookupError: The server has ended.
        """
        found = 0
        for pid in self.pids:
            peak = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()
            if not peak:
                # A zombie has no memory.
                raise ProcessLookupError(f"process {pid} of the server has ended")
            found += int(peak[0]) * 1024
        return found


def cores() -> tuple[set[int], set[int]]:
    """Choose the processors of the server, and those of load client and Redis. With one processor both are the same."""
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[0]}, set(allowed[1:2] or allowed)
