"""The wire languages, and where each is spoken. A new dialect is one package and its lines here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from wsrelay.dialects.centrifugo import PATH as CENTRIFUGO_PATH
from wsrelay.dialects.centrifugo import JSONDialect
from wsrelay.dialects.raw import PATH as RAW_PATH
from wsrelay.dialects.raw import RawDialect
from wsrelay.dialects.sse import PATH as SSE_PATH
from wsrelay.dialects.sse import SSEDialect
from wsrelay.interfaces import IDialect

__all__ = ["CENTRIFUGO", "RAW", "SSE", "Route", "find_route", "subprotocols"]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a dialect is spoken, and over what.

    Attributes:
        path: A URL path. One that ends in a slash stands for every path below it.
        transport: The kind of transport.
        dialect: The wire language.
    """

    path: str
    transport: Literal["websocket", "sse"]
    dialect: IDialect

    def matches(self, path: str) -> bool:
        """Return whether a request's path is that of this route."""
        return path.startswith(self.path) if self.path.endswith("/") else path == self.path


RAW = Route(RAW_PATH, "websocket", RawDialect())
CENTRIFUGO = Route(CENTRIFUGO_PATH, "websocket", JSONDialect())
SSE = Route(SSE_PATH, "sse", SSEDialect())


def find_route(routes: Iterable[Route], path: str) -> Route | None:
    """Return the first route that matches a request's path, or None."""
    for route in routes:
        if route.matches(path):
            return route
    return None


def subprotocols(routes: Iterable[Route]) -> frozenset[str]:
    """Return all that the dialects of these routes are called in Sec-WebSocket-Protocol."""
    return frozenset(name for route in routes for name in route.dialect.subprotocols)
