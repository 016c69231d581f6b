"""How a setting is written, and read."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from wsrelay.config.redis_url import RedisURL
from wsrelay.core.access.secret import Secret
from wsrelay.core.flow.outbox import SlowPolicy
from wsrelay.core.messaging.namespaces import Access
from wsrelay.core.outcomes.errors import ConfigError

__all__ = [
    "ACCESS",
    "ACCESS_OR_SWITCH",
    "LIST",
    "NUMBER",
    "PATH",
    "PATHS",
    "SECRET",
    "SECRETS",
    "SLOW",
    "SWITCH",
    "TEXT",
    "URL",
    "WHOLE",
    "Setting",
    "SettingType",
    "nearest",
]


@dataclass(frozen=True, slots=True)
class SettingType:
    """How a setting is written.

    Attributes:
        name: What the operator is told: "a whole number".
        types: What a TOML value must be an instance of.
        from_text: Reads a flag or an environment variable; raises ValueError.
        from_toml: Takes a TOML value of the right type; raises ValueError.
    """

    name: str
    types: tuple[type, ...]
    from_text: Callable[[str], Any]
    from_toml: Callable[[Any], Any] = lambda value: value


def _switch(text: str) -> bool:
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


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _texts(items: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(item, str) for item in items):
        raise ValueError(items)
    return tuple(items)


def _number(value: str | float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _secrets(value: str | list[Any]) -> tuple[Secret, ...]:
    return tuple(Secret(text) for text in (_items(value) if isinstance(value, str) else _texts(value)))


def _level(value: str) -> Access:
    level = Access(value)
    if level is Access.NOBODY:
        raise ValueError(value)
    return level


def _access(value: str | bool) -> Access:
    if isinstance(value, bool):
        return Access.PUBLIC if value else Access.NOBODY
    return Access(value)


TEXT = SettingType("text", (str,), str)
WHOLE = SettingType("a whole number", (int,), int)
NUMBER = SettingType("a number", (int, float), _number, _number)
SWITCH = SettingType("true or false", (bool,), _switch)
LIST = SettingType("a list (commas between the items)", (list,), _items, _texts)
SLOW = SettingType("close, drop or latest", (str,), SlowPolicy, SlowPolicy)
URL = SettingType("a Redis URL", (str,), RedisURL.parse, RedisURL.parse)
PATH = SettingType("a path", (str,), Path, Path)
PATHS = SettingType(
    "a list of paths (commas between them)",
    (list,),
    lambda text: tuple(map(Path, _items(text))),
    lambda items: tuple(map(Path, _texts(items))),
)
SECRET = SettingType("a secret text", (str,), Secret, lambda text: Secret(text.strip()))
SECRETS = SettingType("a list of secret texts (commas between them)", (str, list), _secrets, _secrets)
ACCESS = SettingType("public, authenticated or token", (str,), _level, _level)
ACCESS_OR_SWITCH = SettingType("true, false, public, authenticated, token or nobody", (bool, str), _access, _access)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    Attributes:
        name: The key in the file; with dashes, the flag.
        kind: How it is written.
        default: Its value where nobody says otherwise.
        help: What the operator is told, with what None or zero means.
        unit: "seconds", "bytes" or nothing.
        environ: The environment variables that set it, the strongest first.
        secret: Whether it may hold a credential: then it has no flag, for a process's arguments are public, and can
            stand in a file of its own.
        least: The smallest number allowed.
        most: The largest number allowed.
    """

    name: str
    kind: SettingType
    default: Any
    help: str
    unit: str = ""
    environ: tuple[str, ...] = ()
    secret: bool = False
    least: float | None = None
    most: float | None = None

    @property
    def flag(self) -> str | None:
        """The long option without its dashes, or None where there is none."""
        return None if self.secret else self.name.replace("_", "-")

    @property
    def environ_file(self) -> str | None:
        """The environment variable that names a file with the value, as containers have it; None: there is none."""
        return f"{self.environ[-1]}_FILE" if self.secret else None

    @property
    def is_list(self) -> bool:
        """Whether the flag can be given several times."""
        return list in self.kind.types

    @property
    def shown_default(self) -> str:
        """The default as the operator would write it."""
        if self.default is None or self.default in ("", ()):
            return "none"
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        if isinstance(self.default, Enum):
            return f"{self.default.value}"
        return str(self.default).lower() if isinstance(self.default, bool) else f"{self.default}"

    def read(self, source: str, value: object) -> Any:
        """Turn what was written somewhere into the value.

        Raises:
            ConfigError: It cannot be read. The text names the source and never repeats a secret.
        """
        try:
            if isinstance(value, str) and str not in self.kind.types:
                if source == "file":
                    raise ValueError  # noqa: TRY301 -- a string where TOML has a type of its own
                result = self.kind.from_text(value)
            elif isinstance(value, self.kind.types) and (bool in self.kind.types or not isinstance(value, bool)):
                result = self.kind.from_toml(value)
            else:
                raise ValueError  # noqa: TRY301 -- same answer as below
        except (ValueError, OverflowError):  # the latter: an integer of TOML has no bound, a float has
            shown = "" if self.secret else f", not {value!r}"
            raise ConfigError(f"{self.called(source)} must be {self.kind.name}{shown}") from None
        except ConfigError as error:
            raise ConfigError(f"{self.called(source)} cannot be used: {error}") from None
        if self.least is not None and result < self.least:
            raise ConfigError(f"{self.called(source)} must be at least {self.least}, not {result}")
        if self.most is not None and result > self.most:
            raise ConfigError(f"{self.called(source)} must be at most {self.most}, not {result}")
        return result

    def called(self, source: str) -> str:
        """What the operator calls it where the value came from."""
        return {"flag": f"--{self.flag}", "file": self.name}.get(source, source)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that was probably meant, or an empty str."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
