"""Reads the settings: flag > environment > TOML file > default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from wsrelay.config.environment import own_variables
from wsrelay.config.files import read_file
from wsrelay.config.setting import Setting
from wsrelay.config.settings import Settings, setting_table
from wsrelay.config.suggestions import suggestion
from wsrelay.config.toml_file import read_namespaces, read_toml
from wsrelay.config.validation import validate
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["load"]

_log = Logger("wsrelay")

_TLS_URL = "REDIS_TLS_URL"


def load(
    flags: Mapping[str, str], environ: Mapping[str, str], directory: Path | None = None, *, has_sockets: bool = False
) -> Settings:
    """Return the settings that flags, environment and TOML file set together.

    A value is checked even if a stronger source overrides it.

    Args:
        flags: The flags of the command line, by setting name.
        environ: The environment of the process.
        directory: The directory that relative paths refer to. If None, that of the process.
        has_sockets: Whether systemd has passed sockets. They are listened on where nothing says where to listen.

    Raises:
        ConfigError: A value cannot be used. The text says what, where, and what to do.
    """
    collected = _Collected(Path.cwd() if directory is None else directory)
    rows = collected.rows.values()
    environ = own_variables(environ, {name for row in rows for name in (*row.environ, row.environ_file) if name})
    variables = {row.name: names for row in rows if (names := _set_variables(row, environ))}
    # From the weakest source to the strongest: each replaces what was read before.
    path = flags.get("config", environ.get(variables.get("config", [""])[0]))
    if path is not None:
        collected.read_file(Path(path))
    for name, names in variables.items():
        collected.read_variable(names[0], name, environ[names[0]])
    if tls := environ.get(_TLS_URL):
        names = variables.setdefault("redis_url", [])
        # One for the relay alone is stronger than what is for every program, and that is not read then.
        is_ours = bool(names) and names[0].startswith("WSRELAY_")
        url = None if is_ours else collected.rows["redis_url"].read(_TLS_URL, tls)
        if is_ours or (names and collected.values["redis_url"].tls):
            names.append(_TLS_URL)
        else:
            # Older applications on Heroku have both variables; the URL with TLS is the one to use.
            collected.values["redis_url"], collected.sources["redis_url"] = url, _TLS_URL
            names.insert(0, _TLS_URL)
    for name, names in variables.items():
        if len(names) > 1:
            _log.info(
                "{setting} is taken from {used}; ignored: {ignored}",
                setting=name,
                used=names[0],
                ignored=", ".join(names[1:]),
            )
    for name, text in flags.items():
        collected.read("flag", name, text)
    if collected.sources.get("port") == "PORT":
        collected.values.setdefault("host", "0.0.0.0")  # noqa: S104 -- a dyno's router connects from outside
    if has_sockets and not any(name in collected.sources for name in ("listen", "listen_tls", "host", "port")):
        collected.values["listen"] = ("systemd",)
    empty = {row.name: name for row in rows for names in _variables(row) for name in names
             if name in environ and not environ[name].strip()}  # fmt: skip
    if environ.get(_TLS_URL) == "":
        empty["redis_url"] = _TLS_URL
    return validate(Settings(**collected.values), collected.sources, empty, is_dyno=bool(environ.get("DYNO")))


class _Collected:
    """The values that have been read so far.

    Args:
        directory: The directory that relative paths refer to.

    Attributes:
        rows: The table, by setting name.
        values: The values, by setting name.
        sources: Where each came from: "flag", "file" or the name of a variable. The namespaces have none.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.rows = {row.name: row for row in setting_table()}
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}

    def read(self, source: str, name: str, value: object) -> None:
        """Read a value of a setting, which replaces that of a weaker source."""
        self.values[name] = self._absolute(self.rows[name].read(source, value))
        self.sources[name] = source

    def read_file(self, path: Path) -> None:
        """Read all keys of a TOML file. It cannot name another file."""
        path = self._directory / path
        keys = [*(name for name in self.rows if name != "config"), "namespaces"]
        for key, value in read_toml(path).items():
            if key not in keys:
                raise ConfigError(f"{path}: unknown key {key!r}{suggestion(key, keys)}")
            if key == "namespaces":
                self.values[key] = read_namespaces(value)
            else:
                self.read("file", key, value)

    def read_variable(self, variable: str, name: str, text: str) -> None:
        """Read the value of a variable, or of the file that a variable ending in _FILE names."""
        is_file = variable not in self.rows[name].environ
        self.read(variable, name, _read_secret(variable, self._directory / text) if is_file else text)

    def _absolute(self, value: Any) -> Any:
        """Return paths as absolute ones: they are read again after twistd has changed its directory (`--rundir`)."""
        if isinstance(value, Path):
            return self._directory / value
        if isinstance(value, tuple) and value and isinstance(value[0], Path):
            return tuple(self._directory / each for each in value)
        return value


def _set_variables(row: Setting, environ: Mapping[str, str]) -> list[str]:
    """Return the variables that set a setting, the strongest first.

    What is meant for the relay alone is stronger than what an environment holds for several programs; a port that a
    platform assigns is the only one at which it connects.
    """
    found: list[str] = []
    for alternatives in _variables(row):
        names = [each for each in alternatives if environ.get(each)]
        if len(names) > 1:
            raise ConfigError(f"{names[1]} and {names[0]} both set {row.name}: use only one of them")
        found += names
    return found


def _variables(row: Setting) -> list[tuple[str, ...]]:
    """Return the variables of a setting, the strongest first, each with the one for a file in its place if secret."""
    return [(name, f"{name}_FILE") if row.secret else (name,) for name in row.environ]


def _read_secret(variable: str, path: Path) -> str:
    try:
        # With the byte order mark that some editors write.
        return read_file(path).decode("utf-8-sig").strip()
    except OSError as error:
        raise ConfigError(f"the file that {variable} names cannot be read: {error.strerror}: {path}") from None
    except ValueError:
        raise ConfigError(f"the file that {variable} names is not text: {path}") from None
