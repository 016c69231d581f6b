"""Tests of `wsrelay.core.outcomes.disconnects`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Close

from wsrelay.core.outcomes.disconnects import Closing


class ClosingTests(SynchronousTestCase):
    """The table of close codes, which clients are written against."""

    def test_codes(self) -> None:
        """The codes, and whether a client comes back by itself, are what clients know them to be."""
        self.assertEqual(
            {closing.name: (closing.code, closing.reconnect) for closing in Closing},
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
        for closing in Closing:
            Close(closing.code, closing.reason).check()

    def test_codes_are_unique(self) -> None:
        """A code names one closing."""
        self.assertEqual(len({closing.code for closing in Closing}), len(Closing))

    def test_private_codes_tell(self) -> None:
        """Of our own codes, 4000 to 4499 mean come back and 4500 to 4999 mean do not."""
        own = [closing for closing in Closing if closing.code >= 3000]
        self.assertEqual([closing.reconnect for closing in own], [4000 <= closing.code < 4500 for closing in own])
        self.assertTrue(all(4000 <= closing.code < 5000 for closing in own))

    def test_reasons_fit(self) -> None:
        """Every reason is plain ASCII, said, and fits into a control frame beside the code."""
        for closing in Closing:
            self.assertTrue(closing.reason.isascii())
            self.assertTrue(0 < len(closing.reason) <= 123, closing)

    def test_meaning(self) -> None:
        """Every closing is explained in one paragraph that ends in a full stop."""
        for closing in Closing:
            self.assertTrue(closing.meaning.endswith("."), closing)
            self.assertNotIn("\n", closing.meaning)
