"""Secrets that are read again on SIGHUP: a password or a key is rotated without a restart.

Those of a `_FILE` variable or of the TOML file can change while the process runs. Connections stay open, to clients and
to Redis: a new password is for the next connection to Redis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from twisted.logger import Logger

from wsrelay.app.build import Relay
from wsrelay.config import Settings
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["RELOADED", "SecretReloader", "SecretUser", "secret_users"]

RELOADED = ("redis_url", "token_keys", "token_previous_keys", "hook_secret", "api_keys")
"""The settings that are read again. Whether they are set at all stays as it was at the start, but for those in
`REMOVABLE`."""

REMOVABLE = ("token_previous_keys",)
"""Settings that come with a rotation and go when it is over."""

SecretUser = Callable[[Settings], Callable[[], None]]
"""Checks the secrets of settings, and returns a function that uses them from now on. Raises `ConfigError`."""


def secret_users(relay: Relay) -> list[SecretUser]:
    """Return the users of secrets among the objects of a process, whatever its broker."""

    def prepare_api_keys(settings: Settings) -> Callable[[], None]:
        return lambda: relay.api_keys.replace(settings.api_keys) if relay.api_keys is not None else None

    return [relay.authentication.prepare, prepare_api_keys]


class SecretReloader:
    """Reads the settings again, and uses the secrets among them.

    Args:
        settings: The settings in use.
        read: Returns the settings as they are now. Raises `ConfigError` if they cannot be used.
        users: What uses them.
    """

    log = Logger()

    def __init__(self, settings: Settings, read: Callable[[], Settings], users: Iterable[SecretUser]) -> None:
        self._settings = settings
        self._read = read
        self._users = tuple(users)

    def reload(self) -> None:
        """Read the settings now. If any cannot be used, log the reason and keep all of those that are in use."""
        try:
            found = self._read()
            changed = [
                field.name
                for field in dataclasses.fields(Settings)
                if getattr(found, field.name) != getattr(self._settings, field.name)
            ]
            used = [name for name in RELOADED if name in changed and self._is_used(found, name)]
            settings = dataclasses.replace(self._settings, **{name: getattr(found, name) for name in used})
            # All of them are checked before any of them is used.
            uses = [prepare(settings) for prepare in self._users]
        except ConfigError as error:
            self.log.error("settings not read again, those in use stay: {reason}", reason=str(error))  # noqa: TRY400 -- an operator's mistake
            return
        for use in uses:
            use()
        self._settings = settings
        self.log.info("read again: {names}", names=", ".join(used) or "no setting has changed")
        if others := [name for name in changed if name not in used]:
            self.log.warn("{names}: changed, and used only after a restart", names=", ".join(others))

    def _is_used(self, found: Settings, name: str) -> bool:
        if name in REMOVABLE:
            return True
        return bool(getattr(found, name)) and bool(getattr(self._settings, name))
