"""Control messages about some connections of a user: which to close, and with which code; which to unsubscribe.

::

    {"disconnect_user": {"user": "42", "except": ["5f0c..."], "code": 4100, "reason": "signed in elsewhere"}}
    {"unsubscribe": {"user": "42", "channel": "news"}}

Both take a `client` as well, the id of one connection, and a `session`, the secret that some clients are told when
they connect. Only connections of which all of them are true are meant. `user` is empty for anonymous clients, which are
named by one of the others.

With a `session` the kind is another one, such as `unsubscribe_session`: a process of a version that knows no sessions
would carry out the plain kind for every connection of the user.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from wsrelay.core.access.identity import MAX_SUBJECT_BYTES, is_name
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.outcomes.disconnects import MAX_REASON_BYTES, AnyDisconnect, ApplicationDisconnect, Disconnect
from wsrelay.core.outcomes.errors import ChannelError, ClaimError

__all__ = [
    "MAX_SPARED",
    "SESSION_KIND_END",
    "DisconnectUserCommand",
    "UnsubscribeCommand",
    "dump_command",
    "read_application_disconnect",
    "read_channel",
    "read_disconnect_user",
    "read_target",
    "read_unsubscribe",
]

MAX_SPARED = 64
"""The most connections that a disconnect may spare."""

MAX_CLIENT_CHARACTERS = 64
"""The longest id of a connection, and the longest session."""

SESSION_KIND_END = "_session"
"""The end of the kind of a message that names a session."""


@dataclass(frozen=True, slots=True)
class DisconnectUserCommand:
    """Close connections of a user.

    Attributes:
        user: The user. Empty for an anonymous client.
        client: The one connection to close. If empty, all of the user's.
        spared: Connections that stay.
        disconnect: How they are closed.
        session: The session of the one connection to close. If empty, it is of no account.
    """

    user: str
    client: str = ""
    spared: tuple[str, ...] = ()
    disconnect: AnyDisconnect = Disconnect.REVOKED
    session: str = field(default="", repr=False)

    @property
    def target(self) -> str:
        """The target that keeps these clients out: their connection if one is named, else their user."""
        return f"connection:{self.client}" if self.client else f"user:{self.user}"

    def to_bytes(self) -> bytes:
        """Return the control message."""
        closing = self.disconnect
        how: dict[str, object] = {"reconnect": True} if closing is Disconnect.RECONNECT else {}
        if isinstance(closing, ApplicationDisconnect):
            how = {"code": closing.code, "reason": closing.reason}
        names = {"user": self.user, "client": self.client, "session": self.session}
        return dump_command("disconnect_user", {**names, "except": self.spared, **how})


@dataclass(frozen=True, slots=True)
class UnsubscribeCommand:
    """End subscriptions of a user.

    Attributes:
        user: The user. Empty for an anonymous client.
        channel: The channel.
        client: The one connection whose subscription ends. If empty, those of all of the user's connections.
        session: The session of that one connection. If empty, it is of no account.
    """

    user: str
    channel: str
    client: str = ""
    session: str = field(default="", repr=False)

    def to_bytes(self) -> bytes:
        """Return the control message."""
        names = {"user": self.user, "client": self.client, "session": self.session}
        return dump_command("unsubscribe", {**names, "channel": self.channel})


def read_disconnect_user(document: Mapping[str, object]) -> DisconnectUserCommand:
    """Read the object of `disconnect_user`.

    Raises:
        ClaimError: It names nobody, or says something that makes no sense.
    """
    user, client, session = read_target(document)
    spared = document.get("except", [])
    if not isinstance(spared, list) or len(spared) > MAX_SPARED or not all(_is_id(each) for each in spared):
        raise ClaimError(f"at most {MAX_SPARED} connections can be spared, each named by the id of its client")
    disconnect: AnyDisconnect = Disconnect.REVOKED
    if "code" in document:
        disconnect = read_application_disconnect(document["code"], document.get("reason", ""))
    elif document.get("reconnect") is True:
        disconnect = Disconnect.RECONNECT
    return DisconnectUserCommand(user, client, tuple(spared), disconnect, session)


def read_unsubscribe(document: Mapping[str, object]) -> UnsubscribeCommand:
    """Read the object of `unsubscribe`.

    Raises:
        ClaimError: It names nobody, or no channel.
    """
    user, client, session = read_target(document)
    return UnsubscribeCommand(user, read_channel(document), client, session)


def read_application_disconnect(code: object, reason: object) -> ApplicationDisconnect:
    """Read a code and a reason of the application's own.

    Raises:
        ClaimError: The code is out of range, or the reason is too long or none that SDKs take for a text.
    """
    if not isinstance(code, int) or isinstance(code, bool) or not 3000 <= code <= 4999:
        raise ClaimError("the code of a disconnect is a whole number from 3000 to 4999")
    if not isinstance(reason, str) or not _is_reason(reason):
        raise ClaimError(
            f"the reason of a disconnect is a text of at most {MAX_REASON_BYTES} bytes that cannot be read as JSON"
        )
    return ApplicationDisconnect(code, reason)


def read_target(document: Mapping[str, object]) -> tuple[str, str, str]:
    """Read `user`, `client` and `session`: the user whose connections are meant, and the one of them if it is named.

    Raises:
        ClaimError: They name nobody. The text repeats none of them.
    """
    user, client, session = (document.get(name, "") for name in ("user", "client", "session"))
    if not isinstance(user, str) or not (is_name(user) or (not user and (client or session))):
        raise ClaimError(f"user is a text of 1 to {MAX_SUBJECT_BYTES} bytes, and empty for an anonymous client alone")
    if not isinstance(client, str) or not (_is_id(client) or not client):
        raise ClaimError("client is the id of a connection")
    if not isinstance(session, str) or not (_is_id(session) or not session):
        raise ClaimError("session is the one that a client is told when it connects")
    return user, client, session


def read_channel(document: Mapping[str, object]) -> str:
    """Read `channel`.

    Raises:
        ClaimError: It is missing, or the name of no channel.
    """
    channel = document.get("channel")
    try:
        return check_channel(channel if isinstance(channel, str) else "")
    except ChannelError as error:
        raise ClaimError(str(error)) from None


def dump_command(kind: str, document: Mapping[str, object]) -> bytes:
    """Return a control message without the members that are empty. Its kind says whether it names a `session`."""
    kind += SESSION_KIND_END if document.get("session") else ""
    return json.dumps(
        {kind: {name: value for name, value in document.items() if value}}, separators=(",", ":")
    ).encode()


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_CLIENT_CHARACTERS and value.isascii()


def _is_reason(text: str) -> bool:
    try:
        if len(text.encode()) > MAX_REASON_BYTES:
            return False
    except UnicodeEncodeError:
        return False
    try:
        # Centrifugo's SDKs look for an object with advice in the reason, and some stumble over any other JSON.
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False
