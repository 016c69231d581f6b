"""The ends of a session: the rejection of its client, the close of its connection, and the release of its channels."""

from __future__ import annotations

from wsrelay.core.messaging.replies import Failed
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.core.sessions.effects import Close, Effect, Reject, SendReply, UnsubscribeChannel
from wsrelay.core.sessions.session_data import NO_SUBSCRIPTIONS, SessionData
from wsrelay.core.sessions.states import SessionState

__all__ = ["begin_to_close", "close", "close_rejected", "disconnect", "reject", "release"]


def reject(data: SessionData, error: ClientError) -> list[Effect]:
    """End a session that is not connected. A client whose connect may succeed later is told so, and has to leave."""
    pending = data.pending_connect
    effects = release(data)
    if pending is not None and pending.id and (error.is_temporary or error.wants_new_credential):
        data.state = SessionState.REJECTED
        return [SendReply(Failed(pending.id, error)), *effects]
    data.state = SessionState.CLOSED
    return [Reject(error, data.is_accepted), *effects]


def disconnect(data: SessionData, disconnect: AnyDisconnect) -> list[Effect]:
    """End a session that is not connected, by a close where its handshake is complete."""
    if not data.is_accepted:
        return reject(data, ClientError.REVOKED)
    effects = release(data)
    data.state = SessionState.CLOSED
    return [Close(disconnect), *effects]


def close_rejected(data: SessionData, error: ClientError) -> list[Effect]:
    """Close a connection whose client may not be here any more."""
    return close(data, error.disconnect)


def close(data: SessionData, disconnect: AnyDisconnect) -> list[Effect]:
    """Close the connection of a connected client, of whom nothing is carried out any more."""
    data.state = SessionState.CLOSING
    return [Close(disconnect)]


def begin_to_close(data: SessionData) -> list[Effect]:
    """Take that the transport closes the connection of a connected client."""
    data.state = SessionState.CLOSING
    return []


def release(data: SessionData) -> list[Effect]:
    """Unsubscribe from every channel, exactly once."""
    settled, data.settled = data.settled, ()
    subscriptions, data.subscriptions, data.pending_connect = data.subscriptions, NO_SUBSCRIPTIONS, None
    return [
        *(UnsubscribeChannel(channel) for channel in settled),
        *(effect for each in subscriptions.values() for effect in each.release()),
    ]
