"""Keeps the streams that this process reads within their bounds.

Other programs add entries without MAXLEN and without a time to live. Whatever they do, a stream that is read does not
grow without end, and one that nobody reads or writes goes in time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from wsrelay.brokers.redis.command_sender import CommandSender
from wsrelay.brokers.redis.streams.replies import read_info
from wsrelay.core.history.entries import StreamInfo
from wsrelay.core.history.positions import format_id
from wsrelay.core.history.retention import Retention
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.rate_limited_log import LINES_PER_KIND, RateLimitedLog

__all__ = ["UPKEEP_SECONDS", "StreamUpkeep"]

UPKEEP_SECONDS = 60.0
"""The shortest time between two looks at the bounds of a stream that is written to."""

IDLE_UPKEEP_SECONDS = 600.0
"""The same of one that is not: its entries grow old, and its time to live ends."""


class StreamUpkeep:
    """Trims streams, and renews their time to live.

    Args:
        commands: Sends commands.
        prefix: The beginning of every key.
        seconds: A monotonic clock.
        now: The wall clock, in seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self, commands: CommandSender, prefix: bytes, seconds: Callable[[], float], now: Callable[[], float]
    ) -> None:
        self._commands = commands
        self._prefix = prefix
        self._seconds = seconds
        self._now = now
        self._lines = RateLimitedLog(self.log, seconds)
        # When each stream was looked at last, and when its time to live was renewed.
        self._looked: dict[str, float] = {}
        self._renewed: dict[str, float] = {}

    def forget(self, channel: str) -> None:
        """Forget a stream that is not read any more."""
        self._looked.pop(channel, None)
        self._renewed.pop(channel, None)

    def maintain(self, channel: str, retention: Retention, *, is_idle: bool = False) -> None:
        """Do what is due for a stream; see `IHistory.maintain`."""
        now = self._seconds()
        interval = IDLE_UPKEEP_SECONDS if is_idle else UPKEEP_SECONDS
        if now - self._looked.get(channel, -interval) >= interval:
            self._looked[channel] = now
            done = Deferred.fromCoroutine(self._maintain(channel, retention))
            # The next look is in a minute. If Redis is away, that is what everybody else says.
            done.addErrback(lambda failure: failure.trap(BrokerUnavailable))

    async def _maintain(self, channel: str, retention: Retention) -> None:
        key = self._prefix + channel.encode()
        try:
            info = read_info(await self._commands.send(b"XINFO", b"STREAM", key))
        except BrokerUnavailable:
            # There is no stream.
            self._renewed.pop(channel, None)
            return
        if retention.trims:
            await self._trim(channel, key, info, retention)
        await self._renew(channel, key, retention)

    async def _trim(self, channel: str, key: bytes, info: StreamInfo, retention: Retention) -> None:
        oldest_ms = int((self._now() - retention.seconds) * 1000)
        is_too_long = info.length > retention.size
        is_too_old = info.first_id is not None and info.first_id < (oldest_ms, 0)
        if not (is_too_long or is_too_old):
            return
        if info.groups:
            self._lines.write(
                "groups",
                "the stream of a channel has consumer groups, and is not trimmed",
                lines=LINES_PER_KIND,
                details={"channel": channel},
            )
            return
        # Without LIMIT 0 one call removes some 10,000 entries at most; with ~ the newest ones always stay, of which the
        # last is everybody's position.
        if is_too_long:
            await self._commands.send(b"XTRIM", key, b"MAXLEN", b"~", b"%d" % retention.size, b"LIMIT", b"0")
        if is_too_old:
            oldest = min((oldest_ms, 0), info.last_id)
            await self._commands.send(b"XTRIM", key, b"MINID", b"~", format_id(oldest).encode(), b"LIMIT", b"0")

    async def _renew(self, channel: str, key: bytes, retention: Retention) -> None:
        seconds = retention.key_seconds
        renewed = self._renewed.get(channel)
        if renewed is None:
            # The first time a time to live that another program has set stays.
            self._renewed[channel] = self._seconds()
            await self._expire(key, seconds, b"NX")
        elif self._seconds() - renewed >= seconds / 3:
            self._renewed[channel] = self._seconds()
            await self._expire(key, seconds, b"GT")

    async def _expire(self, key: bytes, seconds: int, condition: bytes) -> Any:
        try:
            return await self._commands.send(b"EXPIRE", key, b"%d" % seconds, condition)
        except BrokerUnavailable as error:
            if error.code != "ERR":
                raise
            # Conditions came with Redis 7 (https://redis.io/docs/latest/commands/expire/).
            return await self._commands.send(b"EXPIRE", key, b"%d" % seconds)
