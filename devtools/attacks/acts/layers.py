"""What Twisted, Autobahn and txredisapi get wrong by themselves, as far as it can be seen from outside."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from devtools.attacks.application import LATE_SECONDS
from devtools.attacks.attack import attack
from devtools.attacks.grounds import CERTIFICATE
from devtools.attacks.line import DEADLINE_SECONDS, Line, is_held, until, until_told
from devtools.attacks.setups import TLS_HOST, Name
from devtools.attacks.trial import Trial, told
from devtools.faults.proxy import Way
from devtools.harness.http import client_frame, upgrade

LINGER_SECONDS = 5.0
"""How long the relay stays subscribed to what nobody listens to any more."""

BURST = "for _ = 1, 150000 do redis.call('PUBLISH', 'wsrelay:working', 'x') end"

CLOSE = client_frame(0x88, b"\x03\xe8")
PONG = 0x8A


@attack(alone=Name.CUT)
async def redis_drops_link_in_auth(trial: Trial) -> None:
    """Redis resets the relay's links while their AUTH is under way, again and again."""
    relay, proxy = await trial.relay(Name.CUT), trial.grounds.proxy
    trial.control("the relay is ready", (await relay.get("/readyz"))[0], 200)
    cuts = 0

    def cut(data: bytes) -> bytes:
        nonlocal cuts
        if b"AUTH" in data:
            cuts += 1
            proxy.cut()
        return data

    proxy.mangle[Way.UP] = cut
    try:
        proxy.cut()
        trial.control("links were cut in their AUTH", await until(lambda: cuts >= 6, 10), True)
    finally:
        del proxy.mangle[Way.UP]

    async def is_ready() -> bool:
        return (await relay.get("/readyz"))[0] == 200

    trial.safe("ready again", await until_told(is_ready, 10), f"it did not come back after {cuts} cuts")


@attack(alone=Name.LATE)
async def client_leaves_while_pending(trial: Trial) -> None:
    """Twenty clients hang up while the application is still asked about them."""
    relay = await trial.relay(Name.LATE)
    trial.control("a client that waits", await trial.knock(Name.LATE, "/ws/hook:late"))
    for number in range(20):
        line = await trial.line(Name.LATE)
        line.send(upgrade("/ws/hook:late:gone"))
        await asyncio.sleep(0.02)
        line.leave(politely=bool(number % 2))
    await asyncio.sleep(LATE_SECONDS + 0.5)
    trial.control("the application was asked", trial.grounds.application.asked["hook:late:gone"] > 0, True)
    counts = [await relay.metric(f"wsrelay_{name}") for name in ("connections", "authenticated_connections")]
    trial.safe("nobody is counted", counts == [0.0, 0.0], f"{counts} are still counted")

    async def is_free() -> bool:
        return await trial.grounds.listeners("hook:late:gone") == 0

    trial.safe("nothing subscribed", await until_told(is_free, LINGER_SECONDS + 3), "the channel is still subscribed")


@attack(alone=Name.LATE)
async def second_upgrade_while_pending(trial: Trial) -> None:
    """Behind a handshake that waits for its answer comes another one, for another channel."""
    before = trial.grounds.application.asked["hook:late"]
    honest = await trial.enter(Name.LATE, "/ws/hook:late")
    honest.leave()
    for pause in (0.0, LATE_SECONDS / 4):
        line = await trial.line(Name.LATE)
        line.send(upgrade("/ws/hook:late"))
        await asyncio.sleep(pause)
        line.send(upgrade("/ws/hook:ok:second"))
        trial.control("the first one", told(line, await line.answer()))
        # What follows is read as a frame, and "G" begins one of a reserved kind.
        trial.refused("the second one", await line.ending(), "1002")
        trial.safe("one 101", line.received.count(b"HTTP/1.1") == 1, "there were two answers")
    asked = trial.grounds.application.asked["hook:ok:second"] or await trial.grounds.listeners("hook:ok:second")
    seen = trial.grounds.application.asked["hook:late"]
    trial.safe("asked once about each", seen == 3 + before, f"the application was asked {seen - before} times")
    trial.safe("nobody asked about it", not asked, "the second handshake was looked at")


@attack()
async def close_and_never_read(trial: Trial) -> None:
    """A client that has not read for a while sends Close, and reads no answer either."""
    relay = await trial.relay(Name.OPEN)
    honest = await trial.enter(Name.OPEN, "/ws/deaf")
    honest.send(CLOSE)
    trial.control("a Close is answered", await honest.ending(), "1000")
    line = await trial.enter(Name.OPEN, "/ws/deaf", receive_buffer=4096)
    line.pause()
    for _ in range(12):
        await trial.grounds.publish("deaf", b"x" * 50_000)
    await asyncio.sleep(0.3)
    trial.control("it is held before", is_held(relay.port, line.port), True)
    line.send(CLOSE)
    gone = await until(lambda: not is_held(relay.port, line.port), 5)
    trial.safe("gone in time", gone, "its descriptor was still held 5 s later")


@attack(alone=Name.ENCRYPTED)
async def close_without_close_notify(trial: Trial) -> None:
    """Over TLS a client sends Close, and neither reads nor says goodbye to TLS."""
    await trial.relay(Name.ENCRYPTED)
    port = trial.grounds.tls_port
    context = _context(trial)

    def begin() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        encrypted = context.wrap_socket(plain, server_hostname=TLS_HOST)
        encrypted.sendall(upgrade("/ws/deaf-too"))
        return encrypted

    encrypted = await asyncio.to_thread(begin)
    with encrypted:
        answer = await asyncio.to_thread(encrypted.recv, 12)
        trial.control("a handshake over TLS", answer, b"HTTP/1.1 101")
        mine = encrypted.getsockname()[1]
        trial.control("it is held before", is_held(port, mine), True)
        await asyncio.to_thread(encrypted.sendall, CLOSE)
        gone = await until(lambda: not is_held(port, mine), 5)
    trial.safe("gone in time", gone, "its descriptor was still held 5 s later")


@attack(alone=Name.PATIENT)
async def relay_stands_still(trial: Trial) -> None:
    """The relay is stopped for longer than a pong may take; the pong of a healthy client waits in the socket."""
    relay = await trial.relay(Name.PATIENT)
    healthy, silent = await trial.enter(Name.PATIENT, "/ws/still"), await trial.enter(Name.PATIENT, "/ws/still")
    busy = await trial.enter(Name.PATIENT, "/ws/working")
    ping = await healthy.frame()
    # In the middle of its work, and not where it waits: from there it would look at what has come before its timers.
    working = asyncio.get_running_loop().create_task(trial.grounds.command("EVAL", BURST, 0))
    await busy.news(1)
    relay.signal(signal.SIGSTOP)
    try:
        trial.control("it pings", ping is not None and ping[0], 9)
        healthy.send(client_frame(PONG, ping[1] if ping else b""))
        await asyncio.sleep(3)
        await working
    finally:
        relay.signal(signal.SIGCONT)
    answering = asyncio.get_running_loop().create_task(_answer_pings(healthy))
    trial.control("who never pongs is dropped", await silent.hung_up() != "open", True)
    await trial.grounds.publish("still", "on")
    trial.safe("the healthy one hears", await answering == b"on", "a healthy client was dropped")


async def _answer_pings(line: Line) -> bytes | None:
    while (found := await line.frame()) is not None and found[0] == 9:
        line.send(client_frame(PONG, found[1]))
    return found[1] if found else None


@attack(alone=Name.ENCRYPTED)
async def certificate_is_replaced(trial: Trial) -> None:
    """The certificate is replaced by another one, and then by rubbish, while a client is connected."""
    relay = await trial.relay(Name.ENCRYPTED)
    context = _context(trial)
    url = f"wss://{TLS_HOST}:{trial.grounds.tls_port}/ws/renewed"

    async def come() -> ClientConnection:
        return await connect(
            url, ssl=context, host="127.0.0.1", proxy=None, open_timeout=DEADLINE_SECONDS, close_timeout=1
        )

    async def shown() -> bytes:
        async with await come() as client:
            return _certificate(client)

    async with await come() as old:
        before = _certificate(old)
        trial.control("another one sees the same certificate", await shown(), before)
        trial.grounds.issuer.pem(CERTIFICATE, TLS_HOST)
        relay.signal(signal.SIGHUP)
        after = before
        async with asyncio.timeout(DEADLINE_SECONDS):
            while after == before:
                after = await shown()
        trial.grounds.issuer.write(CERTIFICATE, b"-----BEGIN PRIVATE KEY-----\nrubbish\n")
        relay.signal(signal.SIGHUP)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while "certificates not loaded" not in relay.log():
                await asyncio.sleep(0.05)
        trial.safe("rubbish changes nothing", await shown() == after, "rubbish took the place of a certificate")
        await trial.grounds.publish("renewed", "still here")
        async with asyncio.timeout(DEADLINE_SECONDS):
            trial.safe("who was there hears", await old.recv() == "still here", "an old client lost its connection")


@attack()
async def payload_looks_like_something(trial: Trial) -> None:
    """Messages look like numbers or are no text, and so does the name of their channel."""
    line = await trial.enter(Name.OPEN, "/ws/123")
    await trial.grounds.publish("123", "hello")
    trial.control("a message", await line.frame(), (1, b"hello"))
    for opcode, payload in ((1, b"007"), (1, b"1_000"), (1, b"1.50"), (2, b"\xff\xfe"), (1, b""), (1, b"null")):
        await trial.grounds.publish("123", payload)
        found = await line.frame()
        trial.safe("byte for byte", found == (opcode, payload), f"{payload!r} came as {found!r}")


def _context(trial: Trial) -> ssl.SSLContext:
    context = ssl.create_default_context()
    trial.grounds.issuer.authority.configure_trust(context)
    return context


def _certificate(client: ClientConnection) -> bytes:
    encrypted: Any = client.transport.get_extra_info("ssl_object")
    shown: bytes = encrypted.getpeercert(binary_form=True)
    return shown
