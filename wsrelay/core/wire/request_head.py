"""The head of an HTTP/1.1 request, as far as the router needs it."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field

from wsrelay.core.outcomes.errors import HTTPError
from wsrelay.core.wire.deflate_offers import acceptable_offer
from wsrelay.core.wire.http_response import ErrorResponse

__all__ = ["DUPLICATE_FIELD", "END_OF_HEAD", "SINGLETON_FIELDS", "RequestHead", "parse_head"]

END_OF_HEAD = b"\r\n\r\n"

SINGLETON_FIELDS = frozenset(
    (
        b"host",
        b"origin",
        b"authorization",
        b"content-length",
        b"transfer-encoding",
        b"sec-websocket-key",
        b"sec-websocket-version",
    )
)
"""The header fields that may occur once, in lower case. Of two, one party would use the first and another the last, and
a proxy in between has checked only one of them (RFC 9112 sections 3.2 and 6.3, RFC 6455 section 11.3, RFC 6454 section
7.3, RFC 9110 section 11.6.2). Cookie is not among them: front ends that speak HTTP/2 may pass it on in several lines,
which mean one (RFC 9113 section 8.2.3)."""

DUPLICATE_FIELD = ErrorResponse(400, "A header field that may occur once occurs twice in the request head.")
"""The response to a head with one of the `SINGLETON_FIELDS` twice."""


# RFC 9112 section 2.2 and RFC 9110 section 5.5: no control characters, and CR and LF only as the end of a line. The
# parsers behind the router accept some of them as the end of a line, which would let a client smuggle header fields in.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# The fields of a WebSocket handshake (RFC 6455 section 4.1). The WebSocket parser gets these and no others: it cannot
# misread what it never sees, and a browser's long tail of headers costs nothing there. Origin is left out on purpose,
# because the router has checked it and Autobahn rejects the `null` of a sandboxed page; Sec-WebSocket-Protocol, because
# it may contain a token; Sec-WebSocket-Extensions is passed on if compression is enabled, in one line, because Autobahn
# rejects the legal form of two.
_HANDSHAKE_FIELDS = frozenset((b"host", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version"))

# Lists: several lines, or one line with commas, mean the same.
_LIST_FIELDS = frozenset(
    (
        b"accept",
        b"content-type",
        b"cookie",
        b"last-event-id",
        b"sec-fetch-site",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    )
)

# RFC 9112 section 3.2.2: a server accepts the absolute form, too, which proxies send. No user information
# (RFC 9110 section 4.2.4).
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE)

_MALFORMED_REQUEST_LINE = ErrorResponse(400, "The request line is malformed (RFC 9112 section 3).")
_MALFORMED_LINE = ErrorResponse(400, "The request head is malformed: a line in it is not a header field (RFC 9112).")
_FORBIDDEN_BYTES = ErrorResponse(400, "The request head contains forbidden bytes (RFC 9112 section 2.2).")
_UNEXPECTED_BODY = ErrorResponse(400, "A WebSocket handshake has no body.")
_FRAGMENT = ErrorResponse(
    400, "A request target has no part behind a #: write %23 for one in the name of a channel (RFC 3986 section 3.5)."
)
_MALFORMED_TARGET = ErrorResponse(
    400, "The request target is malformed: it must be a path, or a URL with http or https (RFC 9112 section 3.2)."
)
_UNSUPPORTED_CODING = ErrorResponse(501, "The only supported transfer coding is chunked (RFC 9112 section 6.1).")
_TWO_BODY_LENGTHS = ErrorResponse(
    400, "A request may have Transfer-Encoding or Content-Length, not both (RFC 9112 section 6.1)."
)


# Not frozen, and neither is a handshake: they are made for every client, and freezing doubles that cost.
@dataclass(slots=True)
class RequestHead:
    """The head of one request.

    Attributes:
        method: The method as it was sent.
        path: The request target without its query, and without scheme and host.
        head: The whole head, its target without scheme and host.
        is_upgrade: Whether the request asks for a WebSocket.
        version: The protocol's version as it was sent. It and all that follows are set only for GET and POST.
        has_body: Whether the request announces a body.
        websocket_head: The head for the WebSocket parser: no query and no credential. Only if it asks for a WebSocket.
        query: The part of the request target behind the question mark; may contain a ticket.
        fields: The values of the `SINGLETON_FIELDS` in the head, by their names in lower case. The host is that of the
            request target if it names one.
        cookie: All values of Cookie, joined by semicolons.
        subprotocols: The items of Sec-WebSocket-Protocol; may contain a token. Only if it asks for a WebSocket.
        accept: All values of Accept, joined by commas.
        content_type: All values of Content-Type, joined by commas.
        last_event_id: All values of Last-Event-ID, joined by commas. If None, there is none.
        fetch_site: All values of Sec-Fetch-Site, joined by commas.
        forwarded_for: All values of X-Forwarded-For, joined by commas.
        forwarded_proto: All values of X-Forwarded-Proto, joined by commas.
    """

    method: bytes
    path: str
    head: bytes = field(repr=False)
    is_upgrade: bool
    version: bytes = b""
    has_body: bool = False
    websocket_head: bytes = b""
    query: str = field(default="", repr=False)
    fields: dict[bytes, str] = field(default_factory=dict, repr=False)
    cookie: str = field(default="", repr=False)
    subprotocols: tuple[str, ...] = field(default=(), repr=False)
    accept: str = ""
    content_type: str = ""
    last_event_id: str | None = None
    fetch_site: str = ""
    forwarded_for: str = ""
    forwarded_proto: str = ""


def parse_head(head: bytes, subprotocols: Container[str] = (), *, with_extensions: bool = False) -> RequestHead:
    """Parse and check a request head.

    Args:
        head: The head, up to and including the empty line at its end.
        subprotocols: The subprotocols that are passed on to the WebSocket parser if the client offers them.
        with_extensions: Whether to pass on to it the client's offer of compression, if it can be accepted.

    Raises:
        HTTPError: The head contains forbidden bytes or lines that are no header fields, contradicts itself, or asks
            for a WebSocket ambiguously.
    """
    if _FORBIDDEN.search(head) is not None:
        raise HTTPError(_FORBIDDEN_BYTES)
    request_line, *lines = head[: -len(END_OF_HEAD)].split(b"\r\n")
    words = request_line.split(b" ")
    if len(words) != 3 or not request_line.isascii() or _TOKEN.fullmatch(words[0]) is None:
        raise HTTPError(_MALFORMED_REQUEST_LINE)
    method, target, version = words
    host: bytes | None = None
    if not target.startswith(b"/") and target != b"*":
        host, target = _split_absolute_form(target)
        # RFC 9112 section 3.2.2: it replaces the Host field.
        lines = [b"Host: " + host if line[:5].lower() == b"host:" else line for line in lines]
        head = b"\r\n".join([b" ".join((method, target, version)), *lines]) + END_OF_HEAD
    if b"#" in target:
        # Some parsers cut it off with what follows, and then two of them see two paths.
        raise HTTPError(_FRAGMENT)
    path, _, query = target.partition(b"?")
    kept: list[bytes] = []
    singletons: dict[bytes, bytes] = {}
    lists: dict[bytes, list[bytes]] = {}
    is_upgrade = False
    user_agent = b""
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _TOKEN.fullmatch(name) is None:
            raise HTTPError(_MALFORMED_LINE)
        key = name.lower()
        if key in SINGLETON_FIELDS:
            if key in singletons:
                raise HTTPError(DUPLICATE_FIELD)
            singletons[key] = value.strip()
        if key in _HANDSHAKE_FIELDS:
            kept.append(line)
            if key == b"upgrade" and b"websocket" in value.lower():
                is_upgrade = True
        elif key in _LIST_FIELDS:
            lists.setdefault(key, []).append(value.strip())
        elif key == b"user-agent":
            user_agent = value
    if (coding := singletons.get(b"transfer-encoding")) is not None:
        if b"content-length" in singletons:
            raise HTTPError(_TWO_BODY_LENGTHS)
        # RFC 9112 section 6.1: reject an unknown coding. RFC 7230 had `identity`, whose body has no end.
        if coding.lower() != b"chunked":
            raise HTTPError(_UNSUPPORTED_CODING)
    if host is not None:
        singletons[b"host"] = host
    # Proxies that set Upgrade for every request mean a WebSocket only where the client sent these.
    is_upgrade = is_upgrade and not singletons.keys().isdisjoint((b"sec-websocket-key", b"sec-websocket-version"))
    if method not in (b"GET", b"POST"):
        return RequestHead(method, path.decode("ascii"), head, is_upgrade=False)
    request = RequestHead(
        method,
        path.decode("ascii"),
        head,
        is_upgrade=is_upgrade and method == b"GET",
        version=version,
        has_body=b"transfer-encoding" in singletons or singletons.get(b"content-length", b"0") != b"0",
        query=query.decode("ascii"),
        fields={name: value.decode("latin-1") for name, value in singletons.items()},
        cookie=_joined(lists.get(b"cookie"), b"; "),
        accept=_joined(lists.get(b"accept")),
        content_type=_joined(lists.get(b"content-type")),
        last_event_id=_joined(lists[b"last-event-id"]) if b"last-event-id" in lists else None,
        fetch_site=_joined(lists.get(b"sec-fetch-site")),
        forwarded_for=_joined(lists.get(b"x-forwarded-for")),
        forwarded_proto=_joined(lists.get(b"x-forwarded-proto")),
    )
    if not request.is_upgrade:
        return request
    if request.has_body:
        raise HTTPError(_UNEXPECTED_BODY)
    if (protocols := lists.get(b"sec-websocket-protocol")) is not None:
        request.subprotocols = _items(protocols)
        if known := [item for item in request.subprotocols if item in subprotocols]:
            kept.append(b"Sec-WebSocket-Protocol: " + ", ".join(known).encode("latin-1"))
    offers = lists.get(b"sec-websocket-extensions", ()) if with_extensions else ()
    if (offer := acceptable_offer(offers, user_agent)) is not None:
        kept.append(b"Sec-WebSocket-Extensions: " + offer)
    # Without the query, which may contain a ticket: the WebSocket parser needs no credential.
    request.websocket_head = b"\r\n".join([b" ".join((method, path, version)), *kept]) + END_OF_HEAD
    if not request.websocket_head.isascii():
        raise HTTPError(_FORBIDDEN_BYTES)
    return request


def _split_absolute_form(target: bytes) -> tuple[bytes, bytes]:
    """Return the host of a request target in absolute form, and the target in origin form.

    Raises:
        HTTPError: The target has another form. Without its slash twisted.web would take the rest for the path, unlike
            any proxy.
    """
    found = _ABSOLUTE_FORM.fullmatch(target)
    if found is None:
        raise HTTPError(_MALFORMED_TARGET)
    rest = found[2] or b""
    return found[1], rest if rest.startswith(b"/") else b"/" + rest


def _joined(values: list[bytes] | None, separator: bytes = b",") -> str:
    return "" if values is None else separator.join(values).decode("latin-1")


def _items(values: list[bytes]) -> tuple[str, ...]:
    """Return the items of a list field, each once, in order (RFC 9110 section 5.6.1).

    Raises:
        HTTPError: The values are not ASCII.
    """
    if not all(value.isascii() for value in values):
        raise HTTPError(_FORBIDDEN_BYTES)
    items = (item.strip() for value in values for item in value.decode("latin-1").split(","))
    return tuple(dict.fromkeys(item for item in items if item))
