"""THE table of close codes: every close that begins on this side names one of these."""

from __future__ import annotations

from enum import Enum

__all__ = ["Disconnect"]


class Disconnect(Enum):
    """Why a connection is closed by the relay.

    The code tells a client what to do next: every code below 3000 keeps its meaning from RFC 6455 section 7.4.1
    and the IANA registry; of our own, 4000-4499 means "come back", 4500-4999 means "coming back unchanged will
    not help". A reason is at most 123 bytes (RFC 6455 section 5.5) and never carries what a client sent.

    Attributes:
        code: The status code in the close frame.
        reason: The text in the close frame.
        reconnect: Whether the client should come back by itself.
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
        "A text message was not valid UTF-8. Send it as a binary message.",
    )
    TOO_FAST = (
        1008,
        "too much at once: slow down",
        False,
        "The client sent more than `max_frames_per_second` or `max_bytes_per_second` allow, or than may wait for what "
        "the application's hook says about it.",
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
        "not published: try again later",
        True,
        "A message could not be published because Redis was away or behind; it may not have been delivered.",
    )
    SLOW = (
        4008,
        "too slow: messages were lost, come back",
        True,
        "The client did not read fast enough and its outbox reached `max_outbox_bytes`.",
    )
    GAP = (
        4010,
        "messages may have been lost: come back",
        True,
        "The link to Redis was interrupted while the client listened, and Redis keeps nothing of what it could not "
        "deliver. A namespace with `notify_gaps = false` does without.",
    )
    NOT_AVAILABLE = (
        4011,
        "cannot be found out now: come back",
        True,
        "A credential could not be checked, or a channel not be subscribed, because Redis, the keys or the "
        "application's hook did not answer.",
    )
    RECONNECT = (
        4012,
        "come back",
        True,
        "The application had the client disconnected and wants it to come back, to be looked at anew.",
    )
    CREDENTIAL = (
        4501,
        "no valid credential",
        False,
        "The client was to send a credential as its first message, and sent none in time or one that is not valid. Get "
        "a new one.",
    )
    CREDENTIAL_EXPIRED = (
        4502,
        "the credential has expired: get a new one",
        False,
        "What vouched for the client, its token or the application's hook, said until when, and that has come.",
    )
    PUBLISH_DENIED = (
        4503,
        "publishing is not permitted on this channel",
        False,
        "The client sent a message on a channel where its namespace or its credential does not let it publish.",
    )
    NOT_PERMITTED = (
        4504,
        "this channel is not permitted",
        False,
        "The credential of the first message is good, but not for this channel.",
    )
    REVOKED = (
        4505,
        "disconnected by the application",
        False,
        "The application had the client, its user or its credential disconnected.",
    )
