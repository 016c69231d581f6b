"""JSON as every parser reads it: without NaN, without Infinity, in UTF-8 and on one line.

Python's own reads and writes more than that, and takes bytes for UTF-16 if they look like it.
"""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["dump_json", "embed_json", "is_json", "parse_json", "parse_json_at"]


_WHITE_SPACE = " \t\n\r"

_MAKE = getattr(json.encoder, "c_make_encoder", None)


def parse_json(text: str | bytes) -> object:
    """Return the document of a JSON text, which is in UTF-8 if it is bytes.

    Raises:
        ValueError: It is none, or it is nested too deeply or has a number too long to be read.
    """
    if isinstance(text, bytes):
        text = text.decode()
    try:
        if text[:1] not in _WHITE_SPACE:
            # As `decode` does, without looking for white space around it that is hardly ever there.
            document: object
            document, end = _DECODER.raw_decode(text)
            if end == len(text):
                return document
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_json_at(text: str, start: int) -> tuple[object, int]:
    """Return the document that begins at an index of a text, and the index behind it.

    Raises:
        ValueError: There is none, or it is as for `parse_json`.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dump_json(document: object) -> bytes:
    """Return a document as compact JSON on one line.

    Raises:
        ValueError: It holds a number that JSON has no form for, as of ``1e999``, or is nested too deeply.
        TypeError: It holds bytes.
    """
    try:
        return _encode(document).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can spell and UTF-8 cannot.
        return _ASCII_ENCODER.encode(document).encode("ascii")
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_json(data: bytes) -> bool:
    """Return whether data is a JSON text."""
    try:
        parse_json(data)
    except ValueError:
        return False
    return True


def embed_json(data: bytes) -> bytes:
    """Return data as JSON on one line: as it is, if it is that, else as a JSON string."""
    if not is_json(data):
        return dump_json(data.decode("utf-8", "replace"))
    # A line feed ends the object for an SDK. JSON has line breaks between tokens only, where a space is as good.
    return data.replace(b"\n", b" ").replace(b"\r", b" ")


def _bind_encoder(encoder: json.JSONEncoder, make: Any = _MAKE) -> Callable[[object], str]:
    """Return what encodes a document, as `encode` of the encoder does.

    That makes a function in C for each document, which costs three times as much as writing a short one.

    Args:
        encoder: The encoder. What it cannot write by itself it rejects.
        make: Makes that function, as of the standard library of CPython. If None, there is none.
    """
    try:
        # No table of what has been seen: no document of ours holds itself.
        chunks: Callable[[object, int], Iterable[str]] = make(
            None,
            encoder.default,
            json.encoder.encode_basestring,
            None,
            encoder.key_separator,
            encoder.item_separator,
            encoder.sort_keys,
            encoder.skipkeys,
            encoder.allow_nan,
        )
    except TypeError:
        return encoder.encode
    return lambda document: "".join(chunks(document, 0))


def _reject_constant(name: str) -> float:
    raise ValueError(name)


# Made once: `json.loads` with any option makes one each time, which costs more than reading a short text; `json.dumps`
# does the same.
_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_ASCII_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_encode = _bind_encoder(_ENCODER)
