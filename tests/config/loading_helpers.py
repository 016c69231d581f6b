"""Loads settings without a process."""

from __future__ import annotations

from collections.abc import Mapping

from wsrelay.config import Settings, load
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["config_error", "load_env"]


def load_env(**environ: str) -> Settings:
    """Return the settings that an environment sets."""
    return load({}, environ)


def config_error(flags: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Return the error text about settings that cannot be used, or "nothing"."""
    try:
        load(flags, environ)
    except ConfigError as error:
        return str(error)
    return "nothing"
