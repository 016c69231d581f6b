"""The paths among twistd's own options. twistd ends with a traceback if one of them cannot be used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["check_twistd_paths", "remove_own_pidfile"]


def remove_own_pidfile(twistd: Mapping[str, Any]) -> None:
    """Remove a pid file with the ID of this very process. Call this before twistd reads it.

    An earlier process that was killed has left it: in a container each has the same ID. twistd would find that a
    process with it is alive, and not start.

    Args:
        twistd: The options of twistd; empty if something else starts the service.
    """
    if (file := twistd.get("pidfile")) and twistd.get("chroot") is None:
        with suppress(OSError, ValueError):
            if int(Path(file).read_text(encoding="ascii")) == os.getpid():
                os.unlink(file)


def check_twistd_paths(twistd: Mapping[str, Any]) -> None:
    """Check that twistd can use the paths that it was given. Call this before it does.

    Args:
        twistd: The options of twistd; empty if something else starts the service.

    Raises:
        ConfigError: One cannot be used.
    """
    if twistd.get("chroot") is not None:
        return  # its other paths are inside
    if (folder := twistd.get("rundir")) and not os.path.isdir(folder):
        raise ConfigError(f"twistd --rundir: there is no directory {folder}")
    if file := twistd.get("pidfile"):
        _check_writable("--pidfile", file)
    logs_to_file = not twistd.get("syslog") and not twistd.get("logger")
    # Without --nodaemon, and without a name, twistd logs to this file.
    file = twistd.get("logfile") or (None if twistd.get("nodaemon") else "twistd.log")
    if logs_to_file and file and file != "-":
        _check_writable("--logfile", file)


def _check_writable(option: str, file: str) -> None:
    folder = os.path.dirname(os.path.abspath(file))
    if not os.path.isdir(folder):
        raise ConfigError(f"twistd {option}: there is no directory {folder}")
    if os.path.isdir(file) or not os.access(file if os.path.exists(file) else folder, os.W_OK):
        raise ConfigError(f"twistd {option}: {file} cannot be written")
