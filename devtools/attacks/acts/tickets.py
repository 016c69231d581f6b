"""Tickets that are used up, somebody else's, or no tickets at all."""

from __future__ import annotations

import asyncio
from collections import Counter

from devtools.attacks.attack import attack
from devtools.attacks.grounds import PREFIX
from devtools.attacks.setups import Name
from devtools.attacks.trial import ROOM, Trial, told
from devtools.harness.http import upgrade

BOTH = (Name.GUARDED, Name.GUARDED_TOO)
RACERS = 20


async def _good(trial: Trial) -> None:
    trial.control("a good ticket", await trial.knock(Name.GUARDED, ROOM + await trial.ticket()))


@attack()
async def ticket_reused(trial: Trial) -> None:
    """A ticket a second time: at the same process, at the other one, and in another place of the handshake."""
    path = ROOM + await trial.ticket()
    trial.control("the first time", await trial.knock(Name.GUARDED, path))
    for name in BOTH:
        trial.refused(f"again at {name}", await trial.knock(name, path), "401 ticket")
    field = f"Authorization: Ticket {path.partition('=')[2]}"
    trial.refused("as a header field", await trial.knock(Name.GUARDED, ROOM, field), "401 ticket")


@attack()
async def ticket_race(trial: Trial) -> None:
    """Twenty sockets at two processes show the same ticket in the same moment, ten times over."""
    await _good(trial)
    for _ in range(10):
        request = upgrade(ROOM + await trial.ticket())
        lines = await asyncio.gather(*(trial.line(BOTH[number % 2]) for number in range(RACERS)))
        for line in lines:
            line.send(request)
        seen = Counter([told(line, await line.answer()) for line in lines])
        trial.control("one gets in", seen.pop("101", 0) > 0, True)
        for outcome, count in seen.items():
            for _ in range(count):
                trial.refused("one of the others", outcome, "401 ticket")
        trial.safe(
            "one of them in", sum(seen.values()) == RACERS - 1, f"{RACERS - sum(seen.values())} got in by one ticket"
        )


@attack()
async def ticket_of_another_address(trial: Trial) -> None:
    """A ticket bound to another address, with that address forged in every field that proxies write."""
    for here in ("127.0.0.1", "127.0.0.0/8", "::ffff:127.0.0.1"):
        trial.control(f"bound to {here}", await trial.knock(Name.GUARDED, ROOM + await trial.ticket(ip=here)))
    for there in ("203.0.113.5", "127.0.0.2", "0.0.0.0/32", "203.0.113.0/24", "::1", "2001:db8::/32"):
        address = there.partition("/")[0]
        for field in (
            "X-Note: nothing",
            f"X-Forwarded-For: {address}",
            f"Forwarded: for={address}",
            f"X-Real-IP: {address}",
            f"X-Client-IP: {address}",
            f"CF-Connecting-IP: {address}",
        ):
            path = ROOM + await trial.ticket(ip=there)
            trial.refused(f"{there}, {field}", await trial.knock(Name.GUARDED, path, field), "401 ticket")


@attack()
async def ticket_for_another_channel(trial: Trial) -> None:
    """A ticket for other channels: none, beginnings, other cases, and names that only look alike."""
    trial.control("its own", await trial.knock(Name.GUARDED, ROOM + await trial.ticket(channels=["room:1"])))
    for channels in ([], ["room:2"], ["room:"], ["room"], ["Room:1"], ["room:1:*"], ["room:11"], ["user:*", "talk:*"]):
        path = ROOM + await trial.ticket(channels=channels)
        trial.refused(f"{channels}", await trial.knock(Name.GUARDED, path), "403 channel_denied")
    # Where a token is wanted that names the channel, one that names none is good for none.
    path = ROOM + await trial.ticket('{"sub": "42"}')
    trial.refused("none named", await trial.knock(Name.GUARDED, path), "403 channel_denied")


@attack()
async def ticket_expired(trial: Trial) -> None:
    """A ticket whose exp has come, and one that Redis has let go of."""
    await _good(trial)
    for expires in (1, 0, -1):
        path = ROOM + await trial.ticket(exp=expires)
        trial.refused(f"exp {expires}", await trial.knock(Name.GUARDED, path), "401 ticket")
    path = ROOM + await trial.ticket(seconds=1)
    await asyncio.sleep(1.2)
    trial.refused("EX 1", await trial.knock(Name.GUARDED, path), "401 ticket")


@attack()
async def ticket_document_is_bad(trial: Trial) -> None:
    """What stands behind a ticket is no document, too long for one, or of claims that nobody understands."""
    await _good(trial)
    for document in (
        "1",
        "null",
        "[]",
        '"42"',
        "{",
        "[" * 10_000,
        '{"sub": "42", "channels": ["room:*"], "note": "' + "x" * 17_000 + '"}',
        '{"sub": 4.2, "channels": ["room:*"]}',
        '{"sub": "42", "channels": "room:*"}',
        '{"sub": "42", "channels": ["room:*"], "ip": "anywhere"}',
        '{"sub": "42", "channels": ["room:*"], "ip": 2130706433}',
        '{"sub": "42", "channels": ["room:*"], "exp": "never"}',
        '{"sub": "\\ud800", "channels": ["room:*"]}',
    ):
        path = ROOM + await trial.ticket(document)
        trial.refused(document[:40], await trial.knock(Name.GUARDED, path), "401 ticket")


@attack()
async def ticket_reaches_other_keys(trial: Trial) -> None:
    """Names of tickets that would lead to other keys of Redis, to several, to another kind, or are too short."""
    await _good(trial)
    document = '{"sub": "42", "channels": ["room:*"]}'
    short, long = "short-1", "x" * 129
    targets = (
        "outside-of-the-prefix",
        f"{PREFIX}revoked:user:somebody",
        f"{PREFIX}ticket:{short}",
        f"{PREFIX}ticket:{long}",
    )
    for target in targets:
        await trial.grounds.command("SET", target, document, "EX", 60)
    await trial.grounds.command("RPUSH", f"{PREFIX}ticket:a-list-of-things-1", document)
    for name in (
        "outside-of-the-prefix",
        "../outside-of-the-prefix",
        "..%2foutside-of-the-prefix",
        "../../outside-of-the-prefix",
        "%0d%0aGET%20outside-of-the-prefix",
        "xxxxxxxxxxxxxxxx%0d%0aDEL%20outside-of-the-prefix",
        "xxxxxxxxxxxxxxxx%00outside-of-the-prefix",
        "xxxxxxxxxxxxxxxx%20outside-of-the-prefix",
        "outside-of-the-prefi*",
        "outside-of-the-prefi?",
        "********************",
        "%2a%2a%2a%2a%2a%2a%2a%2a%2a%2a%2a%2a%2a%2a%2a%2a",
        "[a-z]outside-of-the-prefix",
        f"{PREFIX}revoked:user:somebody",
        "{outside-of-the-prefix}",
        "a-list-of-things-1",
        short,
        long,
        "",
        "a-ticket-that-nobody-has-made",
        "\xe9" * 20,
    ):
        path = f"{ROOM}?ticket={name}"
        if not path.isascii():
            path = f"{ROOM}?ticket={'%C3%A9' * 20}"
        trial.refused(name[:40], await trial.knock(Name.GUARDED, path), "401 ticket")
    left = [await trial.grounds.command("EXISTS", key) for key in (*targets, f"{PREFIX}ticket:a-list-of-things-1")]
    trial.safe("all keys are there", left == [1] * 5, f"keys are gone: {left}")
