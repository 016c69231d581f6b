"""Requests that parsers read differently, one hidden in another."""

from __future__ import annotations

from random import Random

from devtools.attacks.attack import attack
from devtools.attacks.context import AttackContext, outcome_of
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import head, upgrade

__all__ = ["HIDDEN", "HOST", "assert_rejected", "honest"]

HOST = "Host: relay.example"
HIDDEN = head("GET /healthz HTTP/1.1", HOST)
"""A valid request, to be hidden in the body of another one."""

CHUNKED = "Transfer-Encoding: chunked"
SIZE = f"Content-Length: {len(HIDDEN)}"


async def honest(context: AttackContext) -> None:
    """Show that a legitimate request and a legitimate handshake succeed."""
    context.control("GET", await context.request(RelayName.OPEN, HIDDEN), "200")
    context.control("a handshake", await context.handshake(RelayName.OPEN, "/ws/news"))


async def assert_rejected(context: AttackContext, what: str, request: bytes, *expected: str) -> None:
    """Assert that a request is rejected in one of the expected ways."""
    context.assert_rejected(what, await context.request(RelayName.OPEN, request), *expected)


async def _hide(context: AttackContext, what: str, request: bytes, *expected: str) -> None:
    connection, response = await context.exchange(RelayName.OPEN, request)
    context.assert_rejected(what, outcome_of(connection, response), *expected)
    # Behind a malformed request nothing may be read.
    ended = await connection.wait_for_end(2) != "open" and connection.received.count(b"HTTP/1.") == 1
    context.assert_harmless("nothing behind it", ended, f"{what}: what was hidden is answered")


@attack()
async def request_behind_a_request(context: AttackContext) -> None:
    """Send a second request on a connection: at once, and after the response."""
    await honest(context)
    for second in (HIDDEN, upgrade("/ws/news"), upgrade("/ws/news", "\tX-Note: a"), b"GET /healthz HTTP/1.1\r\n"):
        for pause in (0.0, 0.05):
            connection = await context.connect(RelayName.OPEN)
            connection.send(HIDDEN)
            await connection.wait_for_data(pause)
            connection.send(second)
            context.control("the first one", outcome_of(connection, await connection.response()), "200")
            context.assert_rejected(f"{second[:20]!r}", outcome_of(connection, await connection.response(2)), "closed")


@attack()
async def request_in_a_body(context: AttackContext) -> None:
    """Hide a request by CL.TE, TE.CL, two lengths, and lengths and codings that parsers read differently."""
    await honest(context)
    for fields in (
        (SIZE, CHUNKED),
        (CHUNKED, SIZE),
        (SIZE, SIZE),
        (SIZE, "Content-Length: 0"),
        (f"{SIZE}, 0",),
        (f"{SIZE}, {len(HIDDEN)}",),
        (f"Content-Length: +{len(HIDDEN)}",),
        ("Content-Length: 0x5",),
        ("Content-Length: 1_0",),
        ("Content-Length: -1",),
        ("Content-Length:",),
        ("Content-Length: \xb2",),
        (CHUNKED, CHUNKED),
        (CHUNKED, "Transfer-Encoding: identity"),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: chunked, chunked",),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding:",),
    ):
        request = head("POST /healthz HTTP/1.1", HOST, *fields) + b"0\r\n\r\n" + HIDDEN
        await _hide(context, f"{fields}", request, "400", "501")


@attack()
async def coding_is_identity(context: AttackContext) -> None:
    """Send Transfer-Encoding: identity, which RFC 9112 has removed, alone and beside a length."""
    await honest(context)
    for fields in (("Transfer-Encoding: identity",), (SIZE, "Transfer-Encoding: identity")):
        request = head("POST /healthz HTTP/1.1", HOST, *fields) + HIDDEN
        await assert_rejected(context, f"{fields}", request, "400", "501")


@attack()
async def request_in_a_chunk(context: AttackContext) -> None:
    """Hide a request in malformed chunk sizes, extensions and ends, and in chunks of HTTP/1.0."""
    await honest(context)
    chunked = head("GET /healthz HTTP/1.1", HOST, CHUNKED)
    context.control("chunks", await context.request(RelayName.OPEN, chunked + b"5;a=b\r\nhello\r\n0\r\n\r\n"), "200")
    end = b"0\r\n\r\n"
    for body in (
        b"5\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"5_0\r\nhello\r\n",
        b"\r\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;a\x00b\r\nhello\r\n",
        b"5\r\nhelloXX",
        b"5\r\nhello\n",
    ):
        await _hide(context, f"{body!r}", chunked + body + end + HIDDEN, "400")
    await assert_rejected(context, "a size beyond all", chunked + b"100000000000000000\r\nhello", "400", "408", "413")
    old = head("GET /healthz HTTP/1.0", HOST, CHUNKED) + b"5\r\nhello\r\n" + end + HIDDEN
    connection, _ = await context.exchange(RelayName.OPEN, old)
    ended = await connection.wait_for_end(1)
    context.assert_harmless(
        "HTTP/1.0 ends there", ended and connection.received.count(b"HTTP/1.") == 1, "two answers to HTTP/1.0"
    )


@attack()
async def fields_twice(context: AttackContext) -> None:
    """Send two Host, Origin, Authorization, Sec-WebSocket-Key or -Version, equal or not."""
    await honest(context)
    for field in (
        HOST,
        "Host: evil.example",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 8",
        "sec-websocket-version: 13",
    ):
        await assert_rejected(context, field, upgrade("/ws/news", field), "400")
    for name, first, second in (
        ("Origin", "http://relay.example", "https://evil.example"),
        ("Authorization", "Bearer one", "Bearer two"),
    ):
        both = upgrade("/ws/news", f"{name}: {first}", f"{name.lower()}: {second}")
        await assert_rejected(context, f"two {name}", both, "400")
    await assert_rejected(context, "two Host", head("GET /healthz HTTP/1.1", HOST, "Host: evil.example"), "400")


@attack()
async def lines_are_malformed(context: AttackContext) -> None:
    """Send bare CR and LF, space before the colon, no colon, no name, NUL, and folded lines."""
    await honest(context)
    for field in (
        b"X-Note: a\nX-More: b",
        b"X-Note: a\rX-More: b",
        b"X-Note: a\r\r",
        b"X-Note : a",
        b"X-Note\t: a",
        b"Transfer-Encoding : chunked",
        b": a",
        b"X-Note",
        b"X-Note: \x00",
        b"X(Note): a",
    ):
        for request in (head("GET /healthz HTTP/1.1", HOST, field), upgrade("/ws/news", field)):
            await assert_rejected(context, repr(field), request, "400")
    for request in (head("GET /healthz HTTP/1.1", HOST, " X-Note: a"), upgrade("/ws/news", "\tX-Note: a")):
        context.assert_rejected("obs-fold", await context.request(RelayName.OPEN, request), "400")
    context.assert_rejected(
        "first line", await context.request(RelayName.OPEN, head("GET /healthz HTTP/1.1", " X: a", HOST)), "400"
    )


@attack()
async def requests_are_noise(context: AttackContext) -> None:
    """Send three hundred heads with bytes changed, removed and repeated, with a fixed seed."""
    await honest(context)
    rng = Random(7)  # noqa: S311 -- no secret depends on it
    whole = (
        upgrade("/ws/news?ticket=x", "Sec-WebSocket-Protocol: wsrelay"),
        head("POST /healthz HTTP/1.1", HOST, "Content-Length: 5") + b"hello",
    )
    for number in range(300):
        noise = bytearray(whole[number % 2])
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(noise))
            match rng.randrange(4):
                case 0:
                    noise[at] = rng.randrange(256)
                case 1:
                    del noise[at : at + rng.randint(1, 8)]
                case 2:
                    noise[at:at] = noise[at : at + rng.randint(1, 20)]
                case _:
                    noise[at:at] = rng.randbytes(rng.randint(1, 4))
        connection = await context.connect(RelayName.OPEN)
        connection.send(bytes(noise) + HIDDEN)
        await connection.wait_for_data(0.02)
        connection.close()
    await honest(context)
    # An error would be in the log, which is searched in the end.
    context.assert_harmless("others are answered", True, "")
