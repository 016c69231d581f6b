"""Tests of wsrelay.core.wire.deflate_offers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire.deflate_offers import acceptable_offer

PLAIN = b"permessage-deflate"


class AcceptableOfferTests(SynchronousTestCase):
    """`acceptable_offer`."""

    def assert_offers(self, expected: bytes | None, *texts: bytes) -> None:
        """Assert what becomes of each of some values of the field."""
        self.assertEqual({text: acceptable_offer([text]) for text in texts}, dict.fromkeys(texts, expected))

    def test_offer_with_the_parameters_of_the_standard_is_accepted(self) -> None:
        self.assert_offers(
            PLAIN,
            PLAIN,
            b" permessage-deflate ; client_max_window_bits ",
            b"permessage-deflate; client_max_window_bits=8",
            b'permessage-deflate; client_max_window_bits="15"',
            b"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        )

    def test_window_of_the_server_that_is_large_enough_is_repeated(self) -> None:
        """The answer has to hold it (RFC 7692 section 7.1.2.1)."""
        for bits in (b"12", b"15"):
            self.assert_offers(PLAIN + b"; server_max_window_bits=" + bits, PLAIN + b"; server_max_window_bits=" + bits)

    def test_window_of_the_server_that_is_too_small_is_declined(self) -> None:
        """A message is compressed once for all clients, with a larger window."""
        self.assert_offers(None, *(b"permessage-deflate; server_max_window_bits=%d" % bits for bits in range(8, 12)))

    def test_odd_offer_is_declined(self) -> None:
        self.assert_offers(
            None,
            b"",
            b",",
            b"permessage-deflate;",
            b"permessage-deflate;;",
            b"permessage-deflate; x=1",
            b"permessage-deflate x",
            b"permessage-deflate; client_no_context_takeover=1",
            b"permessage-deflate; server_no_context_takeover=1",
            b"permessage-deflate; server_max_window_bits",
            b"permessage-deflate; server_max_window_bits=16",
            b"permessage-deflate; server_max_window_bits=012",
            b"permessage-deflate; client_max_window_bits=7",
            b"permessage-deflate; client_max_window_bits; client_max_window_bits",
            b'permessage-deflate; client_max_window_bits="15',
            b"Permessage-Deflate",
            b"permessage-bzip2",
            b"x-webkit-deflate-frame",
        )

    def test_next_offer_is_looked_at_when_one_is_declined(self) -> None:
        self.assert_offers(
            PLAIN,
            b"permessage-deflate; use_y=1, permessage-deflate",
            b"permessage-deflate; server_max_window_bits=10, permessage-deflate",
            b"foo; bar=1, permessage-deflate",
        )
        self.assertEqual(acceptable_offer([b"foo", b"permessage-deflate"]), PLAIN)
        self.assertIsNone(acceptable_offer([]))

    def test_client_that_is_known_to_break_what_it_agrees_to_is_declined(self) -> None:
        """Safari compresses with context although client_no_context_takeover was agreed on."""
        webkit = b"Mozilla/5.0 (%b) AppleWebKit/605.1.15 (KHTML, like Gecko) %b"
        for agent in (
            webkit % (b"Macintosh; Intel Mac OS X 10_15_7", b"Version/16.5 Safari/605.1.15"),
            webkit % (b"iPhone; CPU iPhone OS 15_0 like Mac OS X", b"CriOS/94.0 Mobile/15E148 Safari/604.1"),
            webkit % (b"iPhone; CPU iPhone OS 15_0 like Mac OS X", b"Mobile/15E148"),
            b"App/1 CFNetwork/1333.0.4 Darwin/21.5.0",
        ):
            self.assertIsNone(acceptable_offer([PLAIN], agent), agent)
        for agent in (
            webkit % (b"X11; Linux x86_64", b"Chrome/126.0.0.0 Safari/537.36"),
            webkit % (b"X11; Linux x86_64", b"Chromium/126.0.0.0 Safari/537.36"),
            webkit % (b"X11; Linux x86_64", b"HeadlessChrome/126.0.0.0 Safari/537.36"),
            webkit % (b"Windows NT 10.0", b"Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0"),
            b"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            b"",
        ):
            self.assertEqual(acceptable_offer([PLAIN], agent), PLAIN, agent)

    @given(st.text('permsag-dfl;=, \\t"_contkvwib1258x', max_size=200))
    def test_any_field_is_answered_with_an_offer_or_none(self, text: str) -> None:
        self.assertIn((acceptable_offer([text.encode()]) or PLAIN)[: len(PLAIN)], (PLAIN,))
