"""Channels that a credential subscribes its bearer to, in dialects in which the server can do that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wsrelay.core.access.payload_claims import read_payload
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.outcomes.errors import ChannelError, ClaimError

__all__ = ["MAX_SUBSCRIPTIONS", "ServerSubscription", "read_subscriptions"]

MAX_SUBSCRIPTIONS = 128
"""The most channels in `subs` of a credential."""


@dataclass(frozen=True, slots=True)
class ServerSubscription:
    """A channel that a client is subscribed to without having asked: when it connects, or by the application later.

    Attributes:
        channel: The channel's name, inside the grammar.
        info: What other clients of the channel are told about this one, as JSON on one line; empty if nothing.
        data: What the client is told when it is subscribed, as JSON on one line; empty if nothing.
        expires: When the subscription ends, in seconds since the epoch. If None, it lasts as long as the connection.
    """

    channel: str
    info: bytes = b""
    data: bytes = b""
    expires: float | None = None


def read_subscriptions(claims: Mapping[str, object]) -> tuple[ServerSubscription, ...]:
    """Read the claim `subs`.

    Args:
        claims: The claims; `subs` is an object: for each channel one with `info` or `b64info`, and `data` or `b64data`,
            or null. What else is in that is ignored. It may be missing or null.

    Returns:
        The subscriptions, in their order.

    Raises:
        ClaimError: It has another form, or too many channels. The text names the claim and never repeats its value.
    """
    value = claims.get("subs")
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > MAX_SUBSCRIPTIONS:
        raise ClaimError(f"subs must be an object of at most {MAX_SUBSCRIPTIONS} channels")
    return tuple(_read(channel, {} if options is None else options) for channel, options in value.items())


def _read(channel: str, options: object) -> ServerSubscription:
    if not isinstance(options, dict):
        raise ClaimError("subs must have an object for each channel")
    try:
        return ServerSubscription(check_channel(channel), read_payload(options, "info"), read_payload(options, "data"))
    except ChannelError:
        raise ClaimError("subs must be an object of channel names") from None
    except ClaimError as error:
        raise ClaimError(f"subs: {error}") from None
