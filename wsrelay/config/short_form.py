"""The short form of namespaces: the settings channels, publish and access instead of tables in the file."""

from __future__ import annotations

from wsrelay.core.messaging.channel_names import PERSONAL
from wsrelay.core.messaging.namespaces import Access, Namespace

__all__ = ["CHAT_CHANNEL", "short_form_namespaces"]

CHAT_CHANNEL = "chat"
"""The channel of the chat page."""

CHAT_HISTORY_SIZE = 100
"""The number of messages that the chat page's channel keeps for those who come later."""


def short_form_namespaces(
    channels: tuple[str, ...],
    publish: tuple[str, ...],
    access: Access,
    *,
    with_chat: bool,
    may_keep_history: bool = True,
) -> tuple[Namespace, ...]:
    """Return the namespaces that the short form stands for.

    If neither list names a channel, every channel exists for subscribing, and the chat page's also for publishing; that
    one keeps history, and shows who is there.

    Args:
        channels: Patterns of channels that clients may subscribe to.
        publish: Patterns of channels that clients may also publish to.
        access: The level for all of them. Channels that belong to one user each are never public.
        with_chat: Whether the chat page is served.
        may_keep_history: Whether streams can be kept: in Redis they need a prefix.
    """
    if channels or publish:
        read_only = tuple(pattern for pattern in channels if pattern not in publish)
        return *_by_owner("channels", read_only, access, Access.NOBODY), *_by_owner("publish", publish, access, access)
    everything = Namespace("default", ("*",), access)
    if with_chat:
        size = CHAT_HISTORY_SIZE if may_keep_history else None
        chat = Namespace(
            "chat_page", (CHAT_CHANNEL,), access, access, history_size=size, presence=True, join_leave=True
        )
        return everything, chat
    return (everything,)


def _by_owner(name: str, patterns: tuple[str, ...], subscribe: Access, publish: Access) -> tuple[Namespace, Namespace]:
    """Separate patterns of channels that belong to one user each, which need an authenticated client, from others."""
    personal = tuple(pattern for pattern in patterns if pattern.endswith(PERSONAL))
    others = tuple(pattern for pattern in patterns if pattern not in personal)
    authenticated = Access.AUTHENTICATED
    return (
        Namespace(name, others, subscribe, publish),
        Namespace(
            f"{name} of users",
            personal,
            authenticated,
            Access.NOBODY if publish is Access.NOBODY else authenticated,
        ),
    )
