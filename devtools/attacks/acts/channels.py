"""Channels that are somebody else's, the relay's own, or spelled so that they might be."""

from __future__ import annotations

from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.grounds import PREFIX
from devtools.attacks.setups import Name
from devtools.attacks.trial import ROOM, Trial
from devtools.harness.http import client_frame, upgrade

NAMES = (
    "$control",
    "%24control",
    "%2524control",
    "$probe:x",
    "%24probe:x",
    "wsrelay:$control",
    "room:$control",
    "room:1%24",
    ".",
    "..",
    "__keyevent@0__:set",
    "__keyspace@0__:wsrelay:ticket:x",
    "%2e%2e",
    "..%2froom:1",
    "room:1/../../api",
    "room:1%2f..",
    "room:1%00",
    "%00",
    "room:1%0a",
    "room:1%0d%0aPUBLISH",
    "room:1%20",
    "%20room:1",
    "room:*",
    "room:%2a",
    "*",
    "room:%3f",
    "room:[1]",
    "room:{sub}",
    "x" * 256,
    "%c0%afroom:1",
    "%ff%fe",
    "r%D0%BEom:1",
    "room%EF%BC%9A1",
    "%EF%BC%84control",
    "room:1%E2%80%8B",
    "room:%D9%A1",
    "room:1%",
    "room:1%2",
    "room:1%zz",
    "room:1;x=y%23",
    "",
)
"""Not one of them is a channel."""


@attack()
async def channel_is_none(trial: Trial) -> None:
    """Names that should reach the relay's own channels, other patterns, or look like another: encoded, overlong."""
    token = trial.bearer(forge.signed(channels=["*"]))
    for name in ("room:1", "room:%31", "%72oom:1", "x" * 255):
        relay = Name.OPEN if name.startswith("x") else Name.GUARDED
        trial.control(name[:20], await trial.knock(relay, f"/ws/{name}", token))
    for name in NAMES:
        for relay in (Name.OPEN, Name.GUARDED):
            trial.refused(name[:40], await trial.knock(relay, f"/ws/{name}", token), "400")


@attack()
async def channel_of_another_user(trial: Trial) -> None:
    """User 42 wants to hear what belongs to others, under every spelling, and so does one without a name."""
    token = trial.bearer(forge.signed(channels=None))
    for name in ("user:42", "user:%34%32"):
        trial.control(name, await trial.knock(Name.GUARDED, f"/ws/{name}", token))
    for name in ("user:43", "user:4", "user:420", "user:042", "user:42:x", "user:%34%33", "user:42.", "user:+42"):
        trial.refused(name, await trial.knock(Name.GUARDED, f"/ws/{name}", token), "403 channel_denied")
    for name in ("user:", "user", "User:42", "users:42"):
        trial.refused(name, await trial.knock(Name.GUARDED, f"/ws/{name}", token), "404 unknown_channel")
    for sub in (None, "*", "{sub}", "42 ", "\uff14\uff12"):
        token = trial.bearer(forge.signed(sub=sub, channels=["user:*"]))
        trial.refused(f"sub {sub!a}", await trial.knock(Name.GUARDED, "/ws/user:42", token), "403 channel_denied")


@attack()
async def publishes_where_it_may_not(trial: Trial) -> None:
    """A message where clients only listen, where the credential does not say so, and at somebody else's."""
    may = trial.bearer(forge.signed(channels=["talk:*"], publish=["talk:1"]))
    listener = await trial.enter(Name.GUARDED, "/ws/talk:1", may)
    speaker = await trial.enter(Name.GUARDED, "/ws/talk:1", may)
    speaker.send(client_frame(0x81, b"permitted"))
    trial.control("where it may", await listener.message(), b"permitted")
    claims: dict[str, Any]
    for path, claims in (
        ("/ws/room:mute", {"publish": ["room:mute", "*"]}),
        ("/ws/user:42", {"channels": None, "publish": ["user:42", "*"]}),
        ("/ws/talk:1", {"channels": ["talk:*"]}),
        ("/ws/talk:1", {"channels": ["talk:*"], "publish": []}),
        ("/ws/talk:1", {"channels": ["talk:*"], "publish": ["talk:2", "talk:11", "talk"]}),
    ):
        line = await trial.enter(Name.GUARDED, path, trial.bearer(forge.signed(**claims)))
        heard = await trial.enter(Name.GUARDED, path, trial.bearer(forge.signed(**claims)))
        line.send(client_frame(0x81, b"not permitted") * 3)
        trial.refused(path, await line.ending(), "4503")
        await trial.grounds.publish(path.removeprefix("/ws/"), "the end")
        trial.safe("nothing published", await heard.message() == b"the end", f"it was published on {path}")


@attack()
async def channel_has_the_prefix(trial: Trial) -> None:
    """Channels that are called like keys and channels of Redis: with the prefix, and as its notifications are."""
    plain = await trial.enter(Name.OPEN, "/ws/news")
    others = [
        await trial.enter(Name.OPEN, f"/ws/{name}")
        for name in (f"{PREFIX}news", f"{PREFIX}{PREFIX}news", f"{PREFIX}ticket:x", "keyevent@0__:set")
    ]
    await trial.ticket()
    await trial.grounds.publish("news", "for news")
    trial.control("the channel itself", await plain.message(), b"for news")
    for line in others:
        trial.safe("hears nothing", await line.message(0.2) is None, "it heard what was not for it")


@attack(alone=Name.BARE)
async def redis_tells_of_its_keys(trial: Trial) -> None:
    """Without a prefix, and with Redis's notifications on: channels that tell the names of keys, which are tickets."""
    line = await trial.enter(Name.BARE, "/ws/news")
    await trial.grounds.command("PUBLISH", "news", "hello")
    trial.control("a channel without a prefix", await line.message(), b"hello")
    spies = []
    for name in ("__keyevent@0__:set", "__keyevent@0__:expire", "__keyspace@0__:ticket:a-ticket-of-the-bare-relay"):
        spy = await trial.line(Name.BARE)
        spy.send(upgrade(f"/ws/{name}"))
        answer = await spy.answer()
        if answer is not None and answer.status == 101:
            spies.append(spy)
    await trial.grounds.command("SET", "ticket:a-ticket-of-the-bare-relay", '{"sub": "42"}', "EX", 60)
    heard = any([await spy.message(0.5) for spy in spies])
    trial.safe("no ticket is told", not heard, "a stranger hears of a ticket")
    stolen = await trial.knock(Name.BARE, f"{ROOM}?ticket=a-ticket-of-the-bare-relay") if heard else "nothing"
    trial.safe("nothing to use", stolen == "nothing", f"and comes to this by it: {stolen}")
