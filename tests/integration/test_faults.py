"""The most telling faults, and the audit that every fault relies on."""

from __future__ import annotations

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from devtools.faults import scenarios
from devtools.faults.audit import DeliveryReport, audit
from devtools.faults.clients import ConnectionRecord
from devtools.faults.fault import TABLE
from devtools.faults.history_report import SOAK_HEADING, replace_soak, soak_section_of
from devtools.faults.publisher import MessageState, NumberedMessage
from devtools.faults.report import page
from devtools.faults.result import FaultResult, HistoryFigures
from devtools.faults.run import run
from devtools.faults.stream_audit import StreamReport, audit_streams
from devtools.faults.stream_clients import ChannelRecord, ToldGap
from devtools.harness.redis_server import require_redis

SMOKE_FAULTS = (
    "subscriptions-are-forgotten",
    "failover-leaves-a-deaf-replica",
    "redis-is-killed",
    "rolling-deploy",
    "clients-do-not-read",
    "nobody-wants-to-know",
    "redis-restarts-with-its-data",
    "rolling-deploy-over-streams",
)


class FaultTests(SynchronousTestCase):
    """Faults of real processes. ``make faults`` runs all of them."""

    timeout = 240

    def test_no_message_is_lost_silently_in_the_smoke_faults(self) -> None:
        """Every loss is announced; where gap notices are off, the silent loss is seen."""
        require_redis()
        self.assertTrue(scenarios.__all__)
        seen: list[FaultResult] = []
        results = asyncio.run(
            run([TABLE[name] for name in SMOKE_FAULTS], concurrency=3, minutes=2, on_result=seen.append)
        )
        self.assertEqual({result.name: result.problems for result in results if result.problems}, {})
        self.assertEqual(len(seen), len(SMOKE_FAULTS))


class AuditTests(SynchronousTestCase):
    """The delivery report of a connection."""

    def audit(self, *numbers: int, closed: float | None = None, opened: float = 0.5) -> DeliveryReport:
        """Return the report of a connection that received these of five messages, published at 0, 1, 2, 3 and 4."""
        log = [NumberedMessage(float(moment), MessageState.ACCEPTED) for moment in range(5)]
        connection = ConnectionRecord("c0", 1, opened, numbers=list(numbers), times=[9.0] * len(numbers), closed=closed)
        return audit([connection], {"c0": log}, until=10.0)

    def test_messages_before_the_handshake_are_not_expected(self) -> None:
        delivery = self.audit(1, 2, 3, 4)
        self.assertEqual((delivery.expected, delivery.lost, delivery.disordered), (4, 0, 0))

    def test_message_missing_on_an_open_connection_is_a_silent_loss(self) -> None:
        for numbers in ((1, 2, 4), (2, 3, 4), (1, 2, 3)):
            delivery = self.audit(*numbers)
            self.assertEqual((delivery.lost, delivery.silent, delivery.announced), (1, 1, 0))

    def test_message_missing_on_a_closed_connection_is_an_announced_loss(self) -> None:
        """After its end no message is expected."""
        delivery = self.audit(1, closed=3.5)
        self.assertEqual((delivery.expected, delivery.lost, delivery.silent, delivery.announced), (3, 2, 0, 2))
        self.assertEqual((delivery.announced_after, delivery.announced_at), (1.5, 3.5))

    def test_duplicates_and_wrong_order_are_seen(self) -> None:
        self.assertEqual(self.audit(1, 2, 2, 3, 4).disordered, 1)
        self.assertEqual(self.audit(1, 3, 2, 4).disordered, 1)

    def test_order_is_checked_within_one_connection_of_a_sender(self) -> None:
        """A message of an ended connection that comes after those of a later one is late, not out of order."""
        log = [NumberedMessage(float(number), MessageState.ACCEPTED, origin=number // 2) for number in range(4)]
        for numbers, disordered, late in (([0, 2, 1, 3], 0, 1), ([1, 0, 2, 3], 1, 0), ([0, 1, 2, 3, 1], 1, 0)):
            connection = ConnectionRecord("s0", 1, -1.0, numbers=numbers, times=[9.0] * len(numbers))
            delivery = audit([connection], {"s0": log}, until=10.0)
            self.assertEqual((delivery.disordered, delivery.late, delivery.lost), (disordered, late, 0))

    def test_loss_before_the_client_closed_is_silent(self) -> None:
        connection = ConnectionRecord(
            "c0", 1, 0.5, numbers=[1, 3], times=[1.0, 3.0], closed=4.0, code=1000, expected_until=3.5
        )
        log = [NumberedMessage(float(moment), MessageState.ACCEPTED) for moment in range(5)]
        self.assertEqual(audit([connection], {"c0": log}, until=10.0).silent, 1)

    def test_message_that_redis_did_not_accept_is_not_expected(self) -> None:
        log = [
            NumberedMessage(1.0, MessageState.REJECTED),
            NumberedMessage(2.0, MessageState.SENT),
            NumberedMessage(3.0, MessageState.ACCEPTED),
        ]
        delivery = audit([ConnectionRecord("c0", 1, 0.5, numbers=[2], times=[3.0])], {"c0": log}, until=10.0)
        self.assertEqual((delivery.expected, delivery.lost), (1, 0))


class StreamAuditTests(SynchronousTestCase):
    """The report about a client of a channel with history."""

    def audit(
        self, *items: int | str, began: float | None = 0.5, states: dict[int, MessageState] | None = None
    ) -> StreamReport:
        """Return the report of a client that was told these of six entries, added at 0 to 5; a text is a gap."""
        log = [NumberedMessage(float(at), (states or {}).get(at, MessageState.ACCEPTED)) for at in range(6)]
        told = [ToldGap(item) if isinstance(item, str) else item for item in items]
        return audit_streams([ChannelRecord("h0", began, told)], {"h0": log}, until=10.0)

    def assert_fine(self, report: StreamReport) -> None:
        """Assert that nothing was missed and nothing came twice."""
        self.assertEqual((report.holes, report.doubles, report.missed, report.examples), (0, 0, 0, []))

    def test_client_is_owed_what_is_added_after_it_was_given_a_position(self) -> None:
        self.assert_fine(self.audit(1, 2, 3, 4, 5))
        self.assertEqual(self.audit(2, 3, 4, 5).holes, 1)
        self.assertEqual(self.audit(1, 2, 3).holes, 2)
        self.assertEqual(self.audit().holes, 5)
        self.assert_fine(self.audit(began=None))

    def test_entry_from_just_before_it_saw_the_position_may_come(self) -> None:
        self.assert_fine(self.audit(0, 1, 2, 3, 4, 5))

    def test_hole_is_told_by_a_gap_before_the_next_entry(self) -> None:
        report = self.audit(1, "trimmed", 4, 5)
        self.assertEqual((report.holes, report.missed, report.gaps), (0, 2, {"trimmed": 1}))
        self.assertEqual(self.audit(1, 4, "trimmed", 5).holes, 2)
        self.assertEqual(self.audit(1, 2, 3, "expired").missed, 2)

    def test_gap_at_which_nothing_is_missing_is_needless(self) -> None:
        report = self.audit(1, 2, "trimmed", 3, 4, 5)
        self.assert_fine(report)
        self.assertEqual(report.needless, 1)

    def test_double_and_wrong_order_are_seen(self) -> None:
        self.assertEqual(self.audit(1, 2, 2, 3, 4, 5).doubles, 1)
        self.assertEqual(self.audit(1, 2, 3, 4, 5, 2).doubles, 1)
        report = self.audit(1, 3, 2, 4, 5)
        self.assertEqual((report.holes, report.doubles), (1, 1))

    def test_stream_that_is_another_one_may_bring_again_what_the_client_has(self) -> None:
        report = self.audit(1, 2, 3, "unknown_position", 2, 3, 4, 5)
        self.assert_fine(report)
        self.assertEqual(report.again, 2)
        self.assertEqual(self.audit(1, 2, 3, "unknown_position", 2, 4, 5).holes, 1)
        self.assertEqual(self.audit(1, 2, 3, "trimmed", 2, 3, 4, 5).doubles, 2)

    def test_entry_that_no_server_has_is_not_owed_and_may_come(self) -> None:
        for state in (MessageState.FORGOTTEN, MessageState.UNKNOWN, MessageState.REJECTED, MessageState.SENT):
            self.assert_fine(self.audit(1, 2, 4, 5, states={3: state}))
            self.assert_fine(self.audit(1, 2, 3, 4, 5, states={3: state}))

    def test_entry_that_was_never_added_is_seen(self) -> None:
        self.assertEqual(self.audit(1, 2, 3, 4, 5, 6).unknown, ["h0 6"])


class PageTests(SynchronousTestCase):
    """docs/reliability.md."""

    def test_faults_with_history_stand_in_a_table_of_their_own_before_the_soak(self) -> None:
        figures = HistoryFigures(
            entries=1,
            deliveries=2,
            reconnects=3,
            gaps={"trimmed": 4},
            needless=0,
            missed=5,
            again=0,
            holes=0,
            doubles=0,
        )
        names = ("link-reset", "redis-restarts-without-its-data")
        results = [FaultResult(name, "text") for name in names]
        results[1].history = figures
        text = page(results, 50, f"{SOAK_HEADING}\n\nfigures\n")
        plain, _, history = text.partition("\n## Channels with history\n")
        for name, part, other in zip(names, (plain, history), (history, plain), strict=True):
            self.assertIn(f"| {name} |", part)
            self.assertNotIn(f"| {name} |", other)
        self.assertIn("| trimmed 4 | 5 |", history)
        self.assertTrue(history.endswith(f"{SOAK_HEADING}\n\nfigures\n"))

    def test_section_replaces_the_old_one_where_that_stands_and_is_added_where_there_is_none(self) -> None:
        section = f"{SOAK_HEADING}\n\nnew\n"
        page = f"# Page\n\n{SOAK_HEADING}\n\nold\n\n## More\n"
        self.assertEqual(replace_soak(page, section), f"# Page\n\n{section}\n## More\n")
        self.assertEqual(replace_soak("# Page\n", section), f"# Page\n\n{section}")
        self.assertEqual(soak_section_of("# Page\n"), "")
