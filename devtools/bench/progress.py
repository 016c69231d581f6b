"""How much of a run is left: the measurements to come, and an estimate of their time."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import mean

__all__ = ["Progress", "Step", "minutes"]

USUAL_SECONDS = {
    "fanout": 7,
    "burst": 6,
    "direct": 8,
    "connections": 20,
    "channels": 6,
    "pings": 18,
    "growth": 25,
    "slow": 25,
    "idle_channels": 45,
    "recovery": 8,
    "echo": 8,
    "overload": 75,
    "return": 12,
    "tls": 8,
}
"""The time that one server takes in a full run, as long as none has been measured."""

ELSE_SECONDS = 10
"""The same for a scenario that is not in the table."""


@dataclass(frozen=True, order=True)
class Step:
    """One measurement: the number of its round, a scenario and a server."""

    number: int
    scenario: str
    server: str


@dataclass
class Progress:
    """The measurements of a run that are done, and those that are left.

    Attributes:
        left: The measurements to come.
        count: All measurements.
    """

    left: list[Step]
    count: int = 0
    _seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the measurements."""
        self.count = len(self.left)

    def done(self, step: Step, seconds: float) -> None:
        """Take a measurement off the list, and learn from the time that it took."""
        self.left.remove(step)
        self._seconds.setdefault((step.scenario, step.server), []).append(seconds)

    def drop(self, scenario: str, server: str) -> None:
        """Take a server off the list in one scenario."""
        self.left = [step for step in self.left if (step.scenario, step.server) != (scenario, server)]

    def seconds_left(self) -> float:
        """Return an estimate of the time for what is left.

        A measurement takes as long as the same one did, else as others of its scenario did, else what is usual,
        which is corrected by how the others compared with it.
        """
        return sum(self._estimate(step) for step in self.left)

    def _estimate(self, step: Step) -> float:
        same = self._seconds.get((step.scenario, step.server))
        if same:
            return mean(same)
        alike = [
            value for (scenario, _), taken in self._seconds.items() if scenario == step.scenario for value in taken
        ]
        return mean(alike) if alike else _usual(step.scenario) * self._speed()

    def _speed(self) -> float:
        usual = sum(_usual(scenario) * len(taken) for (scenario, _), taken in self._seconds.items())
        return sum(map(sum, self._seconds.values())) / usual if usual else 1.0

    def text(self) -> str:
        """Return one line: how many are done, and how much time is left."""
        return f"{self.count - len(self.left)} of {self.count} done, about {minutes(self.seconds_left())} left"


def _usual(scenario: str) -> float:
    return USUAL_SECONDS.get(scenario, ELSE_SECONDS)


def minutes(seconds: float) -> str:
    """Return a time in whole minutes, or in seconds if it is less than two minutes."""
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
