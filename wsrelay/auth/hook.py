"""The hook: asks the application's HTTP endpoint about clients that connect, subscribe or publish.

Fails closed. 200 with a valid object and 204 allow, 401 and 403 reject. Anything else, silence included, is not an
answer: the client is rejected with `ClientError.NOT_CHECKED`, and may try again.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from wsrelay.auth.answer_cache import AnswerCache
from wsrelay.auth.hook_answers import (
    CONNECT_VERDICTS,
    PUBLISH_VERDICTS,
    Verdict,
    VerdictsByStatus,
    allowed_identity,
    merge_identity,
    read_verdict,
)
from wsrelay.auth.hook_client import HookClient
from wsrelay.core.access.client_address import rate_limit_key
from wsrelay.core.access.identity import Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.outgoing.http_client import HTTPClient, HTTPResponse

__all__ = ["Hook"]


class Hook:
    """The application's endpoint, and the questions that it is asked.

    Args:
        http_client: Makes the requests.
        url: The URL of the endpoint.
        secret: The bearer token that tells the endpoint who asks. If None, none is sent.
        forward_headers: The client's header fields that the endpoint sees, of ``cookie`` and ``authorization``.
        cache_seconds: How long an answer about connecting or subscribing holds for equal questions. If 0, answers are
            not kept, and each question names its connection, so that no two are equal.
        clock: The clock.
        rng: Randomness for the pauses after which a failing endpoint is tried again.
        counters: Counts requests as `allowed`, `denied` or `failed`, answers from the cache as `cached`, and questions
            that were not asked because the endpoint fails or is busy as `skipped`.
        now: The wall clock, in seconds since the epoch, to which `exp` refers.
    """

    def __init__(
        self,
        http_client: HTTPClient,
        url: str,
        *,
        secret: Secret | None,
        forward_headers: Sequence[str],
        cache_seconds: float,
        clock: IReactorTime,
        rng: Random,
        counters: Counter[str],
        now: Callable[[], float],
    ) -> None:
        self._client = HookClient(http_client, url, secret, clock, rng, counters)
        self._forward_headers = forward_headers
        self._counters = counters
        self._now = now
        # Two caches, so that a client that subscribes to very many channels displaces no answer about connecting.
        self._connect_answers, self._subscribe_answers = (
            AnswerCache(cache_seconds, clock.seconds, self._is_expired, self._count_hit) for _ in range(2)
        )
        self._names_connections = cache_seconds <= 0

    def use_secret(self, secret: Secret | None) -> None:
        """Send another secret from the next question on. If None, none is sent."""
        self._client.secret = secret

    @property
    def is_open(self) -> bool:
        """True while the circuit breaker is open: the endpoint fails and is not asked."""
        return self._client.is_open

    @property
    def pending_questions(self) -> int:
        """The number of questions about connecting or subscribing that are in flight."""
        return self._connect_answers.pending_questions + self._subscribe_answers.pending_questions

    @property
    def waiting_clients(self) -> int:
        """The number of clients that wait for these questions."""
        return self._connect_answers.waiting_clients + self._subscribe_answers.waiting_clients

    def connect(self, identity: Identity, handshake: Handshake, channels: Sequence[str]) -> Deferred[Identity]:
        """Ask about a client that connects. Cancelling the Deferred does not cancel the question.

        Args:
            identity: The identity by its credential. The application's answer overrides it piece by piece; the earlier
                end of both holds.
            handshake: Its opening request. The query is not passed on, for it may hold a ticket.
            channels: The channels that it asks for in its handshake.

        Returns:
            Fires with the identity, which names the client's address and connection.

        Raises:
            RejectedError: (Failure of the Deferred.) The application rejects the client, or gave no answer.
        """
        fields = {"cookie": handshake.cookie, "authorization": handshake.authorization}
        question = _encode(
            event="connect",
            channels=list(channels),
            address=handshake.peer,
            origin=handshake.origin,
            path=handshake.path,
            user=identity.subject,
            connection=self._connection(handshake.connection),
            headers={name: value for name, value in fields.items() if value and name in self._forward_headers},
        )
        verdict = self._connect_answers.get(
            question, lambda: self._ask(question, CONNECT_VERDICTS, _party(handshake.peer), with_identity=True)
        )
        verdict.addCallback(_verdict_for, identity)
        return verdict.addCallback(
            lambda answer: merge_identity(identity, allowed_identity(answer), handshake.peer, handshake.connection)
        )

    def subscribe(self, identity: Identity, channel: str) -> Deferred[None]:
        """Ask whether a client may subscribe to a channel. Cancelling the Deferred does not cancel the question.

        Args:
            identity: The identity that `connect` returned.
            channel: The channel, to which the rule of its namespace permits the client to subscribe.

        Returns:
            Fires with None if it may.

        Raises:
            RejectedError: (Failure of the Deferred.) The application rejects the client, as in `connect`, or gave no
                answer.
        """
        question = _encode(
            event="subscribe",
            channel=channel,
            address=identity.answer.address,
            user=identity.subject,
            connection=self._connection(identity.answer.connection),
        )
        verdict = self._subscribe_answers.get(
            question, lambda: self._ask(question, CONNECT_VERDICTS, _party(identity.answer.address))
        )
        verdict.addCallback(_verdict_for, identity)
        return verdict.addCallback(_require_allowed)

    def publish(self, identity: Identity, channel: str, payload: bytes) -> Deferred[None]:
        """Ask whether a client may publish a message. Cancelling the Deferred aborts the request.

        Args:
            identity: The identity that `connect` returned.
            channel: The channel, to which the rule of its namespace permits the client to publish.
            payload: The message.

        Returns:
            Fires with None if it may.

        Raises:
            RejectedError: (Failure of the Deferred.) The application rejects the message, or gave no answer.
        """
        try:
            message = {"text": payload.decode()}
        except UnicodeDecodeError:
            message = {"base64": b64encode(payload).decode("ascii")}
        question = _encode(event="publish", channel=channel, user=identity.subject, **message)
        party = _party(identity.answer.address) if identity.subject is None else f"user:{identity.subject}"
        # It waits where too much is asked: its client is read no further meanwhile.
        asked = self._ask(question, PUBLISH_VERDICTS, party, is_patient=True)
        return asked.addCallback(_require_allowed)

    def clear_cache(self) -> None:
        """Drop every cached answer, so that the application is asked again."""
        self._connect_answers.clear()
        self._subscribe_answers.clear()

    def _ask(
        self,
        question: bytes,
        verdicts: VerdictsByStatus,
        party: str,
        *,
        with_identity: bool = False,
        is_patient: bool = False,
    ) -> Deferred[Verdict]:
        """Ask the endpoint. Whatever goes wrong is `ClientError.NOT_CHECKED`; fails only when it is cancelled."""

        def read(response: HTTPResponse) -> Verdict:
            verdict = read_verdict(response, verdicts, with_identity=with_identity)
            return ClientError.NO_CREDENTIAL if self._is_expired(verdict) else verdict

        ask = self._client.ask_patiently if is_patient else self._client.ask
        return Deferred.fromCoroutine(self._verdict(ask(question, party, read)))

    async def _verdict(self, asked: Coroutine[Any, Any, Verdict | None]) -> Verdict:
        verdict = await asked
        if verdict is None:
            return ClientError.NOT_CHECKED
        self._counters["denied" if isinstance(verdict, ClientError) else "allowed"] += 1
        return verdict

    def _is_expired(self, verdict: Verdict) -> bool:
        return isinstance(verdict, Identity) and verdict.expires is not None and verdict.expires <= self._now()

    def _count_hit(self) -> None:
        self._counters["cached"] += 1

    def _connection(self, connection: str) -> str | None:
        """Return the connection as a question names it: cached answers hold for every connection that asks the same."""
        return connection if self._names_connections else None


def _verdict_for(verdict: Verdict, identity: Identity) -> Verdict:
    """Ask only clients without a credential for one: another client would return with the same good credential."""
    return ClientError.HOOK if verdict is ClientError.NO_CREDENTIAL and identity.is_authenticated else verdict


def _require_allowed(verdict: Verdict) -> None:
    allowed_identity(verdict)


def _party(address: str) -> str:
    """Return the key under which questions about the clients of one address are counted."""
    return f"address:{rate_limit_key(address)}"


def _encode(**question: object) -> bytes:
    return json.dumps(question).encode("ascii")
