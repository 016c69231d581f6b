"""Clients that were let in and are to be let in no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.grounds import PREFIX
from devtools.attacks.line import Line
from devtools.attacks.setups import API_KEY, Name
from devtools.attacks.trial import ROOM, Trial, UnprovenError
from devtools.harness.http import client_frame, head, upgrade

BOTH = (Name.GUARDED, Name.GUARDED_TOO)


async def _disconnect(trial: Trial, name: Name, **document: object) -> str:
    """Have the API disconnect somebody."""
    body = json.dumps(document).encode()
    fields = (f"Authorization: Bearer {API_KEY}", f"Content-Length: {len(body)}")
    return await trial.ask(name, head("POST /api/disconnect HTTP/1.1", "Host: relay.example", *fields) + body)


async def _all_end(trial: Trial, lines: Sequence[Line], expected: str, seconds: float = 3) -> None:
    for ending in await asyncio.gather(*(line.ending(seconds) for line in lines)):
        trial.refused("who was in", ending, expected)


@attack()
async def stays_beyond_expiry(trial: Trial) -> None:
    """A token ends in two seconds; its client stays, and sends and pings on."""
    end = int(forge.now()) + 2
    line = await trial.enter(Name.GUARDED, "/ws/room:ending", trial.bearer(forge.signed(exp=end)))
    other = await trial.enter(Name.GUARDED, "/ws/room:ending", trial.bearer(forge.signed()))
    await trial.grounds.publish("room:ending", "before")
    trial.control("it hears before", await line.message(), b"before")
    trial.refused("at its end", await line.ending(4), "4502")
    late = forge.now() - end
    trial.safe("in time", late < 1.5, f"it was in {late:.1f} s longer")
    await trial.grounds.publish("room:ending", "after")
    while (message := await other.message()) not in (b"after", None):
        continue
    trial.control("the other one stays", message, b"after")


@attack()
async def comes_back_after_revocation(trial: Trial) -> None:
    """A revoked token at both processes: by the API for its jti, by the API for its user, and by plain Redis."""
    for kind in ("token", "user", "redis"):
        sub = f"revoked-by-{kind}"
        field = trial.bearer(forge.signed(sub=sub, jti=f"jti-of-{kind}"))
        lines = [await trial.enter(name, ROOM, field) for name in (*BOTH, *BOTH)]
        other = await trial.enter(Name.GUARDED, ROOM, trial.bearer(forge.signed(sub=f"{sub}-not")))
        if kind == "redis":
            await trial.grounds.command("SET", f"{PREFIX}revoked:user:{sub}", 1, "EX", 60)
            await trial.grounds.publish("$control", json.dumps({"disconnect": {"user": sub}}))
        else:
            value = sub if kind == "user" else f"jti-of-{kind}"
            seen = await _disconnect(trial, Name.GUARDED_TOO, **{kind: value, "deny_seconds": 60})
            trial.control("the API takes it", seen, "202")
        await _all_end(trial, lines, "4505")
        for name in BOTH:
            trial.refused("coming back", await trial.knock(name, ROOM, field), "401 revoked")
        late = await trial.enter(Name.GUARDED, f"{ROOM}?auth=message")
        late.send(_first(field.rpartition(" ")[2]))
        trial.refused("by a message", await late.ending(), "4505")
        if kind != "token":
            path = f"{ROOM}{await trial.ticket(sub=sub)}"
            trial.refused("by a ticket", await trial.knock(Name.GUARDED, path), "401 revoked")
        trial.control("another user stays", await other.ending(0.2), "open")


@attack()
async def ticket_is_torn(trial: Trial) -> None:
    """A ticket is disconnected before and after somebody has come by it."""
    # The API tells who has its key which ticket that was: they are secrets of the grounds, and not of this trial.
    used, unused, other = [await trial.grounds.ticket() for _ in range(3)]
    line = await trial.enter(Name.GUARDED, f"{ROOM}?ticket={used}")
    for ticket in (used, unused):
        trial.control("the API takes it", await _disconnect(trial, Name.GUARDED_TOO, ticket=ticket), "202")
    trial.refused("who came by it", await line.ending(3), "4505")
    trial.refused("who comes by it now", await trial.knock(Name.GUARDED, f"{ROOM}?ticket={unused}"), "401 ticket")
    trial.control("another ticket", await trial.knock(Name.GUARDED, f"{ROOM}?ticket={other}"))


@attack()
async def speaks_after_goodbye(trial: Trial) -> None:
    """A client that was disconnected does not answer that, and goes on speaking and listening."""
    may: dict[str, Any] = {"channels": ["talk:bye"], "publish": ["talk:bye"]}
    listener = await trial.enter(Name.GUARDED, "/ws/talk:bye", trial.bearer(forge.signed(**may)))
    line = await trial.enter(Name.GUARDED, "/ws/talk:bye", trial.bearer(forge.signed(sub="says-more", **may)))
    line.send(client_frame(0x81, b"before"))
    trial.control("before", (await listener.message(), await line.message()), (b"before", b"before"))
    trial.control("the API", await _disconnect(trial, Name.GUARDED, user="says-more"), "202")
    trial.refused("the goodbye", await line.ending(), "4505")
    line.send(client_frame(0x81, b"after") * 3)
    await asyncio.sleep(0.2)
    await trial.grounds.publish("talk:bye", "the end")
    trial.safe("nothing published", await listener.message() == b"the end", "it was published")
    trial.safe("nothing heard", await line.frame(0.3) is None, "it still hears")


@attack()
async def comes_in_while_revoked(trial: Trial) -> None:
    """Forty handshakes are under way at two processes in the very moment when their user is denied."""
    sub = "revoked-in-a-race"
    field = trial.bearer(forge.signed(sub=sub))
    trial.control("before", await trial.knock(Name.GUARDED, ROOM, field))

    async def come(number: int) -> Line:
        await asyncio.sleep(number * 0.002)
        line, _ = await trial.answered(BOTH[number % 2], upgrade(ROOM, field))
        return line

    coming = [asyncio.get_running_loop().create_task(come(number)) for number in range(40)]
    await asyncio.sleep(0.04)
    trial.control("the API", await _disconnect(trial, Name.GUARDED, user=sub, deny_seconds=60), "202")
    lines = await asyncio.gather(*coming)
    in_first = sum(line.received.startswith(b"HTTP/1.1 101") for line in lines)
    endings = await asyncio.gather(*(line.ending(3) for line in lines))
    left = endings.count("open")
    trial.safe(f"{in_first} of 40 were in, none stays", not left, f"{left} stay after their user was denied")


@attack(alone=Name.CUT)
async def revoked_while_cut_off(trial: Trial) -> None:
    """A user is denied while the relay's links to Redis are cut: it hears of that from nobody."""
    proxy = trial.grounds.proxy
    relay = await trial.relay(Name.CUT)
    field = trial.bearer(forge.signed(sub="revoked-while-away"))
    line = await trial.enter(Name.CUT, "/ws/room:cut", field)
    other = await trial.enter(Name.CUT, "/ws/room:cut", trial.bearer(forge.signed(sub="not-revoked")))
    proxy.refuse()
    proxy.cut()
    await trial.grounds.command("SET", f"{PREFIX}revoked:user:revoked-while-away", 1, "EX", 60)
    await trial.grounds.publish("$control", '{"disconnect": {"user": "revoked-while-away"}}')
    trial.refused("coming while it is cut off", await trial.knock(Name.CUT, "/ws/room:cut", field), "503 not_checked")
    trial.control("it is still there", await line.ending(0.3), "open")
    await proxy.listen()
    trial.refused("once it is back", await line.ending(15), "4505")
    trial.control("ready again", (await relay.get("/readyz"))[0], 200)
    trial.refused("coming back", await trial.knock(Name.CUT, "/ws/room:cut", field), "401 revoked")
    await trial.grounds.publish("room:cut", "on")
    trial.control("the other one hears", await other.message(), b"on")


@attack()
async def name_escapes_revocation(trial: Trial) -> None:
    """Users whose names hold what is not printable, which many applications allow, are disconnected by name."""
    for sub in (
        "plain",
        "with\u00a0space",
        "zero\u200bwidth",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "a\tb",
        "x" * 255,
    ):
        by_api, by_redis = [await trial.enter(name, ROOM, trial.bearer(forge.signed(sub=sub))) for name in BOTH]
        seen = await _disconnect(trial, Name.GUARDED, user=sub)
        ending = await by_api.ending(3)
        await trial.grounds.publish("$control", json.dumps({"disconnect": {"user": sub}}))
        endings = {ending, await by_redis.ending(3)}
        if sub == "plain":
            trial.control("a plain name", endings, {"4505"})
        else:
            for one in endings:
                trial.refused(f"{sub[:20]!a} (the API says {seen})", one, "4505")


@attack(alone=Name.HOOKED)
async def guest_escapes_disconnection(trial: Trial) -> None:
    """Clients that the hook lets in without a name are disconnected by the connection that it was told."""
    for channel in ("hook:ok:named", "hook:204:guest"):
        line = await trial.enter(Name.HOOKED, f"/ws/{channel}")
        connection = trial.grounds.application.questions[channel].get("connection")
        if not isinstance(connection, str):
            raise UnprovenError("the hook was not told the name of the connection")
        trial.control("the API", await _disconnect(trial, Name.HOOKED, connection=connection), "202")
        ending = await line.ending(3)
        if channel.endswith("named"):
            trial.control("one with a name", ending, "4505")
        else:
            trial.refused("one without", ending, "4505")


def _first(token: str) -> bytes:
    return client_frame(0x81, json.dumps({"token": token}).encode())
