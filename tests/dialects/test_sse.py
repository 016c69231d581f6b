"""Tests of `wsrelay.dialects.sse`, read by a parser of the tests' own."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support.event_source import Event, EventStreamParser
from tests.support.publications import At
from wsrelay.core.history.positions import MAX_POSITION_CHARACTERS, parse_position
from wsrelay.core.messaging.commands import Subscribe
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.messages import Message
from wsrelay.core.messaging.publications import (
    ChannelEvent,
    Gap,
    GapReason,
    Join,
    Leave,
    Positioned,
    Publication,
)
from wsrelay.core.messaging.replies import (
    Connected,
    Failed,
    Published,
    Reply,
    Subscribed,
    SubscriptionEnded,
    Unsubscribed,
)
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import HTTPError, PositionError, ProtocolViolation
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.wire.event_stream import EventBatch
from wsrelay.core.wire.framing import EventStreamFraming, SeveralChannelsFraming
from wsrelay.core.wire.handshake import MAX_PARAMETERS, Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects.sse import (
    MAX_STREAM_CHANNELS,
    PATH,
    UNREADABLE_POSITION,
    SeveralChannelsDialect,
    SSEDialect,
    accepts_event_streams,
    credential_event,
    starting_position,
)
from wsrelay.interfaces import IDialect

ONE = SSEDialect()
SEVERAL = SeveralChannelsDialect()
FIRST = "1764256000123-0.5f3a9c01"
SECOND = "1764256000124-7.00000000"

LINE_ENDS = re.compile(b"\r\n|\r|\n")
PAYLOADS = st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n\0:"), max_size=30).map(str.encode)
POSITIONS = st.sampled_from(["", FIRST, SECOND, "~1764256000123", "~1764256000123.7"])
EVENTS: st.SearchStrategy[ChannelEvent] = st.one_of(
    st.builds(Publication, st.just("a"), PAYLOADS, POSITIONS.map(lambda each: At(each) if each else None)),
    st.builds(Gap, st.just("a"), st.sampled_from(GapReason)),
    st.builds(Join, st.just("a"), st.text(max_size=9), st.text(max_size=9)),
    st.builds(Leave, st.just("a"), st.text(max_size=9), st.text(max_size=9)),
    st.builds(Positioned, st.just("a"), POSITIONS.filter(bool)),
)


def subscribe(target: str, **fields: str) -> list[Subscribe] | ErrorResponse:
    """Return what a request for a path and a query amounts to, or is answered with."""
    path, _, query = target.partition("?")
    try:
        return list(ONE.open(Handshake(path, "192.0.2.1", query=query, **fields)))  # type: ignore[arg-type]
    except HTTPError as error:
        return error.response


def status(target: str) -> int:
    """Return the status of a rejected request; 200 for one that is not."""
    found = subscribe(target)
    return found.status if isinstance(found, ErrorResponse) else 200


def read(stream: bytes) -> EventStreamParser:
    """Return a parser that has read a stream."""
    parser = EventStreamParser()
    parser.feed(stream)
    return parser


def expected(event: ChannelEvent, last_event_id: str, message_type: str) -> tuple[Event | None, str]:
    """Return what a page is told of an event, and the last event ID behind it, for a stream of one channel."""
    match event:
        case Publication(_, data):
            last_event_id = event.position or last_event_id
            return Event(LINE_ENDS.sub(b"\n", data).decode(), message_type, last_event_id), last_event_id
        case Positioned(_, position):
            return None, position
        case Gap(channel, reason):
            return Event(json.dumps({"channel": channel, "reason": reason}), "gap", last_event_id), last_event_id
        case _:
            document = {"channel": event.channel, "client": event.client, "user": event.user}
            name = "join" if isinstance(event, Join) else "leave"
            return Event(json.dumps(document), name, last_event_id), last_event_id


class ChannelTests(SynchronousTestCase):
    """From the URL to the channels."""

    def test_path_names_the_first_channel_and_the_query_the_others_in_order_and_each_once(self) -> None:
        cases = {
            "/sse/a": ["a"],
            "/sse/user%3A42": ["user:42"],
            "/sse/b?channel=c&x=y&channel=a": ["b", "c", "a"],
            "/sse/b?channel=a&channel=b&channel=a": ["b", "a"],
            "/sse/a?channel=user%3A42": ["a", "user:42"],
        }
        for target, channels in cases.items():
            self.assertEqual(subscribe(target), [Subscribe(0, channel) for channel in channels])

    def test_name_outside_the_grammar_is_answered_with_400_wherever_it_stands(self) -> None:
        for name in ("", "a/b", "%24probe", "a%0d%0aX:", "%ff", "%c3%bc", "__keyspace@0__:x", "x" * 256, "a*"):
            for target in (f"/sse/{name}", f"/sse/a?channel={name}"):
                response = subscribe(target)
                assert isinstance(response, ErrorResponse), target
                self.assertEqual(response.status, 400)
                self.assertTrue(response.text.startswith("Not a channel: "))
                self.assertFalse(name and name in response.text)

    def test_stream_has_at_most_32_channels(self) -> None:
        names = [f"c{number}" for number in range(MAX_STREAM_CHANNELS + 1)]
        self.assertEqual(MAX_STREAM_CHANNELS, 32)

        def target(*more: str) -> str:
            return f"/sse/{names[0]}?" + "&".join(f"channel={name}" for name in more)

        self.assertEqual(status(target(*names[1:-1])), 200)
        self.assertEqual(status(target(*names[1:-1], *names[:3])), 200)
        self.assertEqual(status(target(*names[1:])), 400)

    def test_query_that_is_too_long_to_search_is_answered_with_400_and_not_ignored(self) -> None:
        self.assertEqual(status("/sse/a?" + "&".join(["x=y"] * MAX_PARAMETERS)), 200)
        self.assertEqual(status("/sse/a?" + "&".join(["x=y"] * (MAX_PARAMETERS + 1))), 400)

    def test_credential_promised_for_a_first_message_is_answered_with_400(self) -> None:
        self.assertEqual([status("/sse/a?auth=message"), status("/sse/a?auth=x")], [400, 400])

    def test_newest_messages_come_first_if_the_client_asks_and_has_no_position(self) -> None:
        self.assertEqual(
            subscribe("/sse/a?channel=b&history=5"), [Subscribe(0, "a", newest=5), Subscribe(0, "b", newest=5)]
        )
        self.assertEqual(subscribe("/sse/a?history=5", last_event_id=FIRST), [Subscribe(0, "a", FIRST)])
        self.assertEqual(status("/sse/a?history=x"), 400)

    @given(st.text(st.characters(codec="ascii"), max_size=200) | st.binary(max_size=200).map(quote))
    def test_any_request_is_some_channels_or_status_400(self, text: str) -> None:
        self.assertIn(status("/sse/" + text), (200, 400))


class PositionTests(SynchronousTestCase):
    """From Last-Event-ID to the positions of the channels."""

    def positions(self, target: str, last_event_id: str | None = None) -> list[str | None]:
        """Return the positions that a request resumes from."""
        found = subscribe(target) if last_event_id is None else subscribe(target, last_event_id=last_event_id)
        assert not isinstance(found, ErrorResponse), found
        return [command.since for command in found]

    def test_request_without_a_position_does_not_resume(self) -> None:
        for target in ("/sse/a?channel=b", "/sse/a?channel=b&since=", "/sse/a?channel=b&lastEventId=&since="):
            self.assertEqual(self.positions(target), [None, None])
        self.assertEqual(self.positions("/sse/a", ""), [None])

    def test_positions_stand_in_the_order_of_the_channels(self) -> None:
        self.assertEqual(self.positions("/sse/a", FIRST), [FIRST])
        self.assertEqual(self.positions("/sse/a?channel=b&channel=c", f"{FIRST},-,{SECOND}"), [FIRST, "-", SECOND])

    def test_query_gives_them_too_under_each_of_three_names(self) -> None:
        for name in ("since", "last_event_id", "lastEventId"):
            target = f"/sse/a?channel=b&{name}={FIRST},{SECOND}"
            self.assertEqual(self.positions(target), [FIRST, SECOND])
            self.assertEqual(self.positions(target.replace(",", "%2C")), [FIRST, SECOND])

    def test_header_field_goes_before_the_query_which_an_event_source_repeats(self) -> None:
        self.assertEqual(self.positions(f"/sse/a?since={FIRST}", SECOND), [SECOND])
        self.assertEqual(self.positions(f"/sse/a?since={FIRST}", ""), [FIRST])

    def test_what_a_client_adds_to_its_url_goes_before_what_the_page_wrote(self) -> None:
        self.assertEqual(self.positions(f"/sse/a?since={FIRST}&lastEventId={SECOND}"), [SECOND])
        self.assertEqual(self.positions(f"/sse/a?lastEventId={FIRST}&lastEventId={SECOND}"), [SECOND])

    def test_another_number_of_positions_than_of_channels_is_a_position_of_none(self) -> None:
        """One of them alone would be a position of any."""
        for text in (FIRST, f"{FIRST},{FIRST},{FIRST}", ","):
            expected_positions = [UNREADABLE_POSITION] * 2 if text != "," else ["", ""]
            self.assertEqual(self.positions("/sse/a?channel=b", text), expected_positions)
        self.assertEqual(self.positions("/sse/a", f"{FIRST},{FIRST}"), [UNREADABLE_POSITION])

    @given(st.lists(st.text(st.characters(codec="latin-1"), max_size=100), min_size=1, max_size=5).map(",".join))
    @example("x" * 10_000)
    @example(FIRST + "0" * 100)
    @example("\0")
    def test_text_that_is_no_position_stays_none_and_is_bounded(self, text: str) -> None:
        parts = text.split(",")
        for found in self.positions("/sse/a?channel=b&channel=c", text):
            if found is None:
                self.assertEqual(text, "")
                continue
            self.assertLessEqual(len(found), MAX_POSITION_CHARACTERS + 1)
            if found not in parts:
                self.assertRaises(PositionError, parse_position, found)

    def test_channel_keeps_the_position_that_its_client_came_with_until_it_is_subscribed(self) -> None:
        cases = {FIRST: FIRST, "~5": "~5", "-": "-", UNREADABLE_POSITION: "-", "": "-", "5-0\n": "-", None: "-"}
        self.assertEqual({since: starting_position(Subscribe(0, "a", since)) for since in cases}, cases)


class EncodingTests(SynchronousTestCase):
    """Events of channels."""

    def one(self, events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> EventStreamParser:
        """Return a parser that has read a stream of one channel."""
        return read(EventStreamFraming().frame(ONE.encode(events, frames)))

    def several(
        self, events: Sequence[ChannelEvent], positions: dict[str, bytes], frames: FrameType = FrameType.AUTO
    ) -> EventStreamParser:
        """Return a parser that has read a stream of several channels."""
        batch = SeveralChannelsFraming().frame(SEVERAL.encode(events, frames))
        return read(batch.with_ids(positions) if isinstance(batch, EventBatch) else batch)

    @given(st.lists(EVENTS, max_size=6))
    def test_stream_of_one_channel_tells_every_event_and_position_in_order(self, events: list[ChannelEvent]) -> None:
        last, told = "", []
        for event in events:
            found, last = expected(event, last, "message")
            told += [] if found is None else [found]
        parser = self.one(events)
        self.assertEqual([self.comparable(each) for each in parser.events], [self.comparable(each) for each in told])
        self.assertEqual(parser.last_event_id, last)

    @given(st.lists(EVENTS, max_size=6))
    def test_stream_of_several_channels_names_the_channel_and_has_the_positions_of_all(
        self, events: list[ChannelEvent]
    ) -> None:
        last, told, own = "", [], "-"
        for event in events:
            found, position = expected(event, "", "message:a")
            if position:
                own = position
                last = f"-,{own},{FIRST}"
            told += [] if found is None else [Event(found.data, found.type, last)]
        parser = self.several(events, {"b": b"-", "a": b"-", "c": FIRST.encode()})
        self.assertEqual([self.comparable(each) for each in parser.events], [self.comparable(each) for each in told])
        self.assertEqual(parser.last_event_id, last)

    @staticmethod
    def comparable(event: Event) -> tuple[object, str, str]:
        """Return an event with the JSON in it read."""
        is_json = event.type in ("gap", "join", "leave")
        return json.loads(event.data) if is_json else event.data, event.type, event.last_event_id

    def test_id_never_holds_nul_and_stands_before_the_data(self) -> None:
        self.assertEqual(
            list(ONE.encode([Publication("a", b"x\0y", At(FIRST))])), [(f"id: {FIRST}\ndata: x\0y\n".encode(), False)]
        )

    def test_what_is_no_text_is_left_out_and_the_stream_goes_on(self) -> None:
        events = [
            Publication("a", b"1", At("1-0.00000000")),
            Publication("a", b"\xff", At(FIRST)),
            Publication("a", b"3"),
        ]
        self.assertEqual(
            self.one(events).events,
            [Event("1", last_event_id=events[0].position), Event("3", last_event_id=events[0].position)],
        )
        parser = self.several(events, {"a": b"-", "b": b"-"})
        self.assertEqual([event.data for event in parser.events], ["1", "3"])

    @given(st.lists(st.binary(max_size=200), max_size=4))
    def test_every_payload_is_base64_where_frames_are_binary(self, payloads: list[bytes]) -> None:
        events = [Publication("a", data, At(FIRST)) for data in payloads]
        for parser in (
            self.one(events, FrameType.BINARY),
            self.several(events, {"a": b"-", "b": b"-"}, FrameType.BINARY),
        ):
            self.assertEqual([b64decode(event.data, validate=True) for event in parser.events], payloads)

    def test_no_events_are_no_messages(self) -> None:
        self.assertEqual((list(ONE.encode([])), list(SEVERAL.encode([]))), ([], []))


class ConversationTests(SynchronousTestCase):
    """Everything else that a client is told."""

    def test_dialects_provide_the_interface_under_names_of_their_own_and_need_no_messages_of_clients(self) -> None:
        for dialect in (ONE, SEVERAL):
            verifyObject(IDialect, dialect)
            self.assertIs(dialect.acceptance, Acceptance.AUTHENTICATED)
            self.assertTrue(dialect.has_gap_event)
            ping: Callable[[], object] = dialect.ping
            self.assertIsNone(ping())
            with self.assertRaises(ProtocolViolation):
                dialect.decode(Message(b"hello"), is_connected=True)
        self.assertEqual((ONE.name, SEVERAL.name, PATH), ("sse", "sse-several", "/sse/"))

    def test_client_is_told_that_it_is_subscribed_and_of_no_other_reply(self) -> None:
        replies: list[Reply] = [
            Subscribed(0, "a", FIRST),
            Connected(0, "5f0c", 25),
            Unsubscribed(0),
            Published(0),
            Failed(0, ClientError.NOT_AVAILABLE),
            SubscriptionEnded("c", Disconnect.GAP),
        ]
        for dialect, framing in ((ONE, EventStreamFraming()), (SEVERAL, SeveralChannelsFraming())):
            parser = self.parser_of(framing.frame(dialect.reply(replies)))
            self.assertEqual(parser.events, [Event('{"channel":"a"}', "subscribed", FIRST)])

    def test_first_position_comes_with_the_subscription_unless_something_comes_before_it(self) -> None:
        missed = (Publication("a", b"x", At(FIRST)),)
        cases = (
            (Subscribed(0, "a", FIRST), FIRST),
            (Subscribed(0, "a", FIRST, since=FIRST, recovered=True), FIRST),
            (Subscribed(0, "a", FIRST, since=FIRST, recovered=True, publications=missed), ""),
            (Subscribed(0, "a", FIRST, since=FIRST), ""),
            (Subscribed(0, "a", FIRST, publications=missed), ""),
            (Subscribed(0, "a"), ""),
        )
        for dialect, framing in ((ONE, EventStreamFraming()), (SEVERAL, SeveralChannelsFraming())):
            for reply, position in cases:
                parser = self.parser_of(framing.frame(dialect.reply([reply])))
                self.assertEqual(parser.last_event_id, position, reply)

    @staticmethod
    def parser_of(data: bytes) -> EventStreamParser:
        """Return a parser that has read a stream of one channel."""
        return read(data.with_ids({"a": b"-"}) if isinstance(data, EventBatch) else data)

    def test_close_says_nothing_where_the_client_comes_back_by_itself_and_should(self) -> None:
        for disconnect in Disconnect:
            farewell = ONE.close(disconnect)
            self.assertEqual((farewell.code, farewell.reason), (disconnect.code, disconnect.reason))
            self.assertEqual(not farewell.messages, disconnect.reconnect, disconnect)

    def test_close_tells_by_an_event_if_a_new_credential_is_needed_or_coming_back_is_in_vain(self) -> None:
        wants_credential = {
            Disconnect.CREDENTIAL,
            Disconnect.CREDENTIAL_EXPIRED,
            Disconnect.REVOKED,
            Disconnect.STALE,
        }
        for disconnect in Disconnect:
            for event in read(EventStreamFraming().frame(ONE.close(disconnect).messages)).events:
                self.assertEqual(event.type, "credential" if disconnect in wants_credential else "close")
                self.assertEqual(json.loads(event.data), {"code": disconnect.code, "reason": disconnect.reason})

    def test_end_of_a_stream_that_a_ticket_opened_asks_for_a_new_one(self) -> None:
        parser = read(EventStreamFraming().frame([credential_event(Disconnect.RESTART)]))
        self.assertEqual(parser.events, [Event('{"code":1012,"reason":"service restart"}', "credential")])

    def test_client_that_accepts_event_streams_comes_back_after_one_unless_it_asks_for_the_status(self) -> None:
        cases = {
            ("text/event-stream", ""): True,
            ("Text/Event-Stream, */*", "channel=b"): True,
            ("text/event-stream", "errors=status"): False,
            ("text/event-stream", "errors=other"): True,
            ("*/*", ""): False,
            ("", ""): False,
            ("application/json", ""): False,
        }
        for (accept, query), wanted in cases.items():
            handshake = Handshake("/sse/a", "192.0.2.1", query=query, accept=accept)
            self.assertEqual(accepts_event_streams(handshake), wanted, (accept, query))
