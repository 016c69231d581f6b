"""Tests of `wsrelay.auth.authenticator`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import jwt
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.auth.outcome import outcome
from wsrelay.auth.authenticator import Authenticator
from wsrelay.auth.channel_tokens import ChannelTokens
from wsrelay.auth.keys import FixedKeys, read_keys
from wsrelay.auth.tickets import TicketVerifier
from wsrelay.auth.tokens import TokenVerifier
from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.identity import ANONYMOUS, ApplicationAnswer, Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.interfaces import IAuthenticator

SECRET = "s" * 40
TICKET = "t" * 32
NOW = 1000.0
TOKEN = jwt.encode({"sub": "42", "exp": NOW + 60}, SECRET, "HS256")
EXPIRED_TOKEN = jwt.encode({"sub": "42", "exp": NOW - 60}, SECRET, "HS256")
HANDSHAKE = Handshake("/ws/room", "192.0.2.7")


class ScriptedHook:
    """A hook that answers as the test says.

    Attributes:
        asked: The identities that it was asked about when they connected.
        subscribes: The identities and channels that it was asked about when they subscribed.
        answer: Its answer. If None, it allows every client as it is.
        clears: How often its cache was cleared.
        waits: Whether it does not answer at all when clients connect.
    """

    def __init__(self) -> None:
        self.asked: list[Identity] = []
        self.answer: Identity | ClientError | None = None
        self.subscribes: list[tuple[Identity, str]] = []
        self.clears = 0
        self.waits = False

    def clear_cache(self) -> None:
        """See `Hook.clear_cache`."""
        self.clears += 1

    def connect(self, identity: Identity, _handshake: Handshake, _channels: Sequence[str]) -> Deferred[Identity]:
        """See `Hook.connect`."""
        self.asked.append(identity)
        if self.waits:
            return Deferred()
        if isinstance(self.answer, ClientError):
            return fail(RejectedError(self.answer))
        return succeed(self.answer or identity)

    def subscribe(self, identity: Identity, channel: str) -> Deferred[None]:
        """See `Hook.subscribe`."""
        self.subscribes.append((identity, channel))
        return fail(RejectedError(self.answer)) if isinstance(self.answer, ClientError) else succeed(None)

    def publish(self, _identity: Identity, _channel: str, _payload: bytes) -> Deferred[None]:
        """See `Hook.publish`."""
        return succeed(None)


class AuthenticatorTests(SynchronousTestCase):
    """`Authenticator`."""

    def setUp(self) -> None:
        self.store = MemoryCredentialStore(lambda: 0.0)
        self.details: list[str] = []
        self.hook = ScriptedHook()

    def make(self, *, tokens: bool = True, hook: bool = False, **more: Any) -> Authenticator:
        """Make an authenticator with these ways to authenticate."""
        now = lambda: NOW  # noqa: E731 -- a clock
        token_verifier = TokenVerifier(
            FixedKeys(read_keys(SECRET)), algorithms=None, audience=None, issuer=None, leeway_seconds=0, now=now
        )
        given: Any = self.hook if hook else None
        ticket_verifier = TicketVerifier(self.store, self.details.append, now)
        made = Authenticator(
            ticket_verifier, token_verifier if tokens else None, given, log_detail=self.details.append, **more
        )
        verifyObject(IAuthenticator, made)
        return made

    def test_subscription_token_is_checked_with_the_same_keys_if_there_are_any(self) -> None:
        verifier: Any = self.make(tokens=True)._token_verifier
        tokens = ChannelTokens(verifier, self.store, self.details.append)
        text = jwt.encode({"channel": "room", "sub": "42", "exp": NOW + 60}, SECRET, "HS256")
        for made, expected in (
            (self.make(channel_tokens=tokens), ChannelGrant(NOW + 60)),
            (self.make(), ClientError.TOKEN),
        ):
            self.assertEqual(outcome(made.authorize_channel_token(text, Identity("42"), "room", "c1")), expected)
        self.assertIn("neither token_keys nor token_jwks_url", self.details[-1])

    def refreshed(self, authenticator: Authenticator, text: str, identity: Identity) -> Any:
        """Return the identity of a client after a new token, or the error with which that is rejected."""
        return outcome(authenticator.refresh(text, identity))

    def test_new_token_of_the_same_user_refreshes_a_connection(self) -> None:
        identity = Identity("42", expires=NOW + 1, answer=ApplicationAnswer(connection="c1"))
        self.assertEqual(self.refreshed(self.make(), TOKEN, identity), Identity("42", expires=NOW + 60))
        for other in (Identity("4"), Identity(), ANONYMOUS):
            self.assertIs(self.refreshed(self.make(), TOKEN, other), ClientError.TOKEN_MISMATCH)

    def test_new_token_is_verified_as_any_other(self) -> None:
        of_a_channel = jwt.encode({"sub": "42", "exp": NOW + 60, "channel": "room"}, SECRET, "HS256")
        for text, error in (
            (EXPIRED_TOKEN, ClientError.TOKEN_EXPIRED),
            (TOKEN + "x", ClientError.TOKEN),
            ("a.b.c", ClientError.TOKEN),
            ("", ClientError.TOKEN),
            (of_a_channel, ClientError.CHANNEL_TOKEN),
        ):
            self.assertIs(self.refreshed(self.make(), text, Identity("42")), error, text)
        self.assertIs(self.refreshed(self.make(tokens=False), TOKEN, Identity("42")), ClientError.TOKEN)

    def test_ticket_does_not_refresh_a_connection_and_stays_good_for_the_next_one(self) -> None:
        self.store.create(TICKET, b'{"sub": "42"}', 30)
        self.assertIs(self.refreshed(self.make(), TICKET, Identity("42")), ClientError.TOKEN_EXPIRED)
        self.assertIn("has to reconnect with it", self.details[-1])
        handshake = dataclasses.replace(HANDSHAKE, query=f"ticket={TICKET}")
        self.assertEqual(self.authenticate(self.make(), handshake).subject, "42")

    def test_ticket_of_a_client_that_leaves_while_the_hook_is_asked_stays_good(self) -> None:
        self.store.create(TICKET, b'{"sub": "42"}', 30)
        handshake = dataclasses.replace(HANDSHAKE, query=f"ticket={TICKET}")
        authenticator = self.make(hook=True)
        self.hook.waits = True
        asked = authenticator.authenticate(authenticator.find(handshake), handshake, ["room"], lambda _identity: None)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.hook.waits = False
        self.assertEqual(self.authenticate(authenticator, handshake).subject, "42")

    def test_new_token_does_not_undo_what_the_hook_has_limited(self) -> None:
        identity = Identity("42", ("a",), expires=NOW + 1, answer=ApplicationAnswer(NOW + 30))
        refreshed = self.refreshed(self.make(hook=True), TOKEN, identity)
        self.assertEqual(refreshed, dataclasses.replace(identity, expires=NOW + 30))
        self.assertEqual(self.hook.asked, [])

    def authenticate(
        self, authenticator: Authenticator, handshake: Handshake = HANDSHAKE, shown: Credential | None = None
    ) -> Any:
        """Return the identity of a client, or the error with which it is rejected."""
        try:
            credential = shown or authenticator.find(handshake)
            return outcome(authenticator.authenticate(credential, handshake, ["room"], lambda _identity: None))
        except RejectedError as error:
            return error.client_error

    def with_cookie(self, token: str, origin: str | None = "https://relay.example") -> Handshake:
        """Return a handshake with a cookie."""
        return dataclasses.replace(HANDSHAKE, cookie=f"a=b; session={token}", origin=origin)

    def test_client_without_a_credential_is_anonymous(self) -> None:
        authenticator = self.make()
        self.assertIsNone(authenticator.find(HANDSHAKE))
        self.assertFalse(authenticator.requires_authentication(HANDSHAKE))
        self.assertIs(self.authenticate(authenticator), ANONYMOUS)

    def test_token_is_verified_in_every_place(self) -> None:
        authenticator = self.make(cookie="session")
        for handshake in (
            dataclasses.replace(HANDSHAKE, authorization=f"bearer {TOKEN}"),
            dataclasses.replace(HANDSHAKE, subprotocols=("wsrelay", f"wsrelay.token.{TOKEN}")),
            self.with_cookie(TOKEN),
        ):
            self.assertEqual(self.authenticate(authenticator, handshake), Identity("42", expires=NOW + 60))
        old = dataclasses.replace(HANDSHAKE, authorization=f"Bearer {EXPIRED_TOKEN}")
        self.assertIs(self.authenticate(authenticator, old), ClientError.TOKEN_EXPIRED)

    def test_ticket_is_redeemed_once(self) -> None:
        self.store.create(TICKET, json.dumps({"sub": "7"}).encode(), 30)
        handshake = dataclasses.replace(HANDSHAKE, query=f"ticket={TICKET}")
        self.assertEqual(self.authenticate(self.make(), handshake).subject, "7")
        self.assertIs(self.authenticate(self.make(), handshake), ClientError.TICKET)

    def test_ticket_is_spent_by_a_rejection_of_the_hook_and_not_by_its_silence(self) -> None:
        """A client that is told to try again still can."""
        handshake = dataclasses.replace(HANDSHAKE, query=f"ticket={TICKET}")
        authenticator = self.make(hook=True)
        self.store.create(TICKET, json.dumps({"sub": "7"}).encode(), 30)
        self.hook.answer = ClientError.NOT_CHECKED
        self.assertIs(self.authenticate(authenticator, handshake), ClientError.NOT_CHECKED)
        self.hook.answer = None
        self.assertEqual(self.authenticate(authenticator, handshake).subject, "7")
        self.assertIs(self.authenticate(authenticator, handshake), ClientError.TICKET)
        self.store.create(TICKET, json.dumps({"sub": "7"}).encode(), 30)
        self.hook.answer = ClientError.HOOK
        self.assertIs(self.authenticate(authenticator, handshake), ClientError.HOOK)
        self.hook.answer = None
        self.assertIs(self.authenticate(authenticator, handshake), ClientError.TICKET)

    def test_token_in_the_url_is_ignored(self) -> None:
        """URLs are written to logs."""
        for query in (f"token={TOKEN}", f"access_token={TOKEN}", f"Authorization={TOKEN}"):
            self.assertIsNone(self.make().find(dataclasses.replace(HANDSHAKE, query=query)))

    def test_without_keys_a_bearer_field_is_ignored_and_any_other_token_is_rejected(self) -> None:
        authenticator = self.make(tokens=False)
        proxied = dataclasses.replace(HANDSHAKE, authorization="Bearer something-of-a-proxy")
        self.assertIs(self.authenticate(authenticator, proxied), ANONYMOUS)
        shown = Credential(CredentialKind.TOKEN, Secret(TOKEN))
        self.assertIs(self.authenticate(authenticator, shown=shown), ClientError.TOKEN)
        self.assertIn("neither token_keys nor token_jwks_url", self.details[-1])

    def test_cookie_without_an_origin_is_rejected(self) -> None:
        """The page that made the browser send it is unknown."""
        self.assertIs(
            self.authenticate(self.make(cookie="session"), self.with_cookie(TOKEN, None)), ClientError.NO_ORIGIN
        )

    def test_expired_cookie_leaves_the_client_anonymous_and_keeps_the_reason(self) -> None:
        identity = self.authenticate(self.make(cookie="session"), self.with_cookie(EXPIRED_TOKEN))
        self.assertEqual((identity.is_authenticated, identity.cookie_error), (False, ClientError.TOKEN_EXPIRED))

    def test_hook_is_asked_about_every_client_with_a_valid_credential_or_none(self) -> None:
        authenticator = self.make(hook=True, cookie="session")
        self.assertTrue(authenticator.requires_authentication(HANDSHAKE))
        self.authenticate(authenticator)
        self.authenticate(authenticator, dataclasses.replace(HANDSHAKE, authorization=f"Bearer {TOKEN}"))
        self.authenticate(authenticator, dataclasses.replace(HANDSHAKE, authorization=f"Bearer {EXPIRED_TOKEN}"))
        self.authenticate(authenticator, self.with_cookie(EXPIRED_TOKEN))
        self.assertEqual([identity.subject for identity in self.hook.asked], [None, "42", None])

    def test_clear_cache_clears_the_hook_if_there_is_one(self) -> None:
        self.make().clear_cache()
        self.make(hook=True).clear_cache()
        self.assertEqual(self.hook.clears, 1)

    def test_answer_of_the_hook_decides(self) -> None:
        authenticator = self.make(hook=True)
        self.hook.answer = Identity("hooked")
        self.assertEqual(self.authenticate(authenticator), Identity("hooked"))
        self.hook.answer = ClientError.HOOK
        bearer = dataclasses.replace(HANDSHAKE, authorization=f"Bearer {TOKEN}")
        self.assertIs(self.authenticate(authenticator, bearer), ClientError.HOOK)

    def test_cookie_that_is_forwarded_to_the_hook_needs_an_origin(self) -> None:
        handshake = dataclasses.replace(HANDSHAKE, cookie="session=1")
        self.assertIs(self.authenticate(self.make(hook=True, forwards_cookies=True), handshake), ClientError.NO_ORIGIN)
        self.assertIs(self.authenticate(self.make(hook=True, forwards_cookies=False), handshake), ANONYMOUS)
        self.assertIs(self.authenticate(self.make(forwards_cookies=True), handshake), ANONYMOUS)

    def test_hook_is_asked_about_messages_if_configured(self) -> None:
        for hook, asks_to_publish, asked in ((False, True, False), (True, False, False), (True, True, True)):
            answer = self.make(hook=hook, asks_to_publish=asks_to_publish).authorize_publish(ANONYMOUS, "room", b"x")
            self.assertEqual(answer is not None, asked)

    def test_without_a_hook_no_subscribe_is_asked_about(self) -> None:
        for identity in (ANONYMOUS, Identity("42")):
            self.assertIsNone(self.make().authorize_subscribe(identity, "room"))
        self.assertEqual(self.hook.subscribes, [])

    def test_hook_is_asked_about_every_subscribe(self) -> None:
        for asks_to_publish in (False, True):
            authenticator = self.make(hook=True, asks_to_publish=asks_to_publish)
            for identity in (ANONYMOUS, Identity("42")):
                answer = authenticator.authorize_subscribe(identity, "room")
                assert answer is not None
                self.assertIsNone(self.successResultOf(answer))
                self.assertEqual(self.hook.subscribes.pop(), (identity, "room"))

    def test_hook_rejects_a_subscribe(self) -> None:
        for client_error in (ClientError.HOOK, ClientError.NO_CREDENTIAL, ClientError.NOT_CHECKED):
            self.hook.answer = client_error
            answer = self.make(hook=True).authorize_subscribe(ANONYMOUS, "room")
            assert answer is not None
            self.assertIs(self.failureResultOf(answer, RejectedError).value.client_error, client_error)
