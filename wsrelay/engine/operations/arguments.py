"""Checks of arguments that several operations have."""

from __future__ import annotations

from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ClaimError, RejectedError

__all__ = ["check_seconds", "find_namespace"]


def check_seconds(name: str, value: object, least: int, most: int) -> None:
    """Check that a value is a whole number of seconds within bounds.

    Raises:
        ClaimError: It is not; the text has the name.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ClaimError(f"{name} must be a whole number from {least} to {most}")


def find_namespace(namespaces: Namespaces, channel: str) -> Namespace:
    """Return the namespace of a channel.

    Raises:
        ChannelError: The name is outside the grammar.
        RejectedError: No namespace has this channel.
    """
    namespace = namespaces.rule(check_channel(channel))
    if namespace is None:
        raise RejectedError(ClientError.UNKNOWN_CHANNEL)
    return namespace
