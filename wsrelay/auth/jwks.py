"""The keys of an identity provider: a JWK Set by URL (RFC 7517), fetched again and again.

A provider puts a new key into its set some time before it signs with it, and takes an old one out. Both are noticed
when the set is fetched the next time, a new one sooner: a token that names a key nobody has heard of is reason to look.
"""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.auth.keys import ASYMMETRIC, Key, fitting, public_key
from wsrelay.core.flow.backoff import FullJitter
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ConfigError, FetchError, RejectedError
from wsrelay.outgoing.http_client import HTTPClient, HTTPResponse

__all__ = ["MAX_KEYS", "RemoteKeys", "read_key_set"]

MAX_KEYS = 100

REFRESH_SECONDS = 300.0
"""When a set is fetched again that does not say how long it is good."""

REFRESH_LEAST_SECONDS = 60.0
REFRESH_MOST_SECONDS = 86_400.0

ASK_SECONDS = 10.0
"""So long after a fetch no token is reason for another one: anybody can make up names of keys."""

RETRY_MOST_SECONDS = 60.0

KEEP_SECONDS = 86_400.0
"""How long the keys are good of a provider that does not answer any more."""

_ACCEPT = {"Accept": "application/jwk-set+json, application/json"}

# Any algorithm of a kind makes PyJWT read a key of it. Secrets (oct) are not among them: a set is public.
_KINDS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


class RemoteKeys:
    """The keys of a JWK Set; see `Keys`.

    Args:
        fetcher: Makes the requests.
        url: Where the set is.
        clock: Time.
        rng: Randomness for when a provider that does not answer is asked again.
        algorithms: What keys may be used with. None: each with whatever is made for its kind.
    """

    log = Logger()

    def __init__(
        self, fetcher: HTTPClient, url: str, clock: IReactorTime, rng: Random, algorithms: frozenset[str] | None = None
    ) -> None:
        self._fetcher = fetcher
        self._url = url
        self._clock = clock
        self._backoff = FullJitter(rng, floor=1.0, first=2.0, ceiling=RETRY_MOST_SECONDS)
        self._algorithms = ASYMMETRIC if algorithms is None else ASYMMETRIC & algorithms
        self._is_running = False
        # None: nobody knows what they are.
        self._keys: tuple[Key, ...] | None = None
        self._failing_since: float | None = None
        self._asked = 0.0
        self._fetching: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []

    def start(self) -> None:
        """Fetch the set now, and from now on."""
        self._is_running = True
        self._fetch()

    def stop(self) -> None:
        """Fetch nothing any more."""
        self._is_running = False
        self._cancel_timer()
        if self._fetching is not None:
            self._fetching.cancel()

    def find(self, kid: str | None, algorithm: str) -> Deferred[list[Key]]:
        """See `Keys.find`. To cancel it is harmless: others may wait for the same fetch."""
        return Deferred.fromCoroutine(self._find(kid, algorithm))

    async def _find(self, kid: str | None, algorithm: str) -> list[Key]:
        if algorithm not in self._algorithms:
            return []
        found = self._known(kid, algorithm)
        if not found and self._may_look():
            await self._look()
            found = self._known(kid, algorithm)
        if not found and (self._keys is None or self._failing_since is not None):
            # It may be a key that is new.
            raise RejectedError(ClientError.NOT_CHECKED)
        return found

    def _known(self, kid: str | None, algorithm: str) -> list[Key]:
        return fitting(self._keys or (), kid, algorithm)

    def _may_look(self) -> bool:
        if self._fetching is not None:
            return True
        return self._is_running and self._clock.seconds() - self._asked >= ASK_SECONDS

    def _look(self) -> Deferred[None]:
        """Fires after a fetch: the one that is under way, or one that begins now."""
        # Without a canceller: one that does not wait any more may be told all the same.
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if self._fetching is None:
            self._fetch()
        return waiter

    def _fetch(self) -> None:
        self._cancel_timer()
        self._asked = self._clock.seconds()
        self._fetching = self._fetcher.fetch("GET", self._url, _ACCEPT)
        self._fetching.addCallback(self._took).addErrback(self._failed).addCallback(self._ended)

    def _took(self, fetched: HTTPResponse) -> float:
        """Returns when to fetch again, in seconds from now."""
        keys = read_key_set(fetched, self._algorithms)
        if not keys and self._keys != ():
            self.log.warn("of the keys for tokens that the provider publishes none can be used")
        self._keys = keys
        self._backoff.reset()
        if self._failing_since is not None:
            self._failing_since = None
            self.log.info("the keys for tokens can be fetched again")
        good = REFRESH_SECONDS if fetched.max_age is None else fetched.max_age
        return min(max(good, REFRESH_LEAST_SECONDS), REFRESH_MOST_SECONDS)

    def _failed(self, failure: Failure) -> float:
        now = self._clock.seconds()
        if self._failing_since is None and self._is_running:
            self._failing_since = now
            # The text of an exception that is not our own may repeat what it is about.
            problem = failure.getErrorMessage() if failure.check(FetchError) else type(failure.value).__name__
            self.log.error("the keys for tokens cannot be fetched: {problem}", problem=problem)
        if self._failing_since is not None and now - self._failing_since >= KEEP_SECONDS:
            self._keys = None
        return self._backoff.next()

    def _ended(self, seconds: float) -> None:
        self._fetching = None
        if self._is_running:
            self._timer = self._clock.callLater(seconds, self._fetch)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def read_key_set(fetched: HTTPResponse, algorithms: frozenset[str]) -> tuple[Key, ...]:
    """The keys of a set that can be used with some of these algorithms; there may be none.

    Raises:
        FetchError: It is no JWK Set, or has more than `MAX_KEYS` keys.
    """
    if fetched.status != 200:
        raise FetchError(f"it answered with the status {fetched.status}")
    try:
        document = json.loads(fetched.body)
    except (ValueError, RecursionError):
        document = None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise FetchError("its answer is no JWK Set")
    if len(entries) > MAX_KEYS:
        raise FetchError(f"its JWK Set has more than {MAX_KEYS} keys")
    return tuple(key for entry in entries if (key := _read_key(entry, algorithms)) is not None)


def _read_key(entry: object, algorithms: frozenset[str]) -> Key | None:
    """The key of a JWK, or None if it is not for us (RFC 7517 section 5: such are skipped)."""
    if not isinstance(entry, dict) or not _is_for_signatures(entry):
        return None
    kid, kind, algorithm = entry.get("kid"), entry.get("kty"), entry.get("alg")
    if not (kid is None or isinstance(kid, str)) or not isinstance(kind, str) or kind not in _KINDS:
        return None
    try:
        # A private key is read as one, and refused as no public one: what is published is anybody's to sign with.
        key = public_key(jwt.PyJWK(entry, _KINDS[kind]).key, kid)
    except (ConfigError, jwt.PyJWTError, UnsupportedAlgorithm, TypeError, ValueError):
        return None
    # RFC 7517 section 4.4: where a key says what it is for, it is for nothing else.
    usable = frozenset(each for each in key.algorithms & algorithms if algorithm in (None, each))
    return replace(key, algorithms=usable) if usable else None


def _is_for_signatures(entry: dict[str, Any]) -> bool:
    """RFC 7517 sections 4.2 and 4.3."""
    operations = entry.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return False
    return entry.get("use") in (None, "sig")
