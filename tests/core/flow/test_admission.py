"""Who is let in."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.http import answers, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.access.client_address import client_address, client_is_secure
from wsrelay.core.flow.admission import Admission
from wsrelay.core.outcomes.errors import HTTPError


class AdmissionTests(SynchronousTestCase):
    """The counts."""

    def setUp(self) -> None:
        self.clock = Clock()

    def admission(self, most: int = 100, per_address: int = 0, rate: float = 0) -> Admission:
        return Admission(most, per_address, rate, self.clock.seconds)

    def status(self, admission: Admission, address: str = "1.1.1.1") -> int:
        """What one more is answered: 101 if it is let in."""
        try:
            admission.enter(address)
        except HTTPError as error:
            return error.response.status
        return 101

    def test_in_all(self) -> None:
        """One more than there may be is 503; when one has left there is room."""
        admission = self.admission(most=2)
        self.assertEqual([self.status(admission) for _ in range(3)], [101, 101, 503])
        admission.leave("1.1.1.1")
        self.assertEqual(self.status(admission), 101)

    def test_per_address(self) -> None:
        """One address with too many is 429, others are not; nothing is remembered of those who left."""
        admission = self.admission(per_address=1)
        self.assertEqual([self.status(admission, address) for address in ("a", "a", "b")], [101, 429, 101])
        admission.leave("a")
        admission.leave("b")
        self.assertEqual((admission.count, len(admission._by_address)), (0, 0))
        self.assertEqual(self.status(admission, "a"), 101)

    def test_handshakes(self) -> None:
        """A burst of two seconds' worth is let in, then the rate."""
        admission = self.admission(rate=2)
        self.assertEqual([self.status(admission) for _ in range(5)], [101] * 4 + [503])
        self.clock.advance(0.5)
        self.assertEqual([self.status(admission) for _ in range(2)], [101, 503])


class AddressTests(SynchronousTestCase):
    """Whose connection it is."""

    def test_addresses(self) -> None:
        """Only what trusted proxies wrote is believed; where it is no address, the connection's own is taken."""
        cases = (
            ("6.6.6.6, 2.2.2.2", 0, "9.9.9.9"),
            ("6.6.6.6, 2.2.2.2", 1, "2.2.2.2"),
            ("6.6.6.6,2.2.2.2 ,3.3.3.3", 2, "2.2.2.2"),
            ("2001:DB8::1", 1, "2001:db8::1"),
            ("", 1, "9.9.9.9"),
            ("2.2.2.2", 2, "9.9.9.9"),
            ("<script>", 1, "9.9.9.9"),
        )
        for forwarded, trusted, expected in cases:
            self.assertEqual(client_address("9.9.9.9", forwarded, trusted), expected)


class DoorTests(EdgeCase):
    """The limits at the door."""

    def test_full(self) -> None:
        """A process that is full answers 503 with Retry-After; everyone counted is released when it leaves."""
        house = self.house(max_connections=1)
        first = WebSocketClient(house).enter()
        wire = ClientWire(house)
        wire.send(upgrade())
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        first.wire.leave()
        WebSocketClient(house).enter()
        self.assertEqual(house.node.counters.requests_rejected, {503: 1})

    def test_refused_later(self) -> None:
        """Who is refused behind the door, for its channel's sake, is released as well."""
        house = self.house(max_connections=1, channels=("room",))
        for _ in range(3):
            wire = ClientWire(house)
            wire.send(upgrade("/ws/other"))
            self.assertEqual(answers(wire.read())[0].status, 404)
        self.assertEqual(house.sockets.admission.count, 0)

    def test_forwarded(self) -> None:
        """Behind a router clients are told apart by what the router wrote, whatever else they claim."""
        house = self.house(max_connections_per_address=1, trusted_proxies=1)
        statuses = []
        for claim in ("1.1.1.1, 5.5.5.5", "2.2.2.2, 5.5.5.5", "5.5.5.5, 1.1.1.1"):
            wire = ClientWire(house)
            wire.send(upgrade("/ws/room", f"X-Forwarded-For: {claim}"))
            statuses.append(answers(wire.read())[0].status)
        self.assertEqual(statuses, [101, 429, 101])
        self.assertEqual(house.sockets.admission.count, 2)

    def test_handshake_rate(self) -> None:
        """Too many handshakes in a moment are answered 503."""
        house = self.house(max_handshakes_per_second=1)
        statuses = []
        for _ in range(4):
            wire = ClientWire(house)
            wire.send(upgrade())
            statuses.append(answers(wire.read())[0].status)
        self.assertEqual(statuses, [101, 101, 503, 503])


class ClientIsSecureTests(SynchronousTestCase):
    """Whether a client's connection is encrypted."""

    def test_here(self) -> None:
        """Where TLS ends here it is, whatever anybody writes."""
        self.assertIs(client_is_secure(True, "http", 1), True)

    def test_unknown(self) -> None:
        """Without a proxy that is trusted nobody knows: there may be one all the same, and anybody can write it."""
        for forwarded, proxies in (("https", 0), ("", 0), ("", 1), ("gopher", 1), (",", 1)):
            self.assertIsNone(client_is_secure(False, forwarded, proxies), forwarded)

    def test_proxies(self) -> None:
        """The first of the trusted proxies has seen it, or the one that overwrites what others wrote."""
        for forwarded, proxies, secure in (
            ("https", 1, True),
            ("http", 1, False),
            ("HTTPS", 1, True),
            ("http, https", 1, True),
            ("https, http", 1, False),
            ("https, http", 2, True),
            ("https", 2, True),
            ("wss", 1, True),
            ("ws", 1, False),
        ):
            self.assertIs(client_is_secure(False, forwarded, proxies), secure, forwarded)
