"""The wire languages, and where each is spoken. A new dialect is one package and its lines here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from wsrelay.dialects.centrifugo import PATH as CENTRIFUGO_PATH
from wsrelay.dialects.centrifugo import JSONDialect, ProtobufDialect
from wsrelay.dialects.raw import PATH as RAW_PATH
from wsrelay.dialects.raw import RawDialect
from wsrelay.dialects.sse import PATH as SSE_PATH
from wsrelay.dialects.sse import SSEDialect
from wsrelay.interfaces import IDialect

__all__ = ["CENTRIFUGO", "CENTRIFUGO_PROTOBUF", "RAW", "SSE", "Route", "find_route", "subprotocols"]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a dialect is spoken, and over what.

    Attributes:
        path: A URL path. One that ends in a slash stands for every path below it.
        transport: The kind of transport.
        dialect: The wire language.
        parameter: Where another dialect is spoken at the same path: the query parameter by which a client asks for
            this one, if it does not offer one of its subprotocols. If empty, the client need not ask.
    """

    path: str
    transport: Literal["websocket", "sse"]
    dialect: IDialect
    parameter: str = ""

    def matches(self, path: str, subprotocols: Sequence[str] = (), query: str = "") -> bool:
        """Return whether a request is for this route, by its path and by what else the client says."""
        if not (path.startswith(self.path) if self.path.endswith("/") else path == self.path):
            return False
        if not self.parameter:
            return True
        return self.parameter in query.split("&") or any(name in self.dialect.subprotocols for name in subprotocols)


RAW = Route(RAW_PATH, "websocket", RawDialect())
CENTRIFUGO = Route(CENTRIFUGO_PATH, "websocket", JSONDialect())
CENTRIFUGO_PROTOBUF = Route(CENTRIFUGO_PATH, "websocket", ProtobufDialect(), "cf_protocol=protobuf")
SSE = Route(SSE_PATH, "sse", SSEDialect())


def find_route(routes: Iterable[Route], path: str, subprotocols: Sequence[str] = (), query: str = "") -> Route | None:
    """Return the first route that a request is for, or None."""
    for route in routes:
        if route.matches(path, subprotocols, query):
            return route
    return None


def subprotocols(routes: Iterable[Route]) -> frozenset[str]:
    """Return all that the dialects of these routes are called in Sec-WebSocket-Protocol."""
    return frozenset(name for route in routes for name in route.dialect.subprotocols)
