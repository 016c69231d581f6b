"""The head of an HTTP/1.1 request, as far as the router needs it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
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
_PERMITTED = bytes(number for number in range(256) if number in b"\t\r\n" or not (number < 32 or number == 127))
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
        b"user-agent",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        # No list, but of two there is none that could be meant, and with a comma it is not valid.
        b"x-request-id",
    )
)

_READ = SINGLETON_FIELDS | _HANDSHAKE_FIELDS | _LIST_FIELDS

_UNREAD = (b"accept-encoding", b"accept-language", b"cache-control", b"pragma", b"sec-fetch-dest", b"sec-fetch-mode")
"""The fields that browsers send besides, among others."""


def _spellings() -> dict[bytes, bytes]:
    """Return the fields that most clients send, as nearly all of them write the names.

    To look one up takes a quarter of the time of checking it against the grammar and making it lower case. The value is
    the name in lower case, or empty if the field is not read.
    """
    table: dict[bytes, bytes] = {}
    for name in (*_READ, *_UNREAD):
        usual = name.title().replace(b"Websocket", b"WebSocket").replace(b"-Id", b"-ID")
        table[name] = table[usual] = table[name.title()] = name if name in _READ else b""
    return table


_SPELLINGS = _spellings()

# A handshake as nearly every client sends it; see `RequestHead.key`. The key is 16 bytes in base64, of which Autobahn
# checks no more than this; a port is a number.
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_HOST = re.compile(rb"(?:[!-9;-~]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

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
        query: The part of the request target behind the question mark; may contain a ticket.
        fields: The values of the fields that the relay reads, by their names in lower case; those of several lines of
            one field are joined. The host is that of the request target if it names one.
        key: The Sec-WebSocket-Key of a handshake in which everything that a server has to check (RFC 6455 section
            4.2.1) is as nearly every client writes it. Of any other it is empty: whether it is valid is for the
            WebSocket parser to decide.
        subprotocols: The items of Sec-WebSocket-Protocol; may contain a token. Only if it asks for a WebSocket.
        offer: The offer of compression that can be accepted. If empty, there is none, or it is not wanted.
        websocket_lines: The lines of the head for the WebSocket parser.
    """

    method: bytes
    path: str
    head: bytes = field(repr=False)
    is_upgrade: bool
    version: bytes = b""
    has_body: bool = False
    query: str = field(default="", repr=False)
    fields: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    key: bytes = b""
    subprotocols: tuple[str, ...] = field(default=(), repr=False)
    offer: bytes = b""
    websocket_lines: Sequence[bytes] = field(default=(), repr=False)

    def text(self, name: bytes) -> str:
        """Return the value of a field, by its name in lower case; empty if it is not there."""
        value = self.fields.get(name)
        return "" if value is None else value.decode("latin-1")

    @property
    def websocket_head(self) -> bytes:
        """The head for the WebSocket parser: no query and no credential. Empty unless it asks for a WebSocket."""
        return b"\r\n".join(self.websocket_lines) + END_OF_HEAD if self.websocket_lines else b""


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
    # Each CR stands before an LF and each LF behind a CR if there are as many pairs as there are of each.
    pairs = head.count(b"\r\n")
    if head.translate(None, _PERMITTED) or head.count(b"\r") != pairs or head.count(b"\n") != pairs:
        raise HTTPError(_FORBIDDEN_BYTES)
    request_line, *lines = head[: -len(END_OF_HEAD)].split(b"\r\n")
    words = request_line.split(b" ")
    if len(words) != 3 or not request_line.isascii() or (words[0] != b"GET" and _TOKEN.fullmatch(words[0]) is None):
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
    fields, handshake_lines = _read_fields(lines)
    if (coding := fields.get(b"transfer-encoding")) is not None:
        if b"content-length" in fields:
            raise HTTPError(_TWO_BODY_LENGTHS)
        # RFC 9112 section 6.1: reject an unknown coding. RFC 7230 had `identity`, whose body has no end.
        if coding.lower() != b"chunked":
            raise HTTPError(_UNSUPPORTED_CODING)
    if method not in (b"GET", b"POST"):
        return RequestHead(method, path.decode("ascii"), head, is_upgrade=False)
    # Proxies that set Upgrade for every request mean a WebSocket only where the client sent the others.
    is_upgrade = (
        method == b"GET"
        and b"websocket" in fields.get(b"upgrade", b"").lower()
        and (b"sec-websocket-key" in fields or b"sec-websocket-version" in fields)
    )
    has_body = b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"
    request = RequestHead(
        method, path.decode("ascii"), head, is_upgrade, version, has_body, query.decode("ascii"), fields
    )
    if is_upgrade:
        # Without the query, which may contain a ticket: the WebSocket parser needs no credential.
        handshake_lines.insert(0, b" ".join((method, path, version)))
        _read_handshake(request, path, handshake_lines, subprotocols, with_extensions=with_extensions)
    if host is not None:
        fields[b"host"] = host
    return request


def _read_fields(lines: Iterable[bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Read the header fields.

    Returns:
        See `RequestHead.fields`; and the lines of the fields that a handshake is made of.

    Raises:
        HTTPError: A line is no header field, or one that may occur once occurs twice.
    """
    fields: dict[bytes, bytes] = {}
    kept: list[bytes] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        key = _SPELLINGS.get(name)
        if key is None:
            if _TOKEN.fullmatch(name) is None:
                raise HTTPError(_MALFORMED_LINE)
            key = name.lower()
            if key not in _READ:
                key = b""
        if not colon:
            raise HTTPError(_MALFORMED_LINE)
        if not key:
            continue
        if key not in fields:
            fields[key] = value.strip()
        elif key in SINGLETON_FIELDS:
            raise HTTPError(DUPLICATE_FIELD)
        else:
            fields[key] += (b"; " if key == b"cookie" else b",") + value.strip()
        if key in _HANDSHAKE_FIELDS:
            kept.append(line)
    return fields, kept


def _read_handshake(
    request: RequestHead, path: bytes, lines: list[bytes], subprotocols: Container[str], *, with_extensions: bool
) -> None:
    """Read what belongs to a WebSocket handshake.

    Args:
        request: The request, to which it is added.
        path: Its path.
        lines: The lines of the head for the WebSocket parser, so far.
        subprotocols: As for `parse_head`.
        with_extensions: As for `parse_head`.

    Raises:
        HTTPError: The handshake has a body, or bytes outside ASCII in what the WebSocket parser reads.
    """
    fields = request.fields
    if request.has_body:
        raise HTTPError(_UNEXPECTED_BODY)
    if (protocols := fields.get(b"sec-websocket-protocol")) is not None:
        request.subprotocols = _items(protocols)
        if known := [item for item in request.subprotocols if item in subprotocols]:
            lines.append(b"Sec-WebSocket-Protocol: " + ", ".join(known).encode("latin-1"))
    if with_extensions and (offers := fields.get(b"sec-websocket-extensions")) is not None:
        request.offer = acceptable_offer((offers,), fields.get(b"user-agent", b"")) or b""
        if request.offer:
            lines.append(b"Sec-WebSocket-Extensions: " + request.offer)
    request.websocket_lines = lines
    if _is_usual(request.version, path, fields):
        request.key = fields[b"sec-websocket-key"]
    elif not request.websocket_head.isascii():
        raise HTTPError(_FORBIDDEN_BYTES)


def _is_usual(version: bytes, path: bytes, fields: dict[bytes, bytes]) -> bool:
    """Return whether a handshake is valid by the looks of it: Autobahn accepts all of these, and some more."""
    connection = fields.get(b"connection", b"").lower()
    return (
        version == b"HTTP/1.1"
        and fields.get(b"sec-websocket-version") == b"13"
        and fields[b"upgrade"].lower() == b"websocket"
        and (
            connection == b"upgrade"
            or (b"upgrade" in map(bytes.strip, connection.split(b",")) and connection.isascii())
        )
        and _KEY.fullmatch(fields.get(b"sec-websocket-key", b"")) is not None
        and b"host" in fields
        and _HOST.fullmatch(fields[b"host"]) is not None
        # Autobahn splits the line at any white space, and reads two slashes as the beginning of a host.
        and b"\t" not in path
        and not path.startswith(b"//")
    )


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


def _items(value: bytes) -> tuple[str, ...]:
    """Return the items of a list field, each once, in order (RFC 9110 section 5.6.1).

    Raises:
        HTTPError: The value is not ASCII.
    """
    if not value.isascii():
        raise HTTPError(_FORBIDDEN_BYTES)
    items = (item.strip() for item in value.decode("latin-1").split(","))
    return tuple(dict.fromkeys(item for item in items if item))
