"""One row of the table of settings: its names in each source, and how a value is read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from wsrelay.config.setting_types import SettingType
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["Setting"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    Attributes:
        name: The key in the file. With dashes instead of underscores, it is the flag.
        kind: The type.
        default: The value if no source sets one.
        help: The explanation for the operator, with the meaning of zero and of an unset value.
        unit: "seconds", "bytes" or an empty str.
        environ: The environment variables that set it, in order of precedence.
        group: The heading under which the usage text and the documentation list it.
        secret: Whether it may hold a credential. Such a setting has no flag, because the arguments of a process are
            public, and can be read from a file of its own.
        minimum: The smallest number allowed. If None, there is no bound.
        maximum: The largest number allowed. If None, there is no bound.
    """

    name: str
    kind: SettingType
    default: Any
    help: str
    unit: str = ""
    environ: tuple[str, ...] = ()
    group: str = ""
    secret: bool = False
    minimum: float | None = None
    maximum: float | None = None

    @property
    def flag(self) -> str | None:
        """The long option without its dashes, or None for a secret."""
        return None if self.secret else self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable that is for the relay alone."""
        return f"WSRELAY_{self.name.upper()}"

    @property
    def environ_file(self) -> str | None:
        """The environment variable that names a file with the value, as containers do it, or None unless secret."""
        return f"{self.variable}_FILE" if self.secret else None

    @property
    def is_list(self) -> bool:
        """True if the flag can be given several times."""
        return list in self.kind.types

    @property
    def placeholder(self) -> str:
        """The value as a usage text shows it: the unit if there is one, such as SECONDS, else that of the type."""
        return self.unit.upper() or self.kind.placeholder

    @property
    def shown_default(self) -> str:
        """The default as the operator would write it, or "none"."""
        if self.default is None or self.default in ("", ()):
            return "none"
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        if isinstance(self.default, Enum):
            return f"{self.default.value}"
        return str(self.default).lower() if isinstance(self.default, bool) else f"{self.default}"

    def read(self, source: str, value: object) -> Any:
        """Convert a value from a source.

        Args:
            source: "flag", "file" or the name of an environment variable.
            value: A str from a flag or a variable, any TOML value from the file.

        Raises:
            ConfigError: The value cannot be used. The text names the source and never repeats a secret.
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
            raise ConfigError(f"{self.name_in(source)} must be {self.kind.name}{shown}") from None
        except ConfigError as error:
            raise ConfigError(f"{self.name_in(source)} cannot be used: {error}") from None
        if self.minimum is not None and result < self.minimum:
            raise ConfigError(f"{self.name_in(source)} must be at least {self.minimum}, not {result}")
        if self.maximum is not None and result > self.maximum:
            raise ConfigError(f"{self.name_in(source)} must be at most {self.maximum}, not {result}")
        return result

    def name_in(self, source: str) -> str:
        """Return the name of the setting as it is written in a source: the flag, the key or the variable."""
        return {"flag": f"--{self.flag}", "file": self.name}.get(source, source)
