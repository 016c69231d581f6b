"""The checks of a request head: what it asks for, from where, and whether it may have that now.

First comes what is wrong with the head itself, then the route, then the origin, and only then admission counts the
connection. Nothing is authenticated here: credentials go on in the `Handshake`, unread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wsrelay.config import Settings
from wsrelay.core.access.client_address import UNREADABLE, client_address, client_is_secure, peer_address
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.flow.admission import Admission
from wsrelay.core.outcomes.errors import HTTPError, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.core.wire.request_head import RequestHead, parse_head
from wsrelay.core.wire.request_id import request_id
from wsrelay.dialects import Route, find_route, subprotocols
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.transports.listening.connection_ids import ConnectionIDs
from wsrelay.transports.listening.known_handshakes import KnownHandshake, KnownHandshakes
from wsrelay.transports.listening.socket_options import is_tls, peer_host
from wsrelay.transports.streams.connection import UNEXPECTED_BODY
from wsrelay.transports.streams.factory import StreamConnectionFactory
from wsrelay.transports.websocket.factory import WebSocketConnectionFactory

__all__ = ["MAX_BODY_BYTES", "Destination", "RequestChecks"]

MAX_BODY_BYTES = 64 * 1024
"""The largest body of a request for a stream. Centrifugo's, too."""

_NO_WEBSOCKET = ErrorResponse(404, "There is no WebSocket at this path. Use /ws/<channel>.")
_EVENT_STREAM = ErrorResponse(
    404, "This is the address of an event stream: read it with EventSource. WebSockets are at /ws/<channel>."
)
_OTHER_STREAM = ErrorResponse(404, "This is the address of a stream over HTTP, and no WebSocket.")
_BODY_TOO_LONG = ErrorResponse(413, f"The body of a request for a stream has at most {MAX_BODY_BYTES} bytes.")
_NO_LENGTH = ErrorResponse(411, "The body of a request for a stream needs a Content-Length.")
_BAD_LENGTH = ErrorResponse(400, "The Content-Length is no number (RFC 9112 section 6.2).")
_VERSION = ErrorResponse(505, "The relay speaks HTTP/1.1.")
_NO_HOST = ErrorResponse(400, "A request has to have a Host field (RFC 9112 section 3.2).")


@dataclass(slots=True)
class Destination:
    """The destination of one client of a dialect.

    Attributes:
        route: The route that the request's path matches.
        handshake: The client's opening request.
        request: The request head.
        body_bytes: The length of the body that follows the head of a request for a stream.
        key: As `RequestHead.key`, of this client: the request head may be that of another one.
    """

    route: Route
    handshake: Handshake
    request: RequestHead
    body_bytes: int = 0
    key: bytes = b""


class RequestChecks:
    """Checks the request heads of one process, and finds their destinations.

    Args:
        settings: Limits and trusted proxies.
        routes: The dialects that are spoken, and where.
        websockets: Makes WebSocket connections; its registry knows whether handshakes are completed now.
        streams: Makes the answers to requests for streams that are accepted later.
        admission: Counts the connections that are no short HTTP requests.
        origins: Decides which origins may connect.
        rejections: Logs the clients that `origins` rejects.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        routes: Sequence[Route],
        websockets: WebSocketConnectionFactory,
        streams: StreamConnectionFactory,
        admission: Admission,
        origins: OriginPolicy,
        rejections: RejectionLog,
    ) -> None:
        self._trusted_proxies = settings.trusted_proxies
        self._may_compress = settings.may_compress
        self._routes = routes
        self._subprotocols = subprotocols(routes)
        self._known = KnownHandshakes(self._subprotocols)
        self._connection_ids = ConnectionIDs()
        self._websockets = websockets
        self._streams = streams
        self._admission = admission
        self._origins = origins
        self._rejections = rejections

    def check_request(self, transport: Any, head: bytes) -> Destination | bytes:
        """Check a request head, and find its destination.

        Args:
            transport: The connection it arrived on.
            head: The head, up to and including the empty line at its end.

        Returns:
            The destination of a WebSocket handshake or of a request for a stream, which admission has counted unless
            its body is still to come; or the head of another HTTP request, its target without scheme and host.

        Raises:
            HTTPError: The head is malformed, no WebSocket is at its path, or the relay accepts no connections now.
            RejectedError: The origin may not connect.
        """
        found = self._known.find(head, is_tls=is_tls(transport))
        if found is not None:
            return self._check_known(transport, *found)
        request = parse_head(head, self._subprotocols, with_extensions=self._may_compress)
        fields = request.fields
        content_type = request.text(b"content-type") if b"content-type" in fields else ""
        route = find_route(self._routes, request.path, request.subprotocols, request.query, content_type)
        if request.is_upgrade:
            destination = self._check_websocket(transport, request, route)
            if self._websockets.opens_usual_handshakes:
                known = KnownHandshake(destination.route, request, destination.handshake)
                self._known.add(head, known, is_tls=is_tls(transport))
            return destination
        if route is not None and route.transport != "websocket" and request.method.decode() in route.methods:
            return self._check_stream(transport, request, route)
        return request.head

    def _check_websocket(self, transport: Any, request: RequestHead, route: Route | None) -> Destination:
        if (refusal := self._websockets.connections.refusal) is not None:
            raise HTTPError(refusal)
        if route is None:
            raise HTTPError(_NO_WEBSOCKET)
        if route.transport != "websocket":
            raise HTTPError(_EVENT_STREAM if route.transport == "sse" else _OTHER_STREAM)
        handshake = self._make_handshake(transport, request)
        self._check_origin(handshake)
        self._admission.admit(handshake.peer)
        return Destination(route, handshake, request, key=request.key)

    def _check_known(self, transport: Any, known: KnownHandshake, key: bytes) -> Destination:
        """Do the part of `_check_websocket` that may end otherwise for another client."""
        if (refusal := self._websockets.connections.refusal) is not None:
            raise HTTPError(refusal)
        handshake = known.handshake.of_another(peer_address(peer_host(transport)), self._connection_ids.next())
        self._admission.admit(handshake.peer)
        return Destination(known.route, handshake, known.request, key=key)

    def _check_stream(self, transport: Any, request: RequestHead, route: Route) -> Destination:
        if request.version not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise HTTPError(_VERSION)
        if b"host" not in request.fields and request.version == b"HTTP/1.1":
            raise HTTPError(_NO_HOST)
        body_bytes = _body_bytes(request)
        handshake = self._make_handshake(transport, request)
        if handshake.origin is None and request.text(b"sec-fetch-site") == "same-origin":
            self._origins.add_own_origin(handshake)
        self._check_origin(handshake)
        if not body_bytes:
            # Else once it is there: until then the connection is one of those that make room for others.
            self.admit_stream(handshake)
        return Destination(route, handshake, request, body_bytes)

    def admit_stream(self, handshake: Handshake) -> None:
        """Have admission count a request for a stream that is complete.

        Raises:
            HTTPError: The relay accepts no connections now.
        """
        if (refusal := self._websockets.connections.refusal) is not None:
            raise HTTPError(self._streams.error_response(handshake, refusal))
        try:
            self._admission.admit(handshake.peer)
        except HTTPError as error:
            raise HTTPError(self._streams.error_response(handshake, error.response)) from None

    def release(self, destination: Destination) -> None:
        """Have admission count a destination no more that nothing has been started for."""
        self._admission.release(destination.handshake.peer)

    def log_rejection(self, response: ErrorResponse, transport: Any) -> None:
        """Log that a request is answered with an error, where such requests are logged at all.

        Args:
            response: The answer.
            transport: The connection that the request arrived on.
        """
        self._rejections.log_response(response, lambda: peer_address(peer_host(transport)))

    def _check_origin(self, handshake: Handshake) -> None:
        if (client_error := self._origins.check(handshake)) is not None:
            self._rejections.record(client_error, handshake)
            raise RejectedError(client_error)

    def error_response(self, destination: Destination, response: ErrorResponse) -> ErrorResponse:
        """Return the form of a response that the client of a destination can make use of."""
        if destination.route.transport == "websocket":
            return response
        return self._streams.error_response(destination.handshake, response)

    def _make_handshake(self, transport: Any, request: RequestHead) -> Handshake:
        address = peer_address(peer_host(transport))
        proxies = self._trusted_proxies
        # Without a call for each field, of which most are not there.
        fields = request.fields
        get = fields.get
        if proxies:
            address = client_address(address, request.text(b"x-forwarded-for"), proxies)
        if address == UNREADABLE:
            self._rejections.log_detail(
                "X-Forwarded-For has no address where trusted_proxies says that one is: such clients are counted "
                "together, and no ticket that is bound to an address is valid for them"
            )
        return Handshake(
            request.path,
            address,
            query=request.query,
            origin=get(b"origin", b"").decode("latin-1") if b"origin" in fields else None,
            host=get(b"host", b"").decode("latin-1"),
            authorization=get(b"authorization", b"").decode("latin-1"),
            cookie=get(b"cookie", b"").decode("latin-1"),
            subprotocols=request.subprotocols,
            is_secure=client_is_secure(is_tls(transport), get(b"x-forwarded-proto", b"").decode("latin-1"), proxies),
            accept=get(b"accept", b"").decode("latin-1"),
            last_event_id=get(b"last-event-id", b"").decode("latin-1") if b"last-event-id" in fields else None,
            connection=self._connection_ids.next(),
            request_id=request_id(get(b"x-request-id", b"").decode("latin-1")) if b"x-request-id" in fields else "",
        )


def _body_bytes(request: RequestHead) -> int:
    """Return the length of the body of a request for a stream.

    Raises:
        HTTPError: It has none that is permitted.
    """
    if not request.has_body:
        return 0
    if request.method == b"GET":
        raise HTTPError(UNEXPECTED_BODY)
    text = request.fields.get(b"content-length")
    if text is None:
        raise HTTPError(_NO_LENGTH)
    if not text.isdigit():
        raise HTTPError(_BAD_LENGTH)
    # A text that no `int` reads is too long as well.
    if len(text) > 10 or int(text) > MAX_BODY_BYTES:
        raise HTTPError(_BODY_TOO_LONG)
    return int(text)
