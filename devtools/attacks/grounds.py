"""What attacks are tried on: Redis, an application, and relays that are started when the first attack asks for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from secrets import token_urlsafe
from typing import Any

from devtools.attacks.application import Application
from devtools.attacks.setups import API_KEY, HOOK_SECRET, PASSWORD, SETUPS, TLS_HOST, Name, Places
from devtools.faults.children import Redis, Relay
from devtools.faults.net import RedisClient
from devtools.faults.proxy import Proxy
from devtools.harness.certificates import Issuer
from devtools.harness.redis_server import free_port

__all__ = ["CERTIFICATE", "PREFIX", "Grounds"]

PREFIX = "wsrelay:"
CERTIFICATE = "relay.pem"
AUTHORITY = "authority.pem"

MOST_STARTS = 3
"""How often a relay is started that does not."""

_FEW_FILES = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))\n"
"""What a relay imports before anything else that is to be a small one: no machine allows the same number."""


class Grounds:
    """All that attacks share.

    Args:
        more: Flags to add to those of a relay: to make it weak, and see whether that is seen.

    Attributes:
        redis: The server.
        proxy: Between it and the relay that may be cut off.
        application: Asked by some relays.
        issuer: Of certificates; the relay's own is in `CERTIFICATE`.
        tls_port: Where TLS is spoken.
        secrets: What no log may hold.
        relays: Those that were started.
    """

    def __init__(self, more: Mapping[Name, Sequence[str]] | None = None) -> None:
        self.redis = Redis("--requirepass", PASSWORD, "--notify-keyspace-events", "KEA")
        self.proxy = Proxy(self.redis.port)
        self.application = Application()
        self.issuer = Issuer(self.redis.folder)
        self.tls_port = free_port()
        self.secrets = {PASSWORD, API_KEY, HOOK_SECRET}
        self.relays: dict[Name, Relay] = {}
        self._more = more or {}
        self._started: dict[Name, asyncio.Task[Relay]] = {}
        self._client: RedisClient | None = None

    async def open(self) -> None:
        """Start everything but the relays."""
        self.issuer.pem(CERTIFICATE, TLS_HOST)
        self.issuer.write(AUTHORITY, self.issuer.authority.cert_pem.bytes())
        self.application.tls.load_cert_chain(self.issuer.pem("application.pem", "localhost"))
        hooks = self.redis.folder / "hooks"
        hooks.mkdir()
        (hooks / "sitecustomize.py").write_text(_FEW_FILES)
        await self.redis.start()
        await self.proxy.listen()
        await self.application.open()
        self._client = await RedisClient.connect(self.redis.port, PASSWORD)

    async def close(self) -> None:
        """End everything."""
        for task in self._started.values():
            task.cancel()
        await asyncio.gather(*self._started.values(), return_exceptions=True)
        if self._client is not None:
            self._client.close()
        await self.application.close()
        await self.proxy.close()
        for child in (*self.relays.values(), self.redis):
            child.close()

    async def relay(self, name: Name) -> Relay:
        """A relay that is ready."""
        if name not in self._started:
            self._started[name] = asyncio.get_running_loop().create_task(self._start(name))
        # One attack that is given up is not to end it for the others.
        return await asyncio.shield(self._started[name])

    async def command(self, *words: str | bytes | int) -> Any:
        """Have Redis do something, past all proxies."""
        if self._client is None:
            raise RuntimeError("not open")
        return await self._client.command(*words)

    async def publish(self, channel: str, payload: str | bytes) -> None:
        """Publish as any program does."""
        await self.command("PUBLISH", f"{PREFIX}{channel}", payload)

    async def listeners(self, channel: str) -> int:
        """How many processes are subscribed to a channel."""
        reply = await self.command("PUBSUB", "NUMSUB", f"{PREFIX}{channel}")
        return int(reply[1])

    async def ticket(self, document: str = "", *, seconds: int = 60, **claims: Any) -> str:
        """A ticket, put where an application puts it: with these claims, or with this document instead."""
        ticket = token_urlsafe(24)
        self.secrets.add(ticket)
        text = document or json.dumps({"sub": "42", "channels": ["room:*"], **claims})
        await self.command("SET", f"{PREFIX}ticket:{ticket}", text, "EX", seconds, "NX")
        return ticket

    async def _start(self, name: Name) -> Relay:
        # Between the moment when a port was free and the one when a relay listens there, a client may have taken it.
        for _ in range(MOST_STARTS - 1):
            try:
                return await self._start_once(name)
            except RuntimeError:
                self.relays.pop(name).close()
        return await self._start_once(name)

    async def _start_once(self, name: Name) -> Relay:
        folder = self.redis.folder
        self.tls_port = free_port() if name is Name.ENCRYPTED else self.tls_port
        places = Places(
            self.application, self.tls_port, str(folder / CERTIFICATE), str(folder / "hooks"), str(folder / AUTHORITY)
        )
        setup = SETUPS[name](places)
        flags = [*setup.flags.split(), *self._more.get(name, ())]
        if setup.config:
            config = folder / f"{name}.toml"
            config.write_text(setup.config)
            flags += ["--config", str(config)]
        port = self.proxy.port if setup.is_cut else self.redis.port
        relay = self.relays[name] = Relay(f"redis://:{PASSWORD}@127.0.0.1:{port}", flags, setup.environment)
        await relay.start()
        return relay
