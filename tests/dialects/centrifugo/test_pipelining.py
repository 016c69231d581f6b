"""Tests of the Centrifugo dialect with a client: several commands in one message, as SDKs send them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.frames import read_frames
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects import CENTRIFUGO
from wsrelay.engine.node import Node
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.metrics.counters import Counters
from wsrelay.testing.authenticators import AnonymousAuthenticator
from wsrelay.testing.brokers import FakeBroker
from wsrelay.testing.connections import RecordingConnection

CONNECT: dict[str, Any] = {"id": 1, "connect": {}}


def subscribe(command_id: int, channel: str) -> dict[str, Any]:
    """Return a subscribe command."""
    return {"id": command_id, "subscribe": {"channel": channel}}


def unsubscribe(command_id: int, channel: str) -> dict[str, Any]:
    """Return an unsubscribe command."""
    return {"id": command_id, "unsubscribe": {"channel": channel}}


class SlowAuthenticator(AnonymousAuthenticator):
    """Authenticates when the test says so.

    Attributes:
        outcome: Fires with the identity, or fails.
    """

    def __init__(self) -> None:
        self.outcome: Deferred[Identity] = Deferred()

    def requires_authentication(self, _handshake: object) -> bool:
        """See `IAuthenticator.requires_authentication`."""
        return True

    def authenticate(self, *_arguments: object) -> Deferred[Identity]:
        """See `IAuthenticator.authenticate`."""
        return self.outcome


class PipeliningTests(SynchronousTestCase):
    """A client of the dialect, on a broker whose every answer the test gives."""

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.counters = Counters()
        self.authenticator = SlowAuthenticator()
        self.node = Node(
            self.broker,
            Namespaces([Namespace("all", ("*",), publish=Access.PUBLIC)]),
            Clock(),
            self.authenticator,
            rng=Random(7),
            counters=self.counters,
            rejections=RejectionLog(self.counters, lambda: 0.0),
            now=lambda: 0.0,
        )
        self.connection = RecordingConnection(CENTRIFUGO.dialect)
        self.client = self.node.client(self.connection)
        self.client.open(Handshake("/connection/websocket", "192.0.2.1", connection="5f0c"))

    def send(self, *commands: dict[str, Any]) -> None:
        """Send commands in one message."""
        self.client.received(Message(b"\n".join(json.dumps(command).encode() for command in commands)))

    def replies(self) -> Sequence[dict[str, Any]]:
        """Return what the client has been sent since the last call."""
        frames = read_frames(b"".join(self.connection.sent))
        self.connection.sent.clear()
        return [json.loads(line) for frame in frames for line in bytes(frame.data).split(b"\n")]

    def connect(self) -> None:
        """Connect, and read the reply."""
        self.send(CONNECT)
        self.authenticator.outcome.callback(ANONYMOUS)
        self.assertEqual([set(each) for each in self.replies()], [{"id", "connect"}])

    def check_released(self) -> None:
        """Lose the connection; then no channel is held for it."""
        self.client.connection_lost()
        self.assertEqual([wanted.count for wanted in self.node.subscriptions._channels.values() if wanted.count], [])
        self.node.stop()

    def test_subscribes_behind_a_slow_connect_are_carried_out_in_order_when_it_succeeds(self) -> None:
        self.send(CONNECT, subscribe(2, "a"), subscribe(3, "b"))
        self.send(subscribe(4, "c"), {})
        self.assertEqual((self.replies(), self.broker.log), ([], []))
        self.authenticator.outcome.callback(ANONYMOUS)
        self.assertEqual(self.broker.log, [("subscribe", ["a"]), ("subscribe", ["b"]), ("subscribe", ["c"])])
        (connected,) = self.replies()
        self.assertEqual((connected["id"], connected["connect"]["client"]), (1, "5f0c"))
        for channel in ("c", "a", "b"):
            self.node.subscribed(channel)
        self.assertEqual(self.replies(), [{"id": each, "subscribe": {}} for each in (4, 2, 3)])
        self.check_released()

    def test_subscribes_behind_a_connect_that_fails_for_now_are_not_carried_out(self) -> None:
        self.send(CONNECT, subscribe(2, "a"))
        self.authenticator.outcome.errback(RejectedError(ClientError.NOT_CHECKED))
        error = {"code": 100, "message": "internal server error", "temporary": True}
        self.assertEqual((self.replies(), self.broker.log), ([{"id": 1, "error": error}], []))
        self.assertEqual(self.connection.disconnects, [])
        self.send(subscribe(3, "a"), subscribe(4, "b"))
        # They may have been under way when the client was told.
        self.assertEqual((self.replies(), self.connection.disconnects, self.broker.log), ([], [], []))
        self.check_released()

    def test_unsubscribe_and_subscribe_in_one_message_leave_the_channel_subscribed(self) -> None:
        self.connect()
        self.send(subscribe(2, "a"))
        self.node.subscribed("a")
        self.send(unsubscribe(3, "a"), subscribe(4, "a"))
        self.assertEqual(
            self.replies(),
            [{"id": 2, "subscribe": {}}, {"id": 3, "unsubscribe": {}}, {"id": 4, "subscribe": {}}],
        )
        self.node.publications_received([Publication("a", b"1")])
        self.assertEqual(self.replies(), [{"push": {"channel": "a", "pub": {"data": 1}}}])
        self.check_released()

    def test_unsubscribe_that_overtakes_a_subscribe_cancels_that_one_and_not_the_next(self) -> None:
        self.connect()
        self.send(subscribe(2, "a"))
        self.send(unsubscribe(3, "a"), subscribe(4, "a"))
        error = {"code": 100, "message": "internal server error", "temporary": True}
        self.assertEqual(self.replies(), [{"id": 2, "error": error}, {"id": 3, "unsubscribe": {}}])
        self.node.subscribed("a")
        self.assertEqual(self.replies(), [{"id": 4, "subscribe": {}}])
        self.assertEqual(self.client.session.channels, ("a",))
        self.check_released()

    def test_everything_in_one_message_is_answered_in_order(self) -> None:
        self.send(CONNECT, subscribe(2, "a"), unsubscribe(3, "a"), subscribe(4, "a"), subscribe(5, "a"))
        self.authenticator.outcome.callback(ANONYMOUS)
        self.assertEqual([each["id"] for each in self.replies()], [1, 2, 3, 5])
        self.node.subscribed("a")
        self.assertEqual(self.replies(), [{"id": 4, "subscribe": {}}])
        self.check_released()

    def test_nothing_is_carried_out_behind_a_command_that_closes(self) -> None:
        self.connect()
        self.send(subscribe(2, "a"), CONNECT, subscribe(3, "b"), {"id": 4, "publish": {"channel": "a", "data": 1}})
        self.assertEqual(self.connection.disconnects, [Disconnect.BAD_REQUEST])
        self.assertEqual((self.broker.log, self.broker.published), ([("subscribe", ["a"])], []))
        self.check_released()

    def test_gap_notice_that_comes_while_subscribing_again_changes_nothing(self) -> None:
        self.connect()
        self.send(subscribe(2, "a"))
        self.client.report_gap("a")
        self.node.subscribed("a")
        self.assertEqual(self.replies(), [{"id": 2, "subscribe": {}}])
        self.client.report_gap("a")
        (push,) = self.replies()
        self.assertEqual(push["push"]["unsubscribe"]["code"], 2500)
        self.check_released()
