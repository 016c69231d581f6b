"""Tests of `wsrelay.core.wire.pem`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire.pem import PEMBlock, read_pem

ONE = b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----"
KEY = b"-----BEGIN EC PRIVATE KEY-----\nQUJD\n-----END EC PRIVATE KEY-----"


class ReadTests(SynchronousTestCase):
    """The blocks that are found in a text."""

    def test_blocks_are_found_in_their_order_and_by_label(self) -> None:
        text = read_pem(ONE + b"\n" + KEY + b"\n" + ONE)
        self.assertEqual([block.label for block in text.blocks], ["CERTIFICATE", "EC PRIVATE KEY", "CERTIFICATE"])
        self.assertEqual((text.labelled("CERTIFICATE"), text.labelled("x"), text.rest.strip()), ([ONE, ONE], [], b""))

    def test_text_around_blocks_is_of_any_encoding(self) -> None:
        for comment in (
            "# Főtanúsítvány".encode(),
            "# Zertifikat für Müller".encode("latin-1"),
            b"    Data:\n  1 (0x0)",
        ):
            for data in (comment + b"\n" + ONE, ONE + b"\n" + comment, ONE + b"\n" + comment + b"\n" + ONE):
                text = read_pem(data)
                self.assertEqual(set(text.labelled("CERTIFICATE")), {ONE}, comment)
                self.assertEqual(text.rest.strip(), comment.strip())

    def test_marks_and_line_ends_of_other_systems_are_accepted(self) -> None:
        self.assertEqual(read_pem(b"\xef\xbb\xbf" + ONE).labelled("CERTIFICATE"), [ONE])
        self.assertEqual(len(read_pem(ONE.replace(b"\n", b"\r\n")).blocks), 1)
        self.assertEqual(read_pem(ONE.decode().encode("utf-16")).labelled("CERTIFICATE"), [ONE])

    def test_old_label_counts_as_the_new_one(self) -> None:
        self.assertEqual(read_pem(ONE.replace(b" CERT", b" X509 CERT")).blocks, (PEMBlock("CERTIFICATE", ONE),))

    def test_block_without_its_end_goes_as_far_as_the_next_one(self) -> None:
        cut = ONE[:35]
        self.assertEqual([block.data for block in read_pem(cut + ONE).blocks], [cut, ONE])
        self.assertEqual([block.data for block in read_pem(cut).blocks], [cut])

    @given(st.binary())
    def test_any_data_is_read(self, data: bytes) -> None:
        read_pem(data)
        self.assertIn(ONE, read_pem(ONE + data).labelled("CERTIFICATE"))
