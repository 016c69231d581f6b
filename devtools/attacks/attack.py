"""The definition of an attack, and the table of all attacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devtools.attacks.context import AttackContext
from devtools.attacks.relay_setups import RelayName

__all__ = ["TABLE", "Attack", "attack"]

Scenario = Callable[[AttackContext], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way to get in, or to do harm.

    Attributes:
        name: Its name on the command line.
        text: One sentence about it.
        scenario: Shows that the legitimate version succeeds, and tries the other one.
        exclusive: The relay that no other attack with the same value uses meanwhile, because it is counted, stopped or
            cut off; None if it shares all relays.
    """

    name: str
    text: str
    scenario: Scenario
    exclusive: RelayName | None = None


TABLE: dict[str, Attack] = {}
"""All attacks, by name."""


def attack(*, exclusive: RelayName | None = None) -> Callable[[Scenario], Scenario]:
    """Register a scenario: its name becomes that of the attack, its docstring the sentence. See `Attack`."""

    def register(scenario: Scenario) -> Scenario:
        name = getattr(scenario, "__name__", "").replace("_", "-")
        text = (scenario.__doc__ or "").partition("\n")[0]
        TABLE[name] = Attack(name=name, text=text, scenario=scenario, exclusive=exclusive)
        return scenario

    return register
