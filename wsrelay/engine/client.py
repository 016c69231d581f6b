"""One client of a node: its session, and the hands that carry out what the session decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.core.access.credentials import Credential
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, HTTPError, ProtocolViolation, RejectedError
from wsrelay.core.sessions.session import (
    Accept,
    Authenticate,
    Close,
    Deny,
    Effect,
    Emit,
    Expire,
    Listen,
    Session,
    Shows,
    Unlisten,
    Welcome,
)
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.engine.hub import Subscriber
from wsrelay.engine.publish_queue import PublishQueue
from wsrelay.engine.timers import WheelTimer
from wsrelay.interfaces import IDialect

if TYPE_CHECKING:
    from wsrelay.engine.node import Node

__all__ = ["AUTHENTICATE_TIMEOUT_SECONDS", "CREDENTIAL_TIMEOUT_SECONDS", "Client", "Connection"]

AUTHENTICATE_TIMEOUT_SECONDS = 15.0
"""How long it may take in all to find out who a client is; each way to find out has a shorter deadline of its own."""

CREDENTIAL_TIMEOUT_SECONDS = 10.0
"""How long a client may take that is to send its credential as its first message."""

LONGEST_TIMER_SECONDS = 3600.0
"""A credential that ends later than this is looked at again then: the clock that it goes by may have been set."""

# Made once: it is looked for with every message of a client.
_MAY_NOT_PUBLISH = Close(Disconnect.PUBLISH_DENIED)


class Connection(Protocol):
    """What carries a client."""

    @property
    def dialect(self) -> IDialect:
        """The wire language spoken on it."""

    @property
    def subscriber(self) -> Subscriber:
        """What the hub sends to; stays the same."""

    def close(self, disconnect: Disconnect) -> None:
        """Say goodbye with this closing, and end the connection."""

    def compress(self) -> None:
        """Agree on compression, if the client offered it; called before `accept` or not at all."""

    def accept(self, name: str | None = None) -> None:
        """Complete the handshake, telling the client the name of its connection; frames may be sent from here on."""

    def refuse(self, response: ErrorResponse) -> None:
        """Answer the handshake with an HTTP status and end the connection."""


class Client:
    """One client. Implements `wsrelay.engine.client_registry.RegisteredClient`.

    Args:
        node: The node it belongs to.
        connection: Its socket.
        session: Its state.
    """

    log = Logger()

    __slots__ = ("_approvals", "_connection", "_knock", "_name", "_node", "_session", "_timer")

    def __init__(self, node: Node, connection: Connection, session: Session) -> None:
        self._node = node
        self._connection = connection
        self._session = session
        # What it said when it knocked, until somebody has looked at it.
        self._knock: tuple[Handshake, Credential | None] | None = None
        self._name: str | None = None
        # The one deadline it has: to send its credential, or the end of that.
        self._timer: WheelTimer | None = None
        self._approvals: PublishQueue | None = None

    def open(self, handshake: Handshake) -> None:
        """The client knocked: its connection's `accept` or `refuse` is called, now or within a deadline."""
        authenticator = self._node.authenticator
        try:
            subscriptions = self._dialect.open(handshake)
            credential = authenticator.find(handshake)
        except HTTPError as error:
            self._connection.refuse(error.response)
            return
        except RejectedError as error:
            self._deny(error.client_error, accepted=False)
            return
        if subscriptions and all(self._node.compresses(each.channel) for each in subscriptions):
            self._connection.compress()
        shows = Shows.NOTHING
        if credential is not None or authenticator.requires_authentication(handshake):
            shows = Shows.CREDENTIAL
        if credential is None and handshake.promises_credential:
            shows = Shows.LATER
        if shows is not Shows.NOTHING:
            self._knock = handshake, credential
            self._name = handshake.connection
        self._perform(self._session.open(subscriptions, shows))
        if self._session.awaits_credential:
            self._timer = self._node.wheel.call_later(CREDENTIAL_TIMEOUT_SECONDS, self.give_up)
            self._node.await_credential(self)

    def received(self, payload: bytes) -> None:
        """The client sent a message."""
        self._node.counters.client_messages += 1
        try:
            if self._session.awaits_credential:
                self._show(self._dialect.credential(payload))
            else:
                effects = self._session.received(self._dialect.decode(payload))
                if _MAY_NOT_PUBLISH in effects:
                    self._node.rejections.record(ClientError.PUBLISH_DENIED)
                self._perform(effects)
        except ProtocolViolation as violation:
            self._close(violation.disconnect)
        except RejectedError as error:
            self._perform(self._session.denied(error.client_error))

    def lost(self) -> None:
        """The connection is gone; calling it again does nothing."""
        self._knock = None
        self._stop_timer()
        self._node.credential_came(self)
        if self._name is not None:
            self._node.registry.leave(self)
        if self._approvals is not None:
            self._approvals.stop()
        self._perform(self._session.lost())

    def give_up(self) -> None:
        """No credential has come in time, or there is no room to wait for it any longer."""
        self._node.credential_came(self)
        self._perform(self._session.denied(ClientError.TOO_LATE))

    def dismiss(self, disconnect: Disconnect) -> None:
        """See `RegisteredClient.dismiss`."""
        denied = self._session.denied(ClientError.REVOKED)
        # Who was accepted is told what the application chose; who was not gets the one answer there is for that.
        if denied and not (isinstance(denied[0], Deny) and not denied[0].accepted):
            self._close(disconnect)
            denied = denied[1:]
        self._perform(denied)

    @property
    def _dialect(self) -> IDialect:
        return self._connection.dialect

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Listen(channel):
                    outcome = self._node.subscribe(self._connection.subscriber, channel)
                    outcome.addCallback(lambda _: self._perform(self._session.listening()))
                    outcome.addErrback(self._feed_failure, self._session.not_listening)
                    outcome.addErrback(self._broken)
                case Emit(channel, payload):
                    self._emit(channel, payload)
                case Unlisten(channel):
                    self._node.unsubscribe(self._connection.subscriber, channel)
                case Authenticate():
                    self._authenticate()
                case Expire(at):
                    self._expire(at)
                case Accept():
                    self._connection.accept(self._name)
                case Welcome(channels):
                    self._connection.subscriber.send(self._dialect.welcome(channels))
                case Deny(client_error, accepted):
                    self._deny(client_error, accepted=accepted)
                case _:  # Close, the one that is left; mypy sees to that
                    self._close(effect.disconnect)

    def _close(self, disconnect: Disconnect) -> None:
        # What waits for a yes is not published for somebody who has been told goodbye.
        if self._approvals is not None:
            self._approvals.stop()
        self._connection.close(disconnect)

    def _deny(self, client_error: ClientError, *, accepted: bool) -> None:
        self._node.rejections.record(client_error)
        if accepted:
            self._close(client_error.disconnect)
        else:
            self._connection.refuse(client_error.response)

    # Who it is

    def _show(self, credential: Credential) -> None:
        assert self._knock is not None, "awaits its credential"  # noqa: S101 -- `open` has kept it
        self._stop_timer()
        self._node.credential_came(self)
        self._knock = self._knock[0], credential
        self._perform(self._session.shown())

    def _authenticate(self) -> None:
        assert self._knock is not None, "knocked"  # noqa: S101 -- `open` has kept it
        (handshake, credential), self._knock = self._knock, None
        outcome = Deferred.fromCoroutine(self._identify(handshake, credential))
        outcome.addTimeout(AUTHENTICATE_TIMEOUT_SECONDS, self._node.clock)
        outcome.addCallback(lambda identity: self._perform(self._session.identified(identity)))
        outcome.addErrback(self._not_identified)
        outcome.addErrback(self._broken)

    async def _identify(self, handshake: Handshake, credential: Credential | None) -> Identity:
        registry = self._node.registry

        def on_identity(identity: Identity) -> None:
            if not self._session.is_over:
                registry.enter(self, identity.revocation_targets(handshake.connection))

        # Each time before the next one is asked, so that a revocation that comes meanwhile finds the client here.
        on_identity(ANONYMOUS)
        channels = self._session.channels
        identity = await self._node.authenticator.authenticate(credential, handshake, channels, on_identity)
        on_identity(identity)
        if identity.is_authenticated and any(await self._node.are_revoked(registry.names_of(self))):
            raise RejectedError(ClientError.REVOKED)
        return identity

    def _not_identified(self, failure: Failure) -> None:
        failure.trap(RejectedError, BrokerUnavailable, CancelledError, DeferredTimeout)
        error = failure.value
        if isinstance(error, BrokerUnavailable):
            self._node.rejections.log_detail(f"Redis cannot be asked who is denied: {error.code}")
        self._perform(
            self._session.denied(error.client_error if isinstance(error, RejectedError) else ClientError.NOT_CHECKED)
        )

    def _expire(self, at: float) -> None:
        left = at - self._node.now()
        if left <= 0:
            self._perform(self._session.denied(ClientError.TOKEN_EXPIRED))
        elif not self._session.is_over:
            # As it is where the client went in the moment in which it was let in.
            self._timer = self._node.wheel.call_later(min(left, LONGEST_TIMER_SECONDS), lambda: self._expire(at))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What it sends

    def _emit(self, channel: str, payload: bytes) -> None:
        if self._approvals is not None and self._approvals.is_full:
            self._close(Disconnect.TOO_FAST)
            return
        answer = self._node.authenticator.authorize_publish(self._session.identity, channel, payload)
        if answer is None and self._approvals is None:
            self._publish(channel, payload)
            return
        if self._approvals is None:
            self._approvals = PublishQueue(self._publish, self._not_approved)
        # Also what nobody has to be asked about, lest it overtake what waits.
        self._approvals.add(channel, payload, succeed(None) if answer is None else answer)

    def _publish(self, channel: str, payload: bytes) -> None:
        outcome = self._node.publish(channel, payload)
        outcome.addErrback(self._feed_failure, self._session.not_emitted)
        outcome.addErrback(self._broken)

    def _not_approved(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, RejectedError):
            self._node.rejections.record(error.client_error)
            self._perform(self._session.not_emitted(error.client_error.disconnect))
        elif isinstance(error, CancelledError):
            # Nobody asks any more: the process stops.
            self._perform(self._session.not_emitted(Disconnect.NOT_AVAILABLE))
        else:
            self._broken(failure)

    def _feed_failure(self, failure: Failure, step: Callable[[], list[Effect]]) -> None:
        failure.trap(BrokerUnavailable, CancelledError)
        self._perform(step())

    def _broken(self, failure: Failure) -> None:
        self.log.failure("a client's request failed; closing its connection", failure)
        self._close(Disconnect.INTERNAL_ERROR)
