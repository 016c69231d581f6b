"""What a fault is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from devtools.faults.stage import Stage

__all__ = ["TABLE", "Fault", "Red", "fault"]


class Red(Enum):
    """What `/readyz` should say while a fault lasts."""

    MUST = "not ready, within the deadline"
    MAY = "either"
    NEVER = "ready all the time"


Act = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way for the world to be bad.

    Attributes:
        name: What it is called on the command line.
        text: One sentence about it.
        act: Brings it about and ends it again.
        quick: Whether it is one of the most telling.
        loses: Whether messages are lost for certain: one that then loses none has not happened.
        disturbs: Whether clients may be closed and messages lost at all.
        red: What `/readyz` should say.
        garbles: Whether clients may get what nobody has published, for nothing on the way could notice.
        relays: How many relays there are.
        flags: Their flags.
        password: The password in the relays' URL, and Redis's unless the act sees to that.
        hooked: Whether the relays' resolver and clock are ours to break.
        starts_down: Whether it is there before the relays start, so that they cannot be ready.
        receive_buffer: SO_RCVBUF of the proxy towards Redis; 0 leaves it.
        user: The user in the relays' URL.
        redis_flags: Flags of the Redis server.
        recovery: How long everything may take to be well again, in seconds.
        memory: By how much the relays may have grown, in bytes.
        config: Their TOML file, in place of flags about channels.
        silences: Whether the operator wants no announcement, so that silence is what must be seen.
    """

    name: str
    text: str
    act: Act
    quick: bool = False
    loses: bool = False
    disturbs: bool = True
    red: Red = Red.MAY
    garbles: bool = False
    relays: int = 1
    flags: tuple[str, ...] = ()
    password: str | None = None
    hooked: bool = False
    starts_down: bool = False
    receive_buffer: int = 0
    user: str = ""
    redis_flags: tuple[str, ...] = ()
    recovery: float = 25.0
    memory: int = 24 * 1024 * 1024
    config: str = ""
    silences: bool = False


TABLE: dict[str, Fault] = {}


def fault(
    *,
    quick: bool = False,
    loses: bool = False,
    disturbs: bool = True,
    red: Red = Red.MAY,
    garbles: bool = False,
    relays: int = 1,
    flags: tuple[str, ...] = (),
    password: str | None = None,
    hooked: bool = False,
    starts_down: bool = False,
    receive_buffer: int = 0,
    user: str = "",
    redis_flags: tuple[str, ...] = (),
    recovery: float = 25.0,
    memory: int = 24 * 1024 * 1024,
    config: str = "",
    silences: bool = False,
) -> Callable[[Act], Act]:
    """Put an act into the table: its name is that of the fault, its docstring the sentence. See `Fault`."""

    def enter(act: Act) -> Act:
        name = getattr(act, "__name__", "").replace("_", "-")
        text = (act.__doc__ or "").partition("\n")[0]
        TABLE[name] = Fault(
            name=name,
            text=text,
            act=act,
            quick=quick,
            loses=loses,
            disturbs=disturbs,
            red=red,
            garbles=garbles,
            relays=relays,
            flags=flags,
            password=password,
            hooked=hooked,
            starts_down=starts_down,
            receive_buffer=receive_buffer,
            user=user,
            redis_flags=redis_flags,
            recovery=recovery,
            memory=memory,
            config=config,
            silences=silences,
        )
        return act

    return enter
