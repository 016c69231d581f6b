"""Tests of `wsrelay.dialects.centrifugo.schema`."""

from __future__ import annotations

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from tests.dialects.centrifugo.protobuf_table import GOOGLE_COMMAND, GOOGLE_REPLY
from tests.support.google_protobuf import damaged, known_fields
from wsrelay.core.wire.protobuf import Document, decode, encode
from wsrelay.dialects.centrifugo.schema import COMMAND, REPLY


class SchemaTests(SynchronousTestCase):
    """The dialect's tables beside one of another library."""

    @given(GOOGLE_COMMAND.documents())
    def test_command_of_another_writer_is_read_without_what_is_left_out(self, document: Document) -> None:
        found = decode(COMMAND, GOOGLE_COMMAND.write(document))
        self.assertEqual(known_fields(COMMAND, found), known_fields(COMMAND, document))

    @given(GOOGLE_REPLY.documents())
    def test_reply_is_what_another_reader_finds(self, document: Document) -> None:
        reply = known_fields(REPLY, document)
        self.assertEqual(GOOGLE_REPLY.read(encode(REPLY, reply)), reply)

    @given(GOOGLE_REPLY.documents())
    def test_reply_of_another_writer_is_read_without_what_is_left_out(self, document: Document) -> None:
        found = decode(REPLY, GOOGLE_REPLY.write(document))
        self.assertEqual(known_fields(REPLY, found), known_fields(REPLY, document))

    @given(damaged(GOOGLE_COMMAND.documents().map(GOOGLE_COMMAND.write)))
    def test_damaged_command_is_what_another_reader_finds(self, data: bytes) -> None:
        expected = GOOGLE_COMMAND.read(data)
        try:
            found = decode(COMMAND, data)
        except ValueError as error:
            self.assertTrue(expected is None or "group" in str(error), error)
            return
        # Nothing looks into what is left out, where the other reader may find more to refuse.
        if expected is not None:
            self.assertEqual(known_fields(COMMAND, found), known_fields(COMMAND, expected))
