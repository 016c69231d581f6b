"""The Protobuf wire format, read and written by tables: messages as documents, which are plain dicts.

A field of a document has the name that the schema gives it. Its value is an int, bool, str or bytes, a dict for a
message or a map, a list where it is repeated. A field that a document does not have has its zero value.

The format is https://protobuf.dev/programming-guides/encoding/. Malformed is what Google's own reader refuses, and
groups, which nothing has written for many years.
"""

from wsrelay.core.wire.protobuf.reading import decode, read_block
from wsrelay.core.wire.protobuf.schema import Document, Field, Kind, Schema, map_field
from wsrelay.core.wire.protobuf.varints import write_varint
from wsrelay.core.wire.protobuf.writing import encode, write_block

__all__ = [
    "Document",
    "Field",
    "Kind",
    "Schema",
    "decode",
    "encode",
    "map_field",
    "read_block",
    "write_block",
    "write_varint",
]
