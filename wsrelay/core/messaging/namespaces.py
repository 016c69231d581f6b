"""Channel names and the namespaces that rule them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.history.retention import Retention
from wsrelay.core.messaging.channel_names import PERSONAL, RESERVED, SWITCH, check_channel, check_pattern, is_reserved
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import is_text
from wsrelay.core.messaging.payload_type import PayloadType
from wsrelay.core.outcomes.errors import ChannelError
from wsrelay.core.wire.json_text import is_json

__all__ = ["Access", "Namespace", "Namespaces"]

MAX_REMEMBERED = 1024
"""Channel names whose rules are remembered, 255 bytes each at most."""


class Access(Enum):
    """The level that a client needs for something on the channels of a namespace.

    Attributes:
        PUBLIC: No credential: every client may.
        AUTHENTICATED: A valid credential; if it lists channels, on those alone.
        TOKEN: A valid credential that lists the channel.
        NOBODY: No client may.
    """

    PUBLIC = "public"
    AUTHENTICATED = "authenticated"
    TOKEN = "token"  # noqa: S105 -- the word itself
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Namespace:
    """The rule for all channels that match one of its patterns.

    Attributes:
        name: The operator's name for it.
        patterns: Channel names, prefixes that end in ``*``, or prefixes that end in ``{sub}``: the rest of such a
            channel's name is the user that it belongs to, and no other may subscribe or publish.
        subscribe: The level needed to subscribe.
        publish: The level needed to publish through a connection.
        slow_consumer_policy: The treatment of clients that do not read fast enough.
        notify_gaps: Whether clients are told when messages may have been lost on their way to this process.
        compress: Whether messages are compressed for clients that support it. If None, the setting decides.
        frames: The type of frame that messages are sent in. If None, the setting decides.
        payload: What messages have to be in order to be sent.
        history_size: How many entries of a channel's stream are kept. 0: its channels are plain, and keep nothing. If
            None, the setting decides.
        history_seconds: For how long an entry is kept, in seconds. If None, the setting decides.
        trim: Whether the relay trims streams that programs write to beyond these bounds.
        read_history: The level needed to ask for what its channels keep. If None, that to subscribe.
        presence: Whether the relay keeps who is subscribed, and clients and the application may ask for it.
        read_presence: The level needed to ask for it. If None, that to subscribe.
        join_leave: Whether subscribers are told who subscribes and who is gone.
        events: Whether the relay writes what happens on its channels to the stream of events for the application.
    """

    name: str
    patterns: tuple[str, ...]
    subscribe: Access = Access.PUBLIC
    publish: Access = Access.NOBODY
    slow_consumer_policy: SlowPolicy = SlowPolicy.CLOSE
    notify_gaps: bool = True
    compress: bool | None = None
    frames: FrameType | None = None
    payload: PayloadType = PayloadType.ANY
    history_size: int | None = None
    history_seconds: int | None = None
    trim: bool = True
    read_history: Access | None = None
    presence: bool = False
    read_presence: Access | None = None
    join_leave: bool = False
    events: bool = False

    @property
    def payload_check(self) -> Callable[[bytes], bool] | None:
        """Tells whether a message may be sent. None if any may."""
        if self.payload is PayloadType.JSON:
            return is_json
        return is_text if self.frames is FrameType.TEXT else None

    @property
    def has_history(self) -> bool:
        """True if its channels keep what is added to their streams."""
        return bool(self.history_size)

    @property
    def tracks_members(self) -> bool:
        """True if the relay tracks who is subscribed to its channels, whatever it does with that."""
        return self.presence or self.join_leave or self.events

    @property
    def retention(self) -> Retention:
        """The bounds of the streams of its channels. Only where it has history."""
        return Retention(self.history_size or 0, self.history_seconds or 0, self.trim)


class Namespaces:
    """The namespaces of a relay. One rules each channel: the exact name first, else the longest matching prefix.

    The order in which namespaces are configured never matters.

    Args:
        namespaces: The rules. A channel that none of them matches does not exist for clients.
        personal_channel: The channel of each user, with `PERSONAL` in the place of the user. If empty, there is none.

    Attributes:
        may_compress: Whether messages of any of them are compressed.
        tracks_members: Whether any of them tracks who is subscribed.
        has_presence: Whether any of them lets clients and the application ask who is subscribed.
        has_events: Whether any of them tells the application what happens.

    Raises:
        ChannelError: A pattern is malformed, stands in two namespaces, or makes channels of one user public.
    """

    def __init__(self, namespaces: Iterable[Namespace], personal_channel: str = "") -> None:
        namespaces = tuple(namespaces)
        self._personal_channel = personal_channel
        self.may_compress = any(namespace.compress for namespace in namespaces)
        self.tracks_members = any(namespace.tracks_members for namespace in namespaces)
        self.has_presence = any(namespace.presence for namespace in namespaces)
        self.has_events = any(namespace.events for namespace in namespaces)
        self._exact: dict[str, Namespace] = {}
        beginnings: dict[str, tuple[Namespace, bool]] = {}
        for namespace in namespaces:
            for pattern in namespace.patterns:
                personal = pattern.endswith(PERSONAL)
                if personal:
                    _check_personal(pattern, namespace)
                else:
                    check_pattern(pattern)
                if namespace.has_history and is_reserved(pattern):
                    raise ChannelError(
                        f"the namespace {namespace.name} has history, and channels that are called {SWITCH} or begin "
                        f"with {' or '.join(RESERVED)} can have none, because Redis has keys of the relay there: "
                        f"rename {pattern!r}, or set history_size = 0 for it"
                    )
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
        # Asked several times for each client.
        self._remembered = lru_cache(maxsize=MAX_REMEMBERED)(self._find)

    def personal_channel(self, user: str) -> str | None:
        """Return the channel of a user. None if there is none, or the user's name cannot be part of one."""
        if not self._personal_channel or "," in user or "#" in user:
            # Among several users, or behind another mark, the name would stand for somebody else.
            return None
        try:
            return check_channel(self._personal_channel.replace(PERSONAL, user))
        except ChannelError:
            return None

    def rule(self, channel: str) -> Namespace | None:
        """Return the namespace that rules a channel name, or None if the channel does not exist for clients."""
        found = self._remembered(channel)
        return None if found is None else found[0]

    def find(self, channel: str) -> tuple[Namespace, str | None] | None:
        """Find the rule for a channel name.

        Returns:
            The namespace, and the user that the channel belongs to or None. None if the channel does not exist for
            clients, because no namespace has it or its name is reserved.
        """
        return self._remembered(channel)

    def _find(self, channel: str) -> tuple[Namespace, str | None] | None:
        exact = self._exact.get(channel)
        if exact is not None:
            return exact, None
        for beginning, namespace, personal in self._beginnings:
            if channel.startswith(beginning) and not (personal and channel == beginning):
                if namespace.has_history and is_reserved(channel):
                    # As of `*`: its stream would be a key of the relay.
                    return None
                return namespace, channel[len(beginning) :] if personal else None
        return None


def _check_personal(pattern: str, namespace: Namespace) -> None:
    try:
        check_channel(pattern.removesuffix(PERSONAL))
    except ChannelError as error:
        form = f"a prefix and {PERSONAL}, as in user:{PERSONAL}"
        raise ChannelError(f"{pattern!r} is not a valid pattern ({form}): {error}") from None
    if Access.PUBLIC in (namespace.subscribe, namespace.publish):
        raise ChannelError(
            f"{pattern!r} belongs to one user each, and the namespace {namespace.name} is public: "
            "make it authenticated, token or nobody"
        )
