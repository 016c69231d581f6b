"""Standard streams of a process that was started without them, as by `twistd wsrelay <&-`, cron or an init script."""

from __future__ import annotations

import os
import sys

__all__ = ["open_missing_streams"]


def open_missing_streams() -> None:
    """Open the null device in place of each standard stream that was closed when the process began.

    Call this before anything is opened that stays open. The next file gets the lowest free descriptor, so that the
    reactor's epoll would become standard input, which twistd replaces when it makes a daemon of the process; and
    Python has None in the place of a closed stream, which twistd would log to.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
