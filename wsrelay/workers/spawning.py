"""Starts workers: `twistd wsrelay` once more, with the settings and the sockets of the parent.

A worker is a new program and no copy of the parent, so that one that replaces another brings new code as well.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory

from wsrelay.workers.context import VARIABLE, WorkerContext
from wsrelay.workers.shared_sockets import SharedSockets
from wsrelay.workers.worker import Worker

__all__ = ["WorkerSpawner"]

_PROGRAM = "from twisted.scripts.twistd import run; run()"

_FIRST_DESCRIPTOR = 3


class WorkerSpawner:
    """Starts the processes of workers.

    Args:
        reactor: The reactor.
        sockets: The sockets of the workers.
        workers: The number of workers.
        flags: The flags of the command line, by setting name.
        environ: The environment.
        directory: The directory that relative paths refer to.
        passed: The names of the sockets that systemd has passed.
        prints: Whether workers print where this process prints; else it logs their lines.
    """

    def __init__(
        self,
        reactor: Any,
        sockets: SharedSockets,
        workers: int,
        *,
        flags: Mapping[str, str],
        environ: Mapping[str, str],
        directory: str,
        passed: Sequence[str],
        prints: bool,
    ) -> None:
        self._reactor = reactor
        self._sockets = sockets
        self._workers = workers
        self._arguments = command(flags)
        self._environ = environ
        self._directory = directory
        self._passed = passed
        self._prints = prints

    def spawn(self, worker: Worker) -> None:
        """Start the process of a worker.

        Raises:
            OSError: There are no more processes or descriptors.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs, open(os.devnull, "rb") as nothing:
            descriptors: dict[int, Any] = {0: nothing.fileno(), 1: "r", 2: "r"}
            if self._prints:
                descriptors.update({1: 1, 2: 2})
            link = _FIRST_DESCRIPTOR
            descriptors[link] = theirs.fileno()
            sockets: list[tuple[int, int]] = []
            for number, (descriptor, family) in enumerate(self._sockets.of_slot(worker.slot), link + 1):
                descriptors[number] = descriptor
                sockets.append((number, family))
            context = WorkerContext(worker.slot, self._workers, link, sockets, self._passed)
            self._reactor.spawnProcess(
                worker,
                self._arguments[0],
                self._arguments,
                {**self._environ, VARIABLE: context.to_text()},
                self._directory,
                childFDs=descriptors,
            )
            ours.setblocking(False)
            # The reactor makes a descriptor of its own.
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _link_factory(worker))


def command(flags: Mapping[str, str]) -> Sequence[str]:
    """Return the command line of a worker.

    Args:
        flags: The flags, by setting name.
    """
    given = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    return [sys.executable, "-c", _PROGRAM, "--nodaemon", "--pidfile=", "wsrelay", *given]


def _link_factory(worker: Worker) -> IProtocolFactory:
    factory: Any = Factory.forProtocol(lambda: worker.link)
    factory.noisy = False
    return cast(IProtocolFactory, factory)
