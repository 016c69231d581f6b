"""Tests of `wsrelay.engine.presence`: members, joins and leaves in several processes, and events."""

from __future__ import annotations

from twisted.logger import capturedLogs

from tests.engine.harness import log_lines, make_node
from tests.engine.presence_harness import RULES, PresenceCase
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.presence.lease_book import LEASE_SECONDS, RENEW_SECONDS
from wsrelay.core.presence.member import Member, read_member
from wsrelay.core.presence.tables import LEAVE_SECONDS
from wsrelay.engine.node import RELEASE_TIMEOUT_SECONDS, Node
from wsrelay.engine.presence import NOTICE_LINGER_SECONDS
from wsrelay.engine.rate_limited_log import LINES_PER_KIND
from wsrelay.testing.brokers import FakeBroker

COME_BACK = LEAVE_SECONDS / 2
GONE = LEAVE_SECONDS + 3
"""More than a leave takes: it is announced in whole seconds, up to two late."""


class MembersTests(PresenceCase):
    """The members of a channel."""

    def test_clients_of_all_processes_are_members_while_they_are_subscribed(self) -> None:
        _, ann = self.join(0, "list", "ann")
        self.join(1, "list", "bob")
        self.join(1, "list:2", "ann")
        self.assertEqual(self.members("list"), ["c1/ann", "c2/bob"])
        ann.connection_lost()
        self.turn()
        self.assertEqual(self.members("list"), ["c2/bob"])

    def test_members_stay_for_as_long_as_their_process_renews_them(self) -> None:
        self.join(0, "list", "ann")
        self.join(1, "list", "bob")
        self.pass_time(RENEW_SECONDS)
        self.crash(1)
        self.pass_time(LEASE_SECONDS - RENEW_SECONDS)
        self.assertEqual(self.members("list"), ["c1/ann", "c2/bob"])
        self.pass_time(RENEW_SECONDS)
        self.assertEqual(self.members("list"), ["c1/ann"])
        self.pass_time(LEASE_SECONDS * 3)
        self.assertEqual(self.members("list"), ["c1/ann"])
        # And nothing is left of the other one.
        self.assertEqual(len(self.store._tables["$presence:{list}"]), 1)

    def test_member_that_is_updated_takes_the_place_of_what_it_was(self) -> None:
        _, client = self.join(0, "list,told", "ann")
        presence = self.nodes[0].presence
        assert presence is not None
        for channel in ("list", "told", "list:2", "unknown"):
            for _ in range(2):
                presence.updated(client, channel, Member("c1", "ann", b'"Ann"'))
        presence.updated(object(), "list", Member("c2", "bob"))
        self.turn()
        (name,) = self.store._tables["$presence:{list}"]
        self.assertEqual(read_member(name), Member("c1", "ann", b'"Ann"'))
        client.connection_lost()
        self.turn()
        self.assertEqual(self.members("list"), [])

    def test_namespaces_without_presence_keep_no_list(self) -> None:
        for channel in ("plain", "told", "job"):
            self.join(0, channel, "ann")
            self.assertEqual(self.members(channel), [])

    def test_anonymous_client_gets_an_id_that_it_is_not_told(self) -> None:
        connection, client = self.join(0, "list")
        (member,) = self.members("list")
        self.assertRegex(member, r"\A[0-9a-f]{16}/\Z")
        self.assertIsNone(connection.connection_id)
        client.connection_lost()
        self.turn()
        self.assertEqual(self.members("list"), [])

    def test_client_on_several_channels_has_one_id(self) -> None:
        self.join(0, "list,list:2")
        self.assertEqual(self.members("list"), self.members("list:2"))
        self.assertEqual(len(self.members("list")), 1)

    def test_members_are_back_after_an_outage_and_after_a_loss_of_data(self) -> None:
        self.brokers[0].presence.problem = "away"
        self.join(0, "list", "ann")
        self.assertEqual(self.nodes[0].counters.presence_failures, 1)
        self.brokers[0].presence.problem = ""
        self.assertEqual(self.members("list"), [])
        self.brokers[0].sink.reconnected()
        self.turn()
        self.assertEqual(self.members("list"), ["c1/ann"])
        self.store._tables.clear()
        self.pass_time(RENEW_SECONDS)
        self.assertEqual(self.members("list"), ["c1/ann"])

    def test_stopping_process_takes_its_members_out(self) -> None:
        """Those of connections too that have not ended."""
        self.join(0, "list", "ann")
        self.join(1, "list", "bob")
        self.successResultOf(self.nodes[0].release_members())
        self.assertEqual(self.members("list"), ["c2/bob"])
        self.nodes[0].stop()

    def test_stopping_process_does_not_wait_for_a_store_that_does_not_answer(self) -> None:
        self.join(0, "list", "ann")
        presence = self.nodes[0].presence
        assert presence is not None
        presence._leases._is_working = True
        stopped = self.nodes[0].release_members()
        self.assertNoResult(stopped)
        self.clock.advance(RELEASE_TIMEOUT_SECONDS)
        self.assertIsNone(self.successResultOf(stopped))

    def test_gauge_counts_clients_and_channels(self) -> None:
        presence = self.nodes[0].presence
        assert presence is not None
        _, client = self.join(0, "list,told")
        self.join(0, "plain")
        self.assertEqual(len(presence), 2)
        client.connection_lost()
        self.assertEqual((len(presence), presence._clients), (0, {}))

    def test_node_without_such_namespaces_or_without_a_store_has_no_presence(self) -> None:
        plain = Namespaces([Namespace("plain", ("plain*",))])
        broker = FakeBroker()
        broker.presence = self.store
        nodes: list[Node] = [make_node(broker, plain, self.clock), make_node(FakeBroker(), RULES, self.clock)]
        for node in nodes:
            self.assertIsNone(node.presence)
            self.successResultOf(node.release_members())
            node.publications_received([Publication("$here:{chat}", b"{}")])
            node.reconnected()

    def test_everything_is_released_when_the_last_client_leaves(self) -> None:
        clients = [
            self.join(number % 3, channel, "ann")[1] for number, channel in enumerate(("chat", "told", "job") * 3)
        ]
        for client in clients:
            client.connection_lost()
        self.pass_time(GONE + RENEW_SECONDS)
        self.assertEqual(self.store._tables, {})
        self.assertEqual({name for broker in self.brokers for name in broker.wanted}, {"$occupied"})


class JoinLeaveTests(PresenceCase):
    """Joins and leaves, as subscribers get them."""

    def test_subscribers_of_every_process_and_the_client_itself_are_told_of_a_join(self) -> None:
        first, _ = self.join(0, "told", "ann")
        self.assertEqual(self.told(first), ["+c1/ann"])
        second, _ = self.join(1, "told", "bob")
        other, _ = self.join(1, "told:other", "eve")
        self.assertEqual(
            (self.told(first), self.told(second), self.told(other)), (["+c2/bob"], ["+c2/bob"], ["+c3/eve"])
        )

    def test_leave_is_told_when_the_user_has_not_come_back(self) -> None:
        first, _ = self.join(0, "told", "ann")
        second, bob = self.join(1, "told", "bob")
        bob.connection_lost()
        self.told(first)
        self.pass_time(LEAVE_SECONDS - 1)
        self.assertEqual(self.told(first), [])
        self.pass_time(3)
        self.assertEqual(self.told(first), ["-/bob"])
        self.assertEqual(self.told(second), ["+c2/bob"])
        self.pass_time(LEASE_SECONDS)
        self.assertEqual(self.told(first), [])

    def test_user_that_reconnects_to_another_process_is_told_neither_to_leave_nor_to_join(self) -> None:
        first, _ = self.join(0, "told", "ann")
        _, bob = self.join(1, "told", "bob")
        self.told(first)
        for number in (2, 1, 0):
            bob.connection_lost()
            self.pass_time(COME_BACK)
            _, bob = self.join(number, "told", "bob")
            self.pass_time(GONE)
        self.assertEqual(self.told(first), [])
        bob.connection_lost()
        self.pass_time(GONE)
        self.assertEqual(self.told(first), ["-/bob"])

    def test_user_with_several_connections_joins_with_the_first_and_leaves_with_the_last(self) -> None:
        first, _ = self.join(0, "told", "ann")
        clients = [self.join(number, "told", "bob")[1] for number in (0, 0, 1)]
        self.assertEqual(self.told(first), ["+c1/ann", "+c2/bob"])
        for client in clients:
            self.pass_time(GONE)
            self.assertEqual(self.told(first), [])
            client.connection_lost()
        self.pass_time(GONE)
        self.assertEqual(self.told(first), ["-/bob"])

    def test_anonymous_clients_join_and_leave_each_by_itself(self) -> None:
        first, _ = self.join(0, "told", "ann")
        self.told(first)
        _, nobody = self.join(1, "told")
        (joined,) = self.told(first)
        self.assertRegex(joined, r"\A\+[0-9a-f]{16}/\Z")
        self.join(1, "told")
        self.assertNotIn(joined, self.told(first))
        nobody.connection_lost()
        self.pass_time(GONE)
        self.assertEqual(self.told(first), ["-" + joined[1:]])

    def test_leaves_of_a_process_that_crashed_are_told_once_by_one_that_is_left(self) -> None:
        told = [self.join(number, "told", "ann")[0] for number in (0, 1)]
        for number in range(3):
            self.join(2, "told", f"user-{number}")
        self.join(1, "told", "user-1")
        for each in told:
            self.told(each)
        self.crash(2)
        self.pass_time(LEASE_SECONDS + RENEW_SECONDS)
        for each in told:
            self.assertEqual(sorted(self.told(each)), ["-/user-0", "-/user-2"])
        self.assertEqual(sum(node.counters.presence_leaves for node in self.nodes), 2)

    def test_namespaces_without_joins_and_leaves_tell_nobody(self) -> None:
        for channel in ("plain", "list", "job"):
            first, _ = self.join(0, channel, "ann")
            _, other = self.join(1, channel, "bob")
            other.connection_lost()
            self.pass_time(GONE)
            self.assertEqual(self.told(first), [])
        notices = [each.channel for broker in self.brokers for each in broker.published]
        self.assertEqual(set(notices), {"$occupied"})

    def test_processes_without_subscribers_of_the_channel_do_not_receive_notices(self) -> None:
        self.join(0, "told", "ann")
        self.assertEqual([("$here:{told}" in broker.wanted) for broker in self.brokers], [True, False, False])

    def test_notices_are_received_for_a_while_after_the_last_client(self) -> None:
        _, ann = self.join(0, "told", "ann")
        for _ in range(3):
            ann.connection_lost()
            self.pass_time(NOTICE_LINGER_SECONDS - 1)
            _, ann = self.join(0, "told", "ann")
        self.pass_time(NOTICE_LINGER_SECONDS * 2)
        ann.connection_lost()
        self.assertEqual(self.brokers[0].log.count(("subscribe", ["$here:{told}"])), 1)
        self.assertNotIn(("unsubscribe", ["$here:{told}"]), self.brokers[0].log)
        self.pass_time(NOTICE_LINGER_SECONDS + 1)
        self.assertIn(("unsubscribe", ["$here:{told}"]), self.brokers[0].log)

    def test_stopping_process_leaves_its_users_to_those_that_have_them_too(self) -> None:
        first, _ = self.join(0, "told", "ann")
        self.join(1, "told", "bob")
        self.join(1, "told", "cat")
        self.join(2, "told", "bob")
        self.told(first)
        self.successResultOf(self.nodes[1].release_members())
        self.nodes[1].stop()
        self.turn()
        self.pass_time(GONE)
        self.assertEqual(self.told(first), ["-/cat"])

    def test_notices_that_a_process_missed_do_no_lasting_harm(self) -> None:
        """Its leases are renewed when it receives again, or are new again where a leave was announced."""
        first, _ = self.join(0, "told", "ann")
        _, here = self.join(1, "told", "bob")
        self.join(2, "told", "bob")
        for is_in_time in (True, False):
            self.told(first)
            # The next renewals are too far away to make up for it.
            for broker in self.brokers:
                broker.sink.reconnected()
            self.turn()
            self.brokers[2].wanted.discard("$here:{told}")
            here.connection_lost()
            self.pass_time(COME_BACK)
            if is_in_time:
                self.brokers[2].wanted.add("$here:{told}")
                self.brokers[2].sink.subscribed("$here:{told}")
                self.pass_time(GONE)
                self.assertEqual(self.told(first), [])
                _, here = self.join(1, "told", "bob")
            else:
                self.brokers[2].wanted.add("$here:{told}")
                self.pass_time(GONE)
                self.assertEqual(self.told(first), ["-/bob", "+c3/bob"])

    def test_store_that_lost_its_data_makes_nobody_join_again(self) -> None:
        first, _ = self.join(0, "told", "ann")
        self.join(1, "told", "bob")
        self.told(first)
        self.pass_time(10)
        self.store._tables.clear()
        self.brokers[0].sink.reconnected()
        self.pass_time(LEASE_SECONDS)
        self.assertEqual(self.told(first), [])
        self.assertEqual(sorted(self.store._tables["$here:{told}"]), ["user:ann", "user:bob"])

    def test_join_during_an_outage_is_told_after_it(self) -> None:
        first, _ = self.join(0, "told", "ann")
        self.told(first)
        self.brokers[1].presence.problem = "away"
        self.join(1, "told", "bob")
        self.assertEqual(self.told(first), [])
        self.brokers[1].presence.problem = ""
        self.brokers[1].sink.reconnected()
        self.turn()
        self.assertEqual(self.told(first), ["+c2/bob"])

    def test_users_of_a_process_that_was_away_for_long_leave_and_join_again(self) -> None:
        first, _ = self.join(0, "told", "ann")
        self.join(1, "told", "bob")
        self.told(first)
        self.brokers[1].presence.problem = "away"
        self.brokers[1].wanted.discard("$here:{told}")
        self.pass_time(LEASE_SECONDS + RENEW_SECONDS)
        self.assertEqual(self.told(first), ["-/bob"])
        self.brokers[1].presence.problem = ""
        self.brokers[1].sink.reconnected()
        self.turn()
        self.assertEqual(self.told(first), ["+c2/bob"])

    def test_malformed_notice_is_ignored_and_logged(self) -> None:
        first, _ = self.join(0, "told", "ann")
        self.told(first)
        with capturedLogs() as events:
            for data in (b"", b"[]", b'{"joined": [["a"]]}', b'{"left": [1]}', b'{"released": {}}', b"[" * 100_000):
                self.brokers[0].sink.publications_received([Publication("$here:{told}", data)])
            self.brokers[0].sink.publications_received([Publication("$here:{told}", b'{"left": ["x", "user:"]}')])
            self.turn()
        self.assertEqual(self.told(first), [])
        self.assertEqual(len(log_lines(events)), LINES_PER_KIND)

    def test_notice_that_cannot_be_published_is_counted(self) -> None:
        self.brokers[0].ready = False
        self.join(0, "told", "ann")
        self.assertEqual(self.nodes[0].counters.presence_failures, 1)


class EventTests(PresenceCase):
    """Events for the application."""

    def events(self, *fields: str) -> list[tuple[str, ...]]:
        """Return these fields of the events since the last call."""
        found = [tuple(each.get(field, "-") for field in ("event", *fields)) for each in self.event_log.events]
        self.event_log.batches.clear()
        return found

    def test_first_and_last_client_of_all_processes_occupy_and_vacate_a_channel(self) -> None:
        _, first = self.join(0, "job", "ann")
        self.assertEqual(
            self.events("channel", "user", "client", "node"),
            [
                ("client_connected", "job", "ann", "c1", "node-0"),
                ("channel_occupied", "job", "-", "-", "node-0"),
            ],
        )
        _, second = self.join(1, "job", "bob")
        first.connection_lost()
        self.pass_time(GONE)
        self.assertEqual(
            self.events("user", "client", "node"),
            [("client_connected", "bob", "c2", "node-1"), ("client_gone", "ann", "c1", "node-0")],
        )
        second.connection_lost()
        self.pass_time(GONE)
        self.assertEqual(self.events("channel"), [("client_gone", "job"), ("channel_vacated", "job")])

    def test_page_that_is_loaded_again_does_not_vacate_the_channel(self) -> None:
        _, client = self.join(0, "job", "ann")
        client.connection_lost()
        self.pass_time(COME_BACK)
        self.join(1, "job", "ann")
        self.pass_time(GONE)
        self.assertEqual([event for (event,) in self.events()].count("channel_vacated"), 0)

    def test_reason_and_code_of_the_end_are_told(self) -> None:
        closed = Disconnect.CREDENTIAL_EXPIRED
        for disconnect, code, told in (
            (closed, None, (f"{closed.code}", closed.reason)),
            (closed, 1000, (f"{closed.code}", closed.reason)),
            (None, 1001, ("1001", "closed by the client")),
            (None, None, ("1006", "connection lost")),
        ):
            connection, client = self.join(0, "job", "ann")
            self.events()
            if disconnect is not None:
                connection.close(disconnect)
            client.connection_lost(code)
            self.turn()
            self.assertEqual(self.events("code", "reason"), [("client_gone", *told)])

    def test_channel_that_a_crashed_process_occupied_is_vacated_by_another_one(self) -> None:
        self.join(2, "job", "ann")
        self.events()
        self.crash(2)
        self.pass_time(LEASE_SECONDS + RENEW_SECONDS)
        (event,) = self.events("channel")
        self.assertEqual(event, ("channel_vacated", "job"))

    def test_namespaces_without_events_tell_nothing(self) -> None:
        for channel in ("plain", "list", "told"):
            _, client = self.join(0, channel, "ann")
            client.connection_lost()
        self.pass_time(GONE)
        self.assertEqual(self.events(), [])

    def test_broker_without_an_event_log_is_told_nothing(self) -> None:
        self.event_log = None  # type: ignore[assignment]  # as of the memory broker
        number = self.start_node()
        _, client = self.join(number, "chat", "ann")
        client.connection_lost()
        self.turn()
        self.assertNotIn("$occupied", self.brokers[number].wanted)

    def test_events_that_wait_are_written_before_the_process_stops(self) -> None:
        self.brokers[0].ready = False
        self.join(0, "job", "ann")
        self.assertEqual(self.events(), [])
        self.brokers[0].ready = True
        self.successResultOf(self.nodes[0].release_members())
        self.assertEqual(
            sorted(event for (event,) in self.events()), ["channel_occupied", "client_connected", "client_gone"]
        )
