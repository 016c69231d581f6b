"""Schemas: the fields of messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from wsrelay.core.wire.protobuf.varints import MASK_32, MASK_64, signed, write_varint

__all__ = ["BLOCK", "FROM_VARINT", "VARINT", "ZERO", "Document", "Field", "Kind", "Schema", "map_field"]

Document: TypeAlias = dict[str, Any]
"""A message."""

VARINT = 0
"""The wire type of numbers."""

BLOCK = 2
"""The wire type of bytes behind their length, which are texts and messages too."""


class Kind(Enum):
    """The types of fields that there are here."""

    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    UINT32 = "uint32"
    UINT64 = "uint64"
    STRING = "string"
    BYTES = "bytes"
    MESSAGE = "message"


FROM_VARINT: dict[Kind, Callable[[int], int]] = {
    Kind.BOOL: bool,
    Kind.INT32: lambda number: signed(number, 32),
    Kind.INT64: lambda number: signed(number, 64),
    Kind.UINT32: lambda number: number & MASK_32,
    Kind.UINT64: lambda number: number & MASK_64,
}
"""The values of the kinds that are varints, by the varint. Bits that a kind has no room for are dropped."""

ZERO: dict[Kind, Callable[[], object]] = {
    **dict.fromkeys(FROM_VARINT, int),
    Kind.BOOL: bool,
    Kind.STRING: str,
    Kind.BYTES: bytes,
    Kind.MESSAGE: dict,
}
"""The functions that make the value of a field that is absent."""


class Schema:
    """The fields of one message. All others are skipped in what is read, and refused in what is written.

    Args:
        name: The message's name, for error texts.
        *fields: Its fields.

    Attributes:
        name: The name.
        rows: The name, the tag and the rest of each field, in the order of their numbers.
        by_tag: The fields by the tags with which they may come.
    """

    __slots__ = ("by_tag", "name", "rows")

    def __init__(self, name: str, *fields: Field) -> None:
        ordered = sorted(fields, key=lambda each: each.number)
        self.name = name
        self.rows = tuple((each.name, write_varint(_tag(each)), each) for each in ordered)
        # Numbers of a list may come one by one or packed, in one block.
        packed = {each.number << 3 | BLOCK: each for each in ordered if each.is_repeated}
        self.by_tag = {_tag(each): each for each in ordered} | packed


_NO_FIELDS = Schema("the empty message")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message.

    Attributes:
        number: Its number, from 1 on.
        name: Its name in documents.
        kind: Its type.
        message: The schema of the messages that it holds, if it is of that kind. A schema is made before the fields
            that name it, so that none contains itself, and what is read is nested no deeper than the schema.
        is_repeated: Whether it is a list.
        is_map: Whether it is a dict; see `map_field`.
    """

    number: int
    name: str
    kind: Kind
    message: Schema = _NO_FIELDS
    is_repeated: bool = False
    is_map: bool = False


def map_field(number: int, name: str, kind: Kind, message: Schema = _NO_FIELDS) -> Field:
    """Return the field of a map from texts to values of a kind. On the wire it is a list of pairs."""
    pair = Schema(name, Field(1, "key", Kind.STRING), Field(2, "value", kind, message))
    return Field(number, name, Kind.MESSAGE, pair, is_map=True)


def _tag(field: Field) -> int:
    return field.number << 3 | (VARINT if field.kind in FROM_VARINT else BLOCK)
