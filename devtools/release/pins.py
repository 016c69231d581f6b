"""Writes requirements.txt and requirements-dev.txt from the installed releases: `make pins` after an upgrade.

requirements.txt pins the dependencies of the relay and installs the relay itself; a dyno needs no more. The other file
adds the dependencies of tests and checks.
"""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def closure(requirements: list[str], extra: str = "") -> dict[str, str]:
    """Return every distribution that requirements lead to: version by normalized name."""
    found: dict[str, str] = {}
    waiting = [(Requirement(text), extra) for text in requirements]
    while waiting:
        requirement, wanted = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": wanted}):
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        installed = distribution(name)
        extras = requirement.extras or {""}
        if name in found and not requirement.extras:
            continue
        found[name] = installed.version
        waiting += [(Requirement(text), each) for text in installed.requires or [] for each in extras]
    return found


def main() -> None:
    """Write both files."""
    declared = distribution("wsrelay").requires or []
    run = closure(declared)
    dev = closure(declared, "test") | closure(declared, "lint")
    # They build the wheel that a test installs.
    dev |= closure(["setuptools", "wheel"])
    for name, pins, last in (("requirements.txt", run, [".", ""]), ("requirements-dev.txt", dev, [""])):
        lines = [f"{key}=={version}" for key, version in sorted(pins.items()) if pins is run or key not in run]
        heading = "# Written by `make pins` from what setup.cfg asks for."
        (ROOT / name).write_text("\n".join([heading, *lines, *last]))


if __name__ == "__main__":
    main()
