"""The definition of a fault, and the table of all faults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from devtools.faults.environment import FaultEnvironment

__all__ = ["TABLE", "Fault", "Gaps", "Unready", "fault"]


class Unready(Enum):
    """True if `/readyz` should report that the relay is not ready while a fault lasts."""

    MUST = "not ready, within the deadline"
    MAY = "either"
    NEVER = "ready all the time"


class Gaps(Enum):
    """The clients of channels with history that should be told of a gap."""

    NEVER = "nobody: the streams hold everything"
    MUST = "somebody: entries are gone that were not read"
    MAY = "either"


Scenario = Callable[[FaultEnvironment], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that breaks.

    Attributes:
        name: Its name on the command line.
        text: One sentence about it.
        scenario: Brings it about and ends it again.
        quick: True if it is one of the most telling.
        loses: True if messages are lost for certain: if none is, the fault has not happened.
        disturbs: True if clients may be closed and messages lost at all.
        unready: True if `/readyz` should report it.
        garbles: True if clients may receive what was never published, because nothing on the way could notice.
        relays: How many relays there are.
        flags: Their flags.
        password: The password in the relays' URL, and that of Redis unless the scenario changes it; None for none.
        breaks_host: True if the relays' resolver and clock can be broken.
        starts_down: True if it exists before the relays start, so that they cannot be ready.
        receive_buffer: SO_RCVBUF of the proxy towards Redis in bytes; 0 leaves it unchanged.
        user: The user in the relays' URL.
        redis_flags: Flags of the Redis server.
        recovery: How long recovery may take, in seconds.
        memory: By how much the relays may have grown, in bytes.
        config: Their TOML file, in place of flags about channels.
        expects_silence: True if the relays are set to give no gap notices, so that a silent loss must be seen.
        history: Whether clients of channels with history should be told of a gap. If None, there are no such clients.
    """

    name: str
    text: str
    scenario: Scenario
    quick: bool = False
    loses: bool = False
    disturbs: bool = True
    unready: Unready = Unready.MAY
    garbles: bool = False
    relays: int = 1
    flags: tuple[str, ...] = ()
    password: str | None = None
    breaks_host: bool = False
    starts_down: bool = False
    receive_buffer: int = 0
    user: str = ""
    redis_flags: tuple[str, ...] = ()
    recovery: float = 25.0
    memory: int = 24 * 1024 * 1024
    config: str = ""
    expects_silence: bool = False
    history: Gaps | None = None


TABLE: dict[str, Fault] = {}


def fault(
    *,
    quick: bool = False,
    loses: bool = False,
    disturbs: bool = True,
    unready: Unready = Unready.MAY,
    garbles: bool = False,
    relays: int = 1,
    flags: tuple[str, ...] = (),
    password: str | None = None,
    breaks_host: bool = False,
    starts_down: bool = False,
    receive_buffer: int = 0,
    user: str = "",
    redis_flags: tuple[str, ...] = (),
    recovery: float = 25.0,
    memory: int = 24 * 1024 * 1024,
    config: str = "",
    expects_silence: bool = False,
    history: Gaps | None = None,
) -> Callable[[Scenario], Scenario]:
    """Register a scenario: its name becomes that of the fault, its docstring the sentence. See `Fault`."""

    def register(scenario: Scenario) -> Scenario:
        name = getattr(scenario, "__name__", "").replace("_", "-")
        text = (scenario.__doc__ or "").partition("\n")[0]
        TABLE[name] = Fault(
            name=name,
            text=text,
            scenario=scenario,
            quick=quick,
            loses=loses,
            disturbs=disturbs,
            unready=unready,
            garbles=garbles,
            relays=relays,
            flags=flags,
            password=password,
            breaks_host=breaks_host,
            starts_down=starts_down,
            receive_buffer=receive_buffer,
            user=user,
            redis_flags=redis_flags,
            recovery=recovery,
            memory=memory,
            config=config,
            expects_silence=expects_silence,
            history=history,
        )
        return scenario

    return register
