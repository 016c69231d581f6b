"""Sessions in a state of one's choice, under one set of rules."""

from __future__ import annotations

from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.commands import Connect, Subscribe
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.sessions.effects import Effect
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.states import CredentialSource

__all__ = [
    "CONNECT",
    "CREDENTIAL",
    "EXPIRING_USER",
    "RULES",
    "USER",
    "connected",
    "connected_by_commands",
    "connecting",
    "connecting_by_commands",
    "open_session",
]

RULES = Namespaces(
    [
        Namespace("read", ("a", "b", "many:*")),
        Namespace("talk", ("talk",), publish=Access.PUBLIC),
        Namespace("write-only", ("inbox",), subscribe=Access.NOBODY, publish=Access.PUBLIC),
        Namespace("members", ("members",), subscribe=Access.AUTHENTICATED, publish=Access.AUTHENTICATED),
        Namespace("own", ("user:{sub}",), subscribe=Access.AUTHENTICATED, publish=Access.TOKEN),
    ]
)
USER = Identity("42")
# Expired or not: the machine knows no time.
EXPIRING_USER = Identity("42", expires=100.0)
CREDENTIAL = Credential(CredentialKind.TICKET, Secret("0123456789abcdef"))
CONNECT = Connect(1, CREDENTIAL)


def open_session(source: CredentialSource, *channels: str) -> tuple[Session, list[Effect]]:
    """Return a session whose handshake asks for channels, and the effects of that."""
    session = Session(RULES)
    return session, session.open([Subscribe(0, channel) for channel in channels], source)


def connecting(*channels: str) -> Session:
    """Return a session without credential whose channels are being subscribed."""
    return open_session(CredentialSource.NONE, *channels)[0]


def connected(
    *channels: str, identity: Identity = ANONYMOUS, source: CredentialSource = CredentialSource.NONE
) -> Session:
    """Return a session that is connected and subscribed to the channels of its handshake."""
    session, _ = open_session(source, *channels)
    if session.awaits_credential:
        session.received(Connect(0, CREDENTIAL))
    session.authenticated(identity)
    for channel in channels:
        session.subscribed(channel)
    return session


def connecting_by_commands() -> Session:
    """Return a session of a dialect with commands whose connect is under way."""
    session = Session(RULES, Acceptance.AT_ONCE)
    session.open([])
    session.received(CONNECT)
    return session


def connected_by_commands(*channels: str, identity: Identity = USER) -> Session:
    """Return a session of a dialect with commands that is connected, and subscribed to channels."""
    session = connecting_by_commands()
    session.authenticated(identity)
    for number, channel in enumerate(channels, 100):
        session.received(Subscribe(number, channel))
        session.subscribed(channel)
    return session
