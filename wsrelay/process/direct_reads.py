"""Turns of Twisted's epoll reactor that read without ceremony.

For each event Twisted's turn asks the connection for a prefix of log lines, opens a context that has it, and asks for
the descriptor once more: as much work as a pong or a short message is in all, though nothing here logs by that prefix.
The reactor, its descriptors, its calls and its errors remain Twisted's; this is its `doPoll`, in which an event with
input and without room for output calls `doRead` at once, on the kinds of descriptors that are read from all the time.
All other events go Twisted's way. A pong took 20 us with all that belongs to it, and takes 15 (measured).

It depends on five attributes of `EPollReactor`, and tests/process/test_direct_reads.py fails if its `doPoll` or what
that calls is another one. A reactor of another kind is left as it is.
"""

from __future__ import annotations

import errno
import select
import sys
from typing import Any

from twisted.internet import tcp, unix
from twisted.python import log

from wsrelay.transports.listening.eager_tcp import EagerServer

__all__ = ["DirectReads", "read_directly"]

_INPUT = getattr(select, "EPOLLIN", 1)
_ROOM = getattr(select, "EPOLLOUT", 4)
_INPUT_OR_ROOM = _INPUT | _ROOM

_KINDS = (EagerServer, tcp.Client, tcp.Port, unix.Client)
"""Connections of clients, the ports that accept them, and the connections to Redis."""

MAX_EVENTS = 512
"""Events that are handled in one turn, so that calls that are due come soon also in a crowd. The kernel begins the next
time behind the last one (epoll_wait(2)). Twisted takes as many as there are connections."""

_NEEDED = ("_poller", "_selectables", "_doReadOrWrite", "_disconnectSelectable", "doIteration")


class DirectReads:
    """Makes the turns of a reactor.

    Args:
        reactor: An `EPollReactor`.
    """

    def __init__(self, reactor: Any) -> None:
        self._poll = reactor._poller.poll  # noqa: SLF001 -- no public way, here and below
        self._selectables = reactor._selectables  # noqa: SLF001
        self._read_or_write = reactor._doReadOrWrite  # noqa: SLF001
        self._disconnect = reactor._disconnectSelectable  # noqa: SLF001

    def iterate(self, timeout: float | None) -> None:
        """Wait for events and handle them.

        Args:
            timeout: How long to wait at most, in seconds. If None, until there are events.
        """
        selectables = self._selectables
        try:
            events = self._poll(-1 if timeout is None else timeout, min(len(selectables), MAX_EVENTS))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        for descriptor, event in events:
            # Another event of this turn may have closed it.
            selectable = selectables.get(descriptor)
            if event & _INPUT_OR_ROOM == _INPUT and isinstance(selectable, _KINDS):
                try:
                    why: object = selectable.doRead()
                except BaseException:  # noqa: BLE001 -- as in Twisted: it is logged, and costs this connection
                    why = sys.exc_info()[1]
                    log.err()
                if why:
                    self._disconnect(selectable, why, True)
            elif selectable is not None:
                log.callWithLogger(selectable, self._read_or_write, selectable, descriptor, event)


def read_directly(reactor: Any) -> None:
    """Have a reactor make its turns in this way, if it is one that can.

    Args:
        reactor: The reactor, before it runs.
    """
    # By name: where there is no epoll, the module of the class cannot be imported.
    if type(reactor).__name__ == "EPollReactor" and all(hasattr(reactor, name) for name in _NEEDED):
        reactor.doIteration = DirectReads(reactor).iterate
