"""The chat page: demonstrates the relay in a browser. Disabled unless a setting enables it."""

from __future__ import annotations

from importlib.resources import files

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.web.responses import respond, respond_method_not_allowed

__all__ = ["ChatPageFile", "chat_page_files"]

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}

_CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class ChatPageFile(Resource):
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
        """Respond to GET, HEAD and OPTIONS, and reject other methods."""
        if (rejection := respond_method_not_allowed(request)) is not None:
            return rejection
        request.setHeader(b"content-security-policy", _CONTENT_SECURITY_POLICY)
        request.setHeader(b"cache-control", b"no-cache")
        return respond(request, self._type, self._content)


def chat_page_files() -> dict[str, ChatPageFile]:
    """Return the files by name; the name of the page itself is empty."""
    return {
        "": ChatPageFile("chat.html"),
        "chat.css": ChatPageFile("chat.css"),
        "chat.js": ChatPageFile("chat.js"),
    }
