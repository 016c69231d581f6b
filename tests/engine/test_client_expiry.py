"""Tests of `wsrelay.engine.client`: credentials that expire."""

from __future__ import annotations

from tests.engine.harness import EPOCH, MOMENT, TOKEN_MESSAGE, EngineCase, messages_of
from tests.engine.test_client import LeavesWhenAccepted
from wsrelay.core.access.identity import Identity
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.channel_subscriptions import CHANNEL_LINGER_SECONDS
from wsrelay.engine.timers import RESOLUTION_SECONDS
from wsrelay.engine.wall_clock_timer import LONGEST_TIMER_SECONDS


class ExpiryTests(EngineCase):
    """Clients that are connected when their credential expires."""

    def test_client_is_closed_when_its_credential_expires_and_not_a_moment_before(self) -> None:
        connection, _ = self.join(Identity("42", expires=EPOCH + 60))
        self.clock.advance(60 - MOMENT)
        self.assertEqual(connection.disconnects, [])
        self.clock.advance(MOMENT + RESOLUTION_SECONDS)
        self.assertEqual(connection.disconnects, [Disconnect.CREDENTIAL_EXPIRED])

    def test_client_whose_credential_does_not_expire_has_no_timer(self) -> None:
        self.join()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_client_that_leaves_before_its_credential_expires_leaves_no_timer(self) -> None:
        connection, client = self.join(Identity("42", expires=EPOCH + 10 * LONGEST_TIMER_SECONDS))
        client.connection_lost()
        self.clock.pump([LONGEST_TIMER_SECONDS + RESOLUTION_SECONDS])
        self.assertEqual((connection.disconnects, self.clock.getDelayedCalls()), ([], []))

    def test_client_that_leaves_while_it_is_accepted_leaves_no_timer(self) -> None:
        self.join()
        connection, _ = self.open(connection=LeavesWhenAccepted())
        self.identify(Identity("42", expires=EPOCH + 10 * LONGEST_TIMER_SECONDS))
        self.assertTrue(connection.accepted)
        self.clock.pump([CHANNEL_LINGER_SECONDS, LONGEST_TIMER_SECONDS + RESOLUTION_SECONDS])
        self.assertEqual((connection.disconnects, self.clock.getDelayedCalls()), ([], []))

    def test_expiry_beyond_the_longest_timer_comes_in_its_time(self) -> None:
        end = 3.5 * LONGEST_TIMER_SECONDS
        connection, _ = self.join(Identity("42", expires=EPOCH + end))
        while self.clock.seconds() < end - 100:
            self.clock.advance(50)
            self.assertEqual((connection.disconnects, len(self.clock.getDelayedCalls())), ([], 1))
        self.clock.advance(100 + RESOLUTION_SECONDS)
        self.assertEqual(connection.disconnects, [Disconnect.CREDENTIAL_EXPIRED])

    def test_expiry_at_any_time_that_can_be_written_down_breaks_nothing(self) -> None:
        connection, _ = self.join(Identity("42", expires=1e300))
        self.clock.pump([LONGEST_TIMER_SECONDS] * 3)
        self.assertEqual(connection.disconnects, [])

    def test_expiry_goes_by_the_wall_clock_also_when_that_is_set(self) -> None:
        connection, _ = self.join(Identity("42", expires=EPOCH + 60))
        self.wall_clock_offset -= 100
        self.clock.advance(60 + RESOLUTION_SECONDS)
        self.assertEqual(connection.disconnects, [])
        self.clock.advance(100)
        self.assertEqual(connection.disconnects, [Disconnect.CREDENTIAL_EXPIRED])
        # At most the longest timer late.
        connection, _ = self.join(Identity("42", expires=self.now() + 10 * LONGEST_TIMER_SECONDS))
        self.wall_clock_offset += 10 * LONGEST_TIMER_SECONDS
        self.clock.advance(LONGEST_TIMER_SECONDS + RESOLUTION_SECONDS)
        self.assertEqual(connection.disconnects, [Disconnect.CREDENTIAL_EXPIRED])


class ExpiredBeforeTests(EngineCase):
    """Credentials that expire before their client is connected."""

    def test_credential_that_expires_while_the_broker_is_asked_is_rejected(self) -> None:
        connection, _ = self.open()
        self.identify(Identity("42", expires=EPOCH + 1))
        self.clock.advance(1 + RESOLUTION_SECONDS)
        self.broker.sink.subscribed("room")
        self.assertEqual((connection.responses, connection.accepted), ([ClientError.TOKEN_EXPIRED.response], False))

    def test_credential_that_has_expired_already_is_rejected_without_asking_the_broker(self) -> None:
        for end in (EPOCH, EPOCH - 1, -1.0):
            self.setUp()
            connection, _ = self.open()
            self.identify(Identity("42", expires=end))
            self.assert_rejected(connection, ClientError.TOKEN_EXPIRED)
            self.broker.sink.subscribed("room")
            self.deliver("room", b"1")
            self.assertEqual((connection.sent, connection.disconnects), ([], []))

    def test_credential_that_has_expired_is_rejected_where_the_channel_is_confirmed_already(self) -> None:
        other, _ = self.join(connection_id="other")
        connection, client = self.open()
        self.identify(Identity("42", expires=EPOCH))
        self.assertEqual((connection.responses, connection.accepted), ([ClientError.TOKEN_EXPIRED.response], False))
        client.connection_lost()
        self.deliver("room", b"1")
        self.assertEqual((messages_of(other), connection.sent), ([b"1"], []))

    def test_credential_that_expires_during_the_lookup_is_rejected(self) -> None:
        for message, outcome in (
            (None, ([ClientError.TOKEN_EXPIRED.response], [])),
            (TOKEN_MESSAGE, ([], [Disconnect.CREDENTIAL_EXPIRED])),
        ):
            self.setUp()
            self.store.is_slow = True
            if message is None:
                connection, client = self.open()
            else:
                connection, client = self.open_with_first_message()
                client.received(Message(message))
            self.identify(Identity("42", expires=EPOCH + 5))
            self.clock.advance(6)
            self.store.answers[0].callback([False] * 2)
            self.assertEqual((connection.responses, connection.disconnects), outcome)
            self.assertEqual(self.broker.log, [])
