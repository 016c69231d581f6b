"""Writes the pages of docs/ that are made from tables in the code: `make docs`. A test compares them."""

from __future__ import annotations

from pathlib import Path

from wsrelay.config import Setting, table
from wsrelay.core.outcomes.disconnects import Disconnect

__all__ = ["PAGES"]

FOLDER = Path(__file__).parents[2] / "docs"


def configuration() -> str:
    """docs/configuration.md."""
    intro = """\
# Configuration

Each setting is taken from its flag, else its environment variable (the first one that is set), else the TOML file named
by `--config` or `WSRELAY_CONFIG`, else its default. An unknown flag, variable or key ends the start with the nearest
name that exists. Flags that take a list may be given several times. What may hold a credential has no flag, because the
arguments of a process are public; a variable with `_FILE` behind its name may say which file holds it.

This page is made from the table in `wsrelay/config/settings.py` by `make docs`.

"""
    namespaces = """\

## Channels and namespaces

A channel name has at most 255 bytes: ASCII letters, digits and `_ . : ~ @ = + , ; ! ' ( ) & -`, beginning with a
letter, a digit or `_`. In Redis it has the prefix in front: what clients know as `chat` is `wsrelay:chat`.

With nothing said about channels, all of them exist for clients to listen to, and none to publish to. As soon as one
is named, no other exists. The short form is two lists:

```sh
twistd wsrelay --channels 'news,room:*' --publish 'room:*'
```

The long form is a table for each namespace in the file:

```toml
[namespaces.rooms]
channels = ["room:*", "lobby"]   # names, or beginnings with * at the end
subscribe = "public"             # who may listen: public, authenticated, token or nobody (default public)
publish = "authenticated"        # who may publish through their socket (default nobody); true is public, false nobody
slow_consumer_policy = "close"   # what a slow client gets, see below (default close)
notify_gaps = true               # close with 4010 when messages may have been lost on the way here? (default true)
compress = true                  # compress messages for clients that can take it? (default: the setting)

[namespaces.news]
channels = ["news"]
```

`slow` says what a client gets that is behind: `close`, everything until its outbox is full, and then a close with
4008; `drop`, everything until its outbox is full, and then nothing until there is room; `latest`, only the newest
message that waits, for tickers and positions.

What the levels mean, and `user:{sub}` for channels that belong to one user each:
[authentication and authorization](authentication.md).

The exact name wins, then the longest beginning; the order in the file never matters, and a pattern cannot stand in two
namespaces.
"""
    rows = [_row(row) for row in table()]
    return intro + "\n".join(rows) + namespaces


def _row(row: Setting) -> str:
    unit = f" {row.unit}" if row.unit else ""
    default = f"{row.shown_default}{unit}" if row.shown_default != "none" else "none"
    bounds = [
        f"at least {row.least:g}" if row.least is not None else "",
        f"at most {row.most:g}" if row.most is not None else "",
    ]
    limits = "; " + ", ".join(bound for bound in bounds if bound) if any(bounds) else ""
    flag = f"`--{row.flag}`" if row.flag else "no flag"
    variables = (*row.environ, row.environ_file) if row.environ_file else row.environ
    names = ", ".join(f"`{name}`" for name in variables)
    return f"### `{row.name}`\n\n{row.help}\n\n{row.kind.name}{limits}. Default: {default}. {flag}; {names}\n"


def close_codes() -> str:
    """docs/close-codes.md."""
    lines = [
        "# Close codes",
        "",
        "What a WebSocket is closed with when the relay ends it. Codes below 3000 are those of RFC 6455 and the IANA "
        "registry; of ours, 4000-4499 means come back, 4500-4999 means that coming back unchanged will not help.",
        "",
        "A handshake that is turned away gets an HTTP status and a text instead; browsers show it as 1006. So does "
        "a connection that is dropped because a ping was not answered.",
        "",
        "This page is made from the table in `wsrelay/core/outcomes/disconnects.py` by `make docs`.",
        "",
        "| code | reason | reconnect | meaning |",
        "|---|---|---|---|",
        *(
            f"| {each.code} | {each.reason} | {'yes' if each.reconnect else 'no'} | {each.meaning} |"
            for each in sorted(Disconnect, key=lambda disconnect: disconnect.code)
        ),
        "",
    ]
    return "\n".join(lines)


PAGES = {FOLDER / "configuration.md": configuration, FOLDER / "close-codes.md": close_codes}
"""The generated pages: path, and what makes its text."""


def main() -> None:
    """Write all pages."""
    for path, make in PAGES.items():
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
