"""Adds entries to streams."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.brokers.redis.command_sender import CommandSender
from wsrelay.brokers.redis.request_protocol import pack_command
from wsrelay.core.history.entries import entry_fields
from wsrelay.core.history.retention import Retention
from wsrelay.core.messaging.publications import PublishResult
from wsrelay.core.outcomes.errors import BrokerUnavailable, IdempotencyUnavailable

__all__ = ["IDEMPOTENCY_SECONDS", "Appender"]

IDEMPOTENCY_SECONDS = 300
"""The time for which the result of an append is kept under its idempotency key. Centrifugo's, too."""

_APPEND_ONCE = b"""\
local found = redis.call('GET', KEYS[2])
if found then return found end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], id, 'EX', ARGV[3])
return id
"""
"""Adds an entry unless the result of an earlier call is there. Nothing but a script looks and adds in one step."""


class Appender:
    """Adds entries to the streams of channels.

    Args:
        commands: Sends commands.
        prefix: The beginning of every key.
        rings_bell: Returns whether an empty message is published behind each entry, because other processes learn of
            entries late otherwise.
    """

    def __init__(self, commands: CommandSender, prefix: bytes, rings_bell: Callable[[], bool]) -> None:
        self._commands = commands
        self._prefix = prefix
        self._rings_bell = rings_bell

    def append(
        self, channel: str, data: bytes, retention: Retention, key: str = "", info: bytes = b"", tags: bytes = b""
    ) -> Deferred[PublishResult]:
        """Add an entry; see `IHistory.append`.

        Returns:
            Fires with the `PublishResult`.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) The entry was not taken, or that cannot be known.
            IdempotencyUnavailable: (Failure of the Deferred.) The server runs no scripts for this user.
        """
        stream = self._prefix + channel.encode()
        fields = entry_fields(data, info, tags)
        length, seconds = b"%d" % retention.burst_size, b"%d" % retention.key_seconds
        bell = [pack_command((b"PUBLISH", stream, b""))] if self._rings_bell() else []
        if key:
            words = (
                *(b"EVAL", _APPEND_ONCE, b"2", stream, self._result_key(stream, key)),
                *(length, seconds, b"%d" % IDEMPOTENCY_SECONDS, *fields),
            )
            added = self._commands.send_first([pack_command(words), *bell])
            added.addErrback(_name_missing_script)
        else:
            added = self._commands.send_first(
                [
                    pack_command((b"XADD", stream, b"MAXLEN", b"~", length, b"*", *fields)),
                    # In the same packet: in two round trips entries vanished near the expiry of their key. Its reply
                    # says nothing that the first one does not.
                    pack_command((b"EXPIRE", stream, seconds)),
                    *bell,
                ]
            )
        return added.addCallback(lambda entry_id: PublishResult(entry_id.decode()))

    def _result_key(self, stream: bytes, key: str) -> bytes:
        # In the slot of the stream, and of a length that does not depend on the caller.
        return b"%b$idempotency:{%b}:%b" % (self._prefix, stream, sha256(key.encode()).hexdigest().encode())


def _name_missing_script(failure: Failure) -> Any:
    error = failure.value
    if isinstance(error, BrokerUnavailable) and (error.code == "NOPERM" or "unknown command" in str(error)):
        raise IdempotencyUnavailable(
            "an idempotency key needs the command EVAL, which this Redis or the ACL user of the relay does not have"
        ) from None
    return failure
