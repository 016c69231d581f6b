"""Events for the application about clients and channels, as the fields of entries of a stream.

======================  ================================================================================================
field                   meaning
======================  ================================================================================================
``event``               one of the four below
``channel``             the channel
``node``                the process that says it
``client``, ``user``    of ``client_connected`` and ``client_gone``: the id of the connection, and its user or nothing
``code``, ``reason``    of ``client_gone``: the close code, or 0 where the client unsubscribed and stayed; and why
======================  ================================================================================================
"""

from __future__ import annotations

from wsrelay.core.presence.member import Member

__all__ = ["CLOSED_BY_CLIENT", "LOST", "UNSUBSCRIBED", "channel_event", "client_connected", "client_gone"]

UNSUBSCRIBED = (0, "unsubscribed")
"""The client is subscribed to the channel no more, and stays connected."""

LOST = (1006, "connection lost")
"""The connection ended without a close frame (RFC 6455 section 7.1.5)."""

CLOSED_BY_CLIENT = "closed by the client"


def client_connected(channel: str, member: Member) -> dict[str, str]:
    """Return the event of a client that is subscribed to a channel now."""
    return {"event": "client_connected", "channel": channel, "client": member.client, "user": member.user}


def client_gone(channel: str, member: Member, ending: tuple[int, str]) -> dict[str, str]:
    """Return the event of a client that is subscribed to a channel no more.

    Args:
        channel: The channel's name.
        member: The client.
        ending: The close code and the reason.
    """
    code, reason = ending
    event = {"event": "client_gone", "channel": channel, "client": member.client, "user": member.user}
    return {**event, "code": str(code), "reason": reason}


def channel_event(channel: str, *, is_occupied: bool) -> dict[str, str]:
    """Return the event of a channel that has its first subscriber, or none any more, counting all processes."""
    return {"event": "channel_occupied" if is_occupied else "channel_vacated", "channel": channel}
