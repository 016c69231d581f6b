"""The API for backends."""

from __future__ import annotations

import json
from collections.abc import Mapping

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.context import ROOM, AttackContext
from devtools.attacks.relay_setups import API_KEY, RelayName
from devtools.harness.http import head

HOST = "Host: relay.example"
KEY = f"Authorization: Bearer {API_KEY}"


def _request(call: str, body: bytes | Mapping[str, object] = b"{}", *fields: str, method: str = "POST") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = f"Content-Length: {len(content)}"
    return head(f"{method} /api/{call} HTTP/1.1", HOST, length, *(fields or (KEY,))) + content


async def _honest(context: AttackContext) -> None:
    for call, body, expected in (
        ("publish/room:1", b"hello", "200"),
        ("tickets", {"sub": "42", "channels": ["room:1"]}, "201"),
        ("disconnect", {"user": "no-such-user"}, "202"),
    ):
        context.control(call, await context.request(RelayName.GUARDED, _request(call, body)), expected)


@attack()
async def api_key_is_wrong(context: AttackContext) -> None:
    """Call the API with no key, a wrong, partial, misplaced or repeated one, and with a user's token."""
    await _honest(context)
    for fields in (
        ("X-Note: nothing",),
        ("Authorization: Bearer",),
        (f"Authorization: Bearer {API_KEY[:-1]}",),
        (f"Authorization: Bearer {API_KEY}0",),
        (f"Authorization: Bearer {API_KEY.upper()}",),
        (f"Authorization: Bearer {API_KEY},{API_KEY}",),
        (f"Authorization: Bearer Bearer {API_KEY}",),
        (f"Authorization: Basic {API_KEY}",),
        (f"Authorization: {API_KEY}",),
        (f"Authorization: Bearer\t{API_KEY}",),
        (f"X-API-Key: {API_KEY}0",),
        (f"X-API-Key: Bearer {API_KEY}",),
        (f"X-API-Key: {API_KEY}", f"X-API-Key: {API_KEY}"),
        (f"Authorization: apikey {API_KEY[:-1]}",),
        (f"Cookie: api_key={API_KEY}",),
        (context.bearer(forge.signed()),),
        ("Authorization: Bearer \x00",),
    ):
        expected = "400" if "\x00" in fields[0] else "401 api_key"
        # The method of Centrifugo's API that has the same name as a call has a 401 without a body, as all methods have.
        is_method = len(fields) == 1 and fields[0].startswith(("X-API-Key", "Authorization: apikey"))
        for call in ("publish/room:1", "tickets", "disconnect", "unknown"):
            context.assert_rejected(
                f"{fields}",
                await context.request(RelayName.GUARDED, _request(call, {}, *fields)),
                "401" if is_method and call == "disconnect" else expected,
            )
        for call in ("publish", "info", "batch"):
            seen = await context.request(RelayName.GUARDED, _request(call, {}, *fields))
            context.assert_rejected(f"{fields}", seen, expected.partition(" ")[0])
    for query, expected in (("key", "401 api_key"), ("api_key", "401"), ("authorization", "401 api_key")):
        for value in (API_KEY, f"Bearer%20{API_KEY}"):
            seen = await context.request(RelayName.GUARDED, _request(f"tickets?{query}={value}", {}, "X: y"))
            context.assert_rejected(query, seen, expected)
    for first, second in ((KEY, KEY), (KEY, "Authorization: Bearer x"), ("Authorization: Bearer x", KEY)):
        context.assert_rejected(
            "two keys", await context.request(RelayName.GUARDED, _request("tickets", {}, first, second)), "400"
        )


@attack()
async def api_call_is_wrong(context: AttackContext) -> None:
    """With a valid key: use other methods, unknown calls, unknown channels, and malformed bodies."""
    await _honest(context)
    for call, body, expected in (
        ("unknown", b"{}", "404"),
        ("", b"{}", "404"),
        ("publish", b"x", "400"),
        ("publish/", b"x", "400"),
        ("publish/nowhere", b"x", "404 unknown_channel"),
        ("publish/user:", b"x", "404 unknown_channel"),
        ("publish/$control", b'{"disconnect": {"user": "42"}}', "400"),
        ("publish/%24control", b"x", "400"),
        ("publish/%24probe:x", b"x", "400"),
        ("publish/room:1/more", b"x", "400"),
        ("publish/room:1%0d%0a", b"x", "400"),
        ("publish/room:%2a", b"x", "400"),
        ("tickets", b"[]", "400"),
        ("tickets", b"{", "400"),
        ("tickets", b"[" * 50_000, "400"),
        ("tickets", b"\xff\xfe", "400"),
        ("tickets", {"sub": ["42"]}, "400"),
        ("tickets", {"seconds": 0}, "400"),
        ("tickets", {"seconds": 3601}, "400"),
        ("tickets", {"seconds": True}, "400"),
        ("tickets", b'{"seconds": 1e3}', "400"),
        ("tickets", {"admin": True}, "400"),
        ("tickets", {"ip": "anywhere"}, "400"),
        ("tickets", {"channels": ["*room"]}, "400"),
        ("disconnect", {}, "400"),
        ("disconnect", {"user": "42", "token": "x"}, "400"),
        ("disconnect", {"user": ["42", "43"]}, "400"),
        ("disconnect", {"user": ""}, "400"),
        ("disconnect", {"user": "*", "reconnect": 1}, "400"),
        ("disconnect", {"everybody": "x"}, "400"),
        ("disconnect", {"user": "42", "revoke_seconds": -1}, "400"),
        ("disconnect", {"user": "42", "revoke_seconds": 10**9}, "400"),
        ("publish/room:1", b"x" * (1024 * 1024 + 1), "413"),
    ):
        context.assert_rejected(
            f"{call} {str(body)[:30]}", await context.request(RelayName.GUARDED, _request(call, body)), expected
        )
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE", "post"):
        override = (KEY, "X-HTTP-Method-Override: POST")
        seen = await context.request(RelayName.GUARDED, _request("tickets", b"", *override, method=method))
        context.assert_rejected(method, seen, "405")


@attack()
async def api_body_is_a_form(context: AttackContext) -> None:
    """Send bodies that a form of any web page can send, and malformed multipart."""
    await _honest(context)
    for kind in (
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=" + "x" * 1000,
        "text/plain",
    ):
        for body in (b"sub=42&channels=room:1", b"--x\r\nContent-Disposition: form-data\r\n\r\n--x--", b"--x" * 9000):
            request = _request("tickets", body, KEY, f"Content-Type: {kind}")
            context.assert_rejected(kind[:40], await context.request(RelayName.GUARDED, request), "400")


@attack()
async def api_where_there_is_none(context: AttackContext) -> None:
    """Call the API of a relay without keys: with another relay's key, an empty one, and none."""
    await _honest(context)
    for fields in ((KEY,), ("Authorization: Bearer ",), ("X: y",)):
        for call in ("publish/talk:1", "tickets", "disconnect", ""):
            for method in ("POST", "GET"):
                seen = await context.request(RelayName.OPEN, _request(call, {}, *fields, method=method))
                context.assert_rejected(f"{method} {call}", seen, "404")


@attack()
async def api_ticket_is_for_one(context: AttackContext) -> None:
    """Use a ticket of the API twice, and for another channel."""
    _, response = await context.exchange(RelayName.GUARDED, _request("tickets", {"sub": "42", "channels": ["room:1"]}))
    ticket = json.loads(response.body)["ticket"] if response is not None else ""
    context.environment.secrets.add(ticket)
    other = await context.handshake(RelayName.GUARDED_2, f"/ws/room:2?ticket={ticket}")
    context.assert_rejected("another channel", other, "403 channel_denied")
    context.assert_rejected(
        "used up by that", await context.handshake(RelayName.GUARDED, f"{ROOM}?ticket={ticket}"), "401 ticket"
    )
    _, response = await context.exchange(RelayName.GUARDED, _request("tickets", {"sub": "42", "channels": ["room:1"]}))
    ticket = json.loads(response.body)["ticket"] if response is not None else ""
    context.environment.secrets.add(ticket)
    context.control("its own channel", await context.handshake(RelayName.GUARDED_2, f"{ROOM}?ticket={ticket}"))
