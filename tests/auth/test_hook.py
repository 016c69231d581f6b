"""Tests of `wsrelay.auth.hook` and `wsrelay.auth.hook_answers`: every answer, and every response that is none."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.auth.hook_case import (
    BODIES,
    COOKIE,
    EPOCH,
    HANDSHAKE,
    OTHER_STATUSES,
    SECRET,
    TICKET,
    TOKEN,
    URL,
    USER,
    HookCase,
    allow,
    response,
)
from wsrelay.core.access.identity import ANONYMOUS, ApplicationAnswer, Identity, read_identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ClaimError, FetchError, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.outgoing.http_client import HTTPResponse


class QuestionTests(HookCase):
    """Questions to the endpoint."""

    def test_connect_question_names_client_and_channels_but_not_the_query(self) -> None:
        """The query may hold a ticket."""
        self.connect(USER)
        (request,) = self.endpoint.requests
        self.assertEqual(request.line, ("POST", URL))
        self.assertEqual(request.headers, {"Content-Type": "application/json"})
        self.assertEqual(
            request.question,
            {
                "event": "connect",
                "channels": ["room"],
                "address": "192.0.2.7",
                "origin": "https://example.org",
                "path": "/ws/room",
                "user": "7",
                "connection": "5f0c",
                "headers": {},
            },
        )
        self.assertNotIn(TICKET.encode(), request.body)

    def test_unknown_fields_are_null_and_surrogates_are_encoded(self) -> None:
        self.hook.connect(ANONYMOUS, Handshake("/\udcff", "192.0.2.7"), [])
        (request,) = self.endpoint.requests
        self.assertIsNone(request.question["user"])
        self.assertIsNone(request.question["origin"])
        self.assertEqual(request.question["path"], "/\udcff")

    def test_only_configured_header_fields_are_forwarded_if_the_client_sent_them(self) -> None:
        both = {"cookie": COOKIE, "authorization": TOKEN}
        for forward in ([], ["cookie"], ["authorization"], ["authorization", "cookie"]):
            self.make(forward_headers=forward)
            self.connect()
            expected = {name: both[name] for name in forward}
            self.assertEqual(self.endpoint.requests[0].question["headers"], expected)
            self.assertEqual(COOKIE.encode() in self.endpoint.requests[0].body, "cookie" in forward)
            self.assertEqual(TOKEN.encode() in self.endpoint.requests[0].body, "authorization" in forward)
        self.hook.connect(ANONYMOUS, replace(HANDSHAKE, cookie=""), [])
        self.assertEqual(self.endpoint.requests[1].question["headers"], {"authorization": TOKEN})

    def test_secret_is_sent_with_every_request(self) -> None:
        self.make(secret=SECRET)
        self.connect()
        self.publish()
        for request in self.endpoint.requests:
            self.assertEqual(request.headers["Authorization"], f"Bearer {SECRET}")

    def test_no_secret_is_in_a_log_line_an_error_or_a_dump(self) -> None:
        self.make(secret=SECRET, forward_headers=["cookie", "authorization"])
        texts = []
        broken: list[HTTPResponse | Exception] = [
            ValueError(f"bad header {SECRET} {COOKIE}"),
            response(500, SECRET.encode()),
            allow(sub=[SECRET]),
        ]
        for answer in broken:
            self.endpoint.answers.append(answer)
            failure = self.failureResultOf(self.connect(), RejectedError)
            texts += [str(failure.value), repr(failure), failure.getTraceback()]
        self.assertEqual(len(self.log_lines()), 3)
        dump = "\n".join([*texts, *self.log_lines(), repr(self.events), repr(self.hook), repr(vars(self.hook))])
        for secret in (SECRET, COOKIE, TOKEN, TICKET):
            self.assertNotIn(secret, dump)

    def test_publish_question_has_text_or_base64(self) -> None:
        self.publish("grüß dich".encode())
        self.publish(b"\xff\x00")
        text, binary = (request.question for request in self.endpoint.requests)
        self.assertEqual(text, {"event": "publish", "channel": "room", "user": "7", "text": "grüß dich"})
        self.assertEqual(b64decode(binary.pop("base64")), b"\xff\x00")
        self.assertEqual(binary, {"event": "publish", "channel": "room", "user": "7"})


class AllowTests(HookCase):
    """Answers that allow."""

    def test_answer_overrides_the_credential_but_not_its_id(self) -> None:
        answer = allow(sub="8", channels=["a", "b*"], publish=[], exp=EPOCH + 50)
        expected = Identity("8", ("a", "b*"), (), EPOCH + 50, "jti:1", answer=ApplicationAnswer(EPOCH + 50))
        self.assertEqual(self.identity_after(answer, USER), expected)
        self.assertEqual(self.identity_after(answer), replace(expected, credential_id=None))

    def test_missing_claims_leave_the_credential_and_do_not_authenticate(self) -> None:
        for answer in (response(204), allow(), allow(sub=None, channels=None, publish=None, exp=None)):
            for identity in (ANONYMOUS, USER):
                self.assertEqual(self.identity_after(answer, identity), identity)
        self.assertEqual(self.identity_after(allow(channels=["a"]), USER), replace(USER, channels=("a",)))
        self.assertEqual(self.counters, {"allowed": 7})

    def test_answer_overrides_info_and_server_subscriptions_if_it_has_any(self) -> None:
        identity = replace(USER, info=b"1", subs=(ServerSubscription("a"),))
        answer = allow(info={"name": "Ann"}, subs={"b": {"info": 2}})
        expected = replace(USER, info=b'{"name":"Ann"}', subs=(ServerSubscription("b", b"2"),))
        self.assertEqual(self.identity_after(answer, identity), expected)
        self.assertEqual(self.identity_after(allow(b64info="WzFd"), identity).info, b"[1]")
        self.assertEqual(self.identity_after(answer, identity).answer.named, ("b",))
        renamed = self.identity_after(allow(sub="ann"), USER)
        self.assertEqual(
            renamed.revocation_targets("5f0c"),
            ["connection:5f0c", "user:ann", f"user:{USER.subject}", f"{USER.credential_id}"],
        )
        named = self.identity_after(allow(sub="ann"), replace(USER, subject=None))
        self.assertEqual(named.revocation_targets("5f0c"), ["connection:5f0c", "user:ann", f"{USER.credential_id}"])
        self.assertEqual((named.answer.credential_subject, named.is_authenticated), ("", True))
        self.assertIsNone(self.identity_after(allow(sub="ann")).answer.credential_subject)
        self.assertEqual(self.identity_after(allow(channels=["c", "d*"])).answer.named, ("c", "d*"))
        for answer in (response(204), allow(), allow(info=None, subs=None), allow(subs={})):
            self.assertEqual(self.identity_after(answer, identity), identity)

    def test_answer_with_server_subscriptions_does_not_authenticate(self) -> None:
        identity = self.identity_after(allow(subs={"b": {}}, info=1))
        self.assertEqual((identity.is_authenticated, identity.channels), (False, None))

    def test_answer_with_a_user_or_channels_authenticates(self) -> None:
        self.assertTrue(self.identity_after(allow(sub="8")).is_authenticated)
        self.assertTrue(self.identity_after(allow(channels=["a"])).is_authenticated)
        self.assertFalse(self.identity_after(allow(publish=["a"])).is_authenticated)

    def test_earlier_end_of_credential_and_answer_holds(self) -> None:
        for own, answered, expected in (
            (100, 50, 50),
            (50, 100, 50),
            (None, 50, 50),
            (50, None, 50),
            (None, None, None),
        ):
            identity = replace(USER, expires=None if own is None else EPOCH + own)
            answer = allow(exp=None if answered is None else EPOCH + answered)
            found = self.identity_after(answer, identity)
            self.assertEqual(found.expires, None if expected is None else EPOCH + expected)
            self.assertEqual(found.answer.expires, None if answered is None else EPOCH + answered)

    def test_status_204_or_200_with_a_json_object_permits_a_message(self) -> None:
        for answer in (response(200, b"{}"), response(200, b'{"sub": 7, "colour": "blue"}'), response(204)):
            self.endpoint.answers.append(answer)
            self.assertIsNone(self.successResultOf(self.publish()))
        self.assertEqual(self.counters, {"allowed": 3})


class RejectTests(HookCase):
    """Answers that reject, and responses that are no answers."""

    def test_status_401_asks_for_a_credential_where_there_was_none_and_403_rejects(self) -> None:
        self.assertEqual(self.error_after(response(401)), ClientError.NO_CREDENTIAL)
        self.assertEqual(self.error_after(response(401), USER), ClientError.HOOK)
        self.assertEqual(self.error_after(response(403)), ClientError.HOOK)
        self.assertEqual(self.error_after(response(403), USER), ClientError.HOOK)
        self.assertEqual(self.counters, {"denied": 4})
        self.assertEqual(self.log_lines(), [])

    def test_expired_answer_is_rejected_like_401(self) -> None:
        self.assertEqual(self.error_after(allow(sub="8", exp=EPOCH)), ClientError.NO_CREDENTIAL)
        self.assertEqual(self.error_after(allow(sub="8", exp=EPOCH - 1), USER), ClientError.HOOK)
        self.assertEqual(self.counters, {"denied": 2})

    def test_status_401_or_403_rejects_a_message(self) -> None:
        for status in (401, 403):
            self.endpoint.answers.append(response(status))
            self.assertEqual(self.client_error(self.publish()), ClientError.PUBLISH_DENIED)
        self.assertEqual(self.counters, {"denied": 2})

    def test_other_statuses_are_no_answer_and_their_body_is_ignored(self) -> None:
        for status in OTHER_STATUSES:
            self.make()
            self.assertEqual(self.error_after(response(status, allow(sub="8").body)), ClientError.NOT_CHECKED)
            self.endpoint.answers.append(response(status))
            self.assertEqual(self.client_error(self.publish()), ClientError.NOT_CHECKED)
            self.assertEqual(self.counters, {"failed": 2})
            self.assertIn(f"it answered with the status {status}", self.log_lines()[-1])

    def test_status_200_without_a_json_object_is_no_answer(self) -> None:
        for body in (b"", b"ok", b"true", b"[]", b'"7"', b"null", b"\xff", b"{", b'{"sub": 7}x', b"[" * 100_000):
            self.make()
            self.assertEqual(self.error_after(response(200, body)), ClientError.NOT_CHECKED)
            self.assertIn("its answer with status 200 is not a JSON object", self.log_lines()[-1])
            self.endpoint.answers.append(response(200, body))
            self.assertEqual(self.client_error(self.publish()), ClientError.NOT_CHECKED)

    def test_unreadable_claim_is_no_answer_and_is_logged_without_its_value(self) -> None:
        for name, value in (
            ("sub", "x" * 300),
            ("channels", "room"),
            ("publish", ["no/channel"]),
            ("exp", "soon"),
            ("b64info", "?"),
            ("subs", ["a"]),
        ):
            self.make()
            self.assertEqual(self.error_after(allow(**{name: value}), USER), ClientError.NOT_CHECKED)
            self.assertEqual(self.counters, {"failed": 1})
            self.assertIn(f"{name} must be", self.log_lines()[-1])
            self.assertNotIn(str(value), self.log_lines()[-1])

    def test_unreadable_claims_of_one_client_do_not_open_the_breaker(self) -> None:
        for _ in range(20):
            self.error_after(allow(sub={}))
        self.assertFalse(self.hook.is_open)
        self.assertEqual(len(self.log_lines()), 1)

    def test_failed_request_rejects_clients_and_messages(self) -> None:
        for error in (FetchError("it did not answer in time"), RuntimeError("a mistake of ours"), KeyError(1)):
            self.assertEqual(self.error_after(error, USER), ClientError.NOT_CHECKED)
        self.endpoint.answers.append(FetchError("it did not answer in time"))
        self.assertEqual(self.client_error(self.publish()), ClientError.NOT_CHECKED)
        self.assertEqual(self.counters, {"failed": 4})

    def test_request_that_cannot_be_made_rejects(self) -> None:
        self.endpoint.is_broken = True
        self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)
        self.assertEqual(self.counters, {"failed": 1})

    @given(st.sampled_from([200, 200, 200, 204, 401, 403, 500]) | st.integers(0, 999), BODIES)
    def test_only_204_and_200_with_valid_claims_allow_a_client(self, status: int, body: bytes) -> None:
        self.make()
        self.endpoint.answers.append(response(status, body))
        outcomes: list[Any] = []
        self.connect(USER).addBoth(outcomes.append)
        is_allowed = isinstance(outcomes[0], Identity)
        self.assertEqual(is_allowed, status == 204 or (status == 200 and self.is_valid(body)))
        if not is_allowed:
            outcomes[0].trap(RejectedError)

    @staticmethod
    def is_valid(body: bytes) -> bool:
        """Return whether a body holds valid claims that have not expired."""
        try:
            claims = json.loads(body)
            if not set(claims) <= {"sub", "channels", "publish", "exp", "info", "b64info", "subs"}:
                return False
            identity = read_identity(claims)
        except (ValueError, AttributeError, TypeError, ClaimError):
            return False
        return identity.expires is None or identity.expires > EPOCH
