"""Builds the authenticator of a process from its settings."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from wsrelay.auth.authenticator import Authenticator
from wsrelay.auth.channel_tokens import ChannelTokens
from wsrelay.auth.hook import Hook
from wsrelay.auth.jwks import RemoteKeys
from wsrelay.auth.keys import ALGORITHMS, ASYMMETRIC, FixedKeys, Key, Keys, read_keys
from wsrelay.auth.tickets import TicketVerifier
from wsrelay.auth.tokens import TokenVerifier
from wsrelay.config import Settings
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.interfaces import ICredentialStore
from wsrelay.metrics.counters import Counters
from wsrelay.outgoing.http_client import HTTPClient
from wsrelay.outgoing.urls import check_url

__all__ = ["Authentication"]

KEY_SET_TIMEOUT_SECONDS = 5.0
"""The deadline of a request for the key set."""


class Authentication:
    """The authenticator of one process, with everything of it that has to be started and stopped.

    Args:
        settings: The settings.
        store: Keeps the tickets, and what has been revoked.
        reactor: The reactor.
        rng: Randomness for back-off.
        counters: Counts questions to the hook.
        log_detail: Logs a constant text that says more about a rejection than the client may know.
        now: The wall clock, in seconds since the epoch.

    Attributes:
        authenticator: The authenticator.

    Raises:
        ConfigError: A key, an algorithm or a URL cannot be used.
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
        self._log_detail = log_detail
        self._now = now
        self._http_clients: list[HTTPClient] = []
        self._remote_keys: RemoteKeys | None = None
        self._fixed_keys: FixedKeys | None = None
        self._hook = self._make_hook(counters)
        token_verifier = self._make_token_verifier()
        self.authenticator = Authenticator(
            TicketVerifier(store, log_detail, now),
            token_verifier,
            self._hook,
            channel_tokens=None if token_verifier is None else ChannelTokens(token_verifier, store, log_detail),
            cookie=settings.token_cookie,
            forwards_cookies="cookie" in settings.hook_forward_headers,
            asks_to_publish=settings.hook_publish,
            log_detail=log_detail,
        )

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Check the secrets of other settings.

        Returns:
            A function that uses them from now on: token_keys, token_previous_keys and hook_secret. Nobody is
            disconnected.

        Raises:
            ConfigError: A key cannot be used.
        """
        keys = _read_token_keys(settings)

        def use() -> None:
            if self._fixed_keys is not None:
                self._fixed_keys.replace(keys)
            if self._hook is not None:
                self._hook.use_secret(settings.hook_secret)

        return use

    @property
    def accepts_tokens(self) -> bool:
        """True if keys for tokens are configured."""
        settings = self._settings
        return settings.token_keys is not None or settings.token_jwks_url is not None

    @property
    def can_authenticate(self) -> bool:
        """True if clients can be authenticated without tickets that other programs write to Redis."""
        return self.accepts_tokens or self._settings.hook_url is not None or bool(self._settings.api_keys)

    def start(self) -> None:
        """Begin to fetch the key set, if one is configured."""
        if self._remote_keys is not None:
            self._remote_keys.start()

    def stop(self) -> Deferred[list[None]]:
        """Stop every request.

        Returns:
            Fires with a list when all connections are closed, within a second. Never fails.
        """
        if self._remote_keys is not None:
            self._remote_keys.stop()
        return gatherResults([client.close() for client in self._http_clients])

    def _make_http_client(self, timeout_seconds: float) -> HTTPClient:
        self._http_clients.append(HTTPClient(self._reactor, timeout_seconds))
        return self._http_clients[-1]

    def _make_token_verifier(self) -> TokenVerifier | None:
        settings = self._settings
        algorithms = frozenset(settings.token_algorithms) or None
        if unknown := sorted((algorithms or frozenset()) - ALGORITHMS):
            raise ConfigError(f"token_algorithms: {unknown[0]!r} is none of {', '.join(sorted(ALGORITHMS))}")
        keys: Keys
        if settings.token_jwks_url is not None:
            keys = self._remote_keys = self._make_remote_keys(settings.token_jwks_url, algorithms)
        elif settings.token_keys is not None:
            keys = self._fixed_keys = FixedKeys(_read_token_keys(settings))
        else:
            return None
        return TokenVerifier(
            keys,
            algorithms=algorithms,
            audience=settings.token_audience,
            issuer=settings.token_issuer,
            leeway_seconds=settings.token_leeway_seconds,
            now=self._now,
            log_detail=lambda detail: self._log_detail(f"a token: {detail}"),
        )

    def _make_remote_keys(self, url: str, algorithms: frozenset[str] | None) -> RemoteKeys:
        check_url(url, "token_jwks_url")
        if algorithms is not None and not algorithms & ASYMMETRIC:
            raise ConfigError("token_algorithms names none that keys from token_jwks_url can be used with")
        client = self._make_http_client(KEY_SET_TIMEOUT_SECONDS)
        return RemoteKeys(client, url, self._reactor, self._rng, algorithms)

    def _make_hook(self, counters: Counters) -> Hook | None:
        settings = self._settings
        if settings.hook_url is None:
            return None
        return Hook(
            self._make_http_client(settings.hook_timeout_seconds),
            check_url(settings.hook_url, "hook_url"),
            secret=settings.hook_secret,
            forward_headers=settings.hook_forward_headers,
            cache_seconds=settings.hook_cache_seconds,
            clock=self._reactor,
            rng=self._rng,
            counters=counters.hook_requests,
            now=self._now,
        )


def _read_token_keys(settings: Settings) -> tuple[Key, ...]:
    """Return the configured keys, those of before a rotation last."""
    keys: list[Key] = []
    for name in ("token_keys", "token_previous_keys"):
        text: Secret | None = getattr(settings, name)
        if text is None:
            continue
        try:
            found = read_keys(text.reveal())
        except ConfigError as error:
            raise ConfigError(f"{name} cannot be used: {error}") from None
        if settings.token_algorithms and not any(key.algorithms & set(settings.token_algorithms) for key in found):
            raise ConfigError(f"token_algorithms names none that {name} can be used with")
        keys += found
    return tuple(keys)
