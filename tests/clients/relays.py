"""The relays that the SDKs connect to: real processes on a real Redis server, beside plain PUBLISH and XADD."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jwt

from devtools.harness.ports import free_port
from devtools.harness.redis_server import RedisServer
from devtools.harness.relay import Relay

__all__ = ["EPOCH", "HISTORY_SIZE", "Site", "offset_of", "shared_site", "token"]

KEY = "0123456789abcdef0123456789abcdef"
EPOCH = "wsrelay"
BASE_MS = 1_767_225_600_000
HISTORY_SIZE = 2000

_NAMESPACES = f"""
centrifugo = true
origins = ["http://127.0.0.1:*"]
metrics = true
token_leeway_seconds = 0
drain_timeout_seconds = 3
max_outbox_bytes = 262144
history_size = 0

[namespaces.plain]
channels = ["plain:*"]
publish = "public"

[namespaces.mute]
channels = ["mute:*"]

[namespaces.kept]
channels = ["kept:*"]
publish = "public"
history_size = {HISTORY_SIZE}

[namespaces.here]
channels = ["here:*"]
presence = true
join_leave = true

[namespaces.closed]
channels = ["closed:*"]
subscribe = "token"

[namespaces.personal]
channels = ["user:{{sub}}"]
history_size = {HISTORY_SIZE}
"""


def token(subject: str, seconds: float = 3600, **claims: Any) -> str:
    """Return a token (HS256) of a user.

    Args:
        subject: The user.
        seconds: How long it is valid from now on; negative if it has expired.
        **claims: More claims.
    """
    return jwt.encode({"sub": subject, "exp": time.time() + seconds, **claims}, KEY, "HS256")


def offset_of(entry_id: bytes) -> int:
    """Return the offset of the entry of an ID, by the rule of docs/centrifugo.md."""
    ms, number = map(int, entry_id.split(b"-"))
    return (ms - BASE_MS) * 4096 + number


class Site:
    """A Redis server, and the relay in front of it. As a context manager both are started and ended.

    Args:
        *redis: More arguments of the Redis server.

    Attributes:
        redis: The server.
        relay: The relay that runs now, or ran last.
        url: The address that SDKs connect to. It stays the same when another relay takes over.
    """

    def __init__(self, *redis: str) -> None:
        self.redis = RedisServer(*redis)
        self._port = free_port()
        self.url = f"ws://127.0.0.1:{self._port}/connection/websocket"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="wsrelay-clients-")
        self._file = Path(self._folder.name, "wsrelay.toml")
        self._file.write_text(_NAMESPACES)
        self.redis.start()
        self._programs = self.redis.client()
        self.start_relay()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.relay.close()
        self._programs.close()
        self.redis.close()
        self._folder.cleanup()

    def start_relay(self) -> None:
        """Start a relay on the port of the last one."""
        variables = {"REDIS_URL": self.redis.url, "WSRELAY_TOKEN_KEYS": KEY}
        self.relay = Relay("--config", str(self._file), port=self._port, env=variables).start()

    def publish(self, channel: str, *values: Any) -> None:
        """Publish values as JSON, by plain PUBLISH."""
        for value in values:
            self._programs.publish(f"wsrelay:{channel}", json.dumps(value))

    def add(self, channel: str, *values: Any) -> list[int]:
        """Add values as JSON, by plain XADD.

        Returns:
            Their offsets.
        """
        return [offset_of(self._add(channel, value, "*")) for value in values]

    def add_with_ids(self, channel: str, values: Mapping[str, Any]) -> None:
        """Add values as JSON, by XADD with IDs of the program's own."""
        for entry_id, value in values.items():
            self._add(channel, value, entry_id)

    def add_and_trim(self, channel: str, values: Iterable[Any], entries: int, ids: Iterable[str] | None = None) -> None:
        """Add values as JSON and leave only the newest entries, with no moment in between in which anyone reads.

        Args:
            channel: The channel's name.
            values: The values.
            entries: How many entries are left.
            ids: Their IDs. If None, the server names them.
        """
        with self._programs.pipeline(transaction=True) as together:
            for value, entry_id in zip(values, repeat("*") if ids is None else ids, strict=False):
                together.xadd(f"wsrelay:{channel}", {"data": json.dumps(value)}, id=entry_id)
            together.xtrim(f"wsrelay:{channel}", maxlen=entries, approximate=False)
            together.execute()

    def add_fields(self, channel: str, **fields: str) -> None:
        """Add an entry with more fields than its data, by plain XADD."""
        self._programs.xadd(f"wsrelay:{channel}", dict(fields))

    def entries(self, channel: str) -> list[Any]:
        """Return the values that a channel's stream holds."""
        found: Any = self._programs.xrange(f"wsrelay:{channel}")
        return [json.loads(fields[b"data"]) for _, fields in found]

    def closed(self, code: int) -> float:
        """Return how many connections the relay has closed with a code."""
        _, metrics = self.relay.get("/metrics")
        name = f'wsrelay_connections_closed_total{{code="{code}"}} '
        found: Iterable[str] = (line for line in metrics.splitlines() if line.startswith(name))
        return sum(float(line.removeprefix(name)) for line in found)

    def _add(self, channel: str, value: Any, entry_id: str) -> bytes:
        added: Any = self._programs.xadd(f"wsrelay:{channel}", {"data": json.dumps(value)}, id=entry_id)
        return bytes(added)


@cache
def shared_site() -> Site:
    """Return the site of all tests that leave it as it was; it ends with this process."""
    site = Site()
    site.__enter__()
    return site
