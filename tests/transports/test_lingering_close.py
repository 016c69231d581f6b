"""Tests of wsrelay.transports.lingering_close: the end of a connection whose peer may still be sending."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.testing.transports import MemoryTransport
from wsrelay.transports.lingering_close import MAX_DISCARDED_BYTES, LingeringClose


class _Peer(MemoryTransport):
    """A peer that does not end its direction."""

    def __init__(self) -> None:
        super().__init__(Protocol())
        self.ends_with_relay = False


class LingeringCloseTests(SynchronousTestCase):
    """A close that waits for the peer."""

    def setUp(self) -> None:
        self.clock = Clock()

    def close(self, transport: Any, **arguments: Any) -> LingeringClose:
        """Begin to close a transport."""
        closing = LingeringClose(transport, self.clock.callLater, 5.0, **arguments)
        closing.start()
        return closing

    def test_only_the_relays_direction_ends(self) -> None:
        transport = _Peer()
        self.close(transport)
        self.assertEqual((transport.half_closed, transport.disconnecting, transport.connected), (True, False, True))

    def test_peer_that_ends_its_direction_is_closed_without_a_reset(self) -> None:
        transport = _Peer()
        closing = self.close(transport)
        closing.peer_ended()
        self.assertEqual((transport.connected, transport.aborted), (False, False))
        closing.cancel()
        closing.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_end_of_the_relays_direction_can_wait_for_slow_programs(self) -> None:
        transport = _Peer()
        self.close(transport, delay=1.0)
        self.clock.advance(0.9)
        self.assertFalse(transport.half_closed)
        self.clock.advance(0.1)
        self.assertEqual((transport.half_closed, transport.connected), (True, True))
        self.clock.advance(5.0)
        self.assertTrue(transport.aborted)

    def test_peer_that_ends_its_direction_is_not_waited_for(self) -> None:
        transport = _Peer()
        closing = self.close(transport, delay=1.0)
        closing.peer_ended()
        closing.peer_ended()
        self.assertEqual((transport.connected, transport.aborted), (False, False))
        closing.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        transport = _Peer()
        self.close(transport, delay=1.0, peer_has_ended=True)
        self.assertEqual((transport.connected, transport.aborted), (False, False))

    def test_peer_that_has_ended_already_is_closed_at_once(self) -> None:
        transport = _Peer()
        self.close(transport, peer_has_ended=True)
        self.assertEqual((transport.connected, transport.aborted), (False, False))

    def test_peer_that_never_ends_is_reset_when_the_time_is_over(self) -> None:
        transport = _Peer()
        closing = self.close(transport)
        self.clock.advance(4.9)
        self.assertTrue(transport.connected)
        self.clock.advance(0.1)
        self.assertTrue(transport.aborted)
        closing.cancel()

    def test_peer_that_never_stops_is_reset_beyond_the_limit(self) -> None:
        transport = _Peer()
        closing = self.close(transport)
        closing.discard(MAX_DISCARDED_BYTES)
        self.assertTrue(transport.connected)
        closing.discard(1)
        self.assertTrue(transport.aborted)

    def test_wrapper_that_is_not_tls_ends_the_direction_below_it(self) -> None:
        lower = _Peer()
        wrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        wrapper.makeConnection(lower)
        self.close(wrapper)
        self.assertEqual((lower.half_closed, lower.disconnecting), (True, False))

    def test_transport_that_cannot_end_one_direction_is_closed(self) -> None:
        calls: list[str] = []

        class Plain:
            """A transport with two methods."""

            def loseConnection(self) -> None:
                """Record the call."""
                calls.append("lose")

            def abortConnection(self) -> None:
                """Record the call."""
                calls.append("abort")

        self.close(Plain())
        self.assertEqual(calls, ["lose"])
