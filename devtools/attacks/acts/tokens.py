"""Tokens that nobody signed who may, or that say something else."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.setups import COOKIE, Name
from devtools.attacks.trial import ROOM, Trial, told
from devtools.harness.http import upgrade

_RS256 = {"alg": "RS256", "typ": "JWT"}


async def _good(trial: Trial, name: Name = Name.GUARDED, **headers: str) -> str:
    token = forge.signed(headers=headers)
    trial.control("a good token", await trial.knock(name, ROOM, trial.bearer(token)))
    return token


async def _bad(trial: Trial, what: str, token: str, expected: str = "401 token", name: Name = Name.GUARDED) -> None:
    trial.refused(what, await trial.knock(name, ROOM, trial.bearer(token)), expected)


@attack()
async def no_token(trial: Trial) -> None:
    """No credential at all, and schemes that are none of ours."""
    token = await _good(trial)
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
        trial.refused(f"{fields}"[:40], await trial.knock(Name.GUARDED, ROOM, *fields), "401 no_credential")


@attack()
async def token_unsigned(trial: Trial) -> None:
    """The algorithm none in every spelling, with and without a signature, and good tokens without theirs."""
    good = await _good(trial)
    for algorithm in ("none", "None", "NONE", "nOnE", "none ", "", "null", None, 0, ["RS256"]):
        for made_up in (b"", b"x" * 256):
            token = forge.raw({"alg": algorithm, "typ": "JWT"}, forge.claims(), made_up)
            await _bad(trial, f"alg {algorithm!r}", token)
    await _bad(trial, "no alg", forge.raw({"typ": "JWT"}, forge.claims(), b"x" * 256))
    header, payload, signature = good.split(".")
    for parts in ((header, payload, ""), (header, payload, signature[:-8]), (header, payload, "A" * len(signature))):
        await _bad(trial, "its signature gone", ".".join(parts))
    await _bad(trial, "another payload", f"{header}.{forge.encode(b'{}')}.{signature}")
    stolen = forge.signed(sub="1").split(".")[1]
    await _bad(trial, "the payload of another one", f"{header}.{stolen}.{signature}")


@attack()
async def token_signed_by_public_key(trial: Trial) -> None:
    """An HMAC by what everybody knows: the public key, in all its spellings, or nothing."""
    await _good(trial)
    pem = forge.public_pem().encode()
    body = b"".join(pem.splitlines()[1:-1])
    for algorithm in ("HS256", "HS384", "HS512", "hs256", "RS256"):
        for secret in (pem, pem.strip(), pem.replace(b"\n", b"\r\n"), body, b"", b"\x00" * 32):
            token = forge.signed_by_secret(secret, {"alg": algorithm, "typ": "JWT"}, forge.claims())
            await _bad(trial, f"{algorithm} by {secret[:12]!r}", token)


@attack()
async def token_of_another_key(trial: Trial) -> None:
    """Somebody else's signature, under the name of the right key, under a wrong one, and under none."""
    trial.grounds.application.keys = _key_set()
    for name in (Name.GUARDED, Name.PUBLISHED):
        await _good(trial, name, kid="first")
        for headers in ({"kid": "first"}, {"kid": "second"}, {"kid": "../first"}, {"kid": "first\x00"}, {}):
            await _bad(trial, f"{headers}", forge.signed(key="mallory", headers=headers), name=name)
        for kid in (1, ["first"], {"first": 1}, None):
            token = forge.raw({**_RS256, "kid": kid}, forge.claims(), b"x" * 256)
            await _bad(trial, f"kid {kid!r}", token, name=name)


@attack()
async def token_brings_its_key(trial: Trial) -> None:
    """Tokens with a key of their own in jwk, jku, x5c or x5u, which lead to our own server."""
    trial.grounds.application.keys = _key_set()
    lure = trial.grounds.application.url("lure")
    for name in (Name.GUARDED, Name.PUBLISHED):
        await _good(trial, name, kid="first")
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
            await _bad(trial, f"{next(iter(extra))}", forge.signed(key="mallory", headers=extra), name=name)
    trial.safe("no lure was followed", not trial.grounds.application.lured, "the relay asked where a token sent it")


@attack()
async def token_by_published_secret(trial: Trial) -> None:
    """A JWK Set with a secret, a private key, a key for other purposes and one of an unknown kind in it."""
    trial.grounds.application.keys = _key_set()
    await _good(trial, Name.PUBLISHED, kid="first")
    secret = {"alg": "HS256", "typ": "JWT", "kid": "shared"}
    await _bad(trial, "oct", forge.signed_by_secret(b"s" * 32, secret, forge.claims()), name=Name.PUBLISHED)
    for kid in ("private", "for-encryption", "other-algorithm"):
        token = forge.signed(key="leaked", headers={"kid": kid})
        await _bad(trial, kid, token, name=Name.PUBLISHED)


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
async def token_outside_its_time(trial: Trial) -> None:
    """Expired, not yet valid, issued in the future, and without an end or with one that is no number."""
    await _good(trial)
    now = int(forge.now())
    outside: list[dict[str, Any]] = [{"exp": now - 1}, {"exp": 0}, {"exp": -1}, {"nbf": now + 60}, {"iat": now + 60}]
    for times in outside:
        await _bad(trial, f"{times}", forge.signed(**times), "401 token_expired")
    for end in (None, True, [now + 60], {"at": now + 60}, "tomorrow", str(now + 60), float("inf"), 10**400):
        token = forge.signed(exp=end) if end is None else _signed_raw({**forge.claims(), "exp": end})
        await _bad(trial, f"exp {type(end).__name__}", token, "401 token_claims")
    for claim in ("nbf", "iat"):
        await _bad(trial, f"{claim} is a text", _signed_raw({**forge.claims(), claim: "0"}), "401 token_claims")


def _signed_raw(payload: dict[str, object]) -> str:
    """A token of the right key, of claims that a library would not sign."""
    unsigned = forge.raw(_RS256, payload).removesuffix(".")
    signature = forge.private_key("issuer").sign(unsigned.encode(), PKCS1v15(), SHA256())
    return f"{unsigned}.{forge.encode(signature)}"


@attack()
async def token_for_others(trial: Trial) -> None:
    """Tokens for another audience or of another issuer, without either, and with claims that are something else."""
    await _good(trial)
    for claim in (
        {"aud": "other"},
        {"aud": None},
        {"aud": ["other", "relays"]},
        {"aud": "RELAY"},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"iss": f"{forge.ISSUER}/"},
        {"sub": ""},
        {"sub": "x" * 256},
        {"channels": "room:*"},
        {"channels": ["**"]},
        {"channels": ["room:1"] * 101},
        {"publish": {"room:1": True}},
    ):
        await _bad(trial, f"{claim}"[:40], forge.signed(**claim), "401 token_claims")
    for claims in ({"aud": {"relay": 1}}, {"aud": 1}, {"iss": [forge.ISSUER]}, {"sub": ["42"]}):
        await _bad(trial, f"{claims}", _signed_raw({**forge.claims(), **claims}), "401 token_claims")


@attack()
async def token_is_garbage(trial: Trial) -> None:
    """What is no token, what is too long for one, and what a JSON parser chokes on."""
    await _good(trial)
    nested = forge.encode(b"[" * 3000)
    for text in ("a.b.c", "...", "a.b", "x" * 100, "ey.ey.ey", f"{nested}.{nested}.x", "e30.e30.e30", "%00.a.b"):
        await _bad(trial, text[:20], text)
    good = forge.signed()
    for text in (f"{good}=", f"{good}.x", f"{good} {good}", f"{good},{good}", f'"{good}"', good.replace(".", "%2e")):
        await _bad(trial, "around a good one", text)
    await _bad(trial, "9 KB", forge.signed(note="x" * 7000))
    await _bad(trial, "20 KB", forge.signed(note="x" * 15000), "431")
    for payload in (b"[]", b'"42"', b"null", b'{"exp": 1e999}', b"\xff", b'{"exp":' + b"[" * 2000):
        header = forge.encode(b'{"alg":"RS256"}')
        await _bad(trial, f"{payload[:12]!r}", f"{header}.{forge.encode(payload)}.{'A' * 342}")


@attack()
async def token_in_the_url(trial: Trial) -> None:
    """A good token in the query, under all the names that others take it by."""
    token = trial.secret(await _good(trial))
    for name in ("token", "access_token", "jwt", "authorization", "bearer", COOKIE, "ticket[]", "Ticket"):
        trial.refused(name, await trial.knock(Name.GUARDED, f"{ROOM}?{name}={token}"), "401 no_credential")
    # Here only the word `message` means something.
    trial.refused("auth", await trial.knock(Name.GUARDED, f"{ROOM}?auth={token}"), "400 malformed")
    trial.refused("as a ticket", await trial.knock(Name.GUARDED, f"{ROOM}?ticket={token}"), "401 ticket")


@attack()
async def two_credentials(trial: Trial) -> None:
    """Two credentials at once: two tickets, a token and a ticket, in every two places."""
    token = await _good(trial)
    field, item = trial.bearer(token), f"Sec-WebSocket-Protocol: wsrelay, wsrelay.token.{token}"
    trial.control("as a subprotocol", await trial.knock(Name.GUARDED, ROOM, item))
    ticket = await trial.ticket()
    for path, fields in (
        (f"{ROOM}{ticket}", (field,)),
        (f"{ROOM}{ticket}", (item,)),
        (f"{ROOM}{ticket}&{ticket[1:]}", ()),
        (ROOM, (field, item)),
        (ROOM, (item, f"Sec-WebSocket-Protocol: wsrelay.ticket.{ticket[8:]}")),
        (f"{ROOM}{ticket}", (f"Authorization: Ticket {ticket[8:]}",)),
    ):
        trial.refused(f"{len(fields)} fields", await trial.knock(Name.GUARDED, path, *fields), "400 ambiguous")
    trial.control("the ticket is still good", await trial.knock(Name.GUARDED, f"{ROOM}{ticket}"))


@attack()
async def credential_is_repeated(trial: Trial) -> None:
    """Credentials in every place, good ones and bad ones, to see whether an answer repeats them."""
    for token, status in ((forge.signed(), "101"), (forge.signed(key="mallory"), "401 token")):
        offers = f"wsrelay, wsrelay.token.{trial.secret(token)}"
        for fields in (
            (f"Sec-WebSocket-Protocol: {offers}",),
            (f"Authorization: Bearer {token}",),
            (f"Cookie: {COOKIE}={token}", "Origin: https://example.com"),
        ):
            line, answer = await trial.answered(Name.GUARDED, upgrade(ROOM, *fields))
            trial.control("an answer", told(line, answer), status)
            chosen = "" if answer is None else answer.headers.get("sec-websocket-protocol", "wsrelay")
            trial.safe("no credential in it", chosen in ("", "wsrelay"), f"the subprotocol is {chosen}")
