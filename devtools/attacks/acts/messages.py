"""The first message of a client that sends its credential by it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from devtools.attacks import forge
from devtools.attacks.attack import attack
from devtools.attacks.line import Line
from devtools.attacks.setups import Name
from devtools.attacks.trial import ROOM, Trial
from devtools.harness.http import client_frame

TEXT, BINARY = 0x81, 0x82
WELCOME = {"subscribed": "room:1"}


async def _enter(trial: Trial, path: str = ROOM) -> Line:
    return await trial.enter(Name.GUARDED, f"{path}?auth=message")


def _shown(trial: Trial, token: str) -> bytes:
    return json.dumps({"token": trial.secret(token)}).encode()


async def _good(trial: Trial) -> Line:
    """One that was let in by its first message."""
    line = await _enter(trial)
    line.send(client_frame(TEXT, _shown(trial, forge.signed())))
    trial.control("a good first message", json.loads(await line.message() or b"null"), WELCOME)
    return line


@attack()
async def first_message_never_comes(trial: Trial) -> None:
    """A client that promises its credential, and then is silent, pings, or sends empty frames of one message."""
    await _good(trial)
    lines = [await _enter(trial) for _ in range(3)]
    await trial.grounds.publish("room:1", "a secret")
    for _ in range(22):
        await asyncio.sleep(0.5)
        lines[1].send(client_frame(0x89))
        lines[2].send(client_frame(0x01 if not _ else 0x00))
    for line in lines:
        trial.refused("nothing shown", await line.ending(1), "4501")
        trial.safe("nothing heard", b"a secret" not in line.received, "it heard a message")


@attack()
async def first_message_is_bad(trial: Trial) -> None:
    """What is no credential: other JSON, nested, too long, binary, nothing; and tokens and tickets that are bad."""
    await _good(trial)
    good = forge.signed()
    for payload, expected in (
        (b"", "4501"),
        (b"hello", "4501"),
        (b"{}", "4501"),
        (b"null", "4501"),
        (b"[" * 8000, "4501"),
        (b'{"token": ' + b'{"token": ' * 700 + b"1" + b"}" * 701, "4501"),
        (b'{"token": ["' + good.encode() + b'"]}', "4501"),
        (json.dumps({"token": good, "ticket": "x" * 32}).encode(), "4501"),
        (json.dumps({"token": good, "sub": "1"}).encode(), "4501"),
        (json.dumps({"Token": good}).encode(), "4501"),
        (json.dumps(good).encode(), "4501"),
        (json.dumps({"token": forge.signed(note="x" * 8000)}).encode(), "4501"),
        (b'{"token": "' + b"x" * 9000 + b'"}', "4501"),
        (b'{"token": "' + b"x" * 70_000 + b'"}', "1009"),
        (b"\x00" * 100, "4501"),
        (_shown(trial, forge.signed(key="mallory")), "4501"),
        (_shown(trial, forge.raw({"alg": "none"}, forge.claims())), "4501"),
        (_shown(trial, forge.signed(aud="other")), "4501"),
        (_shown(trial, forge.signed(exp=1)), "4502"),
        (_shown(trial, forge.signed(channels=["room:2"])), "4504"),
        (b'{"ticket": "a-ticket-that-nobody-has-made"}', "4501"),
        (b'{"ticket": "../../outside-of-the-prefix"}', "4501"),
    ):
        for opcode in (TEXT, BINARY):
            line = await _enter(trial)
            line.send(client_frame(opcode, payload))
            trial.refused(f"{payload[:30]!r}", await line.ending(), expected)
            line.leave()


@attack()
async def first_message_twice(trial: Trial) -> None:
    """A second credential behind the first: after the welcome, and in one piece with it, to become another user."""
    line = await _good(trial)
    line.send(client_frame(TEXT, _shown(trial, forge.signed(sub="1", channels=["*"], publish=["*"]))))
    trial.refused("after the welcome", await line.ending(), "4503")
    for first, second in (("42", "1"), ("1", "42")):
        line = await _enter(trial, "/ws/user:1")
        both = [_shown(trial, forge.signed(sub=sub, channels=None)) for sub in (first, second)]
        line.send(b"".join(client_frame(TEXT, payload) for payload in both))
        trial.refused(f"{first} and then {second}", await line.ending(), "4503", "4504")


@attack()
async def publishes_before_welcome(trial: Trial) -> None:
    """A message that comes before anybody knows who sends it: in place of the credential, and right behind it."""
    may: dict[str, Any] = {"channels": ["talk:early"], "publish": ["talk:early"]}
    listener = await trial.enter(Name.GUARDED, "/ws/talk:early", trial.bearer(forge.signed(**may)))
    speaker = await _enter(trial, "/ws/talk:early")
    speaker.send(client_frame(TEXT, _shown(trial, forge.signed(**may))))
    trial.control("welcome", json.loads(await speaker.message() or b"null"), {"subscribed": "talk:early"})
    speaker.send(client_frame(TEXT, b"in its turn"))
    trial.control("in its turn", await listener.message(), b"in its turn")
    early = client_frame(TEXT, b"too early")
    for data, expected in (
        (early, "4501"),
        (client_frame(TEXT, _shown(trial, forge.signed(**may))) + early, "4503"),
        (client_frame(TEXT, _shown(trial, forge.signed(key="mallory"))) + early, "4501 4503"),
    ):
        line = await _enter(trial, "/ws/talk:early")
        line.send(data)
        trial.refused("too early", await line.ending(), *expected.split())
    await trial.grounds.publish("talk:early", "the end")
    trial.safe("nothing published", await listener.message() == b"the end", "it was published")
