"""The handshake that a client would send, read from a plain request for the same thing."""

from __future__ import annotations

from secrets import token_hex
from urllib.parse import urlsplit

from twisted.web.server import Request

from wsrelay.core.access.client_address import client_address, client_is_secure, peer_address
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.request_id import request_id

__all__ = ["plain_handshake"]


def plain_handshake(request: Request, trusted_proxies: int, path: str | None = None) -> Handshake:
    """Return the handshake that the sender of a request would send.

    Args:
        request: The request.
        trusted_proxies: How many proxies in front append to X-Forwarded-For and X-Forwarded-Proto.
        path: The path of the handshake. If None, that of the request.
    """
    own_path, _, query = request.uri.decode("latin-1").partition("?")
    peer = peer_address(getattr(request.getClientAddress(), "host", "unix"))
    return Handshake(
        own_path if path is None else path,
        client_address(peer, _joined(request, "x-forwarded-for") or "", trusted_proxies),
        query=query,
        origin=_joined(request, "origin") or _origin_of_script(request),
        host=_joined(request, "host") or "",
        authorization=_joined(request, "authorization") or "",
        cookie=_joined(request, "cookie", "; ") or "",
        is_secure=client_is_secure(request.isSecure(), _joined(request, "x-forwarded-proto") or "", trusted_proxies),
        connection=token_hex(8),
        request_id=request_id(_joined(request, "x-request-id") or ""),
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
