"""Tests of wsrelay.core.wire.request_head."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.http import KEY, head, upgrade
from wsrelay.core.outcomes.errors import HTTPError
from wsrelay.core.wire.request_head import END_OF_HEAD, RequestHead, parse_head


class ParseHeadTests(SynchronousTestCase):
    """What the door needs to know of a head."""

    def refused(self, data: bytes) -> str:
        """The text of the 400 that a head gets."""
        error: HTTPError = self.assertRaises(HTTPError, parse_head, data)
        self.assertEqual(error.response.status, 400)
        return error.response.text

    def test_plain_request(self) -> None:
        """A request without an upgrade is named by method and path, the query cut off."""
        self.assertEqual(
            parse_head(head("POST /a/b?c=d HTTP/1.1", "Host: x", "Content-Length: 3")),
            RequestHead(b"POST", "/a/b", upgrade=False, handshake=b""),
        )

    def test_request_line_alone(self) -> None:
        """A head without fields is a head."""
        self.assertEqual(parse_head(head("GET / HTTP/1.1")).path, "/")

    def test_upgrade(self) -> None:
        """The WebSocket parser gets the path, the fields of the handshake and a subprotocol it may know of, no more."""
        found = parse_head(
            head(
                "GET /ws/room?x=1 HTTP/1.1",
                "HOST: relay.example",
                "User-Agent: a browser",
                "X-Forwarded-For: 6.6.6.6",
                "Cookie: a=\xe9\x85",
                "Origin: null",
                "upgrade: WebSocket",
                "Connection: keep-alive, Upgrade",
                f"Sec-WebSocket-Key: {KEY}",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Protocol: wsrelay.token.a.b.c, chat",
                "sec-websocket-protocol: relay",
                "Sec-WebSocket-Extensions: permessage-deflate",
                "Content-Length: 0",
            ),
            {"relay", "chat"},
        )
        self.assertEqual((found.method, found.path, found.upgrade), (b"GET", "/ws/room", True))
        self.assertEqual(
            found.handshake,
            head(
                "GET /ws/room HTTP/1.1",
                "HOST: relay.example",
                "upgrade: WebSocket",
                "Connection: keep-alive, Upgrade",
                f"Sec-WebSocket-Key: {KEY}",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Protocol: chat",
            ),
        )

    def test_what_is_kept(self) -> None:
        """What says who the client is is told to the house, and not to the WebSocket parser."""
        found = parse_head(
            upgrade(
                "/ws/room?ticket=abc",
                "Origin: https://a.example",
                "Authorization:  Bearer a.b.c ",
                "Cookie: a=\xe9",
                "Sec-WebSocket-Protocol: wsrelay.token.a.b.c, x,, x",
                "X-Forwarded-For: 192.0.2.1",
                "X-Forwarded-For: 192.0.2.2, 192.0.2.3",
                "X-Forwarded-Proto: https",
            )
        )
        self.assertEqual(found.query, "ticket=abc")
        self.assertEqual(found.fields[b"authorization"], "Bearer a.b.c")
        self.assertEqual((found.fields[b"origin"], found.fields[b"cookie"]), ("https://a.example", "a=\xe9"))
        self.assertEqual(found.protocols, ("wsrelay.token.a.b.c", "x"))
        self.assertEqual((found.forwarded_for, found.forwarded_proto), ("192.0.2.1,192.0.2.2, 192.0.2.3", "https"))
        self.assertNotIn(b"a.b.c", found.handshake)
        self.assertNotIn(b"ticket", found.handshake)
        self.assertNotIn("a.b.c", repr(found))
        self.assertNotIn("ticket", repr(found).replace(repr(found.handshake), ""))

    def test_twice(self) -> None:
        """A field that may stand there once and stands there twice is refused, in a handshake and anywhere else."""
        names = ("Host", "origin", "Authorization", "Cookie", "Content-Length", "Transfer-Encoding")
        for name in (*names, "Sec-WebSocket-Key", "Sec-WebSocket-Version"):
            for make in (upgrade, lambda path, *lines: head(f"POST {path} HTTP/1.1", *lines)):
                data = make("/ws/room", f"{name}: 1", f"{name.upper()}: 1")
                self.assertEqual(
                    self.refused(data), "A header field stands twice in the request head that may stand there once."
                )

    def test_two_lengths(self) -> None:
        """Two ways to say where a body ends contradict each other."""
        data = head("POST / HTTP/1.1", "Host: x", "Content-Length: 1", "Transfer-Encoding: chunked")
        self.assertEqual(
            self.refused(data), "Transfer-Encoding and Content-Length in one request contradict each other."
        )

    def test_only_get_upgrades(self) -> None:
        """An upgrade by another method is a request like any other: HTTP tells the client."""
        self.assertFalse(parse_head(upgrade().replace(b"GET", b"POST", 1)).upgrade)

    def test_other_upgrade(self) -> None:
        """An upgrade to something else is no WebSocket."""
        self.assertFalse(parse_head(head("GET / HTTP/1.1", "Host: x", "Upgrade: h2c")).upgrade)

    def test_body(self) -> None:
        """A handshake that announces a body could be read in two ways and is refused."""
        for line in (
            "Content-Length: 1",
            "Content-Length: 00",
            "Transfer-Encoding: chunked",
            "transfer-encoding: CHUNKED",
        ):
            self.assertEqual(self.refused(upgrade("/ws/room", line)), "A WebSocket handshake has no body.")

    def test_other_codings(self) -> None:
        """A body whose end only others could find is refused."""
        for coding in ("identity", "gzip, chunked", "chunked, identity", "x", ""):
            error = self.assertRaises(
                HTTPError, parse_head, head("POST / HTTP/1.1", "Host: x", f"Transfer-Encoding: {coding}")
            )
            self.assertEqual(error.response.status, 501, coding)

    def test_targets(self) -> None:
        """A target begins with its slash, or is a URL or an asterisk; all else would be taken for another path."""
        for target in ("xmetrics", ".metrics", "?metrics", "\\metrics", "relay.example:80", "*/metrics", "ws://x/y"):
            text = self.refused(head(f"GET {target} HTTP/1.1", "Host: x"))
            self.assertEqual(text, "The request target is malformed: it begins with a slash (RFC 9112 section 3.2).")
        for target in ("/", "*", "http://relay.example/metrics", "https://relay.example"):
            self.assertFalse(parse_head(head(f"GET {target} HTTP/1.1", "Host: x")).upgrade)

    def test_forbidden_bytes(self) -> None:
        """Each control character but the tab is refused, wherever it stands, and so is CR or LF alone."""
        for number in [*range(9), *range(10, 32), 127]:
            for line in (b"X: a" + bytes((number,)) + b"b", b"X" + bytes((number,)) + b": b"):
                text = self.refused(head("GET / HTTP/1.1", line))
                self.assertEqual(
                    text, "The request head holds bytes that have no business there (RFC 9112 section 2.2)."
                )
            self.refused(f"GET /{chr(number)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def test_allowed_bytes(self) -> None:
        """A tab, and bytes outside ASCII in a field of no interest, are let through."""
        self.assertTrue(parse_head(upgrade("/ws/room", "X:\ta\tb", "Cookie: \x80\x85\xff")).upgrade)

    def test_handshake_is_ascii(self) -> None:
        """Bytes outside ASCII in a field of the handshake are refused."""
        for line in ("Sec-WebSocket-Protocol: caf\xe9", "Sec-WebSocket-Protocol: a\x85b", "Host: \xff"):
            self.assertEqual(
                self.refused(upgrade("/ws/room", line).replace(b"Host: relay.example\r\n", b"")),
                "The request head holds bytes that have no business there (RFC 9112 section 2.2).",
            )

    def test_request_line(self) -> None:
        """A request line is three words of ASCII, the first one a token."""
        for line in (
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "",
            "G@T / HTTP/1.1",
            "GET /\xe9 X",
        ):
            self.assertEqual(self.refused(head(line)), "The request line is malformed (RFC 9112 section 3).")

    def test_lines(self) -> None:
        """A line without a colon, with a space before it, without a name, or folded, is no header field."""
        for line in ("nothing", "Host : x", ": x", " folded", "\tfolded: x", "a b: c"):
            self.assertEqual(
                self.refused(head("GET / HTTP/1.1", line)),
                "The request head is malformed: a line in it is not a header field (RFC 9112).",
            )

    @given(st.binary(max_size=200) | st.text(alphabet="GET /ws:\r\n\t HTPX1.", max_size=80).map(str.encode))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever the bytes are, a head is read or refused; what the WebSocket parser gets is plain ASCII lines."""
        for start in (b"", b"GET /ws/x HTTP/1.1\r\n", b"GET /ws/x HTTP/1.1\r\nUpgrade: websocket\r\n"):
            try:
                found = parse_head(start + data + END_OF_HEAD)
            except HTTPError as error:
                self.assertEqual(error.response.status, 400)
            else:
                lines = found.handshake.decode("ascii").splitlines()
                self.assertEqual("\r\n".join([*lines, ""] if lines else []).encode(), found.handshake)
