"""An application that does not answer as it should: nobody is let in by that."""

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
"""How long the relay may leave a hook alone that has failed in all that is tried here."""


async def _good(context: AttackContext, name: RelayName = RelayName.HOOK, path: str = OK) -> None:
    """An honest answer lets in, at the latest when the relay has found out that the hook works again."""

    async def is_in() -> bool:
        return await context.handshake(name, path) == "101"

    context.control("an honest 200 lets in", await wait_until_async(is_in, RECOVERY_SECONDS), True)


@attack(exclusive=RelayName.HOOK)
async def hook_fails(context: AttackContext) -> None:
    """The hook answers 500, hangs, closes, breaks off, redirects, says ten megabytes, or half of its JSON."""
    lured = context.environment.application.lured
    for how in ("500", "404", "201", "301", "closes", "breaks-off", "redirects", "shouts", "stammers", "hangs"):
        await _good(context)
        context.assert_rejected(how, await context.handshake(RelayName.HOOK, f"/ws/hook:{how}"), "503 not_checked")
    context.assert_harmless(
        "no redirect followed", context.environment.application.lured == lured, "the relay followed a redirect"
    )


@attack(exclusive=RelayName.HOOK)
async def hook_says_no(context: AttackContext) -> None:
    """The hook answers 401 or 403, and the client comes again and again."""
    await _good(context)
    for _ in range(3):
        context.assert_rejected("401", await context.handshake(RelayName.HOOK, "/ws/hook:401"), "401 no_credential")
        context.assert_rejected("403", await context.handshake(RelayName.HOOK, "/ws/hook:403"), "403 hook")
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_claims_are_wrong(context: AttackContext) -> None:
    """The hook answers 200 with claims that are something else than claims."""
    for claims in HookApplication.CLAIMS:
        await _good(context)
        context.assert_rejected(
            claims, await context.handshake(RelayName.HOOK, f"/ws/hook:claims:{claims}"), "503 not_checked"
        )


@attack(exclusive=RelayName.HOOK)
async def hook_is_broken(context: AttackContext) -> None:
    """The hook has failed five times: it is asked no more for a while, nobody is let in, and then it works again."""
    application = context.environment.application
    path, channel = "/ws/hook:moody", "hook:moody"
    await _good(context)
    application.break_hook()
    for _ in range(5):
        context.assert_rejected("broken", await context.handshake(RelayName.HOOK, path), "503 not_checked")
    asked = application.asked[channel]
    for _ in range(5):
        context.assert_rejected("left alone", await context.handshake(RelayName.HOOK, path), "503 not_checked")
    context.assert_harmless(
        "not asked meanwhile", application.asked[channel] - asked <= 1, "a broken hook is asked by everybody"
    )
    application.repair_hook()
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_is_late(context: AttackContext) -> None:
    """A hundred and fifty clients wait for a hook that hangs: more than may be asked about at a time."""
    await _good(context)
    questions = [upgrade(f"/ws/hook:hangs:{number}") for number in range(150)]
    connections = await asyncio.gather(*(context.exchange(RelayName.HOOK, hanging) for hanging in questions))
    for connection, response in connections:
        context.assert_rejected("waiting", str(response.status) if response else connection.ended, "503")
    relay = await context.relay(RelayName.HOOK)
    seen = await relay.metric("wsrelay_connections")
    context.assert_harmless("nobody is in", seen == 0.0, f"{seen} are in")
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_fails_for_one(context: AttackContext) -> None:
    """One client knows how to make the application fail for itself, and does so all the time: others want in."""
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
    context.assert_harmless("others get in", seen.count("101") > len(seen) / 2, f"one client shuts others out: {seen}")
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_hangs_for_one(context: AttackContext) -> None:
    """One client knows how to make the application hang for itself, 150 times at once: others want in."""
    await _good(context)

    async def spoil() -> None:
        while True:
            await context.handshake(RelayName.HOOK, "/ws/hook:hangs", source="127.0.0.2")
            # Those that there is no room for are answered at once, and are to stay below the limit on handshakes.
            await asyncio.sleep(0.5)

    spoiling = [asyncio.get_running_loop().create_task(spoil()) for _ in range(150)]
    seen = []
    for _ in range(16):
        await asyncio.sleep(0.2)
        seen.append(await context.handshake(RelayName.HOOK, OK))
    for each in spoiling:
        each.cancel()
    context.assert_harmless("others get in", seen.count("101") == len(seen), f"one client shuts others out: {seen}")
    await _good(context)


@attack(exclusive=RelayName.HOOK)
async def hook_gets_a_foreign_cookie(context: AttackContext) -> None:
    """A cookie that the hook is told of, from a page of another site, and from nobody knows where."""
    await _good(context)
    cookie = f"Cookie: session={context.secret('cookie-of-somebody-0123456789')}"
    context.control(
        "of our own page", await context.handshake(RelayName.HOOK, OK, cookie, "Origin: http://relay.example")
    )
    context.assert_rejected(
        "foreign", await context.handshake(RelayName.HOOK, OK, cookie, "Origin: http://evil.example"), "403 origin"
    )
    context.assert_rejected("no origin", await context.handshake(RelayName.HOOK, OK, cookie), "403 no_origin")


@attack(exclusive=RelayName.HOOK_TLS)
async def hook_has_another_name(context: AttackContext) -> None:
    """A server poses as the hook with a trusted authority's certificate for another host, and odd names in it."""
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
            "nothing is shown to it", application.asked["hook:ok:named"] == asked, "the impostor was asked"
        )
