"""Reads messages. Whatever the bytes are, the time is proportional to their number and the error is a ValueError."""

from __future__ import annotations

from wsrelay.core.wire.protobuf.schema import BLOCK, FROM_VARINT, VARINT, ZERO, Document, Field, Kind, Schema
from wsrelay.core.wire.protobuf.varints import MASK_32, MAX_SHORT_BYTES, read_varint

__all__ = ["decode", "read_block"]

_FIXED_BYTES = {1: 8, 5: 4}
"""The sizes of fields by their wire types. No field that is read has one of these."""


def decode(schema: Schema, data: bytes) -> Document:
    """Read a message. Fields that are not in the data are not in the document.

    Of several values of one field the last counts, and several messages of one field are merged. A field of another
    wire type than its kind's is skipped, as one that is unknown.

    Raises:
        ValueError: The data is malformed.
    """
    document: Document = {}
    _read_message(schema, data, 0, len(data), document)
    return document


def read_block(data: bytes, at: int) -> tuple[bytes, int]:
    """Read bytes behind their length, as messages follow each other in a stream.

    Args:
        data: The stream.
        at: The index of the length.

    Returns:
        The bytes, and the index behind them.

    Raises:
        ValueError: The length is malformed, or is more than there is.
    """
    start, stop = _read_bounds(data, at, len(data))
    return data[start:stop], stop


def _read_message(schema: Schema, data: bytes, at: int, end: int, document: Document) -> None:
    """Read a message into a document, which may have fields already."""
    while at < end:
        tag, at = read_varint(data, at, end, MAX_SHORT_BYTES)
        field = schema.by_tag.get(tag)
        if field is None:
            at = _skip(tag, data, at, end)
        elif tag & 7 == VARINT:
            at = _read_number(field, data, at, end, document)
        else:
            at, stop = _read_bounds(data, at, end)
            _read_content(field, data, at, stop, document)
            at = stop


def _read_number(field: Field, data: bytes, at: int, end: int, document: Document) -> int:
    number, at = read_varint(data, at, end)
    _store(field, FROM_VARINT[field.kind](number), document)
    return at


def _read_content(field: Field, data: bytes, at: int, stop: int, document: Document) -> None:
    """Read the content of a block into a document."""
    if field.kind is Kind.STRING:
        _store(field, data[at:stop].decode(), document)
    elif field.kind is Kind.BYTES:
        _store(field, data[at:stop], document)
    elif field.kind is not Kind.MESSAGE:
        while at < stop:
            at = _read_number(field, data, at, stop, document)
    elif field.is_map:
        pair: Document = {}
        _read_message(field.message, data, at, stop, pair)
        if "value" not in pair:
            pair["value"] = ZERO[field.message.rows[1][2].kind]()
        document.setdefault(field.name, {})[pair.get("key", "")] = pair["value"]
    elif field.is_repeated:
        each: Document = {}
        _read_message(field.message, data, at, stop, each)
        _store(field, each, document)
    else:
        _read_message(field.message, data, at, stop, document.setdefault(field.name, {}))


def _store(field: Field, value: object, document: Document) -> None:
    if field.is_repeated:
        document.setdefault(field.name, []).append(value)
    else:
        document[field.name] = value


def _skip(tag: int, data: bytes, at: int, end: int) -> int:
    """Return the index behind a field that is unknown."""
    if not 8 <= tag <= MASK_32:
        raise ValueError("a field has a number that none can have")
    wire_type = tag & 7
    if wire_type == VARINT:
        return read_varint(data, at, end)[1]
    if wire_type == BLOCK:
        return _read_bounds(data, at, end)[1]
    size = _FIXED_BYTES.get(wire_type)
    if size is None:
        raise ValueError(f"a field has wire type {wire_type}: a group, or none at all")
    if size > end - at:
        raise ValueError("a field is cut short")
    return at + size


def _read_bounds(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Read a length, and return the indexes of the block behind it."""
    length, at = read_varint(data, at, end, MAX_SHORT_BYTES)
    if length > end - at:
        raise ValueError("a length is more than there is")
    return at, at + length
