"""Asks the application's own HTTP endpoint who a client is, and whether it may publish.

Nobody is let in by accident: 200 with an object that can be read and 204 let a client in, 401 and 403 are the
application's no, and everything else, silence too, is no answer. Who waits for one is told to come back.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from random import Random
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from wsrelay.auth.hook_client import Answered, Endpoint, Fetches, OddAnswerError, check_status
from wsrelay.core.access.client_address import rate_limit_key
from wsrelay.core.access.identity import ANONYMOUS, Identity, read_identity, reject_unknown_claims
from wsrelay.core.access.secret import Secret
from wsrelay.core.flow.ttl import ExpiringCache
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake

__all__ = ["MAX_CACHED", "Hook"]

MAX_CACHED = 10_000
"""As many answers are remembered."""

MAX_PATTERNS_KEPT = 20
"""Answers that name more channels are not: of the longest names these are five kilobytes."""

_Verdict: TypeAlias = Identity | ClientError
"""What the application says about a client, or why it is not let in."""

_CONNECT: dict[int, _Verdict] = {204: ANONYMOUS, 401: ClientError.NO_CREDENTIAL, 403: ClientError.HOOK}
"""What statuses mean that say everything by themselves, when a client comes."""

_PUBLISH: dict[int, _Verdict] = {
    200: ANONYMOUS,
    204: ANONYMOUS,
    401: ClientError.PUBLISH_DENIED,
    403: ClientError.PUBLISH_DENIED,
}
"""The same when it publishes."""


class Hook:
    """One endpoint of the application.

    Args:
        fetcher: Makes the requests.
        url: Where the endpoint is.
        secret: Shown to the endpoint, so that it knows who asks. None: nothing is.
        forward: Which of the client's header fields it gets to see, of ``cookie`` and ``authorization``.
        cache_seconds: How long an answer about a client is good for others who say the same. 0: never; then the name
            of the connection is in the question, and no two are the same.
        clock: Time.
        rng: Randomness for when a broken endpoint is tried again.
        counters: Where what comes of it is counted: requests under `allowed`, `denied` and `failed`, answers from the
            cache under `cached`, and under `skipped` what was not asked, because the endpoint is left alone or has
            enough to do.
        now: The seconds since the epoch, which is what an `exp` is about.
    """

    def __init__(
        self,
        fetcher: Fetches,
        url: str,
        *,
        secret: Secret | None,
        forward: Sequence[str],
        cache_seconds: float,
        clock: IReactorTime,
        rng: Random,
        counters: Counter[str],
        now: Callable[[], float],
    ) -> None:
        self._endpoint = Endpoint(fetcher, url, secret, clock, rng, counters)
        self._forward = forward
        self._clock = clock
        self._counters = counters
        self._now = now
        self._kept: ExpiringCache[bytes, _Verdict] = ExpiringCache(MAX_CACHED, cache_seconds)
        # Who waits for the answer to a question that is under way. Like what is kept they go by the question's digest,
        # for the question may hold a cookie.
        self._waiting: dict[bytes, set[Deferred[_Verdict]]] = {}
        self._keeps_answers = cache_seconds > 0

    @property
    def is_open(self) -> bool:
        """Whether the endpoint is left alone because it does not work."""
        return self._endpoint.is_open

    def connect(self, identity: Identity, handshake: Handshake, channels: Sequence[str]) -> Deferred[Identity]:
        """Ask who a client is that comes.

        Args:
            identity: What its credential says; what the application says goes before it, piece by piece. The sooner
                end of both holds.
            handshake: Its opening request, of which the query is not passed on: it may hold a ticket.
            channels: What it wants to listen to.

        Returns:
            Fires with who it is, or fails with `RejectedError`. To cancel it is harmless: others may wait for the same
            answer, and who comes back at once finds it.
        """
        # Answers that are kept are for all who ask the same, and no two connections would.
        connection = None if self._keeps_answers else handshake.connection
        given = {"cookie": handshake.cookie, "authorization": handshake.authorization}
        question = _encode(
            event="connect",
            channels=list(channels),
            address=handshake.peer,
            origin=handshake.origin,
            path=handshake.path,
            user=identity.subject,
            connection=connection,
            headers={name: value for name, value in given.items() if value and name in self._forward},
        )
        outcome = Deferred.fromCoroutine(self._connect(identity, question, f"address:{rate_limit_key(handshake.peer)}"))
        return outcome.addCallback(replace, address=handshake.peer)

    def clear_cache(self) -> None:
        """Keep no answer: the application wants to be asked again."""
        self._kept.clear()

    def publish(self, identity: Identity, channel: str, payload: bytes) -> Deferred[None]:
        """Ask whether a client may publish a message.

        Returns:
            Fires with None if it may, or fails with `RejectedError`. To cancel it ends the request.
        """
        try:
            message = {"text": payload.decode()}
        except UnicodeDecodeError:
            message = {"base64": b64encode(payload).decode("ascii")}
        question = _encode(event="publish", channel=channel, user=identity.subject, **message)
        return Deferred.fromCoroutine(self._publish(question, _name(identity)))

    async def _connect(self, identity: Identity, question: bytes, who: str) -> Identity:
        key = sha256(question).digest()
        verdict = self._kept.get(key, self._clock.seconds())
        # Who comes back because its time is over wants to hear something new.
        if verdict is None or self._is_over(verdict):
            verdict = await self._share(key, question, who)
        else:
            self._counters["cached"] += 1
        if verdict is ClientError.NO_CREDENTIAL and identity.is_authenticated:
            # It has one, which is good: it would come back with the same.
            verdict = ClientError.HOOK
        return _join(identity, _said(verdict))

    async def _publish(self, question: bytes, who: str) -> None:
        _said(await self._ask(question, _PUBLISH, who))

    def _share(self, key: bytes, question: bytes, who: str) -> Deferred[_Verdict]:
        """The answer to a question, which is asked once for all who wait for it at the same time."""
        is_first = key not in self._waiting
        waiting = self._waiting.setdefault(key, set())
        waiter: Deferred[_Verdict] = Deferred(waiting.discard)
        waiting.add(waiter)
        if is_first:
            Deferred.fromCoroutine(self._ask(question, _CONNECT, who)).addBoth(self._answered, key)
        return waiter

    def _answered(self, outcome: _Verdict | Failure, key: bytes) -> None:
        # It is a failure if the fetcher was stopped.
        verdict = ClientError.NOT_CHECKED if isinstance(outcome, Failure) else outcome
        if verdict is not ClientError.NOT_CHECKED and _is_small(verdict):
            self._kept.put(key, verdict, self._clock.seconds())
        waiting = self._waiting.pop(key)
        # One by one, because telling one may make another one leave.
        while waiting:
            waiting.pop().callback(verdict)

    async def _ask(self, question: bytes, meanings: Mapping[int, _Verdict], who: str) -> _Verdict:
        """Ask the endpoint; whatever goes wrong is `ClientError.NOT_CHECKED`."""
        verdict = await self._endpoint.ask(question, who, lambda answer: self._read(answer, meanings))
        if verdict is None:
            return ClientError.NOT_CHECKED
        self._counters["denied" if isinstance(verdict, ClientError) else "allowed"] += 1
        return verdict

    def _read(self, answer: Answered, meanings: Mapping[int, _Verdict]) -> _Verdict:
        """What an answer means.

        Raises:
            FetchError: That the endpoint has too much to do, or something that is no answer.
            ClaimError: Something that cannot be read.
        """
        if answer.status in meanings:
            return meanings[answer.status]
        if answer.status != 200:
            check_status(answer.status)
        claims = _decode(answer.body)
        reject_unknown_claims(claims, ("sub", "channels", "publish", "exp"))
        verdict = read_identity(claims)
        return ClientError.NO_CREDENTIAL if self._is_over(verdict) else verdict

    def _is_over(self, verdict: _Verdict) -> bool:
        return isinstance(verdict, Identity) and verdict.expires is not None and verdict.expires <= self._now()


def _is_small(verdict: _Verdict) -> bool:
    """Whether so many of its size may be kept."""
    if isinstance(verdict, ClientError):
        return True
    return len(verdict.channels or ()) + len(verdict.publish or ()) <= MAX_PATTERNS_KEPT


def _name(identity: Identity) -> str:
    """Whom a message is from, as far as that tells one from others: a user, or else an address."""
    return f"address:{rate_limit_key(identity.address)}" if identity.subject is None else f"user:{identity.subject}"


def _encode(**question: object) -> bytes:
    return json.dumps(question).encode("ascii")


def _decode(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise OddAnswerError("its answer is no JSON object")
    return document


def _said(verdict: _Verdict) -> Identity:
    """What the application says about a client that it lets in.

    Raises:
        DeniedError: It does not, or has not been heard.
    """
    if isinstance(verdict, ClientError):
        raise RejectedError(verdict)
    return verdict


def _join(identity: Identity, said: Identity) -> Identity:
    """What a credential says, with what the application says in front of it."""
    ends = [each for each in (identity.expires, said.expires) if each is not None]
    return replace(
        identity,
        subject=identity.subject if said.subject is None else said.subject,
        channels=identity.channels if said.channels is None else said.channels,
        publish=identity.publish if said.publish is None else said.publish,
        expires=min(ends, default=None),
        # Who names what a client may hear vouches for it, even where it has no name.
        is_authenticated=identity.is_authenticated or said.subject is not None or said.channels is not None,
    )
