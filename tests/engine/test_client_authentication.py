"""Tests of `wsrelay.engine.client`: clients that show their credential in their handshake."""

from __future__ import annotations

from dataclasses import replace

from tests.engine.harness import CONNECTION_ID, MOMENT, TOKEN, USER, EngineCase
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.sessions.effects import Effect
from wsrelay.core.sessions.session import Session
from wsrelay.engine.client_credential import AUTHENTICATE_TIMEOUT_SECONDS

OUTAGE = BrokerUnavailable("the test says so")


class AuthenticationTests(EngineCase):
    """A client is authenticated before anything is done for it."""

    def test_authenticator_is_asked_first_then_the_broker_and_then_the_client_is_accepted(self) -> None:
        connection, _ = self.open()
        (question,) = self.authenticator.questions
        self.assertEqual(
            (question.credential, question.channels, question.handshake.path), (TOKEN, ("room",), "/ws/room")
        )
        self.assertEqual((self.broker.log, connection.accepted), ([], False))
        question.resolve(USER)
        self.assertEqual((self.broker.log, connection.accepted), ([("subscribe", ["room"])], False))
        self.broker.sink.subscribed("room")
        self.assertEqual((connection.accepted, connection.connection_id, connection.sent), (True, CONNECTION_ID, []))
        self.assertEqual((connection.responses, connection.disconnects), ([], []))

    def test_missing_credential_is_rejected_where_one_is_needed(self) -> None:
        connection, _ = self.open_anonymous("room")
        self.assert_rejected(connection, ClientError.NO_CREDENTIAL)

    def test_authenticator_may_be_asked_about_every_client(self) -> None:
        self.authenticator.authenticates_everyone = True
        connection, _ = self.open_anonymous("room")
        self.assertIsNone(self.authenticator.questions[0].credential)
        self.identify(USER)
        self.broker.sink.subscribed("room")
        self.assertTrue(connection.accepted)

    def test_client_that_is_found_to_be_anonymous_has_its_connection_id_as_its_one_target(self) -> None:
        connection, _ = self.join(ANONYMOUS, "public")
        self.assertEqual((connection.accepted, connection.connection_id), (True, CONNECTION_ID))
        self.assertEqual(self.node.registry.targets(), [f"connection:{CONNECTION_ID}"])

    def test_credential_that_cannot_be_read_is_rejected_without_a_question(self) -> None:
        for client_error in (ClientError.AMBIGUOUS, ClientError.NO_ORIGIN, ClientError.TICKET):
            self.authenticator.credential = client_error
            connection, _ = self.open("public")
            self.assertEqual((connection.responses, self.authenticator.questions), ([client_error.response], []))
        self.assertEqual(self.rejections, {"ambiguous": 1, "no_origin": 1, "ticket": 1})

    def test_rejected_client_gets_the_response_of_its_error(self) -> None:
        for client_error in (ClientError.TICKET, ClientError.TOKEN_EXPIRED, ClientError.HOOK, ClientError.NOT_CHECKED):
            self.setUp()
            connection, _ = self.open()
            self.identify(client_error)
            self.assert_rejected(connection, client_error)

    def test_authenticated_client_is_rejected_from_the_channel_of_another_user(self) -> None:
        connection, _ = self.open("user:43")
        self.identify(USER)
        self.assert_rejected(connection, ClientError.CHANNEL_DENIED)

    def test_ambient_credential_that_is_not_valid_matters_only_where_one_is_needed(self) -> None:
        rejected = Identity(is_authenticated=False, cookie_error=ClientError.TOKEN_EXPIRED)
        self.join(rejected, "public")
        self.setUp()
        connection, _ = self.open("room")
        self.identify(rejected)
        self.assert_rejected(connection, ClientError.TOKEN_EXPIRED)

    def test_late_answer_about_a_client_that_has_left_has_no_effect(self) -> None:
        for answer in (USER, ANONYMOUS, ClientError.TICKET, OUTAGE):
            connection, client = self.open()
            client.connection_lost()
            self.identify(answer)
            self.assertEqual((connection.accepted, connection.responses, connection.disconnects), (False, [], []))
        self.assertEqual((len(self.node.registry), self.broker.log, self.rejections), (0, [], {}))

    def test_client_is_rejected_and_the_question_given_up_without_an_answer_in_time(self) -> None:
        connection, _ = self.open()
        self.clock.advance(AUTHENTICATE_TIMEOUT_SECONDS - MOMENT)
        self.assertEqual(connection.responses, [])
        self.clock.advance(MOMENT)
        self.assert_rejected(connection, ClientError.NOT_CHECKED)
        self.assertTrue(self.authenticator.questions[0].is_cancelled)
        self.identify(USER)
        self.assertEqual((connection.accepted, self.broker.log), (False, []))

    def test_client_is_rejected_where_the_authenticator_needs_a_broker_that_is_away(self) -> None:
        connection, _ = self.open()
        self.identify(OUTAGE)
        self.assert_rejected(connection, ClientError.NOT_CHECKED)

    def test_failure_of_ours_is_logged_once_and_accepts_nobody(self) -> None:
        connection, _ = self.open()
        self.identify(ZeroDivisionError())
        self.authenticator.failure = ZeroDivisionError()
        other, _ = self.open()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        for each in (connection, other):
            self.assertEqual((each.disconnects, each.accepted), ([Disconnect.INTERNAL_ERROR], False))
        self.assertEqual(self.broker.log, [])


class RevokedCredentialTests(EngineCase):
    """Clients that are revoked before they come."""

    def test_client_that_is_revoked_by_any_target_is_rejected(self) -> None:
        for target in (f"connection:{CONNECTION_ID}", "user:42", "token:jti"):
            self.setUp()
            self.store.revoke(target, 60)
            connection, _ = self.open()
            self.identify(USER)
            self.assert_rejected(connection, ClientError.REVOKED)

    def test_targets_of_others_reject_nobody(self) -> None:
        for target in ("user:4", "user:422", "token:42", "user:jti", "connection:5f0"):
            self.store.revoke(target, 60)
        self.join()

    def test_revoked_user_is_rejected_from_public_channels_too(self) -> None:
        self.store.revoke("user:42", 60)
        connection, _ = self.open("public")
        self.identify(USER)
        self.assert_rejected(connection, ClientError.REVOKED)

    def test_client_is_rejected_where_the_store_is_away(self) -> None:
        self.store.is_slow = True
        connection, _ = self.open()
        self.identify(USER)
        self.assertEqual(self.store.lookups, [[f"connection:{CONNECTION_ID}", "user:42", "token:jti"]])
        self.assertEqual((connection.responses, self.broker.log), ([], []))
        self.store.answers[0].errback(OUTAGE)
        self.assert_rejected(connection, ClientError.NOT_CHECKED)

    def test_all_questions_together_have_one_deadline(self) -> None:
        self.store.is_slow = True
        connection, _ = self.open()
        self.clock.advance(AUTHENTICATE_TIMEOUT_SECONDS - 1)
        self.identify(USER)
        self.clock.advance(1 - MOMENT)
        self.assertEqual(connection.responses, [])
        self.clock.advance(MOMENT)
        self.assert_rejected(connection, ClientError.NOT_CHECKED)
        self.store.answers[0].callback([False] * 3)
        self.assertEqual((connection.accepted, self.broker.log), (False, []))

    def test_client_that_leaves_during_the_lookup_is_removed_at_once(self) -> None:
        self.store.is_slow = True
        for is_revoked in (True, False):
            connection, client = self.open()
            self.identify(USER)
            client.connection_lost()
            self.assertEqual(len(self.node.registry), 0)
            self.store.answers.pop().callback([is_revoked] * 3)
            self.assertEqual((connection.accepted, connection.responses, len(self.node.registry)), (False, [], 0))

    def test_anonymous_client_is_not_looked_up(self) -> None:
        connection, _ = self.join(ANONYMOUS, "public")
        self.assertEqual((connection.accepted, self.store.lookups), (True, []))


class ImmediateIdentityTests(EngineCase):
    """Clients about whom nobody is asked, as with a token whose key is known: only what is revoked is looked up."""

    def setUp(self) -> None:
        super().setUp()
        self.authenticator.immediate_answer = USER

    def test_client_is_accepted_as_one_about_whom_somebody_is_asked(self) -> None:
        connection, client = self.open()
        self.assertEqual(self.store.lookups, [[f"connection:{CONNECTION_ID}", "user:42", "token:jti"]])
        self.broker.sink.subscribed("room")
        self.assertTrue(connection.accepted)
        self.assertIs(client.registered_as, USER)
        self.assertEqual(self.node.registry.authenticated_clients, 1)

    def test_crowd_is_looked_up_together_and_each_gets_its_own_answer(self) -> None:
        self.store.is_slow = True
        crowd = [self.open() for _ in range(4)]
        self.assertEqual([len(each) for each in self.store.lookups], [3])
        self.clock.advance(0)
        self.assertEqual([len(each) for each in self.store.lookups], [3, 9])
        self.store.answers[0].callback([False] * 3)
        self.store.answers[1].callback([False] * 4 + [True] + [False] * 4)
        self.broker.sink.subscribed("room")
        self.assertEqual([each.accepted for each, _ in crowd], [True, True, False, True])
        self.assertEqual(crowd[2][0].responses, [ClientError.REVOKED.response])

    def test_client_is_registered_before_it_is_looked_up(self) -> None:
        self.store.is_slow = True
        connection, _ = self.open()
        self.node.registry.disconnect("token:jti", Disconnect.REVOKED)
        self.store.answers[0].callback([False] * 3)
        self.assertEqual((connection.accepted, self.broker.log), (False, []))

    def test_client_that_is_revoked_by_any_target_is_rejected(self) -> None:
        for target in (f"connection:{CONNECTION_ID}", "user:42", "token:jti"):
            self.setUp()
            self.store.revoke(target, 60)
            self.assert_rejected(self.open()[0], ClientError.REVOKED)

    def test_every_identity_that_was_reported_is_looked_up(self) -> None:
        self.authenticator.early_identity = Identity(subject="43")
        self.store.revoke("user:43", 60)
        self.assert_rejected(self.open()[0], ClientError.REVOKED)

    def test_expired_client_is_rejected_after_the_lookup(self) -> None:
        self.authenticator.immediate_answer = replace(USER, expires=self.now())
        self.assert_rejected(self.open()[0], ClientError.TOKEN_EXPIRED)
        self.assertEqual(len(self.store.lookups), 1)

    def test_client_is_rejected_where_the_store_is_away(self) -> None:
        self.store.failure = OUTAGE
        self.assert_rejected(self.open()[0], ClientError.NOT_CHECKED)

    def test_client_is_rejected_without_an_answer_in_time(self) -> None:
        self.store.is_slow = True
        connection, _ = self.open()
        self.clock.advance(AUTHENTICATE_TIMEOUT_SECONDS - MOMENT)
        self.assertEqual(connection.responses, [])
        self.clock.advance(MOMENT)
        self.assert_rejected(connection, ClientError.NOT_CHECKED)

    def test_client_that_leaves_during_the_lookup_is_removed_at_once(self) -> None:
        self.store.is_slow = True
        for is_revoked in (True, False):
            connection, client = self.open()
            client.connection_lost()
            self.assertEqual((len(self.node.registry), len(self.node.revocation_lookups)), (0, 0))
            self.store.answers.pop().callback([is_revoked] * 3)
            self.assertEqual((connection.accepted, connection.responses), (False, []))

    def test_rejection_is_the_answer_and_nothing_is_looked_up(self) -> None:
        for client_error in (ClientError.TOKEN, ClientError.TOKEN_EXPIRED, ClientError.NOT_CHECKED):
            self.setUp()
            self.authenticator.immediate_answer = client_error
            self.assert_rejected(self.open()[0], client_error)
            self.assertEqual(self.store.lookups, [])

    def test_failure_of_ours_costs_one_client_of_a_crowd(self) -> None:
        self.store.is_slow = True
        opened = [self.open()[0] for _ in range(3)]
        self.clock.advance(0)
        ordinary, seen = Session.authenticated, list[Identity]()

        def authenticated(session: Session, identity: Identity) -> list[Effect]:
            seen.append(identity)
            if len(seen) == 2:
                raise ZeroDivisionError
            return ordinary(session, identity)

        self.patch(Session, "authenticated", authenticated)
        self.store.answers[0].callback([False] * 3)
        self.store.answers[1].callback([False] * 6)
        self.broker.sink.subscribed("room")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([each.accepted for each in opened], [True, False, True])
        self.assertEqual(opened[1].disconnects, [Disconnect.INTERNAL_ERROR])
