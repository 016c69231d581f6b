"""Presence: this process's members of channels, the joins and leaves that are told, and the events for the application.

A client is a member of a channel for as long as it is subscribed to it, where the namespace has presence, joins and
leaves, or events. Others cost nothing: they are in no table here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from random import Random
from secrets import token_hex

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.publications import ChannelEvent, Join, Leave, Publication
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, ClaimError
from wsrelay.core.presence.events import (
    CLOSED_BY_CLIENT,
    LOST,
    UNSUBSCRIBED,
    channel_event,
    client_connected,
    client_gone,
)
from wsrelay.core.presence.local_members import LocalMembers
from wsrelay.core.presence.member import Member, member_of_key
from wsrelay.core.presence.notices import Notice, notices, read_notice
from wsrelay.core.presence.tables import OCCUPIED, Table, announced_channel, announced_table, members_table
from wsrelay.engine.backend_events import BackendEvents
from wsrelay.engine.leases import Leases
from wsrelay.engine.rate_limited_log import LINES_PER_KIND, RateLimitedLog
from wsrelay.engine.timers import TimerWheel, WheelTimer
from wsrelay.interfaces import IBroker
from wsrelay.metrics.counters import Counters

__all__ = ["MAX_SHOWN_BYTES", "NOTICE_LINGER_SECONDS", "Presence", "build_presence"]

NOTICE_LINGER_SECONDS = 5.0
"""How long notices about a channel are received that has no members here."""

MAX_SHOWN_BYTES = 1024
"""The longest info about a member. It is sent again each time that the member is held, and to each who asks."""


def _shown(info: bytes) -> bytes:
    return info if len(info) <= MAX_SHOWN_BYTES else b""


class _Client:
    """A client that is a member somewhere.

    Attributes:
        id: The id of its connection.
        count: How many channels it is a member of.
        ending: The close code and the reason, once the connection ends.
    """

    __slots__ = ("count", "ending", "id")

    def __init__(self, connection_id: str) -> None:
        self.id = connection_id
        self.count = 0
        self.ending: tuple[int, str] | None = None

    def shown(self, member: Member) -> Member:
        """Return a member of its own as others are told of it."""
        return Member(self.id, member.user, _shown(member.conn_info), _shown(member.chan_info))


def build_presence(
    broker: IBroker,
    namespaces: Namespaces,
    clock: IReactorTime,
    timers: TimerWheel,
    rng: Random,
    counters: Counters,
    announce: Callable[[Sequence[ChannelEvent]], None],
) -> Presence | None:
    """Return the presence of a process; None if no namespace asks for any, or its broker keeps none."""
    if not namespaces.tracks_members or broker.presence is None:
        return None
    events: BackendEvents | None = None
    if namespaces.has_events and broker.events is not None:
        events = BackendEvents(broker.events, broker.node_id, lambda: bool(broker.ready), clock, counters)
    return Presence(broker, namespaces, clock, timers, rng, counters, announce, events)


class Presence:
    """The members of channels in one process. Implements `LeaseListener`.

    Args:
        broker: Keeps presence, and carries notices between processes.
        namespaces: The rules about channels.
        clock: Time.
        timers: Coarse timers.
        rng: Randomness for what must not happen in step.
        counters: Where what happens is counted.
        announce: Called with joins and leaves for the subscribers here.
        events: Tells the application. If None, nothing is told.
    """

    log = Logger()

    def __init__(
        self,
        broker: IBroker,
        namespaces: Namespaces,
        clock: IReactorTime,
        timers: TimerWheel,
        rng: Random,
        counters: Counters,
        announce: Callable[[Sequence[ChannelEvent]], None],
        events: BackendEvents | None,
    ) -> None:
        self._broker = broker
        self._namespaces = namespaces
        self._timers = timers
        self._counters = counters
        self._announce = announce
        self._events = events
        self._leases = Leases(broker.presence, self, clock, timers, rng.random(), counters)
        self._members = LocalMembers()
        self._lines = RateLimitedLog(self.log, clock.seconds)
        self._clients: dict[Hashable, _Client] = {}
        # The tables whose notices are received, each with the timer that ends it, if there is one.
        self._received: dict[str, WheelTimer | None] = {}
        if events is not None:
            self._broker.subscribe([OCCUPIED.name])
            self._leases.watch(OCCUPIED)

    def __len__(self) -> int:
        """Return the number of members here, one for each client and channel."""
        return len(self._members)

    # What clients do

    def tracks(self, channel: str) -> bool:
        """Return whether clients on a channel are members."""
        rule = self._namespaces.rule(channel)
        return rule is not None and rule.tracks_members

    def subscribed(self, client: Hashable, channel: str, as_member: Member) -> None:
        """Take that a client is subscribed to a channel.

        Args:
            client: The client; `unsubscribed` is owed.
            channel: The channel's name.
            as_member: What it is as a member of the channel. If the id of its connection is empty, it gets one here,
                which it is not told. Infos longer than `MAX_SHOWN_BYTES` are left out.
        """
        rule = self._namespaces.rule(channel)
        if rule is None or not rule.tracks_members:
            return
        known = self._clients.get(client) or _Client(as_member.client or token_hex(8))
        change = self._members.add(channel, client, known.shown(as_member))
        if change is None:
            return
        self._clients[client] = known
        known.count += 1
        member = change.member
        if rule.presence:
            self._leases.hold(members_table(channel), member.text)
        if rule.join_leave:
            if change.is_edge_of_channel:
                self._receive_notices(announced_table(channel))
            if change.is_edge_of_key:
                self._leases.hold(announced_table(channel), member.key)
        if rule.events and self._events is not None:
            if change.is_edge_of_channel:
                self._leases.hold(OCCUPIED, channel)
            self._events.add(client_connected(channel, member))

    def updated(self, client: Hashable, channel: str, as_member: Member) -> None:
        """Take that others are to be told something else about a client. Subscribers are not told of the change.

        Args:
            client: The client. One that is no member of the channel is ignored.
            channel: The channel's name.
            as_member: See `subscribed`.
        """
        known, rule = self._clients.get(client), self._namespaces.rule(channel)
        if known is None or rule is None:
            return
        shown = known.shown(as_member)
        replaced = self._members.replace(channel, client, shown)
        if replaced is not None and rule.presence:
            # In this order, so that the table is not given up in between.
            self._leases.hold(members_table(channel), shown.text)
            self._leases.release(members_table(channel), replaced.text)

    def unsubscribed(self, client: Hashable, channel: str) -> None:
        """Take that a client is subscribed to a channel no more. One that was no member of it is ignored."""
        known = self._clients.get(client)
        change = None if known is None else self._members.remove(channel, client)
        rule = self._namespaces.rule(channel)
        if known is None or change is None or rule is None:
            return
        known.count -= 1
        if not known.count:
            del self._clients[client]
        member = change.member
        if rule.presence:
            self._leases.release(members_table(channel), member.text)
        if rule.join_leave:
            if change.is_edge_of_key:
                self._leases.release(announced_table(channel), member.key)
            if change.is_edge_of_channel:
                self._end_notices_later(announced_table(channel), channel)
        if rule.events and self._events is not None:
            self._events.add(client_gone(channel, member, known.ending or UNSUBSCRIBED))
            if change.is_edge_of_channel:
                self._leases.release(OCCUPIED, channel)

    def closing(self, client: Hashable, disconnect: AnyDisconnect) -> None:
        """Take that the relay closes a client's connection."""
        self._set_ending(client, (disconnect.code, disconnect.reason))

    def lost(self, client: Hashable, code: int | None) -> None:
        """Take that a client's connection has ended.

        Args:
            client: The client.
            code: The code in the client's close frame. If None, there was none.
        """
        self._set_ending(client, LOST if code is None else (code, CLOSED_BY_CLIENT))

    def stop(self) -> Deferred[None]:
        """Release what is still held, and write the events that wait.

        Returns:
            Fires with None when that is done or has failed, as soon as the broker has answered.
        """
        for channel, client in self._members.pairs():
            # Of connections that did not end in time.
            self.unsubscribed(client, channel)
        events = self._events
        # What is released may be an event.
        return self._leases.stop().addCallback(lambda _: None if events is None else events.stop())

    # What the broker carries

    def received(self, publication: ChannelEvent) -> None:
        """Take a publication of a channel of the relay's own."""
        if not isinstance(publication, Publication):
            return
        table = OCCUPIED if publication.channel == OCCUPIED.name else Table(publication.channel, OCCUPIED.leave_seconds)
        try:
            notice = read_notice(publication.data)
        except ClaimError as error:
            text = f"a notice about presence is malformed and ignored: {error}"
            self._lines.write("malformed", text, LINES_PER_KIND, level=LogLevel.warn)
            return
        if notice.released:
            self._leases.released_elsewhere(table, notice.released)
        if notice.left:
            self._leases.ended_elsewhere(table, notice.left)
        channel = announced_channel(table)
        if channel is not None:
            left = (member for name in notice.left if (member := member_of_key(name)) is not None)
            joins = [Join(channel, each.client, each.user, each.conn_info, each.chan_info) for each in notice.joined]
            self._announce([*joins, *(Leave(channel, each.client, each.user) for each in left)])

    def confirmed(self, name: str) -> None:
        """Take that the notices of a table are received from now on: earlier ones may have been missed."""
        if name in self._received:
            self._leases.renew(Table(name, OCCUPIED.leave_seconds))
        elif name == OCCUPIED.name:
            self._leases.renew(OCCUPIED)

    def reconnected(self) -> None:
        """Take the end of an outage."""
        self._leases.renew_all()

    # LeaseListener

    def names_added(self, table: Table, names: Sequence[str]) -> Deferred[None]:
        """See `LeaseListener.names_added`."""
        channel = announced_channel(table)
        if channel is not None:
            found = (self._members.find(channel, name) or member_of_key(name) for name in names)
            joined = [member for member in found if member is not None]
            self._counters.presence_joins += len(joined)
            return self._notify(table, notices(joined=joined))
        if table == OCCUPIED:
            self._report_channels(names, is_occupied=True)
        return succeed(None)

    def names_ended(self, table: Table, names: Sequence[str]) -> Deferred[None]:
        """See `LeaseListener.names_ended`."""
        if table == OCCUPIED:
            self._report_channels(names, is_occupied=False)
        elif announced_channel(table) is not None:
            self._counters.presence_leaves += len(names)
        else:
            # Members of a process that crashed. Their list is right without them already.
            return succeed(None)
        return self._notify(table, notices(left=names))

    def names_released(self, table: Table, names: Sequence[str]) -> Deferred[None]:
        """See `LeaseListener.names_released`."""
        return self._notify(table, notices(released=names))

    def _report_channels(self, channels: Sequence[str], *, is_occupied: bool) -> None:
        if self._events is not None:
            for channel in channels:
                self._events.add(channel_event(channel, is_occupied=is_occupied))

    def _notify(self, table: Table, messages: Iterable[Notice]) -> Deferred[None]:
        sent = [self._broker.publish(table.name, each.to_bytes()).addErrback(self._notice_failed) for each in messages]
        return gatherResults(sent, consumeErrors=True).addCallback(lambda _results: None)

    def _notice_failed(self, failure: Failure) -> None:
        # Who is here can still be looked up, and leases that are held are renewed in time.
        failure.trap(BrokerUnavailable)
        self._counters.presence_failures += 1

    def _set_ending(self, client: Hashable, ending: tuple[int, str]) -> None:
        known = self._clients.get(client)
        if known is not None and known.ending is None:
            known.ending = ending

    # Notices

    def _receive_notices(self, table: Table) -> None:
        if table.name not in self._received:
            self._broker.subscribe([table.name])
        elif (timer := self._received[table.name]) is not None:
            timer.cancel()
        self._received[table.name] = None

    def _end_notices_later(self, table: Table, channel: str) -> None:
        def end() -> None:
            if channel not in self._members:
                self._stop_receiving(table.name)

        self._received[table.name] = self._timers.call_later(NOTICE_LINGER_SECONDS, end)

    def _stop_receiving(self, name: str) -> None:
        timer = self._received.pop(name)
        if timer is not None:
            timer.cancel()
        self._broker.unsubscribe([name])
