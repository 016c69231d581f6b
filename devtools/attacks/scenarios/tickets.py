"""Tickets that are used, of another client, or invalid."""

from __future__ import annotations

import asyncio
from collections import Counter

from devtools.attacks.attack import attack
from devtools.attacks.context import ROOM, AttackContext, outcome_of
from devtools.attacks.environment import PREFIX
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import upgrade

BOTH = (RelayName.GUARDED, RelayName.GUARDED_2)
CONNECTIONS = 20


async def _good(context: AttackContext) -> None:
    context.control("a good ticket", await context.handshake(RelayName.GUARDED, ROOM + await context.ticket()))


@attack()
async def ticket_reused(context: AttackContext) -> None:
    """Use a ticket twice: at the same process, at another, and in another place of the handshake."""
    path = ROOM + await context.ticket()
    context.control("the first time", await context.handshake(RelayName.GUARDED, path))
    for name in BOTH:
        context.assert_rejected(f"again at {name}", await context.handshake(name, path), "401 ticket")
    field = f"Authorization: Ticket {path.partition('=')[2]}"
    context.assert_rejected("as a header field", await context.handshake(RelayName.GUARDED, ROOM, field), "401 ticket")


@attack()
async def ticket_race(context: AttackContext) -> None:
    """Use one ticket on twenty connections at two processes at the same moment, ten times."""
    await _good(context)
    for _ in range(10):
        request = upgrade(ROOM + await context.ticket())
        connections = await asyncio.gather(*(context.connect(BOTH[number % 2]) for number in range(CONNECTIONS)))
        for connection in connections:
            connection.send(request)
        seen = Counter([outcome_of(connection, await connection.response()) for connection in connections])
        context.control("one is admitted", seen.pop("101", 0) > 0, True)
        for outcome, count in seen.items():
            for _ in range(count):
                context.assert_rejected("one of the others", outcome, "401 ticket")
        context.assert_harmless(
            "one of them admitted",
            sum(seen.values()) == CONNECTIONS - 1,
            f"{CONNECTIONS - sum(seen.values())} were admitted by one ticket",
        )


@attack()
async def ticket_of_another_address(context: AttackContext) -> None:
    """Use a ticket bound to another address, and forge that address in every field that proxies write."""
    for here in ("127.0.0.1", "127.0.0.0/8", "::ffff:127.0.0.1"):
        context.control(
            f"bound to {here}", await context.handshake(RelayName.GUARDED, ROOM + await context.ticket(ip=here))
        )
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
            path = ROOM + await context.ticket(ip=there)
            context.assert_rejected(
                f"{there}, {field}", await context.handshake(RelayName.GUARDED, path, field), "401 ticket"
            )


@attack()
async def ticket_for_another_channel(context: AttackContext) -> None:
    """Use a ticket for other channels: none, prefixes, other cases, and lookalikes."""
    context.control(
        "its own", await context.handshake(RelayName.GUARDED, ROOM + await context.ticket(channels=["room:1"]))
    )
    for channels in ([], ["room:2"], ["room:"], ["room"], ["Room:1"], ["room:1:*"], ["room:11"], ["user:*", "talk:*"]):
        path = ROOM + await context.ticket(channels=channels)
        context.assert_rejected(f"{channels}", await context.handshake(RelayName.GUARDED, path), "403 channel_denied")
    # Access level token: a credential that names no channel is valid for none.
    path = ROOM + await context.ticket('{"sub": "42"}')
    context.assert_rejected("none named", await context.handshake(RelayName.GUARDED, path), "403 channel_denied")


@attack()
async def ticket_expired(context: AttackContext) -> None:
    """Use a ticket whose exp has passed, and one whose key has expired."""
    await _good(context)
    for expires in (1, 0, -1):
        path = ROOM + await context.ticket(exp=expires)
        context.assert_rejected(f"exp {expires}", await context.handshake(RelayName.GUARDED, path), "401 ticket")
    path = ROOM + await context.ticket(seconds=1)
    await asyncio.sleep(1.2)
    context.assert_rejected("EX 1", await context.handshake(RelayName.GUARDED, path), "401 ticket")


@attack()
async def ticket_document_is_bad(context: AttackContext) -> None:
    """Use tickets whose documents are malformed, too long, or have invalid claims."""
    await _good(context)
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
        path = ROOM + await context.ticket(document)
        context.assert_rejected(document[:40], await context.handshake(RelayName.GUARDED, path), "401 ticket")


@attack()
async def ticket_reaches_other_keys(context: AttackContext) -> None:
    """Use ticket names that lead to other keys, to several, to other types, or are too short or long."""
    await _good(context)
    document = '{"sub": "42", "channels": ["room:*"]}'
    short, long = "short-1", "x" * 129
    targets = (
        "outside-of-the-prefix",
        f"{PREFIX}revoked:user:another",
        f"{PREFIX}ticket:{short}",
        f"{PREFIX}ticket:{long}",
    )
    for target in targets:
        await context.environment.command("SET", target, document, "EX", 60)
    await context.environment.command("RPUSH", f"{PREFIX}ticket:a-list-of-things-1", document)
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
        f"{PREFIX}revoked:user:another",
        "{outside-of-the-prefix}",
        "a-list-of-things-1",
        short,
        long,
        "",
        "a-ticket-that-does-not-exist",
        "\xe9" * 20,
    ):
        path = f"{ROOM}?ticket={name}"
        if not path.isascii():
            path = f"{ROOM}?ticket={'%C3%A9' * 20}"
        context.assert_rejected(name[:40], await context.handshake(RelayName.GUARDED, path), "401 ticket")
    left = [
        await context.environment.command("EXISTS", key) for key in (*targets, f"{PREFIX}ticket:a-list-of-things-1")
    ]
    context.assert_harmless("all keys are there", left == [1] * 5, f"keys are gone: {left}")
