"""Channel names and the namespaces that rule them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.channel_names import PERSONAL, check_channel, check_pattern
from wsrelay.core.outcomes.errors import ChannelError

__all__ = ["Access", "Namespace", "Namespaces"]


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
        notify_gaps: Whether a client is closed with 4010 when messages may have been lost on their way to this process.
        compress: Whether messages are compressed for clients that can take it; None: as the setting says.
    """

    name: str
    patterns: tuple[str, ...]
    subscribe: Access = Access.PUBLIC
    publish: Access = Access.NOBODY
    slow_consumer_policy: SlowPolicy = SlowPolicy.CLOSE
    notify_gaps: bool = True
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
