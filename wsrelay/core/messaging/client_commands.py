"""Control messages by which the application changes what connected clients have: channels, and the end of a credential.

::

    {"subscribe": {"user": "42", "channel": "news", "info": {"name": "Ann"}, "recover_since": {"offset": 4097}}}
    {"refresh": {"user": "42", "expire_at": 1767229200}}
    {"refresh": {"user": "42", "info": {"name": "Ann"}}}
    {"refresh": {"user": "42", "expired": true}}

Both take a `client` and a `session` as well, as those in `wsrelay.core.messaging.user_commands` do.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from wsrelay.core.access.identity import read_end
from wsrelay.core.access.payload_claims import read_payload
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.user_commands import dump_command, read_channel, read_target
from wsrelay.core.outcomes.errors import ClaimError

__all__ = ["MAX_EPOCH_CHARACTERS", "RefreshCommand", "SubscribeCommand", "read_refresh", "read_subscribe"]

MAX_EPOCH_CHARACTERS = 64
"""The longest epoch of a position. Centrifugo's have 4."""

_MAX_UINT64 = 2**64 - 1


@dataclass(frozen=True, slots=True)
class SubscribeCommand:
    """Subscribe clients of a user to a channel.

    Attributes:
        user: The user. Empty for an anonymous client.
        subscription: The channel, what is told about the clients and to them, and when it ends.
        client: The one connection that is subscribed. If empty, all of the user's are.
        since: The offset to recover from, and its epoch. If None, nothing is recovered.
        session: The session of the one connection. If empty, it is of no account.
    """

    user: str
    subscription: ServerSubscription
    client: str = ""
    since: tuple[int, str] | None = None
    session: str = field(default="", repr=False)

    def to_bytes(self) -> bytes:
        """Return the control message."""
        subscription = self.subscription
        document: dict[str, object] = {
            "user": self.user,
            "client": self.client,
            "session": self.session,
            "channel": subscription.channel,
            # In base64, so that every process has the same bytes: a number of JSON is not written as it was read.
            "b64info": b64encode(subscription.info).decode(),
            "b64data": b64encode(subscription.data).decode(),
            "expire_at": subscription.expires,
        }
        if self.since is not None:
            offset, epoch = self.since
            document["recover_since"] = {"offset": offset, "epoch": epoch}
        return dump_command("subscribe", document)


@dataclass(frozen=True, slots=True)
class RefreshCommand:
    """Move the end of what clients of a user may do, or end it now; change what others are told about them.

    Attributes:
        user: The user. Empty for an anonymous client.
        client: The one connection that is meant. If empty, all of the user's are.
        expires: The new end, in seconds since the epoch. If None, there is none any more.
        is_expired: Whether it ends now.
        info: What others are told about the clients from now on, as JSON on one line. If empty, what they were told.
        session: The session of the one connection. If empty, it is of no account.
    """

    user: str
    client: str = ""
    expires: float | None = None
    is_expired: bool = False
    info: bytes = b""
    session: str = field(default="", repr=False)

    def to_bytes(self) -> bytes:
        """Return the control message."""
        document = {
            "user": self.user,
            "client": self.client,
            "session": self.session,
            "expire_at": self.expires,
            "expired": self.is_expired,
            "b64info": b64encode(self.info).decode(),
        }
        return dump_command("refresh", document)


def read_subscribe(document: Mapping[str, object]) -> SubscribeCommand:
    """Read the object of `subscribe`.

    Args:
        document: `user`, `client`, `session` and `channel`; `info`, `data`, and both in base64 (see `read_payload`);
            `recover_since`, an object of `offset` and `epoch`; `expire_at`, seconds since the epoch, where 0 or none is
            no end. What else is in it is ignored.

    Raises:
        ClaimError: It names nobody, or no channel, or says something that makes no sense.
    """
    user, client, session = read_target(document)
    info, data = read_payload(document, "info"), read_payload(document, "data")
    subscription = ServerSubscription(read_channel(document), info, data, read_end(document, None))
    return SubscribeCommand(user, subscription, client, _read_since(document.get("recover_since")), session)


def read_refresh(document: Mapping[str, object]) -> RefreshCommand:
    """Read the object of `refresh`.

    Args:
        document: `user`, `client` and `session`; `expire_at`, seconds since the epoch, where 0 or none is no end;
            `expired`, a bool; `info`, also in base64 (see `read_payload`). What else is in it is ignored.

    Raises:
        ClaimError: It names nobody, or says something that makes no sense.
    """
    user, client, session = read_target(document)
    is_expired = document.get("expired")
    if not (is_expired is None or isinstance(is_expired, bool)):
        raise ClaimError("expired is true or false")
    info = read_payload(document, "info")
    return RefreshCommand(user, client, read_end(document, None), is_expired is True, info, session)


def _read_since(value: object) -> tuple[int, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ClaimError("recover_since is an object of offset and epoch")
    offset, epoch = value.get("offset"), value.get("epoch")
    offset, epoch = 0 if offset is None else offset, "" if epoch is None else epoch
    if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset <= _MAX_UINT64:
        raise ClaimError(f"the offset of recover_since is a whole number from 0 to {_MAX_UINT64}")
    if not isinstance(epoch, str) or len(epoch) > MAX_EPOCH_CHARACTERS or not epoch.isascii():
        raise ClaimError(f"the epoch of recover_since is a text of at most {MAX_EPOCH_CHARACTERS} ASCII characters")
    return offset, epoch
