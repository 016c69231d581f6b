"""Requests for resources that are not public, and invalid handshakes."""

from __future__ import annotations

from devtools.attacks.attack import attack
from devtools.attacks.context import AttackContext, outcome_of
from devtools.attacks.relay_setups import RelayName
from devtools.attacks.scenarios.framing import HIDDEN, HOST, assert_rejected, honest
from devtools.harness.http import head, upgrade


@attack()
async def targets_are_strange(context: AttackContext) -> None:
    """Send absolute and authority form, OPTIONS *, HTTP/0.9 and 2, other versions, spaces, unknown paths."""
    await honest(context)
    for request_line, expected in (
        ("GET /healthz", "400"),
        ("GET  /healthz HTTP/1.1", "400"),
        ("GET /heal thz HTTP/1.1", "400"),
        ("GET\t/healthz\tHTTP/1.1", "400"),
        ("GET http://evil.example/nothing HTTP/1.1", "404"),
        ("GET http://user@evil.example/healthz HTTP/1.1", "400"),
        ("GET ftp://evil.example/healthz HTTP/1.1", "400"),
        ("CONNECT evil.example:443 HTTP/1.1", "400"),
        ("OPTIONS /nothing HTTP/1.1", "404"),
        ("G\xcbT /healthz HTTP/1.1", "400"),
        ("GET /healthz\xff HTTP/1.1", "400"),
    ):
        context.assert_rejected(request_line, await context.request(RelayName.OPEN, head(request_line, HOST)), expected)
    context.assert_rejected(
        "HTTP/2", await context.request(RelayName.OPEN, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "400", "404", "505"
    )
    for path in ("http://relay.example//ws/news", "//ws/news", "/ws", "/WS/news", "/%77s/news", "/x/../ws/news"):
        context.assert_rejected(path, await context.handshake(RelayName.OPEN, path), "404")
    for version in ("HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "HTTP/11", "http/1.1", "ICY/1.1"):
        request = upgrade("/ws/news").replace(b"HTTP/1.1", version.encode(), 1)
        context.assert_rejected(version, await context.request(RelayName.OPEN, request), "505", "400")


@attack()
async def target_begins_with_no_slash(context: AttackContext) -> None:
    """Request paths without the first slash, which a proxy that protects /metrics would not recognize."""
    metrics = head("GET /metrics HTTP/1.1", HOST)
    context.control("the metrics", await context.request(RelayName.OPEN, metrics), "200")
    for path in ("xmetrics", ".metrics", "?metrics", "\\metrics"):
        await assert_rejected(context, path, head(f"GET {path} HTTP/1.1", HOST), "400", "404")
    for path in ("//metrics", "/healthz/../metrics", "/static/../metrics", "/./metrics"):
        connection, _ = await context.exchange(RelayName.OPEN, head(f"GET {path} HTTP/1.1", HOST))
        context.assert_harmless("no metrics", b"wsrelay_" not in connection.received, f"{path} shows the metrics")


@attack()
async def upgrades_are_strange(context: AttackContext) -> None:
    """Upgrade with a body, by other methods, versions and protocols, and without a key."""
    await honest(context)
    for field in ("Content-Length: 5", "Content-Length: 00", "Transfer-Encoding: chunked"):
        seen = await context.request(RelayName.OPEN, upgrade("/ws/news", field) + b"hello")
        context.assert_rejected(field, seen, "400")
    for method in ("POST", "PUT", "get", "OPTIONS", "TRACE"):
        request = upgrade("/ws/news").replace(b"GET", method.encode(), 1)
        await assert_rejected(context, method, request, "405")
    for old, new, expected in (
        (b"Upgrade: websocket", b"Upgrade: h2c", "426"),
        (b"Upgrade: websocket", b"Upgrade: websocket2", "400"),
        (b"Connection: Upgrade", b"Connection: close", "400"),
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8", "426"),
        (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: x", "400"),
        (b"Sec-WebSocket-Key: ", b"X-Key: ", "400"),
        (b"Host: relay.example", b"X-Host: relay.example", "400"),
        (b"Host: relay.example", b"Host: relay.example:http", "400"),
    ):
        await assert_rejected(context, f"{new!r}", upgrade("/ws/news").replace(old, new, 1), expected)


@attack()
async def files_of_others(context: AttackContext) -> None:
    """Climb out of /static/, and try open redirects, TRACE, and features of Autobahn's status page."""
    context.control("a file", await context.request(RelayName.OPEN, head("GET /static/chat.js HTTP/1.1", HOST)), "200")
    for path in (
        "/static/../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/service.py",
        "/static/..%2f..%2fservice.py",
        "/static/..\\..\\service.py",
        "/static//etc/passwd",
        "/static/chat.js%00.css",
        "/static/",
        "/static",
        "/.git/config",
        "/API/tickets",
    ):
        context.assert_rejected(path, await context.request(RelayName.OPEN, head(f"GET {path} HTTP/1.1", HOST)), "404")
    for path, status in (("/?redirect=https://evil.example", 200), ("/ws/x?redirect=https://evil.example", 426)):
        _, response = await context.exchange(RelayName.OPEN, head(f"GET {path} HTTP/1.1", HOST))
        context.control("an answer", response is not None and response.status, status)
        leads_away = response is not None and ("location" in response.headers or b"evil.example" in response.body)
        context.assert_harmless("no redirect", not leads_away, f"{path} leads away")
    for path in ("/", "/healthz", "/static/chat.js", "/ws/news"):
        connection, response = await context.exchange(
            RelayName.OPEN, head(f"TRACE {path} HTTP/1.1", HOST, "Cookie: told=to-nobody")
        )
        context.assert_rejected(f"TRACE {path}", outcome_of(connection, response), "405")
        context.assert_harmless("nothing repeated", b"told" not in connection.received, "TRACE repeats a cookie")


@attack()
async def responses_are_split(context: AttackContext) -> None:
    """Have encoded line ends in a channel name, a path and a query repeated in a response."""
    await honest(context)
    split = "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
    for request, status in (
        (upgrade(f"/ws/news{split}"), "400"),
        (upgrade(f"/ws/{split}"), "400"),
        (head(f"GET /{split} HTTP/1.1", HOST), "404"),
        (head(f"GET /ws/{split} HTTP/1.1", HOST), "400"),
        (upgrade("/ws/news", f"Sec-WebSocket-Protocol: wsrelay{split}"), "101"),
        (upgrade(f"/ws/news?{split}"), "101"),
    ):
        connection, response = await context.exchange(RelayName.OPEN, request)
        context.control("an answer", outcome_of(connection, response), status)
        repeated = any(text in connection.received for text in (b"Cookie", b"script", b"%0d"))
        context.assert_harmless("nothing repeated", not repeated, f"{request[:40]!r} is repeated in the answer")
    context.control("a request", await context.request(RelayName.OPEN, HIDDEN), "200")
