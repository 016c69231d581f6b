"""Cross-origin requests (Fetch section 3.3): the header fields that let a page of another origin read a response."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["VARY", "cors_headers", "preflight_headers"]

VARY = ("Vary", "Origin")
"""For caches: the response depends on the origin, also where there is none."""

_REQUEST_HEADERS = "Authorization, Cache-Control, Content-Type, Last-Event-ID"
"""The header fields that pages may set beside those that they always may. A client that is made with `fetch` sends its
position and its credential itself, and some send Cache-Control."""

_MAX_AGE_SECONDS = 7200
"""How long a browser need not ask again. Chrome's own limit."""


def cors_headers(origin: str | None) -> tuple[tuple[str, str], ...]:
    """Return the header fields for a page whose origin has been checked.

    Args:
        origin: The page's origin. If None, or none at all, the fields name none.
    """
    # Any text is an origin where the operator allows all, and what is outside ASCII is none of a browser.
    if origin is None or not origin.isascii():
        return (VARY,)
    return (
        VARY,
        ("Access-Control-Allow-Origin", origin),
        # Cookies, too: never with `*` in the place of the origin.
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "X-Connection-Id"),
    )


def preflight_headers(origin: str, methods: Sequence[str] = ("GET",)) -> tuple[tuple[str, str], ...]:
    """Return the header fields of the answer to a browser that asks what such a page may send.

    Args:
        origin: The page's origin, which has been checked.
        methods: The methods that it may use.
    """
    return (
        *cors_headers(origin),
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Allow-Headers", _REQUEST_HEADERS),
        ("Access-Control-Max-Age", str(_MAX_AGE_SECONDS)),
    )
