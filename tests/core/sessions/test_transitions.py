"""Tests of `wsrelay.core.sessions.transitions`: every input in every state, in both kinds of dialect."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.core.sessions.session_helpers import (
    CONNECT,
    CREDENTIAL,
    EXPIRING_USER,
    RULES,
    USER,
    connected,
    connected_by_commands,
    connecting,
    connecting_by_commands,
    open_session,
)
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.commands import (
    Connect,
    Pong,
    Publish,
    Refresh,
    RefreshSubscription,
    Subscribe,
    Unsubscribe,
    Unsupported,
)
from wsrelay.core.messaging.replies import (
    Failed,
    Published,
    Subscribed,
    SubscriptionEnded,
    SubscriptionRefreshed,
    Unsubscribed,
)
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.sessions.effects import (
    Accept,
    Authenticate,
    CheckChannelToken,
    Close,
    ConfirmRefresh,
    Effect,
    ExpireAt,
    PublishMessage,
    Reauthenticate,
    Reject,
    SendReply,
    SubscribeChannel,
    UnsubscribeChannel,
    Welcome,
)
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.states import CredentialSource, SessionState

CONNECTING, AWAITING, AUTHENTICATING, SUBSCRIBING, REJECTED, CONNECTED, CLOSING, CLOSED = SessionState

Inputs = dict[str, Callable[[Session], list[Effect]]]
States = dict[str, Callable[[], Session]]
Row = tuple[list[Effect], SessionState]
Table = dict[tuple[str, str], Row]

OUTCOMES: Inputs = {
    "authenticated": lambda session: session.authenticated(USER),
    "rejected": lambda session: session.rejected(ClientError.TOKEN),
    "rejected for now": lambda session: session.rejected(ClientError.NOT_CHECKED),
    "disconnect": lambda session: session.disconnect(Disconnect.RECONNECT),
    "subscribed": lambda session: session.subscribed("talk"),
    "subscribe_failed": lambda session: session.subscribe_failed("talk"),
    "gap": lambda session: session.gap("talk"),
    "unsubscribed": lambda session: session.unsubscribed("talk"),
    "closing": lambda session: session.closing(),
    "connection_lost": lambda session: session.connection_lost(),
}


def after(session: Session, name: str, inputs: Inputs) -> Session:
    """Return a session after one more input."""
    inputs[name](session)
    return session


# A dialect without commands

INPUTS: Inputs = {
    **OUTCOMES,
    "open": lambda session: session.open([Subscribe(0, "talk")]),
    "opened_at_once": lambda session: session.opened_at_once("talk"),
    "connect": lambda session: session.received(Connect(0, CREDENTIAL)),
    "publish": lambda session: session.received(Publish(0, None, b"x")),
    "published": lambda session: session.published(0),
    "publish_failed": lambda session: session.publish_failed(0, disconnect=Disconnect.TRY_AGAIN),
}
STATES: States = {
    "connecting": lambda: Session(RULES),
    "awaiting credential": lambda: open_session(CredentialSource.FIRST_MESSAGE, "talk")[0],
    "authenticating": lambda: open_session(CredentialSource.HANDSHAKE, "talk")[0],
    "authenticating, accepted": lambda: after(
        open_session(CredentialSource.FIRST_MESSAGE, "talk")[0], "connect", INPUTS
    ),
    "subscribing": lambda: connecting("talk"),
    "subscribing, accepted": lambda: after(
        after(open_session(CredentialSource.FIRST_MESSAGE, "talk")[0], "connect", INPUTS), "authenticated", INPUTS
    ),
    "connected": lambda: connected("talk"),
    "connected, accepted first": lambda: connected("talk", identity=USER, source=CredentialSource.FIRST_MESSAGE),
    "closing by the application": lambda: after(connected("talk"), "disconnect", INPUTS),
    "closing by the transport": lambda: after(connected("talk"), "closing", INPUTS),
    "closed by rejection": lambda: after(connecting("talk"), "rejected", INPUTS),
    "closed by the application": lambda: after(connecting("talk"), "disconnect", INPUTS),
    "closed by loss": lambda: after(connected("talk"), "connection_lost", INPUTS),
}
SUBSCRIBE_INITIAL = SubscribeChannel("talk", is_initial=True)
UNSUBSCRIBE = UnsubscribeChannel("talk")
RECONNECT = Close(Disconnect.RECONNECT)
TOO_EARLY = Close(Disconnect.PUBLISH_DENIED)


def reject(error: ClientError, *, is_accepted: bool) -> Reject:
    """Return the effect that rejects a client."""
    return Reject(error, is_accepted)


# What each input does in each state, and the state after it; what is not here has no effect and changes nothing.
TABLE: Table = {
    ("connecting", "open"): ([SUBSCRIBE_INITIAL], SUBSCRIBING),
    ("connecting", "opened_at_once"): ([Accept()], CONNECTED),
    ("connecting", "rejected"): ([reject(ClientError.TOKEN, is_accepted=False)], CLOSED),
    ("connecting", "rejected for now"): ([reject(ClientError.NOT_CHECKED, is_accepted=False)], CLOSED),
    ("connecting", "disconnect"): ([reject(ClientError.REVOKED, is_accepted=False)], CLOSED),
    ("connecting", "connection_lost"): ([], CLOSED),
    ("awaiting credential", "connect"): ([Authenticate(CREDENTIAL)], AUTHENTICATING),
    ("awaiting credential", "publish"): ([Close(Disconnect.BAD_REQUEST)], CLOSED),
    ("awaiting credential", "rejected"): ([reject(ClientError.TOKEN, is_accepted=True)], CLOSED),
    ("awaiting credential", "rejected for now"): ([reject(ClientError.NOT_CHECKED, is_accepted=True)], CLOSED),
    ("awaiting credential", "disconnect"): ([RECONNECT], CLOSED),
    ("awaiting credential", "connection_lost"): ([], CLOSED),
    ("authenticating", "authenticated"): ([SUBSCRIBE_INITIAL], SUBSCRIBING),
    ("authenticating", "rejected"): ([reject(ClientError.TOKEN, is_accepted=False)], CLOSED),
    ("authenticating", "rejected for now"): ([reject(ClientError.NOT_CHECKED, is_accepted=False)], CLOSED),
    ("authenticating", "disconnect"): ([reject(ClientError.REVOKED, is_accepted=False)], CLOSED),
    ("authenticating", "connection_lost"): ([], CLOSED),
    ("authenticating, accepted", "connect"): ([TOO_EARLY], CLOSED),
    ("authenticating, accepted", "publish"): ([TOO_EARLY], CLOSED),
    ("authenticating, accepted", "authenticated"): ([SUBSCRIBE_INITIAL], SUBSCRIBING),
    ("authenticating, accepted", "rejected"): ([reject(ClientError.TOKEN, is_accepted=True)], CLOSED),
    ("authenticating, accepted", "rejected for now"): ([reject(ClientError.NOT_CHECKED, is_accepted=True)], CLOSED),
    ("authenticating, accepted", "disconnect"): ([RECONNECT], CLOSED),
    ("authenticating, accepted", "connection_lost"): ([], CLOSED),
    ("subscribing", "subscribed"): ([Accept()], CONNECTED),
    ("subscribing", "subscribe_failed"): (
        [reject(ClientError.NOT_AVAILABLE, is_accepted=False), UNSUBSCRIBE],
        CLOSED,
    ),
    ("subscribing", "rejected"): ([reject(ClientError.TOKEN, is_accepted=False), UNSUBSCRIBE], CLOSED),
    ("subscribing", "rejected for now"): (
        [reject(ClientError.NOT_CHECKED, is_accepted=False), UNSUBSCRIBE],
        CLOSED,
    ),
    ("subscribing", "unsubscribed"): ([reject(ClientError.REVOKED, is_accepted=False), UNSUBSCRIBE], CLOSED),
    ("subscribing", "disconnect"): ([reject(ClientError.REVOKED, is_accepted=False), UNSUBSCRIBE], CLOSED),
    ("subscribing", "connection_lost"): ([UNSUBSCRIBE], CLOSED),
    ("subscribing, accepted", "connect"): ([TOO_EARLY, UNSUBSCRIBE], CLOSED),
    ("subscribing, accepted", "publish"): ([TOO_EARLY, UNSUBSCRIBE], CLOSED),
    ("subscribing, accepted", "subscribed"): ([SendReply(Subscribed(0, "talk"))], CONNECTED),
    ("subscribing, accepted", "subscribe_failed"): (
        [reject(ClientError.NOT_AVAILABLE, is_accepted=True), UNSUBSCRIBE],
        CLOSED,
    ),
    ("subscribing, accepted", "rejected"): ([reject(ClientError.TOKEN, is_accepted=True), UNSUBSCRIBE], CLOSED),
    ("subscribing, accepted", "rejected for now"): (
        [reject(ClientError.NOT_CHECKED, is_accepted=True), UNSUBSCRIBE],
        CLOSED,
    ),
    ("subscribing, accepted", "unsubscribed"): ([reject(ClientError.REVOKED, is_accepted=True), UNSUBSCRIBE], CLOSED),
    ("subscribing, accepted", "disconnect"): ([RECONNECT, UNSUBSCRIBE], CLOSED),
    ("subscribing, accepted", "connection_lost"): ([UNSUBSCRIBE], CLOSED),
}
WHEN_CONNECTED: dict[str, Row] = {
    "connect": ([Close(Disconnect.BAD_REQUEST)], CLOSING),
    "publish": ([PublishMessage(0, "talk", b"x")], CONNECTED),
    "publish_failed": ([Close(Disconnect.TRY_AGAIN)], CLOSING),
    "gap": ([Close(Disconnect.GAP)], CLOSING),
    "unsubscribed": ([Close(Disconnect.REVOKED)], CLOSING),
    "rejected": ([Close(Disconnect.CREDENTIAL)], CLOSING),
    "rejected for now": ([Close(Disconnect.NOT_AVAILABLE)], CLOSING),
    "disconnect": ([RECONNECT], CLOSING),
    "closing": ([], CLOSING),
    "connection_lost": ([UNSUBSCRIBE], CLOSED),
}
TABLE |= {
    ("closing by the application", "connection_lost"): ([UNSUBSCRIBE], CLOSED),
    ("closing by the transport", "connection_lost"): ([UNSUBSCRIBE], CLOSED),
}
TABLE |= {
    (state, name): row for state in ("connected", "connected, accepted first") for name, row in WHEN_CONNECTED.items()
}

# A dialect with commands

COMMAND_INPUTS: Inputs = {
    **OUTCOMES,
    "open": lambda session: session.open([]),
    "connect": lambda session: session.received(CONNECT),
    "subscribe": lambda session: session.received(Subscribe(2, "talk")),
    "unsubscribe": lambda session: session.received(Unsubscribe(3, "talk")),
    "publish": lambda session: session.received(Publish(4, "talk", b"x")),
    "unsupported": lambda session: session.received(Unsupported(5, ClientError.NOT_SUPPORTED)),
    "pong": lambda session: session.received(Pong()),
    "published": lambda session: session.published(4),
    "publish_failed": lambda session: session.publish_failed(4),
    "refresh": lambda session: session.received(Refresh(6, "a.b.c")),
    "refresh_subscription": lambda session: session.received(RefreshSubscription(7, "talk", "a.b.c")),
    "subscribe_by_server": lambda session: session.subscribe_by_server(ServerSubscription("talk"), "5-0.*"),
    "expires": lambda session: session.expires(100.0),
    "refreshed": lambda session: session.refreshed(6, EXPIRING_USER),
    "subscription_refreshed": lambda session: session.subscription_refreshed(7, 60),
    "refresh_failed": lambda session: session.refresh_failed(6, ClientError.TOKEN_MISMATCH),
    "subscription_expired": lambda session: session.subscription_expired("talk"),
}
COMMANDS = (
    *("connect", "subscribe", "unsubscribe", "publish", "unsupported", "pong"),
    *("refresh", "refresh_subscription"),
)


def awaiting_connect() -> Session:
    """Return a session whose connect is still to come."""
    return after(Session(RULES, Acceptance.AT_ONCE), "open", COMMAND_INPUTS)


COMMAND_STATES: States = {
    "connecting": lambda: Session(RULES, Acceptance.AT_ONCE),
    "awaiting credential": awaiting_connect,
    "authenticating": connecting_by_commands,
    "rejected": lambda: after(connecting_by_commands(), "rejected for now", COMMAND_INPUTS),
    "connected": connected_by_commands,
    "connected, subscribing": lambda: after(connected_by_commands(), "subscribe", COMMAND_INPUTS),
    "connected, subscribed": lambda: connected_by_commands("talk"),
    "closing by the application": lambda: after(connected_by_commands("talk"), "disconnect", COMMAND_INPUTS),
    "closing by the transport": lambda: after(connected_by_commands("talk"), "closing", COMMAND_INPUTS),
    "closing by a command": lambda: after(connected_by_commands("talk"), "connect", COMMAND_INPUTS),
    "closing by a token": lambda: after(connected_by_commands("talk"), "refresh_failed", COMMAND_INPUTS),
    "closed by rejection": lambda: after(connecting_by_commands(), "rejected", COMMAND_INPUTS),
    "closed by the application": lambda: after(connecting_by_commands(), "disconnect", COMMAND_INPUTS),
    "closed by loss": lambda: after(connected_by_commands("talk"), "connection_lost", COMMAND_INPUTS),
}
BAD_REQUEST = Close(Disconnect.BAD_REQUEST)
FAILED_FOR_NOW = SendReply(Failed(2, ClientError.NOT_AVAILABLE))
COMMAND_TABLE: Table = {
    ("connecting", "open"): ([Accept()], AWAITING),
    ("connecting", "rejected"): ([reject(ClientError.TOKEN, is_accepted=False)], CLOSED),
    ("connecting", "rejected for now"): ([reject(ClientError.NOT_CHECKED, is_accepted=False)], CLOSED),
    ("connecting", "disconnect"): ([reject(ClientError.REVOKED, is_accepted=False)], CLOSED),
    ("connecting", "connection_lost"): ([], CLOSED),
    **{("awaiting credential", name): ([BAD_REQUEST], CLOSED) for name in COMMANDS},
    ("awaiting credential", "connect"): ([Authenticate(CREDENTIAL)], AUTHENTICATING),
    ("awaiting credential", "rejected"): ([reject(ClientError.TOKEN, is_accepted=True)], CLOSED),
    ("awaiting credential", "rejected for now"): ([reject(ClientError.NOT_CHECKED, is_accepted=True)], CLOSED),
    ("awaiting credential", "disconnect"): ([RECONNECT], CLOSED),
    ("awaiting credential", "connection_lost"): ([], CLOSED),
    ("authenticating", "authenticated"): ([Welcome(1)], CONNECTED),
    ("authenticating", "rejected"): ([reject(ClientError.TOKEN, is_accepted=True)], CLOSED),
    ("authenticating", "rejected for now"): ([SendReply(Failed(1, ClientError.NOT_CHECKED))], REJECTED),
    ("authenticating", "disconnect"): ([RECONNECT], CLOSED),
    ("authenticating", "connection_lost"): ([], CLOSED),
    ("rejected", "rejected"): ([reject(ClientError.TOKEN, is_accepted=True)], CLOSED),
    ("rejected", "rejected for now"): ([reject(ClientError.NOT_CHECKED, is_accepted=True)], CLOSED),
    ("rejected", "disconnect"): ([RECONNECT], CLOSED),
    ("rejected", "connection_lost"): ([], CLOSED),
}
COMMANDS_WHEN_CONNECTED: dict[str, Row] = {
    "connect": ([BAD_REQUEST], CLOSING),
    "subscribe": ([SendReply(Failed(2, ClientError.ALREADY_SUBSCRIBED))], CONNECTED),
    "publish": ([SendReply(Failed(4, ClientError.PUBLISH_DENIED))], CONNECTED),
    "unsupported": ([SendReply(Failed(5, ClientError.NOT_SUPPORTED))], CONNECTED),
    "published": ([SendReply(Published(4))], CONNECTED),
    "publish_failed": ([SendReply(Failed(4, ClientError.NOT_AVAILABLE))], CONNECTED),
    "refresh": ([Reauthenticate(6, "a.b.c")], CONNECTED),
    "refresh_subscription": ([SendReply(Failed(7, ClientError.SUBSCRIBE_DENIED))], CONNECTED),
    "expires": ([ConfirmRefresh(0), ExpireAt(125.0)], CONNECTED),
    "refreshed": ([ConfirmRefresh(6), ExpireAt(125.0)], CONNECTED),
    "subscription_refreshed": ([SendReply(SubscriptionRefreshed(7, 60))], CONNECTED),
    "refresh_failed": ([Close(Disconnect.CREDENTIAL)], CLOSING),
    "rejected": ([Close(Disconnect.CREDENTIAL)], CLOSING),
    "rejected for now": ([Close(Disconnect.NOT_AVAILABLE)], CLOSING),
    "disconnect": ([RECONNECT], CLOSING),
    "closing": ([], CLOSING),
    "connection_lost": ([UNSUBSCRIBE], CLOSED),
}
COMMAND_TABLE |= {
    (state, name): row
    for state in ("connected", "connected, subscribing", "connected, subscribed")
    for name, row in COMMANDS_WHEN_CONNECTED.items()
}
COMMAND_TABLE |= {
    (state, "connection_lost"): ([UNSUBSCRIBE], CLOSED) for state in COMMAND_STATES if state.startswith("closing")
}
COMMAND_TABLE |= {
    ("connected", "subscribe"): ([SubscribeChannel("talk", is_initial=False)], CONNECTED),
    ("connected", "subscribe_by_server"): ([SubscribeChannel("talk", is_initial=True, since="5-0.*")], CONNECTED),
    ("connected", "unsubscribe"): ([SendReply(Unsubscribed(3))], CONNECTED),
    ("connected", "connection_lost"): ([], CLOSED),
    ("connected, subscribing", "subscribed"): ([SendReply(Subscribed(2, "talk"))], CONNECTED),
    ("connected, subscribing", "subscribe_failed"): ([UNSUBSCRIBE, FAILED_FOR_NOW], CONNECTED),
    ("connected, subscribing", "unsubscribed"): ([UNSUBSCRIBE, FAILED_FOR_NOW], CONNECTED),
    ("connected, subscribing", "unsubscribe"): (
        [UNSUBSCRIBE, FAILED_FOR_NOW, SendReply(Unsubscribed(3))],
        CONNECTED,
    ),
    ("connected, subscribed", "publish"): ([PublishMessage(4, "talk", b"x")], CONNECTED),
    ("connected, subscribed", "unsubscribe"): ([UNSUBSCRIBE, SendReply(Unsubscribed(3))], CONNECTED),
    ("connected, subscribed", "refresh_subscription"): ([CheckChannelToken(7, "talk", "a.b.c")], CONNECTED),
    ("connected, subscribed", "subscription_expired"): (
        [UNSUBSCRIBE, SendReply(SubscriptionEnded("talk", Disconnect.CREDENTIAL_EXPIRED))],
        CONNECTED,
    ),
    ("connected, subscribed", "gap"): (
        [UNSUBSCRIBE, SendReply(SubscriptionEnded("talk", Disconnect.GAP))],
        CONNECTED,
    ),
    ("connected, subscribed", "unsubscribed"): (
        [UNSUBSCRIBE, SendReply(SubscriptionEnded("talk", Disconnect.REVOKED))],
        CONNECTED,
    ),
}


class TableTests(SynchronousTestCase):
    """Every input in every state."""

    def check_states(self, states: States) -> None:
        for name, make in states.items():
            self.assertEqual(make().state.value, name.partition(",")[0].partition(" by")[0], name)

    def check_table(self, states: States, inputs: Inputs, table: Table) -> None:
        self.assertLessEqual(set(table), {(state, name) for state in states for name in inputs})
        for state, make in states.items():
            for name, step in inputs.items():
                session = make()
                before, channels = session.state, session.channels
                effects = step(session)
                self.assertEqual((effects, session.state), table.get((state, name), ([], before)), (state, name))
                self.assertEqual(
                    (session.awaits_credential, session.is_rejected, session.is_closing, session.is_closed),
                    (
                        session.state is AWAITING,
                        session.state is REJECTED,
                        session.state is CLOSING,
                        session.state is CLOSED,
                    ),
                )
                if (state, name) not in table:
                    self.assertEqual(session.channels, channels, (state, name))

    def test_sessions_without_commands_are_in_the_state_of_their_name(self) -> None:
        self.check_states(STATES)

    def test_sessions_with_commands_are_in_the_state_of_their_name(self) -> None:
        self.check_states(COMMAND_STATES)

    def test_both_kinds_together_have_every_state_and_every_input(self) -> None:
        self.assertEqual({make().state for make in (STATES | COMMAND_STATES).values()}, set(SessionState))
        public = {name for name, value in vars(Session).items() if callable(value) and not name.startswith("_")}
        # It only says which input comes next.
        public.remove("channel_at_once")
        commands = {*COMMANDS, "rejected for now"}
        self.assertEqual((set(INPUTS) | set(COMMAND_INPUTS)) - commands | {"received"}, public)

    def test_every_input_in_every_state_without_commands_does_what_the_table_says(self) -> None:
        self.check_table(STATES, INPUTS, TABLE)

    def test_every_input_in_every_state_with_commands_does_what_the_table_says(self) -> None:
        self.check_table(COMMAND_STATES, COMMAND_INPUTS, COMMAND_TABLE)
