"""Knowledge of a worker about its parent, passed in one variable of its environment."""

from __future__ import annotations

import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass

from wsrelay.transports.listening.systemd_sockets import PassedSocket

__all__ = ["VARIABLE", "WorkerContext"]

VARIABLE = "_WSRELAY_WORKER"
"""The variable. It has no meaning for an operator, and is removed from the environment when it has been read."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """One worker's place.

    Attributes:
        slot: Its number, from 0.
        workers: The number of all workers.
        link: The descriptor of the link to the parent.
        sockets: Descriptor and address family of each listening socket, in the order of the endpoints.
        passed: The names of the sockets that systemd has passed to the parent.
    """

    slot: int
    workers: int
    link: int
    sockets: Sequence[tuple[int, int]]
    passed: Sequence[str] = ()

    @property
    def passed_sockets(self) -> tuple[PassedSocket, ...]:
        """The sockets that systemd has passed to the parent. Their descriptors are not this process's."""
        return tuple(PassedSocket(-1 - number, name) for number, name in enumerate(self.passed))

    def to_text(self) -> str:
        """Return it as the value of `VARIABLE`."""
        return json.dumps([self.slot, self.workers, self.link, list(self.sockets), list(self.passed)])

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> WorkerContext | None:
        """Remove it from an environment and return it; None if this process is no worker."""
        text = environ.pop(VARIABLE, None)
        if text is None:
            return None
        slot, workers, link, sockets, passed = json.loads(text)
        return cls(slot, workers, link, [(descriptor, family) for descriptor, family in sockets], tuple(passed))
