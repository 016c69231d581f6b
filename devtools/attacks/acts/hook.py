"""An application that does not answer as it should: nobody is let in by that."""

from __future__ import annotations

import asyncio

from devtools.attacks.application import Application
from devtools.attacks.attack import attack
from devtools.attacks.line import until_told
from devtools.attacks.setups import Name
from devtools.attacks.trial import Trial
from devtools.harness.http import upgrade
from devtools.harness.odd_certificates import ODD_NAMES, odd_certificate, pem

OK = "/ws/hook:ok"

RECOVERY_SECONDS = 12.0
"""How long the relay may leave a hook alone that has failed in all that is tried here."""


async def _good(trial: Trial, name: Name = Name.HOOKED, path: str = OK) -> None:
    """An honest answer lets in, at the latest when the relay has found out that the hook works again."""

    async def is_in() -> bool:
        return await trial.knock(name, path) == "101"

    trial.control("an honest 200 lets in", await until_told(is_in, RECOVERY_SECONDS), True)


@attack(alone=Name.HOOKED)
async def hook_fails(trial: Trial) -> None:
    """The hook answers 500, hangs, closes, breaks off, redirects, says ten megabytes, or half of its JSON."""
    lured = trial.grounds.application.lured
    for how in ("500", "404", "201", "301", "closes", "breaks-off", "redirects", "shouts", "stammers", "hangs"):
        await _good(trial)
        trial.refused(how, await trial.knock(Name.HOOKED, f"/ws/hook:{how}"), "503 not_checked")
    trial.safe("no redirect followed", trial.grounds.application.lured == lured, "the relay followed a redirect")


@attack(alone=Name.HOOKED)
async def hook_says_no(trial: Trial) -> None:
    """The hook answers 401 or 403, and the client comes again and again."""
    await _good(trial)
    for _ in range(3):
        trial.refused("401", await trial.knock(Name.HOOKED, "/ws/hook:401"), "401 no_credential")
        trial.refused("403", await trial.knock(Name.HOOKED, "/ws/hook:403"), "403 hook")
    await _good(trial)


@attack(alone=Name.HOOKED)
async def hook_claims_are_wrong(trial: Trial) -> None:
    """The hook answers 200 with claims that are something else than claims."""
    for claims in Application.CLAIMS:
        await _good(trial)
        trial.refused(claims, await trial.knock(Name.HOOKED, f"/ws/hook:claims:{claims}"), "503 not_checked")


@attack(alone=Name.HOOKED)
async def hook_is_broken(trial: Trial) -> None:
    """The hook has failed five times: it is asked no more for a while, nobody is let in, and then it works again."""
    application = trial.grounds.application
    path, channel = "/ws/hook:moody", "hook:moody"
    await _good(trial)
    application.broken = True
    for _ in range(5):
        trial.refused("broken", await trial.knock(Name.HOOKED, path), "503 not_checked")
    asked = application.asked[channel]
    for _ in range(5):
        trial.refused("left alone", await trial.knock(Name.HOOKED, path), "503 not_checked")
    trial.safe("not asked meanwhile", application.asked[channel] - asked <= 1, "a broken hook is asked by everybody")
    application.broken = False
    await _good(trial)


@attack(alone=Name.HOOKED)
async def hook_is_late(trial: Trial) -> None:
    """A hundred and fifty clients wait for a hook that hangs: more than may be asked about at a time."""
    await _good(trial)
    questions = [upgrade(f"/ws/hook:hangs:{number}") for number in range(150)]
    lines = await asyncio.gather(*(trial.answered(Name.HOOKED, hanging) for hanging in questions))
    for line, answer in lines:
        trial.refused("waiting", str(answer.status) if answer else line.ended, "503")
    relay = await trial.relay(Name.HOOKED)
    seen = await relay.metric("wsrelay_connections")
    trial.safe("nobody is in", seen == 0.0, f"{seen} are in")
    await _good(trial)


@attack(alone=Name.HOOKED)
async def hook_fails_for_one(trial: Trial) -> None:
    """One client knows how to make the application fail for itself, and does so all the time: others want in."""
    await _good(trial)

    async def spoil() -> None:
        while True:
            await trial.knock(Name.HOOKED, "/ws/hook:500")
            await asyncio.sleep(0.01)

    spoiling = asyncio.get_running_loop().create_task(spoil())
    await asyncio.sleep(0.5)
    seen = []
    for _ in range(12):
        seen.append(await trial.knock(Name.HOOKED, OK))
        await asyncio.sleep(0.25)
    spoiling.cancel()
    trial.safe("others get in", seen.count("101") > len(seen) / 2, f"one client shuts others out: {seen}")
    await _good(trial)


@attack(alone=Name.HOOKED)
async def hook_hangs_for_one(trial: Trial) -> None:
    """One client knows how to make the application hang for itself, 150 times at once: others want in."""
    await _good(trial)

    async def spoil() -> None:
        while True:
            await trial.knock(Name.HOOKED, "/ws/hook:hangs", source="127.0.0.2")
            # Those that there is no room for are answered at once, and are to stay below the limit on handshakes.
            await asyncio.sleep(0.5)

    spoiling = [asyncio.get_running_loop().create_task(spoil()) for _ in range(150)]
    seen = []
    for _ in range(16):
        await asyncio.sleep(0.2)
        seen.append(await trial.knock(Name.HOOKED, OK))
    for each in spoiling:
        each.cancel()
    trial.safe("others get in", seen.count("101") == len(seen), f"one client shuts others out: {seen}")
    await _good(trial)


@attack(alone=Name.HOOKED)
async def hook_gets_a_foreign_cookie(trial: Trial) -> None:
    """A cookie that the hook is told of, from a page of another site, and from nobody knows where."""
    await _good(trial)
    cookie = f"Cookie: session={trial.secret('cookie-of-somebody-0123456789')}"
    trial.control("of our own page", await trial.knock(Name.HOOKED, OK, cookie, "Origin: http://relay.example"))
    trial.refused("foreign", await trial.knock(Name.HOOKED, OK, cookie, "Origin: http://evil.example"), "403 origin")
    trial.refused("no origin", await trial.knock(Name.HOOKED, OK, cookie), "403 no_origin")


@attack(alone=Name.DECEIVED)
async def hook_has_another_name(trial: Trial) -> None:
    """A server poses as the hook with a trusted authority's certificate for another host, and odd names in it."""
    issuer, application = trial.grounds.issuer, trial.grounds.application
    for odd in ((), *((name,) for name in ODD_NAMES), ("DNS:other.example",), ("IP:192.0.2.1",)):
        application.tls.load_cert_chain(issuer.pem("application.pem", "localhost"))
        await _good(trial, Name.DECEIVED, "/ws/hook:ok:named")
        asked = application.asked["hook:ok:named"]
        application.tls.load_cert_chain(issuer.write("impostor.pem", pem(*odd_certificate(issuer.authority, odd))))
        trial.refused(
            " ".join(odd) or "no name", await trial.knock(Name.DECEIVED, "/ws/hook:ok:named"), "503 not_checked"
        )
        trial.safe("nothing is shown to it", application.asked["hook:ok:named"] == asked, "the impostor was asked")
