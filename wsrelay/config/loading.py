"""Reads the settings: flag > environment > TOML file > default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wsrelay.config.setting import Setting
from wsrelay.config.settings import Settings, setting_table
from wsrelay.config.suggestions import suggestion
from wsrelay.config.toml_file import read_file, read_namespaces
from wsrelay.config.validation import validate
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["load"]


def load(flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Return the settings that flags, environment and TOML file set together.

    A value is checked even if a stronger source overrides it.

    Args:
        flags: The flags of the command line, by setting name.
        environ: The environment of the process.

    Raises:
        ConfigError: A value cannot be used. The text says what, where, and what to do.
    """
    rows = {row.name: row for row in setting_table()}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def read(source: str, row: Setting, value: object) -> None:
        values[row.name] = row.read(source, value)
        sources[row.name] = source

    # Kubernetes gives every container the addresses of services under their names; one may have our name.
    environ = {name: text for name, text in environ.items() if name != "WSRELAY_PORT" or "://" not in text}
    _check_environ(environ, rows.values())
    of_environ = {row.name: (name, environ[name]) for row in rows.values() for name in reversed(row.environ)
                  if environ.get(name)}  # fmt: skip
    path = flags.get("config") or of_environ.get("config", ("", ""))[1]
    if path:
        keys = [*(name for name in rows if name != "config"), "namespaces"]
        for key, value in read_file(Path(path)).items():
            if key not in keys:
                raise ConfigError(f"{path}: unknown key {key!r}{suggestion(key, keys)}")
            if key == "namespaces":
                values[key] = read_namespaces(value)
            else:
                read("file", rows[key], value)
    for row in rows.values():
        if row.environ_file is not None and (secret_path := environ.get(row.environ_file)):
            if row.name in of_environ:
                both = f"{row.environ_file} and {of_environ[row.name][0]}"
                raise ConfigError(f"{both} both set {row.name}: use only one of them")
            read(row.environ_file, row, _read_secret(row.environ_file, Path(secret_path)))
    for name, (variable, text) in of_environ.items():
        read(variable, rows[name], text)
    # Older applications on Heroku have both variables; the URL with TLS is the one to use.
    if (tls := environ.get("REDIS_TLS_URL")) and not getattr(values.get("redis_url"), "tls", False):
        read("REDIS_TLS_URL", rows["redis_url"], tls)
    for name, text in flags.items():
        read("flag", rows[name], text)
    if sources.get("port") == "PORT":
        values.setdefault("host", "0.0.0.0")  # noqa: S104 -- a dyno's router connects from outside
    return validate(Settings(**values), sources)


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
            raise ConfigError(f"unknown environment variable {name}{suggestion(name, known)}")
