"""The credential of one client: waits for it, and checks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.python.failure import Failure

from wsrelay.core.access.credentials import Credential
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.client_services import SessionDriver
from wsrelay.engine.coroutines import run_coroutine

__all__ = ["AUTHENTICATE_TIMEOUT_SECONDS", "ClientCredential", "client_error_of"]

AUTHENTICATE_TIMEOUT_SECONDS = 15.0
"""How long it may take in all to authenticate a client; each step has a shorter deadline of its own."""


class ClientCredential:
    """The credential of one client. A client has none of these once nothing is waited for or asked.

    Args:
        client: The client.
        handshake: Its opening request. If None, it is authenticated already, or rejected.
        credential: The credential in the opening request. If None, there is none.

    Attributes:
        handshake: The argument of that name.
    """

    __slots__ = ("_client", "_credential", "_done", "_identity", "_is_waiting", "_outcome", "handshake")

    def __init__(
        self, client: SessionDriver, handshake: Handshake | None = None, credential: Credential | None = None
    ) -> None:
        self._client = client
        self._credential = credential
        # For the client to send its credential, or to leave.
        self._is_waiting = False
        self._outcome: Deferred[Any] | None = None
        # Where it is clear at once who the client is, and only to be looked up whether it is revoked.
        self._identity: Identity | None = None
        self._done: Callable[[Identity | ClientError], None] | None = None
        self.handshake = handshake

    @property
    def is_settled(self) -> bool:
        """True if nothing is waited for, so that this is of no more use."""
        return self.handshake is None and not self._is_waiting

    def wait(self) -> None:
        """Wait for the client's first message, or for a client to leave that has been told why it may not stay."""
        services = self._client.services
        # This deadline is the earlier one.
        services.credential_ends.remove(self._client)
        self._is_waiting = True
        services.pending_credentials.add(self._client)

    def authenticate_at_once(self, sent: Credential | None) -> Identity | None:
        """Authenticate a client about whom nobody has to be asked. See `authenticate` for the argument.

        Returns:
            The identity, by which the registry has the client. If None, nothing was done, and somebody has to be asked.
        """
        assert self.handshake is not None, "not authenticated yet"  # noqa: S101 -- as below
        services = self._client.services
        credential = self._credential if sent is None else sent
        if credential is not None or services.authenticator.requires_authentication(self.handshake):
            return None
        self.stop()
        services.registry.add(self._client, ANONYMOUS)
        return ANONYMOUS

    def authenticate(self, sent: Credential | None, done: Callable[[Identity | ClientError], None]) -> None:
        """Authenticate the client. While that lasts the registry has it by all that is known of it so far.

        Args:
            sent: The credential that was its first message. If None, the one in its handshake counts.
            done: Called once with the identity, or with the reason why the client is rejected, which is
                `ClientError.NOT_CHECKED` where it cannot be authenticated now: possibly before this returns, and within
                `AUTHENTICATE_TIMEOUT_SECONDS`, but not if the client is ended by then. If it raises something, the
                client fails.
        """
        assert self.handshake is not None, "not authenticated yet"  # noqa: S101 -- it is kept until then
        client, credential = self._client, self._credential if sent is None else sent
        services, channels = client.services, client.session.channels
        self.stop()
        # Each time before the next one is asked, so that a revocation that comes meanwhile finds the client here.
        self._register(ANONYMOUS)
        try:
            asked = services.authenticator.authenticate(credential, self.handshake, channels, self._register)
        except Exception:  # noqa: BLE001 -- it costs this client only
            asked = fail()
        identity = asked.result if asked.called else None
        if isinstance(identity, Identity) and identity.is_authenticated:
            self._register(identity)
            self._done, self._identity = done, identity
            services.revocation_lookups.look_up(self, services.registry.targets_of(client))
            return
        outcome = run_coroutine(self._identify(asked))
        if not outcome.called:
            outcome.addTimeout(AUTHENTICATE_TIMEOUT_SECONDS, services.clock)
        self._outcome = outcome
        outcome.addCallbacks(done, lambda failure: done(self._client_error(failure)))
        outcome.addErrback(client.failed)

    def looked_up(self, outcome: bool | Failure) -> None:
        """See `wsrelay.engine.revocation_lookups.LookupWaiter.looked_up`."""
        identity, done = self._identity, self._done
        self._identity = self._done = None
        try:
            if identity is not None and done is not None:
                done(self._client_error(outcome) if isinstance(outcome, Failure) else self._judge(identity, outcome))
        except Exception:  # noqa: BLE001 -- it costs this client only
            self._client.failed(Failure())

    def authenticated(self) -> None:
        """Drop what is needed for authentication only."""
        self.handshake = self._credential = self._outcome = None

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self._is_waiting:
            self._is_waiting = False
            self._client.services.pending_credentials.remove(self._client)

    def end(self) -> None:
        """Wait for nothing, and cancel the authentication: a ticket that is not spent yet stays good."""
        self.stop()
        if self._outcome is not None:
            self._outcome.cancel()
        if self._identity is not None:
            self._identity = self._done = None
            self._client.services.revocation_lookups.leave(self)

    async def _identify(self, asked: Deferred[Identity]) -> Identity | ClientError:
        services, is_revoked = self._client.services, False
        identity = await asked
        self._register(identity)
        if identity.is_authenticated:
            is_revoked = any(await services.are_revoked(services.registry.targets_of(self._client)))
        return self._judge(identity, is_revoked)

    def _register(self, identity: Identity) -> None:
        if not self._client.session.is_closed:
            self._client.services.registry.add(self._client, identity)

    def _judge(self, identity: Identity, is_revoked: bool) -> Identity | ClientError:
        """Return the outcome of an authentication that has come so far."""
        if is_revoked:
            return ClientError.REVOKED
        if identity.expires is not None and identity.expires <= self._client.services.now():
            # Before anything is done for it: in dialects with commands that may be a publish right behind the connect.
            return ClientError.TOKEN_EXPIRED
        return identity

    def _client_error(self, failure: Failure) -> ClientError:
        client_error, error = client_error_of(failure), failure.value
        if isinstance(error, BrokerUnavailable):
            self._client.services.rejections.log_detail(f"Redis cannot be asked what has been revoked: {error.code}")
        return client_error


def client_error_of(failure: Failure) -> ClientError:
    """Return why a credential is not accepted: what rejected it, or `ClientError.NOT_CHECKED` where nothing could.

    Raises:
        Exception: The exception of the failure, if it is one of ours.
    """
    failure.trap(RejectedError, BrokerUnavailable, CancelledError, DeferredTimeout)
    error = failure.value
    return error.client_error if isinstance(error, RejectedError) else ClientError.NOT_CHECKED
