"""Reads the settings: flag > environment > TOML file > default."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wsrelay.config.setting_types import ACCESS_OR_SWITCH, LIST, SLOW, SWITCH, Setting, nearest
from wsrelay.config.settings import Settings, table
from wsrelay.config.validation import checked
from wsrelay.core.messaging.channel_names import PERSONAL
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["load"]


def load(flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """The settings that flags, environment and the TOML file amount to.

    Args:
        flags: What was given on the command line, by setting name.
        environ: The process's environment.

    Raises:
        ConfigError: Something cannot be used. The text says what, where, and what to do.
    """
    rows = {row.name: row for row in table()}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def take(source: str, row: Setting, value: object) -> None:
        values[row.name] = row.read(source, value)
        sources[row.name] = source

    # Kubernetes gives every container the addresses of services under their names; one may be called like us.
    environ = {name: text for name, text in environ.items() if name != "WSRELAY_PORT" or "://" not in text}
    _check_environ(environ, rows.values())
    of_environ = {row.name: (name, environ[name]) for row in rows.values() for name in reversed(row.environ)
                  if environ.get(name)}  # fmt: skip
    path = flags.get("config") or of_environ.get("config", ("", ""))[1]
    if path:
        keys = [*(name for name in rows if name != "config"), "namespaces"]
        for key, value in _read_file(Path(path)).items():
            if key not in keys:
                raise ConfigError(f"{path}: unknown key {key!r}{nearest(key, keys)}")
            if key == "namespaces":
                values[key] = _namespaces(value)
            else:
                take("file", rows[key], value)
    for row in rows.values():
        if row.environ_file is not None and (named := environ.get(row.environ_file)):
            if row.name in of_environ:
                raise ConfigError(f"{row.environ_file} and {of_environ[row.name][0]} say the same: leave one out")
            take(row.environ_file, row, _read_secret(row.environ_file, Path(named)))
    for name, (variable, text) in of_environ.items():
        take(variable, rows[name], text)
    # Heroku's older applications have both; the one with TLS is the one to use.
    if (tls := environ.get("REDIS_TLS_URL")) and not getattr(values.get("redis_url"), "tls", False):
        take("REDIS_TLS_URL", rows["redis_url"], tls)
    for name, text in flags.items():
        take("flag", rows[name], text)
    if sources.get("port") == "PORT":
        values.setdefault("host", "0.0.0.0")  # noqa: S104 -- a dyno's router comes from outside
    return checked(Settings(**values), sources)


def _read_secret(variable: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"the file that {variable} names cannot be read: {error.strerror}: {path}") from None
    except ValueError:
        raise ConfigError(f"the file that {variable} names is not text: {path}") from None


def _check_environ(environ: Mapping[str, str], rows: Iterable[Setting]) -> None:
    known = {name for row in rows for name in (*row.environ, row.environ_file) if name is not None}
    for name in environ:
        if name.startswith(("WSRELAY_SERVICE_", "WSRELAY_PORT_")):
            continue
        if name.startswith("WSRELAY_") and name not in known:
            raise ConfigError(f"unknown environment variable {name}{nearest(name, known)}")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration file cannot be read: {error.strerror}: {path}") from None
    except ValueError as error:  # bad TOML, bad UTF-8, or a number of more digits than Python reads
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _namespaces(tables: object) -> tuple[Namespace, ...]:
    if not isinstance(tables, dict) or not all(isinstance(keys, dict) for keys in tables.values()):
        raise ConfigError("namespaces are tables: [namespaces.NAME]")
    return tuple(_namespace(name, keys) for name, keys in tables.items())


def _namespace(name: str, keys: dict[str, Any]) -> Namespace:
    kinds = {
        "channels": LIST,
        "subscribe": ACCESS_OR_SWITCH,
        "publish": ACCESS_OR_SWITCH,
        "slow_consumer_policy": SLOW,
        "notify_gaps": SWITCH,
        "compress": SWITCH,
    }
    read: dict[str, Any] = {}
    for key, value in keys.items():
        if key not in kinds:
            raise ConfigError(f"namespaces.{name}: unknown key {key!r}{nearest(key, kinds)}")
        read[key] = Setting(f"namespaces.{name}.{key}", kinds[key], None, "").read("file", value)
    if not read.get("channels"):
        raise ConfigError(f'namespaces.{name} names no channels: say which, as in channels = ["room:*"]')
    if any(pattern.endswith(PERSONAL) for pattern in read["channels"]):
        # What belongs to one user is not for everybody, said or not.
        read.setdefault("subscribe", Access.AUTHENTICATED)
    return Namespace(name, read.pop("channels"), **read)
