"""Writes messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsrelay.core.wire.protobuf.schema import FROM_VARINT, Field, Kind, Schema
from wsrelay.core.wire.protobuf.varints import MASK_64, write_varint

__all__ = ["encode", "write_block"]


def encode(schema: Schema, document: Mapping[str, Any]) -> bytes:
    """Write a message: its fields in the order of their numbers, without those that are zero.

    A message in it is written even if it is empty. Half of a surrogate pair in a text, for which UTF-8 has no form,
    becomes a question mark.

    Raises:
        ValueError: The document has a field that the schema has not, or a number that its field cannot hold.
    """
    parts: list[bytes] = []
    known = 0
    for name, tag, field in schema.rows:
        if name not in document:
            continue
        known += 1
        value = document[name]
        if field.is_map:
            parts += [tag + write_block(_pair(field.message, *each)) for each in value.items()]
        elif field.is_repeated:
            parts += [tag + _value(field, each) for each in value]
        elif value or field.kind is Kind.MESSAGE:
            parts.append(tag + _value(field, value))
    if known < len(document):
        unknown = document.keys() - {name for name, _, _ in schema.rows}
        raise ValueError(f"{schema.name} has no field {', '.join(sorted(unknown))}")
    return b"".join(parts)


def write_block(data: bytes) -> bytes:
    """Return bytes behind their length."""
    return write_varint(len(data)) + data


def _pair(schema: Schema, *pair: Any) -> bytes:
    """Return the key and the value of an entry. Zeros are written too: others do so, and readers may rely on it."""
    return b"".join([tag + _value(field, each) for (_, tag, field), each in zip(schema.rows, pair, strict=True)])


def _value(field: Field, value: Any) -> bytes:
    """Return a value as it stands behind its field's tag."""
    if field.kind is Kind.STRING:
        return write_block(value.encode("utf-8", "replace"))
    if field.kind is Kind.BYTES:
        return write_block(value)
    if field.kind is Kind.MESSAGE:
        return write_block(encode(field.message, value))
    number: int = value & MASK_64
    if FROM_VARINT[field.kind](number) != value:
        raise ValueError(f"{field.name} cannot be {value}")
    return write_varint(number)
