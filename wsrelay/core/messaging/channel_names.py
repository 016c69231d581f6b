"""The grammar of channel names and channel patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wsrelay.core.outcomes.errors import ChannelError

__all__ = [
    "MAX_CHANNEL_BYTES",
    "PERSONAL",
    "RESERVED",
    "SWITCH",
    "check_channel",
    "check_pattern",
    "is_reserved",
    "listed_users",
    "matches",
]

MAX_CHANNEL_BYTES = 255
"""The longest channel name, in bytes, without the prefix it has in Redis."""

PERSONAL = "{sub}"
"""Ends the pattern of channels that belong to one user each: ``user:{sub}``. Only at the end, because a user whose name
holds the text behind it could pass for another one."""

RESERVED = ("ticket:", "revoked:")
"""The beginnings of names that are keys of the relay in Redis. No channel with history has such a name, because its
stream would have the same key. The other keys of the relay are `SWITCH`, and those that begin with ``$``, as no channel
does."""

SWITCH = "disabled"
"""The key by which websockets are turned off, which no stream may have either."""

# All of these but `#` stand in a URL path as they are (RFC 3986 section 3.3). Left out on purpose: the percent sign,
# `/` (proxies rewrite paths), `*` (it ends a pattern), and `$`, with which the relay's own channels begin, so that no
# name a client can spell reaches them. None of its keys and channels begins with `#`.
_FIRST = "A-Za-z0-9_#"
_REST = _FIRST + ".:~@=+,;!'()&-"
_CHANNEL = re.compile(f"[{_FIRST}][{_REST}]*", re.ASCII)


def check_channel(name: str) -> str:
    """Return a name unchanged if it is a channel name.

    Raises:
        ChannelError: It is empty, too long, or holds a character outside the grammar; the text says which.
    """
    if not name:
        raise ChannelError("the channel name is empty")
    if len(name) > MAX_CHANNEL_BYTES:
        raise ChannelError(f"the channel name is longer than {MAX_CHANNEL_BYTES} bytes")
    if name.startswith("__"):
        # Redis publishes the names of its keys on such, tickets among them, where notify-keyspace-events is set.
        raise ChannelError("the channel name begins with two underscores, as those of Redis itself do")
    if _CHANNEL.fullmatch(name) is None:
        raise ChannelError(
            "the channel name may hold ASCII letters, digits and _ # . : ~ @ = + , ; ! ' ( ) & - "
            "and begins with a letter, a digit, _ or #"
        )
    return name


def check_pattern(pattern: str) -> str:
    """Return a pattern unchanged if it is one: a channel name, a prefix and ``*``, or ``*`` alone.

    Raises:
        ChannelError: It is none of them.
    """
    if PERSONAL in pattern:
        raise ChannelError(f"{pattern!r} is not a valid pattern: {PERSONAL} may only end one, and only in namespaces")
    literal = pattern.removesuffix("*")
    if literal or pattern != "*":
        try:
            check_channel(literal)
        except ChannelError as error:
            raise ChannelError(f"{pattern!r} is not a valid pattern (a name, a prefix and *, or *): {error}") from None
    return pattern


def listed_users(name: str) -> tuple[str, ...] | None:
    """Return the users that a channel belongs to by its name: those behind its last ``#``, with commas between them.

    Args:
        name: The channel's name, inside the grammar.

    Returns:
        The users; for ``#41,42`` and ``team:x#41,42`` they are ``41`` and ``42``. Empty if none is listed: the channel
        belongs to nobody. None if there is no ``#`` in the name.
    """
    if "#" not in name:
        return None
    return tuple(filter(None, name.rpartition("#")[2].split(",")))


def is_reserved(name: str) -> bool:
    """Return whether a channel is called or begins as keys of the relay, so that the channel can have no stream."""
    return name == SWITCH or name.startswith(RESERVED)


def matches(patterns: Iterable[str], channel: str) -> bool:
    """Return whether any of these patterns is the channel's name, or a prefix of it followed by ``*``."""
    return any(
        channel.startswith(pattern[:-1]) if pattern.endswith("*") else channel == pattern for pattern in patterns
    )
