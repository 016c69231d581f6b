"""The head of an HTTP/1.1 request, as far as the front door needs to know it."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field

from wsrelay.core.outcomes.errors import HTTPError
from wsrelay.core.wire.http_response import ErrorResponse

__all__ = ["END_OF_HEAD", "ONCE", "TWICE", "RequestHead", "parse_head"]

END_OF_HEAD = b"\r\n\r\n"

# What may stand in a head once only. Of two, one party would take the first and another the last, and a proxy in
# between has checked only one of them (RFC 9112 sections 3.2 and 6.3, RFC 6455 section 11.3, RFC 6454 section 7.3,
# RFC 9110 section 11.6.2, RFC 6265 section 5.4).
ONCE = frozenset(
    (
        b"host",
        b"origin",
        b"authorization",
        b"cookie",
        b"content-length",
        b"transfer-encoding",
        b"sec-websocket-key",
        b"sec-websocket-version",
    )
)

TWICE = ErrorResponse(400, "A header field stands twice in the request head that may stand there once.")
"""For a head with a field of `ONCE` twice."""


# RFC 9112 section 2.2 and RFC 9110 section 5.5: no control characters, no CR or LF but as the end of a line. Parsers
# behind the door take some of them for the end of a line, which would let a client smuggle header fields in.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# The fields a WebSocket handshake is made of (RFC 6455 section 4.1). The WebSocket parser gets these and no others:
# what it never sees it cannot misread, and a browser's long tail of headers costs nothing there. Origin is left out on
# purpose, because it is looked at before and Autobahn refuses the `null` of a sandboxed page; Sec-WebSocket-Protocol,
# because a token may stand in it; Sec-WebSocket-Extensions is passed on where it is wanted, in one line, because
# Autobahn refuses the legal form of two.
_HANDSHAKE_FIELDS = frozenset((b"host", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version"))

# What may stand there several times, or in one line with commas: the same either way.
_LISTS = frozenset((b"sec-websocket-protocol", b"sec-websocket-extensions", b"x-forwarded-for", b"x-forwarded-proto"))

_BAD_HEAD = ErrorResponse(400, "The request head is malformed: a line in it is not a header field (RFC 9112).")
_BAD_BYTES = ErrorResponse(400, "The request head holds bytes that have no business there (RFC 9112 section 2.2).")
_BODY = ErrorResponse(400, "A WebSocket handshake has no body.")
_BAD_TARGET = ErrorResponse(400, "The request target is malformed: it begins with a slash (RFC 9112 section 3.2).")
_BAD_CODING = ErrorResponse(501, "No transfer coding but chunked is understood here (RFC 9112 section 6.1).")
_TWO_LENGTHS = ErrorResponse(400, "Transfer-Encoding and Content-Length in one request contradict each other.")


# Not frozen, and neither is a handshake: they are made for every client, and freezing doubles what that costs.
@dataclass(slots=True)
class RequestHead:
    """A request's head.

    Attributes:
        method: As it was sent.
        path: The request target without its query.
        upgrade: Whether this asks for a WebSocket. The rest is only told where it does.
        handshake: The head that the WebSocket parser gets.
        query: What stands behind the question mark of the request target.
        fields: The values of the fields that stand there once, by their names in lower case.
        protocols: The items of Sec-WebSocket-Protocol.
        forwarded_for: All values of X-Forwarded-For, joined by commas.
        forwarded_proto: All values of X-Forwarded-Proto, joined by commas.
    """

    method: bytes
    path: str
    upgrade: bool
    handshake: bytes = b""
    query: str = field(default="", repr=False)
    fields: dict[bytes, str] = field(default_factory=dict, repr=False)
    protocols: tuple[str, ...] = field(default=(), repr=False)
    forwarded_for: str = ""
    forwarded_proto: str = ""


def parse_head(head: bytes, protocols: Container[str] = (), *, with_extensions: bool = False) -> RequestHead:
    """Look at a head, up to and with the empty line at its end.

    Args:
        head: The bytes.
        protocols: The subprotocols that the WebSocket parser is to know of, if the client offers them.
        with_extensions: Whether it is to know which extensions the client offers.

    Raises:
        RefusedError: It holds forbidden bytes or lines that are no header fields, contradicts itself, or asks for a
            WebSocket in a way that could be read in two ways.
    """
    if _FORBIDDEN.search(head) is not None:
        raise HTTPError(_BAD_BYTES)
    request_line, *lines = head[: -len(END_OF_HEAD)].split(b"\r\n")
    words = request_line.split(b" ")
    if len(words) != 3 or not request_line.isascii() or _TOKEN.fullmatch(words[0]) is None:
        raise HTTPError(ErrorResponse(400, "The request line is malformed (RFC 9112 section 3)."))
    method, target, version = words
    # RFC 9112 section 3.2. Without its slash twisted.web would take the rest for the path, unlike any proxy.
    if not target.startswith((b"/", b"http://", b"https://")) and target != b"*":
        raise HTTPError(_BAD_TARGET)
    path, _, query = target.partition(b"?")
    kept: list[bytes] = []
    once: dict[bytes, bytes] = {}
    lists: dict[bytes, list[bytes]] = {}
    upgrade = False
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _TOKEN.fullmatch(name) is None:
            raise HTTPError(_BAD_HEAD)
        key = name.lower()
        if key in ONCE:
            if key in once:
                raise HTTPError(TWICE)
            once[key] = value.strip()
        if key in _HANDSHAKE_FIELDS:
            kept.append(line)
            if key == b"upgrade" and b"websocket" in value.lower():
                upgrade = True
        elif key in _LISTS:
            lists.setdefault(key, []).append(value.strip())
    if (coding := once.get(b"transfer-encoding")) is not None:
        if b"content-length" in once:
            raise HTTPError(_TWO_LENGTHS)
        # RFC 9112 section 6.1: what is not understood; RFC 7230 had `identity`, which ends nowhere.
        if coding.lower() != b"chunked":
            raise HTTPError(_BAD_CODING)
    if not upgrade or method != b"GET":
        return RequestHead(method, path.decode("ascii"), upgrade=False)
    if b"transfer-encoding" in once or once.get(b"content-length", b"0") != b"0":
        raise HTTPError(_BODY)
    offered: tuple[str, ...] = ()
    if (found := lists.get(b"sec-websocket-protocol")) is not None:
        offered = _items(found)
        kept += [b"Sec-WebSocket-Protocol: " + item.encode("latin-1") for item in offered if item in protocols][:1]
    if with_extensions and (extensions := lists.get(b"sec-websocket-extensions")) is not None:
        kept.append(b"Sec-WebSocket-Extensions: " + b", ".join(extensions))
    # Without the query, which may hold a ticket: what is behind the door needs no credential.
    handshake = b"\r\n".join([b" ".join((method, path, version)), *kept]) + END_OF_HEAD
    if not handshake.isascii():
        raise HTTPError(_BAD_BYTES)
    return RequestHead(
        method,
        path.decode("ascii"),
        upgrade=True,
        handshake=handshake,
        query=query.decode("ascii"),
        fields={name: value.decode("latin-1") for name, value in once.items()},
        protocols=offered,
        forwarded_for=_joined(lists.get(b"x-forwarded-for")),
        forwarded_proto=_joined(lists.get(b"x-forwarded-proto")),
    )


def _joined(values: list[bytes] | None) -> str:
    return "" if values is None else b",".join(values).decode("latin-1")


def _items(values: list[bytes]) -> tuple[str, ...]:
    """The items of a list field, each once, in order (RFC 9110 section 5.6.1).

    Raises:
        RefusedError: They are no text.
    """
    if not all(value.isascii() for value in values):
        raise HTTPError(_BAD_BYTES)
    items = (item.strip() for value in values for item in value.decode("latin-1").split(","))
    return tuple(dict.fromkeys(item for item in items if item))
