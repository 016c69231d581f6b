"""Tests of `wsrelay.web.presence`: requests through the router and the site, in memory."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.http import Answer, answers, head
from tests.support.in_memory_relay import ClientWire, InMemoryRelay
from tests.support.websocket_client import WebSocketClient
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.access.identity import Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.core.presence.member import MAX_MEMBERS, Member
from wsrelay.core.presence.tables import members_table
from wsrelay.testing.brokers import FakeBroker
from wsrelay.web.presence import CACHE_SECONDS

KEY = "0123456789abcdef0123456789abcdef"
NAMESPACES = (
    Namespace("chat", ("chat*",), presence=True),
    Namespace("room", ("room", "user:{sub}"), Access.AUTHENTICATED, presence=True),
    Namespace("told", ("told",), join_leave=True, events=True),
    Namespace("closed", ("closed",), Access.NOBODY, presence=True),
    Namespace("plain", ("plain",)),
)


class PresenceCase(SynchronousTestCase):
    """A relay with presence."""

    def setUp(self) -> None:
        self.relay = self.make_relay()

    def make_relay(self, **settings: Any) -> InMemoryRelay:
        """Return a relay."""
        clock = Clock()
        clock.advance(time.time())
        broker = MemoryBroker(clock)
        broker.start()
        return InMemoryRelay(broker, clock=clock, namespaces=NAMESPACES, **settings)

    def connect(self, channel: str) -> WebSocketClient:
        """Return a client that is subscribed."""
        client = WebSocketClient(self.relay, f"/ws/{channel}").connect()
        self.relay.turn()
        return client

    def answer(self, path: str, *lines: str, method: str = "GET") -> Answer:
        """Return the response to a request."""
        wire = ClientWire(self.relay)
        wire.send(head(f"{method} {path} HTTP/1.1", "Host: relay.example", *lines))
        (answer,) = answers(wire.read(), to_head=method == "HEAD")
        return answer

    def get(self, path: str, *lines: str) -> tuple[int, Any]:
        """Return status and document of the response to a GET."""
        answer = self.answer(path, *lines)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        return answer.status, json.loads(answer.body)

    def token(self, **claims: Any) -> str:
        """Return the header field of a token of user 42."""
        claims = {"sub": "42", "exp": self.relay.clock.seconds() + 60, **claims}
        return f"Authorization: Bearer {jwt.encode(claims, KEY, 'HS256')}"

    def add(self, channel: str, *members: Member) -> None:
        """Add members of other processes."""
        self.relay.broker.presence.hold(members_table(channel), [each.text for each in members])


class ListTests(PresenceCase):
    """The list, and the numbers."""

    def test_members_are_listed_and_counted(self) -> None:
        self.assertEqual(self.get("/presence/chat"), (200, {"clients": 0, "users": 0, "members": []}))
        self.relay.pass_time(2)
        client = self.connect("chat")
        self.add("chat", Member("c1", "ann"), Member("c2", "ann"))
        status, document = self.get("/presence/chat")
        self.assertEqual((status, document["clients"], document["users"]), (200, 3, 2))
        self.assertEqual(document["members"][1:], [{"client": "c1", "user": "ann"}, {"client": "c2", "user": "ann"}])
        self.assertEqual((document["members"][0]["user"], list(document)), ("", ["clients", "users", "members"]))
        client.wire.hang_up()
        self.relay.pass_time(2)
        self.assertEqual(self.get("/presence/chat")[1]["clients"], 2)

    def test_counts_come_without_the_list(self) -> None:
        self.add("chat", Member("c1", "ann"), Member("c2", "ann"))
        for path in ("/presence/chat?counts", "/presence/chat?counts=1", "/presence/%63hat?x=y&counts"):
            self.assertEqual(self.get(path), (200, {"clients": 2, "users": 1}))

    def test_long_list_is_cut_off_and_says_so(self) -> None:
        self.add("chat", *(Member(f"c{number}", f"user-{number}") for number in range(MAX_MEMBERS + 5)))
        _, document = self.get("/presence/chat")
        self.assertEqual((document["clients"], document["users"]), (MAX_MEMBERS + 5, MAX_MEMBERS + 5))
        self.assertEqual((len(document["members"]), document["truncated"]), (MAX_MEMBERS, True))

    def test_answer_is_kept_for_a_second(self) -> None:
        self.get("/presence/chat")
        self.add("chat", Member("c1", "ann"))
        self.assertEqual(self.get("/presence/chat")[1]["clients"], 0)
        self.assertEqual(self.get("/presence/chat:2")[1]["clients"], 0)
        self.assertEqual(self.get("/presence/chat?counts")[1]["clients"], 1)
        self.relay.clock.advance(CACHE_SECONDS)
        self.assertEqual(self.get("/presence/chat")[1]["clients"], 1)

    def test_crowd_that_asks_at_once_costs_one_lookup(self) -> None:
        broker = FakeBroker()
        broker.presence = store = SlowPresence()
        self.relay = InMemoryRelay(broker, namespaces=NAMESPACES)
        wires = [ClientWire(self.relay) for _ in range(20)]
        for wire in wires:
            wire.send(head("GET /presence/chat?counts HTTP/1.1", "Host: relay.example"))
        self.assertEqual((len(store.asked), {wire.read() for wire in wires}), (1, {b""}))
        store.asked[0].callback((3, 2))
        found = [answers(wire.read())[0].body for wire in wires]
        self.assertEqual(set(found), {b'{"clients": 3, "users": 2}\n'})

    def test_store_that_fails_is_answered_with_503(self) -> None:
        broker = FakeBroker()
        broker.presence = store = SlowPresence()
        self.relay = InMemoryRelay(broker, namespaces=NAMESPACES)
        wire = ClientWire(self.relay)
        wire.send(head("GET /presence/chat?counts HTTP/1.1", "Host: relay.example"))
        store.asked[0].errback(BrokerUnavailable("away"))
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))

    def test_head_has_no_body_and_other_methods_are_rejected(self) -> None:
        self.assertEqual((self.answer("/presence/chat", method="HEAD").status), 200)
        answer = self.answer("/presence/chat", "Content-Length: 0", method="POST")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))


class SlowPresence:
    """A store that answers when the test says."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []

    def presence_stats(self, _channel: str) -> Deferred[Any]:
        """Return a Deferred that the test fires."""
        self.asked.append(Deferred())
        return self.asked[-1]


class AccessTests(PresenceCase):
    """The subscribers that are told."""

    def statuses(self, *lines: str) -> dict[str, int]:
        """Return the status for each channel."""
        channels = ("chat", "room", "user:42", "user:43", "told", "plain", "closed", "none", "", "a/b", "$x")
        return {channel: self.get(f"/presence/{channel}", *lines)[0] for channel in channels}

    def test_nobody_is_told_of_channels_without_presence_or_that_it_may_not_subscribe_to(self) -> None:
        everybody = {"told": 404, "plain": 404, "closed": 403, "none": 404, "": 400, "a/b": 400, "$x": 400}
        self.assertEqual(self.statuses(), {"chat": 200, "room": 401, "user:42": 401, "user:43": 401, **everybody})
        self.relay = self.make_relay(token_keys=Secret(KEY))
        self.assertEqual(
            self.statuses(self.token()), {"chat": 200, "room": 200, "user:42": 200, "user:43": 403, **everybody}
        )
        self.assertEqual(self.statuses(self.token(channels=["chat"]))["room"], 403)

    def test_token_that_is_expired_forged_or_revoked_is_rejected(self) -> None:
        self.relay = self.make_relay(token_keys=Secret(KEY), token_leeway_seconds=0.0)
        now = self.relay.clock.seconds()
        self.assertEqual(self.get("/presence/room", self.token(exp=now - 1))[0], 401)
        self.assertEqual(self.get("/presence/room", self.token() + "x")[0], 401)
        self.assertEqual(self.get("/presence/room", self.token())[0], 200)
        self.relay.broker.credentials.revoke("user:42", 60)
        self.assertEqual(self.get("/presence/room", self.token())[0], 401)
        self.assertEqual(sum(self.relay.node.counters.auth_rejections.values()), 3)

    def test_ticket_is_rejected_and_not_spent(self) -> None:
        ticket = "0123456789abcdef"
        store = self.relay.broker.credentials
        store.create(ticket, b'{"sub": "42"}', 60)
        status, document = self.get(f"/presence/room?ticket={ticket}")
        self.assertEqual((status, "for the subscription" in document["error"]), (400, True))
        self.assertEqual(self.successResultOf(store.redeem(ticket)), b'{"sub": "42"}')

    def test_promise_of_a_credential_is_none(self) -> None:
        self.assertEqual(self.get("/presence/room?auth=message")[0], 401)

    def test_other_origins_are_rejected_and_permitted_ones_may_read(self) -> None:
        self.assertEqual(self.get("/presence/chat", "Origin: https://other.example")[0], 403)
        self.relay = self.make_relay(origins=("https://page.example",))
        self.assertEqual(self.get("/presence/chat", "Origin: https://other.example")[0], 403)
        headers = self.answer("/presence/chat", "Origin: https://page.example").headers
        self.assertEqual(headers["access-control-allow-origin"], "https://page.example")
        self.assertEqual((headers["access-control-allow-credentials"], headers["vary"]), ("true", "origin"))
        self.assertNotIn("access-control-allow-origin", self.answer("/presence/chat").headers)

    def test_application_is_asked_where_it_decides(self) -> None:
        asked: list[tuple[str, ...]] = []
        authenticator: Any = self.relay.node.authenticator

        def authenticate(_credential: object, _handshake: object, channels: Any, _report: object) -> Deferred[Any]:
            asked.append(tuple(channels))
            return succeed(Identity("42"))

        self.patch(type(authenticator), "requires_authentication", lambda _self, _handshake: True)
        self.patch(authenticator, "authenticate", authenticate)
        self.assertEqual((self.get("/presence/room")[0], asked), (200, [("room",)]))

    def test_relay_without_such_namespaces_or_without_a_store_has_no_such_path(self) -> None:
        for relay in (InMemoryRelay(chat_page=False), InMemoryRelay(FakeBroker(), namespaces=NAMESPACES)):
            self.relay = relay
            self.assertEqual(self.answer("/presence/chat").status, 404)
        self.assertIn(b"Not found", self.answer("/presence/chat").body)

    def test_path_itself_names_no_channel(self) -> None:
        self.assertEqual([self.get(path)[0] for path in ("/presence", "/presence/", "/presence?counts")], [400] * 3)
