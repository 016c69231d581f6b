"""The HTTP half of the port: probes, the page, and clear answers for everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from wsrelay.web.api.relay_api import API
from wsrelay.web.chat_page import page_files
from wsrelay.web.one_request import MAX_DROPPED_BYTES, OneRequest, OneRequestChannel
from wsrelay.web.probes import Exposition, PlainAnswer
from wsrelay.web.responses import Answer, harden
from wsrelay.web.websocket_hint import SocketPath

__all__ = ["build_site"]

_NOWHERE = PlainAnswer(
    lambda: (404, "Nothing is here. WebSockets are at /ws/<channel>, probes at /healthz and /readyz."),
    any_method=True,
)
_NO_API = PlainAnswer(lambda: (404, "There is no API here: the setting api_keys opens it."), any_method=True)


class _Folder(Resource):
    """A branch of the tree. What it does not hold gets our own text; twisted.web's repeats what was asked for."""

    def getChild(self, _path: bytes, _request: Request) -> Resource:
        return _NOWHERE

    def render(self, request: Request) -> bytes:
        return _NOWHERE.render(request)


class _Root(_Folder):
    """The root of the tree: every answer below it is hardened."""

    def getChildWithDefault(self, path: bytes, request: Request) -> Resource:
        harden(request)
        child: Resource = super().getChildWithDefault(path, request)
        return child


class _Site(Site):
    noisy = False
    displayTracebacks = False
    protocol: Any = OneRequestChannel
    max_body_bytes = 0
    api: API | None = None

    def wants_body(self, request: HTTPRequest) -> bool:
        """Whether the body of a request is to be kept, of which the header fields are here."""
        return self.api is not None and self.api.is_permitted(request)

    def log(self, request: HTTPRequest) -> None:
        """No access log: the router has one, and probes would fill this one."""


def build_site(
    *,
    readiness: Callable[[], Answer],
    with_page: bool,
    body_seconds: float,
    reactor: IReactorTime,
    liveness: Callable[[], Answer] = lambda: (200, "alive"),
    metrics: Callable[[], bytes] | None = None,
    api: API | None = None,
    max_body_bytes: int = MAX_DROPPED_BYTES,
) -> Site:
    """The site of one process.

    Args:
        readiness: Status and text of ``/readyz``.
        with_page: Whether the chat page is served.
        body_seconds: How long the body of a request may take to come.
        reactor: Time.
        liveness: Status and text of ``/healthz``.
        metrics: What ``/metrics`` shows, or None where there is none.
        api: What is at ``/api``, or None where nothing is.
        max_body_bytes: The longest body of a request to the API; it is not less than what is read and dropped.
    """
    root = _Root()
    root.putChild(b"healthz", PlainAnswer(liveness))
    root.putChild(b"readyz", PlainAnswer(readiness))
    if metrics is not None:
        root.putChild(b"metrics", Exposition(metrics))
    root.putChild(b"api", _NO_API if api is None else api)
    root.putChild(b"ws", SocketPath())
    if with_page:
        page = page_files()
        root.putChild(b"", page.pop(""))
        static = _Folder()
        for name, file in page.items():
            static.putChild(name.encode(), file)
        root.putChild(b"static", static)
    else:
        root.putChild(b"", PlainAnswer(lambda: (200, "wsrelay: WebSockets are at /ws/<channel>.")))
    site = _Site(root, requestFactory=OneRequest, timeout=body_seconds, reactor=reactor)
    site.api = api
    site.max_body_bytes = max(max_body_bytes, MAX_DROPPED_BYTES)
    return site
