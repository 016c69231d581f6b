"""Tests of `wsrelay.engine.client`: messages of raw clients, which have no replies."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.engine.harness import USER, EngineCase, messages_of
from wsrelay.core.access.identity import Identity
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import Publication, PublishResult
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, RejectedError
from wsrelay.engine.client import Client
from wsrelay.engine.publish_queue import MAX_ASKED
from wsrelay.testing.connections import RecordingConnection

OUTAGE = BrokerUnavailable("the test says so")


def fail_with_zero_division(*_arguments: object, **_named: object) -> None:
    """Fail."""
    raise ZeroDivisionError


class RulesTests(EngineCase):
    """Messages that the rules of the namespace decide about."""

    def test_permitted_message_goes_to_the_broker_byte_for_byte(self) -> None:
        connection, client = self.join_anonymous("talk")
        client.received(Message(b"1"))
        client.received(Message(b"\xff\x00", is_binary=True))
        self.assertEqual(self.broker.published, [Publication("talk", b"1"), Publication("talk", b"\xff\x00")])
        self.assertEqual((connection.disconnects, connection.sent), ([], []))

    def test_message_that_the_namespace_does_not_permit_closes_the_connection(self) -> None:
        connection, client = self.join_anonymous("public")
        client.received(Message(b"1"))
        self.assertEqual(self.published, [])
        self.assert_closed(connection, ClientError.PUBLISH_DENIED)

    def test_message_before_the_handshake_is_answered_goes_nowhere(self) -> None:
        connection, client = self.open_anonymous("talk")
        client.received(Message(b"1"))
        self.assertEqual((connection.disconnects, self.published), ([], []))

    def test_message_is_published_at_once_where_the_application_is_not_asked(self) -> None:
        connection, client = self.join()
        client.received(Message(b"1"))
        self.assertEqual((self.broker.published, connection.disconnects), ([Publication("room", b"1")], []))


class OutageTests(EngineCase):
    """Messages that the broker does not take."""

    def test_message_that_is_not_taken_closes_the_connection(self) -> None:
        connection, client = self.join_anonymous("talk")
        self.broker.ready = False
        client.received(Message(b"1"))
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.TRY_AGAIN], []))

    def test_message_that_is_not_taken_later_closes_a_client_that_is_still_there(self) -> None:
        for has_left, disconnects in ((False, [Disconnect.TRY_AGAIN]), (True, [])):
            self.broker.publishing = Deferred()
            connection, client = self.join_anonymous("talk")
            client.received(Message(b"1"))
            if has_left:
                client.connection_lost()
            self.broker.publishing.errback(OUTAGE)
            self.assertEqual(connection.disconnects, disconnects)

    def test_failure_of_ours_is_logged_once_and_closes_the_connection(self) -> None:
        self.broker.publishing = Deferred()
        connection, client = self.join_anonymous("talk")
        client.received(Message(b"1"))
        self.broker.publishing.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(connection.disconnects, [Disconnect.INTERNAL_ERROR])

    def test_message_that_is_authorized_and_not_taken_closes_the_connection(self) -> None:
        self.authenticator.asks_to_publish = lambda _data: True
        connection, client = self.join()
        client.received(Message(b"1"))
        self.broker.ready = False
        self.authenticator.publish_questions[0].permit()
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.TRY_AGAIN], []))


class PressureTests(EngineCase):
    """Messages for which there is no room now."""

    def test_message_waits_until_there_is_room_and_is_published_then(self) -> None:
        connection, client = self.join_anonymous("talk")
        self.broker.sink.pressure_changed(is_high=True)
        client.received(Message(b"1"))
        self.assertEqual((self.published, connection.is_paused), ([], True))
        self.broker.sink.pressure_changed(is_high=False)
        self.clock.advance(0)
        self.assertEqual((self.published, connection.is_paused, connection.disconnects), ([b"1"], False, []))

    def test_client_that_does_not_publish_is_not_paused(self) -> None:
        connection, _ = self.join_anonymous("talk")
        self.broker.sink.pressure_changed(is_high=True)
        self.node.publications_received([Publication("talk", b"1")])
        self.assertEqual((messages_of(connection), connection.is_paused), ([b"1"], False))

    def test_application_is_not_asked_while_there_is_no_room(self) -> None:
        self.authenticator.asks_to_publish = lambda _data: True
        _, client = self.join()
        self.broker.sink.pressure_changed(is_high=True)
        client.received(Message(b"1"))
        self.broker.sink.pressure_changed(is_high=False)
        self.clock.advance(0)
        (question,) = self.authenticator.publish_questions
        question.permit()
        self.assertEqual(self.published, [b"1"])

    def test_message_that_waits_for_room_when_its_client_leaves_is_not_published(self) -> None:
        for leave in (Client.connection_lost, Client.connection_closing):
            _, client = self.join_anonymous("talk")
            self.broker.sink.pressure_changed(is_high=True)
            client.received(Message(b"1"))
            leave(client)
            self.broker.sink.pressure_changed(is_high=False)
            self.clock.advance(0)
            self.assertEqual((self.published, len(self.node.inflow)), ([], 0))

    def test_message_that_is_not_taken_when_there_is_room_again_closes_the_client(self) -> None:
        connection, client = self.join_anonymous("talk")
        self.broker.sink.pressure_changed(is_high=True)
        client.received(Message(b"1"))
        self.broker.ready = False
        self.broker.sink.pressure_changed(is_high=False)
        self.clock.advance(0)
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.TRY_AGAIN], []))

    def test_failure_while_a_client_is_told_that_its_message_is_published_does_not_reach_the_broker(self) -> None:
        connection, client = self.join_anonymous("talk")
        self.broker.publishing = publishing = Deferred[PublishResult]()
        client.received(Message(b"1"))
        self.patch(type(client.session), "publish_failed", fail_with_zero_division)
        publishing.errback(OUTAGE)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(connection.disconnects, [Disconnect.INTERNAL_ERROR])


class AuthorizedTests(EngineCase):
    """Messages that the application is asked about."""

    def join_asked(
        self, identity: Identity = USER, channel: str = "room", connection_id: str = "5f0c"
    ) -> tuple[RecordingConnection, Client]:
        """Return a client whose every message is asked about."""
        self.authenticator.asks_to_publish = lambda _data: True
        return self.join(identity, channel, connection_id=connection_id)

    def test_message_is_published_when_the_application_permits_it(self) -> None:
        connection, client = self.join_asked()
        client.received(Message(b"\xff1", is_binary=True))
        (question,) = self.authenticator.publish_questions
        self.assertEqual((question.arguments, self.published), ((USER, "room", b"\xff1"), []))
        question.permit()
        self.assertEqual((self.broker.published, connection.disconnects), ([Publication("room", b"\xff1")], []))

    def test_application_is_not_asked_about_what_the_rules_do_not_permit(self) -> None:
        connection, client = self.join_asked(channel="user:42")
        client.received(Message(b"1"))
        self.assertEqual(self.authenticator.publish_questions, [])
        self.assert_closed(connection, ClientError.PUBLISH_DENIED)

    def test_messages_are_published_in_the_order_in_which_they_came(self) -> None:
        _, client = self.join_asked()
        for data in (b"1", b"2", b"3"):
            client.received(Message(data))
        for index in (2, 1):
            self.authenticator.publish_questions[index].permit()
            self.assertEqual(self.published, [])
        self.authenticator.publish_questions[0].permit()
        self.assertEqual(self.published, [b"1", b"2", b"3"])

    def test_message_that_is_not_asked_about_does_not_overtake_those_that_wait(self) -> None:
        self.authenticator.asks_to_publish = lambda data: data == b"ask"
        _, client = self.join()
        for data in (b"1", b"ask", b"2"):
            client.received(Message(data))
        self.assertEqual(self.published, [b"1"])
        self.authenticator.publish_questions[0].permit()
        client.received(Message(b"3"))
        self.assertEqual(self.published, [b"1", b"ask", b"2", b"3"])

    def test_clients_do_not_wait_for_each_other(self) -> None:
        _, client = self.join_asked()
        _, other = self.join_asked(Identity("43"), connection_id="other")
        client.received(Message(b"1"))
        other.received(Message(b"2"))
        self.authenticator.publish_questions[1].permit()
        self.assertEqual(self.published, [b"2"])

    def test_rejection_closes_the_client_and_nothing_that_waits_is_published(self) -> None:
        for client_error in (ClientError.PUBLISH_DENIED, ClientError.NOT_CHECKED):
            self.setUp()
            connection, client = self.join_asked()
            for data in (b"1", b"2", b"3"):
                client.received(Message(data))
            first, second, third = self.authenticator.publish_questions
            first.permit()
            second.reject(client_error)
            third.permit()
            self.assertEqual(self.published, [b"1"])
            self.assert_closed(connection, client_error)

    def test_rejection_that_the_authenticator_raises_is_one_too(self) -> None:
        connection, client = self.join()
        self.authenticator.failure = RejectedError(ClientError.PUBLISH_DENIED)
        client.received(Message(b"1"))
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.PUBLISH_DENIED], []))

    def test_message_behind_a_rejection_is_neither_asked_about_nor_published(self) -> None:
        connection, client = self.join_asked()
        client.received(Message(b"1"))
        self.authenticator.publish_questions[0].reject(ClientError.PUBLISH_DENIED)
        client.received(Message(b"2"))
        self.assertEqual(len(self.authenticator.publish_questions), 1)
        self.assertEqual((self.published, connection.disconnects), ([], [Disconnect.PUBLISH_DENIED]))

    def test_failure_of_ours_is_logged_once_and_nothing_is_published(self) -> None:
        connection, client = self.join_asked()
        client.received(Message(b"1"))
        self.authenticator.publish_questions[0].reject(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.INTERNAL_ERROR], []))

    def test_failure_that_the_authenticator_raises_is_logged_once_and_nothing_is_published(self) -> None:
        connection, client = self.join()
        self.authenticator.failure = ZeroDivisionError()
        client.received(Message(b"1"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((connection.disconnects, self.published), ([Disconnect.INTERNAL_ERROR], []))

    def test_client_is_read_no_further_while_too_many_of_its_messages_wait_for_the_application(self) -> None:
        connection, client = self.join_asked()
        for number in range(MAX_ASKED + 5):
            client.received(Message(b"%d" % number))
        self.assertEqual((connection.is_paused, len(self.authenticator.publish_questions)), (True, MAX_ASKED))
        for number in range(MAX_ASKED + 5):
            self.authenticator.publish_questions[number].permit()
        self.assertEqual((connection.is_paused, connection.disconnects), (False, []))
        self.assertEqual(self.published, [b"%d" % number for number in range(MAX_ASKED + 5)])

    def test_client_that_waits_for_its_answers_may_send_any_number(self) -> None:
        connection, client = self.join_asked()
        for number in range(3 * MAX_ASKED):
            client.received(Message(b"%d" % number))
            self.authenticator.publish_questions[-1].permit()
        self.assertEqual((len(self.published), connection.disconnects), (3 * MAX_ASKED, []))

    def test_message_that_waits_when_its_client_leaves_is_not_published(self) -> None:
        connection, client = self.join_asked()
        client.received(Message(b"1"))
        client.received(Message(b"2"))
        client.connection_lost()
        first, second = self.authenticator.publish_questions
        # Given up, and an answer that comes all the same changes nothing.
        self.assertEqual((first.is_open, second.is_open), (False, False))
        first.answer.callback(None)
        second.answer.errback(RejectedError(ClientError.PUBLISH_DENIED))
        self.assertEqual((self.published, connection.disconnects, self.rejections), ([], [], {}))

    def test_question_that_is_given_up_because_the_process_stops_closes_the_client_to_reconnect(self) -> None:
        connection, client = self.join_asked()
        client.received(Message(b"mine"))
        self.authenticator.publish_questions[0].answer.cancel()
        self.assertEqual(connection.disconnects, [Disconnect.NOT_AVAILABLE])
