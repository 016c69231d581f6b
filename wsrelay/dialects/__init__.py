"""The wire languages, and where each is spoken. A new dialect is one package and its lines here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from wsrelay.dialects.centrifugo import PATH as CENTRIFUGO_PATH
from wsrelay.dialects.centrifugo import (
    EmulatedJSONDialect,
    EmulatedProtobufDialect,
    JSONDialect,
    ProtobufDialect,
    UniDialect,
    UniStreamDialect,
)
from wsrelay.dialects.raw import PATH as RAW_PATH
from wsrelay.dialects.raw import RawDialect
from wsrelay.dialects.sse import PATH as SSE_PATH
from wsrelay.dialects.sse import SSEDialect
from wsrelay.interfaces import IDialect

__all__ = [
    "CENTRIFUGO",
    "CENTRIFUGO_PROTOBUF",
    "CENTRIFUGO_ROUTES",
    "EMULATED_HTTP_STREAM",
    "EMULATED_HTTP_STREAM_PROTOBUF",
    "EMULATED_SSE",
    "RAW",
    "SSE",
    "UNI_HTTP_STREAM",
    "UNI_SSE",
    "UNI_WEBSOCKET",
    "Route",
    "Transport",
    "find_route",
    "subprotocols",
]

Transport: TypeAlias = Literal["websocket", "sse", "event-stream", "line-stream", "block-stream"]
"""The kinds of transport: WebSockets; event streams of the channels in a URL (`wsrelay.dialects.sse`); and streams of
the messages of any other dialect, as events, as lines, or one behind the other."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a dialect is spoken, and over what.

    Attributes:
        path: A URL path. One that ends in a slash stands for every path below it.
        transport: The kind of transport.
        dialect: The wire language.
        parameter: Where another dialect is spoken at the same path: the query parameter by which a client asks for
            this one, if it does not offer one of its subprotocols. If empty, the client need not ask.
        media_type: Where another dialect is spoken at the same path: the media type of a body in this one. If empty,
            any.
        methods: The methods by which a client asks for a stream.
    """

    path: str
    transport: Transport
    dialect: IDialect
    parameter: str = ""
    media_type: str = ""
    methods: tuple[str, ...] = ("GET",)

    def matches(
        self, path: str, subprotocols: Sequence[str] = (), query: str = "", content_type: str | None = None
    ) -> bool:
        """Return whether a request is for this route, by its path and by what else the client says.

        Args:
            path: The path.
            subprotocols: What it offers.
            query: The query.
            content_type: The type of its body. If None, it has none.
        """
        if not (path.startswith(self.path) if self.path.endswith("/") else path == self.path):
            return False
        if self.media_type and (content_type or "").partition(";")[0].strip().lower() != self.media_type:
            return False
        if not self.parameter:
            return True
        return self.parameter in query.split("&") or any(name in self.dialect.subprotocols for name in subprotocols)


RAW = Route(RAW_PATH, "websocket", RawDialect())
SSE = Route(SSE_PATH, "sse", SSEDialect())
CENTRIFUGO = Route(CENTRIFUGO_PATH, "websocket", JSONDialect())
CENTRIFUGO_PROTOBUF = Route(CENTRIFUGO_PATH, "websocket", ProtobufDialect(), "cf_protocol=protobuf")
UNI_WEBSOCKET = Route("/connection/uni_websocket", "websocket", UniDialect())
UNI_SSE = Route("/connection/uni_sse", "event-stream", UniStreamDialect(), methods=("GET", "POST"))
UNI_HTTP_STREAM = Route("/connection/uni_http_stream", "line-stream", UniStreamDialect(), methods=("POST",))
EMULATED_SSE = Route("/connection/sse", "event-stream", EmulatedJSONDialect(), methods=("GET", "POST"))
EMULATED_HTTP_STREAM = Route("/connection/http_stream", "line-stream", EmulatedJSONDialect(), methods=("POST",))
EMULATED_HTTP_STREAM_PROTOBUF = Route(
    "/connection/http_stream",
    "block-stream",
    EmulatedProtobufDialect(),
    media_type="application/octet-stream",
    methods=("POST",),
)

CENTRIFUGO_ROUTES = (
    CENTRIFUGO_PROTOBUF,
    CENTRIFUGO,
    UNI_WEBSOCKET,
    UNI_SSE,
    UNI_HTTP_STREAM,
    EMULATED_SSE,
    EMULATED_HTTP_STREAM_PROTOBUF,
    EMULATED_HTTP_STREAM,
)
"""All routes of Centrifugo's protocol, in the order in which they are tried."""


def find_route(
    routes: Iterable[Route],
    path: str,
    subprotocols: Sequence[str] = (),
    query: str = "",
    content_type: str | None = None,
) -> Route | None:
    """Return the first route that a request is for, or None."""
    for route in routes:
        # Nearly all that are not meant have another path.
        if path.startswith(route.path) and route.matches(path, subprotocols, query, content_type):
            return route
    return None


def subprotocols(routes: Iterable[Route]) -> frozenset[str]:
    """Return all that the dialects of these routes are called in Sec-WebSocket-Protocol."""
    return frozenset(name for route in routes for name in route.dialect.subprotocols)
