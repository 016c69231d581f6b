"""The response to requests at the paths of streams that do not ask for one: HEAD, OPTIONS, and mistakes."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.core.wire.cors import cors_headers, preflight_headers
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.web.handshake_check import HandshakeCheck
from wsrelay.web.plain_handshake import plain_handshake
from wsrelay.web.responses import respond_error, respond_nothing, set_headers

__all__ = ["StreamHint"]

_NO_CHANNEL = ErrorResponse(404, "Event streams are at /sse/<channel>, further channels at ?channel=<channel>.")


class StreamHint(Resource):
    """Answers what a browser asks before a page of another origin reads a stream, and says how to read one.

    Requests for streams themselves never arrive here: the router hands them to their transport.

    Args:
        check: Finds the reason for which a request for a stream would be rejected.
        trusted_proxies: How many proxies in front of the relay append to X-Forwarded-Proto.
        methods: The methods by which a stream is asked for.
    """

    isLeaf = True

    def __init__(self, check: HandshakeCheck, trusted_proxies: int, methods: Sequence[str] = ("GET",)) -> None:
        super().__init__()
        self._check = check
        self._trusted_proxies = trusted_proxies
        self._methods = methods
        heads = ("HEAD",) if "GET" in methods else ()
        self._allow = ("Allow", ", ".join((*methods, *heads, "OPTIONS")))
        verbs = " or ".join(methods)
        self._other_method = ErrorResponse(405, f"A stream is asked for with {verbs} here.", (self._allow,))

    def render(self, request: Request) -> bytes | int:
        """Respond to HEAD as to the GET, to OPTIONS with what is permitted, and to other methods with 405."""
        handshake = plain_handshake(request, self._trusted_proxies)
        if (rejection := self._check.check_origin(handshake)) is not None:
            return respond_error(request, rejection)
        if request.method == b"OPTIONS":
            return self._respond_options(request, handshake)
        set_headers(request, cors_headers(handshake.origin))
        if request.method not in (b"GET", b"HEAD") or "GET" not in self._methods:
            return respond_error(request, self._other_method)
        # A GET comes here if its path has no channel at all; the router has taken every other one.
        error = _NO_CHANNEL if request.method == b"GET" else self._check.find_error(handshake)
        if error is not None:
            return respond_error(request, error)
        request.setHeader(b"content-type", b"text/event-stream")
        return b""

    def _respond_options(self, request: Request, handshake: Handshake) -> int:
        origin = handshake.origin
        headers = cors_headers(None) if origin is None else preflight_headers(origin, self._methods)
        set_headers(request, (self._allow, *headers))
        return respond_nothing(request)
