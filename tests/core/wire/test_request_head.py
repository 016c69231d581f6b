"""Tests of wsrelay.core.wire.request_head."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.http import KEY, head, upgrade
from wsrelay.core.outcomes.errors import HTTPError
from wsrelay.core.wire.request_head import END_OF_HEAD, RequestHead, parse_head


class ParseHeadTests(SynchronousTestCase):
    """Request heads."""

    def error_text(self, data: bytes) -> str:
        """Assert that a head is rejected with 400, and return the text."""
        error: HTTPError = self.assertRaises(HTTPError, parse_head, data)
        self.assertEqual(error.response.status, 400)
        return error.response.text

    def test_plain_request_has_method_and_path_without_query(self) -> None:
        data = head("PUT /a/b?c=d HTTP/1.1", "Host: x", "Content-Length: 3")
        self.assertEqual(parse_head(data), RequestHead(b"PUT", "/a/b", data, is_upgrade=False))

    def test_post_has_the_length_and_type_of_its_body_and_is_no_upgrade(self) -> None:
        lines = ("Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")
        found = parse_head(head("POST /a?c=d HTTP/1.1", "Host: x", "Content-Length: 3", "content-type: a/b", *lines))
        self.assertEqual(
            (found.has_body, found.fields[b"content-length"], found.text(b"content-type")), (True, b"3", "a/b")
        )
        self.assertEqual((found.is_upgrade, found.websocket_head, found.query), (False, b"", "c=d"))

    def test_target_in_absolute_form_is_its_path_at_its_host(self) -> None:
        """It replaces the Host field (RFC 9112 section 3.2.2)."""
        for target, path in (
            ("http://relay.example/healthz?x=1", "/healthz?x=1"),
            ("HTTPS://relay.example:8443/healthz", "/healthz"),
            ("http://relay.example", "/"),
            ("http://relay.example?x", "/?x"),
        ):
            found = parse_head(head(f"GET {target} HTTP/1.1", "Host: other.example"))
            self.assertEqual((found.path, found.is_upgrade), (path.partition("?")[0], False))
            host = target.partition("//")[2].partition("/")[0].partition("?")[0]
            self.assertEqual(found.head, head(f"GET {path} HTTP/1.1", f"Host: {host}"))
        found = parse_head(upgrade("http://a.example:81/ws/room?x=1"))
        self.assertEqual((found.path, found.query, found.text(b"host")), ("/ws/room", "x=1", "a.example:81"))
        self.assertIn(b"GET /ws/room HTTP/1.1\r\nHost: a.example:81\r\n", found.websocket_head)

    def test_upgrade_without_the_fields_of_a_handshake_is_a_plain_request(self) -> None:
        """Some proxies set Upgrade for every request."""
        lines = ("Host: x", "Upgrade: websocket", "Connection: upgrade")
        self.assertFalse(parse_head(head("GET /healthz HTTP/1.1", *lines)).is_upgrade)
        for line in (f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"):
            self.assertTrue(parse_head(head("GET /healthz HTTP/1.1", *lines, line)).is_upgrade)

    def test_cookies_in_several_lines_are_joined(self) -> None:
        """As front ends that speak HTTP/2 pass them on (RFC 9113 section 8.2.3)."""
        found = parse_head(upgrade("/ws/room", "Cookie: a=1; b=2", "cookie: c=3"))
        self.assertEqual(found.text(b"cookie"), "a=1; b=2; c=3")
        self.assertFalse(parse_head(head("GET / HTTP/1.1", "Host: x", "Cookie: a=1", "Cookie: a=1")).is_upgrade)

    def test_acceptable_offer_of_compression_is_passed_on_if_wanted(self) -> None:
        lines = (
            "Sec-WebSocket-Extensions: foo; a=b",
            "Sec-WebSocket-Extensions: permessage-deflate; x, permessage-deflate",
        )
        wanted = parse_head(upgrade("/ws/room", *lines), with_extensions=True).websocket_head
        self.assertIn(b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n", wanted)
        for data in (
            parse_head(upgrade("/ws/room", *lines)),
            parse_head(upgrade("/ws/room", lines[0]), with_extensions=True),
            parse_head(upgrade("/ws/room"), with_extensions=True),
        ):
            self.assertNotIn(b"Extensions", data.websocket_head)

    def test_get_has_what_an_event_stream_needs_without_being_an_upgrade(self) -> None:
        found = parse_head(
            head(
                "GET /sse/a?channel=b HTTP/1.0",
                "Host: x",
                "Accept: text/html",
                "accept: text/event-stream",
                "Last-Event-ID: 5-0.00000000",
                "Sec-Fetch-Site: same-origin",
                "Authorization: Ticket t",
                "Cookie: a=1",
                "X-Forwarded-For: 192.0.2.1",
                "X-Forwarded-Proto: https",
            )
        )
        self.assertEqual((found.is_upgrade, found.version, found.has_body), (False, b"HTTP/1.0", False))
        self.assertEqual((found.path, found.query), ("/sse/a", "channel=b"))
        self.assertEqual(
            found.fields,
            {
                b"host": b"x",
                b"accept": b"text/html,text/event-stream",
                b"last-event-id": b"5-0.00000000",
                b"sec-fetch-site": b"same-origin",
                b"authorization": b"Ticket t",
                b"cookie": b"a=1",
                b"x-forwarded-for": b"192.0.2.1",
                b"x-forwarded-proto": b"https",
            },
        )

    def test_announced_body_of_a_get_is_reported(self) -> None:
        for line in ("Content-Length: 5", "Transfer-Encoding: chunked"):
            self.assertTrue(parse_head(head("GET /sse/a HTTP/1.1", "Host: x", line)).has_body)
        self.assertFalse(parse_head(head("GET /sse/a HTTP/1.1", "Host: x", "Content-Length: 0")).has_body)

    def test_head_without_fields_is_valid(self) -> None:
        self.assertEqual(parse_head(head("GET / HTTP/1.1")).path, "/")

    def test_websocket_parser_gets_path_handshake_fields_and_known_subprotocols(self) -> None:
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
        self.assertEqual((found.method, found.path, found.is_upgrade), (b"GET", "/ws/room", True))
        self.assertEqual(
            found.websocket_head,
            head(
                "GET /ws/room HTTP/1.1",
                "HOST: relay.example",
                "upgrade: WebSocket",
                "Connection: keep-alive, Upgrade",
                f"Sec-WebSocket-Key: {KEY}",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Protocol: chat, relay",
            ),
        )

    def test_credentials_are_kept_from_the_websocket_parser(self) -> None:
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
        self.assertEqual(found.text(b"authorization"), "Bearer a.b.c")
        self.assertEqual((found.text(b"origin"), found.text(b"cookie")), ("https://a.example", "a=\xe9"))
        self.assertEqual(found.subprotocols, ("wsrelay.token.a.b.c", "x"))
        self.assertEqual(found.text(b"x-forwarded-for"), "192.0.2.1,192.0.2.2, 192.0.2.3")
        self.assertEqual(found.text(b"x-forwarded-proto"), "https")
        self.assertNotIn(b"a.b.c", found.websocket_head)
        self.assertNotIn(b"ticket", found.websocket_head)
        self.assertNotIn("a.b.c", repr(found))
        self.assertNotIn("ticket", repr(found).replace(repr(found.websocket_head), ""))

    def test_duplicate_singleton_field_is_rejected_with_400(self) -> None:
        """In a handshake and in any other request."""
        names = ("Host", "origin", "Authorization", "Content-Length", "Transfer-Encoding")
        for name in (*names, "Sec-WebSocket-Key", "Sec-WebSocket-Version"):
            for make in (upgrade, lambda path, *lines: head(f"POST {path} HTTP/1.1", *lines)):
                data = make("/ws/room", f"{name}: 1", f"{name.upper()}: 1")
                self.assertEqual(
                    self.error_text(data), "A header field that may occur once occurs twice in the request head."
                )

    def test_transfer_encoding_beside_content_length_is_rejected_with_400(self) -> None:
        data = head("POST / HTTP/1.1", "Host: x", "Content-Length: 1", "Transfer-Encoding: chunked")
        self.assertEqual(
            self.error_text(data),
            "A request may have Transfer-Encoding or Content-Length, not both (RFC 9112 section 6.1).",
        )

    def test_upgrade_by_another_method_is_a_plain_request(self) -> None:
        self.assertFalse(parse_head(upgrade().replace(b"GET", b"POST", 1)).is_upgrade)

    def test_upgrade_to_another_protocol_is_a_plain_request(self) -> None:
        self.assertFalse(parse_head(head("GET / HTTP/1.1", "Host: x", "Upgrade: h2c")).is_upgrade)

    def test_handshake_with_a_body_is_rejected_with_400(self) -> None:
        for line in (
            "Content-Length: 1",
            "Content-Length: 00",
            "Transfer-Encoding: chunked",
            "transfer-encoding: CHUNKED",
        ):
            self.assertEqual(self.error_text(upgrade("/ws/room", line)), "A WebSocket handshake has no body.")

    def test_transfer_coding_other_than_chunked_is_rejected_with_501(self) -> None:
        for coding in ("identity", "gzip, chunked", "chunked, identity", "x", ""):
            error = self.assertRaises(
                HTTPError, parse_head, head("POST / HTTP/1.1", "Host: x", f"Transfer-Encoding: {coding}")
            )
            self.assertEqual(error.response.status, 501, coding)

    def test_target_must_be_a_path_a_url_or_an_asterisk(self) -> None:
        """Any other would be read as another path by twisted.web than by a proxy."""
        odd = ("http:/healthz", "http://", "http:///healthz", "http://a@b/healthz", "http://a#b")
        for target in (
            "xmetrics",
            ".metrics",
            "?metrics",
            "\\metrics",
            "relay.example:80",
            "*/metrics",
            "ws://x/y",
            *odd,
        ):
            text = self.error_text(head(f"GET {target} HTTP/1.1", "Host: x"))
            expected = "it must be a path, or a URL with http or https (RFC 9112 section 3.2)."
            self.assertEqual(text, f"The request target is malformed: {expected}")
        for target in ("/", "*", "http://relay.example/metrics", "https://relay.example"):
            self.assertFalse(parse_head(head(f"GET {target} HTTP/1.1", "Host: x")).is_upgrade)

    def test_target_has_no_fragment(self) -> None:
        """Some parsers cut it off."""
        for target in ("/ws/#42", "/ws/room#", "/ws/room?a=b#c", "http://relay.example/ws/#42", "/#/../x"):
            text = self.error_text(head(f"GET {target} HTTP/1.1", "Host: x"))
            self.assertIn("write %23 for one in the name of a channel", text)
        self.assertEqual(parse_head(head("GET /ws/%2342?x=%23 HTTP/1.1", "Host: x")).path, "/ws/%2342")

    def test_control_characters_and_bare_cr_or_lf_are_rejected_with_400(self) -> None:
        for number in [*range(9), *range(10, 32), 127]:
            for line in (b"X: a" + bytes((number,)) + b"b", b"X" + bytes((number,)) + b": b"):
                text = self.error_text(head("GET / HTTP/1.1", line))
                self.assertEqual(text, "The request head contains forbidden bytes (RFC 9112 section 2.2).")
            self.error_text(f"GET /{chr(number)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def test_tabs_and_bytes_outside_ascii_are_valid_in_other_fields(self) -> None:
        self.assertTrue(parse_head(upgrade("/ws/room", "X:\ta\tb", "Cookie: \x80\x85\xff")).is_upgrade)

    def test_bytes_outside_ascii_in_handshake_fields_are_rejected_with_400(self) -> None:
        for line in ("Sec-WebSocket-Protocol: caf\xe9", "Sec-WebSocket-Protocol: a\x85b", "Host: \xff"):
            self.assertEqual(
                self.error_text(upgrade("/ws/room", line).replace(b"Host: relay.example\r\n", b"")),
                "The request head contains forbidden bytes (RFC 9112 section 2.2).",
            )

    def test_malformed_request_line_is_rejected_with_400(self) -> None:
        for line in (
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "",
            "G@T / HTTP/1.1",
            "GET /\xe9 X",
        ):
            self.assertEqual(self.error_text(head(line)), "The request line is malformed (RFC 9112 section 3).")

    def test_line_that_is_no_header_field_is_rejected_with_400(self) -> None:
        for line in ("nothing", "Host : x", ": x", " folded", "\tfolded: x", "a b: c"):
            self.assertEqual(
                self.error_text(head("GET / HTTP/1.1", line)),
                "The request head is malformed: a line in it is not a header field (RFC 9112).",
            )

    def test_key_is_that_of_a_handshake_in_which_nothing_is_unusual(self) -> None:
        for data in (
            upgrade("/ws/room"),
            upgrade("/ws/room").replace(b"relay.example", b"[::1]:8000").replace(b": websocket", b":WebSocket "),
            upgrade("/ws/room").replace(b": Upgrade", b": keep-alive, Upgrade"),
            upgrade("http://relay.example:80/ws/room?x=1", "Cookie: \xe9", "Connection: x"),
        ):
            self.assertEqual(parse_head(data).key.decode(), KEY, data)
        self.assertEqual(parse_head(head("GET / HTTP/1.1", "Host: x", f"Sec-WebSocket-Key: {KEY}")).key, b"")

    def test_unusual_handshake_is_left_to_the_websocket_parser(self) -> None:
        plain = upgrade("/ws/room")
        for old, new in (
            (b"HTTP/1.1", b"HTTP/1.0"),
            (b"Version: 13", b"Version: 8"),
            (b"Version: 13", b"Version: +13"),
            (b": websocket", b": websocket, h2c"),
            (b": Upgrade", b": close"),
            (b": Upgrade", b": "),
            (b"Connection", b"X"),
            (b"Sec-WebSocket-Key", b"X"),
            (KEY.encode(), KEY[1:].encode()),
            (KEY.encode(), KEY.replace("==", "A=").encode()),
            (b"Host: relay.example\r\n", b""),
            (b"relay.example", b"relay.example:http"),
            (b"relay.example", b"::1"),
            (b"/ws/room", b"/ws/ro\tom"),
            (b"/ws/room", b"//ws/room"),
        ):
            found = parse_head(plain.replace(old, new))
            self.assertEqual((found.key, found.is_upgrade), (b"", True), (old, new))
            self.assertNotEqual(found.websocket_head, b"")

    @given(st.binary(max_size=200) | st.text(alphabet="GET /ws:\r\n\t HTPX1.", max_size=80).map(str.encode))
    def test_any_bytes_are_parsed_or_rejected(self, data: bytes) -> None:
        """The WebSocket parser gets plain lines of ASCII."""
        for start in (b"", b"GET /ws/x HTTP/1.1\r\n", b"GET /ws/x HTTP/1.1\r\nUpgrade: websocket\r\n"):
            try:
                found = parse_head(start + data + END_OF_HEAD)
            except HTTPError as error:
                self.assertEqual(error.response.status, 400)
            else:
                lines = found.websocket_head.decode("ascii").splitlines()
                self.assertEqual("\r\n".join([*lines, ""] if lines else []).encode(), found.websocket_head)
