"""Tokens (JWT) for the clients of the benchmark, without a library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path

__all__ = ["SECRET", "write_tokens"]

SECRET = "a-secret-of-the-benchmark-that-is-long-enough"

_HOUR = 3600


def _part(document: bytes) -> bytes:
    return base64.urlsafe_b64encode(document).rstrip(b"=")


def _token(user: str, expires: int) -> str:
    head = _part(b'{"alg":"HS256","typ":"JWT"}')
    signed = head + b"." + _part(json.dumps({"sub": user, "exp": expires}).encode())
    return (signed + b"." + _part(hmac.digest(SECRET.encode(), signed, hashlib.sha256))).decode()


def write_tokens(path: Path, count: int) -> Path:
    """Write tokens of so many users, which are valid for an hour, one to a line; return the path."""
    expires = int(time.time()) + _HOUR
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{_token(f'user-{number}', expires)}\n" for number in range(count)))
    return path
