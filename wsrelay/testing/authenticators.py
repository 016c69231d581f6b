"""Test doubles of authenticators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.credentials import Credential
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.interfaces import IAuthenticator

__all__ = ["AnonymousAuthenticator", "FakeAuthenticator", "IdentityQuestion", "PermissionQuestion", "TokenQuestion"]


@implementer(IAuthenticator)
class AnonymousAuthenticator:
    """Treats every client as anonymous: the rules of the namespaces decide alone."""

    authorizes_subscribe = False

    def find(self, _handshake: Handshake) -> None:
        """See `IAuthenticator.find`."""

    def requires_authentication(self, _handshake: Handshake) -> bool:
        """See `IAuthenticator.requires_authentication`."""
        return False

    def authenticate(
        self,
        _credential: Credential | None,
        _handshake: Handshake,
        _channels: Sequence[str],
        _on_identity: Callable[[Identity], None],
    ) -> Deferred[Identity]:
        """See `IAuthenticator.authenticate`."""
        return succeed(ANONYMOUS)

    def refresh(self, _token: str, _identity: Identity) -> Deferred[Identity]:
        """See `IAuthenticator.refresh`."""
        return fail(RejectedError(ClientError.TOKEN))

    def clear_cache(self) -> None:
        """See `IAuthenticator.clear_cache`."""

    def authorize_subscribe(self, _identity: Identity, _channel: str) -> None:
        """See `IAuthenticator.authorize_subscribe`."""

    def authorize_channel_token(
        self, _token: str, _identity: Identity, _channel: str, _connection: str
    ) -> Deferred[ChannelGrant]:
        """See `IAuthenticator.authorize_channel_token`."""
        return fail(RejectedError(ClientError.TOKEN))

    def authorize_publish(self, _identity: Identity, _channel: str, _data: bytes) -> None:
        """See `IAuthenticator.authorize_publish`."""


class IdentityQuestion:
    """One call of `IAuthenticator.authenticate`, which the test answers.

    Attributes:
        credential: The argument of that name.
        handshake: The argument of that name.
        channels: The argument of that name.
        is_cancelled: Whether the caller has given the question up.
        answer: The Deferred that was returned.
    """

    def __init__(self, credential: Credential | None, handshake: Handshake, channels: Sequence[str]) -> None:
        self.credential = credential
        self.handshake = handshake
        self.channels = tuple(channels)
        self.is_cancelled = False
        self.answer: Deferred[Identity] = Deferred(self._cancelled)

    def _cancelled(self, _answer: object) -> None:
        self.is_cancelled = True

    def resolve(self, outcome: Identity | ClientError | Exception) -> None:
        """Answer with an identity, a rejection or a failure; a question that was given up needs no answer."""
        if self.is_cancelled:
            return
        if isinstance(outcome, Identity):
            self.answer.callback(outcome)
        else:
            self.answer.errback(RejectedError(outcome) if isinstance(outcome, ClientError) else outcome)


class PermissionQuestion:
    """One call of `IAuthenticator.authorize_subscribe` or `authorize_publish`, which the test answers.

    Attributes:
        arguments: The arguments of the call.
        answer: The Deferred that was returned.
    """

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.answer: Deferred[None] = Deferred()

    @property
    def is_open(self) -> bool:
        """True if the question has neither been answered nor given up."""
        return not self.answer.called

    def permit(self) -> None:
        """Answer that the client may; a question that was given up needs no answer."""
        if self.is_open:
            self.answer.callback(None)

    def reject(self, error: ClientError | Exception = ClientError.HOOK) -> None:
        """Answer that the client may not, or fail; a question that was given up needs no answer."""
        if self.is_open:
            self.answer.errback(RejectedError(error) if isinstance(error, ClientError) else error)


class TokenQuestion:
    """One call of `IAuthenticator.authorize_channel_token` or `refresh`, which the test answers.

    Attributes:
        arguments: The arguments of the call.
        answer: The Deferred that was returned.
    """

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.answer: Deferred[Any] = Deferred()

    def resolve(self, outcome: ChannelGrant | Identity | ClientError | Exception) -> None:
        """Answer with a grant or an identity, a rejection or a failure; one that was given up needs no answer."""
        if self.answer.called:
            return
        if isinstance(outcome, ClientError):
            outcome = RejectedError(outcome)
        if isinstance(outcome, Exception):
            self.answer.errback(outcome)
        else:
            self.answer.callback(outcome)


@implementer(IAuthenticator)
class FakeAuthenticator:
    """An authenticator whose every answer the test gives, when the test gives it.

    Attributes:
        credential: What is found in handshakes, or the error why none can be.
        authenticates_everyone: The answer to `requires_authentication`.
        early_identity: The identity that is reported before the question is asked. If None, none is.
        immediate_answer: What each question about an identity is answered with before the call returns. If None, the
            test answers.
        questions: The calls of `authenticate`, in order.
        asks_to_subscribe: Called with a channel, returns whether the application is asked about it.
        subscribe_questions: The calls of `authorize_subscribe` that were put to the application, in order.
        refresh_questions: The calls of `refresh`, in order.
        channel_token_questions: The calls of `authorize_channel_token`, in order.
        asks_to_publish: Called with a message, returns whether the application is asked about it.
        publish_questions: The calls of `authorize_publish` that were put to the application, in order.
        failure: The exception that every question raises. If None, none does.
        cache_clears: The number of calls of `clear_cache`.
    """

    authorizes_subscribe = True

    def __init__(self) -> None:
        self.credential: Credential | ClientError | None = None
        self.authenticates_everyone = False
        self.early_identity: Identity | None = None
        self.immediate_answer: Identity | ClientError | Exception | None = None
        self.questions: list[IdentityQuestion] = []
        self.asks_to_subscribe: Callable[[str], bool] = lambda _channel: False
        self.subscribe_questions: list[PermissionQuestion] = []
        self.refresh_questions: list[TokenQuestion] = []
        self.channel_token_questions: list[TokenQuestion] = []
        self.asks_to_publish: Callable[[bytes], bool] = lambda _data: False
        self.publish_questions: list[PermissionQuestion] = []
        self.failure: Exception | None = None
        self.cache_clears = 0

    def find(self, _handshake: Handshake) -> Credential | None:
        """See `IAuthenticator.find`."""
        if isinstance(self.credential, ClientError):
            raise RejectedError(self.credential)
        return self.credential

    def requires_authentication(self, _handshake: Handshake) -> bool:
        """See `IAuthenticator.requires_authentication`."""
        return self.authenticates_everyone

    def authenticate(
        self,
        credential: Credential | None,
        handshake: Handshake,
        channels: Sequence[str],
        on_identity: Callable[[Identity], None],
    ) -> Deferred[Identity]:
        """See `IAuthenticator.authenticate`."""
        self._fail()
        if self.early_identity is not None:
            on_identity(self.early_identity)
        self.questions.append(IdentityQuestion(credential, handshake, channels))
        if self.immediate_answer is not None:
            self.questions[-1].resolve(self.immediate_answer)
        return self.questions[-1].answer

    def refresh(self, token: str, identity: Identity) -> Deferred[Identity]:
        """See `IAuthenticator.refresh`."""
        self._fail()
        self.refresh_questions.append(TokenQuestion(token, identity))
        return self.refresh_questions[-1].answer

    def clear_cache(self) -> None:
        """See `IAuthenticator.clear_cache`."""
        self.cache_clears += 1

    def authorize_subscribe(self, identity: Identity, channel: str) -> Deferred[None] | None:
        """See `IAuthenticator.authorize_subscribe`."""
        self._fail()
        if not self.asks_to_subscribe(channel):
            return None
        self.subscribe_questions.append(PermissionQuestion(identity, channel))
        return self.subscribe_questions[-1].answer

    def authorize_channel_token(
        self, token: str, identity: Identity, channel: str, connection: str
    ) -> Deferred[ChannelGrant]:
        """See `IAuthenticator.authorize_channel_token`."""
        self._fail()
        self.channel_token_questions.append(TokenQuestion(token, identity, channel, connection))
        return self.channel_token_questions[-1].answer

    def authorize_publish(self, identity: Identity, channel: str, data: bytes) -> Deferred[None] | None:
        """See `IAuthenticator.authorize_publish`."""
        self._fail()
        if not self.asks_to_publish(data):
            return None
        self.publish_questions.append(PermissionQuestion(identity, channel, data))
        return self.publish_questions[-1].answer

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
