"""Shared by the tests that call the API of a relay as its users run it."""

from __future__ import annotations

from pathlib import Path

from devtools.harness.relay import Relay

__all__ = ["KEY", "api_relay"]

KEY = "a-key-of-the-operator"

_FILE = """
centrifugo = true
api_keys = ["a-key-of-the-operator"]

[namespaces.plain]
channels = ["news", "room:*"]

[namespaces.kept]
channels = ["chat"]
history_size = 100

[namespaces.shown]
channels = ["lobby"]
presence = true
"""


def api_relay(folder: Path, *flags: str, redis_url: str = "") -> Relay:
    """Return a relay with an API key, plain channels, and one with history; not started.

    Args:
        folder: Where its configuration file is written.
        flags: Further flags.
        redis_url: Its Redis. If empty, it has the embedded broker.
    """
    file = folder / "wsrelay.toml"
    file.write_text(_FILE)
    return Relay("--config", str(file.absolute()), *flags, env={"REDIS_URL": redis_url} if redis_url else None)
