"""The access of one client to its channels: answers of the application, and subscription tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.messaging.subscription_start import NO_TERMS, SubscriptionTerms
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.sessions.effects import CheckChannelToken, SubscribeChannel
from wsrelay.core.sessions.session_data import MAX_CHANNELS
from wsrelay.engine.channel_terms import ChannelTerms
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS
from wsrelay.engine.client_refresh import refresh_failed
from wsrelay.engine.client_services import SessionDriver
from wsrelay.engine.subscribe_questions import SubscribeQuestions

__all__ = ["ChannelAccess"]

T = TypeVar("T")


class ChannelAccess:
    """The access of one client to its channels, where more decides on it than the rules of their namespaces.

    Args:
        client: The client.
        permitted: Called with what the client may subscribe to. `withdraw` is owed then, as it is in each other case.
        denied: Called with a channel to which it may not subscribe, and why.
    """

    __slots__ = ("_client", "_denied", "_permitted", "_questions", "_refreshing", "_terms")

    def __init__(
        self,
        client: SessionDriver,
        permitted: Callable[[SubscribeChannel], None],
        denied: Callable[[str, ClientError], None],
    ) -> None:
        self._client = client
        self._permitted = permitted
        self._denied = denied
        # If None, nothing was asked about a channel.
        self._questions: SubscribeQuestions | None = None
        # If None, no new token for a channel has come.
        self._refreshing: dict[Deferred[None], str] | None = None
        # If None, nothing but the rules permitted a channel.
        self._terms: ChannelTerms | None = None

    def request(self, effect: SubscribeChannel) -> None:
        """Find out whether the client may subscribe to a channel. The answer may come before this returns."""
        if self._questions is None:
            self._questions = SubscribeQuestions(self._ask, self._answered, self._client.services.timers)
        self._questions.add(effect)

    def refresh(self, effect: CheckChannelToken) -> None:
        """Check a new token for a channel, and report the outcome to the session in bounded time."""
        client = self._client
        if self._refreshing is None:
            self._refreshing = {}
        refreshing = self._refreshing
        if len(refreshing) >= MAX_CHANNELS:
            client.perform(client.session.refresh_failed(effect.id, ClientError.TOO_MANY_REQUESTS))
            return
        outcome = Deferred.fromCoroutine(self._refresh(effect))
        refreshing[outcome] = effect.channel
        outcome.addTimeout(AUTHENTICATE_TIMEOUT_SECONDS, client.services.clock)

        def ended(result: T) -> T:
            del refreshing[outcome]
            return result

        def checked(_: None) -> None:
            client.update_presence((effect.channel,))
            left = self.terms(effect.channel).expires_seconds
            client.perform(client.session.subscription_refreshed(effect.id, left))

        outcome.addBoth(ended)
        outcome.addCallback(checked)
        outcome.addErrback(lambda failure: refresh_failed(client, failure, effect.id, ClientError.REFRESH_EXPIRED))
        outcome.addErrback(client.failed)

    def grant(self, channel: str, grant: ChannelGrant) -> None:
        """Take the terms of a channel, for the first time or anew."""
        if self._terms is None:
            client = self._client
            self._terms = ChannelTerms(
                client.services.timers,
                client.services.now,
                lambda channel: client.perform(client.session.subscription_expired(channel)),
            )
        self._terms.grant(channel, grant)

    def terms(self, channel: str) -> SubscriptionTerms:
        """Return the terms of a channel."""
        return NO_TERMS if self._terms is None else self._terms.terms(channel)

    def info(self, channel: str) -> bytes:
        """Return what others of a channel are told about the client, as JSON on one line; empty if nothing."""
        return b"" if self._terms is None else self._terms.info(channel)

    def withdraw(self, channel: str) -> bool:
        """Forget a channel, and what is asked about it: no answer counts for the next time that it is subscribed to.

        Returns:
            True if it was asked about and not permitted, so that nothing has been subscribed.
        """
        if self._terms is not None:
            self._terms.withdraw(channel)
        for outcome in [each for each, of in (self._refreshing or {}).items() if of == channel]:
            outcome.cancel()
        return self._questions is not None and self._questions.discard(channel)

    def stop(self) -> None:
        """Forget everything, and cancel every question."""
        for outcome in tuple(self._refreshing or ()):
            outcome.cancel()
        if self._questions is not None:
            self._questions.stop()
        if self._terms is not None:
            self._terms.stop()

    def _ask(self, effect: SubscribeChannel) -> Deferred[None] | None:
        if effect.token:
            return Deferred.fromCoroutine(self._ask_with_token(effect))
        return self._client.services.authenticator.authorize_subscribe(self._client.session.identity, effect.channel)

    async def _ask_with_token(self, effect: SubscribeChannel) -> None:
        grant = await self._check_token(effect.token, effect.channel)
        if self._questions is None or not self._questions.is_awaited(effect):
            # The client has unsubscribed, and perhaps subscribed again in another way: these terms are not of that.
            return
        self.grant(effect.channel, grant)
        asked = self._client.services.authenticator.authorize_subscribe(self._client.session.identity, effect.channel)
        if asked is not None:
            await asked

    async def _refresh(self, effect: CheckChannelToken) -> None:
        self.grant(effect.channel, await self._check_token(effect.token, effect.channel))

    async def _check_token(self, token: str, channel: str) -> ChannelGrant:
        client = self._client
        authorize = client.services.authenticator.authorize_channel_token
        grant: ChannelGrant = await authorize(token, client.session.identity, channel, client.connection_id)
        return grant

    def _answered(self, effect: SubscribeChannel, failure: Failure | None) -> None:
        if failure is None:
            self._permitted(effect)
            return
        error = failure.value
        self._denied(
            effect.channel, error.client_error if isinstance(error, RejectedError) else ClientError.NOT_CHECKED
        )
        if not isinstance(error, RejectedError | CancelledError):
            self._client.failed(failure)
