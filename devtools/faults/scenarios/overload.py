"""More than the relay can do: it must become slower, and nothing else."""

from __future__ import annotations

import asyncio
import json
import sys

from devtools.faults.environment import FaultEnvironment, FaultError
from devtools.faults.fault import Unready, fault

CLIENTS, RATE = 1000, 20
"""Clients, and the messages of each in a second: a fifth of what it is allowed. Together several times what one
processor carries."""

WINDOW = 50
"""How many messages of a client may not have come back before it leaves out those that are due: without a bound the
backlog in its own memory would have to be worked off for minutes."""

CONFIG = """\
[namespaces.all]
channels = ["*"]

[namespaces.published]
channels = ["s0", "s1", "overload-*"]
publish = true
"""


@fault(
    quick=True,
    disturbs=False,
    unready=Unready.NEVER,
    config=CONFIG,
    flags=("--max-handshakes-per-second", "0"),
    memory=64 * 1024 * 1024,
)
async def clients_publish_too_much(environment: FaultEnvironment) -> None:
    """A thousand clients publish several times as much as the relay carries, and then nothing."""
    load = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "devtools.faults.publishing_load", str(environment.relay.port)),
        *("--clients", str(CLIENTS), "--rate", str(RATE), "--seconds", str(environment.overload_seconds)),
        *("--window", str(WINDOW), "--prefix", "overload-"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await load.communicate()
    finally:
        if load.returncode is None:
            load.kill()
    if load.returncode != 0:
        raise FaultError(f"the program that publishes ended with status {load.returncode}")
    found = json.loads(output)
    expect = environment.expect
    expect(found["clients"] == CLIENTS, f"{found['clients']} clients were let in")
    expect(not found["closed"], f"clients that publish were closed: {found['closed']}")
    expect(not found["missing"], f"{found['missing']} of {found['sent']} messages did not come back")
    expect(not found["disordered"], f"{found['disordered']} messages came back out of order")
    waited = await environment.relay.metric("wsrelay_reading_pauses_total")
    expect(waited, "nobody had to wait: the fault did not take effect, and proves nothing")
    paused = await environment.relay.metric("wsrelay_paused_connections")
    expect(paused == 0, f"{paused} connections are still paused")
