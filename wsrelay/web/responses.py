"""Responses of resources, and the header fields that every response has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import NOT_DONE_YET, Request

from wsrelay.core.wire.http_response import SECURITY_HEADERS, ErrorResponse

__all__ = [
    "TextResponse",
    "add_security_headers",
    "respond",
    "respond_error",
    "respond_later",
    "respond_method_not_allowed",
    "respond_nothing",
    "respond_text",
    "set_headers",
]

_READING_METHODS = b"GET, HEAD, OPTIONS"

Response = TypeVar("Response")

TextResponse = tuple[int, str]
"""HTTP status and text."""


def add_security_headers(request: HTTPRequest) -> None:
    """Set the header fields that every response has, and remove the one that names the software."""
    request.responseHeaders.removeHeader(b"server")
    for name, value in SECURITY_HEADERS:
        request.setHeader(name.encode(), value.encode())


def respond(request: Request, content_type: bytes, content: bytes) -> bytes:
    """Set the type and length of a response, and return its body for `render`."""
    request.setHeader(b"content-type", content_type)
    # HAProxy's default health check: the status of the resource, and what it supports (RFC 9110 section 9.3.7).
    if request.method == b"OPTIONS" and not request.responseHeaders.hasHeader(b"allow"):
        request.setHeader(b"allow", _READING_METHODS)
    request.setHeader(b"content-length", str(len(content)).encode())
    # A body in response to HEAD would be read as the next response.
    return b"" if request.method == b"HEAD" else content


def respond_text(request: Request, status: int, text: str) -> bytes:
    """Set the status of a response that is a short text, and return its body for `render`."""
    # twisted.web has no phrase for some statuses, 426 among them.
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    return respond(request, b"text/plain; charset=utf-8", text.encode() + b"\n")


def set_headers(request: Request, headers: Sequence[tuple[str, str]]) -> None:
    """Set header fields of a response, given as pairs of name and value."""
    for name, value in headers:
        request.setHeader(name.encode(), value.encode())


def respond_error(request: Request, response: ErrorResponse) -> bytes:
    """Set up a response that is an error, and return its body for `render`."""
    set_headers(request, response.headers)
    return respond_text(request, response.status, response.text)


def respond_nothing(request: Request) -> int:
    """Send a response without a body, and return what `render` returns then."""
    request.setResponseCode(204)
    # Not by returning no bytes, of which twisted.web sends the length (RFC 9110 section 8.6 forbids it).
    request.finish()
    return NOT_DONE_YET


def respond_later(request: Request, found: Deferred[Response], render: Callable[[Response], bytes]) -> int:
    """Send a response when its content is there, unless the client has left by then.

    Args:
        request: The request.
        found: Fires with the content. If it fails, the response is 503.
        render: Sets up the response, and returns its body.

    Returns:
        What `render` of the resource returns.
    """
    gone: list[object] = []
    request.notifyFinish().addErrback(gone.append)

    def send(body: bytes) -> None:
        if not gone:
            request.write(body)
            request.finish()

    rendered: Deferred[bytes] = found.addCallbacks(
        render, lambda _: respond_text(request, 503, "Not available at the moment.")
    )
    rendered.addCallback(send)
    return NOT_DONE_YET


def respond_method_not_allowed(request: Request) -> bytes | None:
    """Set up the response to a method that does not read, and return its body for `render`; None for one that does."""
    if request.method in (b"GET", b"HEAD", b"OPTIONS"):
        return None
    request.setHeader(b"allow", _READING_METHODS)
    return respond_text(request, 405, "Only GET, HEAD and OPTIONS are supported here.")
