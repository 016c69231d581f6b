"""Reads the fields of a request to an API method. A field that is null counts as absent, as in Centrifugo's API."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from wsrelay.core.history.publication_fields import write_tags
from wsrelay.core.wire.json_text import dump_json
from wsrelay.web.api.method_errors import BAD_REQUEST, NOT_AVAILABLE, MethodError

__all__ = ["MAX_BROADCAST_CHANNELS", "Fields"]

MAX_BROADCAST_CHANNELS = 1000
"""The most channels that one broadcast goes to."""


class Fields:
    """The fields of one request. What cannot be used raises a `MethodError` that names the field.

    Args:
        document: The request.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def __contains__(self, name: str) -> bool:
        return self._document.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text.

        Args:
            name: The field's name.
            default: What stands for a field that is absent. If None, it must be there, and not be empty.
        """
        value = self._document.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (default is None and not value):
            raise MethodError(BAD_REQUEST, f"{name} must be a text{'' if default is not None else ' and not be empty'}")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; False if it is absent."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, bool):
            raise MethodError(BAD_REQUEST, f"{name} must be true or false")
        return value is True

    def integer(self, name: str, least: int, most: int) -> int:
        """Return a whole number; 0 if it is absent."""
        value = self._document.get(name)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise MethodError(BAD_REQUEST, f"{name} must be a whole number from {least} to {most}")
        return value

    def present(self, *names: str) -> dict[str, Any]:
        """Return those of some fields that are there, as they are."""
        return {name: self._document[name] for name in names if name in self}

    def document(self, name: str) -> Fields | None:
        """Return the fields of an object; None if it is absent."""
        value = self._document.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise MethodError(BAD_REQUEST, f"{name} must be an object")
        return Fields(value)

    def texts(self, name: str, most: int) -> list[str]:
        """Return a list of texts; an empty one if it is absent."""
        value = self._document.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most or not all(isinstance(each, str) for each in value):
            raise MethodError(BAD_REQUEST, f"{name} must be a list of at most {most} texts")
        return value

    def items(self, name: str, most: int) -> list[Any]:
        """Return a list of anything, which must be there."""
        value = self._document.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise MethodError(BAD_REQUEST, f"{name} must be a list of at most {most}")
        return value

    def tags(self) -> bytes:
        """Return the tags of a message, as its entry has them; empty if it has none."""
        value = self._document.get("tags")
        return b"" if value is None else write_tags(value)

    def payload(self) -> bytes:
        """Return the message that `data` or `b64data` is, and reject what would have to change its meaning."""
        self.flag("delta")
        if self._document.get("version") or self._document.get("version_epoch"):
            raise MethodError(NOT_AVAILABLE, "version is not offered: publications are ordered by their stream")
        encoded = self.text("b64data", "")
        if encoded:
            try:
                return b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                raise MethodError(BAD_REQUEST, "b64data must be Base64 (RFC 4648 section 4)") from None
        if "data" not in self._document:
            raise MethodError(BAD_REQUEST, "data or b64data is missing")
        try:
            return dump_json(self._document["data"])
        except ValueError:
            raise MethodError(BAD_REQUEST, "data has a number that is too large, or is nested too deeply") from None
