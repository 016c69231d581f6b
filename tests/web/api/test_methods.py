"""Tests of `wsrelay.web.api.methods`: each method's fields and its result."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail, succeed

from devtools.harness.http import answers
from tests.support.websocket_client import WebSocketClient
from tests.web.api.method_case import MethodCase
from wsrelay.core.history.offsets import EPOCH
from wsrelay.core.history.publication_fields import MAX_TAGS
from wsrelay.core.history.retention import Retention
from wsrelay.core.messaging.control import MAX_CONTROL_BYTES
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.presence.member import MAX_MEMBERS, Member
from wsrelay.core.presence.tables import members_table
from wsrelay.engine.operations import MAX_IDEMPOTENCY_KEY_CHARACTERS
from wsrelay.engine.survey import SURVEY_SECONDS
from wsrelay.testing.brokers import FakeBroker
from wsrelay.web.api.fields import MAX_BROADCAST_CHANNELS

TOO_LONG = {"user": "42", "info": "x" * 4096}


class PublishTests(MethodCase):
    """`publish`, on plain channels and on those with history."""

    def setUp(self) -> None:
        """Record what is published."""
        super().setUp()
        self.published: list[tuple[str, bytes]] = []
        publish = self.broker.publish

        def record(channel: str, data: bytes) -> Any:
            self.published.append((channel, data))
            return publish(channel, data)

        self.patch(self.broker, "publish", record)

    def test_data_of_any_type_is_published_as_compact_json(self) -> None:
        documents: tuple[Any, ...] = (
            {"a": [1, 2.5, None, True]},
            "hello \u00e9",
            5,
            None,
            [],
            "",
            12345678901234567890,
        )
        for data in documents:
            self.assertEqual(self.result("publish", channel="news", data=data), {})
        self.assertEqual(
            [data for _, data in self.published],
            [
                b'{"a":[1,2.5,null,true]}',
                '"hello \u00e9"'.encode(),
                b"5",
                b"null",
                b"[]",
                b'""',
                b"12345678901234567890",
            ],
        )

    def test_b64data_is_published_as_the_bytes_that_it_stands_for(self) -> None:
        self.result("publish", channel="news", b64data="/wAK", data="ignored")
        self.assertEqual(self.published, [("news", b"\xff\0\n")])

    def test_channel_with_history_keeps_it_and_the_result_has_offset_and_epoch(self) -> None:
        first, second = (self.result("publish", channel="chat", data=data) for data in (1, 2))
        self.assertEqual(first, {"offset": 1000 * 4096 + 1, "epoch": EPOCH})
        self.assertEqual(second["offset"], first["offset"] + 1)
        self.assertEqual((self.kept(), self.published), ([b"1", b"2"], []))

    def test_skip_history_publishes_past_the_stream(self) -> None:
        self.assertEqual(self.result("publish", channel="chat", data=1, skip_history=True), {})
        self.assertEqual((self.kept(), self.published), ([], [("chat", b"1")]))

    def test_tags_are_kept_where_there_is_history_and_taken_elsewhere(self) -> None:
        tags = {"kind": "note"}
        for channel in ("chat", "news"):
            self.result("publish", channel=channel, data=1, tags=tags)
        self.result("broadcast", channels=["chat", "news"], data=2, tags=tags)
        self.result("publish", channel="chat", data=3, tags={})
        found = self.result("history", channel="chat", limit=9)["publications"]
        self.assertEqual([each.get("tags") for each in found], [tags, tags, None])
        self.assertEqual(self.published, [("news", b"1"), ("news", b"2")])

    def test_repetition_of_an_idempotency_key_has_the_first_result_and_publishes_nothing(self) -> None:
        first = self.result("publish", channel="chat", data=1, idempotency_key="order-7")
        self.assertEqual(self.result("publish", channel="chat", data=2, idempotency_key="order-7"), first)
        self.assertNotEqual(self.result("publish", channel="chat", data=3, idempotency_key="order-8"), first)
        self.assertEqual(self.kept(), [b"1", b"3"])

    def test_idempotency_key_on_a_plain_channel_is_not_available_and_nothing_is_published(self) -> None:
        code, message = self.error("publish", channel="news", data=1, idempotency_key="order-7")
        self.assertEqual((code, self.published), (108, []))
        self.assertIn("channel with history", message)

    def test_idempotency_key_that_is_too_long_is_a_bad_request(self) -> None:
        key = "k" * (MAX_IDEMPOTENCY_KEY_CHARACTERS + 1)
        self.assertEqual(self.code("publish", channel="chat", data=1, idempotency_key=key), 107)

    def test_fields_without_a_use_here_are_taken_and_version_is_not_available(self) -> None:
        tags = {str(number): "x" for number in range(MAX_TAGS)}
        self.result("publish", channel="news", data=1, tags=tags, delta=True, version=0, of_a_newer_sdk={"a": 1})
        self.result("publish", channel="news", data=1, tags=None, b64data=None, idempotency_key=None, skip_history=None)
        self.assertEqual(self.code("publish", channel="news", data=1, version=7), 108)

    def test_missing_or_unusable_fields_are_bad_requests_that_name_the_field(self) -> None:
        good: dict[str, Any] = {"channel": "news", "data": 1}
        for name, wrong in (
            ("channel", None),
            ("channel", ""),
            ("channel", 5),
            ("channel", "$control"),
            ("channel", "x" * 256),
            ("b64data", "%%%"),
            ("b64data", "\u00e9"),
            ("b64data", 5),
            ("idempotency_key", 5),
            ("skip_history", "true"),
            ("skip_history", 1),
            ("tags", []),
            ("tags", {"a": 1}),
            ("tags", {"a": "x" * 257}),
            ("tags", {str(number): "" for number in range(MAX_TAGS + 1)}),
            ("delta", "fossil"),
        ):
            code, message = self.error("publish", **{**good, name: wrong})
            self.assertEqual((code, name in message.replace(" ", "_")), (107, True), (name, wrong, message))
        self.assertEqual(self.error("publish", channel="news"), (107, "bad request: data or b64data is missing"))
        self.assertEqual(self.published, [])

    def test_number_that_no_reader_can_hold_is_a_bad_request(self) -> None:
        document = self.document("publish", b'{"channel":"news","data":[1e999]}')
        self.assertEqual(document["error"]["code"], 107)

    def test_unknown_channel_has_an_error_of_its_own(self) -> None:
        self.assertEqual(self.code("publish", channel="other", data=1), 102)

    def test_full_redis_is_named(self) -> None:
        full = BrokerUnavailable("OOM command not allowed when used memory > 'maxmemory'.")
        self.patch(self.broker.history, "append", lambda *_arguments: fail(full))
        code, message = self.error("publish", channel="chat", data=1)
        self.assertEqual((code, "maxmemory" in message), (100, True))
        answer = self.post("publish/chat", b"x")
        assert answer is not None
        self.assertEqual((answer.status, b"maxmemory" in answer.body), (507, True))

    def test_outage_is_an_internal_error(self) -> None:
        self.broker.stop()
        for channel in ("news", "chat"):
            self.assertEqual(self.code("publish", channel=channel, data=1), 100)


class BroadcastTests(MethodCase):
    """`broadcast`."""

    def test_each_channel_has_its_response_in_order(self) -> None:
        result = self.result("broadcast", channels=["news", "other", "chat", "$x"], data=1)
        plain, unknown, kept, impossible = result["responses"]
        self.assertEqual((plain, kept["result"]["epoch"]), ({"result": {}}, EPOCH))
        self.assertEqual((unknown["error"]["code"], impossible["error"]["code"]), (102, 107))
        self.assertEqual(self.kept(), [b"1"])

    def test_channels_that_are_none_or_too_many_are_a_bad_request(self) -> None:
        for channels in (None, [], "news", [5], ["news"] * (MAX_BROADCAST_CHANNELS + 1), {"news": 1}):
            self.assertEqual(self.code("broadcast", channels=channels, data=1), 107)

    def test_defect_of_the_relay_is_logged_and_no_outcome(self) -> None:
        self.patch(self.broker, "publish", lambda *_arguments: fail(ZeroDivisionError()))
        self.assertEqual(self.code("broadcast", channels=["news"], data=1), 100)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class HistoryTests(MethodCase):
    """`history` and `history_remove`."""

    def setUp(self) -> None:
        """Publish four messages, one of which is no JSON."""
        super().setUp()
        for data in (b'{"n": 1}', b"hello", b'"\xc3\xa9"', b"[1,\n2]"):
            self.post("publish/chat", data)

    def offsets(self, **fields: Any) -> list[int]:
        """Return the offsets of a page."""
        return [each["offset"] for each in self.result("history", channel="chat", **fields)["publications"]]

    def test_page_has_data_offset_and_the_newest_position(self) -> None:
        result = self.result("history", channel="chat", limit=10)
        self.assertEqual([each["data"] for each in result["publications"]], [{"n": 1}, "hello", "\u00e9", [1, 2]])
        self.assertEqual((result["offset"], result["epoch"]), (result["publications"][-1]["offset"], EPOCH))

    def test_publication_has_the_client_that_published_it(self) -> None:
        for info in (b'{"client":"5f0c","user":"42"}', b"of another program"):
            self.broker.history.append("chat", b"1", Retention(9, 9), "", info, b"of another program")
        first, second = self.result("history", channel="chat", limit=9)["publications"][-2:]
        self.assertEqual(first["info"], {"client": "5f0c", "user": "42"})
        self.assertEqual(sorted(second), ["data", "offset"])

    def test_limit_0_or_none_gives_the_position_alone(self) -> None:
        for limit in ({}, {"limit": 0}, {"limit": None}):
            result = self.result("history", channel="chat", **limit)
            self.assertEqual((result["publications"], result["epoch"]), ([], EPOCH))

    def test_limit_since_and_reverse_choose_the_page(self) -> None:
        first, second, third, fourth = self.offsets(limit=-1)
        self.assertEqual(self.offsets(limit=2), [first, second])
        self.assertEqual(self.offsets(limit=2, since={"offset": first, "epoch": EPOCH}), [second, third])
        self.assertEqual(self.offsets(limit=9, since={"offset": third}), [fourth])
        self.assertEqual(self.offsets(limit=9, since={}), [first, second, third, fourth])
        self.assertEqual(self.offsets(limit=2, reverse=True), [fourth, third])
        self.assertEqual(self.offsets(limit=9, reverse=True, since={"offset": third}), [second, first])

    def test_position_of_another_epoch_is_unrecoverable(self) -> None:
        self.assertEqual(self.code("history", channel="chat", limit=1, since={"offset": 1, "epoch": "x"}), 112)

    def test_channel_without_history_has_none_and_an_unknown_one_is_unknown(self) -> None:
        for name in ("history", "history_remove"):
            self.assertEqual((self.code(name, channel="news"), self.code(name, channel="other")), (108, 102))

    def test_removed_history_is_empty_and_keeps_its_position(self) -> None:
        before = self.result("history", channel="chat")
        self.assertEqual(self.result("history_remove", channel="chat"), {})
        self.assertEqual(self.result("history", channel="chat", limit=9), before)

    def test_unusable_fields_are_bad_requests(self) -> None:
        for name, wrong in (
            ("channel", 5),
            ("limit", "1"),
            ("limit", -2),
            ("limit", 2**31),
            ("limit", 1.5),
            ("limit", True),
            ("reverse", 1),
            ("since", 5),
            ("since", []),
            ("since", {"offset": -1}),
            ("since", {"offset": 2**64}),
            ("since", {"offset": "1"}),
            ("since", {"epoch": 5}),
        ):
            self.assertEqual(self.code("history", **{"channel": "chat", name: wrong}), 107, (name, wrong))


class PresenceTests(MethodCase):
    """`presence` and `presence_stats`."""

    def hold(self, *members: Member) -> None:
        """Keep clients of the lobby."""
        held = self.broker.presence.hold(members_table("lobby"), [each.text for each in members])
        self.successResultOf(held)

    def test_presence_that_is_not_kept_is_not_available(self) -> None:
        for name in ("presence", "presence_stats"):
            codes = (self.code(name, channel="news"), self.code(name, channel="other"), self.code(name))
            self.assertEqual(codes, (108, 102, 107))

    def test_clients_and_their_numbers(self) -> None:
        self.assertEqual(self.result("presence", channel="lobby"), {"presence": {}})
        self.hold(Member("c1", "42"), Member("c2"))
        members = {"c1": {"client": "c1", "user": "42"}, "c2": {"client": "c2", "user": ""}}
        self.assertEqual(self.result("presence", channel="lobby"), {"presence": members})
        self.assertEqual(self.result("presence_stats", channel="lobby"), {"num_clients": 2, "num_users": 2})

    def test_result_says_so_where_there_are_more_clients_than_it_has(self) -> None:
        self.hold(*[Member(f"c{number}") for number in range(MAX_MEMBERS + 1)])
        result = self.result("presence", channel="lobby")
        self.assertEqual((len(result["presence"]), result["incomplete"]), (MAX_MEMBERS, True))


class ClientTests(MethodCase):
    """`disconnect`, `unsubscribe`, `subscribe`, `refresh`: the commands that all processes are sent."""

    def setUp(self) -> None:
        """Use a broker that records them."""
        super().setUp()
        self.broker = FakeBroker()
        self.relay = self.make_relay(self.broker)

    def sent(self, name: str, **fields: Any) -> list[bytes]:
        """Return the control messages that a method sends."""
        self.broker.controls.clear()
        self.assertEqual(self.result(name, **fields), {})
        return [payload for payload, _ in self.broker.controls]

    def test_user_is_disconnected_by_the_command_that_older_processes_know(self) -> None:
        self.assertEqual(self.sent("disconnect", user="42"), [b'{"disconnect":{"user":"42"},"reconnect":false}'])

    def test_client_whitelist_code_and_reason(self) -> None:
        self.assertEqual(
            self.sent("disconnect", user="42", client="5f0c"), [b'{"disconnect_user":{"user":"42","client":"5f0c"}}']
        )
        self.assertEqual(
            self.sent("disconnect", user="42", whitelist=["5f0c"], disconnect={"code": 4100, "reason": "elsewhere"}),
            [b'{"disconnect_user":{"user":"42","except":["5f0c"],"code":4100,"reason":"elsewhere"}}'],
        )
        self.assertEqual(self.sent("disconnect", user="", client="5f0c"), [b'{"disconnect_user":{"client":"5f0c"}}'])

    def test_fields_of_the_relays_own_call_are_taken(self) -> None:
        reconnect = b'{"disconnect":{"user":"42"},"reconnect":true}'
        self.assertEqual(self.sent("disconnect", user="42", reconnect=True), [reconnect])
        for kind in ("connection", "ticket", "token"):
            message = b'{"disconnect":{"%s":"x"},"reconnect":false}' % kind.encode()
            self.assertEqual(self.sent("disconnect", **{kind: "x"}), [message])
        self.sent("disconnect", user="42", revoke_seconds=60)
        self.sent("disconnect", user="42", client="5f0c", revoke_seconds=60)
        are_revoked = self.broker.credentials.are_revoked(["user:42", "connection:5f0c"])
        self.assertEqual(self.successResultOf(are_revoked), [True, True])

    def test_what_names_nobody_or_contradicts_itself_is_a_bad_request_and_nothing_is_sent(self) -> None:
        wrongs: tuple[dict[str, Any], ...] = (
            {},
            {"user": ""},
            {"user": 42},
            {"user": "42", "client": 5},
            {"user": "42", "whitelist": "5f0c"},
            {"user": "42", "whitelist": ["x"] * 65},
            {"user": "42", "disconnect": 4000},
            {"user": "42", "disconnect": {}},
            {"user": "42", "disconnect": {"code": 1000}},
            {"user": "42", "disconnect": {"code": 4000, "reason": "x" * 124}},
            {"user": "42", "disconnect": {"code": 4000, "reason": "null"}},
            {"user": "42", "disconnect": {"code": 4000}, "reconnect": True},
            {"user": "42", "ticket": "x"},
            {"token": "x", "ticket": "y"},
            {"token": "x", "whitelist": ["5f0c"]},
            {"user": "42", "reconnect": "yes"},
            {"user": "42", "revoke_seconds": -1},
            {"user": "42", "revoke_seconds": 10**9},
            {"user": "42", "whitelist": ["5f0c"], "revoke_seconds": 60},
            # Six characters each as JSON.
            {"user": "42", "whitelist": ["\x01" * 64] * 64},
        )
        self.assertGreater(6 * 64 * 64, MAX_CONTROL_BYTES)
        for fields in wrongs:
            self.assertEqual(self.code("disconnect", **fields), 107, fields)
        self.assertEqual(self.broker.controls, [])

    def test_unsubscribe_names_user_channel_and_perhaps_the_client(self) -> None:
        self.assertEqual(
            self.sent("unsubscribe", user="42", channel="news"), [b'{"unsubscribe":{"user":"42","channel":"news"}}']
        )
        self.assertEqual(
            self.sent("unsubscribe", user="42", channel="news", client="5f0c"),
            [b'{"unsubscribe":{"user":"42","client":"5f0c","channel":"news"}}'],
        )
        for fields in (
            {"channel": "news"},
            {"user": "42"},
            {"user": "42", "channel": "$x"},
            {"user": 4, "channel": "a"},
        ):
            self.assertEqual(self.code("unsubscribe", **fields), 107, fields)

    def test_subscribe_names_user_and_channel_and_what_is_told_and_from_where_to_recover(self) -> None:
        self.assertEqual(
            self.sent("subscribe", user="42", channel="news", client=None, info=None, recover_since=None, override={}),
            [b'{"subscribe":{"user":"42","channel":"news"}}'],
        )
        since = {"offset": 7, "epoch": EPOCH}
        fields = {"client": "5f0c", "info": {"n": 1}, "b64data": "MS4w", "recover_since": since, "expire_at": 9.5}
        self.assertEqual(
            self.sent("subscribe", user="42", channel="chat", **fields),
            [
                b'{"subscribe":{"user":"42","client":"5f0c","channel":"chat","b64info":"eyJuIjoxfQ==",'
                b'"b64data":"MS4w","expire_at":9.5,"recover_since":{"offset":7,"epoch":"wsrelay"}}}'
            ],
        )

    def test_nobody_is_subscribed_to_a_channel_that_no_namespace_has(self) -> None:
        self.assertEqual(self.code("subscribe", user="42", channel="other"), 102)
        self.assertEqual(self.broker.controls, [])

    def test_subscribe_that_makes_no_sense_is_a_bad_request_and_nothing_is_sent(self) -> None:
        good: dict[str, Any] = {"user": "42", "channel": "news"}
        for name, wrong in (
            ("user", None),
            ("user", ""),
            ("user", 42),
            ("channel", None),
            ("channel", "$control"),
            ("client", 5),
            ("info", "x" * 4096),
            ("b64info", "%"),
            ("b64data", 5),
            ("recover_since", 5),
            ("recover_since", {"offset": "1"}),
            ("override", 5),
            ("expire_at", "soon"),
        ):
            self.assertEqual(self.code("subscribe", **{**good, name: wrong}), 107, (name, wrong))
        self.assertEqual(self.broker.controls, [])

    def test_refresh_names_the_user_and_the_new_end(self) -> None:
        for fields, sent in (
            ({}, b""),
            ({"expire_at": 0, "expired": False}, b""),
            ({"client": "5f0c", "expired": True}, b',"client":"5f0c","expired":true'),
            ({"expire_at": 1767229200}, b',"expire_at":1767229200.0'),
            ({"info": {"n": 1}}, b',"b64info":"eyJuIjoxfQ=="'),
            ({"info": None, "session": None}, b""),
        ):
            self.assertEqual(self.sent("refresh", user="42", **fields), [b'{"refresh":{"user":"42"%s}}' % sent])

    def test_refresh_that_makes_no_sense_is_a_bad_request_and_nothing_is_sent(self) -> None:
        for fields in (
            {},
            {"user": "42", "expired": "yes"},
            {"user": "42", "expire_at": "soon"},
            {"user": 42},
            TOO_LONG,
        ):
            self.assertEqual(self.code("refresh", **fields), 107, fields)
        self.assertEqual(self.broker.controls, [])

    def test_session_is_sent_in_a_message_of_a_kind_of_its_own(self) -> None:
        for name, kind in (
            ("disconnect", b"disconnect_user"),
            ("unsubscribe", b"unsubscribe"),
            ("subscribe", b"subscribe"),
            ("refresh", b"refresh"),
        ):
            for user in ("42", ""):
                (sent,) = self.sent(name, user=user, channel="news", session="secret")
                self.assertTrue(sent.startswith(b'{"%b_session":' % kind), sent)
                self.assertIn(b'"session":"secret"', sent)

    def test_session_that_cannot_be_one_is_a_bad_request_that_does_not_repeat_it(self) -> None:
        for name in ("disconnect", "unsubscribe", "subscribe", "refresh"):
            for session in ("\u00e9", "x" * 65):
                code, message = self.error(name, user="42", channel="news", session=session)
                self.assertEqual((code, session in message), (107, False), name)
            self.assertEqual(self.code(name, user="42", channel="news", session=5), 107)
        for fields in ({"user": "42", "revoke_seconds": 5}, {"ticket": "x"}):
            self.assertEqual(self.code("disconnect", session="secret", **fields), 107, fields)
        self.assertEqual(self.broker.controls, [])

    def test_outage_is_an_internal_error(self) -> None:
        self.patch(self.broker, "send_control", lambda *_arguments: fail(BrokerUnavailable("away")))
        for name in ("disconnect", "unsubscribe", "subscribe", "refresh"):
            self.assertEqual(self.code(name, user="42", channel="news"), 100)

    def test_rpc_is_not_available(self) -> None:
        self.assertEqual(self.code("rpc", method="x"), 108)


class ProcessTests(MethodCase):
    """`channels` and `info`."""

    def test_info_has_the_numbers_of_this_process(self) -> None:
        self.clock.advance(5)
        (node,) = self.result("info")["nodes"]
        self.assertEqual(node["uid"], self.broker.node_id)
        names = ("num_clients", "num_users", "num_channels", "num_subs", "uptime")
        self.assertEqual([node[name] for name in names], [0, 0, 0, 0, 5])
        self.assertTrue(node["name"] and node["version"])

    def test_channels_are_chosen_by_a_pattern(self) -> None:
        for channel in ("room:1", "room:2", "room:3", "room:1", "news"):
            WebSocketClient(self.relay, f"/ws/{channel}").connect()
        self.assertEqual(
            self.result("channels", pattern="room:[12]"),
            {"channels": {"room:1": {"num_clients": 2}, "room:2": {"num_clients": 1}}},
        )
        self.assertEqual(len(self.result("channels")["channels"]), 4)
        self.assertEqual(self.result("channels", pattern="ROOM*"), {"channels": {}})
        (node,) = self.result("info")["nodes"]
        self.assertEqual(
            [node[name] for name in ("num_clients", "num_channels", "num_subs", "num_users")], [5, 4, 5, 1]
        )

    def test_pattern_that_cannot_be_used_is_a_bad_request(self) -> None:
        for pattern in (5, "x" * 256, "room:{1,2}"):
            self.assertEqual(self.code("channels", pattern=pattern), 107)

    def test_result_says_so_where_a_process_did_not_reply(self) -> None:
        self.patch(self.broker, "send_control", lambda *_arguments: succeed(2))
        for name, empty in (("info", b'{"nodes":[],'), ("channels", b'{"channels":{},')):
            self.assertIsNone(self.post(name))
            self.clock.advance(SURVEY_SECONDS)
            (answer,) = answers(self.wire.read())
            self.assertEqual(answer.body, b'{"result":%s"incomplete":true}}' % empty)
