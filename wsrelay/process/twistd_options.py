"""twistd's own options. It ends with a traceback, in its log at the worst, if it cannot use one of these."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["check_twistd_options", "remove_own_pidfile"]


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


def check_twistd_options(twistd: Mapping[str, Any]) -> None:
    """Check that twistd can use the paths and the user that it was given. Call this before it does.

    Args:
        twistd: The options of twistd; empty if something else starts the service.

    Raises:
        ConfigError: One cannot be used.
    """
    if (root := twistd.get("chroot")) is not None:
        if os.geteuid() != 0:
            raise ConfigError("twistd --chroot: only root may do this")
        _check_directory("--chroot", root)
    if not twistd.get("nodaemon", True):
        _check_null_device(root or "/")
    if root is not None:
        return  # its other paths are inside
    _check_user(twistd.get("uid"), twistd.get("gid"))
    if folder := twistd.get("rundir"):
        _check_directory("--rundir", folder)
    if file := twistd.get("pidfile"):
        _check_writable("--pidfile", file)
    # Without --nodaemon, and without a name, twistd logs to this file.
    file = twistd.get("logfile") or ("-" if twistd.get("nodaemon") else "twistd.log")
    if file != "-" and not twistd.get("syslog") and not twistd.get("logger"):
        _check_writable("--logfile", file)


def _check_user(uid: int | None, gid: int | None) -> None:
    if uid is None or gid is not None:
        return
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise ConfigError(f"twistd --uid: there is no user {uid} that has a group; set --gid, too") from None


def _check_directory(option: str, folder: str) -> None:
    if not os.path.isdir(folder):
        raise ConfigError(f"twistd {option}: there is no directory {folder}")


def _check_null_device(root: str) -> None:
    """Check what twistd opens after it has forked, when the prompt waits for it and an error does not end the wait."""
    path = os.path.join(root, "dev/null")
    try:
        # A named pipe in its place would keep a process waiting that only reads or only writes.
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        raise ConfigError(
            f"twistd becomes a daemon with {path} as its standard streams, which cannot be opened: {error.strerror}; "
            "provide it, or start twistd with --nodaemon"
        ) from None


def _check_writable(option: str, file: str) -> None:
    folder = os.path.dirname(os.path.abspath(file))
    _check_directory(option, folder)
    if os.path.isdir(file) or not os.access(file if os.path.exists(file) else folder, os.W_OK):
        raise ConfigError(f"twistd {option}: {file} cannot be written")
