"""The keys of an identity provider: a JWK Set by URL (RFC 7517), fetched periodically.

A provider adds a new key to its set some time before it signs with it, and removes an old one. The next fetch notices
both. A token that names an unknown key causes a fetch at once.
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

from wsrelay.auth.keys import ASYMMETRIC, Key, make_public_key, matching_keys
from wsrelay.core.flow.backoff import FullJitter
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ConfigError, FetchError, RejectedError
from wsrelay.engine.coroutines import run_coroutine
from wsrelay.outgoing.http_client import HTTPClient, HTTPResponse

__all__ = ["MAX_KEYS", "RemoteKeys", "read_key_set"]

MAX_KEYS = 100
"""The most keys in a set."""

REFRESH_SECONDS = 300.0
"""How long a set is used that does not say how long it is fresh."""

MIN_REFRESH_SECONDS = 60.0
"""The shortest time between a fetch and the next periodic one, whatever the set says."""

MAX_REFRESH_SECONDS = 86_400.0
"""The longest one."""

UNKNOWN_KEY_FETCH_SECONDS = 10.0
"""The shortest time between a fetch and one that a token with an unknown key causes: any client can invent key IDs."""

MAX_RETRY_SECONDS = 60.0
"""The longest delay after a failed fetch."""

STALE_KEYS_SECONDS = 86_400.0
"""How long known keys stay in use while the set cannot be fetched."""

_ACCEPT = {"Accept": "application/jwk-set+json, application/json"}

# PyJWT needs some algorithm of a key type to read a key. Secrets (oct) are not supported: a set is public.
_ALGORITHM_OF_TYPE = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


class RemoteKeys:
    """The keys of a JWK Set; see `Keys`.

    Args:
        http_client: Makes the requests.
        url: The URL of the set.
        clock: The clock.
        rng: Randomness for the delays after failed fetches.
        algorithms: The algorithms that are allowed. If None, all that suit the type of a key.
    """

    log = Logger()

    def __init__(
        self,
        http_client: HTTPClient,
        url: str,
        clock: IReactorTime,
        rng: Random,
        algorithms: frozenset[str] | None = None,
    ) -> None:
        self._http_client = http_client
        self._url = url
        self._clock = clock
        self._backoff = FullJitter(rng, floor=1.0, first=2.0, ceiling=MAX_RETRY_SECONDS)
        self._algorithms = ASYMMETRIC if algorithms is None else ASYMMETRIC & algorithms
        self._is_running = False
        # None until the first fetch succeeds, and when an outage has lasted too long.
        self._keys: tuple[Key, ...] | None = None
        self._failing_since: float | None = None
        self._fetched_at = 0.0
        self._fetching: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []

    def start(self) -> None:
        """Fetch the set now, and periodically from now on."""
        self._is_running = True
        self._fetch()

    def stop(self) -> None:
        """Stop fetching, and cancel a fetch in flight."""
        self._is_running = False
        self._cancel_timer()
        if self._fetching is not None:
            self._fetching.cancel()

    def find(self, kid: str | None, algorithm: str) -> Deferred[list[Key]]:
        """See `Keys.find`. Cancelling the Deferred does not cancel the fetch, for which others may wait.

        Returns:
            Fires when the key is known, or the fetch for which it waits has ended.
        """
        return run_coroutine(self._find(kid, algorithm))

    async def _find(self, kid: str | None, algorithm: str) -> list[Key]:
        if algorithm not in self._algorithms:
            return []
        found = matching_keys(self._keys or (), kid, algorithm)
        if not found and self._may_fetch():
            await self._wait_for_fetch()
            found = matching_keys(self._keys or (), kid, algorithm)
        if not found and (self._keys is None or self._failing_since is not None):
            # The key may be a new one.
            raise RejectedError(ClientError.NOT_CHECKED)
        return found

    def _may_fetch(self) -> bool:
        if self._fetching is not None:
            return True
        return self._is_running and self._clock.seconds() - self._fetched_at >= UNKNOWN_KEY_FETCH_SECONDS

    def _wait_for_fetch(self) -> Deferred[None]:
        """Return a Deferred that fires after the fetch in flight, or after one that begins now."""
        # Without a canceller: after a cancellation the callback is ignored.
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if self._fetching is None:
            self._fetch()
        return waiter

    def _fetch(self) -> None:
        self._cancel_timer()
        self._fetched_at = self._clock.seconds()
        self._fetching = self._http_client.fetch("GET", self._url, _ACCEPT)
        self._fetching.addCallback(self._take_keys).addErrback(self._record_failure).addCallback(self._end_fetch)

    def _take_keys(self, response: HTTPResponse) -> float:
        """Take the keys of a response, and return the delay until the next fetch, in seconds."""
        keys = read_key_set(response, self._algorithms)
        if not keys and self._keys != ():
            self.log.warn("none of the keys for tokens that the provider publishes can be used")
        self._keys = keys
        self._backoff.reset()
        if self._failing_since is not None:
            self._failing_since = None
            self.log.info("the keys for tokens can be fetched again")
        fresh = REFRESH_SECONDS if response.max_age is None else response.max_age
        return min(max(fresh, MIN_REFRESH_SECONDS), MAX_REFRESH_SECONDS)

    def _record_failure(self, failure: Failure) -> float:
        """Record a failed fetch, and return the delay until the next one, in seconds."""
        now = self._clock.seconds()
        if self._failing_since is None and self._is_running:
            self._failing_since = now
            # The text of any other exception may repeat what was fetched.
            problem = failure.getErrorMessage() if failure.check(FetchError) else type(failure.value).__name__
            self.log.error("the keys for tokens cannot be fetched: {problem}", problem=problem)
        if self._failing_since is not None and now - self._failing_since >= STALE_KEYS_SECONDS:
            self._keys = None
        return self._backoff.next()

    def _end_fetch(self, delay_seconds: float) -> None:
        self._fetching = None
        if self._is_running:
            self._timer = self._clock.callLater(delay_seconds, self._fetch)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def read_key_set(response: HTTPResponse, algorithms: frozenset[str]) -> tuple[Key, ...]:
    """Read the keys of a JWK Set.

    Args:
        response: The response with the set.
        algorithms: The algorithms that are allowed.

    Returns:
        The keys that can be used with an allowed algorithm, in their order; possibly none.

    Raises:
        FetchError: The response is not a JWK Set, or has more than `MAX_KEYS` keys.
    """
    if response.status != 200:
        raise FetchError(f"it answered with the status {response.status}")
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        document = None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise FetchError("its answer is no JWK Set")
    if len(entries) > MAX_KEYS:
        raise FetchError(f"its JWK Set has more than {MAX_KEYS} keys")
    return tuple(key for entry in entries if (key := _read_key(entry, algorithms)) is not None)


def _read_key(entry: object, algorithms: frozenset[str]) -> Key | None:
    """Return the key of a JWK, or None if it cannot be used here: RFC 7517 section 5 says to skip such keys."""
    if not isinstance(entry, dict) or not _is_for_signatures(entry):
        return None
    kid, key_type, algorithm = entry.get("kid"), entry.get("kty"), entry.get("alg")
    if not (kid is None or isinstance(kid, str)) or not isinstance(key_type, str) or key_type not in _ALGORITHM_OF_TYPE:
        return None
    try:
        # PyJWK reads a private key as such, and it is rejected: any client could sign with a published one.
        key = make_public_key(jwt.PyJWK(entry, _ALGORITHM_OF_TYPE[key_type]).key, kid)
    except (ConfigError, jwt.PyJWTError, UnsupportedAlgorithm, TypeError, ValueError):
        return None
    # RFC 7517 section 4.4: a key that names its algorithm is for no other.
    usable = frozenset(each for each in key.algorithms & algorithms if algorithm in (None, each))
    return replace(key, algorithms=usable) if usable else None


def _is_for_signatures(entry: dict[str, Any]) -> bool:
    """Return whether a JWK may verify signatures (RFC 7517 sections 4.2 and 4.3)."""
    operations = entry.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return False
    return entry.get("use") in (None, "sig")
