"""A message with fields of every kind, once for our library and once for Google's."""

from __future__ import annotations

from tests.support.google_protobuf import GoogleMessage
from wsrelay.core.wire.protobuf import Field, Kind, Schema, map_field

__all__ = ["EVERYTHING", "GOOGLE"]

_LEAF = Schema("Leaf", Field(1, "name", Kind.STRING), Field(2, "number", Kind.UINT32))
_BRANCH = Schema("Branch", Field(1, "leaf", Kind.MESSAGE, _LEAF), Field(2, "note", Kind.STRING))

EVERYTHING = Schema(
    "Everything",
    # Not in the order of their numbers, which is that of the bytes.
    Field(16, "branch", Kind.MESSAGE, _BRANCH),
    Field(1, "flag", Kind.BOOL),
    Field(2, "small", Kind.INT32),
    Field(3, "large", Kind.INT64),
    Field(4, "count", Kind.UINT32),
    Field(5, "offset", Kind.UINT64),
    Field(6, "text", Kind.STRING),
    Field(7, "data", Kind.BYTES),
    Field(8, "numbers", Kind.INT32, is_repeated=True),
    Field(9, "texts", Kind.STRING, is_repeated=True),
    Field(10, "branches", Kind.MESSAGE, _BRANCH, is_repeated=True),
    map_field(11, "tags", Kind.STRING),
    map_field(12, "blobs", Kind.BYTES),
    map_field(13, "counts", Kind.UINT32),
    map_field(14, "leaves", Kind.MESSAGE, _LEAF),
    Field(15, "empty", Kind.MESSAGE),
    Field(2000, "far", Kind.BOOL),
    Field(2001, "blocks", Kind.BYTES, is_repeated=True),
    map_field(2002, "flags", Kind.BOOL),
)

GOOGLE = GoogleMessage(
    """
    Empty
    Leaf       name:1:string number:2:uint32
    Branch     leaf:1:Leaf note:2:string
    Everything flag:1:bool small:2:int32 large:3:int64 count:4:uint32 offset:5:uint64 text:6:string data:7:bytes
               numbers:8:*int32 texts:9:*string branches:10:*Branch
               tags:11:{string} blobs:12:{bytes} counts:13:{uint32} leaves:14:{Leaf}
               empty:15:Empty branch:16:Branch far:2000:bool blocks:2001:*bytes flags:2002:{bool}
    """,
    "Everything",
)
