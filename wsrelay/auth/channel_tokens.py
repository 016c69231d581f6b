"""Subscription tokens: verified, for this client and this channel, and not revoked."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from wsrelay.auth.tokens import TokenVerifier
from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.credentials import CredentialKind, check_credential
from wsrelay.core.access.identity import Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, RejectedError
from wsrelay.interfaces import ICredentialStore

__all__ = ["ChannelTokens"]


class ChannelTokens:
    """Checks subscription tokens.

    Args:
        verifier: Verifies them.
        store: Keeps what has been revoked.
        log_detail: Logs a constant text that says more about a rejection than the client may know.
    """

    def __init__(self, verifier: TokenVerifier, store: ICredentialStore, log_detail: Callable[[str], None]) -> None:
        self._verifier = verifier
        self._store = store
        self._log_detail = log_detail

    def authorize(self, token: str, identity: Identity, channel: str, connection: str) -> Deferred[ChannelGrant]:
        """See `wsrelay.interfaces.IAuthenticator.authorize_channel_token`."""
        return Deferred.fromCoroutine(self._authorize(token, identity, channel, connection))

    async def _authorize(self, text: str, identity: Identity, channel: str, connection: str) -> ChannelGrant:
        token = await self._verifier.verify_channel(check_credential(CredentialKind.TOKEN, text).secret.reveal())
        if (error := token.check(identity, channel, connection)) is not None:
            self._log_detail("a subscription token: it is for another user, channel or connection")
            raise RejectedError(error)
        if token.credential_id is not None and await self._is_revoked(token.credential_id):
            raise RejectedError(ClientError.REVOKED)
        return token.grant

    async def _is_revoked(self, target: str) -> bool:
        try:
            return any(await self._store.are_revoked([target]))
        except BrokerUnavailable as error:
            self._log_detail(f"it cannot be known whether a subscription token is revoked: {error.code}")
            raise RejectedError(ClientError.NOT_CHECKED) from None
