"""What an attack is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devtools.attacks.setups import Name
from devtools.attacks.trial import Trial

__all__ = ["TABLE", "Attack", "attack"]

Act = Callable[[Trial], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way to try to get in, or to do harm.

    Attributes:
        name: What it is called on the command line.
        text: One sentence about it.
        act: Shows that the honest version succeeds, and tries the other one.
        alone: The relay that nobody else may touch meanwhile, because it is counted, stopped or cut off.
    """

    name: str
    text: str
    act: Act
    alone: Name | None = None


TABLE: dict[str, Attack] = {}


def attack(*, alone: Name | None = None) -> Callable[[Act], Act]:
    """Put an act into the table: its name is that of the attack, its docstring the sentence. See `Attack`."""

    def enter(act: Act) -> Act:
        name = getattr(act, "__name__", "").replace("_", "-")
        text = (act.__doc__ or "").partition("\n")[0]
        TABLE[name] = Attack(name=name, text=text, act=act, alone=alone)
        return act

    return enter
