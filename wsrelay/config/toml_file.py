"""Reads the TOML file: its keys, and the tables of its namespaces."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from wsrelay.config.files import read_file
from wsrelay.config.setting import Setting
from wsrelay.config.setting_types import ACCESS_OR_SWITCH, FRAME_TYPE, INTEGER, LIST, PAYLOAD_TYPE, SLOW_POLICY, SWITCH
from wsrelay.config.suggestions import suggestion
from wsrelay.core.history.retention import MAX_HISTORY_SECONDS, MAX_HISTORY_SIZE
from wsrelay.core.messaging.channel_names import PERSONAL
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["read_namespaces", "read_toml"]

_NAMESPACE_KEYS = {
    "channels": LIST,
    "subscribe": ACCESS_OR_SWITCH,
    "publish": ACCESS_OR_SWITCH,
    "slow_consumer_policy": SLOW_POLICY,
    "notify_gaps": SWITCH,
    "compress": SWITCH,
    "frames": FRAME_TYPE,
    "payload": PAYLOAD_TYPE,
    "history_size": INTEGER,
    "history_seconds": INTEGER,
    "trim": SWITCH,
    "read_history": ACCESS_OR_SWITCH,
    "presence": SWITCH,
    "read_presence": ACCESS_OR_SWITCH,
    "join_leave": SWITCH,
    "events": SWITCH,
}
"""The keys of a namespace's table, and their types."""


_BOUNDS = {"history_size": (0, MAX_HISTORY_SIZE), "history_seconds": (1, MAX_HISTORY_SECONDS)}
"""The range of those that are numbers."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the keys of a TOML file.

    Raises:
        ConfigError: The file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(read_file(path).decode())
    except OSError as error:
        raise ConfigError(f"the configuration file cannot be read: {error.strerror}: {path}") from None
    except ValueError as error:  # bad TOML, bad UTF-8, or a number of more digits than Python reads
        raise ConfigError(f"{path} is not TOML: {error}") from None


def read_namespaces(tables: object) -> tuple[Namespace, ...]:
    """Convert the value of the key namespaces.

    Args:
        tables: Any TOML value; a table of tables if the file is right.

    Raises:
        ConfigError: It is not a table of tables, or one of them is wrong. The text names it.
    """
    if not isinstance(tables, dict) or not all(isinstance(keys, dict) for keys in tables.values()):
        raise ConfigError("namespaces must be tables: [namespaces.NAME]")
    return tuple(_read_namespace(name, keys) for name, keys in tables.items())


def _read_namespace(name: str, keys: dict[str, Any]) -> Namespace:
    read: dict[str, Any] = {}
    for key, value in keys.items():
        if key not in _NAMESPACE_KEYS:
            raise ConfigError(f"namespaces.{name}: unknown key {key!r}{suggestion(key, _NAMESPACE_KEYS)}")
        least, most = _BOUNDS.get(key, (None, None))
        setting = Setting(f"namespaces.{name}.{key}", _NAMESPACE_KEYS[key], None, "", minimum=least, maximum=most)
        read[key] = setting.read("file", value)
    if not read.get("channels"):
        raise ConfigError(f'namespaces.{name} has no channels: list them, as in channels = ["room:*"]')
    if any(pattern.endswith(PERSONAL) for pattern in read["channels"]):
        # Channels that belong to one user each are never public, even if the table does not say so.
        read.setdefault("subscribe", Access.AUTHENTICATED)
    return Namespace(name, read.pop("channels"), **read)
