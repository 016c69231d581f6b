"""The API for the application's own servers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.setups import API_KEY, Name
from devtools.attacks.trial import ROOM, Trial
from devtools.harness.http import head

HOST = "Host: relay.example"
KEY = f"Authorization: Bearer {API_KEY}"


def _request(call: str, body: bytes | Mapping[str, object] = b"{}", *fields: str, method: str = "POST") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = f"Content-Length: {len(content)}"
    return head(f"{method} /api/{call} HTTP/1.1", HOST, length, *(fields or (KEY,))) + content


async def _honest(trial: Trial) -> None:
    for call, body, expected in (
        ("publish/room:1", b"hello", "200"),
        ("tickets", {"sub": "42", "channels": ["room:1"]}, "201"),
        ("disconnect", {"user": "nobody-is-called-so"}, "202"),
    ):
        trial.control(call, await trial.ask(Name.GUARDED, _request(call, body)), expected)


@attack()
async def api_key_is_wrong(trial: Trial) -> None:
    """No key, a wrong one, a part of one, in another case or place, two of them, and a user's token."""
    await _honest(trial)
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
        (f"X-API-Key: {API_KEY}",),
        (f"Cookie: api_key={API_KEY}",),
        (trial.bearer(forge.signed()),),
        ("Authorization: Bearer \x00",),
    ):
        expected = "400" if "\x00" in fields[0] else "401 api_key"
        for call in ("publish/room:1", "tickets", "disconnect", "unknown"):
            trial.refused(f"{fields}", await trial.ask(Name.GUARDED, _request(call, {}, *fields)), expected)
    for call in (f"tickets?key={API_KEY}", f"tickets?api_key={API_KEY}", f"tickets?authorization=Bearer%20{API_KEY}"):
        trial.refused(call[:20], await trial.ask(Name.GUARDED, _request(call, {}, "X: y")), "401 api_key")
    for first, second in ((KEY, KEY), (KEY, "Authorization: Bearer x"), ("Authorization: Bearer x", KEY)):
        trial.refused("two keys", await trial.ask(Name.GUARDED, _request("tickets", {}, first, second)), "400")


@attack()
async def api_call_is_wrong(trial: Trial) -> None:
    """With a good key: other methods, unknown calls, channels of nobody, and bodies that make no sense."""
    await _honest(trial)
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
        ("disconnect", {"user": "42", "deny_seconds": -1}, "400"),
        ("disconnect", {"user": "42", "deny_seconds": 10**9}, "400"),
        ("publish/room:1", b"x" * 65_537, "413"),
    ):
        trial.refused(f"{call} {str(body)[:30]}", await trial.ask(Name.GUARDED, _request(call, body)), expected)
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE", "post"):
        override = (KEY, "X-HTTP-Method-Override: POST")
        seen = await trial.ask(Name.GUARDED, _request("tickets", b"", *override, method=method))
        trial.refused(method, seen, "405")


@attack()
async def api_body_is_a_form(trial: Trial) -> None:
    """Bodies that a browser's form can send from any page, and multipart that is broken."""
    await _honest(trial)
    for kind in (
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=" + "x" * 1000,
        "text/plain",
    ):
        for body in (b"sub=42&channels=room:1", b"--x\r\nContent-Disposition: form-data\r\n\r\n--x--", b"--x" * 9000):
            request = _request("tickets", body, KEY, f"Content-Type: {kind}")
            trial.refused(kind[:40], await trial.ask(Name.GUARDED, request), "400")


@attack()
async def api_where_there_is_none(trial: Trial) -> None:
    """The API of a relay that has no keys, with no key, an empty one, and somebody else's."""
    await _honest(trial)
    for fields in ((KEY,), ("Authorization: Bearer ",), ("X: y",)):
        for call in ("publish/talk:1", "tickets", "disconnect", ""):
            for method in ("POST", "GET"):
                seen = await trial.ask(Name.OPEN, _request(call, {}, *fields, method=method))
                trial.refused(f"{method} {call}", seen, "404")


@attack()
async def api_ticket_is_for_one(trial: Trial) -> None:
    """A ticket of the API: once, and only for what was asked for."""
    _, answer = await trial.answered(Name.GUARDED, _request("tickets", {"sub": "42", "channels": ["room:1"]}))
    ticket = json.loads(answer.body)["ticket"] if answer is not None else ""
    trial.grounds.secrets.add(ticket)
    other = await trial.knock(Name.GUARDED_TOO, f"/ws/room:2?ticket={ticket}")
    trial.refused("another channel", other, "403 channel_denied")
    trial.refused("used up by that", await trial.knock(Name.GUARDED, f"{ROOM}?ticket={ticket}"), "401 ticket")
    _, answer = await trial.answered(Name.GUARDED, _request("tickets", {"sub": "42", "channels": ["room:1"]}))
    ticket = json.loads(answer.body)["ticket"] if answer is not None else ""
    trial.grounds.secrets.add(ticket)
    trial.control("its own channel", await trial.knock(Name.GUARDED_TOO, f"{ROOM}?ticket={ticket}"))
