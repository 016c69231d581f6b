"""Claims that hold data for clients: any JSON, or bytes in base64."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping

from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.core.wire.json_text import dump_json, embed_json

__all__ = ["MAX_PAYLOAD_BYTES", "read_payload"]

MAX_PAYLOAD_BYTES = 4096
"""The longest data in one claim, as compact JSON in UTF-8."""


def read_payload(claims: Mapping[str, object], name: str) -> bytes:
    """Read the data that a claim holds, as JSON on one line: dialects of JSON put it into their messages as it is.

    Args:
        claims: The claims: `name` is any JSON, ``b64`` and `name` is a text in base64 (RFC 4648 section 4) and goes
            before it. Either may be missing or null. What is no JSON in base64 becomes a JSON string.
        name: The name of the claim.

    Returns:
        The data; empty if there is none.

    Raises:
        ClaimError: It is too long, or not base64, or holds a number that JSON has no form for.
    """
    encoded = claims.get(f"b64{name}")
    try:
        if encoded in (None, ""):
            document = claims.get(name)
            data = b"" if document is None else dump_json(document)
        elif isinstance(encoded, str):
            data = embed_json(b64decode(encoded, validate=True))
        else:
            raise ClaimError(f"b64{name} must be a text in base64")
    except ValueError:
        problem = f"{name} must be JSON" if encoded in (None, "") else f"b64{name} must be a text in base64"
        raise ClaimError(problem) from None
    if len(data) > MAX_PAYLOAD_BYTES:
        raise ClaimError(f"{name} must have at most {MAX_PAYLOAD_BYTES} bytes as JSON")
    return data
