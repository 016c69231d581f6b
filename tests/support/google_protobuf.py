"""Google's Protobuf library beside ours: messages of a table, as documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from wsrelay.core.wire.protobuf import Document, Kind, Schema

__all__ = ["GoogleMessage", "damaged", "known_fields"]

_FieldType = descriptor_pb2.FieldDescriptorProto

_MAX_DEPTH = 5


class GoogleMessage:
    """One message of a table.

    Args:
        table: For each message its name, and `field:number:type` for each of its fields. A type is that of a scalar or
            the name of a message, `*type` a list of it, `{type}` a map by texts.
        name: The message's name.
    """

    def __init__(self, table: str, name: str) -> None:
        file = descriptor_pb2.FileDescriptorProto(name="table.proto", package="table", syntax="proto3")
        for word in table.split():
            if ":" in word:
                _add_field(file.message_type[-1], *word.split(":"))
            else:
                file.message_type.add(name=word)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        self._class = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"table.{name}"))

    def read(self, data: bytes) -> Document | None:
        """Return a document with all fields that are not zero. None if the data is malformed."""
        try:
            return _document(self._class.FromString(data))
        except DecodeError:
            return None

    def write(self, document: Document) -> bytes:
        """Return a message, with its fields in the order of their numbers."""
        message = self._class()
        _fill(message, document)
        data: bytes = message.SerializeToString(deterministic=True)
        return data

    def documents(self) -> st.SearchStrategy[Document]:
        """Return any documents."""
        return _documents(self._class.DESCRIPTOR, 0)


def damaged(data: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return data that has been cut, and of which a few bytes have been replaced, removed or put in."""
    byte = st.one_of(st.integers(0, 255), st.sampled_from((0, 0x7F, 0x80, 0xFF)))
    change = st.tuples(st.integers(0, 200), st.integers(0, 1), st.lists(byte, max_size=2))

    def apply(whole: bytes, changes: list[tuple[int, int, list[int]]], end: int) -> bytes:
        for at, removed, inserted in changes:
            place = at % (len(whole) + 1)
            whole = whole[:place] + bytes(inserted) + whole[place + removed :]
        return whole[: len(whole) - end]

    return st.builds(apply, data, st.lists(change, max_size=3), st.sampled_from((0, 0, 0, 1, 2, 5)))


def known_fields(schema: Schema, document: Mapping[str, Any]) -> Document:
    """Return the fields of a document that a schema has, without those that are zero."""
    known: Document = {}
    for name, _, field in schema.rows:
        value = document.get(name)
        if value is None:
            continue
        if field.is_map:
            each_field = field.message.rows[1][2]
            if each_field.kind is Kind.MESSAGE:
                value = {key: known_fields(each_field.message, each) for key, each in value.items()}
        elif field.is_repeated and field.kind is Kind.MESSAGE:
            value = [known_fields(field.message, each) for each in value]
        elif field.kind is Kind.MESSAGE:
            known[name] = known_fields(field.message, value)
            continue
        if value:
            known[name] = value
    return known


def _add_field(message: Any, name: str, number: str, type_name: str) -> None:
    field = message.field.add(name=name, number=int(number), label=_FieldType.LABEL_OPTIONAL)
    if type_name.startswith("{"):
        pair_name = "".join(word.capitalize() for word in name.split("_")) + "Entry"
        pair = message.nested_type.add(name=pair_name)
        pair.options.map_entry = True
        _add_field(pair, "key", "1", "string")
        _add_field(pair, "value", "2", type_name[1:-1])
        type_name = f"*{message.name}.{pair_name}"
    if type_name.startswith("*"):
        field.label = _FieldType.LABEL_REPEATED
        type_name = type_name[1:]
    if type_name[0].isupper():
        field.type, field.type_name = _FieldType.TYPE_MESSAGE, f".table.{type_name}"
    else:
        field.type = _FieldType.Type.Value(f"TYPE_{type_name.upper()}")


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _document(message: Any) -> Document:
    document: Document = {}
    for field, value in message.ListFields():
        if _is_map(field):
            is_message = field.message_type.fields_by_name["value"].message_type is not None
            document[field.name] = {key: _document(each) if is_message else each for key, each in value.items()}
        elif field.message_type is None:
            document[field.name] = list(value) if field.is_repeated else value
        else:
            document[field.name] = [_document(each) for each in value] if field.is_repeated else _document(value)
    return document


def _fill(message: Any, document: Document) -> None:
    for name, value in document.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        target = getattr(message, name)
        if _is_map(field):
            for key, each in value.items():
                if field.message_type.fields_by_name["value"].message_type is None:
                    target[key] = each
                else:
                    target[key].SetInParent()
                    _fill(target[key], each)
        elif field.message_type is None:
            if field.is_repeated:
                target.extend(value)
            else:
                setattr(message, name, value)
        elif field.is_repeated:
            for each in value:
                _fill(target.add(), each)
        else:
            target.SetInParent()
            _fill(target, value)


_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "BOOL": st.booleans(),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "SINT64": st.integers(-(2**63), 2**63 - 1),
    "UINT32": st.integers(0, 2**32 - 1),
    "UINT64": st.integers(0, 2**64 - 1),
    "FIXED32": st.integers(0, 2**32 - 1),
    "FIXED64": st.integers(0, 2**64 - 1),
    "STRING": st.text(max_size=8),
    "BYTES": st.one_of(st.binary(max_size=8), st.integers(120, 300).map(bytes)),
}


@st.composite
def _documents(draw: st.DrawFn, descriptor: Any, depth: int) -> Document:
    fields = [each for each in descriptor.fields if depth < _MAX_DEPTH or each.message_type is None]
    if not fields:
        return {}
    chosen = draw(st.lists(st.sampled_from(fields), max_size=4, unique_by=lambda each: each.name))
    return {each.name: draw(_values(each, depth)) for each in chosen}


def _values(field: Any, depth: int) -> st.SearchStrategy[Any]:
    if _is_map(field):
        return st.dictionaries(st.text(max_size=5), _one(field.message_type.fields_by_name["value"], depth), max_size=3)
    return st.lists(_one(field, depth), max_size=3) if field.is_repeated else _one(field, depth)


def _one(field: Any, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _documents(field.message_type, depth + 1)
    return _SCALARS[_FieldType.Type.Name(field.type).removeprefix("TYPE_")]
