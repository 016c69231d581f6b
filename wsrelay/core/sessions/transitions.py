"""The machine of a session as a table: for each state and input the rule that makes the effects.

What is not here has no effect.
"""

from __future__ import annotations

from collections.abc import Callable

from wsrelay.core.sessions import commands, connecting, ending, subscribing
from wsrelay.core.sessions.effects import Effect
from wsrelay.core.sessions.states import SessionState

__all__ = ["TRANSITIONS"]

TRANSITIONS: dict[SessionState, dict[str, Callable[..., list[Effect]]]] = {
    SessionState.CONNECTING: {
        "open": connecting.open_handshake,
        "opened_at_once": connecting.opened_at_once,
        "rejected": ending.reject,
        "disconnect": ending.disconnect,
    },
    SessionState.AWAITING_CREDENTIAL: {
        "received": connecting.received_first,
        "rejected": ending.reject,
        "disconnect": ending.disconnect,
    },
    SessionState.REJECTED: {
        "rejected": ending.reject,
        "disconnect": ending.disconnect,
    },
    SessionState.AUTHENTICATING: {
        "received": connecting.received_before_connected,
        "authenticated": connecting.authenticated,
        "rejected": ending.reject,
        "disconnect": ending.disconnect,
    },
    SessionState.SUBSCRIBING: {
        "received": connecting.received_before_connected,
        "subscribed": connecting.subscribed,
        "subscribe_failed": connecting.subscribe_failed,
        "gap": connecting.gap,
        "unsubscribed": connecting.unsubscribed,
        "subscribe_by_server": subscribing.subscribe_by_server,
        "expires": commands.expires,
        "rejected": ending.reject,
        "disconnect": ending.disconnect,
    },
    SessionState.CONNECTED: {
        "received": commands.received,
        "subscribed": subscribing.subscribed,
        "subscribe_failed": subscribing.subscribe_failed,
        "gap": subscribing.gap,
        "unsubscribed": subscribing.unsubscribed,
        "subscribe_by_server": subscribing.subscribe_by_server,
        "expires": commands.expires,
        "refreshed": commands.refreshed,
        "subscription_refreshed": commands.subscription_refreshed,
        "refresh_failed": commands.refresh_failed,
        "subscription_expired": subscribing.subscription_expired,
        "published": commands.published,
        "publish_failed": commands.publish_failed,
        "rejected": ending.close_rejected,
        "disconnect": ending.close,
        "closing": ending.begin_to_close,
    },
    SessionState.CLOSING: {},
    SessionState.CLOSED: {},
}
"""By state, and by the name of the input in `wsrelay.core.sessions.session.Session`."""
