"""Tests of `wsrelay.auth.hook_client`, through the hook."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import CancelledError

from tests.auth.hook_case import (
    HANDSHAKE,
    HookCase,
    allow,
    response,
)
from wsrelay.auth.hook_client import MAX_IN_FLIGHT, MAX_IN_FLIGHT_PER_PARTY, MAX_LOGGED_PROBLEMS, RECOVERY_SECONDS
from wsrelay.core.access.identity import ANONYMOUS, ApplicationAnswer, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import FetchError, FetchTimeoutError, RejectedError


class LimitTests(HookCase):
    """Limits of the requests in flight."""

    def test_request_above_the_limit_is_rejected_at_once(self) -> None:
        clients = [self.connect(peer=str(number)) for number in range(MAX_IN_FLIGHT)]
        for _ in range(2):
            self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)
        self.assertEqual((len(self.endpoint.requests), self.counters), (MAX_IN_FLIGHT, {"skipped": 2}))
        for number in range(MAX_IN_FLIGHT):
            self.endpoint.respond(response(204), number)
        for client in clients:
            self.successResultOf(client)
        self.assertEqual(self.identity_after(response(204)), ANONYMOUS)

    def test_cancelled_message_frees_its_request(self) -> None:
        messages = [self.publish() for _ in range(MAX_IN_FLIGHT_PER_PARTY + 1)]
        messages[0].cancel()
        self.failureResultOf(messages[0], CancelledError)
        self.assertTrue(self.endpoint.requests[0].is_cancelled)
        self.assertEqual((len(self.endpoint.requests), self.counters), (MAX_IN_FLIGHT_PER_PARTY + 1, {}))

    def test_party_is_an_address_an_ipv6_network_or_a_user(self) -> None:
        here = replace(HANDSHAKE, peer="2001:db8::1")
        for number in range(MAX_IN_FLIGHT):
            asked = self.hook.connect(ANONYMOUS, replace(here, peer=f"2001:db8::{number:x}"), ["room"])
            asked.addErrback(lambda failure: failure.trap(RejectedError) and None)
        self.assertEqual(len(self.endpoint.requests), MAX_IN_FLIGHT_PER_PARTY)
        nobody = replace(ANONYMOUS, answer=ApplicationAnswer(address="2001:db8::ffff"))
        waiting = self.hook.publish(nobody, "room", b"x")
        self.assertEqual(len(self.endpoint.requests), MAX_IN_FLIGHT_PER_PARTY)
        waiting.addErrback(lambda failure: failure.trap(CancelledError) and None).cancel()
        self.hook.publish(Identity("2001:db8::"), "room", b"x")
        self.hook.publish(replace(ANONYMOUS, answer=ApplicationAnswer(address="192.0.2.8")), "room", b"x")
        self.assertEqual(len(self.endpoint.requests), MAX_IN_FLIGHT_PER_PARTY + 2)

    def test_one_party_takes_at_most_half_of_the_requests(self) -> None:
        for number in range(MAX_IN_FLIGHT):
            asked = self.hook.connect(ANONYMOUS, replace(HANDSHAKE, connection=str(number)), ["room"])
            asked.addErrback(lambda failure: failure.trap(RejectedError) and None)
        self.assertEqual((len(self.endpoint.requests), self.counters["skipped"]), (MAX_IN_FLIGHT_PER_PARTY,) * 2)
        self.connect(peer="192.0.2.8")
        self.assertEqual(len(self.endpoint.requests), MAX_IN_FLIGHT_PER_PARTY + 1)


class OutageTests(HookCase):
    """An endpoint that fails."""

    def test_breaker_opens_after_five_failures_or_overloads(self) -> None:
        for answer in (response(502), response(503), response(504), response(429), FetchError("refused")):
            self.assertFalse(self.hook.is_open)
            self.error_after(answer)
        self.assertTrue(self.hook.is_open)
        self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)
        self.assertEqual(self.client_error(self.publish()), ClientError.NOT_CHECKED)
        self.assertEqual((len(self.endpoint.requests), self.counters), (5, {"failed": 5, "skipped": 2}))

    def test_invalid_answers_reject_but_do_not_open_the_breaker(self) -> None:
        for answer in [response(500), response(404), response(302), response(200, b"ok"), allow(sub={})] * 3:
            self.error_after(answer)
        self.assertFalse(self.hook.is_open)
        self.assertEqual(self.identity_after(response(204)), ANONYMOUS)

    def test_timeouts_of_one_party_count_once(self) -> None:
        late = FetchTimeoutError("there was no whole answer within 5 s")
        for _ in range(20):
            self.error_after(late)
        self.assertFalse(self.hook.is_open)
        for peer in "123":
            self.endpoint.answers.append(response(504))
            self.client_error(self.connect(peer=peer))
            self.assertFalse(self.hook.is_open)
        self.endpoint.answers.append(late)
        self.client_error(self.connect(peer="4"))
        self.assertTrue(self.hook.is_open)

    def test_any_answer_resets_the_count_of_failures(self) -> None:
        late = FetchTimeoutError("there was no whole answer within 5 s")
        for _ in range(3):
            for peer in "1234":
                self.endpoint.answers.append(late)
                self.client_error(self.connect(peer=peer))
            self.identity_after(response(204))
        self.assertFalse(self.hook.is_open)

    def test_answered_trial_closes_the_breaker(self) -> None:
        self.open_breaker()
        self.clock.advance(1.0)
        trial = self.connect()
        self.assertEqual(self.client_error(self.connect(peer="192.0.2.8")), ClientError.NOT_CHECKED)
        self.endpoint.respond(response(403))
        self.assertEqual(self.client_error(trial), ClientError.HOOK)
        self.assertFalse(self.hook.is_open)
        self.identity_after(response(204))

    def test_failed_trial_keeps_the_breaker_open(self) -> None:
        self.open_breaker()
        self.clock.advance(1.0)
        self.error_after(response(503))
        self.assertTrue(self.hook.is_open)
        self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)
        self.assertEqual(len(self.endpoint.requests), 6)

    def test_cancelled_trial_is_replaced_by_the_next_request(self) -> None:
        self.open_breaker()
        self.clock.advance(1.0)
        trial = self.publish()
        trial.cancel()
        self.failureResultOf(trial, CancelledError)
        self.identity_after(response(204))
        self.assertFalse(self.hook.is_open)

    def test_failure_of_an_older_request_does_not_end_the_trial(self) -> None:
        self.publish().addErrback(lambda failure: failure.trap(RejectedError))
        self.open_breaker()
        self.clock.advance(1.0)
        trial = self.connect()
        self.endpoint.respond(FetchError("it did not answer in time"), 0)
        self.clock.advance(30.0)
        self.assertEqual(self.client_error(self.connect(peer="192.0.2.8")), ClientError.NOT_CHECKED)
        self.endpoint.respond(response(204))
        self.successResultOf(trial)
        self.assertFalse(self.hook.is_open)

    def test_outage_is_logged_when_it_begins_and_when_it_ends(self) -> None:
        self.open_breaker()
        self.clock.advance(RECOVERY_SECONDS)
        self.identity_after(response(204))
        self.identity_after(response(204))
        began, over = self.log_lines()
        self.assertIn("it did not answer in time", began)
        self.assertEqual(over, "the hook works again")
        self.error_after(response(500))
        self.assertEqual(len(self.log_lines()), 3)

    def test_intermittent_failures_are_one_outage(self) -> None:
        for _ in range(20):
            self.error_after(response(500))
            self.clock.advance(RECOVERY_SECONDS / 2)
            self.identity_after(response(204))
        self.assertEqual(len(self.log_lines()), 1)

    def test_each_reason_is_logged_once_up_to_a_bound(self) -> None:
        for number in range(MAX_LOGGED_PROBLEMS + 5):
            for _ in range(3):
                self.error_after(FetchError(f"reason {number}"))
                self.identity_after(response(204))
        self.assertEqual(len(self.log_lines()), MAX_LOGGED_PROBLEMS)
