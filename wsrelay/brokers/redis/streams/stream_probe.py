"""Proves that entries which are added are noticed, by a stream of the process's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from wsrelay.brokers.redis.commands import Commands
from wsrelay.brokers.redis.probe import Probe
from wsrelay.brokers.redis.problems import Problem, reply_problem
from wsrelay.brokers.redis.request_protocol import ResponseError
from wsrelay.core.history.entries import DATA_FIELD
from wsrelay.engine.rate_limited_log import RateLimitedLog

__all__ = ["StreamProbe"]

PROBE_SECONDS = 60
"""The time to live of the probe's stream: a process that is gone leaves nothing behind."""

_TAKES_NO_ENTRIES = re.compile("OOM|MISCONF")
"""Replies of a server that has no room for an entry, neither in its memory nor on its disk: publishers get them, too.
There is nothing to notice then, and nothing wrong with the connections."""


class StreamProbe(Probe):
    """A probe whose messages are entries of a stream.

    Args:
        commands: Adds them.
        prefix: The beginning of every key.
        on_proved: Called when an entry was noticed in time.
        on_failed: Called with the reason when one was not.
        clock: Time.
        rng: Randomness for the name.

    Attributes:
        channel: The channel whose stream it is.
    """

    log = Logger()

    def __init__(
        self,
        commands: Commands,
        prefix: bytes,
        on_proved: Callable[[], None],
        on_failed: Callable[[Problem], None],
        clock: IReactorTime,
        rng: Random,
    ) -> None:
        super().__init__(self._add, on_proved, on_failed, clock, rng)
        self.channel = "$stream-probe:" + self.name.decode()
        self._commands = commands
        self._key = prefix + self.channel.encode()
        self._lines = RateLimitedLog(self.log, clock.seconds)

    async def _add(self, payload: bytes) -> None:
        connection = self._commands.link.current
        if connection is not None:
            key = self._key
            added = connection.command(b"XADD", key, b"MAXLEN", b"1", b"*", DATA_FIELD, payload)
            connection.command(b"EXPIRE", key, b"%d" % PROBE_SECONDS).addErrback(lambda _failure: None)
            try:
                await added
            except ResponseError as error:
                if _TAKES_NO_ENTRIES.match(str(error)) is None:
                    raise
                self._lines.write(
                    "full",
                    f"Redis takes no entries: {reply_problem(str(error))}; those that are there are delivered",
                    level=LogLevel.warn,
                )
                self.pass_over()
