"""The `sitecustomize` of a relay: a resolver and a wall clock that files can break.

Python imports it before anything else in that process, so modules that import these functions later get ours. Every
call looks for files in the folder that `FAULTS_HOST_FOLDER` names:

- `dns-fails`: no name is resolved.
- `dns-hangs`: no name is resolved until the file is gone.
- `clock`: the seconds by which the wall clock is wrong.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

NAME = "redis.test"
VARIABLE = "FAULTS_HOST_FOLDER"

_folder = Path(os.environ.get(VARIABLE, "/nonexistent"))
_getaddrinfo = socket.getaddrinfo
_time = time.time  # noqa: TID251 -- the clock itself
_time_ns = time.time_ns


def _resolve(host: Any, *arguments: Any, **options: Any) -> Any:
    while (_folder / "dns-hangs").exists():
        time.sleep(0.05)
    if (_folder / "dns-fails").exists():
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    found = host in (NAME, NAME.encode())
    return _getaddrinfo("127.0.0.1" if found else host, *arguments, **options)


def _offset() -> float:
    try:
        return float((_folder / "clock").read_text())
    except (OSError, ValueError):
        return 0.0


def _install() -> None:
    socket.getaddrinfo = _resolve
    time.time = lambda: _time() + _offset()  # noqa: TID251 -- as above
    time.time_ns = lambda: _time_ns() + int(_offset() * 1_000_000_000)


if __name__ == "sitecustomize":
    _install()
