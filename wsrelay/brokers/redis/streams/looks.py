"""Looks at a stream: entries and the state of the stream at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from wsrelay.brokers.redis.command_sender import CommandSender
from wsrelay.brokers.redis.request_protocol import ResponseError
from wsrelay.brokers.redis.streams.replies import read_look
from wsrelay.core.history.entries import StreamLook
from wsrelay.core.outcomes.errors import BrokerUnavailable

__all__ = ["look"]


def look(
    commands: CommandSender, key: bytes, read: Sequence[bytes], *, newest_first: bool = False
) -> Deferred[StreamLook]:
    """Read entries of a stream, and its state.

    Args:
        commands: Sends commands.
        key: The key of the stream.
        read: The words of the command that reads the entries.
        newest_first: Whether that command returns the newest entry first.

    Returns:
        Fires with the look, within a bounded time.

    Raises:
        BrokerUnavailable: (Failure of the Deferred.) As for `CommandSender.send`, or the stream was changed meanwhile.
    """
    info = (b"XINFO", b"STREAM", key)
    replies: Deferred[list[Any]] = commands.transaction(read, info, (b"TIME",))
    replies.addErrback(_without_transaction, commands, read, info)
    return replies.addCallback(read_look, newest_first=newest_first)


def _without_transaction(
    failure: Failure, commands: CommandSender, read: Sequence[bytes], info: Sequence[bytes]
) -> Failure | Deferred[list[Any]]:
    """Ask again where Redis rejects the transaction: a server without memory queues no commands, not even reads."""
    error = failure.value
    if not isinstance(error, BrokerUnavailable) or error.code != "EXECABORT":
        return failure
    asked = [commands.send(*words).addErrback(_error_reply) for words in (info, read, info, (b"TIME",))]
    return gatherResults(asked).addCallback(_unchanged)


def _error_reply(failure: Failure) -> ResponseError:
    failure.trap(BrokerUnavailable)
    return ResponseError(str(failure.value))


def _unchanged(replies: list[Any]) -> list[Any]:
    """Return the replies to the three commands of a look, if the state was the same before it and behind it."""
    before, entries, after, now = replies
    has_stream = not isinstance(after, ResponseError)
    same = before == after if has_stream else isinstance(before, ResponseError) and not entries
    if not same and not isinstance(entries, ResponseError):
        raise BrokerUnavailable("the stream was changed while it was looked at")
    return [entries, after, now]
