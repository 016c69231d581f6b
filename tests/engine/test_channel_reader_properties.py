"""Random walks of clients between processes that share a stream: the relay's own readers, joins and hub.

Commands are carried out, replies and reports arrive, and connections break when the walk says so. The record of each
client is all that was added, in its order and once, or a gap was told.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devtools.model.encodings import LINES
from devtools.model.findings import Findings
from devtools.model.memory_server import MemoryServer
from devtools.model.process import CHANNEL, Process, Subscription
from devtools.model.run import START_MS, run_walk
from devtools.model.server import ModelServer
from wsrelay.core.history.entries import Entry
from wsrelay.core.history.positions import EntryID
from wsrelay.core.messaging.publications import GapReason
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine import stream_readers

WALKS = 15


class ChannelReaderPropertyTests(SynchronousTestCase):
    """`python -m devtools.model` walks for longer, and on real servers."""

    def test_client_that_moves_between_processes_gets_everything_once_or_is_told_of_a_gap(self) -> None:
        findings = Findings()
        for seed in range(WALKS):
            run_walk("joins", ModelServer(START_MS), seed, findings)
        self.assertGreater(findings.counts["recovered"], 30)
        self.assertGreater(findings.counts["publications"], 500)

    def test_client_of_the_embedded_broker_gets_everything_once_or_is_told_of_a_gap(self) -> None:
        findings = Findings()
        for seed in range(WALKS):
            run_walk("joins", MemoryServer(START_MS), seed, findings)
        self.assertGreater(findings.counts["recovered"], 30)


class AbandonedJoinTests(SynchronousTestCase):
    """A client leaves while its start is looked for."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.patch(stream_readers, "MAX_RECOVERIES", 1)
        self.process = Process(ModelServer(START_MS), self.clock, Random(1), lambda _look: None)
        self.process.history.connect()

    def test_it_keeps_no_turn_though_its_channel_was_confirmed_after_it_had_asked(self) -> None:
        first, second = Subscription(lambda _line: None), Subscription(lambda _line: None)
        reads = self.spy_on_reads()
        joining = self.process.subscriptions.subscribe(first, CHANNEL, LINES, "1-0.*")
        # The failure is handled, as it is in a client.
        joining.addErrback(lambda _failure: None)
        self.clock.advance(0)
        self.process.subscriptions.unsubscribe(first, CHANNEL)
        self.clock.advance(0)
        self.process.subscriptions.subscribe(second, CHANNEL, LINES, "2-0.*")
        self.assertEqual(reads, [(1, 0), (2, 0)])

    def test_read_of_a_channel_that_is_closed_fails_at_once(self) -> None:
        reader = self.process.readers.open(CHANNEL)
        self.process.readers.close([CHANNEL])
        self.failureResultOf(reader.read_now(), BrokerUnavailable)

    def spy_on_reads(self) -> list[EntryID | None]:
        """Return the list of what is read for clients from now on, by where each read begins."""
        history, reads = self.process.history, []
        read = history.read

        def spy(channel: str, since: EntryID | None, count: int) -> Deferred[Sequence[Entry]]:
            reads.append(since)
            return read(channel, since, count)

        self.patch(history, "read", spy)
        return reads


class ClientAheadTests(SynchronousTestCase):
    """A client comes from a process that has read further than this one."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = ModelServer(START_MS)
        self.process = Process(self.server, self.clock, Random(1), lambda _look: None)
        self.process.history.connect()

    def add(self, data: bytes) -> str:
        """Add an entry, and return the position behind it."""
        self.server.add((b"data", data))
        self.process.history.server_changed()
        return self.server.look_at_newest(1).entries[0].position_text

    def rest(self) -> None:
        """Let everything happen that is under way."""
        for _ in range(20):
            self.clock.advance(0)
            self.process.history.carry_out()
            self.process.history.arrive()

    def test_it_gets_nothing_again_though_a_read_from_before_is_under_way(self) -> None:
        self.add(b"0")
        self.check_ahead()

    def test_it_gets_nothing_again_where_this_process_has_seen_no_entry(self) -> None:
        self.check_ahead()

    def test_it_gets_nothing_again_where_this_process_has_just_begun_to_read(self) -> None:
        lines: list[bytes] = []
        self.add(b"1")
        self.process.subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES)
        self.clock.advance(0)
        # The first look is carried out; its reply is under way.
        self.process.history.carry_out()
        ahead = self.add(b"2")
        joining = self.process.subscriptions.subscribe(Subscription(lines.append), CHANNEL, LINES, ahead)
        self.rest()
        start = self.successResultOf(joining)
        self.assertEqual((start.recovered, start.publications, start.position, lines), (True, (), ahead, []))

    def test_it_keeps_its_place_where_what_it_has_had_was_deleted_before_this_process_read_it(self) -> None:
        """At the place of this process it would get those entries again from one that has them in its ring."""
        self.add(b"1")
        ahead = self.add(b"2")
        self.server.delete(self.server.look_at_newest(1).entries[0].id)
        self.process.subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES)
        self.rest()
        joining = self.process.subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES, ahead)
        self.rest()
        start = self.successResultOf(joining)
        self.assertEqual((start.recovered, start.publications, start.position), (True, (), ahead))

    def test_gap_that_was_found_behind_a_look_that_it_shares_reaches_it(self) -> None:
        history, subscriptions, since = self.process.history, self.process.subscriptions, f"~{START_MS - 1}"
        subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES)
        self.rest()
        subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES, since)
        # The channel's own look is answered, and the client's is on its way when an entry is added that does not stay.
        history.carry_out()
        history.carry_out()
        history.arrive()
        self.add(b"1")
        self.server.trim(0)
        joining = subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES, since)
        self.rest()
        start = self.successResultOf(joining)
        self.assertEqual((start.recovered, start.gap), (False, GapReason.TRIMMED))

    def test_newest_that_came_behind_a_read_that_it_shares_reaches_it(self) -> None:
        history, subscriptions = self.process.history, self.process.subscriptions
        subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES)
        self.rest()
        subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES, None, 20)
        # The channel's own look and the client's are carried out, and their replies are under way.
        history.carry_out()
        history.carry_out()
        history.arrive()
        ahead = self.add(b"1")
        joining = subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES, None, 20)
        self.rest()
        start = self.successResultOf(joining)
        self.assertEqual((start.position, [each.data for each in start.publications]), (ahead, [b"1"]))

    def check_ahead(self) -> None:
        """Let a client join with the position of an entry that this process is about to read."""
        lines: list[bytes] = []
        self.process.subscriptions.subscribe(Subscription(lambda _line: None), CHANNEL, LINES)
        self.rest()
        self.add(b"1")
        # The report arrives, and the read is carried out; its reply is under way.
        self.process.history.arrive()
        self.process.history.carry_out()
        ahead = self.add(b"2")
        joining = self.process.subscriptions.subscribe(Subscription(lines.append), CHANNEL, LINES, ahead)
        self.rest()
        start = self.successResultOf(joining)
        self.assertEqual((start.recovered, start.publications, start.position, lines), (True, (), ahead, []))
