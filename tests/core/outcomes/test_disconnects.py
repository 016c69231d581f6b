"""Tests of `wsrelay.core.outcomes.disconnects`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Close

from wsrelay.core.outcomes.disconnects import Disconnect


class ClosingTests(SynchronousTestCase):
    """The table of close codes, which clients are written against."""

    def test_codes(self) -> None:
        """The codes, and whether a client comes back by itself, are what clients know them to be."""
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
                "CREDENTIAL": (4501, False),
                "CREDENTIAL_EXPIRED": (4502, False),
                "PUBLISH_DENIED": (4503, False),
                "NOT_PERMITTED": (4504, False),
                "REVOKED": (4505, False),
            },
        )

    def test_codes_are_legal(self) -> None:
        """Every code may stand in a close frame (RFC 6455 section 7.4)."""
        for disconnect in Disconnect:
            Close(disconnect.code, disconnect.reason).check()

    def test_codes_are_unique(self) -> None:
        """A code names one closing."""
        self.assertEqual(len({disconnect.code for disconnect in Disconnect}), len(Disconnect))

    def test_private_codes_tell(self) -> None:
        """Of our own codes, 4000 to 4499 mean come back and 4500 to 4999 mean do not."""
        own = [disconnect for disconnect in Disconnect if disconnect.code >= 3000]
        self.assertEqual(
            [disconnect.reconnect for disconnect in own], [4000 <= disconnect.code < 4500 for disconnect in own]
        )
        self.assertTrue(all(4000 <= disconnect.code < 5000 for disconnect in own))

    def test_reasons_fit(self) -> None:
        """Every reason is plain ASCII, said, and fits into a control frame beside the code."""
        for disconnect in Disconnect:
            self.assertTrue(disconnect.reason.isascii())
            self.assertTrue(0 < len(disconnect.reason) <= 123, disconnect)

    def test_meaning(self) -> None:
        """Every closing is explained in one paragraph that ends in a full stop."""
        for disconnect in Disconnect:
            self.assertTrue(disconnect.meaning.endswith("."), disconnect)
            self.assertNotIn("\n", disconnect.meaning)
