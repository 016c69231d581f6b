"""Subscription tokens: signed permissions for one channel, for one user, and if they say so for one connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wsrelay.core.access.identity import Identity, read_subject
from wsrelay.core.access.payload_claims import read_payload
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ClaimError

__all__ = ["ChannelGrant", "ChannelToken", "read_channel_token"]


@dataclass(frozen=True, slots=True)
class ChannelGrant:
    """The permission of one client to subscribe to one channel.

    Attributes:
        expires: When it ends, in seconds since the epoch. If None, it lasts as long as the connection.
        info: What other clients of the channel are told about the client, as JSON on one line; empty if nothing.
        data: What the client is told when it is subscribed, as JSON on one line; empty if nothing.
    """

    expires: float | None = None
    info: bytes = b""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class ChannelToken:
    """The claims of a subscription token.

    Attributes:
        channel: The channel that it is for.
        subject: The user that it is for. If None, it is for clients that are nobody in particular.
        client: The unique name of the connection that it is for. If empty, it is for any.
        grant: What it permits, to whom it is for.
        credential_id: The target that revokes it: ``token:`` and its `jti`. If None, nothing does.
    """

    channel: str
    subject: str | None
    client: str
    grant: ChannelGrant
    credential_id: str | None = None

    def check(self, identity: Identity, channel: str, connection: str) -> ClientError | None:
        """Check whether a client may use it for a channel.

        Args:
            identity: The client's identity.
            channel: The channel that the client asks for.
            connection: The unique name of the client's connection.

        Returns:
            None if it may. Else why not.
        """
        is_for = self.channel == channel and self.subject == identity.subject and self.client in ("", connection)
        return None if is_for else ClientError.TOKEN_MISMATCH


def read_channel_token(
    claims: Mapping[str, object], expires: float | None, credential_id: str | None = None
) -> ChannelToken:
    """Read the claims of a subscription token.

    Args:
        claims: `channel`, a str; `sub`, a str or int; `client`, a str; `info`, `data`, and both in base64 (see
            `read_payload`). All but the first may be missing, None or empty; all others are ignored.
        expires: When the subscription ends, in seconds since the epoch. If None, with the connection.
        credential_id: The target that revokes the token. If None, nothing does.

    Raises:
        ClaimError: A claim has another type or form. The text names the claim and never repeats its value.
    """
    channel, client = claims.get("channel"), claims.get("client")
    if not isinstance(channel, str) or not channel:
        raise ClaimError("channel must be the name of a channel")
    if not (client is None or isinstance(client, str)):
        raise ClaimError("client must be the id of a connection")
    grant = ChannelGrant(expires, read_payload(claims, "info"), read_payload(claims, "data"))
    return ChannelToken(channel, read_subject(claims), client or "", grant, credential_id)
