"""Tests of `wsrelay.engine.client_refresh` and `channel_access`: new tokens, in Centrifugo's dialect."""

from __future__ import annotations

from tests.engine.harness import CONNECTION_ID, EPOCH, USER, CentrifugoCase
from wsrelay.core.access.channel_tokens import ChannelGrant
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.subscription_start import NO_TERMS
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.sessions.session_data import MAX_CHANNELS, REFRESH_GRACE_SECONDS
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS
from wsrelay.engine.client_refresh import MAX_REFRESHES
from wsrelay.engine.timers import RESOLUTION_SECONDS

LASTING = Identity("42", expires=EPOCH + 60)


class RefreshTests(CentrifugoCase):
    """The refresh command."""

    def refresh(self, outcome: Identity | ClientError) -> list[dict[str, object]]:
        """Connect for a minute, send a new token that has this outcome, and return what the client gets."""
        self.connection, self.client = self.connect(LASTING)
        self.send(self.client, {"id": 2, "refresh": {"token": "d.e.f"}})
        (question,) = self.authenticator.refresh_questions
        self.assertEqual(question.arguments[0], "d.e.f")
        question.resolve(outcome)
        return self.take(self.connection)

    def test_new_token_prolongs_the_connection(self) -> None:
        (reply,) = self.refresh(Identity("42", expires=EPOCH + 600, credential_id="token:new"))
        self.assertEqual(reply["id"], 2)
        found = reply["refresh"]
        assert isinstance(found, dict)
        self.assertEqual((found["client"], found["expires"], found["ttl"]), (CONNECTION_ID, True, 600))
        self.clock.advance(60 + REFRESH_GRACE_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(self.close_codes(self.connection), [])
        self.clock.advance(540)
        self.assertEqual(self.close_codes(self.connection), [3005])

    def test_client_is_found_by_its_new_token_and_no_more_by_the_old_one(self) -> None:
        self.refresh(Identity("42", credential_id="token:new"))
        targets = [f"connection:{CONNECTION_ID}", "token:new", "user:42"]
        self.assertEqual(sorted(self.node.registry.targets_of(self.client)), targets)

    def test_token_without_an_end_ends_the_wait(self) -> None:
        (reply,) = self.refresh(Identity("42"))
        self.assertNotIn("expires", reply["refresh"])
        self.clock.advance(1000)
        self.assertEqual(self.close_codes(self.connection), [])

    def test_token_that_is_no_good_closes_the_connection(self) -> None:
        for error, code in (
            (ClientError.TOKEN, 3500),
            (ClientError.TOKEN_MISMATCH, 3500),
            (ClientError.TOKEN_EXPIRED, 3005),
            (ClientError.REVOKED, 3503),
        ):
            self.setUp()
            self.assertEqual(self.refresh(error), [], error)
            self.assertEqual(self.close_codes(self.connection), [code], error)

    def test_token_that_cannot_be_checked_now_is_a_temporary_error(self) -> None:
        (reply,) = self.refresh(ClientError.NOT_CHECKED)
        self.assert_error(reply, 2, 100)
        self.assertEqual(self.close_codes(self.connection), [])

    def test_rejection_is_counted_once_whether_it_is_a_reply_or_a_close(self) -> None:
        for error in (ClientError.NOT_CHECKED, ClientError.TOKEN, ClientError.TOKEN_EXPIRED):
            self.setUp()
            self.refresh(error)
            self.assertEqual(self.rejections, {error.reason: 1})

    def test_client_that_left_meanwhile_is_not_found_any_more(self) -> None:
        connection, client = self.connect(LASTING)
        self.send(client, {"id": 2, "refresh": {"token": "d.e.f"}})
        client.connection_lost()
        (question,) = self.authenticator.refresh_questions
        question.resolve(Identity("42"))
        self.assertEqual((self.take(connection), self.node.registry.targets()), ([], []))

    def targets(self) -> list[str]:
        """Return the revocation targets by which the client is found, without its connection."""
        return sorted(set(self.node.registry.targets_of(self.client)) - {f"connection:{CONNECTION_ID}"})

    def look_up(self, *tokens: str) -> None:
        """Connect, and send new tokens that are good so far; the store has not said whether they are revoked."""
        self.connection, self.client = self.connect(Identity("42", credential_id="token:old"))
        self.store.is_slow = True
        for command_id, token in enumerate(tokens, 2):
            self.send(self.client, {"id": command_id, "refresh": {"token": "d.e.f"}})
            self.authenticator.refresh_questions[-1].resolve(Identity("42", credential_id=f"token:{token}"))

    def test_client_is_found_by_both_tokens_while_the_new_one_is_looked_up(self) -> None:
        self.look_up("new")
        self.assertEqual(self.targets(), ["token:new", "token:old", "user:42"])
        self.send_control(disconnect={"token": "new"})
        self.assertEqual(self.close_codes(self.connection), [3503])

    def test_token_that_cannot_be_looked_up_now_leaves_nothing_registered(self) -> None:
        for fail in (
            lambda: self.store.answers[0].errback(BrokerUnavailable("the test says so")),
            lambda: self.clock.advance(AUTHENTICATE_TIMEOUT_SECONDS),
        ):
            self.setUp()
            self.look_up("new")
            fail()
            (reply,) = self.take(self.connection)
            self.assert_error(reply, 2, 100)
            self.assertEqual(self.targets(), ["token:old", "user:42"])
            self.assertEqual(self.client.session.identity.credential_id, "token:old")

    def test_outcome_of_one_of_two_tokens_leaves_the_other_registered(self) -> None:
        for outcome, kept in ((None, "token:old"), (False, "token:a")):
            self.setUp()
            self.look_up("a", "b")
            first, second = self.store.answers
            if outcome is None:
                first.errback(BrokerUnavailable("the test says so"))
            else:
                first.callback([outcome] * len(self.store.lookups[-1]))
            self.assertEqual(self.targets(), sorted([kept, "token:b", "user:42"]))
            second.callback([False] * len(self.store.lookups[-1]))
            self.assertEqual(self.targets(), ["token:b", "user:42"])

    def test_same_token_shown_twice_stays_registered_when_one_of_the_lookups_fails(self) -> None:
        self.look_up("a", "a")
        first, second = self.store.answers
        first.errback(BrokerUnavailable("the test says so"))
        self.assertEqual(self.targets(), ["token:a", "token:old", "user:42"])
        second.callback([False] * len(self.store.lookups[-1]))
        self.assertEqual(self.targets(), ["token:a", "user:42"])

    def test_revocation_of_another_token_that_is_looked_up_rejects_only_that_one(self) -> None:
        self.look_up("a", "b")
        for targets in self.store.lookups[-2:]:
            self.assertEqual(len({"token:a", "token:b"} & set(targets)), 1, targets)
            self.assertIn("token:old", targets)

    def test_more_tokens_than_may_be_checked_at_once_are_a_temporary_error(self) -> None:
        connection, client = self.connect(LASTING)
        for command_id in range(2, 2 + MAX_REFRESHES + 1):
            self.send(client, {"id": command_id, "refresh": {"token": "d.e.f"}})
        (reply,) = self.take(connection)
        self.assert_error(reply, 2 + MAX_REFRESHES, 111)
        self.assertEqual(len(self.authenticator.refresh_questions), MAX_REFRESHES)
        self.authenticator.refresh_questions[0].resolve(LASTING)
        self.send(client, {"id": 99, "refresh": {"token": "d.e.f"}})
        self.assertEqual(len(self.authenticator.refresh_questions), MAX_REFRESHES + 1)

    def test_checks_of_a_client_that_leaves_are_cancelled_and_count_as_no_rejection(self) -> None:
        _, client = self.connect(LASTING)
        self.send(client, {"id": 2, "refresh": {"token": "d.e.f"}})
        client.connection_lost()
        self.assertTrue(self.authenticator.refresh_questions[0].answer.called)
        deadlines = [each.getTime() for each in self.clock.getDelayedCalls()]
        self.assertNotIn(AUTHENTICATE_TIMEOUT_SECONDS, deadlines)
        self.assertEqual(self.rejections, {})

    def test_application_gives_the_credential_another_end(self) -> None:
        connection, client = self.connect(LASTING)
        client.refresh_by_server(EPOCH + 120)
        self.clock.advance(60 + REFRESH_GRACE_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual((self.close_codes(connection), self.take(connection)), ([], []))
        client.refresh_by_server(None, is_expired=True)
        self.assertEqual(self.close_codes(connection), [3005])

    def test_token_that_is_checked_meanwhile_does_not_undo_the_end_that_the_application_sets(self) -> None:
        connection, client = self.connect(LASTING)
        self.store.is_slow = True
        self.send(client, {"id": 2, "refresh": {"token": "d.e.f"}})
        self.authenticator.refresh_questions[0].resolve(Identity("42", expires=EPOCH + 600))
        client.refresh_by_server(EPOCH + 120)
        self.take(connection)
        self.store.answers[-1].callback([False] * len(self.store.lookups[-1]))
        (reply,) = self.take(connection)
        self.assert_error(reply, 2, 100)
        self.assertTrue(reply["error"]["temporary"])
        self.assertEqual(client.session.identity.expires, EPOCH + 120)

    def test_end_that_is_over_closes_the_connection_at_once(self) -> None:
        for end in (EPOCH, EPOCH - REFRESH_GRACE_SECONDS + 1):
            self.setUp()
            connection, client = self.connect(LASTING)
            client.refresh_by_server(end)
            self.assertEqual((self.take(connection), self.close_codes(connection)), ([], [3005]))


class SubscriptionTokenTests(CentrifugoCase):
    """Tokens of a channel."""

    def subscribe_with_token(self, outcome: ChannelGrant | ClientError) -> list[dict[str, object]]:
        """Subscribe with a token that has this outcome, and return what the client gets."""
        self.connection, self.client = self.connect(USER)
        self.send(self.client, {"id": 2, "subscribe": {"channel": "token", "token": "d.e.f"}})
        self.assertEqual(self.broker.log, [])
        (question,) = self.authenticator.channel_token_questions
        self.assertEqual(question.arguments, ("d.e.f", USER, "token", CONNECTION_ID))
        question.resolve(outcome)
        if ("subscribe", ["token"]) in self.broker.log:
            self.broker.sink.subscribed("token")
        return self.take(self.connection)

    def test_token_permits_the_channel_for_its_time(self) -> None:
        grant = ChannelGrant(EPOCH + 60, data=b'{"a":1}')
        subscribed = {"expires": True, "ttl": 60, "data": {"a": 1}}
        self.assertEqual(self.subscribe_with_token(grant), [{"id": 2, "subscribe": subscribed}])
        self.clock.advance(60 + RESOLUTION_SECONDS)
        self.assertEqual(self.take(self.connection), [])
        self.clock.advance(REFRESH_GRACE_SECONDS)
        (push,) = self.take(self.connection)
        self.assertEqual(push["push"]["unsubscribe"]["code"], 2501)
        self.assertEqual(self.client.session.channels, ())

    def test_new_token_prolongs_it(self) -> None:
        self.subscribe_with_token(ChannelGrant(EPOCH + 60))
        self.send(self.client, {"id": 3, "sub_refresh": {"channel": "token", "token": "g.h.i"}})
        self.authenticator.channel_token_questions[1].resolve(ChannelGrant(EPOCH + 600))
        self.assertEqual(self.take(self.connection), [{"id": 3, "sub_refresh": {"expires": True, "ttl": 600}}])
        self.clock.advance(60 + REFRESH_GRACE_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(self.take(self.connection), [])

    def test_new_token_that_has_expired_is_an_error_and_a_bad_one_closes(self) -> None:
        for error, code in ((ClientError.TOKEN_EXPIRED, None), (ClientError.TOKEN, 3500)):
            self.setUp()
            self.subscribe_with_token(ChannelGrant(EPOCH + 60))
            self.send(self.client, {"id": 3, "sub_refresh": {"channel": "token", "token": "g.h.i"}})
            self.authenticator.channel_token_questions[1].resolve(error)
            if code is None:
                (reply,) = self.take(self.connection)
                self.assert_error(reply, 3, 110)
            self.assertEqual(self.close_codes(self.connection), [code] if code else [])

    def test_more_tokens_than_a_client_may_have_channels_are_not_checked_at_once(self) -> None:
        self.subscribe_with_token(ChannelGrant(EPOCH + 60))
        for command_id in range(3, 3 + MAX_CHANNELS + 1):
            self.send(self.client, {"id": command_id, "sub_refresh": {"channel": "token", "token": "g.h.i"}})
        (reply,) = self.take(self.connection)
        self.assert_error(reply, 3 + MAX_CHANNELS, 111)
        self.authenticator.channel_token_questions[1].resolve(ChannelGrant(EPOCH + 60))
        asked = len(self.authenticator.channel_token_questions)
        self.send(self.client, {"id": 999, "sub_refresh": {"channel": "token", "token": "g.h.i"}})
        self.assertEqual(len(self.authenticator.channel_token_questions), asked + 1)

    def test_refresh_of_a_channel_that_is_not_subscribed_is_denied(self) -> None:
        connection, client = self.connect(USER)
        self.send(client, {"id": 3, "sub_refresh": {"channel": "token", "token": "g.h.i"}})
        (reply,) = self.take(connection)
        self.assert_error(reply, 3, 103)

    def test_token_that_is_no_good_subscribes_to_nothing(self) -> None:
        for error, code in ((ClientError.TOKEN, 103), (ClientError.TOKEN_EXPIRED, 109), (ClientError.REVOKED, 103)):
            self.setUp()
            (reply,) = self.subscribe_with_token(error)
            self.assert_error(reply, 2, code)
            self.assertEqual((self.close_codes(self.connection), self.client.session.channels), ([], ()))

    def test_token_of_somebody_else_closes_the_connection(self) -> None:
        self.assertEqual(self.subscribe_with_token(ClientError.TOKEN_MISMATCH), [])
        self.assertEqual(self.close_codes(self.connection), [3500])

    def test_client_that_unsubscribed_meanwhile_stays_unsubscribed(self) -> None:
        connection, client = self.connect(USER)
        self.send(client, {"id": 2, "subscribe": {"channel": "token", "token": "d.e.f"}})
        self.send(client, {"id": 3, "unsubscribe": {"channel": "token"}})
        self.authenticator.channel_token_questions[0].resolve(ChannelGrant())
        self.assertEqual([reply["id"] for reply in self.take(connection)], [2, 3])
        self.assertEqual(self.broker.log, [])


class LateAnswerTests(CentrifugoCase):
    """Answers about a token that come when the client has unsubscribed, and subscribed to the channel once more."""

    LATE = ChannelGrant(EPOCH + 60, data=b"[1]")

    def subscribe_again(self, channel: str, **second: object) -> None:
        """Subscribe to a channel with a token, of which the answer is late, unsubscribe, and subscribe once more."""
        self.connection, self.client = self.connect(USER)
        self.send(self.client, {"id": 2, "subscribe": {"channel": channel, "token": "d.e.f"}})
        self.send(self.client, {"id": 3, "unsubscribe": {"channel": channel}})
        self.send(self.client, {"id": 4, "subscribe": {"channel": channel, **second}})
        self.take(self.connection)

    def assert_has_no_end(self) -> None:
        """Assert that the subscription does not end when the late token does."""
        self.clock.advance(60 + REFRESH_GRACE_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual((self.take(self.connection), self.close_codes(self.connection)), ([], []))

    def test_second_token_alone_decides_about_the_second_subscription(self) -> None:
        self.subscribe_again("token", token="g.h.i")
        first, second = self.authenticator.channel_token_questions
        first.resolve(self.LATE)
        self.assertEqual((self.broker.log, self.client._channel_access.terms("token")), ([], NO_TERMS))
        second.resolve(ClientError.TOKEN)
        (reply,) = self.take(self.connection)
        self.assert_error(reply, 4, 103)
        self.assertEqual(self.broker.log, [])

    def test_first_token_that_is_answered_last_changes_nothing(self) -> None:
        self.subscribe_again("token", token="g.h.i")
        first, second = self.authenticator.channel_token_questions
        second.resolve(ChannelGrant())
        first.resolve(self.LATE)
        self.broker.sink.subscribed("token")
        self.assertEqual(self.take(self.connection), [{"id": 4, "subscribe": {}}])
        self.assert_has_no_end()

    def test_subscription_without_a_token_has_no_terms_of_one(self) -> None:
        self.subscribe_again("room")
        self.authenticator.channel_token_questions[0].resolve(self.LATE)
        self.broker.sink.subscribed("room")
        self.assertEqual(self.take(self.connection), [{"id": 4, "subscribe": {}}])
        self.assert_has_no_end()

    def test_application_is_not_asked_about_a_channel_that_is_not_wanted_any_more(self) -> None:
        self.authenticator.asks_to_subscribe = lambda _channel: True
        self.subscribe_again("token", token="g.h.i")
        self.authenticator.channel_token_questions[0].resolve(self.LATE)
        self.assertEqual(self.authenticator.subscribe_questions, [])

    def test_new_token_of_the_first_subscription_is_none_of_the_second(self) -> None:
        for ends_by in ("unsubscribe", "the application"):
            self.setUp()
            self.connection, self.client = self.connect(USER)
            self.subscribe(self.connection, self.client, "room")
            self.send(self.client, {"id": 2, "sub_refresh": {"channel": "room", "token": "d.e.f"}})
            if ends_by == "unsubscribe":
                self.send(self.client, {"id": 3, "unsubscribe": {"channel": "room"}})
            else:
                self.client.end_subscription("room")
            reply, _end = self.take(self.connection)
            self.assert_error(reply, 2, 100)
            self.assertEqual(self.rejections, {"not_checked": 1})
            self.subscribe(self.connection, self.client, "room")
            self.authenticator.channel_token_questions[0].resolve(self.LATE)
            self.assert_has_no_end()


class ServerSubscriptionTests(CentrifugoCase):
    """Channels that the application subscribes a client to."""

    def test_client_is_told_by_a_push_before_its_first_publication(self) -> None:
        connection, client = self.connect(USER)
        client.subscribe_by_server(ServerSubscription("room", data=b"[1]"))
        self.assertEqual(self.take(connection), [])
        self.broker.sink.subscribed("room")
        self.assertEqual(self.take(connection), [{"push": {"channel": "room", "subscribe": {"data": [1]}}}])

    def test_subscription_ends_when_the_application_said_and_the_client_is_told(self) -> None:
        connection, client = self.connect(USER)
        client.subscribe_by_server(ServerSubscription("room", expires=EPOCH + 60))
        self.broker.sink.subscribed("room")
        self.take(connection)
        self.clock.advance(60 + REFRESH_GRACE_SECONDS + RESOLUTION_SECONDS)
        (push,) = self.take(connection)
        self.assertEqual((push["push"]["channel"], push["push"]["unsubscribe"]["code"]), ("room", 2501))
        self.assertEqual(client.session.channels, ())

    def test_subscription_that_has_ended_already_does_not_begin(self) -> None:
        connection, client = self.connect(USER)
        client.subscribe_by_server(ServerSubscription("room", expires=EPOCH))
        self.assertEqual((self.take(connection), client.session.channels, self.broker.log), ([], (), []))

    def test_channel_that_does_not_exist_or_is_subscribed_changes_nothing(self) -> None:
        connection, client = self.connect(USER)
        self.subscribe(connection, client, "room")
        client.subscribe_by_server(ServerSubscription("room"))
        client.subscribe_by_server(ServerSubscription("nowhere"))
        self.assertEqual((self.take(connection), client.session.channels), ([], ("room",)))

    def test_subscription_that_is_under_way_is_ended_by_the_application_too(self) -> None:
        connection, client = self.connect(USER)
        client.subscribe_by_server(ServerSubscription("room"))
        client.end_subscription("room")
        self.send(client, {"id": 2, "subscribe": {"channel": "room"}})
        client.end_subscription("room")
        self.broker.sink.subscribed("room")
        (reply,) = self.take(connection)
        self.assert_error(reply, 2, 100)
        self.assertTrue(reply["error"]["temporary"])
        self.assertEqual(client.session.channels, ())
        self.subscribe(connection, client, "room")

    def test_failure_is_nothing_that_the_client_is_told(self) -> None:
        connection, client = self.connect(ANONYMOUS)
        client.subscribe_by_server(ServerSubscription("room"))
        self.broker.sink.subscribe_failed("room")
        self.assertEqual((self.take(connection), client.session.channels), ([], ()))
