"""The options by which commands find Redis: the settings of the relay, from the same sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import click

from wsrelay.commands.errors import CommandError
from wsrelay.config import Settings, load, setting_table

__all__ = ["load_settings", "redis_options", "shown_name"]

_ROWS = [row for row in setting_table() if row.flag and (row.name == "config" or row.name.startswith("redis_"))]

_NAME_HELP = (
    "The relay: the setting prefix without its colon, so wsrelay unless it is set. If not given, the prefix of the "
    "settings."
)


def redis_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command: `name`, and each setting that is about Redis under its own name."""
    for row in reversed(_ROWS):
        command = click.option(f"--{row.flag}", row.name, metavar=row.placeholder, help=row.help)(command)
    return click.option("-a", "--app", "name", metavar="NAME", help=_NAME_HELP)(command)


def load_settings(name: str | None, options: Mapping[str, str | None]) -> Settings:
    """Return the settings of the relay of a name, as it would find them here: options, environment, TOML file.

    Args:
        name: The relay's name. If None, the settings say it.
        options: The options that `redis_options` adds, by the names of the settings.

    Raises:
        CommandError: The name cannot be used, or no Redis is configured.
        ConfigError: A setting cannot be used.
    """
    flags = {key: value for key, value in options.items() if value is not None}
    if name is not None:
        if not name.removesuffix(":"):
            raise CommandError("No name given: -a takes the setting prefix without its colon, such as -a wsrelay.")
        flags["prefix"] = f"{name.removesuffix(':')}:"
    settings = load(flags, os.environ)
    if not settings.uses_redis or settings.redis_url is None:
        raise CommandError("No Redis is configured: set REDIS_URL (or --config FILE) as for the relay.")
    return settings


def shown_name(settings: Settings) -> str:
    """Return the name of the relay with these settings, as its operator writes it."""
    return settings.prefix.removesuffix(":") or "the relay without a prefix"
