"""Tests of `wsrelay.core.outcomes.disconnects`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Close

from wsrelay.core.outcomes.disconnects import ApplicationDisconnect, Disconnect

REASONS = {
    "PROTOCOL_ERROR": "protocol error",
    "INVALID_PAYLOAD": "invalid UTF-8 in a text message",
    "TOO_FAST": "rate limit exceeded",
    "TOO_BIG": "message too big",
    "INTERNAL_ERROR": "internal error",
    "RESTART": "service restart",
    "TRY_AGAIN": "not published, try again later",
    "SLOW": "slow consumer, reconnect",
    "GAP": "possible message loss, reconnect",
    "NOT_AVAILABLE": "temporarily unavailable, reconnect",
    "RECONNECT": "reconnect",
    "DISABLED": "disabled, reconnect later",
    "CREDENTIAL": "invalid credential",
    "CREDENTIAL_EXPIRED": "credential expired",
    "PUBLISH_DENIED": "publishing not permitted",
    "NOT_PERMITTED": "channel not permitted",
    "REVOKED": "disconnected by the application",
    "BAD_REQUEST": "bad request",
    "STALE": "stale",
    "NOT_SUPPORTED": "not available",
}


class DisconnectTests(SynchronousTestCase):
    """The table of close codes, which clients are written against."""

    def test_codes_and_reconnecting_are_those_that_clients_are_written_against(self) -> None:
        self.assertEqual(
            {disconnect.name: (disconnect.code, disconnect.reconnect) for disconnect in Disconnect},
            {
                "PROTOCOL_ERROR": (1002, False),
                "INVALID_PAYLOAD": (1007, False),
                "TOO_FAST": (1008, False),
                "TOO_BIG": (1009, False),
                "INTERNAL_ERROR": (1011, True),
                "RESTART": (1012, True),
                "TRY_AGAIN": (1013, True),
                "SLOW": (4008, True),
                "GAP": (4010, True),
                "NOT_AVAILABLE": (4011, True),
                "RECONNECT": (4012, True),
                "DISABLED": (4013, True),
                "CREDENTIAL": (4501, False),
                "CREDENTIAL_EXPIRED": (4502, False),
                "PUBLISH_DENIED": (4503, False),
                "NOT_PERMITTED": (4504, False),
                "REVOKED": (4505, False),
                "BAD_REQUEST": (4506, False),
                "STALE": (4507, False),
                "NOT_SUPPORTED": (4508, False),
            },
        )

    def test_every_code_may_stand_in_a_close_frame(self) -> None:
        """RFC 6455 section 7.4."""
        for disconnect in Disconnect:
            Close(disconnect.code, disconnect.reason).check()

    def test_code_names_one_disconnect(self) -> None:
        self.assertEqual(len({disconnect.code for disconnect in Disconnect}), len(Disconnect))

    def test_own_codes_below_4500_mean_reconnect_and_others_do_not(self) -> None:
        own = [disconnect for disconnect in Disconnect if disconnect.code >= 3000]
        self.assertEqual(
            [disconnect.reconnect for disconnect in own], [4000 <= disconnect.code < 4500 for disconnect in own]
        )
        self.assertTrue(all(4000 <= disconnect.code < 5000 for disconnect in own))

    def test_reasons_are_those_that_clients_read(self) -> None:
        self.assertEqual({disconnect.name: disconnect.reason for disconnect in Disconnect}, REASONS)

    def test_every_reason_is_ascii_and_fits_into_a_close_frame(self) -> None:
        for disconnect in Disconnect:
            self.assertTrue(disconnect.reason.isascii())
            self.assertTrue(0 < len(disconnect.reason) <= 123, disconnect)

    def test_every_meaning_is_one_paragraph_that_ends_in_a_full_stop(self) -> None:
        for disconnect in Disconnect:
            self.assertTrue(disconnect.meaning.endswith("."), disconnect)
            self.assertNotIn("\n", disconnect.meaning)


class ApplicationDisconnectTests(SynchronousTestCase):
    """Codes of the application's own."""

    def test_lower_half_of_each_thousand_means_reconnect(self) -> None:
        codes = (3000, 3499, 3500, 3999, 4000, 4499, 4500, 4999)
        found = [ApplicationDisconnect(code, "").reconnect for code in codes]
        self.assertEqual(found, [True, True, False, False] * 2)
