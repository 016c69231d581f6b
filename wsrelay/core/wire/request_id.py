"""The id that a router in front of the relay has given a request, for its log and ours."""

from __future__ import annotations

import re

__all__ = ["request_id"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:+/=@-]{1,200}")
"""Such as Heroku makes, or accepts from a client (20 to 200 characters), and any other UUID, hexadecimal number or
base64 text."""


def request_id(text: str) -> str:
    """Return the value of an X-Request-Id field; empty if it is nothing that a router would make."""
    return text if _REQUEST_ID.fullmatch(text) is not None else ""
