"""THE table of disconnects: every close that the relay begins names one of these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

__all__ = ["MAX_REASON_BYTES", "AnyDisconnect", "ApplicationDisconnect", "Disconnect"]

MAX_REASON_BYTES = 123
"""The longest reason of a close frame (RFC 6455 section 5.5)."""


class Disconnect(Enum):
    """Why the relay closes a connection.

    The code tells a client what to do next: every code below 3000 keeps its meaning from RFC 6455 section 7.4.1 and the
    IANA registry; of our own, 4000-4499 means "reconnect", 4500-4999 means "reconnecting unchanged will not help". A
    reason has at most 123 bytes (RFC 6455 section 5.5) and never carries input of a client. These are the codes of the
    raw dialect; another dialect may have codes of its own (`wsrelay.interfaces.IDialect.close`).

    Attributes:
        code: The status code in the close frame.
        reason: The text in the close frame.
        reconnect: Whether the client should reconnect by itself.
        meaning: The line of docs/close-codes.md.
    """

    code: int
    reason: str
    reconnect: bool
    meaning: str

    def __init__(self, code: int, reason: str, reconnect: bool, meaning: str) -> None:
        self.code = code
        self.reason = reason
        self.reconnect = reconnect
        self.meaning = meaning

    PROTOCOL_ERROR = (
        1002,
        "protocol error",
        False,
        "The client broke the WebSocket protocol; the reason in the frame says how.",
    )
    INVALID_PAYLOAD = (
        1007,
        "invalid UTF-8 in a text message",
        False,
        "A text message was not valid UTF-8: send it as a binary message. Or a compressed one refers to those before "
        "it, though the client agreed to `client_no_context_takeover`; the reason says so.",
    )
    TOO_FAST = (
        1008,
        "rate limit exceeded",
        False,
        "The client sent more than `max_frames_per_second` or `max_bytes_per_second` allow. The time in which the "
        "relay did not read it counts for it.",
    )
    TOO_BIG = (
        1009,
        "message too big",
        False,
        "A message was larger than `max_message_bytes`.",
    )
    INTERNAL_ERROR = (
        1011,
        "internal error",
        True,
        "The relay failed; its log has the traceback.",
    )
    RESTART = (
        1012,
        "service restart",
        True,
        "This process is stopping: a deploy or a restart. Another one takes the reconnecting client.",
    )
    TRY_AGAIN = (
        1013,
        "not published, try again later",
        True,
        "A message could not be published because Redis was away; it may not have been delivered. A Redis that is busy "
        "closes nobody: clients that publish are read more slowly.",
    )
    SLOW = (
        4008,
        "slow consumer, reconnect",
        True,
        "The client did not read fast enough: its outbox reached `max_outbox_bytes` or `max_outbox_seconds`, and "
        "messages were lost.",
    )
    GAP = (
        4010,
        "possible message loss, reconnect",
        True,
        "The connection to Redis was interrupted while the client was subscribed, and Redis Pub/Sub keeps nothing of "
        "what it could not deliver. Not sent in namespaces with `notify_gaps = false`.",
    )
    NOT_AVAILABLE = (
        4011,
        "temporarily unavailable, reconnect",
        True,
        "A credential could not be checked, or a channel not be subscribed, because Redis, the keys or the "
        "application's hook did not answer.",
    )
    RECONNECT = (
        4012,
        "reconnect",
        True,
        "The application disconnected the client and wants it to reconnect, to be authenticated anew.",
    )
    DISABLED = (
        4013,
        "disabled, reconnect later",
        True,
        "The operator has turned websockets off ([the switch](switch.md)). Until they are on again "
        "handshakes get 503 with the explanation: reconnect with a back-off.",
    )
    CREDENTIAL = (
        4501,
        "invalid credential",
        False,
        "The client sent a credential that is not valid. Get a new one.",
    )
    CREDENTIAL_EXPIRED = (
        4502,
        "credential expired",
        False,
        "The token, or the expiry set by the application's hook, has expired. Get a new credential.",
    )
    PUBLISH_DENIED = (
        4503,
        "publishing not permitted",
        False,
        "The client sent a message on a channel where its namespace or its credential does not let it publish.",
    )
    NOT_PERMITTED = (
        4504,
        "channel not permitted",
        False,
        "The credential of the first message is valid, but not for this channel.",
    )
    REVOKED = (
        4505,
        "disconnected by the application",
        False,
        "The application disconnected the client, its user or its credential.",
    )
    BAD_REQUEST = (
        4506,
        "bad request",
        False,
        "The client sent a command that its dialect does not have, or one out of order.",
    )
    STALE = (
        4507,
        "stale",
        False,
        "The client opened a connection whose first message is its credential, and sent none in time. Send it at once.",
    )
    NOT_SUPPORTED = (
        4508,
        "not available",
        False,
        "The client sent a command that the relay does not offer, and that has no reply to say so. The raw dialect has "
        "no such command.",
    )


@dataclass(frozen=True, slots=True)
class ApplicationDisconnect:
    """A code and a reason of the application's own, with which it has connections closed. Every dialect sends them.

    Attributes:
        code: The status code, from 3000 to 4999.
        reason: The text, at most `MAX_REASON_BYTES` bytes.
    """

    code: int
    reason: str

    @property
    def reconnect(self) -> bool:
        """True if the client should reconnect by itself: in the lower half of each thousand, as with Centrifugo."""
        return self.code % 1000 < 500


AnyDisconnect: TypeAlias = Disconnect | ApplicationDisconnect
"""Why a connection is closed: a row of the table, or the application's own words."""
