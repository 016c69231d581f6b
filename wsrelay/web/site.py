"""The HTTP half of the port: probes, metrics, the API, the chat page, and clear responses everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from wsrelay.dialects.centrifugo import EMULATION_PATH
from wsrelay.web.api.relay_api import RelayAPI
from wsrelay.web.chat_page import CONTENT_SECURITY_POLICY, ChatPage, chat_page_files
from wsrelay.web.one_request import MAX_DROPPED_BYTES, OneRequest, OneRequestChannel
from wsrelay.web.probes import MetricsResource, TextResource
from wsrelay.web.responses import TextResponse, add_security_headers

__all__ = ["build_site"]

_NOT_FOUND = TextResource(
    lambda: (404, "Not found. WebSockets are at /ws/<channel>, probes at /healthz and /readyz."), any_method=True
)
_API_DISABLED = TextResource(lambda: (404, "The API is disabled: set api_keys to enable it."), any_method=True)


class _Folder(Resource):
    """A branch of the tree. Unknown paths get our own text; that of twisted.web repeats the request's path."""

    def getChild(self, _path: bytes, _request: Request) -> Resource:
        return _NOT_FOUND

    def render(self, request: Request) -> bytes | int:
        return _NOT_FOUND.render(request)


class _Root(_Folder):
    """The root of the tree. Every response below it gets the security headers."""

    def getChildWithDefault(self, path: bytes, request: Request) -> Resource:
        add_security_headers(request)
        if not path and request.postpath:
            # Two slashes at the beginning are not the root: a probe of `//readyz` would find the page, ready or not.
            return _NOT_FOUND
        child: Resource = super().getChildWithDefault(path, request)
        return child


class _Site(Site):
    """Serves one request on each connection.

    Args:
        root: The root of the resource tree.
        api: The API, whose callers' request bodies are kept. If None, no body is.
        max_body_bytes: The largest body that is kept.
        keeps_short_bodies: Whether bodies of at most `MAX_DROPPED_BYTES` are kept without a key. It is decided before
            the path is known.
        body_timeout_seconds: The time within which a request's body has to arrive.
        clock: Runs the timeouts.
    """

    noisy = False
    displayTracebacks = False
    protocol: Any = OneRequestChannel

    def __init__(
        self,
        root: Resource,
        api: RelayAPI | None,
        max_body_bytes: int,
        keeps_short_bodies: bool,
        body_timeout_seconds: float,
        clock: IReactorTime,
    ) -> None:
        # Bodies are taken as they are: a form's would be parsed, and rejected where it is odd.
        super().__init__(
            root,
            requestFactory=OneRequest,
            parsePOSTFormSubmission=False,
            timeout=body_timeout_seconds,
            reactor=clock,
        )
        self.max_body_bytes = max_body_bytes
        self.keeps_short_bodies = keeps_short_bodies
        self._api = api

    def has_key(self, request: HTTPRequest) -> bool:
        """Return whether a request whose header fields have arrived is one of the API's callers."""
        return self._api is not None and self._api.accepts(request)

    def log(self, request: HTTPRequest) -> None:
        """Write no access log: the router in front has one, and probes would fill this one."""


def build_site(
    *,
    readiness: Callable[[], TextResponse | Deferred[TextResponse]],
    liveness: Callable[[], TextResponse] = lambda: (200, "alive"),
    metrics: Callable[[], bytes | Deferred[bytes]] | None = None,
    api: RelayAPI | None = None,
    max_body_bytes: int = MAX_DROPPED_BYTES,
    presence: Resource | None = None,
    emulation: Resource | None = None,
    hints: Mapping[str, Resource],
    chat_page: ChatPage | None,
    body_timeout_seconds: float,
    clock: IReactorTime,
) -> Site:
    """Build the site of one process.

    Args:
        readiness: Returns status and text of ``/readyz``, or a Deferred with them.
        liveness: Returns status and text of ``/healthz``.
        metrics: Returns the content of ``/metrics``, or a Deferred with it. If None, there is no such path.
        api: The resource at ``/api``. If None, requests there are told that the API is disabled.
        max_body_bytes: The largest body of an API call. At least `MAX_DROPPED_BYTES`, which are read in any case.
        presence: The resource at ``/presence``. If None, there is no such path.
        emulation: The resource at `EMULATION_PATH`. If None, there is no such path.
        hints: Responds to requests at the paths of WebSockets and streams that do not ask for one, by path; ``/ws/``
            stands for every path below it.
        chat_page: What the chat page shows. If None, there is no such page.
        body_timeout_seconds: The time within which a request's body has to arrive.
        clock: Runs the timeouts.
    """
    root = _Root()
    root.putChild(b"healthz", TextResource(liveness))
    root.putChild(b"readyz", TextResource(readiness))
    if metrics is not None:
        root.putChild(b"metrics", MetricsResource(metrics))
    root.putChild(b"api", _API_DISABLED if api is None else api)
    if presence is not None:
        root.putChild(b"presence", presence)
    if emulation is not None:
        _put_at(root, EMULATION_PATH, emulation)
    for path, hint in hints.items():
        _put_at(root, path, hint)
    if chat_page is not None:
        static = _Folder()
        for file_name, file in chat_page_files(chat_page).items():
            (static if file_name else root).putChild(file_name.encode(), file)
        root.putChild(b"static", static)
    else:
        # Visitors use the console of this page as well to try the relay.
        text = "wsrelay: WebSockets are at /ws/<channel>."
        root.putChild(b"", TextResource(lambda: (200, text), policy=CONTENT_SECURITY_POLICY))
    max_body_bytes = max(max_body_bytes, MAX_DROPPED_BYTES)
    return _Site(root, api, max_body_bytes, emulation is not None, body_timeout_seconds, clock)


def _put_at(root: Resource, path: str, resource: Resource) -> None:
    """Put a resource at a path, in folders that are made where there are none."""
    *names, last = path.strip("/").encode().split(b"/")
    folder = root
    for name in names:
        inner = folder.getStaticEntity(name)
        if inner is None:
            inner = _Folder()
            folder.putChild(name, inner)
        folder = inner
    folder.putChild(last, resource)
