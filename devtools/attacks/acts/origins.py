"""Pages of other sites, and what passes for an origin."""

from __future__ import annotations

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.setups import COOKIE, Name
from devtools.attacks.trial import ROOM, Trial

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
async def foreign_origin(trial: Trial) -> None:
    """Other origins, such as end or begin with one that is allowed, and what is none, with a good token."""
    token = trial.bearer(forge.signed())
    for good in ("https://example.com", "https://example.com:443", "https://a.example.org", "https://a.b.example.org"):
        trial.control(good, await trial.knock(Name.GUARDED, ROOM, token, f"Origin: {good}"))
    for origin in FOREIGN:
        seen = await trial.knock(Name.GUARDED, ROOM, token, f"Origin: {origin}".encode("latin-1"))
        trial.refused(repr(origin), seen, "403 origin")


@attack()
async def origin_of_another_host(trial: Trial) -> None:
    """Where no origins are set: pages that are not of the relay's own host and port."""
    for good in ("http://relay.example", "https://relay.example", "http://relay.example:80"):
        trial.control(good, await trial.knock(Name.OPEN, "/ws/news", f"Origin: {good}"))
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
        trial.refused(repr(origin), await trial.knock(Name.OPEN, "/ws/news", f"Origin: {origin}"), "403 origin")


@attack()
async def no_origin_where_required(trial: Trial) -> None:
    """No Origin, an empty one, and one beside the field, where clients need one."""
    for good in ("https://example.com", "null"):
        trial.control(good, await trial.knock(Name.STRICT, "/ws/news", f"Origin: {good}"))
    for fields in ((), ("Referer: https://example.com/",), ("Sec-WebSocket-Origin: https://example.com",)):
        trial.refused(f"{fields}", await trial.knock(Name.STRICT, "/ws/news", *fields), "403 no_origin")
    trial.refused("empty", await trial.knock(Name.STRICT, "/ws/news", "Origin:"), "403 origin")


@attack()
async def cookie_of_a_foreign_page(trial: Trial) -> None:
    """The browser adds the cookie for whatever page it is: with a foreign Origin, and with none."""
    cookie = f"Cookie: theme=dark; {COOKIE}={trial.secret(forge.signed())}"
    trial.control("of our own page", await trial.knock(Name.GUARDED, ROOM, cookie, ALLOWED))
    trial.refused(
        "foreign", await trial.knock(Name.GUARDED, ROOM, cookie, "Origin: https://evil.example"), "403 origin"
    )
    trial.refused("null", await trial.knock(Name.GUARDED, ROOM, cookie, "Origin: null"), "403 origin")
    trial.refused("no origin", await trial.knock(Name.GUARDED, ROOM, cookie), "403 no_origin")


@attack()
async def cookie_is_another_one(trial: Trial) -> None:
    """Two cookies of the name, one of another name, and one whose token is not good."""
    good = trial.secret(forge.signed())
    trial.control("the cookie", await trial.knock(Name.GUARDED, ROOM, f"Cookie: {COOKIE}={good}", ALLOWED))
    for cookies, expected in (
        (f"{COOKIE}={good}; {COOKIE}={good}", "400 ambiguous"),
        (f"{COOKIE}=; {COOKIE}={good}", "400 ambiguous"),
        (f"{COOKIE.upper()}={good}", "401 no_credential"),
        (f"__Host-{COOKIE}={good}", "401 no_credential"),
        (f"a={COOKIE}={good}", "401 no_credential"),
        (f"{COOKIE}={trial.secret(forge.signed(key='mallory'))}", "401 token"),
        (f"{COOKIE}={trial.secret(forge.signed(exp=1))}", "401 token_expired"),
    ):
        seen = await trial.knock(Name.GUARDED, ROOM, f"Cookie: {cookies}", ALLOWED)
        trial.refused(cookies.partition("=")[0], seen, expected)
