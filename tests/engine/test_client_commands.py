"""Tests of `wsrelay.engine.client`: connecting and subscribing by commands, in Centrifugo's dialect."""

from __future__ import annotations

from unittest.mock import patch

from tests.engine.harness import CONNECTION_ID, EPOCH, REVOKE_USER, TOKEN, USER, CentrifugoCase
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.sessions.pending_connect import MAX_QUEUED_COMMANDS
from wsrelay.core.sessions.session import Session
from wsrelay.core.sessions.session_data import MAX_CHANNELS, REFRESH_GRACE_SECONDS
from wsrelay.engine.channel_subscriptions import SUBSCRIBE_TIMEOUT_SECONDS
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS
from wsrelay.engine.pending_credentials import CREDENTIAL_TIMEOUT_SECONDS
from wsrelay.engine.subscribe_questions import ANSWER_TIMEOUT_SECONDS, MAX_IN_FLIGHT
from wsrelay.engine.timers import RESOLUTION_SECONDS

CONNECT = {"id": 1, "connect": {"token": "a.b.c"}}


def subscribe(command_id: int, channel: str) -> dict[str, object]:
    """Return a subscribe command."""
    return {"id": command_id, "subscribe": {"channel": channel}}


def unsubscribe(command_id: int, channel: str) -> dict[str, object]:
    """Return an unsubscribe command."""
    return {"id": command_id, "unsubscribe": {"channel": channel}}


class ConnectTests(CentrifugoCase):
    """The connect command."""

    def test_client_is_accepted_ahead_and_authenticated_by_its_connect(self) -> None:
        connection, client = self.open_centrifugo()
        self.assertEqual((connection.connection_id, self.authenticator.questions), (CONNECTION_ID, []))
        self.send(client, CONNECT)
        (question,) = self.authenticator.questions
        self.assertEqual((question.credential, question.channels), (TOKEN, ()))
        self.assertEqual(connection.sent, [])
        question.resolve(USER)
        (reply,) = self.take(connection)
        self.assertEqual((reply["id"], reply["connect"]["client"], reply["connect"]["ping"]), (1, CONNECTION_ID, 25))
        self.assertEqual((connection.disconnects, self.broker.log), ([], []))

    def test_connect_without_a_token_asks_nobody_where_none_is_required(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, {"id": 1, "connect": {}})
        self.assertEqual(self.authenticator.questions, [])
        self.assertEqual([reply["id"] for reply in self.take(connection)], [1])
        self.assertEqual(self.node.registry.targets(), [f"connection:{CONNECTION_ID}"])
        client.connection_lost()
        self.assertEqual(self.node.registry.targets(), [])

    def test_exception_in_a_connect_that_asks_nobody_closes_the_client(self) -> None:
        connection, client = self.open_centrifugo()
        self.patch(connection.dialect, "reply", lambda _replies: 1 / 0)
        self.send(client, {"id": 1, "connect": {}})
        self.assertEqual(connection.disconnects, [Disconnect.INTERNAL_ERROR])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_exception_in_a_subscribe_that_asks_nobody_closes_the_client(self) -> None:
        _, first = self.connect()
        self.send(first, subscribe(2, "room1"))
        self.broker.sink.subscribed("room1")
        connection, client = self.connect()
        self.patch(connection.dialect, "reply", lambda _replies: 1 / 0)
        self.send(client, subscribe(2, "room1"))
        self.assertEqual(connection.disconnects, [Disconnect.INTERNAL_ERROR])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_exception_in_the_first_of_several_channels_of_a_connect_leaves_nothing_subscribed(self) -> None:
        connection, client = self.connect(connection_id="other")
        self.subscribe(connection, client, "room1", "room2")
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT)
        with patch.object(Session, "subscribed", side_effect=[ZeroDivisionError, []]):
            self.identify(Identity("42", channels=("room1", "room2")))
        self.clock.advance(0)
        self.assertEqual(connection.disconnects, [Disconnect.INTERNAL_ERROR])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        for channel in ("room1", "room2"):
            self.assertEqual(len(self.node._hub.subscribers(channel)), 1, channel)

    def test_connect_without_a_token_authenticates_by_the_handshake(self) -> None:
        self.authenticator.authenticates_everyone = True
        connection, client = self.open_centrifugo()
        self.send(client, {"id": 1, "connect": {}})
        self.assertEqual([question.credential for question in self.authenticator.questions], [None])
        self.identify(ANONYMOUS)
        self.assertEqual([reply["id"] for reply in self.take(connection)], [1])
        self.assertEqual(self.node.registry.targets(), [f"connection:{CONNECTION_ID}"])

    def test_pipelined_commands_are_carried_out_in_order_when_the_client_is_authenticated(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT, subscribe(2, "room1"))
        self.send(client, subscribe(3, "room2"), {"id": 4, "publish": {"channel": "talk", "data": "hi"}})
        self.assertEqual((connection.sent, self.broker.log), ([], []))
        self.identify(USER)
        self.assertEqual(self.broker.log, [("subscribe", ["room1"]), ("subscribe", ["room2"])])
        self.assertEqual([reply["id"] for reply in self.take(connection)], [1, 4])
        self.broker.sink.subscribed("room2")
        self.broker.sink.subscribed("room1")
        self.assertEqual(self.take(connection), [{"id": 3, "subscribe": {}}, {"id": 2, "subscribe": {}}])

    def test_replies_to_pipelined_commands_are_one_message_with_that_to_the_connect(self) -> None:
        _, first = self.connect()
        self.send(first, subscribe(2, "room"))
        self.broker.sink.subscribed("room")
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT)
        self.send(client, subscribe(2, "room"))
        self.send(client, subscribe(3, "hidden"))
        self.identify(USER)
        self.assertEqual(len(connection.sent), 1)
        replies = self.take(connection)
        self.assertEqual(
            [(reply["id"], next(iter(set(reply) - {"id"}))) for reply in replies][:2],
            [(1, "connect"), (2, "subscribe")],
        )
        self.assertEqual(len(replies), 3)
        # What comes later waits for nothing.
        self.send(client, {"id": 4, "ping": {}})
        self.send(client, subscribe(5, "hidden"))
        self.assertEqual([reply["id"] for reply in self.take(connection)][-1], 5)

    def test_more_commands_than_may_wait_close_the_client_and_none_is_carried_out(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT, *[subscribe(2 + number, f"room{number}") for number in range(200)])
        self.send(client, *[subscribe(500 + number, f"talk{number}") for number in range(MAX_QUEUED_COMMANDS - 200)])
        self.assertEqual(connection.disconnects, [])
        self.send(client, subscribe(999, "room"))
        self.assertEqual(self.close_codes(connection), [3013])
        self.identify(USER)
        self.assertEqual(self.broker.log, [])

    def test_temporary_failure_is_a_reply_and_the_client_may_leave_by_itself(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT, subscribe(2, "room"))
        self.clock.advance(AUTHENTICATE_TIMEOUT_SECONDS)
        (reply,) = self.take(connection)
        self.assert_error(reply, 1, 100)
        self.assertTrue(reply["error"]["temporary"])
        self.assertEqual((connection.disconnects, self.broker.log), ([], []))
        self.assertEqual(len(self.node.pending_credentials), 1)
        client.connection_lost()
        self.assertEqual(len(self.node.pending_credentials), 0)

    def test_client_that_should_get_a_new_credential_is_told_so_in_a_reply(self) -> None:
        for client_error in (ClientError.TICKET, ClientError.TOKEN_EXPIRED):
            self.setUp()
            connection, client = self.open_centrifugo()
            self.send(client, CONNECT)
            self.identify(client_error)
            (reply,) = self.take(connection)
            self.assert_error(reply, 1, 109)
            self.assertEqual((connection.disconnects, self.rejections), ([], {client_error.reason: 1}))

    def test_client_that_stays_after_its_channels_could_not_be_subscribed_is_closed(self) -> None:
        identity = Identity("42", channels=("room1", "room2"), expires=EPOCH + 3000)
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT)
        self.identify(identity)
        self.broker.sink.subscribed("room1")
        self.clock.pump([SUBSCRIBE_TIMEOUT_SECONDS, 0])
        self.assert_error(self.take(connection)[0], 1, 100)
        self.assertEqual(connection.disconnects, [])
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(self.close_codes(connection), [3004])

    def test_client_that_stays_after_its_connect_failed_is_closed(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT)
        self.identify(ClientError.TOKEN_EXPIRED)
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS - RESOLUTION_SECONDS)
        self.assertEqual(connection.disconnects, [])
        self.clock.advance(2 * RESOLUTION_SECONDS)
        # To reconnect: it has been told that it may try again.
        self.assertEqual(self.close_codes(connection), [3004])

    def test_command_after_the_connect_failed_is_ignored(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT)
        self.identify(ClientError.TOKEN_EXPIRED)
        self.send(client, {"id": 2, "connect": {"token": "a.b.c"}})
        self.assertEqual((connection.disconnects, len(self.authenticator.questions)), ([], 1))

    def test_rejection_that_a_new_credential_does_not_help_closes_the_client(self) -> None:
        for client_error, code in ((ClientError.TOKEN, 3500), (ClientError.HOOK, 3507), (ClientError.REVOKED, 3503)):
            self.setUp()
            connection, client = self.open_centrifugo()
            self.send(client, CONNECT)
            self.identify(client_error)
            self.assert_closed(connection, client_error)
            self.assertEqual((self.close_codes(connection), connection.sent), ([code], []))

    def test_malformed_token_closes_the_client(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, {"id": 1, "connect": {"token": "x"}})
        self.assert_closed(connection, ClientError.TOKEN)

    def test_first_command_that_is_no_connect_closes_the_client(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, subscribe(1, "talk"), CONNECT)
        self.assertEqual((self.close_codes(connection), self.authenticator.questions), ([3501], []))

    def test_second_connect_closes_the_client_and_what_follows_is_not_carried_out(self) -> None:
        connection, client = self.connect()
        self.send(client, CONNECT, subscribe(2, "talk"))
        self.assertEqual((self.close_codes(connection), self.broker.log), ([3501], []))

    def test_message_that_is_no_command_closes_the_client(self) -> None:
        connection, client = self.connect()
        client.received(Message(b"hello"))
        self.assertEqual(self.close_codes(connection), [3501])
        connection, client = self.connect()
        client.received(Message(b"{}", is_binary=True))
        self.assertEqual(self.close_codes(connection), [3501])

    def test_client_without_a_connect_in_time_is_closed(self) -> None:
        connection, _ = self.open_centrifugo()
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
        self.assert_closed(connection, ClientError.TOO_LATE)

    def test_pong_and_unsupported_commands_leave_the_client_connected(self) -> None:
        connection, client = self.connect()
        self.send(client, {}, {"id": 2, "presence": {"channel": "room"}})
        (reply,) = self.take(connection)
        self.assert_error(reply, 2, 108)
        self.assertEqual(connection.disconnects, [])


class SubscribeTests(CentrifugoCase):
    """The subscribe and unsubscribe commands."""

    def test_reply_comes_with_the_confirmation_and_before_any_push(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.deliver("room", b"1")
        self.assertEqual(self.take(connection), [])
        self.broker.sink.subscribed("room")
        self.deliver("room", b"2")
        self.assertEqual(
            self.take(connection),
            [{"id": 2, "subscribe": {}}, {"push": {"channel": "room", "pub": {"data": 2}}}],
        )

    def test_client_receives_the_messages_of_each_of_its_channels(self) -> None:
        connection, client = self.connect()
        self.subscribe(connection, client, "room1", "room2")
        self.deliver("room1", b"1")
        self.deliver("room2", b"2")
        self.deliver("room3", b"3")
        self.assertEqual([each["push"]["channel"] for each in self.take(connection)], ["room1", "room2"])

    def test_channel_that_the_rules_do_not_permit_is_an_error_and_no_close(self) -> None:
        connection, client = self.connect()
        for command_id, (channel, code) in enumerate((("nowhere", 102), ("closed", 103), ("user:43", 103)), 2):
            self.send(client, subscribe(command_id, channel))
            (reply,) = self.take(connection)
            self.assert_error(reply, command_id, code)
        self.assertEqual((connection.disconnects, self.broker.log), ([], []))
        self.assertEqual(self.rejections, {"unknown_channel": 1, "subscribe_denied": 1, "channel_denied": 1})

    def test_second_subscribe_to_a_channel_is_an_error(self) -> None:
        connection, client = self.connect()
        self.subscribe(connection, client, "room")
        self.send(client, subscribe(2, "room"))
        (reply,) = self.take(connection)
        self.assert_error(reply, 2, 105)

    def test_channel_that_is_not_confirmed_in_time_is_a_temporary_error(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.clock.advance(SUBSCRIBE_TIMEOUT_SECONDS)
        (reply,) = self.take(connection)
        self.assert_error(reply, 2, 100)
        self.assertEqual((connection.disconnects, self.rejections), ([], {"not_available": 1}))
        self.subscribe(connection, client, "room")

    def test_channel_that_the_broker_rejects_is_a_temporary_error_and_asked_for_again(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.broker.sink.subscribe_failed("room")
        (reply,) = self.take(connection)
        self.assert_error(reply, 2, 100)
        self.subscribe(connection, client, "room")
        self.assertEqual(self.broker.log, [("subscribe", ["room"])] * 2)

    def test_unsubscribe_takes_effect_before_its_reply(self) -> None:
        connection, client = self.connect()
        self.subscribe(connection, client, "room1", "room2")
        subscribers: list[int] = []
        send = connection.send

        def record(data: bytes, *arguments: object) -> None:
            subscribers.append(len(self.node._hub.subscribers("room1")))
            send(data)

        self.patch(connection, "send", record)
        self.send(client, unsubscribe(4, "room1"))
        self.deliver("room1", b"1")
        self.deliver("room2", b"2")
        self.assertEqual(subscribers[0], 0)
        self.assertEqual(
            self.take(connection),
            [{"id": 4, "unsubscribe": {}}, {"push": {"channel": "room2", "pub": {"data": 2}}}],
        )

    def test_unsubscribe_from_a_channel_that_is_not_subscribed_succeeds(self) -> None:
        connection, client = self.connect()
        self.send(client, unsubscribe(2, "room"))
        self.assertEqual(self.take(connection), [{"id": 2, "unsubscribe": {}}])

    def test_unsubscribe_while_the_broker_is_asked_answers_both_commands(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.send(client, unsubscribe(3, "room"))
        failed, unsubscribed = self.take(connection)
        self.assert_error(failed, 2, 100)
        self.assertEqual(unsubscribed, {"id": 3, "unsubscribe": {}})
        self.broker.sink.subscribed("room")
        self.deliver("room", b"1")
        self.assertEqual(self.take(connection), [])

    def test_channel_may_be_subscribed_again_in_the_message_that_unsubscribes_it(self) -> None:
        for confirmed_first in (True, False):
            self.setUp()
            connection, client = self.connect()
            if confirmed_first:
                self.subscribe(connection, client, "room")
            else:
                self.send(client, subscribe(1000, "room"))
            self.send(client, unsubscribe(2, "room"), subscribe(3, "room"))
            self.broker.sink.subscribed("room")
            self.assertEqual(self.take(connection)[-2:], [{"id": 2, "unsubscribe": {}}, {"id": 3, "subscribe": {}}])
            self.deliver("room", b"1")
            self.assertEqual(self.take(connection), [{"push": {"channel": "room", "pub": {"data": 1}}}])
            client.connection_lost()
            self.assertEqual(self.node._hub.subscribers("room"), [])

    def test_subscribe_unsubscribe_subscribe_in_one_message_is_answered_in_order(self) -> None:
        self.join()
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"), unsubscribe(3, "room"), subscribe(4, "room"))
        self.assertEqual([each["id"] for each in self.take(connection)], [2, 3, 4])


class AuthorizedSubscribeTests(CentrifugoCase):
    """Subscribe commands that the application is asked about."""

    def setUp(self) -> None:
        """Ask about every channel."""
        super().setUp()
        self.authenticator.asks_to_subscribe = lambda _channel: True

    def test_broker_is_asked_when_the_application_permits_it(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        (question,) = self.authenticator.subscribe_questions
        self.assertEqual((question.arguments, self.broker.log, connection.sent), ((USER, "room"), [], []))
        question.permit()
        self.assertEqual((self.broker.log, connection.sent), ([("subscribe", ["room"])], []))
        self.broker.sink.subscribed("room")
        self.assertEqual(self.take(connection), [{"id": 2, "subscribe": {}}])

    def test_rejection_is_an_error_and_the_broker_is_not_asked(self) -> None:
        for client_error, code, counted in (
            (ClientError.HOOK, 103, {"hook": 1}),
            (ClientError.NOT_CHECKED, 100, {"not_checked": 1}),
        ):
            self.setUp()
            connection, client = self.connect()
            self.send(client, subscribe(2, "room"))
            self.authenticator.subscribe_questions[0].reject(client_error)
            (reply,) = self.take(connection)
            self.assert_error(reply, 2, code)
            self.assertEqual((connection.disconnects, self.broker.log, self.rejections), ([], [], counted))
            # It may ask again.
            self.send(client, subscribe(3, "room"))
            self.authenticator.subscribe_questions[1].permit()
            self.broker.sink.subscribed("room")
            self.assertEqual(self.take(connection), [{"id": 3, "subscribe": {}}])

    def test_rejection_that_the_authenticator_raises_is_one_too(self) -> None:
        connection, client = self.connect()
        self.authenticator.failure = RejectedError(ClientError.HOOK)
        self.send(client, subscribe(2, "room"), unsubscribe(3, "room"), subscribe(4, "room"))
        first, second, third = self.take(connection)
        self.assert_error(first, 2, 103)
        self.assertEqual(second, {"id": 3, "unsubscribe": {}})
        self.assert_error(third, 4, 103)

    def test_application_is_not_asked_about_what_the_rules_do_not_permit(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "user:43"))
        self.assert_error(self.take(connection)[0], 2, 103)
        self.assertEqual(self.authenticator.subscribe_questions, [])

    def test_application_is_asked_about_what_a_credential_subscribes_to(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT, subscribe(2, "room3"))
        self.identify(Identity("42", channels=("room1", "room2", "room3")))
        first, second, third = self.authenticator.subscribe_questions
        self.assertEqual(([each.arguments[1] for each in (first, second, third)]), ["room1", "room2", "room3"])
        second.permit()
        self.broker.sink.subscribed("room2")
        third.reject()
        first.reject()
        self.assertEqual(connection.sent, [])
        self.clock.advance(0)
        (reply,) = self.take(connection)
        self.assertEqual((reply["id"], list(reply["connect"]["subs"])), (1, ["room2"]))
        # The client asks for one of the others itself.
        self.assertEqual(self.authenticator.subscribe_questions[3].arguments[1], "room3")

    def test_application_that_cannot_be_asked_at_connect_is_a_temporary_error_and_nothing_stays_subscribed(
        self,
    ) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT)
        self.authenticator.failure = RejectedError(ClientError.NOT_CHECKED)
        self.identify(Identity("42", channels=("room1", "room2")))
        self.clock.advance(0)
        (reply,) = self.take(connection)
        self.assert_error(reply, 1, 100)
        self.assertEqual((self.broker.log, connection.disconnects), ([], []))
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(self.close_codes(connection), [3004])

    def test_connect_whose_channels_take_too_many_rounds_of_questions_is_a_temporary_error_in_time(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT)
        names = tuple(f"talk{number}" for number in range(MAX_CHANNELS))
        self.identify(Identity("42", channels=names))
        questions = self.authenticator.subscribe_questions
        rounds = 0
        while not connection.sent:
            # The application is slow, and never late with one answer.
            self.clock.advance(4)
            rounds += 1
            for question in questions[-MAX_IN_FLIGHT:]:
                if question.is_open:
                    question.permit()
                    self.broker.sink.subscribed(question.arguments[1])
        self.assertEqual((rounds, len(questions)), (4, 4 * MAX_IN_FLIGHT))
        (reply,) = self.take(connection)
        self.assert_error(reply, 1, 100)
        self.assertEqual((client.session.channels, connection.disconnects), ((), []))
        self.assertEqual([self.node._hub.subscribers(name) for name in names if self.node._hub.subscribers(name)], [])
        self.clock.advance(CREDENTIAL_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual((self.close_codes(connection), self.rejections), ([3004], {"not_checked": 1}))

    def test_subscribe_that_the_application_does_not_answer_is_a_temporary_error_in_time(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.clock.advance(ANSWER_TIMEOUT_SECONDS + RESOLUTION_SECONDS)
        self.assert_error(self.take(connection)[0], 2, 100)
        self.assertEqual((connection.disconnects, self.broker.log), ([], []))

    def test_answers_may_come_in_any_order(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room1"), subscribe(3, "room2"))
        first, second = self.authenticator.subscribe_questions
        second.permit()
        self.broker.sink.subscribed("room2")
        first.reject()
        replies = self.take(connection)
        self.assertEqual(replies[0], {"id": 3, "subscribe": {}})
        self.assert_error(replies[1], 2, 103)

    def test_answer_after_an_unsubscribe_has_no_effect(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.send(client, unsubscribe(3, "room"))
        failed, unsubscribed = self.take(connection)
        self.assert_error(failed, 2, 100)
        self.assertEqual(unsubscribed, {"id": 3, "unsubscribe": {}})
        self.authenticator.subscribe_questions[0].permit()
        self.assertEqual((self.take(connection), self.broker.log), ([], []))

    def test_channel_that_is_subscribed_again_at_once_is_asked_about_again(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.send(client, unsubscribe(3, "room"), subscribe(4, "room"))
        first, second = self.authenticator.subscribe_questions
        self.assertEqual((first.is_open, second.is_open), (True, True))
        first.reject()
        self.assertEqual([each["id"] for each in self.take(connection)], [2, 3])
        second.permit()
        self.broker.sink.subscribed("room")
        self.assertEqual(self.take(connection), [{"id": 4, "subscribe": {}}])

    def test_connection_that_is_lost_meanwhile_gives_the_question_up(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        client.connection_lost()
        self.assertFalse(self.authenticator.subscribe_questions[0].is_open)
        self.assertEqual((connection.sent, connection.disconnects, self.broker.log), ([], [], []))

    def test_connection_that_is_lost_while_the_broker_is_asked_is_released(self) -> None:
        _, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.authenticator.subscribe_questions[0].permit()
        client.connection_lost()
        self.broker.sink.subscribed("room")
        self.assertEqual(self.node._hub.subscribers("room"), [])

    def test_question_that_is_given_up_because_the_process_stops_is_a_temporary_error(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.authenticator.subscribe_questions[0].answer.cancel()
        self.assert_error(self.take(connection)[0], 2, 100)

    def test_failure_of_ours_is_logged_once_and_closes_the_client(self) -> None:
        connection, client = self.connect()
        self.send(client, subscribe(2, "room"))
        self.authenticator.subscribe_questions[0].reject(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((connection.disconnects, self.broker.log), ([Disconnect.INTERNAL_ERROR], []))


class EndTests(CentrifugoCase):
    """Subscriptions and connections that the relay ends."""

    def test_gap_of_one_channel_ends_its_subscription_and_leaves_the_others(self) -> None:
        connection, client = self.connect()
        self.subscribe(connection, client, "room1", "room2")
        self.broker.sink.disconnected(("room1",))
        self.broker.sink.subscribed("room1")
        self.clock.pump([0.05] * 40)
        (push,) = self.take(connection)
        self.assertEqual((push["push"]["channel"], push["push"]["unsubscribe"]["code"]), ("room1", 2500))
        self.deliver("room1", b"1")
        self.deliver("room2", b"2")
        self.assertEqual([each["push"]["channel"] for each in self.take(connection)], ["room2"])
        self.assertEqual(connection.disconnects, [])
        self.subscribe(connection, client, "room1")

    def test_gap_of_a_subscription_that_was_begun_anew_is_not_reported(self) -> None:
        connection, client = self.connect()
        self.subscribe(connection, client, "room")
        self.broker.sink.disconnected(("room",))
        self.broker.sink.subscribed("room")
        self.send(client, unsubscribe(2, "room"), subscribe(3, "room"))
        self.assertEqual(self.take(connection), [{"id": 2, "unsubscribe": {}}, {"id": 3, "subscribe": {}}])
        self.clock.pump([0.05] * 40)
        self.assertEqual(self.take(connection), [])

    def test_expiry_closes_the_client_with_the_code_of_its_dialect(self) -> None:
        connection, client = self.connect(Identity("42", expires=EPOCH + 60))
        self.subscribe(connection, client, "room")
        self.clock.advance(60 + RESOLUTION_SECONDS)
        self.assertEqual(self.close_codes(connection), [], "the client may be late with a new one")
        self.clock.advance(REFRESH_GRACE_SECONDS)
        self.assertEqual(self.close_codes(connection), [3005])

    def test_credential_that_has_expired_already_is_an_error_and_nothing_behind_it_is_carried_out(self) -> None:
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT, subscribe(2, "room"), {"id": 3, "publish": {"channel": "talk", "data": "hi"}})
        self.identify(Identity("42", expires=EPOCH))
        (reply,) = self.take(connection)
        self.assert_error(reply, 1, 109)
        self.assertEqual((connection.disconnects, self.broker.log, self.published), ([], [], []))

    def test_revocation_closes_the_client_with_the_code_of_its_dialect(self) -> None:
        for reconnect, code in ((False, 3503), (True, 3011)):
            connection, client = self.connect()
            self.subscribe(connection, client, "room")
            self.send_control(disconnect={"user": "42"}, reconnect=reconnect)
            self.assertEqual(self.close_codes(connection), [code])
            client.connection_lost()

    def test_client_that_is_revoked_while_it_is_authenticated_is_closed_without_a_reply(self) -> None:
        self.store.is_slow = True
        connection, client = self.open_centrifugo()
        self.send(client, CONNECT, subscribe(2, "room"))
        self.identify(USER)
        self.node.control_received(REVOKE_USER)
        self.store.answers[0].callback([False] * 3)
        self.assertEqual((self.close_codes(connection), connection.sent, self.broker.log), ([3503], [], []))
