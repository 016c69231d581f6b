"""Event streams: without a right, with hostile requests, and by clients that send or do not read."""

from __future__ import annotations

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.context import AttackContext, outcome_of
from devtools.attacks.relay_setups import COOKIE, RelayName
from devtools.harness.http import head, upgrade
from devtools.harness.raw_connection import is_held_by_relay, wait_until

HOST = "Host: relay.example"
PRIVATE = "/sse/room:1"
CHANNELS = 32
"""So many channels may stand on one stream."""

MEMORY_MIB = 40
"""How much a relay may grow that a handful of connections attack."""


def _get(target: str, *fields: str | bytes) -> bytes:
    return head(f"GET {target} HTTP/1.1", HOST, "Accept: text/event-stream", *fields)


@attack()
async def stream_without_right(context: AttackContext) -> None:
    """Read a channel by a stream without a credential, with a spent ticket, and as the second of two channels."""
    ticket = await context.ticket(channels=["room:1"])
    context.control("a good ticket", await context.request(RelayName.GUARDED, _get(PRIVATE + ticket)), "200")
    other = f"&channel=room:2{(await context.ticket(channels=['room:1'])).replace('?', '&')}"
    for what, target, expected in (
        ("none", PRIVATE, "401 no_credential"),
        ("a spent ticket", PRIVATE + ticket, "401 ticket"),
        ("one that is promised", f"{PRIVATE}?auth=message", "400"),
        ("a channel beside the permitted one", f"{PRIVATE}?x={other}", "403 channel_denied"),
        ("a channel of the relay's own", f"{PRIVATE}?channel=$control", "400"),
    ):
        context.assert_rejected(what, await context.request(RelayName.GUARDED, _get(target)), expected)


@attack()
async def stream_of_another_site(context: AttackContext) -> None:
    """Have a browser read a stream for a page of another site, with the cookie of its user."""
    cookie = f"Cookie: {COOKIE}={context.secret(forge.signed(channels=['room:1']))}"
    good = await context.request(RelayName.GUARDED, _get(PRIVATE, cookie, "Origin: https://example.com"))
    context.control("of an allowed one", good, "200")
    for what, field, expected in (
        ("with its origin", "Origin: https://evil.example", "403 origin"),
        ("without", "X-Nothing: here", "403 no_origin"),
        ("as an image", "Sec-Fetch-Site: cross-site", "403 no_origin"),
        ("of a sibling domain", "Sec-Fetch-Site: same-site", "403 no_origin"),
        ("of two kinds", "Sec-Fetch-Site: same-origin, cross-site", "403 no_origin"),
    ):
        connection, response = await context.exchange(RelayName.GUARDED, _get(PRIVATE, cookie, field))
        context.assert_rejected(what, outcome_of(connection, response), expected)
        is_permitted = response is not None and "access-control-allow-origin" in response.headers
        context.assert_harmless("not readable", not is_permitted, f"{what}: the page may read the answer")
    preflight = head("OPTIONS /sse/room:1 HTTP/1.1", HOST, "Origin: https://evil.example")
    context.assert_rejected("preflight", await context.request(RelayName.GUARDED, preflight), "403 origin")


@attack()
async def stream_request_hostile(context: AttackContext) -> None:
    """Put line ends, NUL, too many channels, bodies, and positions of all kinds into the request for a stream."""
    names = "&".join(f"channel=c{number}" for number in range(CHANNELS - 1))
    context.control("many channels", await context.request(RelayName.OPEN, _get(f"/sse/news?{names}")), "200")
    for what, request, expected in (
        ("a channel too many", _get(f"/sse/news?{names}&channel=more"), "400"),
        ("parameters without end", _get("/sse/news?" + "&".join(["channel=news"] * 1000)), "400"),
        ("a line end in a channel", _get("/sse/news?channel=a%0d%0aevent:%20x"), "400"),
        ("NUL in a position", _get("/sse/news", b"Last-Event-ID: 1\x00"), "400"),
        ("a bare line feed in a position", _get("/sse/news", b"Last-Event-ID: 1\nX: y"), "400"),
        ("a position too long", _get("/sse/news", "Last-Event-ID: " + "9" * 20_000), "431"),
        ("a body", _get("/sse/news", "Content-Length: 5") + b"hello", "400"),
        ("a body in chunks", _get("/sse/news", "Transfer-Encoding: chunked") + b"0\r\n\r\n", "400"),
        ("a method that writes", head("POST /sse/news HTTP/1.1", HOST, "Content-Length: 0"), "405"),
        ("a WebSocket", upgrade("/sse/news"), "404"),
        ("another version", head("GET /sse/news HTTP/3.0", HOST), "505"),
    ):
        context.assert_rejected(what, await context.request(RelayName.OPEN, request), expected)
    for position in ("9" * 15_000, "," * 15_000, "1-0,2-0\t", "\xff" * 100, "id: 5", "%00", "~" + "9" * 30):
        connection, response = await context.exchange(RelayName.OPEN, _get("/sse/news", f"Last-Event-ID: {position}"))
        # Never an error, for an EventSource would not come back.
        context.control("any position", outcome_of(connection, response), "200")
        await connection.wait_for_data(2)
        is_repeated = position.encode("latin-1") in connection.received
        context.assert_harmless("not repeated", not is_repeated, "a position is sent back")


@attack(exclusive=RelayName.FLOODED)
async def stream_flood(context: AttackContext) -> None:
    """Send without end on streams, and read nothing from others of a busy channel."""
    relay = await context.relay(RelayName.FLOODED)
    before = relay.resident_bytes()
    for target in ("/sse/news", "/sse/news?channel=talk:1"):
        connection = await context.connect(RelayName.FLOODED)
        connection.send(_get(target))
        context.control("a stream", outcome_of(connection, await connection.response()), "200")
        await connection.flood(b"x" * 0x4000, 400)
        context.assert_harmless("ended", await connection.wait_for_end(5) != "open", "a flood is read for ever")
    slow = [await context.connect(RelayName.FLOODED, receive_buffer=4096) for _ in range(4)]
    for number, connection in enumerate(slow):
        connection.send(_get("/sse/news?channel=other" if number % 2 else "/sse/news"))
        context.control("a slow reader", outcome_of(connection, await connection.response()), "200")
        connection.pause()
    for _ in range(60):
        await context.environment.publish("news", b"x" * 60_000)
    port = relay.port
    are_gone = await wait_until(lambda: not any(is_held_by_relay(port, each.port) for each in slow), 25)
    context.assert_harmless("slow readers are released", are_gone, "the relay holds streams that nobody reads")
    grown = (relay.resident_bytes() - before) >> 20
    context.assert_harmless("memory stays", grown < MEMORY_MIB, f"the relay grew by {grown} MiB")
