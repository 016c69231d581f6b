"""Tests of `wsrelay.process.log_text`."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.process.log_text import printable, without_credentials

SECRET = "s3cr3t-hunter2-0123456789"
TOKEN = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.{SECRET}"


class PrintableTests(SynchronousTestCase):
    """Characters."""

    def test_printable_text_stays_as_it_is(self) -> None:
        for text in ("", "a b", "caf\xe9 \u4f60\u597d", "back\\slash"):
            self.assertEqual(printable(text), text)

    def test_what_forges_lines_or_drives_terminals_is_escaped(self) -> None:
        for text, escaped in (
            ("a\nb", "a\\nb"),
            ("a\r\nb", "a\\r\\nb"),
            ("\x1b[2J", "\\x1b[2J"),
            ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
            ("\u2028\u2029\x85", "\\u2028\\u2029\\x85"),
            ("\u202e\u200b", "\\u202e\\u200b"),
            ("\ud800", "\\ud800"),
        ):
            self.assertEqual(printable(text), escaped)
            self.assertTrue(printable(text).isprintable())


class CredentialTests(SynchronousTestCase):
    """Texts that look like a credential."""

    def test_credential_is_masked_wherever_it_stands(self) -> None:
        for text in (
            f"redis://:{SECRET}@redis.example:6379/0",
            f"cannot use 'rediss://user:{SECRET}@host'",
            f"redis://user:ab/cd?{SECRET}@host",
            f"REDIS://{SECRET}@host",
            f"https://user:{SECRET}@hook.example/path",
            f"/ws/room?ticket={SECRET}&x=1",
            f"GET /sse/a?a=b&token={SECRET} HTTP/1.1",
            f"access_token={SECRET}",
            f"(api_key={SECRET})",
            f"Password={SECRET}",
            f"Authorization: Bearer {SECRET}",
            f"authorization: Basic {SECRET}",
            f"{{'authorization': 'apikey {SECRET}'}}",
            f"Cookie: a=b; session={SECRET}",
            f"X-API-Key: {SECRET}",
            f"bearer {SECRET}",
            f"the token {TOKEN} is not valid",
            f"wsrelay.token.{TOKEN}",
        ):
            masked = without_credentials(text)
            self.assertNotIn(SECRET, masked)
            self.assertIn("***", masked)

    def test_rest_of_the_text_stays(self) -> None:
        for text, masked in (
            (f"redis://:{SECRET}@host:6379/0 is away", "redis://***@host:6379/0 is away"),
            (f"/ws/a?ticket={SECRET}&x=1", "/ws/a?ticket=***&x=1"),
            (f"bearer {SECRET} is wrong", "bearer *** is wrong"),
        ):
            self.assertEqual(without_credentials(text), masked)

    def test_text_without_a_credential_stays_as_it_is(self) -> None:
        for text in (
            "wsrelay listening on http://127.0.0.1:8080/ with the memory broker",
            "publications travel through Redis at rediss://redis.example:6380/0",
            "https://a.example/users/@bob",
            "payload = json asks",
            "basic authentication is missing",
            "set token_keys, token_jwks_url",
            "put the credential into the request, as ?ticket=<ticket>.",
            "the cookie: it has expired",
            "hook_forward_headers may hold cookie and authorization, not 'x'",
            "without ACL users the URL is redis://:password@host",
            *(each.response.text for each in ClientError),
        ):
            self.assertEqual(without_credentials(text), text)

    def test_no_text_takes_a_time_that_grows_with_its_square(self) -> None:
        """For one of this length that would be minutes, and it is a fraction of a second of processor time."""
        began = time.process_time()
        for text in ("a", "a_", "://", "a://", "redis://", "eyJ", "eyJ-", "-eyJaaaaaaaa", "cookie", "token", "bearer "):
            without_credentials(text * (200_000 // len(text)) + "=")
        self.assertLess(time.process_time() - began, 10)
