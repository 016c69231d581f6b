"""Tests of `wsrelay.auth.channel_tokens`."""

from __future__ import annotations

from typing import Any

import jwt
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.auth.outcome import outcome
from wsrelay.auth.channel_tokens import ChannelTokens
from wsrelay.auth.keys import FixedKeys, read_keys
from wsrelay.auth.tokens import TokenVerifier
from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.credentials import MAX_CREDENTIAL_BYTES
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.testing.credential_stores import FakeCredentialStore

SECRET = "s" * 40
NOW = 1_700_000_000
EXPIRES = NOW + 100
LEEWAY = 10
USER = Identity("42")


def signed(*, key: Any = SECRET, **claims: Any) -> str:
    """Return a subscription token for the channel `room` of the user 42, with these claims beside or instead."""
    claims = {"channel": "room", "sub": "42", "exp": EXPIRES, **claims}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, "HS256")


class ChannelTokensTests(SynchronousTestCase):
    """`ChannelTokens`."""

    def setUp(self) -> None:
        self.details: list[str] = []
        self.store = FakeCredentialStore()
        self.now = NOW
        verifier = TokenVerifier(
            FixedKeys(read_keys(SECRET)),
            algorithms=None,
            audience=None,
            issuer=None,
            leeway_seconds=LEEWAY,
            now=lambda: self.now,
            log_detail=self.details.append,
        )
        self.tokens = ChannelTokens(verifier, self.store, self.details.append)

    def asked(self, token: str, identity: Identity = USER, channel: str = "room") -> Deferred[ChannelGrant]:
        """Ask about a token of the connection 5f0c."""
        return self.tokens.authorize(token, identity, channel, "5f0c")

    def error(self, token: str, *more: Any) -> Any:
        """Return the error with which a token is rejected, or what it permits."""
        return outcome(self.asked(token, *more))

    def test_token_for_this_client_and_channel_permits_it_until_it_expires(self) -> None:
        token = signed(info={"a": 1}, data=[2], client="5f0c")
        self.assertEqual(self.successResultOf(self.asked(token)), ChannelGrant(EXPIRES + LEEWAY, b'{"a":1}', b"[2]"))
        self.assertEqual((self.details, self.store.lookups), ([], []))

    def test_token_without_a_user_is_for_clients_without_one(self) -> None:
        for token in (signed(sub=""), signed(sub=None)):
            for identity in (ANONYMOUS, Identity()):
                self.assertEqual(self.error(token, identity), ChannelGrant(EXPIRES + LEEWAY))
            self.assertIs(self.error(token, USER), ClientError.TOKEN_MISMATCH)

    def test_expire_at_is_the_end_of_the_subscription_and_exp_that_of_the_token(self) -> None:
        for end, expires in ((0, None), (EXPIRES + 500, EXPIRES + 500 + LEEWAY), (NOW + 1, NOW + 1 + LEEWAY)):
            self.assertEqual(self.error(signed(expire_at=end)), ChannelGrant(expires))
        self.assertIs(self.error(signed(expire_at=NOW - LEEWAY)), ClientError.TOKEN_EXPIRED)
        self.now = EXPIRES + LEEWAY
        self.assertIs(self.error(signed(expire_at=0)), ClientError.TOKEN_EXPIRED)

    def test_token_outside_its_time_is_expired_even_if_it_is_for_another(self) -> None:
        for claims in ({"exp": NOW - LEEWAY}, {"nbf": NOW + LEEWAY + 1}, {"iat": NOW + LEEWAY + 1}):
            self.assertIs(self.error(signed(**claims)), ClientError.TOKEN_EXPIRED)
            self.assertIs(self.error(signed(channel="lobby", **claims)), ClientError.TOKEN_EXPIRED)

    def test_token_for_another_user_channel_or_connection_is_a_mismatch(self) -> None:
        for claims in ({"sub": "4"}, {"sub": ""}, {"channel": "lobby"}, {"client": "5f0d"}):
            self.assertIs(self.error(signed(**claims)), ClientError.TOKEN_MISMATCH)
        self.assertEqual(set(self.details), {"a subscription token: it is for another user, channel or connection"})

    def test_bad_token_is_rejected_as_any_token_is(self) -> None:
        for text in (
            "",
            "x",
            "a.b.c",
            "t" * 32,
            signed() + "x" * MAX_CREDENTIAL_BYTES,
            signed(key="x" * 40),
            "\ud800.a.b",
        ):
            self.assertIs(self.error(text), ClientError.TOKEN, text[:20])

    def test_signed_token_without_usable_claims_is_rejected_for_them(self) -> None:
        """So is a token for a connection."""
        for claims in (
            {"channel": None},
            {"channel": ""},
            {"client": 7},
            {"aud": "x"},
            {"exp": None},
            {"b64info": "?"},
        ):
            self.assertIs(self.error(signed(**claims)), ClientError.TOKEN_CLAIMS, claims)

    def test_revoked_token_is_rejected(self) -> None:
        token = signed(jti="7")
        self.assertEqual(self.error(token), ChannelGrant(EXPIRES + LEEWAY))
        self.assertEqual(self.store.lookups, [["token:7"]])
        self.store.revoke("token:7", 60)
        self.assertIs(self.error(token), ClientError.REVOKED)

    def test_token_is_not_accepted_while_revocations_cannot_be_looked_up(self) -> None:
        self.store.failure = BrokerUnavailable("LOADING Redis is loading the dataset in memory")
        self.assertIs(self.error(signed(jti="7")), ClientError.NOT_CHECKED)
        self.assertEqual(self.details, ["it cannot be known whether a subscription token is revoked: LOADING"])
