"""Builds what says who clients are from the settings."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from wsrelay.auth.authenticator import Authenticator
from wsrelay.auth.hook import Hook
from wsrelay.auth.jwks import RemoteKeys
from wsrelay.auth.keys import ALGORITHMS, ASYMMETRIC, FixedKeys, Keys, read_keys
from wsrelay.auth.tickets import TicketVerifier
from wsrelay.auth.tokens import TokenVerifier
from wsrelay.config import Settings
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.interfaces import ICredentialStore
from wsrelay.metrics.counters import Counters
from wsrelay.outgoing.http_client import HTTPClient
from wsrelay.outgoing.urls import check_url

__all__ = ["Auth"]

KEYS_TIMEOUT_SECONDS = 5.0


class Auth:
    """The authenticator of one process, and what it needs that has to be started and stopped.

    Args:
        settings: The operator's decisions.
        store: Where tickets are.
        reactor: The reactor.
        rng: Randomness for back-off.
        counters: Where questions to the hook are counted.
        log_detail: Takes a constant text that says more about a denial than the client is told.
        now: Seconds since the epoch.

    Attributes:
        authenticator: Says who clients are.

    Raises:
        ConfigError: A key or a URL cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        store: ICredentialStore,
        reactor: IReactorTime,
        rng: Random,
        counters: Counters,
        log_detail: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._reactor = reactor
        self._rng = rng
        self._explain = log_detail
        self._now = now
        self._fetchers: list[HTTPClient] = []
        self._remote_keys: RemoteKeys | None = None
        self.authenticator = Authenticator(
            TicketVerifier(store, log_detail, now),
            self._verifier(),
            self._hook(counters),
            cookie=settings.token_cookie,
            forwards_cookies="cookie" in settings.hook_forward_headers,
            asks_to_publish=settings.hook_publish,
            log_detail=log_detail,
        )

    @property
    def has_credentials(self) -> bool:
        """Whether the operator has set up tokens."""
        settings = self._settings
        return settings.token_keys is not None or settings.token_jwks_url is not None

    @property
    def has_ways(self) -> bool:
        """Whether anybody can be known, where nobody writes tickets to Redis."""
        return self.has_credentials or self._settings.hook_url is not None or bool(self._settings.api_keys)

    def start(self) -> None:
        """Begin to fetch keys, where they come from elsewhere."""
        if self._remote_keys is not None:
            self._remote_keys.start()

    def stop(self) -> Deferred[list[None]]:
        """Fetch nothing any more; fires when no connection is left."""
        if self._remote_keys is not None:
            self._remote_keys.stop()
        return gatherResults([fetcher.close() for fetcher in self._fetchers])

    def _fetcher(self, seconds: float) -> HTTPClient:
        self._fetchers.append(HTTPClient(self._reactor, seconds))
        return self._fetchers[-1]

    def _verifier(self) -> TokenVerifier | None:
        settings = self._settings
        algorithms = frozenset(settings.token_algorithms) or None
        if unknown := sorted((algorithms or frozenset()) - ALGORITHMS):
            raise ConfigError(f"token_algorithms: {unknown[0]!r} is none of {', '.join(sorted(ALGORITHMS))}")
        keys: Keys
        if settings.token_jwks_url is not None:
            url = check_url(settings.token_jwks_url, "token_jwks_url")
            if algorithms is not None and not algorithms & ASYMMETRIC:
                raise ConfigError("token_algorithms names none that keys from token_jwks_url can be used with")
            fetcher = self._fetcher(KEYS_TIMEOUT_SECONDS)
            keys = self._remote_keys = RemoteKeys(fetcher, url, self._reactor, self._rng, algorithms)
        elif settings.token_keys is not None:
            try:
                known = read_keys(settings.token_keys.reveal())
            except ConfigError as error:
                raise ConfigError(f"token_keys cannot be used: {error}") from None
            if algorithms is not None and not any(key.algorithms & algorithms for key in known):
                raise ConfigError("token_algorithms names none that token_keys can be used with")
            keys = FixedKeys(known)
        else:
            return None
        return TokenVerifier(
            keys,
            algorithms=algorithms,
            audience=settings.token_audience,
            issuer=settings.token_issuer,
            leeway_seconds=settings.token_leeway_seconds,
            now=self._now,
            tell=lambda why: self._explain(f"a token: {why}"),
        )

    def _hook(self, counters: Counters) -> Hook | None:
        settings = self._settings
        if settings.hook_url is None:
            return None
        return Hook(
            self._fetcher(settings.hook_timeout_seconds),
            check_url(settings.hook_url, "hook_url"),
            secret=settings.hook_secret,
            forward=settings.hook_forward_headers,
            cache_seconds=settings.hook_cache_seconds,
            clock=self._reactor,
            rng=self._rng,
            counters=counters.hook_requests,
            now=self._now,
        )
