"""The members of a channel: one for each connection that is subscribed to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from wsrelay.core.access.payload_claims import MAX_PAYLOAD_BYTES
from wsrelay.core.wire.json_text import dump_json

__all__ = [
    "MAX_COUNTED",
    "MAX_MEMBERS",
    "Member",
    "Members",
    "PresenceStats",
    "count_users",
    "member_of_document",
    "member_of_key",
    "read_member",
    "read_members",
]

MAX_MEMBERS = 1000
"""How many members of a channel are returned at most, unless another number is asked for."""

MAX_COUNTED = 10_000
"""Among how many members of a channel its users are counted."""

_USER_KEY = "user:"
_ANONYMOUS_KEY = "client:"


@dataclass(frozen=True, slots=True)
class Member:
    """One connection that is subscribed to a channel.

    Attributes:
        client: The id of the connection, unique over all processes.
        user: Its user. Empty for an anonymous client.
        conn_info: What others are told about it, by its credential: JSON on one line; empty if nothing.
        chan_info: The same by the permission for this channel.
    """

    client: str
    user: str = ""
    conn_info: bytes = b""
    chan_info: bytes = b""

    @property
    def key(self) -> str:
        """The name under which it joins and leaves: that of its user, or its own if it is anonymous."""
        return f"{_USER_KEY}{self.user}" if self.user else f"{_ANONYMOUS_KEY}{self.client}"

    @property
    def text(self) -> str:
        """The member as JSON, the same for equal members."""
        text = json.dumps({"client": self.client, "user": self.user}, ensure_ascii=False, separators=(",", ":"))
        infos = ("conn_info", self.conn_info), ("chan_info", self.chan_info)
        parts = [f',"{name}":{info.decode()}' for name, info in infos if info]
        return f"{text[:-1]}{''.join(parts)}}}" if parts else text


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a channel at one moment.

    Attributes:
        clients: How many there are.
        members: The members, or some of them where there are more than were asked for.
    """

    clients: int = 0
    members: tuple[Member, ...] = ()

    @property
    def is_truncated(self) -> bool:
        """True if there are more members than these."""
        return self.clients > len(self.members)


class PresenceStats(NamedTuple):
    """The numbers of a channel's members at one moment.

    Attributes:
        clients: The number of members.
        users: The number of different users, all anonymous clients together being one.
    """

    clients: int
    users: int


def count_users(members: Iterable[Member]) -> int:
    """Return the number of different users, all anonymous clients together being one."""
    return len({each.user for each in members})


def member_of_key(key: str) -> Member | None:
    """Return the member that a key stands for; its `client` is empty where the key is a user's.

    None if the text is no key.
    """
    if key.startswith(_USER_KEY) and key != _USER_KEY:
        return Member("", key.removeprefix(_USER_KEY))
    if key.startswith(_ANONYMOUS_KEY) and key != _ANONYMOUS_KEY:
        return Member(key.removeprefix(_ANONYMOUS_KEY))
    return None


def read_member(text: str | bytes) -> Member | None:
    """Read the JSON of a member. None if it is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return member_of_document(document) if isinstance(document, dict) else None


def member_of_document(document: Mapping[str, object]) -> Member | None:
    """Return the member that a JSON object names. None if it names none.

    What it has to tell is left out if it is longer than a credential can have it.
    """
    client, user = document.get("client"), document.get("user")
    if not (isinstance(client, str) and isinstance(user, str)):
        return None
    return Member(client, user, _info(document.get("conn_info")), _info(document.get("chan_info")))


def read_members(texts: Iterable[str | bytes]) -> tuple[Member, ...]:
    """Read the JSON of members, and leave out what is none."""
    return tuple(member for text in texts if (member := read_member(text)) is not None)


def _info(value: object) -> bytes:
    if value is None:
        return b""
    try:
        info = dump_json(value)
    except ValueError:
        # A number that only Python reads.
        return b""
    return info if len(info) <= MAX_PAYLOAD_BYTES else b""
