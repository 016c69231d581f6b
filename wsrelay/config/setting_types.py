"""The types of settings: how each is written in a flag, a variable and the file, and how it is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsrelay.config.redis_url import RedisURL
from wsrelay.core.access.secret import Secret
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Access
from wsrelay.core.messaging.payload_type import PayloadType

__all__ = [
    "ACCESS",
    "ACCESS_OR_SWITCH",
    "BROKER",
    "FRAME_TYPE",
    "INTEGER",
    "LIST",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "NUMBER",
    "PATH",
    "PATHS",
    "PAYLOAD_TYPE",
    "REDIS_URL",
    "SECRET",
    "SECRETS",
    "SLOW_POLICY",
    "SWITCH",
    "TEXT",
    "TLS_VERSION",
    "WORKERS",
    "SettingType",
]


@dataclass(frozen=True, slots=True)
class SettingType:
    """One type of settings.

    Attributes:
        name: The type as error texts and the documentation call it, such as "a whole number".
        placeholder: The value as a usage text shows it, such as NUMBER.
        types: The Python types that a TOML value may have.
        from_text: Parses a flag or an environment variable. Raises ValueError or ConfigError.
        from_toml: Converts a TOML value of the right type. Raises ValueError or ConfigError.
    """

    name: str
    placeholder: str
    types: tuple[type, ...]
    from_text: Callable[[str], Any]
    from_toml: Callable[[Any], Any] = lambda value: value


def _parse_switch(text: str) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    try:
        return words[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def _split(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _check_texts(items: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(item, str) for item in items):
        raise ValueError(items)
    return tuple(items)


def _finite(value: str | float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _secret_tuple(value: str | list[Any]) -> tuple[Secret, ...]:
    return tuple(Secret(text) for text in (_split(value) if isinstance(value, str) else _check_texts(value)))


def _choice(*words: str) -> SettingType:
    """Return the type of a text that is one of some words."""

    def check(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return SettingType(f"{', '.join(words[:-1])} or {words[-1]}", "|".join(words), (str,), check, check)


def _workers(value: str | int) -> int:
    """Return a number of workers; 0 for "auto"."""
    if value == "auto":
        return 0
    if (found := int(value)) < 1:
        raise ValueError(value)
    return found


def _client_level(value: str) -> Access:
    level = Access(value)
    if level is Access.NOBODY:
        raise ValueError(value)
    return level


def _level_or_switch(value: str | bool) -> Access:
    if isinstance(value, bool):
        return Access.PUBLIC if value else Access.NOBODY
    return Access(value)


TEXT = SettingType("text", "TEXT", (str,), str)
INTEGER = SettingType("a whole number", "NUMBER", (int,), int)
NUMBER = SettingType("a number", "NUMBER", (int, float), _finite, _finite)
SWITCH = SettingType("true or false", "true|false", (bool,), _parse_switch)
LIST = SettingType("a list (commas between the items)", "LIST", (list,), _split, _check_texts)
SLOW_POLICY = SettingType("close, drop or latest", "close|drop|latest", (str,), SlowPolicy, SlowPolicy)
FRAME_TYPE = SettingType("auto, text or binary", "auto|text|binary", (str,), FrameType, FrameType)
PAYLOAD_TYPE = SettingType("any or json", "any|json", (str,), PayloadType, PayloadType)
BROKER = _choice("auto", "memory", "redis")
TLS_VERSION = _choice("1.2", "1.3")
LOG_FORMAT = _choice("text", "json")
LOG_LEVEL = _choice("debug", "info", "warn", "error")
WORKERS = SettingType("auto or a whole number from 1", "auto|NUMBER", (str, int), _workers, _workers)
REDIS_URL = SettingType("a Redis URL", "URL", (str,), RedisURL.parse, RedisURL.parse)
PATH = SettingType("a path", "PATH", (str,), Path, Path)
PATHS = SettingType(
    "a list of paths (commas between them)",
    "PATHS",
    (list,),
    lambda text: tuple(map(Path, _split(text))),
    lambda items: tuple(map(Path, _check_texts(items))),
)
SECRET = SettingType("a secret text", "SECRET", (str,), Secret, lambda text: Secret(text.strip()))
SECRETS = SettingType(
    "a list of secret texts (commas between them)", "SECRETS", (str, list), _secret_tuple, _secret_tuple
)
ACCESS = SettingType(
    "public, authenticated or token", "public|authenticated|token", (str,), _client_level, _client_level
)
ACCESS_OR_SWITCH = SettingType(
    "true, false, public, authenticated, token or nobody", "LEVEL", (bool, str), _level_or_switch, _level_or_switch
)
