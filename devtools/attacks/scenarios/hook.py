"""Applications that misbehave: no client may be admitted by that."""

from __future__ import annotations

import asyncio

from devtools.attacks.attack import attack
from devtools.attacks.context import AttackContext
from devtools.attacks.hook_application import HookApplication
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import upgrade
from devtools.harness.odd_certificates import ODD_NAMES, odd_certificate, pem
from devtools.harness.raw_connection import wait_until_async

OK = "/ws/hook:ok"

RECOVERY_SECONDS = 12.0
"""How long the circuit breaker may stay open after all failures here."""


async def _good(context: AttackContext, name: RelayName = RelayName.HOOK, path: str = OK) -> None:
    """Show that a client is admitted, at the latest when the circuit breaker has closed again."""

    async def is_in() -> bool:
        return await context.handshake(name, path) == "101"

    context.control("an honest 200 admits", await wait_until_async(is_in, RECOVERY_SECONDS), True)


@attack(exclusive=RelayName.HOOK)
async def hook_fails(context: AttackContext) -> None:
    """Have the hook answer 500, hang, close, break off, redirect, send ten megabytes, or half of its JSON."""
    lured = context.environment.application.lured
    for how in ("500", "404", "201", "301", "closes", "breaks-off", "redirects", "huge", "half-json", "hangs"):
        await _good(context)
        context.assert_rejected(how, await context.handshake(RelayName.HOOK, f"/ws/hook:{how}"), "503 not_checked")
    context.assert_harmless(
        "no redirect followed", context.environment.application.lured == lured, "the relay followed a redirect"
    )


@attack(exclusive=RelayName.HOOK)
async def hook_says_no(context: AttackContext) -> None:
    """Connect repeatedly while the hook answers 401 or 403."""
    await _good(context)
    for _ in range(3):
        context.assert_rejected("401", await context.handshake(RelayName.HOOK, "/ws/hook:401"), "401 no_credential")
        context.assert_rejected("403", await context.handshake(RelayName.HOOK, "/ws/hook:403"), "403 hook")
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_claims_are_wrong(context: AttackContext) -> None:
    """Have the hook answer 200 with invalid claims."""
    for claims in HookApplication.CLAIMS:
        await _good(context)
        context.assert_rejected(
            claims, await context.handshake(RelayName.HOOK, f"/ws/hook:claims:{claims}"), "503 not_checked"
        )


@attack(exclusive=RelayName.HOOK)
async def hook_is_broken(context: AttackContext) -> None:
    """Have the hook fail five times: it is not asked for a while, then a trial request succeeds."""
    application = context.environment.application
    path, channel = "/ws/hook:flaky", "hook:flaky"
    await _good(context)
    application.break_hook()
    for _ in range(5):
        context.assert_rejected("broken", await context.handshake(RelayName.HOOK, path), "503 not_checked")
    asked = application.asked[channel]
    for _ in range(5):
        context.assert_rejected("breaker open", await context.handshake(RelayName.HOOK, path), "503 not_checked")
    context.assert_harmless(
        "not asked meanwhile", application.asked[channel] - asked <= 1, "a broken hook is asked for every client"
    )
    application.repair_hook()
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_is_late(context: AttackContext) -> None:
    """Connect a hundred and fifty clients while the hook hangs: more than the limit of pending requests."""
    await _good(context)
    questions = [upgrade(f"/ws/hook:hangs:{number}") for number in range(150)]
    connections = await asyncio.gather(*(context.exchange(RelayName.HOOK, hanging) for hanging in questions))
    for connection, response in connections:
        context.assert_rejected("waiting", str(response.status) if response else connection.ended, "503")
    relay = await context.relay(RelayName.HOOK)
    seen = await relay.metric("wsrelay_connections")
    context.assert_harmless("no client is admitted", seen == 0.0, f"{seen} are admitted")
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_fails_for_one(context: AttackContext) -> None:
    """Make the hook fail for one client repeatedly, so that others may be rejected."""
    await _good(context)

    async def spoil() -> None:
        while True:
            await context.handshake(RelayName.HOOK, "/ws/hook:500")
            await asyncio.sleep(0.01)

    spoiling = asyncio.get_running_loop().create_task(spoil())
    await asyncio.sleep(0.5)
    seen = []
    for _ in range(12):
        seen.append(await context.handshake(RelayName.HOOK, OK))
        await asyncio.sleep(0.25)
    spoiling.cancel()
    context.assert_harmless(
        "others are admitted", seen.count("101") > len(seen) / 2, f"one client keeps others out: {seen}"
    )
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_hangs_for_one(context: AttackContext) -> None:
    """Make the hook hang for one address 150 times at once, so that others may be rejected."""
    await _good(context)

    async def spoil() -> None:
        while True:
            await context.handshake(RelayName.HOOK, "/ws/hook:hangs", source="127.0.0.2")
            # Excess requests are answered at once, and must leave the others time.
            await asyncio.sleep(0.5)

    spoiling = [asyncio.get_running_loop().create_task(spoil()) for _ in range(150)]
    seen = []
    for _ in range(16):
        await asyncio.sleep(0.2)
        seen.append(await context.handshake(RelayName.HOOK, OK))
    for each in spoiling:
        each.cancel()
    context.assert_harmless(
        "others are admitted", seen.count("101") == len(seen), f"one client keeps others out: {seen}"
    )
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_gets_a_foreign_cookie(context: AttackContext) -> None:
    """Have the relay forward a cookie to the hook from a page of another site, and without an Origin."""
    await _good(context)
    cookie = f"Cookie: session={context.secret('cookie-of-another-0123456789')}"
    context.control(
        "of the relay's own page", await context.handshake(RelayName.HOOK, OK, cookie, "Origin: http://relay.example")
    )
    context.assert_rejected(
        "foreign", await context.handshake(RelayName.HOOK, OK, cookie, "Origin: http://evil.example"), "403 origin"
    )
    context.assert_rejected("no origin", await context.handshake(RelayName.HOOK, OK, cookie), "403 no_origin")


@attack(exclusive=RelayName.HOOK_TLS)
async def hook_has_another_name(context: AttackContext) -> None:
    """Pose as the hook with a trusted authority's certificate for another host, with odd names in it."""
    issuer, application = context.environment.issuer, context.environment.application
    for odd in ((), *((name,) for name in ODD_NAMES), ("DNS:other.example",), ("IP:192.0.2.1",)):
        application.tls.load_cert_chain(issuer.pem("application.pem", "localhost"))
        await _good(context, RelayName.HOOK_TLS, "/ws/hook:ok:named")
        asked = application.asked["hook:ok:named"]
        application.tls.load_cert_chain(issuer.write("impostor.pem", pem(*odd_certificate(issuer.authority, odd))))
        context.assert_rejected(
            " ".join(odd) or "no name",
            await context.handshake(RelayName.HOOK_TLS, "/ws/hook:ok:named"),
            "503 not_checked",
        )
        context.assert_harmless(
            "it receives no credentials", application.asked["hook:ok:named"] == asked, "the impostor was asked"
        )
