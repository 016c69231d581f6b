"""Faults of the network between the relay and Redis."""

from __future__ import annotations

import asyncio

from devtools.faults.faults import Red, fault
from devtools.faults.proxy import Role, Way
from devtools.faults.stage import Stage

INDIFFERENT = """\
[namespaces.all]
channels = ["*"]

[namespaces.indifferent]
channels = ["c4"]
notify_gaps = false

[namespaces.spoken]
channels = ["s0", "s1"]
publish = true
"""


@fault(quick=True, loses=True, red=Red.MUST)
async def link_reset(stage: Stage) -> None:
    """The links to Redis are reset, and new ones are refused for two seconds."""
    stage.proxy.refuse()
    stage.proxy.cut()
    await asyncio.sleep(2)
    await stage.proxy.listen()


@fault(loses=True, red=Red.MUST)
async def link_closed(stage: Stage) -> None:
    """The links end with FIN, and new ones are accepted and closed at once for three seconds."""
    stage.proxy.slams = True
    stage.proxy.cut(politely=True)
    await asyncio.sleep(3)
    stage.proxy.slams = False


@fault(red=Red.MAY)
async def link_flaps(stage: Stage) -> None:
    """The links are reset ten times in two seconds, some of them in the middle of their greeting."""
    for _ in range(10):
        stage.proxy.cut()
        await asyncio.sleep(0.2)


@fault(loses=True, red=Red.MUST)
async def link_half_closed(stage: Stage) -> None:
    """Redis's side of the links ends its half with FIN, and goes on listening; new ones stall for two seconds."""
    with stage.proxy.stall():
        stage.proxy.half_close()
        await asyncio.sleep(2)


@fault(red=Red.MUST)
async def link_stalls(stage: Stage) -> None:
    """Nothing passes in either way, on old links and on new ones, until the relay says that it is not ready."""
    with stage.proxy.stall():
        await stage.until_red(2)


@fault(quick=True, red=Red.MUST)
async def subscriber_stalls(stage: Stage) -> None:
    """Nothing more comes down the subscriber link, and what goes up it still arrives."""
    with stage.proxy.stall(Way.DOWN, role=Role.SUBSCRIBER):
        await stage.until_red(2)


@fault(red=Red.MUST)
async def commands_stall(stage: Stage) -> None:
    """No answer comes down the command link, while messages still come down the other."""
    with stage.proxy.stall(Way.DOWN, role=Role.COMMANDER):
        await stage.until_red(2)


@fault(quick=True, loses=True)
async def link_vanishes(stage: Stage) -> None:
    """Redis's end of the links is gone without a packet that says so; new ones would work at once."""
    stage.proxy.strand()
    await stage.until_noticed()


@fault(loses=True, red=Red.MUST)
async def black_hole(stage: Stage) -> None:
    """The links are reset, and new ones are accepted by something that never says a word."""
    with stage.proxy.stall():
        stage.proxy.cut()
        await asyncio.sleep(7)


@fault(disturbs=False, red=Red.NEVER)
async def link_is_slow(stage: Stage) -> None:
    """Every piece takes 0.4 s on its way, to Redis and back."""
    stage.proxy.delay = 0.4
    await asyncio.sleep(6)
    stage.proxy.delay = 0.0


@fault()
async def link_is_narrow(stage: Stage) -> None:
    """The link passes 1 kB a second, a quarter of what is published, so that its delay grows and grows."""
    stage.proxy.rate = 1000.0
    await asyncio.sleep(12)
    stage.proxy.rate = 0.0


@fault(garbles=True)
async def answers_are_garbled(stage: Stage) -> None:
    """Bytes that say how long things are come from Redis changed, for two seconds."""
    stage.proxy.mangle[Way.DOWN] = lambda data: data.replace(b"\r\n$", b"\r\n%", 1)
    await asyncio.sleep(2)
    stage.proxy.mangle.clear()


@fault(garbles=True)
async def lengths_are_garbled(stage: Stage) -> None:
    """A length that comes from Redis is ten times too large, once: what follows is swallowed as its payload."""
    stage.proxy.mangle[Way.DOWN] = lambda data: data.replace(b"$7\r\nmessage", b"$70000\r\nmessage", 1)
    await asyncio.sleep(0.3)
    stage.proxy.mangle.clear()


@fault()
async def commands_are_garbled(stage: Stage) -> None:
    """Bytes of what the relay says to Redis are changed, for three seconds, on links old and new."""
    stage.proxy.mangle[Way.UP] = lambda data: data.replace(b"*", b"!", 1)
    stage.proxy.cut(role=Role.COMMANDER)
    await asyncio.sleep(3)
    stage.proxy.mangle.clear()


@fault(loses=True, silences=True, red=Red.MUST, config=INDIFFERENT)
async def nobody_wants_to_know(stage: Stage) -> None:
    """The links are cut, and one channel's rule says not to tell: its listeners stay, and must be seen to lose."""
    stage.proxy.refuse()
    stage.proxy.cut()
    await asyncio.sleep(2)
    await stage.proxy.listen()


@fault(quick=True, loses=True)
async def subscriptions_are_forgotten(stage: Stage) -> None:
    """Redis forgets every subscription, and answers PING as ever: the link is deaf and looks healthy."""
    stage.proxy.inject(b"UNSUBSCRIBE\r\n", Role.SUBSCRIBER)
    await stage.until_noticed()
