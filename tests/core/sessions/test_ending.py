"""Tests of `wsrelay.core.sessions.ending`: disconnects in every state."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.core.sessions.session_helpers import (
    CONNECT,
    CREDENTIAL,
    RULES,
    USER,
    connected,
    connected_by_commands,
    connecting,
    connecting_by_commands,
    open_session,
)
from wsrelay.core.messaging.commands import Connect, Publish
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.effects import Close, Effect, Reject, UnsubscribeChannel
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.states import CredentialSource


class DisconnectTests(SynchronousTestCase):
    """The application ends the connection."""

    def check(self, session: Session, *expected: Effect, is_closed: bool) -> None:
        self.assertEqual(session.disconnect(Disconnect.RECONNECT), list(expected))
        self.assertEqual(session.is_closed, is_closed)

    def test_handshake_that_has_no_answer_is_rejected_and_its_channels_are_released(self) -> None:
        revoked = Reject(ClientError.REVOKED, is_accepted=False)
        self.check(Session(RULES), revoked, is_closed=True)
        self.check(open_session(CredentialSource.HANDSHAKE, "a")[0], revoked, is_closed=True)
        self.check(connecting("a"), revoked, UnsubscribeChannel("a"), is_closed=True)

    def test_accepted_connection_that_is_not_connected_is_closed_and_its_channels_are_released(self) -> None:
        close = Close(Disconnect.RECONNECT)
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "a")
        self.check(session, close, is_closed=True)
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "a")
        session.received(CONNECT)
        self.check(session, close, is_closed=True)
        session, _ = open_session(CredentialSource.FIRST_MESSAGE, "a")
        session.received(Connect(0, CREDENTIAL))
        session.authenticated(USER)
        self.check(session, close, UnsubscribeChannel("a"), is_closed=True)
        session = connecting_by_commands()
        session.received(Publish(2, "talk", b"x"))
        self.check(session, close, is_closed=True)
        self.assertEqual(session.authenticated(USER), [])

    def test_rejected_connection_is_closed(self) -> None:
        session = connecting_by_commands()
        session.rejected(ClientError.TICKET)
        self.check(session, Close(Disconnect.RECONNECT), is_closed=True)

    def test_connected_client_is_closed_and_its_channels_are_released_when_it_is_lost(self) -> None:
        for session in (connected("a"), connected_by_commands("a")):
            self.check(session, Close(Disconnect.RECONNECT), is_closed=False)
            self.assertEqual(session.connection_lost(), [UnsubscribeChannel("a")])

    def test_closed_session_stays_so(self) -> None:
        session = connected("a")
        session.connection_lost()
        self.check(session, is_closed=True)
