"""The states of a session, and where a client's credential comes from."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CredentialSource", "SessionState"]


class CredentialSource(StrEnum):
    """Where a client's credential comes from.

    Attributes:
        NONE: The client shows none, and is anonymous.
        HANDSHAKE: Its handshake holds one, or the application is asked about the handshake.
        FIRST_MESSAGE: Its first message will be one.
    """

    NONE = "none"
    HANDSHAKE = "handshake"
    FIRST_MESSAGE = "first message"


class SessionState(StrEnum):
    """The states of a session.

    Attributes:
        CONNECTING: Nothing has happened yet.
        AWAITING_CREDENTIAL: The handshake is complete, and the client's first message is its credential.
        AUTHENTICATING: The client is being authenticated.
        SUBSCRIBING: The channels of its handshake are being subscribed; in dialects that subscribe by commands those
            that its credential names, before its connect is answered.
        REJECTED: The client's connect failed, and it may try again on another connection: it has been told so.
        CONNECTED: Commands are carried out.
        CLOSING: The client was connected, and its connection is being closed: nothing is carried out any more, and what
            it is subscribed to is released when the connection has ended.
        CLOSED: Nothing has any effect any more.
    """

    CONNECTING = "connecting"
    AWAITING_CREDENTIAL = "awaiting credential"
    AUTHENTICATING = "authenticating"
    SUBSCRIBING = "subscribing"
    REJECTED = "rejected"
    CONNECTED = "connected"
    CLOSING = "closing"
    CLOSED = "closed"
