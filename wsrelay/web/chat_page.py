"""The chat page: shows in a minute what the relay does. Off wherever it is not asked for."""

from __future__ import annotations

from importlib.resources import files

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.web.responses import body, not_allowed

__all__ = ["PageFile", "page_files"]

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class PageFile(Resource):
    """One file of the page, read once at the start.

    Args:
        name: Its name in the package's folder of static files.
    """

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._content = files("wsrelay.web").joinpath("static", name).read_bytes()
        self._type = _TYPES[name.rpartition(".")[2]]

    def render(self, request: Request) -> bytes:
        """Answer GET and HEAD; tell any other method so."""
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(request)
        request.setHeader(b"content-security-policy", _POLICY)
        request.setHeader(b"cache-control", b"no-cache")
        return body(request, self._type, self._content)


def page_files() -> dict[str, PageFile]:
    """The files by name, "" for the page itself."""
    return {
        "": PageFile("chat.html"),
        "chat.css": PageFile("chat.css"),
        "chat.js": PageFile("chat.js"),
    }
