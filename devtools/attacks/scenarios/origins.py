"""Pages of other sites, and lookalike origins."""

from __future__ import annotations

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.context import ROOM, AttackContext
from devtools.attacks.relay_setups import COOKIE, RelayName

ALLOWED = "Origin: https://example.com"

FOREIGN = (
    "https://evil.example",
    "https://example.com.evil.tld",
    "https://evilexample.com",
    "https://example.com@evil.tld",
    "https://evil.tld/https://example.com",
    "https://evil.tld#https://example.com",
    "https://example.com:444",
    "https://example.com:0",
    "https://example.com:",
    "https://example.com:443:443",
    "https://example.com.",
    "https://.example.com",
    "https://*.example.org",
    "https://example.org",
    "https://.example.org",
    "https://a.example.org.evil.tld",
    "https://aexample.org",
    "http://example.com",
    "http://example.com:443",
    "wss://example.com",
    "https://sub.example.com",
    "https://example.com https://evil.tld",
    "https://evil.tld, https://example.com",
    "https:example.com",
    "//example.com",
    "example.com",
    "https://example.com/",
    "https://example.com/page",
    "https://[example.com]",
    "https://ex\xe4mple.com",
    "null",
    "*",
    "",
)


@attack()
async def foreign_origin(context: AttackContext) -> None:
    """Use origins that begin or end like an allowed one, and invalid ones, with a valid token."""
    token = context.bearer(forge.signed())
    for good in ("https://example.com", "https://example.com:443", "https://a.example.org", "https://a.b.example.org"):
        context.control(good, await context.handshake(RelayName.GUARDED, ROOM, token, f"Origin: {good}"))
    for origin in FOREIGN:
        seen = await context.handshake(RelayName.GUARDED, ROOM, token, f"Origin: {origin}".encode("latin-1"))
        context.assert_rejected(repr(origin), seen, "403 origin")


@attack()
async def origin_of_another_host(context: AttackContext) -> None:
    """Use origins of another host or port at a relay without configured origins."""
    for good in ("http://relay.example", "https://relay.example", "http://relay.example:80"):
        context.control(good, await context.handshake(RelayName.OPEN, "/ws/news", f"Origin: {good}"))
    for origin in (
        "http://relay.example.evil.tld",
        "http://evil-relay.example",
        "http://relay.example:81",
        "http://relay.example:0",
        "http://sub.relay.example",
        "http://relay.example@evil.tld",
        "ftp://relay.example",
        "file://",
        "null",
        "",
    ):
        context.assert_rejected(
            repr(origin), await context.handshake(RelayName.OPEN, "/ws/news", f"Origin: {origin}"), "403 origin"
        )


@attack()
async def no_origin_where_required(context: AttackContext) -> None:
    """Send no Origin, an empty one, and one in another field, where it is required."""
    for good in ("https://example.com", "null"):
        context.control(good, await context.handshake(RelayName.ORIGIN_REQUIRED, "/ws/news", f"Origin: {good}"))
    for fields in ((), ("Referer: https://example.com/",), ("Sec-WebSocket-Origin: https://example.com",)):
        context.assert_rejected(
            f"{fields}", await context.handshake(RelayName.ORIGIN_REQUIRED, "/ws/news", *fields), "403 no_origin"
        )
    context.assert_rejected(
        "empty", await context.handshake(RelayName.ORIGIN_REQUIRED, "/ws/news", "Origin:"), "403 origin"
    )


@attack()
async def cookie_of_a_foreign_page(context: AttackContext) -> None:
    """Send the cookie as a browser does for any page: with a foreign Origin, and with none."""
    cookie = f"Cookie: theme=dark; {COOKIE}={context.secret(forge.signed())}"
    context.control("of the relay's own page", await context.handshake(RelayName.GUARDED, ROOM, cookie, ALLOWED))
    context.assert_rejected(
        "foreign",
        await context.handshake(RelayName.GUARDED, ROOM, cookie, "Origin: https://evil.example"),
        "403 origin",
    )
    context.assert_rejected(
        "null", await context.handshake(RelayName.GUARDED, ROOM, cookie, "Origin: null"), "403 origin"
    )
    context.assert_rejected("no origin", await context.handshake(RelayName.GUARDED, ROOM, cookie), "403 no_origin")


@attack()
async def cookie_is_another_one(context: AttackContext) -> None:
    """Send two tokens in cookies of the name, one of another name, and one with an invalid token."""
    good, other = context.secret(forge.signed()), context.secret(forge.signed(sub="another"))
    context.control("the cookie", await context.handshake(RelayName.GUARDED, ROOM, f"Cookie: {COOKIE}={good}", ALLOWED))
    for cookies, expected in (
        (f"{COOKIE}={good}; {COOKIE}={other}", "400 ambiguous"),
        (f"{COOKIE}={other}; a=b; {COOKIE}={good}", "400 ambiguous"),
        (f"{COOKIE}={good}\r\nCookie: {COOKIE}={other}", "400 ambiguous"),
        (f"{COOKIE.upper()}={good}", "401 no_credential"),
        (f"__Host-{COOKIE}={good}", "401 no_credential"),
        (f"a={COOKIE}={good}", "401 no_credential"),
        (f"{COOKIE}={context.secret(forge.signed(key='mallory'))}", "401 token"),
        (f"{COOKIE}={context.secret(forge.signed(exp=1))}", "401 token_expired"),
    ):
        seen = await context.handshake(RelayName.GUARDED, ROOM, f"Cookie: {cookies}", ALLOWED)
        context.assert_rejected(cookies.partition("=")[0], seen, expected)
