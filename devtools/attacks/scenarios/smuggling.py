"""Bytes that some parsers take for the end of a line, so that a client adds header fields unseen by the proxy.

Each byte is tried in the value and in the name of a field. The proxy has written the client's address; the smuggled
field contradicts it. A connection carries no second request: see `framing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.context import ROOM, AttackContext
from devtools.attacks.relay_setups import RelayName

HERE, ELSEWHERE = "192.0.2.1", "203.0.113.66"

CONTROLS = frozenset((*range(0x20), 0x7F))
BYTES = (*sorted(CONTROLS), *range(0x80, 0x100))
TAB = 0x09

_AT_ONCE = 16


async def _each(values: Iterable[int], do: Callable[[int], Awaitable[None]]) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(value: int) -> None:
        async with turns:
            await do(value)

    await asyncio.gather(*(one(value) for value in values))


async def _smuggle_value(
    context: AttackContext, smuggled: str, otherwise: str, path: Callable[[], Awaitable[str]], *fields: str
) -> None:
    """Put a field behind every byte in another one's value; behind a legal byte it is part of that value."""

    async def one(byte: int) -> None:
        note = b"X-Note: m%c%s" % (byte, smuggled.encode())
        expected = "400" if byte in CONTROLS and byte != TAB else otherwise
        context.assert_rejected(
            f"0x{byte:02x} in a value",
            await context.handshake(RelayName.PROXIED, await path(), *fields, note),
            expected,
        )

    await _each(BYTES, one)


def _from(address: str) -> str:
    return f"X-Forwarded-For: {address}"


@attack()
async def smuggled_address(context: AttackContext) -> None:
    """Use a ticket of another address, with that address smuggled in behind every byte in a value."""
    there = f"{ROOM}{await context.ticket(ip=ELSEWHERE)}"
    context.control("the ticket is good there", await context.handshake(RelayName.PROXIED, there, _from(ELSEWHERE)))

    async def path() -> str:
        return f"{ROOM}{await context.ticket(ip=ELSEWHERE)}"

    await _smuggle_value(context, _from(ELSEWHERE), "401 ticket", path, _from(HERE))


@attack()
async def smuggled_token(context: AttackContext) -> None:
    """Smuggle a valid token past a proxy that removes tokens, behind every byte in a value."""
    field = context.bearer(forge.signed())
    context.control("the token is good", await context.handshake(RelayName.PROXIED, ROOM, field))

    async def path() -> str:
        return ROOM

    await _smuggle_value(context, field, "401 no_credential", path)


@attack()
async def smuggled_origin(context: AttackContext) -> None:
    """Smuggle in an allowed origin behind every byte in a value, from a page of another origin."""
    field = context.bearer(forge.signed())
    context.control(
        "that origin is allowed", await context.handshake(RelayName.PROXIED, ROOM, field, "Origin: https://example.com")
    )

    async def path() -> str:
        return ROOM

    await _smuggle_value(
        context, "Origin: https://example.com", "403 origin", path, field, "Origin: https://evil.example"
    )


@attack()
async def smuggled_in_names(context: AttackContext) -> None:
    """Put the same bytes in the name of a field: before, within and behind X-Forwarded-For."""
    there = f"{ROOM}{await context.ticket(ip=ELSEWHERE)}"
    context.control("the ticket is good there", await context.handshake(RelayName.PROXIED, there, _from(ELSEWHERE)))
    good = f"{ROOM}{await context.ticket(ip=ELSEWHERE)}"

    async def one(byte: int) -> None:
        for form in (b"X-Note%cX-Forwarded-For: %s", b"%cX-Forwarded-For: %s", b"X-Forwarded-For%c: %s"):
            field = form % (byte, ELSEWHERE.encode())
            seen = await context.handshake(RelayName.PROXIED, good, _from(HERE), field)
            context.assert_rejected(f"{form!r} with 0x{byte:02x}", seen, "400")

    await _each(BYTES, one)
    # It was rejected before the ticket was redeemed.
    context.control("the ticket is still good", await context.handshake(RelayName.PROXIED, good, _from(ELSEWHERE)))


@attack()
async def forged_forwarded_for(context: AttackContext) -> None:
    """Send X-Forwarded-For in front of what the proxy appends, as a field and as a list."""
    there = f"{ROOM}{await context.ticket(ip=ELSEWHERE)}"
    context.control(
        "the ticket is good there", await context.handshake(RelayName.PROXIED, there, _from(f"{HERE}, {ELSEWHERE}"))
    )
    for fields in (
        (_from(ELSEWHERE), _from(HERE)),
        (_from(f"{ELSEWHERE}, {HERE}"),),
        (_from(HERE), "Forwarded: for=" + ELSEWHERE),
        (_from(HERE), "X-Real-IP: " + ELSEWHERE),
        (_from(HERE), "X_Forwarded_For: " + ELSEWHERE),
    ):
        path = f"{ROOM}{await context.ticket(ip=ELSEWHERE)}"
        context.assert_rejected(
            " and ".join(fields), await context.handshake(RelayName.PROXIED, path, *fields), "401 ticket"
        )


@attack()
async def address_is_unreadable(context: AttackContext) -> None:
    """Use tickets bound to the proxy's address, where the entry that the proxy wrote is no address or has a port."""
    proxy = "127.0.0.1"
    for entry in (f"{HERE}:51234", f'"{HERE}"'):
        path = f"{ROOM}{await context.ticket(ip=HERE)}"
        context.control(entry, await context.handshake(RelayName.PROXIED, path, _from(entry)))
    for entry in (f"{HERE}:51234", "unknown", "_hidden", "[::1", "for=127.0.0.1", ",", "127.0.0.1:1:2", f"{HERE}, "):
        path = f"{ROOM}{await context.ticket(ip=proxy)}"
        seen = await context.handshake(RelayName.PROXIED, path, _from(entry))
        context.assert_rejected(entry, seen, "401 ticket")


@attack()
async def folded_forwarded_for(context: AttackContext) -> None:
    """Put a folded line behind the field that the proxy wrote."""
    there = f"{ROOM}{await context.ticket(ip=ELSEWHERE)}"
    context.control("the ticket is good there", await context.handshake(RelayName.PROXIED, there, _from(ELSEWHERE)))
    for folded in (f"\t, {ELSEWHERE}", f" , {ELSEWHERE}", f" {_from(ELSEWHERE)}", f"\t{_from(ELSEWHERE)}"):
        path = f"{ROOM}{await context.ticket(ip=ELSEWHERE)}"
        context.assert_rejected(
            f"{folded!r}", await context.handshake(RelayName.PROXIED, path, _from(HERE), folded), "400"
        )
