"""Tests of `wsrelay.auth.authenticator`: how the ways of finding out who a client is are joined."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import jwt
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.auth.outcome import outcome
from wsrelay.auth.authenticator import Authenticator
from wsrelay.auth.keys import FixedKeys, read_keys
from wsrelay.auth.tickets import TicketVerifier
from wsrelay.auth.tokens import TokenVerifier
from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.interfaces import IAuthenticator

SECRET = "s" * 40
TICKET = "t" * 32
NOW = 1000.0
TOKEN = jwt.encode({"sub": "42", "exp": NOW + 60}, SECRET, "HS256")
OLD = jwt.encode({"sub": "42", "exp": NOW - 60}, SECRET, "HS256")
KNOCK = Handshake("/ws/room", "192.0.2.7")


class ScriptedHook:
    """A hook that says what the test says.

    Attributes:
        asked: With which identities it was asked.
        answer: What it answers.
        forgotten: How often it was to forget.
    """

    def __init__(self) -> None:
        self.asked: list[Identity] = []
        self.answer: Identity | ClientError | None = None
        self.forgotten = 0

    def clear_cache(self) -> None:
        """Count it."""
        self.forgotten += 1

    def connect(self, identity: Identity, _handshake: Handshake, _channels: Sequence[str]) -> Deferred[Identity]:
        """Answer."""
        self.asked.append(identity)
        if isinstance(self.answer, ClientError):
            return fail(RejectedError(self.answer))
        return succeed(self.answer or identity)

    def publish(self, _identity: Identity, _channel: str, _payload: bytes) -> Deferred[None]:
        """Answer."""
        return succeed(None)


class AuthenticatorTests(SynchronousTestCase):
    """Who is it?"""

    def setUp(self) -> None:
        self.store = MemoryCredentialStore(lambda: 0.0)
        self.explained: list[str] = []
        self.hook = ScriptedHook()

    def make(self, *, tokens: bool = True, hook: bool = False, **more: Any) -> Authenticator:
        """An authenticator with these ways of finding out."""
        now = lambda: NOW  # noqa: E731 -- it is a clock
        verifier = TokenVerifier(
            FixedKeys(read_keys(SECRET)), algorithms=None, audience=None, issuer=None, leeway_seconds=0, now=now
        )
        given: Any = self.hook if hook else None
        office = TicketVerifier(self.store, self.explained.append, now)
        made = Authenticator(office, verifier if tokens else None, given, log_detail=self.explained.append, **more)
        verifyObject(IAuthenticator, made)
        return made

    def who(self, authenticator: Authenticator, handshake: Handshake = KNOCK, shown: Credential | None = None) -> Any:
        """Who it is, or why nobody."""
        try:
            credential = shown or authenticator.find(handshake)
            return outcome(authenticator.authenticate(credential, handshake, ["room"], lambda _identity: None))
        except RejectedError as error:
            return error.client_error

    def with_cookie(self, token: str, origin: str | None = "https://relay.example") -> Handshake:
        """A handshake with a cookie."""
        return dataclasses.replace(KNOCK, cookie=f"a=b; session={token}", origin=origin)

    def test_nobody(self) -> None:
        """Who shows nothing is nobody, and is not asked for anything."""
        authenticator = self.make()
        self.assertIsNone(authenticator.find(KNOCK))
        self.assertFalse(authenticator.requires_authentication(KNOCK))
        self.assertIs(self.who(authenticator), ANONYMOUS)

    def test_token(self) -> None:
        """A token is checked wherever it stands."""
        authenticator = self.make(cookie="session")
        for handshake in (
            dataclasses.replace(KNOCK, authorization=f"bearer {TOKEN}"),
            dataclasses.replace(KNOCK, subprotocols=("wsrelay", f"wsrelay.token.{TOKEN}")),
            self.with_cookie(TOKEN),
        ):
            self.assertEqual(self.who(authenticator, handshake), Identity("42", expires=NOW + 60))
        old = dataclasses.replace(KNOCK, authorization=f"Bearer {OLD}")
        self.assertIs(self.who(authenticator, old), ClientError.TOKEN_EXPIRED)

    def test_ticket(self) -> None:
        """A ticket is redeemed."""
        self.store.create(TICKET, json.dumps({"sub": "7"}).encode(), 30)
        handshake = dataclasses.replace(KNOCK, query=f"ticket={TICKET}")
        self.assertEqual(self.who(self.make(), handshake).subject, "7")
        self.assertIs(self.who(self.make(), handshake), ClientError.TICKET)

    def test_token_in_the_url(self) -> None:
        """A token in a URL is not looked at: URLs are written to logs."""
        for query in (f"token={TOKEN}", f"access_token={TOKEN}", f"Authorization={TOKEN}"):
            self.assertIsNone(self.make().find(dataclasses.replace(KNOCK, query=query)))

    def test_no_keys(self) -> None:
        """Without keys a Bearer is somebody else's affair; a token that is surely for the relay is not good."""
        authenticator = self.make(tokens=False)
        proxied = dataclasses.replace(KNOCK, authorization="Bearer something-of-a-proxy")
        self.assertIs(self.who(authenticator, proxied), ANONYMOUS)
        shown = Credential(CredentialKind.TOKEN, Secret(TOKEN))
        self.assertIs(self.who(authenticator, shown=shown), ClientError.TOKEN)
        self.assertIn("neither token_keys nor token_jwks_url", self.explained[-1])

    def test_cookie_without_origin(self) -> None:
        """A cookie without an Origin does not count: nobody knows whose page sent it."""
        self.assertIs(self.who(self.make(cookie="session"), self.with_cookie(TOKEN, None)), ClientError.NO_ORIGIN)

    def test_old_cookie(self) -> None:
        """A cookie that is no good any more leaves somebody who is nobody, with the reason at hand."""
        who = self.who(self.make(cookie="session"), self.with_cookie(OLD))
        self.assertEqual((who.is_authenticated, who.cookie_error), (False, ClientError.TOKEN_EXPIRED))

    def test_hook_is_always_asked(self) -> None:
        """The application is asked about everybody whose credential is good, and about those who show none."""
        authenticator = self.make(hook=True, cookie="session")
        self.assertTrue(authenticator.requires_authentication(KNOCK))
        self.who(authenticator)
        self.who(authenticator, dataclasses.replace(KNOCK, authorization=f"Bearer {TOKEN}"))
        self.who(authenticator, dataclasses.replace(KNOCK, authorization=f"Bearer {OLD}"))
        self.who(authenticator, self.with_cookie(OLD))
        self.assertEqual([who.subject for who in self.hook.asked], [None, "42", None])

    def test_forget(self) -> None:
        """What the hook keeps is forgotten on demand; without a hook there is nothing to forget."""
        self.make().clear_cache()
        self.make(hook=True).clear_cache()
        self.assertEqual(self.hook.forgotten, 1)

    def test_hook_decides(self) -> None:
        """What the application says is what holds."""
        authenticator = self.make(hook=True)
        self.hook.answer = Identity("hooked")
        self.assertEqual(self.who(authenticator), Identity("hooked"))
        self.hook.answer = ClientError.HOOK
        bearer = dataclasses.replace(KNOCK, authorization=f"Bearer {TOKEN}")
        self.assertIs(self.who(authenticator, bearer), ClientError.HOOK)

    def test_cookies_for_the_hook(self) -> None:
        """Cookies that the hook is told want an Origin as well."""
        handshake = dataclasses.replace(KNOCK, cookie="session=1")
        self.assertIs(self.who(self.make(hook=True, forwards_cookies=True), handshake), ClientError.NO_ORIGIN)
        self.assertIs(self.who(self.make(hook=True, forwards_cookies=False), handshake), ANONYMOUS)
        self.assertIs(self.who(self.make(forwards_cookies=True), handshake), ANONYMOUS)

    def test_publishing(self) -> None:
        """The application is asked about messages where that is wanted."""
        for hook, requires_authentication, asked in ((False, True, False), (True, False, False), (True, True, True)):
            answer = self.make(hook=hook, asks_to_publish=requires_authentication).authorize_publish(
                ANONYMOUS, "room", b"x"
            )
            self.assertEqual(answer is not None, asked)
