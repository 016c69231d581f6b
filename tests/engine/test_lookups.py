"""Tests of `wsrelay.engine.lookups`: what clients look up, through the embedded broker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.history.offsets import BASE_MS, entry_offset
from wsrelay.core.history.pages import HistoryPage, KeptPublication
from wsrelay.core.messaging.commands import ReadHistory, ReadPresence
from wsrelay.core.messaging.namespaces import Namespace, Namespaces
from wsrelay.core.messaging.replies import Failed, HistoryRead, PresenceCounted, PresenceRead, Reply
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.presence.member import Member, PresenceStats
from wsrelay.core.presence.tables import members_table
from wsrelay.engine.lookups import MAX_LOOKUPS, MAX_READS, ClientLookups, Lookups

KEPT = Namespace("kept", ("chat",), history_size=50, history_seconds=60, presence=True)
RULES = Namespaces((KEPT, Namespace("plain", ("news",))))


class LookupsTests(SynchronousTestCase):
    """Replies to what clients ask for."""

    def setUp(self) -> None:
        self.broker = MemoryBroker(Clock(), lambda: (BASE_MS + 1000) / 1000)
        self.broker.start()
        self.lookups = Lookups(self.broker, RULES)

    def reply(self, command: ReadHistory | ReadPresence) -> Reply:
        """Return the reply to a command."""
        return self.successResultOf(self.lookups.look_up(command))

    def test_history_is_a_page_with_the_client_that_published(self) -> None:
        self.successResultOf(self.broker.history.append("chat", b"hi", KEPT.retention, info=b"{}"))
        offset = entry_offset((BASE_MS + 1000, 1))
        page = HistoryPage((KeptPublication(offset, b"hi", b"{}"),), offset)
        self.assertEqual(self.reply(ReadHistory(4, "chat", 10)), HistoryRead(4, page))

    def test_presence_is_the_members_or_their_numbers(self) -> None:
        member = Member("5f0c", "42")
        self.successResultOf(self.broker.presence.hold(members_table("chat"), [member.text]))
        self.assertEqual(self.reply(ReadPresence(4, "chat")), PresenceRead(4, (member,)))
        self.assertEqual(self.reply(ReadPresence(5, "chat", only_counts=True)), PresenceCounted(5, PresenceStats(1, 1)))

    def test_client_finds_what_it_did_before_it_asked_though_others_are_asking_for_the_same(self) -> None:
        answers: list[Callable[[], None]] = []

        def later(read: Callable[..., Deferred[Any]]) -> Callable[..., Deferred[Any]]:
            """Return a read that is made at once, and whose answer is on its way until the test lets it come."""

            def begin(*arguments: Any) -> Deferred[Any]:
                found, answer = self.successResultOf(read(*arguments)), Deferred[Any]()
                answers.append(partial(answer.callback, found))
                return answer

            return begin

        history, presence = self.broker.history, self.broker.presence
        self.patch(history, "look_at_newest", later(history.look_at_newest))
        self.patch(presence, "presence", later(presence.presence))
        commands = (
            ReadHistory(4, "chat", 10, reverse=True),
            ReadPresence(4, "chat"),
            ReadPresence(4, "chat", only_counts=True),
        )
        others = [self.lookups.look_up(command) for command in commands]
        member = Member("5f0c", "42")
        self.successResultOf(self.broker.history.append("chat", b"hi", KEPT.retention))
        self.successResultOf(presence.hold(members_table("chat"), [member.text]))
        own = [self.lookups.look_up(command) for command in commands]
        while answers:
            answers.pop(0)()
        read: Any = self.successResultOf(others[0])
        self.assertEqual(read.page.publications, ())
        read = self.successResultOf(own[0])
        self.assertEqual([each.data for each in read.page.publications], [b"hi"])
        self.assertEqual(self.successResultOf(own[1]), PresenceRead(4, (member,)))
        self.assertEqual(self.successResultOf(own[2]), PresenceCounted(4, PresenceStats(1, 1)))

    def test_what_cannot_be_looked_up_is_an_error(self) -> None:
        self.assertEqual(self.reply(ReadHistory(4, "chat", 1, 5, "another")), Failed(4, ClientError.UNRECOVERABLE))
        self.assertEqual(self.reply(ReadHistory(4, "news")), Failed(4, ClientError.NO_HISTORY))
        self.assertEqual(self.reply(ReadPresence(4, "news")), Failed(4, ClientError.NOT_SUPPORTED))
        self.successResultOf(self.broker.stop())
        for command in (ReadHistory(4, "chat"), ReadPresence(4, "chat")):
            self.assertEqual(self.reply(command), Failed(4, ClientError.NOT_AVAILABLE))

    def test_bounded_number_of_pages_is_read_at_the_same_time(self) -> None:
        pages: list[Deferred[HistoryPage]] = []

        def page(*_arguments: object, **_options: object) -> Deferred[HistoryPage]:
            pages.append(Deferred())
            return pages[-1]

        self.patch(self.lookups._history, "page", page)
        replies = [self.lookups.look_up(ReadHistory(1, "chat", limit)) for limit in range(MAX_READS + 1)]
        self.assertEqual(len(pages), MAX_READS)
        pages[0].callback(HistoryPage((), 7))
        self.assertEqual(len(pages), MAX_READS + 1)
        pages[-1].callback(HistoryPage((), 8))
        self.assertEqual(self.successResultOf(replies[-1]), HistoryRead(1, HistoryPage((), 8)))


class SlowLookups(Lookups):
    """Looks up when told to."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Reply]] = []

    def look_up(self, _command: ReadHistory | ReadPresence) -> Deferred[Reply]:
        self.waiting.append(Deferred())
        return self.waiting[-1]


class ClientLookupsTests(SynchronousTestCase):
    """The lookups of one client."""

    def setUp(self) -> None:
        self.slow = SlowLookups()
        self.sent: list[Reply] = []
        self.client = ClientLookups(self.slow, self.sent.append)

    def test_more_than_may_wait_are_an_error_and_room_is_there_again_with_each_reply(self) -> None:
        for number in range(MAX_LOOKUPS + 1):
            self.client.look_up(ReadHistory(number + 1, "chat"))
        self.assertEqual(self.sent, [Failed(MAX_LOOKUPS + 1, ClientError.TOO_MANY_REQUESTS)])
        reply = PresenceCounted(1, PresenceStats(0, 0))
        self.slow.waiting[0].callback(reply)
        self.client.look_up(ReadHistory(99, "chat"))
        self.assertEqual((self.sent[1:], len(self.slow.waiting)), ([reply], MAX_LOOKUPS + 1))

    def test_client_that_has_left_is_sent_nothing(self) -> None:
        self.client.look_up(ReadHistory(1, "chat"))
        self.client.stop()
        self.slow.waiting[0].callback(PresenceCounted(1, PresenceStats(0, 0)))
        self.assertEqual(self.sent, [])
