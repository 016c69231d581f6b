"""Tokens that are forged, invalid, or in the wrong place."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.context import ROOM, AttackContext, outcome_of
from devtools.attacks.relay_setups import COOKIE, RelayName
from devtools.harness.http import client_frame, head, upgrade

_RS256 = {"alg": "RS256", "typ": "JWT"}


async def _good(context: AttackContext, name: RelayName = RelayName.GUARDED, **headers: str) -> str:
    token = forge.signed(headers=headers)
    context.control("a good token", await context.handshake(name, ROOM, context.bearer(token)))
    return token


async def _bad(
    context: AttackContext, what: str, token: str, expected: str = "401 token", name: RelayName = RelayName.GUARDED
) -> None:
    context.assert_rejected(what, await context.handshake(name, ROOM, context.bearer(token)), expected)


@attack()
async def no_token(context: AttackContext) -> None:
    """Send no credential, and schemes that the relay does not know."""
    token = await _good(context)
    for fields in (
        (),
        ("Authorization: Basic NDI6NDI=",),
        (f"Authorization: Token {token}",),
        (f"Authorization: {token}",),
        (f"Proxy-Authorization: Bearer {token}",),
        (f"X-Authorization: Bearer {token}",),
        ("Sec-WebSocket-Protocol: wsrelay",),
        (f"Sec-WebSocket-Protocol: wsrelay, wsrelay.tokens.{token}",),
    ):
        context.assert_rejected(
            f"{fields}"[:40], await context.handshake(RelayName.GUARDED, ROOM, *fields), "401 no_credential"
        )


@attack()
async def token_unsigned(context: AttackContext) -> None:
    """Use the algorithm none in every spelling, and valid tokens without their signatures."""
    good = await _good(context)
    for algorithm in ("none", "None", "NONE", "nOnE", "none ", "", "null", None, 0, ["RS256"]):
        for made_up in (b"", b"x" * 256):
            token = forge.raw({"alg": algorithm, "typ": "JWT"}, forge.claims(), made_up)
            await _bad(context, f"alg {algorithm!r}", token)
    await _bad(context, "no alg", forge.raw({"typ": "JWT"}, forge.claims(), b"x" * 256))
    header, payload, signature = good.split(".")
    for parts in ((header, payload, ""), (header, payload, signature[:-8]), (header, payload, "A" * len(signature))):
        await _bad(context, "its signature gone", ".".join(parts))
    await _bad(context, "another payload", f"{header}.{forge.encode(b'{}')}.{signature}")
    stolen = forge.signed(sub="1").split(".")[1]
    await _bad(context, "the payload of another one", f"{header}.{stolen}.{signature}")


@attack()
async def token_signed_by_public_key(context: AttackContext) -> None:
    """Sign an HMAC with public data: the public key in every spelling, and nothing."""
    await _good(context)
    pem = forge.public_pem().encode()
    body = b"".join(pem.splitlines()[1:-1])
    for algorithm in ("HS256", "HS384", "HS512", "hs256", "RS256"):
        for secret in (pem, pem.strip(), pem.replace(b"\n", b"\r\n"), body, b"", b"\x00" * 32):
            token = forge.signed_by_secret(secret, {"alg": algorithm, "typ": "JWT"}, forge.claims())
            await _bad(context, f"{algorithm} by {secret[:12]!r}", token)


@attack()
async def token_of_another_key(context: AttackContext) -> None:
    """Use another key's signature, under the id of the right key, a wrong one, and none."""
    context.environment.application.publish_keys(_key_set())
    for name in (RelayName.GUARDED, RelayName.JWKS):
        await _good(context, name, kid="first")
        for headers in ({"kid": "first"}, {"kid": "second"}, {"kid": "../first"}, {"kid": "first\x00"}, {}):
            await _bad(context, f"{headers}", forge.signed(key="mallory", headers=headers), name=name)
        for kid in (1, ["first"], {"first": 1}, None):
            token = forge.raw({**_RS256, "kid": kid}, forge.claims(), b"x" * 256)
            await _bad(context, f"kid {kid!r}", token, name=name)


@attack()
async def token_brings_its_key(context: AttackContext) -> None:
    """Use tokens with a key of their own in jwk, jku, x5c or x5u."""
    context.environment.application.publish_keys(_key_set())
    lure = context.environment.application.url("lure")
    for name in (RelayName.GUARDED, RelayName.JWKS):
        await _good(context, name, kid="first")
        for extra in (
            {"jwk": forge.public_jwk("first", "mallory")},
            {"jku": lure},
            {"jku": lure, "kid": "third"},
            {"x5u": lure},
            {"x5c": [forge.public_pem("mallory")]},
            {"crit": ["jwk"], "jwk": forge.public_jwk("first", "mallory")},
            {"b64": False},
            {"zip": "DEF"},
        ):
            await _bad(context, f"{next(iter(extra))}", forge.signed(key="mallory", headers=extra), name=name)
    context.assert_harmless(
        "no URL in a token was followed",
        not context.environment.application.lured,
        "the relay requested a URL in a token",
    )


@attack()
async def token_by_published_secret(context: AttackContext) -> None:
    """Publish a secret, a private key, and keys for other purposes or of unknown type in the JWK Set."""
    context.environment.application.publish_keys(_key_set())
    await _good(context, RelayName.JWKS, kid="first")
    secret = {"alg": "HS256", "typ": "JWT", "kid": "shared"}
    await _bad(context, "oct", forge.signed_by_secret(b"s" * 32, secret, forge.claims()), name=RelayName.JWKS)
    for kid in ("private", "for-encryption", "other-algorithm"):
        token = forge.signed(key="leaked", headers={"kid": kid})
        await _bad(context, kid, token, name=RelayName.JWKS)


def _key_set() -> dict[str, object]:
    leaked = forge.public_jwk("private", "leaked")
    return {
        "keys": [
            {"kty": "oct", "kid": "shared", "k": forge.encode(b"s" * 32), "alg": "HS256"},
            {**leaked, "d": "AQAB"},
            {**leaked, "kid": "for-encryption", "use": "enc"},
            {**leaked, "kid": "other-algorithm", "alg": "PS512"},
            {"kty": "AKP", "kid": "new", "pub": "AAAA"},
            forge.public_jwk("first"),
        ]
    }


@attack()
async def token_outside_its_time(context: AttackContext) -> None:
    """Use tokens that are expired, not yet valid, issued in the future, or have an invalid exp."""
    await _good(context)
    now = int(forge.now())
    outside: list[dict[str, Any]] = [{"exp": now - 1}, {"exp": 0}, {"exp": -1}, {"nbf": now + 60}, {"iat": now + 60}]
    for times in outside:
        await _bad(context, f"{times}", forge.signed(**times), "401 token_expired")
    for end in (None, True, [now + 60], {"at": now + 60}, "tomorrow", str(now + 60), float("inf"), 10**400):
        token = forge.signed(exp=end) if end is None else _signed_raw({**forge.claims(), "exp": end})
        await _bad(context, f"exp {type(end).__name__}", token, "401 token_claims")
    for claim in ("nbf", "iat"):
        await _bad(context, f"{claim} is a text", _signed_raw({**forge.claims(), claim: "0"}), "401 token_claims")


def _signed_raw(payload: dict[str, object]) -> str:
    """Return a token of the right key with claims that a library would not sign."""
    unsigned = forge.raw(_RS256, payload).removesuffix(".")
    signature = forge.private_key("issuer").sign(unsigned.encode(), PKCS1v15(), SHA256())
    return f"{unsigned}.{forge.encode(signature)}"


@attack()
async def token_for_others(context: AttackContext) -> None:
    """Use tokens of another audience or issuer, without either, and with claims of the wrong type."""
    await _good(context)
    for claim in (
        {"aud": "other"},
        {"aud": None},
        {"aud": ["other", "relays"]},
        {"aud": "RELAY"},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"iss": f"{forge.ISSUER}/"},
        {"sub": "x" * 256},
        {"channels": "room:*"},
        {"channels": ["**"]},
        {"channels": ["room:1"] * 101},
        {"publish": {"room:1": True}},
    ):
        await _bad(context, f"{claim}"[:40], forge.signed(**claim), "401 token_claims")
    for claims in ({"aud": {"relay": 1}}, {"aud": 1}, {"iss": [forge.ISSUER]}, {"sub": ["42"]}):
        await _bad(context, f"{claims}", _signed_raw({**forge.claims(), **claims}), "401 token_claims")


@attack()
async def token_of_one_channel(context: AttackContext) -> None:
    """Show a subscription token, which is for one channel, in every place of a token for the connection."""
    good, limited = (context.secret(forge.signed(channel=channel)) for channel in (None, "room:1"))
    for what, fields in (
        ("header", ("Authorization: Bearer {}",)),
        ("subprotocol", ("Sec-WebSocket-Protocol: wsrelay, wsrelay.token.{}",)),
        ("cookie", (f"Cookie: {COOKIE}={{}}", "Origin: https://example.com")),
    ):
        for token, status in ((good, "101"), (limited, "401 channel_token")):
            shown = [field.format(token) for field in fields]
            _check(context, what, await context.handshake(RelayName.GUARDED, ROOM, *shown), status)
    for token, status in ((good, "200"), (limited, "401 channel_token")):
        stream = head("GET /sse/room:1 HTTP/1.1", "Host: relay.example", f"Authorization: Bearer {token}")
        _check(context, "stream", await context.request(RelayName.GUARDED, stream), status)
    for what, path, message in (
        ("first message", f"{ROOM}?auth=message", {"token": ""}),
        ("connect", "/connection/websocket", {"id": 1, "connect": {"token": ""}}),
    ):
        for token, code in ((good, ""), (limited, "4501" if what == "first message" else "3500")):
            connection = await context.open_websocket(RelayName.GUARDED, path)
            connection.send(client_frame(0x81, json.dumps(message).replace('""', f'"{token}"').encode()))
            if code:
                context.assert_rejected(what, await connection.close_code(), code)
            else:
                context.control(what, await connection.message() is not None, expected=True)
    # Nor does it open the other channels of its user.
    token = forge.signed(channel="room:1", channels=None, publish=["*"])
    seen = await context.handshake(RelayName.GUARDED, "/ws/user:42", context.bearer(token))
    context.assert_rejected("another channel", seen, "401 channel_token")


def _check(context: AttackContext, what: str, seen: str, expected: str) -> None:
    if expected in ("101", "200"):
        context.control(what, seen, expected)
    else:
        context.assert_rejected(what, seen, expected)


@attack()
async def token_is_garbage(context: AttackContext) -> None:
    """Send malformed and oversized tokens, and JSON that breaks parsers."""
    await _good(context)
    nested = forge.encode(b"[" * 3000)
    for text in ("a.b.c", "...", "a.b", "x" * 100, "ey.ey.ey", f"{nested}.{nested}.x", "e30.e30.e30", "%00.a.b"):
        await _bad(context, text[:20], text)
    good = forge.signed()
    for text in (f"{good}=", f"{good}.x", f"{good} {good}", f"{good},{good}", f'"{good}"', good.replace(".", "%2e")):
        await _bad(context, "around a good one", text)
    await _bad(context, "9 KB", forge.signed(note="x" * 7000))
    await _bad(context, "20 KB", forge.signed(note="x" * 15000), "431")
    for payload in (b"[]", b'"42"', b"null", b'{"exp": 1e999}', b"\xff", b'{"exp":' + b"[" * 2000):
        header = forge.encode(b'{"alg":"RS256"}')
        await _bad(context, f"{payload[:12]!r}", f"{header}.{forge.encode(payload)}.{'A' * 342}")


@attack()
async def token_in_the_url(context: AttackContext) -> None:
    """Send a valid token in the query, under every name that other servers accept."""
    token = context.secret(await _good(context))
    for name in ("token", "access_token", "jwt", "authorization", "bearer", COOKIE, "ticket[]", "Ticket"):
        context.assert_rejected(
            name, await context.handshake(RelayName.GUARDED, f"{ROOM}?{name}={token}"), "401 no_credential"
        )
    # `auth` has one valid value: message.
    context.assert_rejected("auth", await context.handshake(RelayName.GUARDED, f"{ROOM}?auth={token}"), "400 malformed")
    context.assert_rejected(
        "as a ticket", await context.handshake(RelayName.GUARDED, f"{ROOM}?ticket={token}"), "401 ticket"
    )


@attack()
async def two_credentials(context: AttackContext) -> None:
    """Send two credentials at once: two tickets, a token and a ticket, in every two places."""
    token = await _good(context)
    field, item = context.bearer(token), f"Sec-WebSocket-Protocol: wsrelay, wsrelay.token.{token}"
    context.control("as a subprotocol", await context.handshake(RelayName.GUARDED, ROOM, item))
    ticket = await context.ticket()
    for path, fields in (
        (f"{ROOM}{ticket}", (field,)),
        (f"{ROOM}{ticket}", (item,)),
        (f"{ROOM}{ticket}&{ticket[1:]}", ()),
        (ROOM, (field, item)),
        (ROOM, (item, f"Sec-WebSocket-Protocol: wsrelay.ticket.{ticket[8:]}")),
        (f"{ROOM}{ticket}", (f"Authorization: Ticket {ticket[8:]}",)),
    ):
        context.assert_rejected(
            f"{len(fields)} fields", await context.handshake(RelayName.GUARDED, path, *fields), "400 ambiguous"
        )
    context.control("the ticket is still good", await context.handshake(RelayName.GUARDED, f"{ROOM}{ticket}"))


@attack()
async def credential_is_repeated(context: AttackContext) -> None:
    """Send valid and invalid credentials in every place, and search the responses for them."""
    for token, status in ((forge.signed(), "101"), (forge.signed(key="mallory"), "401 token")):
        offers = f"wsrelay, wsrelay.token.{context.secret(token)}"
        for fields in (
            (f"Sec-WebSocket-Protocol: {offers}",),
            (f"Authorization: Bearer {token}",),
            (f"Cookie: {COOKIE}={token}", "Origin: https://example.com"),
        ):
            connection, response = await context.exchange(RelayName.GUARDED, upgrade(ROOM, *fields))
            context.control("an answer", outcome_of(connection, response), status)
            chosen = "" if response is None else response.headers.get("sec-websocket-protocol", "wsrelay")
            context.assert_harmless("no credential in it", chosen in ("", "wsrelay"), f"the subprotocol is {chosen}")
