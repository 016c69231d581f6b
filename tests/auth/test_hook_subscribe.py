"""Tests of `wsrelay.auth.hook.Hook.subscribe`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from tests.auth.hook_case import (
    BODIES,
    OTHER_STATUSES,
    SECRET,
    URL,
    USER,
    HookCase,
    allow,
    response,
)
from wsrelay.auth.answer_cache import MAX_CACHED
from wsrelay.auth.hook_client import MAX_IN_FLIGHT, MAX_IN_FLIGHT_PER_PARTY
from wsrelay.core.access.identity import ANONYMOUS, ApplicationAnswer, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import FetchError, FetchTimeoutError, RejectedError
from wsrelay.outgoing.http_client import HTTPResponse


def is_json_object(body: bytes) -> bool:
    """Return whether a body is one JSON object."""
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


class SubscribeTests(HookCase):
    """Questions about channels that a client did not name in its handshake."""

    def subscribe(self, identity: Identity | None = None, channel: str = "room") -> Deferred[None]:
        """Subscribe, by default as an authenticated client that has connected."""
        return self.hook.subscribe(self.connected(USER) if identity is None else identity, channel)

    @staticmethod
    def connected(identity: Identity, address: str = "192.0.2.7", connection: str = "5f0c") -> Identity:
        """Return the identity as `Hook.connect` returns it."""
        return replace(identity, answer=ApplicationAnswer(address=address, connection=connection))

    def subscribe_error(self, outcome: HTTPResponse | Exception, identity: Identity | None = None) -> ClientError:
        """Return the error with which a subscribe is rejected after this answer."""
        self.endpoint.answers.append(outcome)
        return self.client_error(self.subscribe(identity))

    def test_identity_names_address_and_connection_after_connect(self) -> None:
        for identity in (ANONYMOUS, USER):
            connected = self.identity_after(response(204), identity)
            self.assertEqual((connected.answer.address, connected.answer.connection), ("192.0.2.7", "5f0c"))

    def test_question_names_channel_user_address_and_connection(self) -> None:
        self.make(secret=SECRET, forward_headers=["cookie", "authorization"])
        self.subscribe()
        self.subscribe(self.connected(ANONYMOUS), "lobby")
        known, anonymous = self.endpoint.requests
        self.assertEqual(known.line, ("POST", URL))
        self.assertEqual(known.headers["Authorization"], f"Bearer {SECRET}")
        expected = {"event": "subscribe", "channel": "room", "address": "192.0.2.7", "user": "7", "connection": "5f0c"}
        self.assertEqual(known.question, expected)
        self.assertEqual(anonymous.question, {**expected, "channel": "lobby", "user": None})

    def test_status_204_or_200_with_a_json_object_permits_whatever_is_in_it(self) -> None:
        for answer in (response(200, b"{}"), allow(colour="blue"), allow(channels=[]), response(204)):
            for identity in (USER, ANONYMOUS):
                self.endpoint.answers.append(answer)
                self.assertIsNone(self.successResultOf(self.subscribe(self.connected(identity))))
        self.assertEqual(self.counters, {"allowed": 8})

    def test_status_401_asks_for_a_credential_where_there_was_none_and_403_rejects(self) -> None:
        self.assertEqual(self.subscribe_error(response(401), self.connected(ANONYMOUS)), ClientError.NO_CREDENTIAL)
        self.assertEqual(self.subscribe_error(response(401)), ClientError.HOOK)
        self.assertEqual(self.subscribe_error(response(403), self.connected(ANONYMOUS)), ClientError.HOOK)
        self.assertEqual(self.subscribe_error(response(403)), ClientError.HOOK)
        self.assertEqual((self.counters, self.log_lines()), ({"denied": 4}, []))

    def test_status_200_without_a_json_object_is_no_answer(self) -> None:
        for body in (b"", b"ok", b"<html>", b"true", b"{"):
            self.make()
            self.assertEqual(self.subscribe_error(response(200, body)), ClientError.NOT_CHECKED)
            self.assertEqual(self.counters, {"failed": 1})

    def test_other_statuses_are_no_answer(self) -> None:
        for status in OTHER_STATUSES:
            self.make()
            self.assertEqual(self.subscribe_error(response(status)), ClientError.NOT_CHECKED)
            self.assertEqual(self.counters, {"failed": 1})
            self.assertIn(f"it answered with the status {status}", self.log_lines()[-1])

    def test_failed_request_rejects(self) -> None:
        for error in (FetchError("refused"), FetchTimeoutError("late"), RuntimeError("a mistake of ours")):
            self.assertEqual(self.subscribe_error(error), ClientError.NOT_CHECKED)
        self.endpoint.is_broken = True
        self.assertEqual(self.client_error(self.subscribe()), ClientError.NOT_CHECKED)
        self.assertEqual(self.counters, {"failed": 4})

    @given(st.sampled_from([200, 204, 401, 403, 500]) | st.integers(0, 999), BODIES)
    def test_only_204_and_200_with_a_json_object_permit(self, status: int, body: bytes) -> None:
        self.make()
        self.endpoint.answers.append(response(status, body))
        outcomes: list[Any] = []
        self.subscribe().addBoth(outcomes.append)
        self.assertEqual(outcomes[0] is None, status == 204 or (status == 200 and is_json_object(body)))
        if outcomes[0] is not None:
            outcomes[0].trap(RejectedError)

    def test_subscribe_waits_for_the_answer(self) -> None:
        outcome = self.subscribe()
        self.assertNoResult(outcome)
        self.endpoint.respond(response(204))
        self.assertIsNone(self.successResultOf(outcome))

    def test_open_breaker_rejects_without_a_question(self) -> None:
        self.open_breaker()
        self.assertEqual(self.client_error(self.subscribe()), ClientError.NOT_CHECKED)
        self.assertEqual((len(self.endpoint.requests), self.counters), (5, {"failed": 5, "skipped": 1}))

    def test_failures_open_the_breaker(self) -> None:
        for _ in range(5):
            self.subscribe_error(response(503))
        self.assertTrue(self.hook.is_open)
        self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)

    def test_timeouts_of_one_address_count_once(self) -> None:
        late = FetchTimeoutError("there was no whole answer within 5 s")
        for number in range(20):
            self.subscribe_error(late, self.connected(Identity(str(number))))
        self.assertFalse(self.hook.is_open)

    def test_one_address_takes_at_most_half_of_the_requests(self) -> None:
        for number in range(MAX_IN_FLIGHT):
            outcome = self.subscribe(self.connected(Identity(str(number)), connection=str(number)))
            outcome.addErrback(lambda failure: failure.trap(RejectedError) and None)
        self.assertEqual((len(self.endpoint.requests), self.counters["skipped"]), (MAX_IN_FLIGHT_PER_PARTY,) * 2)
        self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)
        self.subscribe(self.connected(USER, address="192.0.2.8"))
        self.assertEqual(len(self.endpoint.requests), MAX_IN_FLIGHT_PER_PARTY + 1)

    def test_without_a_cache_every_subscribe_is_asked_about(self) -> None:
        self.endpoint.answers = [response(204), response(403)]
        self.successResultOf(self.subscribe())
        self.assertEqual(self.client_error(self.subscribe()), ClientError.HOOK)

    def test_answers_are_cached_for_equal_questions_of_every_connection(self) -> None:
        self.make(cache_seconds=30.0)
        self.endpoint.answers = [response(204), response(403)]
        self.successResultOf(self.subscribe())
        self.assertIsNone(self.endpoint.requests[0].question["connection"])
        self.successResultOf(self.subscribe(self.connected(USER, connection="6")))
        self.assertEqual(self.client_error(self.subscribe(channel="lobby")), ClientError.HOOK)
        self.assertEqual(self.client_error(self.subscribe(channel="lobby")), ClientError.HOOK)
        self.assertEqual(self.counters, {"allowed": 1, "denied": 1, "cached": 2})

    def test_any_other_question_is_asked(self) -> None:
        self.make(cache_seconds=30.0)
        others: list[Callable[[], object]] = [
            self.connect,
            self.subscribe,
            lambda: self.subscribe(channel="lobby"),
            lambda: self.subscribe(self.connected(ANONYMOUS)),
            lambda: self.subscribe(self.connected(Identity("8"))),
            lambda: self.subscribe(self.connected(USER, address="192.0.2.8")),
        ]
        for ask in others:
            self.endpoint.answers.append(response(204))
            ask()
        self.assertEqual(len(self.endpoint.requests), len(others))

    def test_cached_rejection_depends_on_the_credential_of_each_client(self) -> None:
        self.make(cache_seconds=30.0)
        nameless = Identity(channels=("room",))
        self.assertEqual(self.subscribe_error(response(401), self.connected(ANONYMOUS)), ClientError.NO_CREDENTIAL)
        self.assertEqual(self.client_error(self.subscribe(self.connected(nameless))), ClientError.HOOK)
        self.assertEqual(len(self.endpoint.requests), 1)

    def test_failures_are_not_cached(self) -> None:
        self.make(cache_seconds=30.0)
        self.subscribe_error(response(500))
        self.endpoint.answers.append(response(204))
        self.successResultOf(self.subscribe())

    def test_cleared_cache_asks_again(self) -> None:
        self.make(cache_seconds=30.0)
        self.endpoint.answers = [response(204), response(403)]
        self.successResultOf(self.subscribe())
        self.hook.clear_cache()
        self.assertEqual(self.client_error(self.subscribe()), ClientError.HOOK)

    def test_many_subscribes_displace_no_answer_about_connecting(self) -> None:
        self.make(cache_seconds=30.0)
        self.identity_after(response(204))
        self.endpoint.answers = [response(204)] * (MAX_CACHED + 1)
        for number in range(MAX_CACHED + 1):
            self.subscribe(channel=f"room:{number}")
        self.successResultOf(self.connect())
        self.assertEqual(self.counters["cached"], 1)

    def test_simultaneous_equal_questions_share_one_request(self) -> None:
        self.make(cache_seconds=30.0)
        leaving, staying = (self.subscribe(self.connected(USER, connection=name)) for name in "12")
        self.assertEqual((self.hook.pending_questions, self.hook.waiting_clients), (1, 2))
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.endpoint.respond(response(204))
        self.assertIsNone(self.successResultOf(staying))
        self.assertEqual((len(self.endpoint.requests), self.hook.pending_questions), (1, 0))

    def test_closed_http_client_rejects(self) -> None:
        outcome = self.subscribe()
        self.endpoint.requests[0].response.cancel()
        self.assertEqual(self.client_error(outcome), ClientError.NOT_CHECKED)
