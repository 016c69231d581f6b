"""Tests of `wsrelay.auth.answer_cache`, through the hook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from tests.auth.hook_case import (
    EPOCH,
    HANDSHAKE,
    USER,
    HookCase,
    allow,
    response,
)
from wsrelay.auth.answer_cache import MAX_CACHED
from wsrelay.core.access.identity import ANONYMOUS, ApplicationAnswer, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import FetchError


class CacheTests(HookCase):
    """The cache of answers."""

    def setUp(self) -> None:
        super().setUp()
        self.make(forward_headers=["cookie"], cache_seconds=30.0)

    def test_answers_are_cached_for_equal_questions_until_they_are_too_old(self) -> None:
        self.assertEqual(self.identity_after(allow(sub="8")).subject, "8")
        self.clock.advance(29.9)
        self.assertEqual(self.successResultOf(self.connect()).subject, "8")
        self.clock.advance(0.1)
        self.assertEqual(self.error_after(response(403)), ClientError.HOOK)
        self.assertEqual(self.client_error(self.connect()), ClientError.HOOK)
        self.assertEqual((len(self.endpoint.requests), self.counters), (2, {"allowed": 1, "denied": 1, "cached": 2}))

    def test_answer_with_very_many_channels_is_not_cached(self) -> None:
        """Ten thousand of them would fill the memory."""
        self.identity_after(allow(sub="8", channels=["a"] * 10, publish=["b"] * 11))
        self.assertEqual(self.identity_after(allow(sub="9")).subject, "9")
        self.assertEqual(self.counters["cached"], 0)

    def test_answer_with_much_data_is_not_cached(self) -> None:
        for answer in (
            allow(sub="8", subs={f"a{n}": {} for n in range(21)}),
            allow(sub="8", info="x" * 2000, subs={"a": {"info": "x" * 1000, "data": "x" * 1100}}),
        ):
            self.identity_after(answer)
            self.assertEqual(self.identity_after(allow(sub="9", info="x" * 4000)).subject, "9")
            self.assertEqual(self.counters["cached"], 0)
            self.hook.clear_cache()

    def test_cleared_cache_asks_again(self) -> None:
        self.identity_after(allow(sub="8"))
        self.hook.clear_cache()
        self.assertEqual(self.identity_after(allow(sub="9")).subject, "9")

    def test_answer_to_a_question_from_before_the_cache_was_cleared_is_for_those_who_wait_and_not_kept(self) -> None:
        before = self.connect()
        self.hook.clear_cache()
        since = self.connect()
        self.assertEqual((self.hook.pending_questions, self.hook.waiting_clients), (2, 2))
        self.endpoint.respond(allow(sub="8"), 0)
        self.assertEqual((self.successResultOf(before).subject, self.hook.pending_questions), ("8", 1))
        self.assertNoResult(self.connect())
        self.endpoint.respond(allow(sub="9"), 1)
        self.assertEqual(self.successResultOf(since).subject, "9")
        self.assertEqual(self.successResultOf(self.connect()).subject, "9")
        self.assertEqual((len(self.endpoint.requests), self.hook.pending_questions), (2, 0))

    def test_cached_question_does_not_name_the_connection(self) -> None:
        self.identity_after(allow(sub="8"))
        self.assertEqual(
            self.successResultOf(self.hook.connect(ANONYMOUS, replace(HANDSHAKE, connection="6"), ["room"])).subject,
            "8",
        )
        self.assertIsNone(self.endpoint.requests[0].question["connection"])

    def test_any_other_question_is_asked(self) -> None:
        others: list[Callable[[], object]] = [
            lambda: self.connect(),
            lambda: self.connect(USER),
            lambda: self.connect(peer="192.0.2.8"),
            lambda: self.hook.connect(ANONYMOUS, HANDSHAKE, ["room", "other"]),
            lambda: self.hook.connect(ANONYMOUS, replace(HANDSHAKE, cookie="sid=other"), ["room"]),
            lambda: self.hook.connect(ANONYMOUS, replace(HANDSHAKE, origin=None), ["room"]),
            lambda: self.hook.connect(ANONYMOUS, replace(HANDSHAKE, path="/ws/other"), ["room"]),
        ]
        for ask in others:
            self.endpoint.answers.append(response(204))
            ask()
        self.assertEqual(len(self.endpoint.requests), len(others))

    def test_cached_answer_is_merged_with_each_client_s_own_credential(self) -> None:
        self.identity_after(allow(channels=["a"]), USER)
        other = Identity("7", ("b",), None, EPOCH + 10, "jti:2")
        self.assertEqual(self.successResultOf(self.connect(other)), replace(other, channels=("a",)))
        self.assertEqual(self.error_after(response(401)), ClientError.NO_CREDENTIAL)
        self.assertEqual(self.client_error(self.connect(Identity())), ClientError.HOOK)
        self.assertEqual(len(self.endpoint.requests), 2)

    def test_expired_identity_is_asked_about_again(self) -> None:
        self.identity_after(allow(sub="8", exp=EPOCH + 10))
        self.clock.advance(10)
        self.assertEqual(self.identity_after(allow(sub="8", exp=EPOCH + 90)).expires, EPOCH + 90)

    def test_failures_are_not_cached(self) -> None:
        for answer in (
            response(500),
            response(404),
            response(200),
            allow(sub={}),
            FetchError("it did not answer in time"),
        ):
            self.error_after(answer)
        self.assertEqual((len(self.endpoint.requests), self.counters), (5, {"failed": 5}))

    def test_nothing_is_cached_for_zero_seconds(self) -> None:
        self.make(cache_seconds=0.0)
        self.identity_after(response(204))
        self.identity_after(response(204))
        self.assertEqual(self.counters, {"allowed": 2})

    def test_oldest_answer_is_dropped_from_a_full_cache(self) -> None:
        self.endpoint.answers = [response(204)] * (MAX_CACHED + 2)
        for number in range(MAX_CACHED + 1):
            self.connect(peer=str(number))
        self.connect(peer="1")
        self.assertEqual(self.counters["cached"], 1)
        self.connect(peer="0")
        self.assertEqual(self.counters, {"allowed": MAX_CACHED + 2, "cached": 1})

    def test_answers_about_messages_are_not_cached(self) -> None:
        self.endpoint.answers = [response(204), response(403)]
        self.successResultOf(self.publish())
        self.assertEqual(self.client_error(self.publish()), ClientError.PUBLISH_DENIED)

    def test_cached_answers_hold_while_the_breaker_is_open(self) -> None:
        self.endpoint.answers = [response(204)]
        self.successResultOf(self.connect(peer="192.0.2.8"))
        self.open_breaker()
        self.successResultOf(self.connect(peer="192.0.2.8"))
        self.assertEqual(self.counters, {"allowed": 1, "failed": 5, "cached": 1})


class ShareTests(HookCase):
    """Questions in flight that several clients share."""

    def test_simultaneous_equal_questions_share_one_request(self) -> None:
        other = replace(USER, expires=EPOCH + 10, credential_id="jti:2")
        clients = [self.connect(USER), self.connect(other)]
        self.assertEqual(len(self.endpoint.requests), 1)
        self.endpoint.respond(allow(exp=EPOCH + 50))
        expected = replace(USER, expires=EPOCH + 50, answer=ApplicationAnswer(EPOCH + 50))
        self.assertEqual(self.successResultOf(clients[0]), expected)
        self.assertEqual(self.successResultOf(clients[1]), replace(other, answer=ApplicationAnswer(EPOCH + 50)))
        self.assertEqual(self.counters, {"allowed": 1})

    def test_shared_failure_rejects_all_and_counts_once(self) -> None:
        clients = [self.connect() for _ in range(10)]
        self.endpoint.respond(response(500))
        self.assertEqual({self.client_error(client) for client in clients}, {ClientError.NOT_CHECKED})
        self.assertEqual(self.counters, {"failed": 1})
        self.assertFalse(self.hook.is_open)

    def test_cancelling_one_client_leaves_the_others_waiting(self) -> None:
        leaving, staying = self.connect(), self.connect()
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.endpoint.respond(response(204))
        self.successResultOf(staying)

    def test_answer_is_cached_even_if_every_client_has_cancelled(self) -> None:
        self.make(cache_seconds=30.0)
        leaving = self.connect()
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.assertFalse(self.endpoint.requests[0].is_cancelled)
        staying = self.connect()
        self.endpoint.respond(response(204))
        self.successResultOf(staying)
        self.successResultOf(self.connect())
        self.assertEqual(len(self.endpoint.requests), 1)

    def test_cancelled_clients_are_released(self) -> None:
        for _ in range(10):
            leaving = self.connect()
            leaving.cancel()
            self.failureResultOf(leaving, CancelledError)
        self.assertEqual((self.hook.pending_questions, self.hook.waiting_clients), (1, 0))
        self.endpoint.respond(response(204))
        self.assertEqual((self.hook.pending_questions, self.hook.waiting_clients), (0, 0))

    def test_callback_may_cancel_other_waiting_clients(self) -> None:
        clients = [self.connect() for _ in range(3)]

        def leave(outcome: Identity | Failure) -> Identity | Failure:
            for client in clients:
                client.cancel()
            return outcome

        outcomes: list[Identity | Failure] = []
        for client in clients:
            client.addBoth(leave).addBoth(outcomes.append)
        self.endpoint.respond(response(204))
        self.assertEqual([isinstance(outcome, Identity) for outcome in outcomes].count(True), 1)
        self.assertEqual(len(outcomes), 3)

    def test_question_after_the_answer_is_asked_again(self) -> None:
        self.identity_after(response(204))
        self.connect()
        self.assertEqual(len(self.endpoint.requests), 2)

    def test_closed_http_client_rejects_without_counting_a_failure(self) -> None:
        client = self.connect()
        self.endpoint.requests[0].response.cancel()
        self.assertEqual(self.client_error(client), ClientError.NOT_CHECKED)
        self.assertEqual((self.counters, self.log_lines()), ({}, []))
