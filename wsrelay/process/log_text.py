"""The texts of the log: printable characters, and no credential.

Texts that clients chose end up in a log: a path, an origin, the name of a channel. A line feed in one of them would
forge a line, an escape sequence would drive the terminal of the reader. The code that logs leaves credentials out; this
is the net below it, for texts of libraries and exceptions.
"""

from __future__ import annotations

import re

__all__ = ["MASK", "printable", "without_credentials"]

MASK = "***"
"""The text in place of a credential."""

# No pattern may take a time that grows with the square of the text: repetitions that others can begin at any character
# of have a bound.

_REDIS_URL = re.compile(r"((?:rediss?|valkeys?|unix)://)(?!(?:user)?:password@)[^\s\"']{0,300}@", re.IGNORECASE)
"""The user information of a Redis URL, up to the last @: passwords contain slashes that should have been escaped.
Texts of the relay show how such a URL is written."""

_URL = re.compile(r"(://)(?!(?:user)?:password@)[^\s/?#@\"':]{0,300}(?::[^\s/?#@\"']{0,300})?@")

_PARAMETER = re.compile(
    r"\b((?:[a-z]{1,20}_)?(?:ticket|token|jwt|password|passwd|secret|api_?key)=)[^\s&\"'\])},;<]+", re.IGNORECASE
)
"""A parameter of a query or of a form."""

_FIELD = re.compile(
    r"\b((?:proxy-)?authorization|x-api-key)(['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|apikey)\s+)?)[\w.~+/=-]{8,}",
    re.IGNORECASE,
)
"""A header field with a credential."""

_COOKIES = re.compile(r"\b(cookie)(['\"]?\s*[:=]\s*['\"]?)[^\s=;:]{1,100}=[^\r\n]+", re.IGNORECASE)
"""A header field with cookies, up to the end of its line."""

_SCHEME = re.compile(r"\b(bearer|apikey)(\s+)[\w.~+/=-]{16,}", re.IGNORECASE)

_JSON_WEB_TOKEN = re.compile(r"\beyJ[\w-]{8,300}\.[\w-]*(?:\.[\w-]*){0,3}")

_SIGNS = re.compile(r"://|=|eyJ|authorization|api-?key|cookie|bearer", re.IGNORECASE)
"""Each text with a credential has one of these. Most lines have none, and cost one search."""


def printable(text: str) -> str:
    """Return a text with escapes in place of the characters that are not printable: one line, whatever it was."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def without_credentials(text: str) -> str:
    """Return a text with a mask in place of what looks like a credential."""
    if _SIGNS.search(text) is None:
        return text
    text = _REDIS_URL.sub(rf"\1{MASK}@", text)
    text = _URL.sub(rf"\1{MASK}@", text)
    text = _JSON_WEB_TOKEN.sub(MASK, text)
    text = _PARAMETER.sub(rf"\1{MASK}", text)
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _FIELD.sub(rf"\1\2{MASK}", text)
    return _COOKIES.sub(rf"\1\2{MASK}", text)
