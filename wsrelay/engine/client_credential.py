"""The credential of one client: waits for it, and checks it."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.python.failure import Failure

from wsrelay.core.access.credentials import Credential
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.client_services import SessionDriver
from wsrelay.engine.coroutines import run_coroutine
from wsrelay.engine.timers import WheelTimer

__all__ = ["AUTHENTICATE_TIMEOUT_SECONDS", "CREDENTIAL_TIMEOUT_SECONDS", "ClientCredential", "client_error_of"]

AUTHENTICATE_TIMEOUT_SECONDS = 15.0
"""How long it may take in all to authenticate a client; each step has a shorter deadline of its own."""


CREDENTIAL_TIMEOUT_SECONDS = 10.0
"""How long a client may take to send its credential as its first message."""


class ClientCredential:
    """The credential of one client. A client has none of these once nothing is waited for or asked.

    Args:
        client: The client.
        handshake: Its opening request. If None, it is authenticated already, or rejected.
        credential: The credential in the opening request. If None, there is none.

    Attributes:
        handshake: The argument of that name.
    """

    __slots__ = ("_client", "_credential", "_outcome", "_timer", "handshake")

    def __init__(
        self, client: SessionDriver, handshake: Handshake | None = None, credential: Credential | None = None
    ) -> None:
        self._client = client
        self._credential = credential
        # The deadline for the client: to send its credential, or to leave.
        self._timer: WheelTimer | None = None
        self._outcome: Deferred[Identity] | None = None
        self.handshake = handshake

    @property
    def is_settled(self) -> bool:
        """True if nothing is waited for, so that this is of no more use."""
        return self.handshake is None and self._timer is None

    def wait(self) -> None:
        """Wait for the client's first message, or for a client to leave that has been told why it may not stay."""
        services = self._client.services
        self.stop()
        # This deadline is the earlier one.
        services.credential_ends.remove(self._client)
        self._timer = services.timers.call_later(CREDENTIAL_TIMEOUT_SECONDS, self._client.credential_timed_out)
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

    def authenticate(self, sent: Credential | None) -> Deferred[Identity]:
        """Authenticate the client. While that lasts the registry has it by all that is known of it so far.

        Args:
            sent: The credential that was its first message. If None, the one in its handshake counts.

        Returns:
            Fires with the identity, within `AUTHENTICATE_TIMEOUT_SECONDS`.

        Raises:
            RejectedError: (Failure of the Deferred.) The client is rejected, with `ClientError.NOT_CHECKED` where it
                cannot be authenticated now.
        """
        assert self.handshake is not None, "not authenticated yet"  # noqa: S101 -- it is kept until then
        self.stop()
        outcome = run_coroutine(self._identify(self.handshake, self._credential if sent is None else sent))
        if not outcome.called:
            outcome.addTimeout(AUTHENTICATE_TIMEOUT_SECONDS, self._client.services.clock)
        self._outcome = outcome.addErrback(self._rejected)
        return outcome

    def authenticated(self) -> None:
        """Drop what is needed for authentication only."""
        self.handshake = self._credential = self._outcome = None

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._client.services.pending_credentials.remove(self._client)

    def end(self) -> None:
        """Wait for nothing, and cancel the authentication: a ticket that is not spent yet stays good."""
        self.stop()
        if self._outcome is not None:
            self._outcome.cancel()

    async def _identify(self, handshake: Handshake, credential: Credential | None) -> Identity:
        client = self._client
        services, session = client.services, client.session
        registry = services.registry

        def on_identity(identity: Identity) -> None:
            if not session.is_closed:
                registry.add(client, identity)

        # Each time before the next one is asked, so that a revocation that comes meanwhile finds the client here.
        on_identity(ANONYMOUS)
        identity = await services.authenticator.authenticate(credential, handshake, session.channels, on_identity)
        on_identity(identity)
        if identity.is_authenticated and any(await services.are_revoked(registry.targets_of(client))):
            raise RejectedError(ClientError.REVOKED)
        if identity.expires is not None and identity.expires <= services.now():
            # Before anything is done for it: in dialects with commands that may be a publish right behind the connect.
            raise RejectedError(ClientError.TOKEN_EXPIRED)
        return identity

    def _rejected(self, failure: Failure) -> Identity:
        client_error, error = client_error_of(failure), failure.value
        if isinstance(error, BrokerUnavailable):
            self._client.services.rejections.log_detail(f"Redis cannot be asked what has been revoked: {error.code}")
        raise RejectedError(client_error)


def client_error_of(failure: Failure) -> ClientError:
    """Return why a credential is not accepted: what rejected it, or `ClientError.NOT_CHECKED` where nothing could.

    Raises:
        Exception: The exception of the failure, if it is one of ours.
    """
    failure.trap(RejectedError, BrokerUnavailable, CancelledError, DeferredTimeout)
    error = failure.value
    return error.client_error if isinstance(error, RejectedError) else ClientError.NOT_CHECKED
