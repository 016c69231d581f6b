"""Tests of clients that are opened in one step: all is as it would be step by step."""

from __future__ import annotations

from typing import Any

from tests.engine.harness import RULES, EngineCase, messages_of
from tests.engine.test_client import LeavesWhenAccepted
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.session_data import SessionData
from wsrelay.engine.client import Client
from wsrelay.engine.client_output import ClientOutput
from wsrelay.testing.connections import RecordingConnection

# The last two are accepted without a subscription: a failure then is for the connection to take.
QUERIES = ("", "subscribe=true", "history=3", "a=b", "subscribe=false", "auth=message")


class FailsWhenAccepted(RecordingConnection):
    """A connection that fails in the moment in which it is accepted."""

    def accept(self, connection_id: str | None) -> None:
        """Fail."""
        raise ZeroDivisionError


class ClosedWhenAccepted(RecordingConnection):
    """A connection that the relay closes in the moment in which it is accepted."""

    def accept(self, connection_id: str | None) -> None:
        """Accept, and be closed."""
        super().accept(connection_id)
        self.close(Disconnect.RESTART)


def state(session: Session) -> dict[str, object]:
    """Return what a session consists of, but for the rules that all share."""
    found = {name: getattr(session, name) for name in SessionData.__slots__ if name != "namespaces"}
    subscriptions = session.subscriptions.items()
    return found | {"subscriptions": {name: (each.command, each.state) for name, each in subscriptions}}


class Members:
    """Presence, as far as clients know it.

    Args:
        channel: The channel whose clients are members.
    """

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.joined: list[str] = []

    def tracks(self, channel: str) -> bool:
        """Return whether clients on a channel are members."""
        return channel == self.channel

    def subscribed(self, _client: object, channel: str, _member: object) -> None:
        """Take that a client is subscribed to a channel."""
        self.joined.append(channel)

    def unsubscribed(self, _client: object, _channel: str) -> None:
        """Take nothing."""

    def lost(self, _client: object, _code: int | None) -> None:
        """Take nothing."""


class AtOnceTests(EngineCase):
    """The same client, opened at once and step by step."""

    def opened(
        self, kind: type[RecordingConnection], channel: str, query: str, *, at_once: bool, is_confirmed: bool = True
    ) -> tuple[list[object], bool]:
        """Return what becomes of a client, and whether it was opened at once."""
        self.setUp()
        were: list[bool] = []
        way = ClientOutput._opened_at_once

        def opened_at_once(client: Client, commands: Any) -> bool:
            were.append(at_once and way(client, commands))
            return were[-1]

        with_this = self.patch(Client, "_opened_at_once", opened_at_once)
        self.authenticator.credential = None
        if is_confirmed and self.namespaces.rule(channel) is not None:
            # Somebody is there already.
            self.open(channel)
            self.broker.sink.subscribed(channel)
            were.clear()
        connection, client = self.open(channel, kind(), query=query)
        counters = self.node.counters
        found: list[object] = [state(client.session), self.broker.log[:], connection.accepted]
        self.broker.sink.publications_received([Publication(channel, b"one")])
        client.received(Message(b"from the client", False))
        self.clock.advance(0)
        found += [messages_of(connection), connection.responses, connection.disconnects]
        found += [self.node.subscriptions._channels[each].count for each in self.node.subscriptions._channels]
        found += [self.node._hub.channels(), client.connection_id, counters.requests_rejected, counters.client_messages]
        client.report_gap(channel)
        client.end_subscription(channel)
        found += [connection.disconnects[:], state(client.session)]
        client.connection_lost()
        found += [state(client.session), self.node._hub.subscriber_count(channel)]
        found += [getattr(client, name) for name in ("_credential", "_held", "_access", "_replies", "registered_as")]
        with_this.restore()
        errors = self.flushLoggedErrors(ZeroDivisionError)
        return [*found, len(errors)], any(were)

    def test_everything_is_as_if_it_had_been_opened_step_by_step(self) -> None:
        at_once: set[tuple[str, str]] = set()
        for kind in (RecordingConnection, LeavesWhenAccepted, FailsWhenAccepted, ClosedWhenAccepted):
            for channel in ("public", "talk", "room", "user:1", "closed", "token", "compressed", "nowhere", "public#1"):
                for query in QUERIES[: -2 if kind is FailsWhenAccepted else None]:
                    for is_confirmed in (True, False):
                        one, was = self.opened(kind, channel, query, at_once=True, is_confirmed=is_confirmed)
                        other, _ = self.opened(kind, channel, query, at_once=False, is_confirmed=is_confirmed)
                        self.assertEqual(one, other, (kind, channel, query, is_confirmed))
                        if was:
                            self.assertTrue(is_confirmed)
                            at_once.add((channel, query))
        names = {"public", "talk"}
        self.assertEqual(at_once, {(name, query) for name in names for query in ("", "subscribe=true", "a=b")})
        self.assertIsNotNone(RULES.rule("public#1"))

    def test_client_becomes_a_member_where_there_are_members(self) -> None:
        for channel, joined in (("public", ["public"]), ("talk", [])):
            self.setUp()
            self.join_anonymous(channel)
            members: Any = Members("public")
            self.node.presence = members
            self.assertTrue(self.open_anonymous(channel)[0].accepted)
            self.assertEqual(members.joined, joined)
