"""Clients with commands, which ask for channels one by one: what a credential permits them, and what not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.command_client import CommandClient
from devtools.attacks.context import AttackContext
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import head

RELAY = RelayName.COMMANDS

_LOOKUPS = ("history", "presence", "presence_stats")


@attack()
async def channels_of_a_token_limit(context: AttackContext) -> None:
    """Use channels that a token does not list: by commands, in other dialects, and by what it subscribes to."""
    token = forge.signed(channels=["room:1", "#42"], subs={"room:2": {}})
    client = await CommandClient.connected(context, RELAY, token)
    context.control("subscribed at connect", client.subscribed_at_connect, ["#42", "room:1", "room:2"])
    for channel in ("room:3", "room:11", "room:", "#42,43", "user:42"):
        for method in ("subscribe", "history", "presence", "presence_stats"):
            context.assert_rejected(f"{method} {channel}", await client.ask(method, {"channel": channel}), "error 103")
    # What it is subscribed to by subs it may look up and not publish to, and no other dialect opens it.
    for method in _LOOKUPS:
        context.control(f"{method} of subs", await client.ask(method, {"channel": "room:2"}), "200")
    seen = await client.ask("publish", {"channel": "room:2", "data": 1})
    context.assert_rejected("publish to subs", seen, "error 103")
    context.control("leaving it", await client.ask("unsubscribe", {"channel": "room:2"}), "200")
    for method in ("subscribe", *_LOOKUPS):
        seen = await client.ask(method, {"channel": "room:2"})
        context.assert_rejected(f"{method} of subs that it left", seen, "error 103")
    field = context.bearer(token)
    for path, expected in (("room:1", "101"), ("%2342", "101"), ("room:2", "403"), ("room:3", "403")):
        seen = await context.handshake(RELAY, f"/ws/{path}", field)
        stream = head(f"GET /sse/{path} HTTP/1.1", "Host: relay.example", field)
        in_stream = await context.request(RELAY, stream)
        if expected == "101":
            context.control(path, (seen, in_stream), ("101", "200"))
        else:
            context.assert_rejected(f"/ws/{path}", seen, "403 channel_denied")
            context.assert_rejected(f"/sse/{path}", in_stream, "403 channel_denied")
    seen = await context.request(RELAY, head("GET /presence/room:2 HTTP/1.1", "Host: relay.example", field))
    context.assert_rejected("/presence/room:2", seen, "403 channel_denied")
    # Neither opens what belongs to others, or to nobody.
    claims: dict[str, Any] = {"channels": ["room:1", "user:43", "#41", "ghost:1"], "subs": {"user:41": {}, "x": {}}}
    client = await CommandClient.connected(context, RELAY, forge.signed(**claims))
    seen = str(client.subscribed_at_connect)
    context.assert_harmless("its own alone", seen == "['room:1']", f"subscribed to {seen}")
    for channel in ("user:41", "user:43", "#41"):
        for method in _LOOKUPS:
            seen = await client.ask(method, {"channel": channel})
            context.assert_rejected(f"{method} {channel}, of another user", seen, "error 103")
    client = await CommandClient.open(context, RELAY)
    seen = await client.connect(context, forge.signed(subs={"$control": {}}))
    context.assert_rejected("a channel of the relay's own", seen, "3500")


@attack()
async def subscription_token_of_others(context: AttackContext) -> None:
    """Show subscription tokens that are for somebody or something else, have expired, or are none."""
    plain = forge.signed(channels=["room:1"])
    now = int(forge.now())

    async def client_and(**claims: Any) -> tuple[CommandClient, str]:
        client = await CommandClient.connected(context, RELAY, plain)
        mine = {"client": client.id} if claims.pop("is_bound", False) else {}
        return client, context.secret(forge.signed(**{"channels": None, "channel": "room:2", **mine, **claims}))

    for is_bound in (False, True):
        client, token = await client_and(is_bound=is_bound)
        seen = await client.ask("subscribe", {"channel": "room:2", "token": token})
        context.control("a good one", seen, "200")
        context.control("again", await client.ask("sub_refresh", {"channel": "room:2", "token": token}), "200")
    others: tuple[tuple[str, dict[str, Any], str, str], ...] = (
        ("another user's", {"sub": "43"}, "3500", "3500"),
        ("nobody's", {"sub": None}, "3500", "3500"),
        ("another channel's", {"channel": "room:3"}, "3500", "3500"),
        ("a pattern", {"channel": "room:*"}, "3500", "3500"),
        ("another connection's", {"client": client.id}, "3500", "3500"),
        ("expired", {"exp": now - 1}, "error 109", "error 110"),
        ("of tomorrow", {"nbf": now + 60}, "error 109", "error 110"),
        ("forged", {"key": "mallory"}, "error 103", "3500"),
        ("of another audience", {"aud": "other"}, "error 103", "3500"),
        ("for the connection", {"channel": None}, "error 103", "3500"),
        ("with a list", {"channel": ["room:2"]}, "error 103", "3500"),
    )
    for what, claims, subscribe, refresh in others:
        client, good = await client_and()
        _, bad = await client_and(**claims)
        seen = await client.ask("subscribe", {"channel": "room:2", "token": bad})
        context.assert_rejected(f"subscribe, {what}", seen, subscribe)
        client = await CommandClient.connected(context, RELAY, plain)
        seen = await client.ask("subscribe", {"channel": "room:2", "token": good})
        context.control("a good one before it", seen, "200")
        seen = await client.ask("sub_refresh", {"channel": "room:2", "token": bad})
        context.assert_rejected(f"sub_refresh, {what}", seen, refresh)
    for text in ("x", "a.b.c", "x" * 20_000, forge.raw({"alg": "none"}, forge.claims(channel="room:2"))):
        client, _ = await client_and()
        seen = await client.ask("subscribe", {"channel": "room:2", "token": text})
        context.assert_rejected(f"subscribe, {text[:10]}", seen, "error 103")
    # Good tokens for what nobody gets by a token.
    for channel, expected in (("user:43", "error 103"), ("#43", "error 103"), ("ghost:1", "error 102")):
        client, token = await client_and(channel=channel)
        seen = await client.ask("subscribe", {"channel": channel, "token": token})
        context.assert_rejected(f"a token for {channel}", seen, expected)
    client, token = await client_and()
    await client.ask("subscribe", {"channel": "room:2", "token": token})
    seen = await client.ask("publish", {"channel": "room:2", "data": 1})
    context.assert_rejected("publishing by it", seen, "error 103")
    seen = await client.ask("sub_refresh", {"channel": "room:9", "token": token})
    context.assert_rejected("for no subscription", seen, "error 103")


@attack()
async def refresh_by_another_token(context: AttackContext) -> None:
    """Refresh a connection by tokens of another user, for one channel, expired or forged, and by tickets."""
    now = int(forge.now())
    for what, claims, expected in (
        ("good", {}, "200"),
        ("another user's", {"sub": "43", "channels": ["room:*"]}, "3500"),
        ("nobody's", {"sub": None}, "3500"),
        ("a subscription token", {"channel": "room:1"}, "3500"),
        ("expired", {"exp": now - 1}, "3005"),
        ("forged", {"key": "mallory"}, "3500"),
        ("of another audience", {"aud": "other"}, "3500"),
    ):
        client = await CommandClient.connected(context, RELAY, forge.signed(channels=["room:1"]))
        seen = await client.ask("refresh", {"token": context.secret(forge.signed(**claims))})
        if expected == "200":
            context.control(what, seen, expected)
        else:
            context.assert_rejected(what, seen, expected)
    # One that is refreshed may use what the new token lists, and a ticket stays good.
    client = await CommandClient.connected(context, RELAY, forge.signed(channels=["room:*"]))
    less = context.secret(forge.signed(channels=["room:1"]))
    context.control("less than before", await client.ask("refresh", {"token": less}), "200")
    context.assert_rejected("what it lost", await client.ask("subscribe", {"channel": "room:2"}), "error 103")
    ticket = (await context.ticket(channels=["room:1"])).partition("=")[2]
    context.assert_rejected("a ticket", await client.ask("refresh", {"token": ticket}), "3005")
    context.control("the ticket", await context.handshake(RELAY, f"/ws/room:1?ticket={ticket}"))
    # Nobody becomes somebody.
    client = await CommandClient.connected(context, RELAY)
    seen = await client.ask("refresh", {"token": context.secret(forge.signed(channels=["room:*"]))})
    context.assert_rejected("an anonymous client", seen, "3500")


@attack()
async def ticket_in_a_connect(context: AttackContext) -> None:
    """Connect with tickets that are unknown, used, expired, torn between two clients, or malformed."""
    used, expired = [(await context.ticket(seconds=seconds)).partition("=")[2] for seconds in (60, 1)]
    began = time.monotonic()
    client = await CommandClient.open(context, RELAY)
    context.control("a good ticket", await client.connect(context, used), "200")
    await asyncio.sleep(max(0, 1.1 - (time.monotonic() - began)))
    for what, text, expected in (
        ("used", used, "error 109"),
        ("expired", expired, "error 109"),
        ("unknown", "a-ticket-that-nobody-was-given", "error 109"),
        ("too short", "short", "3500"),
        ("a path", "../../outside-of-the-prefix/", "3500"),
        ("too long", "x" * 200, "3500"),
        ("a command", "x" * 16 + "\r\nFLUSHALL\r\n", "3500"),
        ("NUL", "x" * 16 + "\x00", "3500"),
        ("a token without its end", forge.signed().rpartition(".")[0], "3500"),
    ):
        client = await CommandClient.open(context, RELAY)
        context.assert_rejected(what, await client.connect(context, text), expected)
        # It may try again on another connection, and not on this one.
        if expected == "error 109":
            seen = await client.ask("connect", {"token": forge.signed()}, 0.3)
            context.assert_rejected(f"{what}, and a token behind it", seen, "silence", "3501")
    raced = (await context.ticket()).partition("=")[2]
    clients = [await CommandClient.open(context, RELAY) for _ in range(8)]
    outcomes = sorted(await asyncio.gather(*(each.connect(context, raced) for each in clients)))
    context.control("one of eight", outcomes[0], "200")
    for seen in outcomes[1:]:
        context.assert_rejected("the others", seen, "error 109")


@attack()
async def commands_without_right(context: AttackContext) -> None:
    """Name channels of the relay, of other users and of nobody in every command, before and after the connect."""
    client = await CommandClient.connected(context, RELAY, forge.signed(channels=None, publish=["*"]))
    methods = ("subscribe", "publish", "history", "presence", "presence_stats")
    for channel in ("user:42", "#42", "#41,42"):
        for method in methods:
            seen = await client.ask(method, {"channel": channel, "data": {}})
            # A token that lists no channels is enough for one's own.
            expected = "error 103"
            context.assert_rejected(f"{method} {channel}", seen, expected)
    listed = forge.signed(channels=["user:*", "#*"], publish=["*"])
    client = await CommandClient.connected(context, RELAY, listed)
    for channel in ("user:42", "#42", "#41,42"):
        context.control(f"one's own: {channel}", await client.ask("subscribe", {"channel": channel}), "200")
    for channel, expected in (
        ("$control", "error 107"),
        ("$probe:x", "error 107"),
        ("wsrelay:$control", "error 107"),
        ("__keyspace@0__:x", "error 107"),
        ("room:*", "error 107"),
        ("", "error 107"),
        ("x" * 256, "error 107"),
        ("room:1\n2", "error 107"),
        ("user:43", "error 103"),
        ("#41", "error 103"),
        ("#", "error 103"),
        ("user:42#41", "error 103"),
        ("ghost:1", "error 102"),
    ):
        for method in methods:
            denied = "error 103" if (method, expected) == ("publish", "error 102") else expected
            seen = await client.ask(method, {"channel": channel, "data": {}})
            context.assert_rejected(f"{method} {channel[:20]!r}", seen, denied)
    for method in (*methods, "refresh", "sub_refresh", "unsubscribe", "rpc"):
        client = await CommandClient.open(context, RELAY)
        seen = await client.ask(method, {"channel": "plain:1", "data": {}, "token": "x" * 20})
        context.assert_rejected(f"{method} before the connect", seen, "3501")
    client = await CommandClient.connected(context, RELAY, listed)
    seen = await client.ask("connect", {"token": context.secret(forge.signed(sub="43"))})
    context.assert_rejected("a second connect", seen, "3501")


@attack()
async def lookups_without_right(context: AttackContext) -> None:
    """Look up history and presence where it is for nobody, where there is none, and more than may wait."""
    client = await CommandClient.connected(context, RELAY, forge.signed(channels=["room:1", "vault:*", "plain:*"]))
    for channel in ("room:1", "vault:1", "plain:1"):
        outcome = "200" if channel == "room:1" else await client.ask("subscribe", {"channel": channel})
        context.control(channel, outcome, "200")
    for method in _LOOKUPS:
        context.control(method, await client.ask(method, {"channel": "room:1"}), "200")
        context.assert_rejected(f"{method} of a vault", await client.ask(method, {"channel": "vault:1"}), "error 103")
        context.assert_rejected(f"{method} of none", await client.ask(method, {"channel": "plain:1"}), "error 108")
    await _lookups_by_a_subscription_token(context)
    # All of them before any is answered.
    many: list[tuple[str, dict[str, Any]]] = [("history", {"channel": "room:1", "limit": at}) for at in range(100)]
    outcomes = await client.ask_all(many)
    context.control("as many as may wait", outcomes.count("200") >= 16, expected=True)
    for seen in outcomes[16:]:
        context.assert_rejected("too many", seen, "error 111")
    context.control("and again", await client.ask("history", {"channel": "room:1"}), "200")


async def _lookups_by_a_subscription_token(context: AttackContext) -> None:
    """Look up by a bad token, before the token and after the subscription, and where it is for nobody."""
    client = await CommandClient.connected(context, RELAY, forge.signed(channels=["room:1"]))

    async def all_rejected(what: str, channel: str) -> None:
        for method in _LOOKUPS:
            seen = await client.ask(method, {"channel": channel})
            context.assert_rejected(f"{method}, {what}", seen, "error 103")

    good = context.secret(forge.signed(channels=None, channel="room:2"))
    bad = context.secret(forge.signed(channels=None, channel="room:2", key="mallory"))
    await all_rejected("before the subscription", "room:2")
    seen = await client.ask("subscribe", {"channel": "room:2", "token": bad})
    context.assert_rejected("a forged token", seen, "error 103")
    await all_rejected("by a forged token", "room:2")
    context.control("a good token", await client.ask("subscribe", {"channel": "room:2", "token": good}), "200")
    for method in _LOOKUPS:
        context.control(f"{method} by it", await client.ask(method, {"channel": "room:2"}), "200")
    await all_rejected("of another channel", "room:3")
    context.control("leaving it", await client.ask("unsubscribe", {"channel": "room:2"}), "200")
    await all_rejected("behind the subscription", "room:2")
    vault = context.secret(forge.signed(channels=None, channel="vault:2"))
    context.control("a token for a vault", await client.ask("subscribe", {"channel": "vault:2", "token": vault}), "200")
    await all_rejected("of a vault", "vault:2")
