"""Clients with commands where the application decides who may subscribe: it is asked about each channel."""

from __future__ import annotations

from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.command_client import CommandClient
from devtools.attacks.context import AttackContext
from devtools.attacks.relay_setups import RelayName

RELAY = RelayName.COMMANDS_HOOK


@attack(exclusive=RELAY)
async def subscribes_past_the_hook(context: AttackContext) -> None:
    """Subscribe where the hook says no: after a connect without channels, by tokens, by what a token names, twice."""
    application = context.environment.application
    client = await CommandClient.connected(context, RELAY)
    context.control("a subscribe that it permits", await client.ask("subscribe", {"channel": "hook:ok:1"}), "200")
    context.control("it was asked about it", application.questions["hook:ok:1"]["event"], "subscribe")
    for channel, expected in (("hook:403", "error 103"), ("hook:401", "error 103"), ("hook:500", "error 100")):
        named: dict[str, Any] = {"channels": ["hook:*", channel], "subs": {channel: {}}}
        bare, listed = forge.signed(channels=None), forge.signed(channels=["hook:*"])
        by_token = context.secret(forge.signed(channels=None, channel=channel))
        for what, token, request in (
            ("no token", "", {}),
            ("a token", bare, {}),
            ("a token that lists it", listed, {}),
            ("a subscription token", bare, {"token": by_token}),
        ):
            client = await CommandClient.connected(context, RELAY, token)
            asked = application.asked[channel]
            for _ in range(2):
                seen = await client.ask("subscribe", {"channel": channel, **request})
                context.assert_rejected(f"{channel} with {what}", seen, expected)
            context.assert_harmless(
                "the hook was asked", application.asked[channel] > asked, f"{channel} with {what}: it was not asked"
            )
            await client.ask("refresh", {"token": listed}, 1)
            await context.environment.publish(channel, '"a secret"')
            context.assert_harmless("nothing received", not await client.received(), "a publication was received")
            context.assert_rejected(
                "publish", await client.ask("publish", {"channel": channel, "data": 1}), "error 103"
            )
        for claim in ("channels", "subs"):
            claims: dict[str, Any] = {"channels": None, claim: named[claim]}
            token = forge.signed(**claims)
            client = await CommandClient.open(context, RELAY)
            seen = await client.connect(context, token)
            is_subscribed = seen == "200" and channel in client.subscribed_at_connect
            context.assert_harmless("not at connect", not is_subscribed, f"{claim} of a token subscribes to {channel}")
