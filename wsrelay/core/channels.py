"""Channel names and the namespaces that rule them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from wsrelay.core.errors import ChannelError
from wsrelay.core.outbox import SlowPolicy

__all__ = ["MAX_CHANNEL_BYTES", "Namespace", "Namespaces", "check_channel", "check_pattern"]

MAX_CHANNEL_BYTES = 255
"""The longest channel name, in bytes, without the prefix it has in Redis."""

# All of it stands in a URL path as it is (RFC 3986 section 3.3) but the percent sign. Left out on purpose: `/`
# (proxies rewrite paths), `*` (it ends a pattern), and `$`, with which the relay's own channels begin, so that no
# name a client can spell reaches them.
_FIRST = "A-Za-z0-9_"
_REST = _FIRST + ".:~@=+,;!'()&-"
_CHANNEL = re.compile(f"[{_FIRST}][{_REST}]*", re.ASCII)


def check_channel(name: str) -> str:
    """The name itself, if it is a channel name.

    Raises:
        ChannelError: It is empty, too long, or holds a character outside the grammar; the text says which.
    """
    if not name:
        raise ChannelError("the channel name is empty")
    if len(name) > MAX_CHANNEL_BYTES:
        raise ChannelError(f"the channel name is longer than {MAX_CHANNEL_BYTES} bytes")
    if _CHANNEL.fullmatch(name) is None:
        raise ChannelError(
            "the channel name may hold ASCII letters, digits and _ . : ~ @ = + , ; ! ' ( ) & - "
            "and begins with a letter, a digit or _"
        )
    return name


def check_pattern(pattern: str) -> str:
    """The pattern itself, if it is one: a channel name, a name's beginning and ``*``, or ``*`` alone.

    Raises:
        ChannelError: It is none of them.
    """
    literal = pattern.removesuffix("*")
    if literal or pattern != "*":
        try:
            check_channel(literal)
        except ChannelError as error:
            raise ChannelError(f"{pattern!r} is no pattern (a name, a beginning and *, or *): {error}") from None
    return pattern


@dataclass(frozen=True, slots=True)
class Namespace:
    """The rule for all channels that match one of its patterns.

    Attributes:
        name: What the operator calls it.
        patterns: Channel names, or beginnings of names that end in ``*``.
        subscribe: Whether clients may listen.
        publish: Whether clients may publish through their socket.
        slow: What a client gets that is behind.
        tell_gaps: Whether a client is closed with 4010 when messages may have been lost on their way to this process.
        compress: Whether messages are compressed for clients that can take it; None: as the setting says.
    """

    name: str
    patterns: tuple[str, ...]
    subscribe: bool = True
    publish: bool = False
    slow: SlowPolicy = SlowPolicy.CLOSE
    tell_gaps: bool = True
    compress: bool | None = None


class Namespaces:
    """Finds the one namespace that rules a channel: the exact name first, else the longest matching beginning.

    The order in which namespaces were written down never matters.

    Args:
        namespaces: The rules. A channel that none of them matches does not exist for clients.

    Raises:
        ChannelError: A pattern is malformed, or stands in two namespaces.
    """

    def __init__(self, namespaces: Iterable[Namespace]) -> None:
        owners: dict[str, Namespace] = {}
        for namespace in namespaces:
            for pattern in namespace.patterns:
                owner = owners.setdefault(check_pattern(pattern), namespace)
                if owner is not namespace:
                    raise ChannelError(
                        f"the pattern {pattern!r} stands in two namespaces, {owner.name} and {namespace.name}"
                    )
        self._exact = {pattern: owner for pattern, owner in owners.items() if not pattern.endswith("*")}
        beginnings = [(pattern[:-1], owner) for pattern, owner in owners.items() if pattern.endswith("*")]
        self._beginnings = sorted(beginnings, key=lambda pair: -len(pair[0]))

    def rule(self, channel: str) -> Namespace | None:
        """The namespace that rules a channel name, or None where the channel does not exist for clients."""
        found = self._exact.get(channel)
        if found is not None:
            return found
        for beginning, namespace in self._beginnings:
            if channel.startswith(beginning):
                return namespace
        return None
