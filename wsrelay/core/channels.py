"""Channel names and the namespaces that rule them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from wsrelay.core.errors import ChannelError
from wsrelay.core.outbox import SlowPolicy

__all__ = [
    "MAX_CHANNEL_BYTES",
    "PERSONAL",
    "Access",
    "Namespace",
    "Namespaces",
    "check_channel",
    "check_pattern",
    "matches",
]

MAX_CHANNEL_BYTES = 255
"""The longest channel name, in bytes, without the prefix it has in Redis."""

PERSONAL = "{sub}"
"""Ends the pattern of channels that belong to one user each: ``user:{sub}``. Only at the end, because a user whose name
holds the text behind it could pass for another one."""

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
    if name.startswith("__"):
        # On such Redis tells of its keys, among them tickets, where it is configured to (notify-keyspace-events).
        raise ChannelError("the channel name begins with two underscores, as those of Redis itself do")
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
    if PERSONAL in pattern:
        raise ChannelError(f"{pattern!r} is no pattern: {PERSONAL} may only end one, and only in namespaces")
    literal = pattern.removesuffix("*")
    if literal or pattern != "*":
        try:
            check_channel(literal)
        except ChannelError as error:
            raise ChannelError(f"{pattern!r} is no pattern (a name, a beginning and *, or *): {error}") from None
    return pattern


def matches(patterns: Iterable[str], channel: str) -> bool:
    """Whether any of these patterns is the channel's name, or a beginning of it followed by ``*``."""
    return any(
        channel.startswith(pattern[:-1]) if pattern.endswith("*") else channel == pattern for pattern in patterns
    )


class Access(Enum):
    """Who may do something on the channels of a namespace.

    Attributes:
        PUBLIC: Everybody.
        AUTHENTICATED: Whoever has shown a credential that is good; if it names channels, on those alone.
        TOKEN: Whoever has shown a credential that is good and names the channel.
        NOBODY: No client.
    """

    PUBLIC = "public"
    AUTHENTICATED = "authenticated"
    TOKEN = "token"  # noqa: S105 -- the word itself
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Namespace:
    """The rule for all channels that match one of its patterns.

    Attributes:
        name: What the operator calls it.
        patterns: Channel names, beginnings of names that end in ``*``, or such that end in ``{sub}``: then what stands
            there in a channel's name is the user it belongs to, and no other may subscribe or publish.
        subscribe: Who may listen.
        publish: Who may publish through their socket.
        slow: What a client gets that is behind.
        tell_gaps: Whether a client is closed with 4010 when messages may have been lost on their way to this process.
        compress: Whether messages are compressed for clients that can take it; None: as the setting says.
    """

    name: str
    patterns: tuple[str, ...]
    subscribe: Access = Access.PUBLIC
    publish: Access = Access.NOBODY
    slow: SlowPolicy = SlowPolicy.CLOSE
    tell_gaps: bool = True
    compress: bool | None = None


class Namespaces:
    """Finds the one namespace that rules a channel: the exact name first, else the longest matching beginning.

    The order in which namespaces were written down never matters.

    Args:
        namespaces: The rules. A channel that none of them matches does not exist for clients.

    Raises:
        ChannelError: A pattern is malformed, stands in two namespaces, or gives everybody what belongs to one user.
    """

    def __init__(self, namespaces: Iterable[Namespace]) -> None:
        self._exact: dict[str, Namespace] = {}
        beginnings: dict[str, tuple[Namespace, bool]] = {}
        for namespace in namespaces:
            for pattern in namespace.patterns:
                personal = pattern.endswith(PERSONAL)
                if personal:
                    _check_personal(pattern, namespace)
                else:
                    check_pattern(pattern)
                if personal or pattern.endswith("*"):
                    beginning = pattern.removesuffix(PERSONAL if personal else "*")
                    owner, *same = beginnings.setdefault(beginning, (namespace, personal))
                    taken = owner is not namespace or same != [personal]
                else:
                    owner = self._exact.setdefault(pattern, namespace)
                    taken = owner is not namespace
                if taken and owner is namespace:
                    both = f"{beginning + '*'!r} and {beginning + PERSONAL!r}"
                    raise ChannelError(f"the namespace {namespace.name} has both {both}")
                if taken:
                    raise ChannelError(
                        f"the pattern {pattern!r} stands in two namespaces, {owner.name} and {namespace.name}"
                    )
        ordered = sorted(beginnings.items(), key=lambda pair: -len(pair[0]))
        self._beginnings = [(beginning, *owner) for beginning, owner in ordered]

    def rule(self, channel: str) -> Namespace | None:
        """The namespace that rules a channel name, or None where the channel does not exist for clients."""
        found = self.find(channel)
        return None if found is None else found[0]

    def find(self, channel: str) -> tuple[Namespace, str | None] | None:
        """The namespace that rules a channel name, and the user it belongs to or None; None where it does not exist."""
        exact = self._exact.get(channel)
        if exact is not None:
            return exact, None
        for beginning, namespace, personal in self._beginnings:
            if channel.startswith(beginning) and not (personal and channel == beginning):
                return namespace, channel[len(beginning) :] if personal else None
        return None


def _check_personal(pattern: str, namespace: Namespace) -> None:
    try:
        check_channel(pattern.removesuffix(PERSONAL))
    except ChannelError as error:
        form = f"a beginning and {PERSONAL}, as in user:{PERSONAL}"
        raise ChannelError(f"{pattern!r} is no pattern ({form}): {error}") from None
    if Access.PUBLIC in (namespace.subscribe, namespace.publish):
        raise ChannelError(
            f"{pattern!r} belongs to one user each, and the namespace {namespace.name} is public: "
            "let it be authenticated, token or nobody"
        )
