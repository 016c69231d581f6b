"""Tests of wsrelay.core.wire.proxy_header."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.proxy_headers import INVALID, SIGNATURE_V2, VALID
from wsrelay.core.wire.proxy_header import read_proxy_header

BEGINNINGS = (b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE_V2, SIGNATURE_V2 + b"\x21\x11\0\x0c")


class ReadProxyHeaderTests(SynchronousTestCase):
    """Headers of both versions."""

    def test_incomplete_header_is_none_wherever_it_is_cut(self) -> None:
        for header in VALID:
            for cut in range(len(header)):
                self.assertIsNone(read_proxy_header(header[:cut]), header[:cut])

    def test_valid_header_gives_the_source_and_the_bytes_behind_it(self) -> None:
        for header, source in VALID.items():
            self.assertEqual(read_proxy_header(header), (source, b""))
            self.assertEqual(read_proxy_header(header + b"\r\nPROXY"), (source, b"\r\nPROXY"))

    def test_invalid_header_raises_as_soon_as_it_is_known(self) -> None:
        """A header that never ends is invalid as soon as it is too long."""
        for data in INVALID:
            self.assertRaises(ValueError, read_proxy_header, data)

    @given(st.sampled_from(BEGINNINGS), st.binary(max_size=120))
    def test_any_bytes_raise_nothing_but_value_error_and_are_bounded(self, beginning: bytes, rest: bytes) -> None:
        try:
            header = read_proxy_header(beginning + rest)
        except ValueError:
            return
        if header is None:
            data = beginning + rest
            self.assertTrue(data.startswith(SIGNATURE_V2) or len(data) < 107)
