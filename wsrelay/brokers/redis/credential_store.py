"""Tickets and revocations as keys of Redis, which any backend can write with one plain command.

::

    SET wsrelay:ticket:<random> '{"sub": "42", "channels": ["room:1"]}' EX 30 NX      create a ticket
    SET wsrelay:revoked:user:<sub> 1 EX 3600                                           revoke a user
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from zope.interface import implementer

from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.interfaces import ICredentialStore

__all__ = ["RedisCredentialStore"]

# For servers without GETDEL, which came with Redis 6.2. Both are atomic: one of two clients with one ticket gets it.
_GETDEL_SCRIPT = b"local found = redis.call('GET', KEYS[1]) redis.call('DEL', KEYS[1]) return found"


@implementer(ICredentialStore)
class RedisCredentialStore:
    """Tickets and revocations that all processes share.

    Args:
        prefix: The beginning of every key.
        command: Sends a command. Its Deferred fires with the reply, and fails with `BrokerUnavailable`, whose text is
            Redis' error reply if there is one.
    """

    def __init__(self, prefix: bytes, command: Callable[..., Deferred[Any]]) -> None:
        self._tickets = prefix + b"ticket:"
        self._revocations = prefix + b"revoked:"
        self._command = command
        self._has_getdel = True
        self._has_many_slots = False

    def create(self, ticket: str, document: bytes, seconds: int) -> Deferred[bool]:
        """See `ICredentialStore.create`."""
        created = self._command(b"SET", self._tickets + ticket.encode(), document, b"EX", b"%d" % seconds, b"NX")
        return created.addCallback(lambda reply: reply is not None)

    def read(self, ticket: str) -> Deferred[bytes | None]:
        """See `ICredentialStore.read`."""
        found = Deferred.fromCoroutine(self._find([self._tickets + ticket.encode()]))
        return found.addCallback(lambda values: values[0])

    def redeem(self, ticket: str) -> Deferred[bytes | None]:
        """See `ICredentialStore.redeem`."""
        return Deferred.fromCoroutine(self._take(self._tickets + ticket.encode()))

    def delete(self, ticket: str) -> Deferred[None]:
        """See `ICredentialStore.delete`."""
        return self._command(b"DEL", self._tickets + ticket.encode()).addCallback(lambda _count: None)

    def revoke(self, target: str, seconds: int) -> Deferred[None]:
        """See `ICredentialStore.revoke`."""
        revoked = self._command(b"SET", self._revocations + target.encode(), b"1", b"EX", b"%d" % seconds)
        return revoked.addCallback(lambda _reply: None)

    def are_revoked(self, targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """See `ICredentialStore.are_revoked`."""
        if not targets:
            return succeed([])
        found = Deferred.fromCoroutine(self._find([self._revocations + target.encode() for target in targets]))
        return found.addCallback(lambda values: [value is not None for value in values])

    async def _find(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the values of keys, each None if there is none or it is no string.

        By MGET even where it is one key: an ACL has to allow only that.
        """
        if not self._has_many_slots or len(keys) < 2:
            try:
                found: Sequence[bytes | None] = await self._command(b"MGET", *keys)
            except BrokerUnavailable as error:
                if error.code != "CROSSSLOT":
                    raise
                # Redis in cluster mode, be it one node: a command may name keys of one slot only.
                self._has_many_slots = True
            else:
                return found
        # Sent together; each is awaited, and the first failure is the answer.
        replies = [self._command(b"MGET", key) for key in keys]
        outcomes = await DeferredList(replies, consumeErrors=True)
        for is_answer, outcome in outcomes:
            if not is_answer:
                raise outcome.value
        return [outcome[0] for _is_answer, outcome in outcomes]

    async def _take(self, key: bytes) -> bytes | None:
        found: Any = None
        if self._has_getdel:
            try:
                found = await self._command(b"GETDEL", key)
            except BrokerUnavailable as error:
                if _is_other_type(error):
                    return None
                if "unknown command" not in str(error):
                    raise
                self._has_getdel = False
        if not self._has_getdel:
            try:
                found = await self._command(b"EVAL", _GETDEL_SCRIPT, b"1", key)
            except BrokerUnavailable as error:
                if not _is_other_type(error):
                    raise
        return found if isinstance(found, bytes) else None


def _is_other_type(error: BrokerUnavailable) -> bool:
    """Return whether the error means that the key holds a list or another type that is no ticket."""
    return "WRONGTYPE" in str(error)
