"""Writes the pages of docs/ that are made from tables in the code: `make docs`. A test compares them."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from wsrelay.config import CHANNELS_GROUP, Setting, setting_table
from wsrelay.config.validation import PROTECTIVE
from wsrelay.core.outcomes.disconnects import Disconnect

__all__ = ["FOLDER", "PAGES"]

FOLDER = Path(__file__).parents[2] / "docs"

_CONFIGURATION = """\
# Configuration

Each setting is taken from its flag, else its environment variable (the first one that is set), else the TOML file named
by `--config` or `WSRELAY_CONFIG`, else its default. An unknown flag, variable or key is an error, with the nearest name
as a hint; flags cannot be abbreviated. Flags that take a list may be given several times.

A variable that is empty counts as not set, except where the relay would then be more open, or without Redis, although
something else was meant. The variables of these settings must not be empty:

{protective}

Neither must those of `redis_url`, and that of `broker`, if there is no Redis URL elsewhere; of `chat_page` where the
page would be served; of `host` and `listen` if the port comes from `PORT`; of `publish` without `channels`; and a list
of `channels`, in any source. Without a Redis URL the relay starts with the memory broker and, if other machines can
reach it, warns; `WSRELAY_BROKER=memory` says that it is meant.

Names that begin with `WSRELAY_` and are not meant for the relay are ignored, with a warning: the variables that
Kubernetes and Docker make of services and links, such as `WSRELAY_REDIS_SERVICE_HOST`, and labels such as
`WSRELAY_VERSION`, `WSRELAY_IMAGE_TAG` and `WSRELAY_GIT_SHA`.

Relative paths are relative to the directory in which twistd is started, those of unix sockets in `listen` to its
`--rundir`. A unix socket that a killed process has left behind is taken over if no process accepts connections on it,
with its lock, which is a symbolic link to a process ID; any other file in the place of one is an error. Relays that
start at the same time exclude each other by a lock on the directory, unless that cannot be read or locked.

Settings that may hold a credential have no flag, because the arguments of a process are public. For these, a variable
with `_FILE` appended may hold the path of a file with the value, as in `WSRELAY_API_KEYS_FILE`. They are read again on
SIGHUP: a password or a key is rotated without a restart, and nobody is disconnected. A new `redis_url` is for the next
connection to Redis. If any source cannot be used, the log says why, and everything stays as it was.

Where several variables set the same, the log says which is used. `WSRELAY_REDIS_URL` is for the relay alone and goes
before `REDIS_URL`, which an environment may hold for several programs. `PORT` is the exception, and goes before
`WSRELAY_PORT`: a platform that assigns a port connects to no other one.

This page is made from the table in `wsrelay/config/settings.py` by `make docs`.
"""

_NAMESPACES = """\
### Namespaces in the file

A channel name has at most 255 bytes: ASCII letters, digits and `_ # . : ~ @ = + , ; ! ' ( ) & -`, beginning with a
letter, a digit, `_` or `#`; one with `#` in it [lists its users](authentication.md#channels). In Redis the prefix comes
before it: the clients' `chat` is `wsrelay:chat`.

If no channels are configured, clients may subscribe to every channel and publish to none. As soon as one is
configured, no others exist. The short form is two lists:

```sh
twistd --nodaemon --pidfile= wsrelay --channels 'news,room:*' --publish 'room:*'
```

The long form is a table for each namespace in the file:

```toml
[namespaces.rooms]
channels = ["room:*", "lobby"]   # names, or prefixes with * at the end
subscribe = "public"             # who may subscribe: public, authenticated, token or nobody (default public)
publish = "authenticated"        # who may publish (default nobody); true is public, false is nobody
slow_consumer_policy = "close"   # what happens to a slow client, see below (default close)
notify_gaps = true               # close with 4010 after possible message loss on the way to the relay (default true)
compress = true                  # compress messages for clients that support it (default: the setting)
frames = "auto"                  # auto, text or binary (default: the setting)
payload = "any"                  # any or json: what is no JSON is sent to nobody (default any)
history_size = 1000              # entries that are kept for clients that were away; 0: none (default: the setting)
history_seconds = 86400          # and for how long, in seconds (default: the setting)
trim = true                      # the relay trims the streams to that (default true)
read_history = "public"          # who may ask for what is kept (default: who may subscribe)
presence = true                  # who is subscribed can be asked (default false)
read_presence = "authenticated"  # by whom (default: who may subscribe)
join_leave = true                # subscribers are told who joins and who leaves (default false)
events = true                    # the application is told of clients and channels by a stream (default false)

[namespaces.news]
channels = ["news"]
```

`slow_consumer_policy` says what happens when a client does not read fast enough. `close`: messages are queued until its
outbox is full; then it is closed with 4008. `drop`: messages are queued until its outbox is full; then they are dropped
until there is room. `latest`: only the newest waiting message is kept, for tickers and positions.

[History](history.md) explains `history_size`, `history_seconds` and `trim`, [Presence](presence.md) `presence` and
`join_leave`, [Events](events.md) `events`.

[Authentication and authorization](authentication.md) explains the access levels, and `user:{sub}` for channels that
belong to one user each.

The exact name wins, then the longest prefix. The order in the file never matters, and a pattern cannot be in two
namespaces.
"""


_REDIS = """\
### Which Redis

Redis, Valkey, and what speaks their protocol. A server before 6.0 has no users: a user name in the URL is ignored
there, and the log says so. `redis://app@host` signs in as `app` with an empty password.

A cluster with one primary works, as hosters offer it. One with several is not supported: channels work, but a ticket or
a revocation whose key is on another primary is unavailable, so that clients with a credential are turned away (503); no
ticket is spent by that. The log says so when the relay connects. Redis Sentinel is not supported: give the URL of the
primary, or of a proxy that follows it.

A host may have any name that the resolver knows, `redis_cache` of a network of containers too. With `rediss://` its
certificate must be for that name.

### When Redis cannot be used

The log says why, once for each reason: what Redis or OpenSSL said, what it means, and the address. `/readyz` says the
reason in words that name no host, user or channel, because strangers may read it.

"""


def configuration() -> str:
    """Return the text of docs/configuration.md."""
    groups = [(name, list(rows)) for name, rows in groupby(setting_table(), lambda row: row.group)]
    contents = [_contents(name, rows) for name, rows in groups]
    introduction = _CONFIGURATION.replace("{protective}", ", ".join(f"`{name}`" for name in PROTECTIVE))
    return "\n".join([introduction, *contents, "", *(_section(name, rows) for name, rows in groups)])


def _contents(name: str, rows: list[Setting]) -> str:
    links = [f"[`{row.name}`](#{row.name})" for row in rows]
    if name == CHANNELS_GROUP:
        links.append("[namespaces in the file](#namespaces-in-the-file)")
    return f"- [{name}](#{_anchor(name)}): {', '.join(links)}"


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading of words."""
    return heading.lower().replace(" ", "-")


def _section(name: str, rows: list[Setting]) -> str:
    parts = [f"## {name}\n", *map(_entry, rows)]
    if name == CHANNELS_GROUP:
        parts.append(_NAMESPACES)
    if name == "Redis":
        parts.append(_REDIS)
    return "\n".join(parts)


def _entry(row: Setting) -> str:
    unit = f" {row.unit}" if row.unit else ""
    default = f"{row.shown_default}{unit}" if row.shown_default != "none" else "none"
    bounds = [
        f"at least {row.minimum:g}" if row.minimum is not None else "",
        f"at most {row.maximum:g}" if row.maximum is not None else "",
    ]
    limits = "; " + ", ".join(bound for bound in bounds if bound) if any(bounds) else ""
    flag = f"`--{row.flag}`" if row.flag else "no flag"
    variables = (*row.environ, row.environ_file) if row.environ_file else row.environ
    names = ", ".join(f"`{name}`" for name in variables)
    return f"### `{row.name}`\n\n{row.help}\n\n{row.kind.name}{limits}. Default: {default}. {flag}; {names}\n"


def close_codes() -> str:
    """Return the text of docs/close-codes.md."""
    lines = [
        "# Close codes",
        "",
        "The codes with which the relay closes a WebSocket. Codes below 3000 are those of RFC 6455 and the IANA "
        "registry. Of the relay's own codes, 4000-4499 mean that the client should reconnect; 4500-4999 mean that "
        "reconnecting unchanged does not help.",
        "",
        "A handshake that is rejected gets an HTTP status and a text instead; browsers report it as 1006. They report "
        "the same for a connection that is aborted because a ping was not answered.",
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
"""The generated pages: the path, and the function that returns the text."""


def main() -> None:
    """Write all pages."""
    for path, make in PAGES.items():
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
