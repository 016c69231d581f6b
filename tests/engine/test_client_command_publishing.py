"""Tests of `wsrelay.engine.client`: publishing by commands, which have replies, in Centrifugo's dialect."""

from __future__ import annotations

from unittest.mock import Mock, patch

from twisted.internet.defer import Deferred, fail, succeed

from tests.engine.harness import EPOCH, USER, CentrifugoCase
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.messaging.publications import Publication, PublishResult
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, RejectedError
from wsrelay.core.sessions.session_data import REFRESH_GRACE_SECONDS
from wsrelay.engine.client import Client
from wsrelay.engine.publish_queue import MAX_ASKED
from wsrelay.testing.connections import RecordingConnection


def publish(command_id: int, channel: str = "room", data: object = "hi") -> dict[str, object]:
    """Return a publish command."""
    return {"id": command_id, "publish": {"channel": channel, "data": data}}


class PublishCase(CentrifugoCase):
    """Clients that are subscribed to a channel."""

    def connect_to(self, channel: str = "room", identity: Identity = USER) -> tuple[RecordingConnection, Client]:
        """Return a client that is connected and subscribed to a channel."""
        connection, client = self.connect(identity)
        self.subscribe(connection, client, channel)
        return connection, client


class PublishTests(PublishCase):
    """Messages that the rules of the namespace decide about."""

    def test_reply_comes_when_the_broker_has_taken_the_message(self) -> None:
        connection, client = self.connect_to()
        self.broker.publishing = taken = Deferred[PublishResult]()
        self.send(client, publish(2))
        self.assertEqual(self.take(connection), [])
        taken.callback(PublishResult("1-0"))
        self.assertEqual(self.take(connection), [{"id": 2, "publish": {}}])

    def test_message_is_published_as_json(self) -> None:
        connection, client = self.connect_to()
        self.send(client, publish(2, "room", {"a": [1, "x"]}))
        self.assertEqual(self.broker.published, [Publication("room", b'{"a":[1,"x"]}')])
        self.assertEqual(self.take(connection), [{"id": 2, "publish": {}}])

    def test_client_that_is_not_subscribed_to_the_channel_may_not_publish(self) -> None:
        connection, client = self.connect_to("room1")
        self.send(client, publish(2, "room"), {"id": 3, "subscribe": {"channel": "room"}}, publish(4, "room"))
        for reply, command_id in zip(self.take(connection), (2, 4), strict=True):
            self.assert_error(reply, command_id, 103)
        self.assertEqual((connection.disconnects, self.published), ([], []))

    def test_message_that_the_rules_do_not_permit_is_an_error_and_counted_once(self) -> None:
        connection, client = self.connect_to("public", ANONYMOUS)
        self.send(client, publish(2, "public"))
        self.assert_error(self.take(connection)[0], 2, 103)
        self.assertEqual((connection.disconnects, self.published), ([], []))
        self.assertEqual(self.rejections, {"publish_denied": 1})

    def test_message_that_the_broker_does_not_take_is_a_temporary_error(self) -> None:
        connection, client = self.connect_to()
        self.broker.ready = False
        self.send(client, publish(2))
        (reply,) = self.take(connection)
        self.assert_error(reply, 2, 100)
        self.assertEqual((connection.disconnects, self.rejections), ([], {"not_available": 1}))

    def test_client_that_has_left_gets_no_reply(self) -> None:
        for outcome in (PublishResult(), BrokerUnavailable("the test says so")):
            connection, client = self.connect_to()
            self.broker.publishing = taken = Deferred[PublishResult]()
            self.send(client, publish(2))
            client.connection_lost()
            taken.callback(outcome) if isinstance(outcome, PublishResult) else taken.errback(outcome)
            self.assertEqual((connection.sent, connection.disconnects), ([], []))

    def test_failure_of_ours_is_logged_once_and_closes_the_client(self) -> None:
        connection, client = self.connect_to()
        self.broker.publishing = taken = Deferred[PublishResult]()
        self.send(client, publish(2))
        taken.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(connection.disconnects, [Disconnect.INTERNAL_ERROR])


class AuthorizedPublishTests(PublishCase):
    """Messages that the application is asked about."""

    def setUp(self) -> None:
        """Ask about every message."""
        super().setUp()
        self.authenticator.asks_to_publish = lambda _data: True

    def test_message_is_published_and_answered_when_the_application_permits_it(self) -> None:
        connection, client = self.connect_to()
        self.send(client, publish(2))
        (question,) = self.authenticator.publish_questions
        self.assertEqual((question.arguments, self.published), ((USER, "room", b'"hi"'), []))
        question.permit()
        self.assertEqual((self.published, self.take(connection)), ([b'"hi"'], [{"id": 2, "publish": {}}]))

    def test_rejection_costs_its_own_message_only_and_is_counted_once(self) -> None:
        for client_error, code, counted in (
            (ClientError.PUBLISH_DENIED, 103, {"publish_denied": 1}),
            (ClientError.NOT_CHECKED, 100, {"not_checked": 1}),
        ):
            self.setUp()
            connection, client = self.connect_to()
            self.send(client, publish(2, data=2), publish(3, data=3), publish(4, data=4))
            first, second, third = self.authenticator.publish_questions
            second.reject(client_error)
            third.permit()
            (reply,) = self.take(connection)
            self.assert_error(reply, 3, code)
            self.assertEqual((self.published, self.rejections), ([], counted))
            first.permit()
            self.assertEqual(self.published, [b"2", b"4"])
            self.assertEqual(self.take(connection), [{"id": 2, "publish": {}}, {"id": 4, "publish": {}}])
            self.assertEqual(connection.disconnects, [])

    def test_answers_out_of_order_publish_in_the_order_of_the_commands(self) -> None:
        connection, client = self.connect_to()
        self.send(client, publish(2, data=2), publish(3, data=3))
        first, second = self.authenticator.publish_questions
        second.permit()
        self.assertEqual((self.published, self.take(connection)), ([], []))
        first.permit()
        self.assertEqual(self.published, [b"2", b"3"])
        self.assertEqual([each["id"] for each in self.take(connection)], [2, 3])

    def test_rejection_that_the_authenticator_raises_is_an_error(self) -> None:
        connection, client = self.connect_to()
        self.authenticator.failure = RejectedError(ClientError.PUBLISH_DENIED)
        self.send(client, publish(2))
        self.assert_error(self.take(connection)[0], 2, 103)
        self.assertEqual((connection.disconnects, self.rejections), ([], {"publish_denied": 1}))

    def test_commands_of_one_message_are_all_carried_out_and_asked_about_a_few_at_a_time(self) -> None:
        connection, client = self.connect_to()
        self.send(client, *[publish(2 + number, data=number) for number in range(2 * MAX_ASKED)])
        self.assertEqual((connection.is_paused, len(self.authenticator.publish_questions)), (True, MAX_ASKED))
        for number in range(2 * MAX_ASKED):
            self.authenticator.publish_questions[number].permit()
        self.assertEqual(self.published, [b"%d" % number for number in range(2 * MAX_ASKED)])
        self.assertEqual([each["id"] for each in self.take(connection)], [2 + each for each in range(2 * MAX_ASKED)])
        self.assertFalse(connection.is_paused)

    def test_question_that_is_given_up_because_the_process_stops_is_a_temporary_error(self) -> None:
        connection, client = self.connect_to()
        self.send(client, publish(2))
        self.authenticator.publish_questions[0].answer.cancel()
        self.assert_error(self.take(connection)[0], 2, 100)
        self.assertEqual(connection.disconnects, [])

    def test_message_that_waits_when_the_client_is_closed_is_not_published(self) -> None:
        connection, client = self.connect_to()
        self.send(client, publish(2))
        self.send_control(disconnect={"user": "42"})
        self.assertFalse(self.authenticator.publish_questions[0].is_open)
        self.assertEqual((self.close_codes(connection), self.published), ([3503], []))


class ClosedInBetweenTests(PublishCase):
    """Commands of one message, of which one ends the client: nothing behind it is carried out."""

    def check(self, connection: RecordingConnection, client: Client, command: object, code: int) -> None:
        """Send a command that ends the client, with a publish, a subscribe and a lookup behind it."""
        before = list(self.broker.log)
        self.send(client, command, publish(3), {"id": 4, "subscribe": {"channel": "room2"}}, publish(5))
        self.assertEqual((self.close_codes(connection), self.published), ([code], []))
        self.assertEqual((self.broker.log, connection.sent, self.rejections.get("publish_denied")), (before, [], None))

    def test_token_that_is_no_good(self) -> None:
        for error, code in ((ClientError.TOKEN, 3500), (ClientError.REVOKED, 3503)):
            self.setUp()
            self.patch(self.authenticator, "refresh", Mock(return_value=fail(RejectedError(error))))
            connection, client = self.connect_to()
            self.check(connection, client, {"id": 2, "refresh": {"token": "d.e.f"}}, code)

    def test_token_that_ends_at_once(self) -> None:
        ended = Identity("42", expires=EPOCH - REFRESH_GRACE_SECONDS)
        self.patch(self.authenticator, "refresh", Mock(return_value=succeed(ended)))
        connection, client = self.connect_to()
        self.send(client, {"id": 2, "refresh": {"token": "d.e.f"}}, publish(3))
        self.assertEqual((self.close_codes(connection), self.published), ([3005], []))

    def test_channel_token_that_is_no_good(self) -> None:
        for command in (
            {"id": 2, "sub_refresh": {"channel": "room", "token": "d.e.f"}},
            {"id": 2, "subscribe": {"channel": "room3", "token": "d.e.f"}},
        ):
            self.setUp()
            mismatch = fail(RejectedError(ClientError.TOKEN_MISMATCH))
            self.patch(self.authenticator, "authorize_channel_token", Mock(return_value=mismatch))
            connection, client = self.connect_to()
            self.check(connection, client, command, 3500)

    def test_failure_of_ours(self) -> None:
        connection, client = self.connect_to()
        with patch.object(self.authenticator, "refresh", side_effect=ZeroDivisionError):
            self.check(connection, client, {"id": 2, "refresh": {"token": "d.e.f"}}, 3004)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failure_while_a_command_is_carried_out(self) -> None:
        connection, client = self.connect_to()
        with patch.object(self.broker, "post", side_effect=ZeroDivisionError):
            self.send(client, publish(2), {"id": 3, "subscribe": {"channel": "room2"}})
        self.assertEqual((self.close_codes(connection), self.broker.log), ([3004], [("subscribe", ["room"])]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_replies_that_the_client_does_not_read(self) -> None:
        connection, client = self.connect_to()
        with patch.object(connection, "send", side_effect=lambda *_arguments: connection.close(Disconnect.SLOW)):
            # The replies to what comes first are sent in front of the publish.
            self.send(client, {"id": 2, "unsubscribe": {"channel": "nowhere"}}, publish(3), publish(4))
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.SLOW], []))

    def test_replies_to_commands_that_waited_for_the_connect_are_one_write(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, {"id": 1, "connect": {"token": "a.b.c"}}, publish(2, "talk"))
        self.send(client, {"id": 3, "subscribe": {"channel": "room"}}, {"id": 4, "subscribe": {"channel": "room2"}})
        with patch.object(connection, "send", side_effect=lambda *_arguments: connection.close(Disconnect.SLOW)):
            self.identify(USER)
        self.assertEqual(connection.disconnects, [Disconnect.SLOW])
