"""Authenticates clients by ticket, token and hook, and asks the application to authorize what they do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from wsrelay.auth.channel_tokens import ChannelTokens
from wsrelay.auth.hook import Hook
from wsrelay.auth.tickets import TicketVerifier
from wsrelay.auth.tokens import TokenVerifier
from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.credentials import Credential, CredentialKind, find_credential, read_token_or_ticket
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.refresh import refresh_identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.coroutines import run_coroutine
from wsrelay.interfaces import IAuthenticator

__all__ = ["Authenticator"]

_NO_KEYS = "a token came, and there are neither token_keys nor token_jwks_url to check it with"


@implementer(IAuthenticator)
class Authenticator:
    """Combines all ways to authenticate a client.

    Args:
        ticket_verifier: Redeems tickets.
        token_verifier: Verifies tokens. If None, tokens are rejected.
        channel_tokens: Checks subscription tokens. If None, they are rejected.
        hook: Asks the application. If None, it is not asked.
        cookie: The name of the cookie that holds a token. If None, cookies are ignored.
        forwards_cookies: Whether the hook sees the client's cookies.
        asks_to_publish: Whether the hook is asked about every message.
        log_detail: Logs a constant text that says more about a rejection than the client may know.
    """

    def __init__(
        self,
        ticket_verifier: TicketVerifier,
        token_verifier: TokenVerifier | None = None,
        hook: Hook | None = None,
        *,
        channel_tokens: ChannelTokens | None = None,
        cookie: str | None = None,
        forwards_cookies: bool = False,
        asks_to_publish: bool = False,
        log_detail: Callable[[str], None] = lambda _detail: None,
    ) -> None:
        self._ticket_verifier = ticket_verifier
        self._token_verifier = token_verifier
        self._channel_tokens = channel_tokens
        self._hook = hook
        self._cookie = cookie
        self._forwards_cookies = forwards_cookies and hook is not None
        self._asks_to_publish = asks_to_publish
        self._log_detail = log_detail

    @property
    def authorizes_subscribe(self) -> bool:
        """See `IAuthenticator.authorizes_subscribe`."""
        return self._hook is not None

    def find(self, handshake: Handshake) -> Credential | None:
        """See `IAuthenticator.find`."""
        credential = find_credential(handshake, self._cookie, with_bearer=self._token_verifier is not None)
        is_ambient = credential is not None and credential.is_ambient
        if (is_ambient or (self._forwards_cookies and handshake.cookie)) and handshake.origin is None:
            # Any page can make a browser send its cookies: without an Origin the page is unknown.
            self._log_detail("a cookie came without an Origin")
            raise RejectedError(ClientError.NO_ORIGIN)
        return credential

    def requires_authentication(self, _handshake: Handshake) -> bool:
        """See `IAuthenticator.requires_authentication`."""
        return self._hook is not None

    def authenticate(
        self,
        credential: Credential | None,
        handshake: Handshake,
        channels: Sequence[str],
        on_identity: Callable[[Identity], None],
    ) -> Deferred[Identity]:
        """See `IAuthenticator.authenticate`."""
        if (
            credential is not None
            and credential.kind is CredentialKind.TOKEN
            and not credential.is_ambient
            and self._hook is None
            and self._token_verifier is not None
        ):
            # In the end the same as below, without its coroutines: this is what nearly every client comes with.
            return self._token_verifier.verify(credential.secret.reveal())
        return run_coroutine(self._authenticate(credential, handshake, channels, on_identity))

    def clear_cache(self) -> None:
        """See `IAuthenticator.clear_cache`."""
        if self._hook is not None:
            self._hook.clear_cache()

    def authorize_subscribe(self, identity: Identity, channel: str) -> Deferred[None] | None:
        """See `IAuthenticator.authorize_subscribe`."""
        return None if self._hook is None else self._hook.subscribe(identity, channel)

    def authorize_channel_token(
        self, token: str, identity: Identity, channel: str, connection: str
    ) -> Deferred[ChannelGrant]:
        """See `IAuthenticator.authorize_channel_token`."""
        if self._channel_tokens is None:
            self._log_detail(_NO_KEYS)
            return fail(RejectedError(ClientError.TOKEN))
        return self._channel_tokens.authorize(token, identity, channel, connection)

    def authorize_publish(self, identity: Identity, channel: str, data: bytes) -> Deferred[None] | None:
        """See `IAuthenticator.authorize_publish`."""
        if self._hook is None or not self._asks_to_publish:
            return None
        return self._hook.publish(identity, channel, data)

    def refresh(self, token: str, identity: Identity) -> Deferred[Identity]:
        """See `IAuthenticator.refresh`."""
        return Deferred.fromCoroutine(self._refresh(token, identity))

    async def _refresh(self, text: str, identity: Identity) -> Identity:
        credential = read_token_or_ticket(text)
        if credential.kind is CredentialKind.TICKET:
            # Good for the connection that the client opens next, and not spent here.
            self._log_detail("a ticket came to refresh a connection: the client has to reconnect with it")
            raise RejectedError(ClientError.TOKEN_EXPIRED)
        return refresh_identity(identity, await self._verify_token(credential), has_hook=self._hook is not None)

    async def _authenticate(
        self,
        credential: Credential | None,
        handshake: Handshake,
        channels: Sequence[str],
        on_identity: Callable[[Identity], None],
    ) -> Identity:
        if credential is None or credential.kind is not CredentialKind.TICKET:
            identity = ANONYMOUS if credential is None else await self._verify_token(credential)
            return await self._ask_hook(identity, handshake, channels, on_identity)
        tickets, ticket = self._ticket_verifier, credential.secret
        with tickets.reserve(ticket):
            identity = await tickets.check(ticket, handshake.peer, handshake.connection)
            try:
                identity = await self._ask_hook(identity, handshake, channels, on_identity)
            except RejectedError as error:
                if error.client_error is not ClientError.NOT_CHECKED:
                    await tickets.spend(ticket)
                raise
            # Last, so that a client that is told to try again still can.
            await tickets.spend(ticket)
        return identity

    async def _ask_hook(
        self,
        identity: Identity,
        handshake: Handshake,
        channels: Sequence[str],
        on_identity: Callable[[Identity], None],
    ) -> Identity:
        if self._hook is None:
            return identity
        on_identity(identity)
        return await self._hook.connect(identity, handshake, channels)

    async def _verify_token(self, credential: Credential) -> Identity:
        if self._token_verifier is None:
            self._log_detail(_NO_KEYS)
            raise RejectedError(ClientError.TOKEN)
        try:
            return await self._token_verifier.verify(credential.secret.reveal())
        except RejectedError as error:
            # A browser sends its cookies, valid or not, and public channels stay public.
            if credential.is_ambient and error.client_error.response.status == 401:
                return dataclasses.replace(ANONYMOUS, cookie_error=error.client_error)
            raise
