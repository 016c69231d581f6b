"""The text of `twistd wsrelay --help`, made from the table of settings."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby

from wsrelay.config.setting import Setting

__all__ = ["usage_text"]

_INTRODUCTION = (
    "Put WebSockets in front of Redis: a message that any program PUBLISHes on the Redis channel wsrelay:<channel> "
    "reaches every client that is connected to /ws/<channel>."
)

_FOREGROUND = "twistd --nodaemon --pidfile= wsrelay"

_EXAMPLES = (
    (
        "{command}",
        "One process without Redis. Open http://127.0.0.1:8080/ for the chat page.",
    ),
    (
        "REDIS_URL=redis://localhost {command} --channels 'news,room:*'",
        "Clients may subscribe to news and to every channel that begins with room:. To send them a message: "
        "redis-cli publish wsrelay:news hello",
    ),
    (
        "{command} --config /etc/wsrelay/wsrelay.toml",
        "Read the settings from a TOML file, which can also define namespaces.",
    ),
)

_SOURCES = (
    "Each setting is taken from its flag, else its environment variable, else the TOML file named by --config (the key "
    "is the flag with underscores), else its default. A flag that takes a list may be given several times."
)

_SECRETS = (
    "These may hold a credential. They have no flag, because the arguments of a process are public. Set the variable, "
    "or the one that ends in _FILE to the path of a file that holds the value."
)


def usage_text(rows: Iterable[Setting], width: int, program: str = _FOREGROUND) -> str:
    """Return everything below the first line of the usage text: examples, and the settings in groups.

    Args:
        rows: The settings, those of a group together.
        width: The number of columns to wrap at; commands are not wrapped.
        program: The command that starts the relay in the foreground.
    """
    rows = list(rows)
    lines = ["", *_wrapped(_INTRODUCTION, width, 0), "", "Examples:"]
    for command, explanation in _EXAMPLES:
        lines += [f"  {command.replace('{command}', program)}", *_wrapped(explanation, width, 6)]
    lines += ["", *_wrapped(_SOURCES, width, 0)]
    for group, members in groupby((row for row in rows if not row.secret), lambda row: row.group):
        lines += ["", f"{group}:"]
        for row in members:
            lines += _entry(f"--{row.flag}={row.placeholder}", row, row.environ, width)
    lines += ["", "Secrets:", *_wrapped(_SECRETS, width, 2), ""]
    for row in rows:
        if row.environ_file is not None:
            lines += _entry(" or ".join((*row.environ, row.environ_file)), row, (), width)
    lines += [
        "",
        "Information:",
        "  --help",
        *_wrapped("Show this text and exit.", width, 6),
        "  --version",
        *_wrapped("Show the version and exit.", width, 6),
    ]
    return "\n".join(lines) + "\n"


def _entry(heading: str, row: Setting, environ: tuple[str, ...], width: int) -> Iterator[str]:
    """Return the lines about one setting: how it is written, its explanation, its default and variables."""
    yield f"  {heading}"
    yield from _wrapped(row.help, width, 6)
    # Without a default the explanation says what holds if the setting is not set.
    notes = [] if row.shown_default == "none" else [f"default: {row.shown_default}"]
    if environ:
        notes.append(f"environment: {' or '.join(environ)}")
    if notes:
        yield from _wrapped(f"[{'; '.join(notes)}]", width, 6)


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    margin = " " * indent
    return textwrap.wrap(
        text,
        max(width, indent + 20),
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
