"""Says who clients are: by the ticket or token that they show, and by what the application says about that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from wsrelay.auth.hook import Hook
from wsrelay.auth.tickets import TicketVerifier
from wsrelay.auth.tokens import TokenVerifier
from wsrelay.core.access.credentials import Credential, CredentialKind, find_credential
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.interfaces import IAuthenticator

__all__ = ["Authenticator"]


@implementer(IAuthenticator)
class Authenticator:
    """Joins the ways of finding out who a client is.

    Args:
        office: Redeems tickets.
        verifier: Checks tokens. None: there are none.
        hook: Asks the application. None: it is not asked.
        cookie: The cookie that holds a token. None: no cookie does.
        forwards_cookies: Whether the hook is told the client's cookies.
        asks_to_publish: Whether the hook is asked about messages, too.
        log_detail: Takes a constant text that says more about a denial than the client is told.
    """

    def __init__(
        self,
        office: TicketVerifier,
        verifier: TokenVerifier | None = None,
        hook: Hook | None = None,
        *,
        cookie: str | None = None,
        forwards_cookies: bool = False,
        asks_to_publish: bool = False,
        log_detail: Callable[[str], None] = lambda _detail: None,
    ) -> None:
        self._office = office
        self._verifier = verifier
        self._hook = hook
        self._cookie = cookie
        self._forwards_cookies = forwards_cookies and hook is not None
        self._asks_to_publish = asks_to_publish
        self._explain = log_detail

    def find(self, handshake: Handshake) -> Credential | None:
        """See `IAuthenticator.find`."""
        credential = find_credential(handshake, self._cookie, with_bearer=self._verifier is not None)
        ambient = credential is not None and credential.is_ambient
        if (ambient or (self._forwards_cookies and handshake.cookie)) and handshake.origin is None:
            # Cookies count for whoever makes the browser send them: not without knowing whose page that is.
            self._explain("a cookie came without an Origin")
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
        return Deferred.fromCoroutine(self._authenticate(credential, handshake, channels, on_identity))

    def clear_cache(self) -> None:
        """See `IAuthenticator.clear_cache`."""
        if self._hook is not None:
            self._hook.clear_cache()

    def authorize_subscribe(self, _identity: Identity, _channel: str) -> None:
        """See `IAuthenticator.authorize_subscribe`."""

    def authorize_publish(self, identity: Identity, channel: str, payload: bytes) -> Deferred[None] | None:
        """See `IAuthenticator.authorize_publish`."""
        if self._hook is None or not self._asks_to_publish:
            return None
        return self._hook.publish(identity, channel, payload)

    async def _authenticate(
        self,
        credential: Credential | None,
        handshake: Handshake,
        channels: Sequence[str],
        on_identity: Callable[[Identity], None],
    ) -> Identity:
        identity = ANONYMOUS if credential is None else await self._look_at(credential, handshake)
        if self._hook is not None:
            on_identity(identity)
            identity = await self._hook.connect(identity, handshake, channels)
        return identity

    async def _look_at(self, credential: Credential, handshake: Handshake) -> Identity:
        if credential.kind is CredentialKind.TICKET:
            return await self._office.redeem(credential.secret, handshake.peer)
        if self._verifier is None:
            self._explain("a token came, and there are neither token_keys nor token_jwks_url to check it with")
            raise RejectedError(ClientError.TOKEN)
        try:
            return await self._verifier.verify(credential.secret.reveal())
        except RejectedError as error:
            # A browser sends its cookies whether or not they are still good, and what is public stays so.
            if credential.is_ambient and error.client_error.response.status == 401:
                return dataclasses.replace(ANONYMOUS, cookie_error=error.client_error)
            raise
