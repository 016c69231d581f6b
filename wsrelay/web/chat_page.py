"""The chat page: demonstrates the relay in a browser. Disabled unless a setting enables it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.web.responses import respond, respond_method_not_allowed

__all__ = ["CONTENT_SECURITY_POLICY", "ChatPage", "ChatPageFile", "chat_page_files"]

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}

CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; "
    b"connect-src 'self' http://localhost:* ws://localhost:* http://127.0.0.1:* ws://127.0.0.1:*; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The policy of the pages in whose console visitors try the relay. They reach this relay, and every server on the
visitor's own machine, so that the examples of the documentation work there."""

_HINTS = {
    "stream": "From a shell: <code>redis-cli XADD ${shell_channel} '*' data 'hello'</code>; with <code>PUBLISH</code> "
    "it reaches those who are here, and is not kept",
    "redis": "From a shell: <code>redis-cli PUBLISH ${shell_channel} 'hello'</code>",
    "api": 'From a shell: <code>curl -H "Authorization: Bearer $$KEY" --data-binary hello '
    '<span id="api">/api/publish/${channel}</span></code>, with a key of <code>api_keys</code>',
    "memory": "This relay runs without Redis: all messages come from its own clients. With <code>REDIS_URL</code> set, "
    "any program publishes here by <code>redis-cli XADD</code> and <code>PUBLISH</code>.",
}

_MODULES = ("chat.js", "members.js", "messages.js", "page.js", "receiver.js", "sender.js")


@dataclass(frozen=True, slots=True)
class ChatPage:
    """The facts that the page shows. Every visitor may read them.

    Attributes:
        channel: The channel's name for clients.
        redis_channel: Its name in Redis. If None, the relay runs without Redis.
        is_read_only: Whether no visitor may publish.
        has_api: Whether the HTTP API is enabled.
        max_message_bytes: The longest message that the relay accepts.
        history: How many of the newest messages a visitor gets first. 0 if the channel keeps none.
        is_base64: Whether the event stream carries messages in base64, because they are binary.
    """

    channel: str
    redis_channel: str | None
    is_read_only: bool
    has_api: bool
    max_message_bytes: int
    history: int = 0
    is_base64: bool = False

    def fill(self, page: str) -> str:
        """Return the page's HTML with these facts in place of its ``${placeholders}``."""
        shown = self.redis_channel or self.channel
        facts = {
            "channel": escape(self.channel),
            "shown_channel": escape(shown),
            "shell_channel": escape(shlex.quote(shown)),
            "read_only": str(self.is_read_only).lower(),
            "max_message_bytes": str(self.max_message_bytes),
            "history": str(self.history),
            "is_base64": str(self.is_base64).lower(),
            "kept": "" if self.history else "There is no history.",
        }
        redis = "stream" if self.history else "redis"
        hint = _HINTS[redis if self.redis_channel is not None else "api" if self.has_api else "memory"]
        return Template(page).substitute(facts, hint=Template(hint).substitute(facts))


class ChatPageFile(Resource):
    """One file of the page.

    Args:
        name: Its name, which gives its type.
        content: Its content.
    """

    isLeaf = True

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__()
        self._content = content
        self._type = _TYPES[name.rpartition(".")[2]]

    def render(self, request: Request) -> bytes:
        """Respond to GET, HEAD and OPTIONS, and reject other methods."""
        if (rejection := respond_method_not_allowed(request)) is not None:
            return rejection
        request.setHeader(b"content-security-policy", CONTENT_SECURITY_POLICY)
        request.setHeader(b"cache-control", b"no-cache")
        return respond(request, self._type, self._content)


def chat_page_files(page: ChatPage) -> Mapping[str, ChatPageFile]:
    """Return the files of the page by name, read once; the name of the page itself is empty."""
    folder = files("wsrelay.web").joinpath("static")
    return {
        "": ChatPageFile("chat.html", page.fill(folder.joinpath("chat.html").read_text(encoding="utf-8")).encode()),
        **{name: ChatPageFile(name, folder.joinpath(name).read_bytes()) for name in ("chat.css", *_MODULES)},
    }
