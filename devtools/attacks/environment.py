"""The servers that attacks share: Redis, an application, and relays, each started when an attack first needs it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from secrets import token_urlsafe
from typing import Any

from devtools.attacks.hook_application import HookApplication
from devtools.attacks.relay_setups import API_KEY, HOOK_SECRET, PASSWORD, SETUPS, TLS_HOST, RelayName, Resources
from devtools.harness.certificates import Issuer
from devtools.harness.ports import free_port
from devtools.harness.proxy import Proxy
from devtools.harness.redis_client import RedisClient
from devtools.harness.redis_server import AsyncRedisServer
from devtools.harness.relay import AsyncRelay

__all__ = ["CERTIFICATE", "PREFIX", "AttackEnvironment"]

PREFIX = "wsrelay:"
CERTIFICATE = "relay.pem"
AUTHORITY = "authority.pem"

MAX_STARTS = 3
"""How often a relay is started before its failure counts."""

_FEW_FILES = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))\n"
"""The `sitecustomize` of the relay SMALL: it fixes the limit on open files, which differs between machines."""


class AttackEnvironment:
    """The servers that attacks share.

    Args:
        more: Flags to add to those of a relay: to weaken it, and test that this is noticed.

    Attributes:
        redis: The Redis server.
        proxy: The proxy between it and the relay that may be cut off.
        application: The application that some relays ask.
        issuer: The certificate authority; the relay's own certificate is in the file `CERTIFICATE`.
        tls_port: The port of the relay TLS.
        secrets: The credentials that no log may hold.
        relays: The relays started so far.
    """

    def __init__(self, more: Mapping[RelayName, Sequence[str]] | None = None) -> None:
        self.redis = AsyncRedisServer("--requirepass", PASSWORD, "--notify-keyspace-events", "KEA")
        self.proxy = Proxy(self.redis.port)
        self.application = HookApplication()
        self.issuer = Issuer(self.redis.folder)
        self.tls_port = free_port()
        self.secrets = {PASSWORD, API_KEY, HOOK_SECRET}
        self.relays: dict[RelayName, AsyncRelay] = {}
        self._more = more or {}
        self._started: dict[RelayName, asyncio.Task[AsyncRelay]] = {}
        self._client: RedisClient | None = None

    async def open(self) -> None:
        """Start everything except the relays."""
        self.issuer.pem(CERTIFICATE, TLS_HOST)
        self.issuer.write(AUTHORITY, self.issuer.authority.cert_pem.bytes())
        self.application.tls.load_cert_chain(self.issuer.pem("application.pem", "localhost"))
        site = self.redis.folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(_FEW_FILES)
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

    async def relay(self, name: RelayName) -> AsyncRelay:
        """Return a relay that is ready."""
        if name not in self._started:
            self._started[name] = asyncio.get_running_loop().create_task(self._start(name))
        # An attack that is cancelled must not cancel the start for the others.
        return await asyncio.shield(self._started[name])

    async def command(self, *words: str | bytes | int) -> Any:
        """Send a command to Redis, past all proxies, and return the reply."""
        if self._client is None:
            raise RuntimeError("not open")
        return await self._client.command(*words)

    async def publish(self, channel: str, payload: str | bytes) -> None:
        """Publish as any program does."""
        await self.command("PUBLISH", f"{PREFIX}{channel}", payload)

    async def subscriber_count(self, channel: str) -> int:
        """Return how many processes are subscribed to a channel."""
        reply = await self.command("PUBSUB", "NUMSUB", f"{PREFIX}{channel}")
        return int(reply[1])

    async def ticket(self, document: str = "", *, seconds: int = 60, **claims: Any) -> str:
        """Create a ticket as an application does, with claims or with another document, and return it."""
        ticket = token_urlsafe(24)
        self.secrets.add(ticket)
        text = document or json.dumps({"sub": "42", "channels": ["room:*"], **claims})
        await self.command("SET", f"{PREFIX}ticket:{ticket}", text, "EX", seconds, "NX")
        return ticket

    async def _start(self, name: RelayName) -> AsyncRelay:
        # Between the check that a port is free and the relay listening there, a client may have taken it.
        for _ in range(MAX_STARTS - 1):
            try:
                return await self._start_once(name)
            except RuntimeError:
                self.relays.pop(name).close()
        return await self._start_once(name)

    async def _start_once(self, name: RelayName) -> AsyncRelay:
        folder = self.redis.folder
        self.tls_port = free_port() if name is RelayName.TLS else self.tls_port
        resources = Resources(
            application=self.application,
            tls_port=self.tls_port,
            certificate=str(folder / CERTIFICATE),
            site=str(folder / "site"),
            authority=str(folder / AUTHORITY),
        )
        setup = SETUPS[name](resources)
        flags = [*setup.flags.split(), *self._more.get(name, ())]
        if setup.config:
            config = folder / f"{name}.toml"
            config.write_text(setup.config)
            flags += ["--config", str(config)]
        port = self.proxy.port if setup.is_interrupted else self.redis.port
        environment = {**setup.environment, "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{port}"}
        relay = self.relays[name] = AsyncRelay("--metrics", "true", *flags, env=environment)
        await relay.start()
        return relay
