"""The head of an HTTP/1.1 request, as far as the front door needs to know it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wsrelay.core.errors import RefusedError
from wsrelay.core.handshake import Refusal

__all__ = ["END_OF_HEAD", "RequestHead", "parse_head"]

END_OF_HEAD = b"\r\n\r\n"

# RFC 9112 section 2.2 and RFC 9110 section 5.5: no control characters, no CR or LF but as the end of a line. Parsers
# behind the door take some of them for the end of a line, which would let a client smuggle header fields in.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# The fields a WebSocket handshake is made of (RFC 6455 section 4.1). The WebSocket parser gets these and no others:
# what it never sees it cannot misread, and a browser's long tail of headers costs nothing there. Origin is left out on
# purpose, because Autobahn refuses the `null` of a sandboxed page or a file; Sec-WebSocket-Extensions is passed on
# where it is wanted, in one line, because Autobahn refuses the legal form of two.
_HANDSHAKE_FIELDS = frozenset(
    (
        b"host",
        b"upgrade",
        b"connection",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
    )
)

_BAD_HEAD = Refusal(400, "The request head is malformed: a line in it is not a header field (RFC 9112).")
_BAD_BYTES = Refusal(400, "The request head holds bytes that have no business there (RFC 9112 section 2.2).")
_BODY = Refusal(400, "A WebSocket handshake has no body.")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request's head.

    Attributes:
        method: As it was sent.
        path: The request target without its query.
        upgrade: Whether this asks for a WebSocket.
        handshake: Where it does, the head that the WebSocket parser gets, else empty.
        forwarded_for: Where it does, all values of X-Forwarded-For, joined by commas.
    """

    method: bytes
    path: str
    upgrade: bool
    handshake: bytes
    forwarded_for: str = ""


def parse_head(head: bytes, *, with_extensions: bool = False) -> RequestHead:
    """Look at a head, up to and with the empty line at its end.

    Args:
        head: The bytes.
        with_extensions: Whether the WebSocket parser is to know which extensions the client offers.

    Raises:
        RefusedError: It holds forbidden bytes or lines that are no header fields, or it asks for a WebSocket in a
            way that could be read in two ways.
    """
    if _FORBIDDEN.search(head) is not None:
        raise RefusedError(_BAD_BYTES)
    request_line, *lines = head[: -len(END_OF_HEAD)].split(b"\r\n")
    words = request_line.split(b" ")
    if len(words) != 3 or not request_line.isascii() or _TOKEN.fullmatch(words[0]) is None:
        raise RefusedError(Refusal(400, "The request line is malformed (RFC 9112 section 3)."))
    method, target, _version = words
    kept = [request_line]
    extensions: list[bytes] = []
    forwarded_for: list[bytes] = []
    upgrade = body = False
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _TOKEN.fullmatch(name) is None:
            raise RefusedError(_BAD_HEAD)
        key = name.lower()
        if key in _HANDSHAKE_FIELDS:
            kept.append(line)
            if key == b"upgrade" and b"websocket" in value.lower():
                upgrade = True
        elif key == b"sec-websocket-extensions":
            extensions.append(value.strip())
        elif key == b"x-forwarded-for":
            forwarded_for.append(value)
        elif key == b"transfer-encoding" or (key == b"content-length" and value.strip() != b"0"):
            body = True
    path = target.partition(b"?")[0].decode("ascii")
    if not upgrade or method != b"GET":
        return RequestHead(method, path, upgrade=False, handshake=b"")
    if with_extensions and extensions:
        kept.append(b"Sec-WebSocket-Extensions: " + b", ".join(extensions))
    handshake = b"\r\n".join(kept) + END_OF_HEAD
    if body:
        raise RefusedError(_BODY)
    if not handshake.isascii():
        raise RefusedError(_BAD_BYTES)
    return RequestHead(method, path, True, handshake, b",".join(forwarded_for).decode("latin-1"))
