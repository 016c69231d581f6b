"""Tests of `wsrelay.core.flow.admission`, and of the limits of a listening relay."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.http import answers, upgrade
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire
from tests.support.websocket_client import WebSocketClient
from wsrelay.core.access.client_address import client_is_secure
from wsrelay.core.flow.admission import Admission
from wsrelay.core.outcomes.errors import HTTPError


class AdmissionTests(SynchronousTestCase):
    """Counting without a network."""

    def setUp(self) -> None:
        self.clock = Clock()

    def admission(self, total: int = 100, per_address: int = 0, rate: float = 0) -> Admission:
        return Admission(total, per_address, rate, self.clock.seconds)

    def status(self, admission: Admission, address: str = "1.1.1.1") -> int:
        """Return the status of one more handshake: 101 if it is admitted."""
        try:
            admission.admit(address)
        except HTTPError as error:
            return error.response.status
        return 101

    def test_connection_beyond_the_total_is_rejected_until_one_is_released(self) -> None:
        admission = self.admission(total=2)
        self.assertEqual([self.status(admission) for _ in range(3)], [101, 101, 503])
        admission.release("1.1.1.1")
        self.assertEqual(self.status(admission), 101)

    def test_connection_beyond_the_limit_of_its_address_is_rejected_with_429(self) -> None:
        """Those of other addresses are not. Nothing is kept of addresses without connections."""
        admission = self.admission(per_address=1)
        self.assertEqual([self.status(admission, address) for address in ("a", "a", "b")], [101, 429, 101])
        admission.release("a")
        admission.release("b")
        self.assertEqual((admission.count, admission.addresses), (0, 0))
        self.assertEqual(self.status(admission, "a"), 101)

    def test_two_seconds_worth_of_handshakes_is_admitted_and_then_the_rate(self) -> None:
        admission = self.admission(rate=2)
        self.assertEqual([self.status(admission) for _ in range(5)], [101] * 4 + [503])
        self.clock.advance(0.5)
        self.assertEqual([self.status(admission) for _ in range(2)], [101, 503])


class ListeningTests(EdgeCase):
    """The limits of a listening relay."""

    def test_full_process_responds_503_with_retry_after(self) -> None:
        """Every counted connection is released when it ends."""
        house = self.relay(max_connections=1)
        first = WebSocketClient(house).connect()
        wire = ClientWire(house)
        wire.send(upgrade())
        (answer,) = answers(wire.read())
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        first.wire.hang_up()
        WebSocketClient(house).connect()
        self.assertEqual(house.node.counters.requests_rejected, {503: 1})

    def test_connection_rejected_after_admission_is_released(self) -> None:
        house = self.relay(max_connections=1, channels=("room",))
        for _ in range(3):
            wire = ClientWire(house)
            wire.send(upgrade("/ws/other"))
            self.assertEqual(answers(wire.read())[0].status, 404)
        self.assertEqual(house.websockets.admission.count, 0)

    def test_clients_behind_a_proxy_are_counted_by_the_address_it_wrote(self) -> None:
        house = self.relay(max_connections_per_address=1, trusted_proxies=1)
        statuses = []
        for claim in ("1.1.1.1, 5.5.5.5", "2.2.2.2, 5.5.5.5", "5.5.5.5, 1.1.1.1"):
            wire = ClientWire(house)
            wire.send(upgrade("/ws/room", f"X-Forwarded-For: {claim}"))
            statuses.append(answers(wire.read())[0].status)
        self.assertEqual(statuses, [101, 429, 101])
        self.assertEqual(house.websockets.admission.count, 2)

    def test_handshakes_beyond_the_rate_are_rejected_with_503(self) -> None:
        house = self.relay(max_handshakes_per_second=1)
        statuses = []
        for _ in range(4):
            wire = ClientWire(house)
            wire.send(upgrade())
            statuses.append(answers(wire.read())[0].status)
        self.assertEqual(statuses, [101, 101, 503, 503])


class ClientIsSecureTests(SynchronousTestCase):
    """The question if a client's connection is encrypted."""

    def test_connection_whose_tls_ends_here_is_secure(self) -> None:
        self.assertIs(client_is_secure(True, "http", 1), True)

    def test_security_is_unknown_without_a_trusted_proxy(self) -> None:
        """There may be a proxy all the same, and every client can write the field."""
        for forwarded, proxies in (("https", 0), ("", 0), ("", 1), ("gopher", 1), (",", 1)):
            self.assertIsNone(client_is_secure(False, forwarded, proxies), forwarded)

    def test_first_trusted_proxy_decides(self) -> None:
        """Or the one that overwrites what others wrote."""
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
