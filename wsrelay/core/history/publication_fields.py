"""The fields of an entry beside its payload: the client that published it, and the tags that the application gave it.

Both are JSON in fields of the entry, which any program may add. What has another form, or is too long, counts as
absent: a program may mean something else by it.
"""

from __future__ import annotations

from typing import TypeGuard

from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.core.presence.member import Member, member_of_document
from wsrelay.core.wire.json_text import dump_json, parse_json

__all__ = ["MAX_FIELD_BYTES", "MAX_TAGS", "MAX_TAG_CHARACTERS", "read_publisher", "read_tags", "write_tags"]

MAX_FIELD_BYTES = 16384
"""The longest text of either field that is read."""

MAX_TAGS = 32
"""The most tags of one publication."""

MAX_TAG_CHARACTERS = 256
"""The longest name, and the longest value, of a tag."""


def write_tags(tags: object) -> bytes:
    """Return the text for the field `TAGS_FIELD`; empty if there are none.

    Raises:
        ClaimError: They are no texts by their names, or too many, or too long.
    """
    if not _are_tags(tags):
        raise ClaimError(f"tags must be an object of at most {MAX_TAGS} texts of {MAX_TAG_CHARACTERS} characters")
    text = dump_json(tags) if tags else b""
    if len(text) > MAX_FIELD_BYTES:
        raise ClaimError(f"tags must have at most {MAX_FIELD_BYTES} bytes as JSON")
    return text


def read_tags(text: bytes | None) -> dict[str, str] | None:
    """Read the tags of a publication. None if there are none."""
    tags = _read(text)
    return tags if tags and _are_tags(tags) else None


def read_publisher(text: bytes | None) -> Member | None:
    """Read the client that published. None if none is named."""
    found = _read(text)
    return None if found is None else member_of_document({"user": "", "client": "", **found})


def _read(text: bytes | None) -> dict[str, object] | None:
    if text is None or len(text) > MAX_FIELD_BYTES:
        return None
    try:
        found = parse_json(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _are_tags(value: object) -> TypeGuard[dict[str, str]]:
    return isinstance(value, dict) and len(value) <= MAX_TAGS and all(map(_is_tag, (*value, *value.values())))


def _is_tag(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TAG_CHARACTERS
