"""Tests of `wsrelay.web.api.method_call`, and of the rules of keys and statuses around it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail

from devtools.harness.http import answers
from tests.web.api.method_case import KEY, MethodCase
from wsrelay.core.history.offsets import EPOCH
from wsrelay.testing.brokers import FakeBroker
from wsrelay.web.api.call import CALL_TIMEOUT_SECONDS
from wsrelay.web.api.method_call import MAX_BATCH, MAX_BATCH_BYTES

METHODS = [
    "publish",
    "broadcast",
    "history",
    "history_remove",
    "presence",
    "presence_stats",
    "channels",
    "info",
    "disconnect",
    "unsubscribe",
    "subscribe",
    "refresh",
    "websockets",
    "websockets_disable",
    "websockets_enable",
    "rpc",
]


class KeyTests(MethodCase):
    """The two forms of the key, and the ones that are none."""

    def test_each_form_of_the_key_opens_every_method(self) -> None:
        for line in (f"X-API-Key: {KEY}", f"Authorization: apikey {KEY}", f"authorization: ApiKey  {KEY}"):
            answer = self.post("publish", {"channel": "news", "data": 1}, key_line=line)
            assert answer is not None
            self.assertEqual((answer.status, answer.body), (200, b'{"result":{}}'), line)
        answer = self.post("publish", {"channel": "news", "data": 1}, key_line=f"Authorization: Bearer {KEY}")
        assert answer is not None
        self.assertEqual((answer.status, answer.body), (200, b'{"result":{}}'))

    def test_missing_or_wrong_key_is_401_with_an_empty_body(self) -> None:
        for line in (
            "",
            "X-API-Key: wrong",
            f"X-API-Key: {KEY}x",
            "X-API-Key:",
            f"Authorization: Basic {KEY}",
            "apikey: x",
        ):
            for name in (*METHODS, "batch"):
                if name == "disconnect" and not line.startswith("X-API-Key"):
                    continue
                answer = self.post(name, {"channel": "news", "data": 1}, key_line=line)
                assert answer is not None
                self.assertEqual((answer.status, answer.body), (401, b""), (line, name))
                self.assertEqual(answer.headers["www-authenticate"], "Bearer")

    def test_two_fields_are_no_key(self) -> None:
        answer = self.post("info", b"", f"X-API-Key: {KEY}")
        assert answer is not None
        self.assertEqual(answer.status, 401)

    def test_key_in_the_url_is_refused_with_a_reason_that_does_not_repeat_it(self) -> None:
        for line, status in (("", 401), (f"X-API-Key: {KEY}", 400)):
            for name in ("info", "publish/news", "tickets", "nothing"):
                answer = self.post(f"{name}?api_key={KEY}", b"", key_line=line)
                assert answer is not None
                self.assertEqual((answer.status, b"X-API-Key" in answer.body), (status, True))
                self.assertNotIn(KEY.encode(), answer.body)

    def test_form_of_the_key_decides_which_disconnect_it_is(self) -> None:
        body = {"user": "42"}
        for line, expected in (
            (f"X-API-Key: {KEY}", (200, {"result": {}})),
            (f"Authorization: apikey {KEY}", (200, {"result": {}})),
            (f"Authorization: Bearer {KEY}", (202, {"disconnect": {"user": "42"}})),
        ):
            answer = self.post("disconnect", body, key_line=line)
            assert answer is not None
            self.assertEqual((answer.status, json.loads(answer.body)), expected)

    def test_relays_own_calls_take_each_form_of_the_key(self) -> None:
        for line in (f"X-API-Key: {KEY}", f"Authorization: apikey {KEY}", f"Authorization: Bearer {KEY}"):
            statuses = [self.post(name, b"{}", key_line=line) for name in ("publish/news", "tickets")]
            self.assertEqual([each.status for each in statuses if each is not None], [200, 201])


class StatusTests(MethodCase):
    """Errors with a status of their own, and errors in a 200."""

    def test_unknown_method_is_404_and_get_is_405(self) -> None:
        for name, method, status in (
            ("nothing", "POST", 404),
            ("", "POST", 404),
            ("info/x", "POST", 404),
            ("Publish", "POST", 404),
            ("info", "GET", 405),
            ("publish", "PUT", 405),
        ):
            answer = self.post(name, b"{}", method=method)
            assert answer is not None
            self.assertEqual(answer.status, status, (name, method))

    def test_body_that_is_no_json_object_is_400(self) -> None:
        deep = b'{"a":' * 100_000
        for body in (b"{", b"[]", b"5", b"null", b'"x"', b"{}{}", b'{"a":NaN}', b"\xff", b"\xef\xbb\xbf{}", deep):
            for name in ("publish", "info", "batch"):
                answer = self.post(name, body)
                assert answer is not None
                self.assertEqual(answer.status, 400, body[:20])

    def test_empty_body_stands_for_an_empty_object(self) -> None:
        self.assertIn("nodes", self.result("info"))
        self.assertIn("result", self.document("info", b""))

    def test_transport_mode_has_the_error_alone_and_a_status(self) -> None:
        self.patch(self.broker, "publish", lambda *_arguments: fail(ZeroDivisionError()))
        for name, fields, code, status in (
            ("publish", {"channel": "other", "data": 1}, 102, 404),
            ("publish", {"channel": "$"}, 107, 400),
            ("history", {"channel": "news"}, 108, 400),
            ("history", {"channel": "chat", "since": {"offset": 4095}}, 112, 416),
            ("publish", {"channel": "news", "data": 1}, 100, 500),
        ):
            answer = self.post(name, fields, "X-Centrifugo-Error-Mode: transport")
            assert answer is not None
            document = json.loads(answer.body)
            self.assertEqual((answer.status, document["code"], sorted(document)), (status, code, ["code", "message"]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_success_is_the_same_in_transport_mode(self) -> None:
        document = self.document("publish", {"channel": "news", "data": 1}, "X-Centrifugo-Error-Mode: transport")
        self.assertEqual(document, {"result": {}})

    def test_call_that_takes_too_long_is_an_internal_error(self) -> None:
        broker = FakeBroker()
        broker.publishing = Deferred()
        self.relay = self.make_relay(broker)
        for name, body in (
            ("publish", {"channel": "news", "data": 1}),
            ("batch", {"commands": [{"publish": {"channel": "news", "data": 1}}, {"info": {}}]}),
        ):
            broker.publishing = Deferred()
            self.assertIsNone(self.post(name, body))
            self.clock.advance(CALL_TIMEOUT_SECONDS)
            (answer,) = answers(self.wire.read())
            self.assertEqual((answer.status, json.loads(answer.body)["error"]["code"]), (200, 100))

    def test_description_needs_no_key(self) -> None:
        answer = self.post("openapi.json", b"", key_line="", method="GET")
        assert answer is not None
        self.assertEqual(answer.status, 200)
        self.assertTrue(json.loads(answer.body)["openapi"].startswith("3.1"))


class BatchTests(MethodCase):
    """`batch`."""

    def replies(self, *commands: object, **fields: Any) -> list[Any]:
        """Return the replies to commands."""
        document = self.document("batch", {"commands": commands, **fields})
        self.assertEqual(list(document), ["replies"])
        replies: list[Any] = document["replies"]
        return replies

    def test_replies_stand_at_the_top_level_in_the_order_of_the_commands(self) -> None:
        for parallel in (False, True):
            first, second, third = self.replies(
                {"publish": {"channel": "chat", "data": 1}},
                {"publish": {"channel": "other", "data": 1}},
                {"presence_stats": {"channel": "news"}},
                parallel=parallel,
            )
            self.assertEqual(first["publish"]["epoch"], EPOCH)
            self.assertEqual((second["error"]["code"], third["error"]["code"]), (102, 108))

    def test_command_follows_when_the_one_before_is_done_or_at_the_same_time_if_permitted(self) -> None:
        waiting: list[Deferred[Any]] = []

        def publish(_channel: str, _data: bytes) -> Deferred[Any]:
            waiting.append(Deferred())
            return waiting[-1]

        self.patch(self.broker, "publish", publish)
        commands = [{"publish": {"channel": "news", "data": number}} for number in range(20)]
        for parallel, begun in ((False, 1), (True, 16)):
            waiting.clear()
            self.assertIsNone(self.post("batch", {"commands": commands, "parallel": parallel}))
            self.assertEqual(len(waiting), begun)
            while waiting:
                waiting.pop(0).errback(ZeroDivisionError())
            (answer,) = answers(self.wire.read())
            self.assertEqual(len(json.loads(answer.body)["replies"]), 20)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 40)

    def test_command_that_makes_no_sense_is_an_error_among_the_replies(self) -> None:
        replies = self.replies({}, 5, None, {"publish": {}, "info": {}}, {"nothing": {}}, {"batch": {}}, {"info": []})
        self.assertEqual([each["error"]["code"] for each in replies], [107, 107, 107, 107, 104, 104, 107])

    def test_batch_without_commands_or_with_too_many_is_a_bad_request(self) -> None:
        self.assertEqual(self.replies(), [])
        wrongs: tuple[Any, ...] = (None, {}, "x", [{}] * (MAX_BATCH + 1))
        for commands in wrongs:
            self.assertEqual(self.code("batch", commands=commands), 107)
        self.assertEqual(self.code("batch", commands=[], parallel="yes"), 107)

    def test_commands_behind_replies_that_are_too_long_are_not_carried_out(self) -> None:
        self.post("publish/chat", b"x" * 1_000_000)
        found = self.replies(*[{"history": {"channel": "chat", "limit": 1}}] * 12)
        lengths = [len(each["history"]["publications"][0]["data"]) for each in found if "history" in each]
        self.assertTrue(MAX_BATCH_BYTES < sum(lengths) + 10_000 < MAX_BATCH_BYTES + 1_100_000)
        self.assertEqual({each["error"]["code"] for each in found[len(lengths) :]}, {106})


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["news", "chat", "lobby", "42", "5f0c", "\ud800", "x" * 300, "__", "$control"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
FIELDS = [
    "channel",
    "channels",
    "data",
    "b64data",
    "idempotency_key",
    "skip_history",
    "tags",
    "delta",
    "version",
    "limit",
    "since",
    "reverse",
    "user",
    "client",
    "session",
    "whitelist",
    "disconnect",
    "reconnect",
    "revoke_seconds",
    "connection",
    "ticket",
    "token",
    "pattern",
    "commands",
    "parallel",
    "offset",
    "epoch",
    "info",
    "b64info",
    "recover_since",
    "override",
    "expire_at",
    "expired",
    "code",
    "reason",
]


class HostileTests(MethodCase):
    """Any JSON is answered as the contract says, and never by a defect."""

    @settings(max_examples=400)
    @given(st.sampled_from((*METHODS, "batch")), st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=6))
    def test_documents(self, name: str, document: dict[str, Any]) -> None:
        # Python writes what only Python reads, too: NaN, and halves of surrogate pairs.
        answer = self.post(name, document)
        assert answer is not None
        self.check(name, answer.status, answer.body)

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from((*METHODS, "batch")), st.binary(max_size=60))
    def test_bytes(self, name: str, body: bytes) -> None:
        answer = self.post(name, body)
        assert answer is not None
        self.check(name, answer.status, answer.body)

    @settings(max_examples=100, deadline=None)
    @given(
        st.sampled_from(("publish", "broadcast", "history", "disconnect", "batch")),
        st.sampled_from(FIELDS),
        st.sampled_from(
            (
                "1e999",
                "-1e999",
                "9" * 4000,
                "9" * 5000,
                "0.1e-400",
                '"\\ud800"',
                '"\\u0000"',
                "[" * 900 + "]" * 900,
                "[" * 5000 + "]" * 5000,
                '{"a":' * 500 + "1" + "}" * 500,
                '{"a":1,"a":2}',
            )
        ),
    )
    def test_values_that_parsers_stumble_over(self, name: str, field: str, value: str) -> None:
        text = f'{{"channel":"news","channels":["news"],"user":"42","data":1,"{field}":{value}}}'
        answer = self.post(name, text.encode())
        assert answer is not None
        self.check(name, answer.status, answer.body)

    def check(self, name: str, status: int, body: bytes) -> None:
        """Assert that an answer is one of the contract."""
        document = json.loads(body.decode())
        if status != 200:
            self.assertEqual((status, list(document)), (400, ["error"]))
            return
        self.assertIn(list(document), (["error"], ["replies"] if name == "batch" else ["result"]))
        if "error" in document:
            self.assertIn(document["error"]["code"], (102, 107, 108, 112), document)
