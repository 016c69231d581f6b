"""The way out of one connection: the subscriber that the hub sends to.

Most connections are *writable*: nothing waits, and a batch goes to the kernel in one system call. One that is not has
an outbox, and everything for it goes there in its order, control frames too, until the transport has caught up. So the
bytes that Twisted copies are at most one piece, and what waits beyond that are batches shared with everyone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from wsrelay.core.flow.outbox import Outbox
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.engine.timers import TimerWheel, WheelTimer
from wsrelay.transports.listening.eager_tcp import EagerServer
from wsrelay.transports.listening.eager_tls import EagerTLS

__all__ = ["ConnectionWriter", "ConnectionWriters", "Limits", "Owner"]

PIECE_BYTES = 65536
"""How much of the outbox is given to the transport at a time: what Twisted holds before it calls itself full."""


class Limits(Protocol):
    """The bounds of an outbox: the settings."""

    @property
    def max_outbox_bytes(self) -> int:
        """How much may wait, in bytes."""

    @property
    def max_outbox_seconds(self) -> float:
        """How long anything may wait, in seconds."""


class Owner(Protocol):
    """The connection that a writer belongs to."""

    def batch_dropped(self) -> None:
        """Count a batch that the client did not get because it does not read fast enough."""

    def report_gap(self, channel: str) -> None:
        """See `wsrelay.engine.topic.Subscriber.report_gap`."""

    def outbox_emptied(self) -> None:
        """Take that the client has caught up."""

    def close(self, disconnect: Disconnect) -> None:
        """Tell the client why, and end the connection."""


class ConnectionWriters:
    """The things that all writers of a process share.

    Args:
        limits: The bounds of their outboxes.
        timers: Timers; their clock says how long something has waited.
        unready: Filled with those that cannot be written to at this moment, for whatever sends to their descriptors
            directly. If None, nothing does.

    Attributes:
        limits: See above.
        timers: See above.
        unready: See above.
    """

    __slots__ = ("limits", "timers", "unready")

    def __init__(self, limits: Limits, timers: TimerWheel, unready: set[ConnectionWriter] | None = None) -> None:
        self.limits = limits
        self.timers = timers
        self.unready: set[ConnectionWriter] = set() if unready is None else unready


class _FirstSlots:
    """The slots that every send reads: those of a base come first, in the cache line that the type is read from."""

    __slots__ = ("is_writable", "write_now")


class ConnectionWriter(_FirstSlots):
    """The way out of one connection. Implements `wsrelay.engine.topic.Subscriber` and `WriteListener`.

    Args:
        owner: The connection.
        shared: What it shares with all others of the process.
    """

    __slots__ = ("_is_blocked", "_outbox", "_owner", "_places", "_shared", "_timer", "_transport", "is_open")

    def __init__(self, owner: Owner, shared: ConnectionWriters) -> None:
        self._owner: Owner | None = owner
        self._shared = shared
        # In arrays of descriptors.
        self._places = 0
        self._transport: Any = None
        self.write_now: Callable[[bytes], int] = len
        self._outbox: Outbox | None = None
        self._timer: WheelTimer | None = None
        self._is_blocked = False
        self.is_writable = False
        self.is_open = False
        shared.unready.add(self)

    @property
    def is_crowded(self) -> bool:
        """True if so much waits that the client should not cause more: a quarter of what may."""
        return self._outbox is not None and self._outbox.size > self._shared.limits.max_outbox_bytes // 4

    # The hub's side

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """See `wsrelay.engine.topic.Subscriber.send`."""
        if self.is_writable:
            # First a variable: the interpreter reads a slot faster than it looks for a method of that name.
            write_now = self.write_now
            try:
                sent = write_now(data)
            except OSError:
                # The kernel's buffer is full, or the connection is broken: the transport meets it again, and reports.
                sent = 0
            if sent != len(data):
                self._fall_behind(data, sent)
        elif self.is_open:
            self._enqueue(data, policy, channel, latest)

    def close(self, disconnect: Disconnect) -> None:
        """See `wsrelay.engine.topic.Subscriber.close`."""
        if self._owner is not None:
            self._owner.close(disconnect)

    def report_gap(self, channel: str) -> None:
        """See `wsrelay.engine.topic.Subscriber.report_gap`."""
        if self._owner is not None:
            self._owner.report_gap(channel)

    def go_on(self, data: bytes, sent: int) -> None:
        """See `wsrelay.engine.topic.BulkSubscriber.go_on`."""
        if sent < 0 or not self.is_open:
            raise OSError("a part of a message was sent that cannot be completed")
        self._fall_behind(data, sent)

    @property
    def descriptor(self) -> int:
        """The number of the socket that frames can be sent to directly; negative if there is none."""
        transport = self._transport
        return transport.fileno() if isinstance(transport, EagerServer) and transport.connected else -1

    def place_taken(self) -> None:
        """Take that the descriptor has one more place in an array."""
        self._places += 1

    def place_given_up(self) -> None:
        """Take that the descriptor has one place less in an array."""
        self._places -= 1
        if self._owner is None and not self._places:
            self._shared.unready.discard(self)

    # The connection's side

    def connect(self, transport: Any) -> None:
        """Take the connection's transport: from here on control frames can be sent."""
        self._transport = transport
        if isinstance(transport, EagerServer):
            transport.set_write_listener(self)
            self.write_now = transport.socket.send
        elif isinstance(transport, EagerTLS) and transport.is_eager:
            transport.set_write_listener(self)
            self.write_now = transport.write_now
        else:
            transport.registerProducer(_Pauses(self), True)
            self.write_now = self._write_through

    def open(self) -> None:
        """Begin to send messages: the handshake is complete."""
        self.is_open = True
        self._set_writable(not self._is_blocked)

    def send_control(self, frame: bytes) -> None:
        """Send a control frame, or the answer to the handshake, in its order."""
        if self._outbox is None:
            self._transport.write(frame)
        else:
            self._outbox.put_control(frame, self._shared.timers.seconds())

    def shut(self) -> None:
        """Send no more messages: what waits is dropped, but for the rest of what is begun."""
        if not self.is_open:
            # Nothing but control frames can have come since the first time: the close frame is among them.
            return
        self.is_open = False
        self._set_writable(False)
        if self._outbox is not None:
            self._outbox.truncate()

    def finish(self) -> None:
        """Give the transport all that is left; it is about to be closed."""
        outbox, self._outbox = self._outbox, None
        while outbox is not None and outbox.size:
            self._transport.write(outbox.take(PIECE_BYTES))
        if not _has_write_listener(self._transport):
            # Twisted's TLS would wait for more of a producer, and never end its direction.
            self._transport.unregisterProducer()

    def connection_lost(self) -> None:
        """Let go of everything: the connection is gone."""
        self.is_open = self.is_writable = False
        self._outbox = self._owner = None
        self.write_now = len
        # While its descriptor has a place, nothing may be sent there: another connection may have the number by now.
        if not self._places:
            self._shared.unready.discard(self)
        self._stop_timer()
        if _has_write_listener(self._transport):
            self._transport.set_write_listener(None)
        elif self._transport is not None:
            self._transport.unregisterProducer()

    # The transport's side: `wsrelay.transports.listening.eager_tcp.WriteListener`

    def on_blocked(self) -> None:
        """Take that the transport has bytes that the kernel does not accept."""
        self._is_blocked = True
        self._set_writable(False)

    def on_drained(self) -> None:
        """Take that the transport has no bytes left."""
        self._is_blocked = False
        if self._outbox is not None:
            self._feed(self._outbox)
        else:
            self._set_writable(self.is_open)

    def on_closing(self) -> None:
        """Take that the transport is about to close its socket, whose number the next connection may get."""
        self._set_writable(False)

    # Private

    def _set_writable(self, is_writable: bool) -> None:
        self.is_writable = is_writable
        if is_writable:
            self._shared.unready.discard(self)
        else:
            self._shared.unready.add(self)

    def _write_through(self, data: bytes) -> int:
        self._transport.write(data)
        return len(data)

    def _fall_behind(self, data: bytes, sent: int) -> None:
        outbox = self._start_outbox()
        if sent:
            outbox.begin(memoryview(data)[sent:], self._shared.timers.seconds())
        else:
            outbox.put(data, self._shared.timers.seconds())
        self._feed(outbox)

    def _enqueue(self, data: bytes, policy: SlowPolicy, channel: str, latest: bytes) -> None:
        outbox = self._outbox or self._start_outbox()
        now = self._shared.timers.seconds()
        latest_only = policy is SlowPolicy.LATEST
        fits = outbox.put_latest(channel, latest, now) if latest_only else outbox.put(data, now)
        if not fits and self._owner is not None:
            if policy is SlowPolicy.DROP:
                self._owner.batch_dropped()
            else:
                self._owner.close(Disconnect.SLOW)

    def _start_outbox(self) -> Outbox:
        self._set_writable(False)
        self._outbox = Outbox(self._shared.limits.max_outbox_bytes)
        self._timer = self._shared.timers.call_later(self._shared.limits.max_outbox_seconds, self._check_age)
        return self._outbox

    def _feed(self, outbox: Outbox) -> None:
        while not self._is_blocked:
            if not outbox.size:
                self._outbox = None
                self._stop_timer()
                self._set_writable(self.is_open)
                if self._owner is not None:
                    self._owner.outbox_emptied()
                return
            self._transport.write(outbox.take(PIECE_BYTES))

    def _check_age(self) -> None:
        self._timer = None
        if self._outbox is None or not self.is_open:
            return
        now = self._shared.timers.seconds()
        oldest = self._outbox.oldest
        # An outbox may be empty and still the place to wait, while the transport has the last piece of it.
        left = self._shared.limits.max_outbox_seconds - (0.0 if oldest is None else now - oldest)
        if left <= 0:
            self.close(Disconnect.SLOW)
        else:
            self._timer = self._shared.timers.call_later(left, self._check_age)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _has_write_listener(transport: Any) -> bool:
    return isinstance(transport, EagerServer) or (isinstance(transport, EagerTLS) and transport.is_eager)


class _Pauses:
    """A push producer that passes on what a transport says when it is full: for all kinds but the eager ones."""

    __slots__ = ("_writer",)

    def __init__(self, writer: ConnectionWriter) -> None:
        self._writer = writer

    def pauseProducing(self) -> None:
        self._writer.on_blocked()

    def resumeProducing(self) -> None:
        self._writer.on_drained()

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` says the same."""
