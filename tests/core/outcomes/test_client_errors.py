"""Tests of `wsrelay.core.outcomes.client_errors`."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import RejectedError

BEARER = (("WWW-Authenticate", "Bearer"),)
INVALID = (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
RETRY = (("Retry-After", "5"),)


class DenialTests(SynchronousTestCase):
    """The table of denials, which clients and operators are written against."""

    def test_table(self) -> None:
        """The statuses, the fields beside them, and the close codes are what clients know them to be."""
        self.assertEqual(
            {
                client_error.reason: (
                    client_error.response.status,
                    client_error.response.headers,
                    client_error.disconnect.code,
                )
                for client_error in ClientError
            },
            {
                "origin": (403, (), 4501),
                "no_origin": (403, (), 4501),
                "ambiguous": (400, (), 4501),
                "malformed": (400, (), 4501),
                "no_credential": (401, BEARER, 4501),
                "too_late": (401, BEARER, 4501),
                "token": (401, INVALID, 4501),
                "token_claims": (401, INVALID, 4501),
                "token_expired": (401, INVALID, 4502),
                "ticket": (401, INVALID, 4501),
                "revoked": (401, INVALID, 4505),
                "hook": (403, (), 4504),
                "api_key": (401, BEARER, 4501),
                "unknown_channel": (404, (), 4504),
                "subscribe_denied": (403, (), 4504),
                "channel_denied": (403, (), 4504),
                "publish_denied": (403, (), 4503),
                "not_available": (503, RETRY, 4011),
                "not_checked": (503, RETRY, 4011),
            },
        )

    def test_challenge(self) -> None:
        """A 401 says how to do better, in one challenge, and nothing else does (RFC 9110 section 11.6.1)."""
        for client_error in ClientError:
            challenges = [value for name, value in client_error.response.headers if name.lower() == "www-authenticate"]
            self.assertEqual(len(challenges), 1 if client_error.response.status == 401 else 0, client_error)
            for challenge in challenges:
                self.assertRegex(challenge, r'\ABearer( error="invalid_token")?\Z')

    def test_come_back(self) -> None:
        """Coming back unchanged helps in both tables or in neither: 503 with Retry-After, a code below 4500."""
        for client_error in ClientError:
            fields = dict(client_error.response.headers)
            helps = client_error.response.status == 503
            self.assertEqual(("Retry-After" in fields, client_error.disconnect.reconnect), (helps, helps), client_error)
            if helps:
                self.assertGreater(int(fields["Retry-After"]), 0)

    def test_own_codes(self) -> None:
        """Who is denied something is closed with one of our own codes, and never with one that says try again here."""
        for client_error in ClientError:
            self.assertGreaterEqual(client_error.disconnect.code, 4000, client_error)
            self.assertNotIn(
                client_error.disconnect, (Disconnect.RECONNECT, Disconnect.SLOW, Disconnect.GAP), client_error
            )

    def test_reasons(self) -> None:
        """Every denial is one of its own, under a reason that can be a label of a metric."""
        self.assertEqual(len(ClientError.__members__), len(list(ClientError)), "one is only another name of another")
        reasons = [client_error.reason for client_error in ClientError]
        self.assertEqual(len(set(reasons)), len(reasons))
        self.assertEqual([reason for reason in reasons if re.fullmatch(r"[a-z][a-z_]*", reason) is None], [])

    def test_texts(self) -> None:
        """The text is one paragraph of plain ASCII that ends in a full stop; those of different reasons differ."""
        texts = [client_error.response.text for client_error in ClientError]
        self.assertEqual(len(set(texts)), len(texts))
        for text in texts:
            self.assertTrue(text.isascii() and text.isprintable() and text.endswith("."), text)

    def test_no_input(self) -> None:
        """A text has no place where anything of a client's could be put in."""
        for client_error in ClientError:
            self.assertNotRegex(client_error.response.text, r"%[sdr(]|\{\w*(![rsa])?(:[^}\"]*)?\}|\$\w|\$\{")

    def test_bytes(self) -> None:
        """Every answer can be written as HTTP, with each of its fields on a line of its own."""
        for client_error in ClientError:
            head, _, body = client_error.response.to_bytes().partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 %d " % client_error.response.status))
            lines = head.decode("ascii").split("\r\n")
            for name, value in client_error.response.headers:
                self.assertEqual(lines.count(f"{name}: {value}"), 1)
            self.assertEqual(body.decode("ascii"), client_error.response.text + "\n")

    def test_error(self) -> None:
        """The error that carries a denial reads like its reason, and like nothing else."""
        for client_error in ClientError:
            error = RejectedError(client_error)
            self.assertIs(error.client_error, client_error)
            self.assertEqual(str(error), client_error.reason)
