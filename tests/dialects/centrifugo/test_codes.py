"""Tests of `wsrelay.dialects.centrifugo.codes`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.dialects.centrifugo.codes import DISCONNECT_CODES, ERRORS, ErrorCode, error_code, unsubscribe_code

INTERNAL = ErrorCode(100, "internal server error", is_temporary=True)
DENIED = ErrorCode(103, "permission denied")
EXPIRED = ErrorCode(109, "token expired")

ERROR_TABLE = {
    ClientError.ORIGIN: DENIED,
    ClientError.ORIGIN_SCHEME: DENIED,
    ClientError.NO_ORIGIN: DENIED,
    ClientError.AMBIGUOUS: DENIED,
    ClientError.MALFORMED: DENIED,
    ClientError.NO_CREDENTIAL: DENIED,
    ClientError.TOO_LATE: DENIED,
    ClientError.TOKEN: DENIED,
    ClientError.TOKEN_CLAIMS: DENIED,
    ClientError.CHANNEL_TOKEN: DENIED,
    ClientError.TOKEN_MISMATCH: DENIED,
    ClientError.TOKEN_EXPIRED: EXPIRED,
    ClientError.TICKET: EXPIRED,
    ClientError.REVOKED: DENIED,
    ClientError.HOOK: DENIED,
    ClientError.API_KEY: DENIED,
    ClientError.UNKNOWN_CHANNEL: ErrorCode(102, "unknown channel"),
    ClientError.SUBSCRIBE_DENIED: DENIED,
    ClientError.CHANNEL_DENIED: DENIED,
    ClientError.PUBLISH_DENIED: DENIED,
    ClientError.REFRESH_EXPIRED: ErrorCode(110, "expired"),
    ClientError.ALREADY_SUBSCRIBED: ErrorCode(105, "already subscribed"),
    ClientError.TOO_MANY_CHANNELS: ErrorCode(106, "limit exceeded"),
    ClientError.UNRECOVERABLE: ErrorCode(112, "unrecoverable position"),
    ClientError.TOO_MANY_REQUESTS: ErrorCode(111, "too many requests", is_temporary=True),
    ClientError.BAD_REQUEST: ErrorCode(107, "bad request"),
    ClientError.NO_HISTORY: ErrorCode(108, "not available"),
    ClientError.NOT_SUPPORTED: ErrorCode(108, "not available"),
    ClientError.NOT_AVAILABLE: INTERNAL,
    ClientError.NOT_CHECKED: INTERNAL,
}
# The close code, and whether an SDK reconnects.
DISCONNECT_TABLE = {
    Disconnect.PROTOCOL_ERROR: (3501, False),
    Disconnect.INVALID_PAYLOAD: (3501, False),
    Disconnect.TOO_FAST: (3013, True),
    Disconnect.TOO_BIG: (1009, False),
    Disconnect.INTERNAL_ERROR: (3004, True),
    Disconnect.RESTART: (3001, True),
    Disconnect.TRY_AGAIN: (3004, True),
    Disconnect.SLOW: (3008, True),
    Disconnect.GAP: (3010, True),
    Disconnect.NOT_AVAILABLE: (3004, True),
    Disconnect.RECONNECT: (3011, True),
    Disconnect.DISABLED: (3001, True),
    Disconnect.CREDENTIAL: (3500, False),
    Disconnect.CREDENTIAL_EXPIRED: (3005, True),
    Disconnect.PUBLISH_DENIED: (3507, False),
    Disconnect.NOT_PERMITTED: (3507, False),
    Disconnect.REVOKED: (3503, False),
    Disconnect.BAD_REQUEST: (3501, False),
    Disconnect.STALE: (3502, False),
    Disconnect.NOT_SUPPORTED: (3508, False),
}


def sdk_reconnects(code: int) -> bool:
    """Return whether Centrifugo's SDKs reconnect after a close code."""
    return (code < 3500 and code != 1009) or 4000 <= code < 4500 or code >= 5000


class ErrorCodeTests(SynchronousTestCase):
    """The errors in replies."""

    def test_every_client_error_has_the_code_of_the_protocol(self) -> None:
        self.assertEqual({error: error_code(error) for error in ClientError}, ERROR_TABLE)

    def test_sdk_tries_again_where_the_client_error_is_temporary(self) -> None:
        for error in ClientError:
            self.assertEqual(error_code(error).is_temporary, error.is_temporary, error)

    def test_sdk_gets_a_new_credential_where_the_client_error_wants_one(self) -> None:
        for error in ClientError:
            self.assertEqual(error_code(error).code == 109, error.wants_new_credential, error)

    def test_a_code_has_one_text(self) -> None:
        codes = {error_code(error) for error in ClientError}
        self.assertEqual(len({each.code for each in codes}), len(codes))

    def test_table_holds_only_what_differs_from_the_rule(self) -> None:
        self.assertEqual([error for error, code in ERRORS.items() if code in (INTERNAL, DENIED)], [])


class DisconnectCodeTests(SynchronousTestCase):
    """The close codes."""

    def test_every_disconnect_has_the_code_of_the_protocol(self) -> None:
        self.assertEqual(DISCONNECT_CODES, {disconnect: code for disconnect, (code, _) in DISCONNECT_TABLE.items()})
        self.assertEqual(set(DISCONNECT_CODES), set(Disconnect))

    def test_sdk_reconnects_where_that_helps(self) -> None:
        self.assertEqual(
            {disconnect: sdk_reconnects(code) for disconnect, code in DISCONNECT_CODES.items()},
            {disconnect: reconnects for disconnect, (_, reconnects) in DISCONNECT_TABLE.items()},
        )

    def test_sdk_reconnects_wherever_the_table_says_so(self) -> None:
        """Also after an expiry, with a new token, and when it was too fast, after a while."""
        others = {Disconnect.CREDENTIAL_EXPIRED, Disconnect.TOO_FAST}
        for disconnect, code in DISCONNECT_CODES.items():
            self.assertEqual(sdk_reconnects(code), disconnect.reconnect or disconnect in others, disconnect)


class UnsubscribeCodeTests(SynchronousTestCase):
    """The codes with which a subscription ends."""

    def test_gap_makes_an_sdk_subscribe_again_and_the_application_does_not(self) -> None:
        self.assertEqual(
            [unsubscribe_code(disconnect) for disconnect in (Disconnect.GAP, Disconnect.REVOKED)], [2500, 2000]
        )

    def test_every_disconnect_has_a_code_and_sdk_subscribes_again_where_the_table_says_reconnect(self) -> None:
        for disconnect in Disconnect:
            code = unsubscribe_code(disconnect)
            self.assertTrue(2000 <= code < 3000)
            # What has expired, it gets anew.
            is_anew = disconnect is Disconnect.CREDENTIAL_EXPIRED
            self.assertEqual(code >= 2500, disconnect.reconnect or is_anew, disconnect)
