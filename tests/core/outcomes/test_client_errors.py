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


class ClientErrorTests(SynchronousTestCase):
    """The table of client errors, which clients and operators are written against."""

    def test_statuses_fields_and_close_codes_are_those_that_clients_are_written_against(self) -> None:
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
                "origin_scheme": (403, (), 4501),
                "no_origin": (403, (), 4501),
                "ambiguous": (400, (), 4501),
                "malformed": (400, (), 4501),
                "no_credential": (401, BEARER, 4501),
                "too_late": (401, BEARER, 4507),
                "token": (401, INVALID, 4501),
                "token_claims": (401, INVALID, 4501),
                "channel_token": (401, INVALID, 4501),
                "token_mismatch": (403, (), 4501),
                "token_expired": (401, INVALID, 4502),
                "ticket": (401, INVALID, 4501),
                "revoked": (401, INVALID, 4505),
                "hook": (403, (), 4504),
                "api_key": (401, BEARER, 4501),
                "unknown_channel": (404, (), 4504),
                "subscribe_denied": (403, (), 4504),
                "channel_denied": (403, (), 4504),
                "publish_denied": (403, (), 4503),
                "no_history": (400, (), 4506),
                "refresh_expired": (401, INVALID, 4502),
                "already_subscribed": (409, (), 4506),
                "too_many_channels": (403, (), 4506),
                "unrecoverable": (409, (), 4506),
                "too_many_requests": (503, RETRY, 4011),
                "bad_request": (400, (), 4506),
                "not_supported": (501, (), 4506),
                "not_available": (503, RETRY, 4011),
                "not_checked": (503, RETRY, 4011),
            },
        )

    def test_status_401_has_one_challenge_and_no_other_status_has_any(self) -> None:
        """RFC 9110 section 11.6.1."""
        for client_error in ClientError:
            challenges = [value for name, value in client_error.response.headers if name.lower() == "www-authenticate"]
            self.assertEqual(len(challenges), 1 if client_error.response.status == 401 else 0, client_error)
            for challenge in challenges:
                self.assertRegex(challenge, r'\ABearer( error="invalid_token")?\Z')

    def test_trying_again_helps_in_both_tables_or_in_neither(self) -> None:
        """503 with Retry-After, and a code below 4500."""
        for client_error in ClientError:
            fields = dict(client_error.response.headers)
            helps = client_error.response.status == 503
            self.assertEqual(("Retry-After" in fields, client_error.disconnect.reconnect), (helps, helps), client_error)
            if helps:
                self.assertGreater(int(fields["Retry-After"]), 0)

    def test_temporary_errors_are_those_after_which_trying_again_may_help(self) -> None:
        self.assertEqual(
            {error for error in ClientError if error.is_temporary},
            {ClientError.NOT_AVAILABLE, ClientError.NOT_CHECKED, ClientError.TOO_MANY_REQUESTS},
        )

    def test_new_credential_is_wanted_where_the_one_at_hand_is_used_up(self) -> None:
        self.assertEqual(
            {error for error in ClientError if error.wants_new_credential},
            {ClientError.TICKET, ClientError.TOKEN_EXPIRED},
        )

    def test_only_a_token_of_somebody_else_ends_a_connection_that_has_replies(self) -> None:
        self.assertEqual({error for error in ClientError if error.ends_connection}, {ClientError.TOKEN_MISMATCH})

    def test_close_code_is_one_of_our_own_and_never_one_for_another_purpose(self) -> None:
        for client_error in ClientError:
            self.assertGreaterEqual(client_error.disconnect.code, 4000, client_error)
            self.assertNotIn(
                client_error.disconnect, (Disconnect.RECONNECT, Disconnect.SLOW, Disconnect.GAP), client_error
            )

    def test_every_error_has_a_reason_of_its_own_that_can_be_a_metric_label(self) -> None:
        self.assertEqual(len(ClientError.__members__), len(list(ClientError)), "one is only another name of another")
        reasons = [client_error.reason for client_error in ClientError]
        self.assertEqual(len(set(reasons)), len(reasons))
        self.assertEqual([reason for reason in reasons if re.fullmatch(r"[a-z][a-z_]*", reason) is None], [])

    def test_every_text_is_one_paragraph_of_ascii_of_its_own(self) -> None:
        texts = [client_error.response.text for client_error in ClientError]
        self.assertEqual(len(set(texts)), len(texts))
        for text in texts:
            self.assertTrue(text.isascii() and text.isprintable() and text.endswith("."), text)

    def test_texts_have_no_place_for_input_of_a_client(self) -> None:
        for client_error in ClientError:
            self.assertNotRegex(client_error.response.text, r"%[sdr(]|\{\w*(![rsa])?(:[^}\"]*)?\}|\$\w|\$\{")

    def test_every_response_can_be_written_as_http(self) -> None:
        for client_error in ClientError:
            head, _, body = client_error.response.to_bytes().partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 %d " % client_error.response.status))
            lines = head.decode("ascii").split("\r\n")
            for name, value in client_error.response.headers:
                self.assertEqual(lines.count(f"{name}: {value}"), 1)
            self.assertEqual(body.decode("ascii"), client_error.response.text + "\n")

    def test_exception_carries_the_error_and_reads_like_its_reason(self) -> None:
        for client_error in ClientError:
            error = RejectedError(client_error)
            self.assertIs(error.client_error, client_error)
            self.assertEqual(str(error), client_error.reason)
