"""The relay's whole edge without a port, and visitors that knock at it.

The client half of every WebSocket here is the sans-IO `websockets.client.ClientProtocol`: neither Autobahn's parser nor
ours judges what Autobahn and we have written.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import trustme
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import Clock, deferLater
from twisted.internet.tcp import Connection, Server
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from websockets.client import ClientProtocol
from websockets.extensions.base import ClientExtensionFactory
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from wsrelay.auth.setup import Auth
from wsrelay.brokers.memory import MemoryBroker
from wsrelay.config import Settings
from wsrelay.core.counters import Counters
from wsrelay.core.publication import Publication
from wsrelay.denied import DenialLog
from wsrelay.http.api import API
from wsrelay.http.site import build_site
from wsrelay.node import Node
from wsrelay.testing import MemoryTransport
from wsrelay.transports.front import FrontDoorFactory
from wsrelay.transports.stream import EagerServer, write_eagerly
from wsrelay.transports.websocket import RelaySocket, RelaySocketFactory

__all__ = [
    "KEY",
    "Answer",
    "Caller",
    "EdgeCase",
    "House",
    "Kernel",
    "Pipe",
    "RealEdgeCase",
    "Visitor",
    "Wire",
    "answers",
    "client_frame",
    "head",
    "upgrade",
]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455 section 1.3; its answer is `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`."""

REACTOR: Any = reactor
DEADLINE_SECONDS = 20.0

_MASK = b"\x01\x02\x03\x04"


def head(request_line: str, *lines: str | bytes) -> bytes:
    """A request head; lines are encoded as latin-1, so that any byte may stand in one."""
    encoded = [line.encode("latin-1") if isinstance(line, str) else line for line in (request_line, *lines)]
    return b"\r\n".join([*encoded, b"", b""])


def upgrade(path: str = "/ws/room", *lines: str | bytes, key: str = KEY, version: str = "13") -> bytes:
    """The head of a WebSocket handshake with more header fields at its end."""
    return head(
        f"GET {path} HTTP/1.1",
        "Host: relay.example",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        f"Sec-WebSocket-Version: {version}",
        *lines,
    )


def client_frame(first: int, payload: bytes = b"", *, length: int | None = None, masked: bool = True) -> bytes:
    """A client's frame, as wrong as asked: its first byte, its payload, the length it claims, with a mask or not."""
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if size < 126:
        header = bytes((first, bit | size))
    elif size < 65536:
        header = bytes((first, bit | 126)) + struct.pack("!H", size)
    else:
        header = bytes((first, bit | 127)) + struct.pack("!Q", size)
    if not masked:
        return header + payload
    return header + _MASK + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))


@dataclass(frozen=True)
class Answer:
    """One HTTP response.

    Attributes:
        status: Its status code.
        headers: Its fields, names in lower case.
        body: Its body.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def answers(data: bytes, *, to_head: bool = False) -> list[Answer]:
    """The HTTP responses in these bytes; ValueError where they are not complete responses and nothing else.

    Args:
        data: All that came.
        to_head: The requests were HEAD: no body follows, whatever the length says.
    """
    found = []
    while data:
        top, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            raise ValueError(f"no end of head: {data!r}")
        status_line, *lines = top.decode("ascii").split("\r\n")
        version, status, _phrase = status_line.split(" ", 2)
        if version != "HTTP/1.1":
            raise ValueError(status_line)
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        if len(headers) != len(pairs):
            raise ValueError(f"a field is there twice: {lines}")
        size = 0 if to_head or status == "101" else int(headers.get("content-length", "0"))
        if len(rest) < size:
            raise ValueError(f"{size} bytes promised, {len(rest)} came")
        found.append(Answer(int(status), headers, rest[:size]))
        data = rest[size:]
    return found


class House:
    """A relay without a port: broker, node, sockets, site and door on one clock.

    Args:
        broker: The broker, or None for an embedded one that has started.
        clock: Time, or None for a clock that stands still.
        with_page: Whether the chat page is served.
        rng: Randomness for the ping jitter.
        **settings: Settings that are not the defaults.

    Attributes:
        ready: Status and text of ``/readyz``.
        wires: Every connection made.
    """

    def __init__(
        self,
        broker: Any = None,
        *,
        clock: Any = None,
        with_page: bool = True,
        rng: Random | None = None,
        **settings: Any,
    ) -> None:
        self.clock = Clock() if clock is None else clock
        if broker is None:
            broker = MemoryBroker(self.clock.seconds)
            broker.start()
        self.broker = broker
        self.settings = Settings(**settings)
        rules = self.settings.rules()
        counters = Counters()
        denials = DenialLog(counters, self.clock.seconds)
        auth = Auth(self.settings, broker.store, self.clock, Random(7), counters, denials.explain, self.clock.seconds)
        self.node = Node(broker, rules, self.clock, None, counters, auth.authenticator, denials)
        self.sockets = RelaySocketFactory(self.node, self.settings, self.clock, rng or Random(7))
        self.ready = (200, "ready")
        site = build_site(
            readiness=lambda: self.ready,
            with_page=with_page,
            body_seconds=self.settings.handshake_timeout_seconds,
            reactor=self.clock,
            api=API(broker, rules, self.settings.api_keys, denials, self.clock, self.clock.seconds)
            if self.settings.api_keys
            else None,
            max_body_bytes=self.settings.max_message_bytes if self.settings.api_keys else 0,
        )
        self.door = FrontDoorFactory(self.sockets, site, self.settings)
        self.wires: list[Wire] = []

    def turn(self) -> None:
        """Let the reactor go round: what was called for "now" happens."""
        for _ in range(4):
            self.clock.advance(0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps as fine as the wheel's."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)

    def publish(self, *payloads: bytes, channel: str = "room") -> None:
        """Something is published, and everyone is sent it."""
        for payload in payloads:
            self.node.deliver(Publication(channel, payload))
        self.turn()

    def leftovers(self) -> list[object]:
        """What is left when everyone has gone and a while has passed; it should be nothing."""
        for wire in self.wires:
            wire.leave()
        self.pass_time(200)
        return [
            *self.clock.getDelayedCalls(),
            *self.sockets.wheel._buckets.values(),
            *self.sockets.sockets,
            *self.node._interests,
        ]


class Wire:
    """One connection to the door, seen from the client's end.

    Args:
        house: Whose door it is.
        transport: What the relay writes to, or None for a transport in memory.
    """

    def __init__(self, house: House, transport: Any = None) -> None:
        house.wires.append(self)
        self.transport: Any = transport or MemoryTransport()
        self.transport.protocol = house.door.buildProtocol(None)
        self.transport.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Bytes arrive at the relay, unless the connection has ended."""
        if self.transport.connected:
            self.transport.protocol.dataReceived(data)

    def read(self) -> bytes:
        """What the relay has sent."""
        data: bytes = self.transport.drain()
        return data

    def leave(self) -> None:
        """Hang up without a word."""
        if self.transport.connected:
            self.transport._end(ConnectionDone())

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return not self.transport.connected

    @property
    def socket(self) -> RelaySocket:
        """What serves the connection, when it is a WebSocket."""
        socket = self.transport.protocol
        assert isinstance(socket, RelaySocket), socket
        return socket


class Kernel:
    """A socket of which the test is the kernel and the peer.

    Attributes:
        room: How many bytes it still takes.
        most: How many it takes in one call.
        mood: What it does about more bytes than it takes: "full" raises EAGAIN, "idle" takes none, and "broken"
            raises EPIPE, whatever room there is.
        taken: What it took and nobody has read.
        sends: The sizes that were offered, in order.
    """

    def __init__(self, room: int = 2**40, most: int = 2**40) -> None:
        self.room = room
        self.most = most
        self.mood = "full"
        self.taken = b""
        self.sends: list[int] = []

    def send(self, data: bytes | memoryview) -> int:
        """Take what there is room for, as a socket does that does not block."""
        self.sends.append(len(data))
        if self.mood == "broken":
            raise BrokenPipeError(errno.EPIPE, "broken")
        size = min(len(data), self.room, self.most)
        if data and not size and self.mood == "full":
            raise BlockingIOError(errno.EAGAIN, "full")
        self.taken += bytes(data[:size])
        self.room -= size
        return size

    def fileno(self) -> int:
        """None that could be polled."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def setsockopt(self, *option: object) -> None:
        """It has no options."""

    def shutdown(self, how: int) -> None:
        """Nothing more comes."""

    def close(self) -> None:
        """Nothing is held."""


class _Loop:
    """What a transport asks of its reactor.

    Attributes:
        writers: Who waits to be writable.
    """

    def __init__(self, clock: Clock) -> None:
        self.writers: set[object] = set()
        self.addReader = self.removeReader = lambda _reader: None
        self.addWriter = self.writers.add
        self.removeWriter = self.writers.discard
        self.callLater = clock.callLater


class Pipe(EagerServer):
    """A TCP connection, Twisted's code and ours, on a kernel that the test plays.

    Args:
        clock: Time.
        kernel: Its socket.
    """

    def __init__(self, clock: Clock, kernel: Kernel | None = None) -> None:
        self.kernel = kernel or Kernel()
        self.loop = _Loop(clock)
        connection: Any = Connection
        connection.__init__(self, self.kernel, None, self.loop)
        self.connected = 1

    @property
    def waiting(self) -> int:
        """How many bytes Twisted holds."""
        size: int = len(self.dataBuffer) - self.offset + self._tempDataLen
        return size

    def getPeer(self) -> IPv4Address:
        """Somebody."""
        return IPv4Address("TCP", "192.0.2.1", 1234)

    def turn(self) -> None:
        """The reactor finds it writable."""
        if self in self.loop.writers:
            why = self.doWrite()
            if why is not None:
                self.connectionLost(Failure(why))

    def drain(self, size: int = 2**40) -> bytes:
        """The peer reads; there is as much room again, and the reactor notices."""
        data, self.kernel.taken = self.kernel.taken[:size], self.kernel.taken[size:]
        self.kernel.room += len(data)
        self.turn()
        return data

    def hang_up(self) -> None:
        """The peer is gone without a word."""
        self._end(ConnectionDone())

    def _end(self, reason: Exception) -> None:
        self.connectionLost(Failure(reason))


class Visitor:
    """A WebSocket client on a wire. It answers pings and closes only when `flush` is called.

    Args:
        house: Where it knocks.
        path: At which door.
        extensions: What it offers.
        subprotocols: What it offers.
        transport: What the relay writes to, or None for a transport in memory.

    Attributes:
        frames: The frames it was sent.
    """

    def __init__(
        self,
        house: House,
        path: str = "/ws/room",
        *,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        transport: Any = None,
    ) -> None:
        self.wire = Wire(house, transport)
        offered = [Subprotocol(name) for name in subprotocols] if subprotocols is not None else None
        uri = parse_uri(f"ws://relay.example{path}")
        self.protocol = ClientProtocol(uri, extensions=extensions, subprotocols=offered, max_size=None)
        self.frames: list[Frame] = []

    def knock(self) -> None:
        """Send the handshake."""
        self.protocol.send_request(self.protocol.connect())
        self.flush()

    def enter(self) -> Visitor:
        """Knock and be let in."""
        self.knock()
        self.read()
        assert self.protocol.state is State.OPEN, self.protocol.handshake_exc
        return self

    def flush(self) -> None:
        """Let what the client has to say arrive."""
        for data in self.protocol.data_to_send():
            self.wire.send(data)

    def read(self) -> list[Frame]:
        """What the client gets to read now."""
        data = self.wire.read()
        if data:
            self.protocol.receive_data(data)
        if self.wire.closed:
            self.protocol.receive_eof()
        frames = [event for event in self.protocol.events_received() if isinstance(event, Frame)]
        self.frames += frames
        return frames

    def messages(self) -> list[bytes]:
        """The payloads of the messages that can be read now."""
        data_frames = (FrameOpcode.TEXT, FrameOpcode.BINARY)
        return [bytes(frame.data) for frame in self.read() if frame.opcode in data_frames]

    @property
    def goodbye(self) -> tuple[int, str] | None:
        """Code and reason of the close frame that came."""
        close = self.protocol.close_rcvd
        return None if close is None else (close.code, close.reason)


class EdgeCase(SynchronousTestCase):
    """A test at the edge: whatever happened in it, when everyone has left no timer and no connection remains."""

    def house(self, broker: Any = None, **settings: Any) -> House:
        """A relay that is looked at once more when the test is over."""
        house = House(broker, **settings)
        self.addCleanup(self._all_gone, house)
        return house

    def _all_gone(self, house: House) -> None:
        self.assertEqual(house.leftovers(), [])


class Caller(Protocol):
    """The client's end of a real connection: it collects what comes, and can be waited for.

    Attributes:
        data: All that came since the last `until`.
        ended: Fires when the connection is gone.
    """

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[None] = Deferred()
        self.ended.addTimeout(DEADLINE_SECONDS, REACTOR)
        self._end = b""
        self._waiting: Deferred[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.ended.called:
            self.ended.callback(None)

    def until(self, end: bytes) -> Deferred[bytes]:
        """All that came, as soon as it ends like this."""
        self._end = end
        result = self._waiting = Deferred[bytes]()
        result.addTimeout(DEADLINE_SECONDS, REACTOR)
        self._look()
        return result

    def _look(self) -> None:
        if self._waiting is not None and self.data.endswith(self._end):
            waiting, self._waiting = self._waiting, None
            data, self.data = self.data, b""
            waiting.callback(data)


class RealEdgeCase(TestCase):
    """A test with a relay on a free port of loopback."""

    _port: Any
    _authority: trustme.CA | None = None

    async def open(self, *, tls: bool = False, **settings: Any) -> House:
        """A relay on a port, until the test is over."""
        house = House(clock=REACTOR, **settings)
        factory: Any = house.door
        self._authority = None
        if tls:
            self._authority = trustme.CA()
            leaf = self._authority.issue_cert("relay.example")
            pem = leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes()
            factory = TLSMemoryBIOFactory(PrivateCertificate.loadPEM(pem).options(), False, factory)
        self._port = await TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1").listen(factory)
        write_eagerly(self._port)
        self.addCleanup(self._close, house, self._port)
        return house

    async def connect(self) -> Caller:
        """A client of the port, until the test is over."""
        endpoint: Any = TCP4ClientEndpoint(REACTOR, "127.0.0.1", self._port.getHost().port)
        if self._authority is not None:
            root = trustRootFromCertificates([Certificate.loadPEM(self._authority.cert_pem.bytes())])
            endpoint = wrapClientTLS(optionsForClientTLS("relay.example", trustRoot=root), endpoint)
        caller = Caller()
        await connectProtocol(endpoint, caller)
        self.addCleanup(self._hang_up, caller)
        return caller

    def later(self) -> Deferred[None]:
        """The next turn of the reactor."""
        return deferLater(REACTOR, 0)

    async def empty(self, house: House) -> None:
        """Wait until nobody is connected to the relay's sockets any more."""
        deadline = REACTOR.seconds() + DEADLINE_SECONDS
        while house.sockets.countConnections:
            self.assertLess(REACTOR.seconds(), deadline)
            await deferLater(REACTOR, 0.01)
        self.assertEqual(house.sockets.sockets, {})

    async def _close(self, house: House, port: Any) -> None:
        await port.stopListening()
        await self.empty(house)
        # Nor may one be left that the door has not yet handed to anybody.
        while any(isinstance(end, Server) for end in (*REACTOR.getReaders(), *REACTOR.getWriters())):
            await deferLater(REACTOR, 0.01)
        house.node.stop()
        house.sockets.wheel.stop()

    async def _hang_up(self, caller: Caller) -> None:
        if not caller.ended.called:
            caller.transport.abortConnection()
        await caller.ended
