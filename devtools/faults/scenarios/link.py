"""Faults of the network between the relay and Redis."""

from __future__ import annotations

import asyncio

from devtools.faults.environment import FaultEnvironment
from devtools.faults.fault import Unready, fault
from devtools.harness.proxy import Direction, Role

WITHOUT_GAP_NOTICES = """\
[namespaces.all]
channels = ["*"]

[namespaces.quiet]
channels = ["c4"]
notify_gaps = false

[namespaces.published]
channels = ["s0", "s1"]
publish = true
"""


@fault(quick=True, loses=True, unready=Unready.MUST)
async def link_reset(environment: FaultEnvironment) -> None:
    """The links to Redis are reset, and new ones are refused for two seconds."""
    environment.proxy.refuse()
    environment.proxy.cut()
    await asyncio.sleep(2)
    await environment.proxy.listen()


@fault(loses=True, unready=Unready.MUST)
async def link_closed(environment: FaultEnvironment) -> None:
    """The links end with FIN, and new ones are accepted and closed at once for three seconds."""
    with environment.proxy.closing_at_once():
        environment.proxy.cut(gracefully=True)
        await asyncio.sleep(3)


@fault(unready=Unready.MAY)
async def link_flaps(environment: FaultEnvironment) -> None:
    """The links are reset ten times in two seconds, some of them during their AUTH and SUBSCRIBE."""
    for _ in range(10):
        environment.proxy.cut()
        await asyncio.sleep(0.2)


@fault(loses=True, unready=Unready.MUST)
async def link_half_closed(environment: FaultEnvironment) -> None:
    """Redis's side of the links sends FIN and goes on reading; new ones stall for two seconds."""
    with environment.proxy.stall():
        environment.proxy.half_close()
        await asyncio.sleep(2)


@fault(unready=Unready.MUST)
async def link_stalls(environment: FaultEnvironment) -> None:
    """No byte passes in either direction, on old links and on new ones, until `/readyz` reports it."""
    with environment.proxy.stall():
        await environment.wait_until_unready(2)


@fault(quick=True, unready=Unready.MUST)
async def subscriber_stalls(environment: FaultEnvironment) -> None:
    """No byte comes from Redis on the subscriber link, while bytes to Redis still arrive."""
    with environment.proxy.stall(Direction.DOWN, role=Role.SUBSCRIBER):
        await environment.wait_until_unready(2)


@fault(unready=Unready.MUST)
async def commands_stall(environment: FaultEnvironment) -> None:
    """No reply comes on the command link, while messages still come on the subscriber link."""
    with environment.proxy.stall(Direction.DOWN, role=Role.COMMANDS):
        await environment.wait_until_unready(2)


@fault(quick=True, loses=True)
async def link_vanishes(environment: FaultEnvironment) -> None:
    """Redis's end of the links vanishes without FIN or RST; new ones would work at once."""
    environment.proxy.strand()
    await environment.wait_until_reconnected()


@fault(loses=True, unready=Unready.MUST)
async def black_hole(environment: FaultEnvironment) -> None:
    """The links are reset, and new ones are accepted by a peer that never sends a byte."""
    with environment.proxy.stall():
        environment.proxy.cut()
        await asyncio.sleep(7)


@fault(disturbs=False, unready=Unready.NEVER)
async def link_is_slow(environment: FaultEnvironment) -> None:
    """Every chunk takes 0.4 s in each direction."""
    with environment.proxy.delayed(0.4):
        await asyncio.sleep(6)


@fault()
async def link_is_narrow(environment: FaultEnvironment) -> None:
    """The link passes 1 kB per second, a quarter of what is published, so that its delay grows without end."""
    with environment.proxy.rate_limited(1000.0):
        await asyncio.sleep(12)


@fault(garbles=True)
async def answers_are_garbled(environment: FaultEnvironment) -> None:
    """Length prefixes in replies from Redis are changed, for two seconds."""
    with environment.proxy.mangled(Direction.DOWN, lambda data: data.replace(b"\r\n$", b"\r\n%", 1)):
        await asyncio.sleep(2)


@fault(garbles=True)
async def lengths_are_garbled(environment: FaultEnvironment) -> None:
    """One length prefix from Redis is far too large: what follows is read as payload."""
    with environment.proxy.mangled(
        Direction.DOWN, lambda data: data.replace(b"$7\r\nmessage", b"$70000\r\nmessage", 1)
    ):
        await asyncio.sleep(0.3)


@fault()
async def commands_are_garbled(environment: FaultEnvironment) -> None:
    """Commands from the relay are changed on their way to Redis, for three seconds, on old links and on new ones."""
    with environment.proxy.mangled(Direction.UP, lambda data: data.replace(b"*", b"!", 1)):
        environment.proxy.cut(role=Role.COMMANDS)
        await asyncio.sleep(3)


@fault(loses=True, expects_silence=True, unready=Unready.MUST, config=WITHOUT_GAP_NOTICES)
async def nobody_wants_to_know(environment: FaultEnvironment) -> None:
    """The links are reset, and one namespace has no gap notices: the silent loss of its subscribers must be seen."""
    environment.proxy.refuse()
    environment.proxy.cut()
    await asyncio.sleep(2)
    await environment.proxy.listen()


@fault(quick=True, loses=True)
async def subscriptions_are_forgotten(environment: FaultEnvironment) -> None:
    """Redis loses every subscription and still answers PING: the link looks healthy and delivers nothing."""
    environment.proxy.inject(b"UNSUBSCRIBE\r\n", Role.SUBSCRIBER)
    await environment.wait_until_reconnected()
