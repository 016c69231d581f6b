"""The handshake that a client would send to the address of a plain HTTP request."""

from __future__ import annotations

from urllib.parse import urlsplit

from twisted.web.server import Request

from wsrelay.core.access.client_address import client_is_secure
from wsrelay.core.wire.handshake import Handshake

__all__ = ["plain_handshake"]


def plain_handshake(request: Request, trusted_proxies: int) -> Handshake:
    """Return the handshake that the client would send to the address of its request.

    Args:
        request: The request.
        trusted_proxies: How many proxies in front of the relay append to X-Forwarded-Proto.
    """
    path, _, query = request.uri.decode("latin-1").partition("?")
    return Handshake(
        path,
        peer="",
        query=query,
        origin=_joined(request, "origin") or _origin_of_script(request),
        host=_joined(request, "host") or "",
        authorization=_joined(request, "authorization") or "",
        cookie=_joined(request, "cookie", "; ") or "",
        is_secure=client_is_secure(request.isSecure(), _joined(request, "x-forwarded-proto") or "", trusted_proxies),
    )


def _joined(request: Request, name: str, separator: str = ",") -> str | None:
    values = request.requestHeaders.getRawHeaders(name.encode())
    return None if values is None else separator.join(value.decode("latin-1") for value in values)


def _origin_of_script(request: Request) -> str | None:
    """Return the origin of the page whose script makes a request.

    Browsers send no Origin with a GET to the page's own host, as they do with every handshake (Fetch, section 3.2). A
    script that sets `referrerPolicy: "origin"` sends it in Referer. A link's Referer says where the visitor comes from,
    which is no page that connects.
    """
    referer = _joined(request, "referer")
    if referer is None or _joined(request, "sec-fetch-mode") == "navigate":
        return None
    try:
        parts = urlsplit(referer)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else None
