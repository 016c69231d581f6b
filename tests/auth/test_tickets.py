"""Tests of `wsrelay.auth.tickets`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from tests.auth.outcome import outcome
from wsrelay.auth.tickets import TicketVerifier
from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.core.access.identity import Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable

TICKET = "t" * 32
HERE = "192.0.2.7"


class Away(MemoryCredentialStore):
    """A store that does not answer, for a reason."""

    def __init__(self, why: str) -> None:
        super().__init__(lambda: 0.0)
        self.why = why

    def redeem(self, ticket: str) -> Deferred[bytes | None]:
        """Fail."""
        return fail(BrokerUnavailable(self.why))


class TicketOfficeTests(SynchronousTestCase):
    """Tickets are shown."""

    def setUp(self) -> None:
        self.explained: list[str] = []
        self.store = MemoryCredentialStore(lambda: 0.0)

    def show(self, document: Any = None, address: str = HERE, store: Any = None) -> Identity | ClientError:
        """Who comes in, or why nobody does, with a ticket that has this document."""
        if document is not None:
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.store.create(TICKET, data, 30)
        office = TicketVerifier(store or self.store, self.explained.append, lambda: 1000.0)
        found: Identity | ClientError = outcome(Deferred.fromCoroutine(office.redeem(Secret(TICKET), address)))
        return found

    def test_once(self) -> None:
        """A ticket lets in whom it says, once."""
        who = self.show({"sub": "42", "channels": ["room:*"], "publish": ["room:1"]})
        self.assertEqual(who, Identity("42", ("room:*",), ("room:1",), credential_id=f"ticket:{TICKET}"))
        self.assertIs(self.show(), ClientError.TICKET)

    def test_end(self) -> None:
        """Its end is that of the ticket and not that of the connection."""
        who = self.show({"sub": "42", "exp": 1001})
        assert isinstance(who, Identity)
        self.assertIsNone(who.expires)
        self.assertIs(self.show({"sub": "42", "exp": 1000}), ClientError.TICKET)
        self.assertEqual(self.explained, ["a ticket: it has expired"])

    def test_address(self) -> None:
        """It may be bound to an address or a network, and whoever is elsewhere has spent it for nothing."""
        for ip, address, good in (
            (HERE, HERE, True),
            (HERE, "192.0.2.8", False),
            ("192.0.2.0/24", "192.0.2.8", True),
            ("192.0.2.7/24", "192.0.2.8", True),
            (HERE, f"::ffff:{HERE}", True),
            ("2001:db8::/32", "2001:db8::1", True),
            ("2001:db8::/32", HERE, False),
            (HERE, "unix", False),
        ):
            found = self.show({"sub": "1", "ip": ip}, address)
            self.assertEqual(isinstance(found, Identity), good, (ip, address))
            self.assertIs(self.show(), ClientError.TICKET)

    def test_nonsense(self) -> None:
        """A document that says something else lets nobody in, and the operator is told what is wrong with it."""
        for document, why in (
            (b"", "its document must be a JSON object of at most 16384 bytes"),
            (b"[]", "its document must be a JSON object of at most 16384 bytes"),
            (b"\xff", "its document must be a JSON object of at most 16384 bytes"),
            (b"[" * 10_000, "its document must be a JSON object of at most 16384 bytes"),
            (b'{"sub": "' + b"x" * 20_000 + b'"}', "its document must be a JSON object of at most 16384 bytes"),
            ({"sub": ""}, "sub must be a text of 1 to 255 bytes"),
            ({"channels": "room"}, "channels must be a list of at most 100 channel patterns"),
            ({"ip": 1}, "ip must be an address, or a network such as 192.0.2.0/24"),
        ):
            self.assertIs(self.show(document), ClientError.TICKET, document)
            self.assertEqual(self.explained.pop(), f"a ticket: {why}")

    def test_store_away(self) -> None:
        """Where nobody can say whether it is good nobody comes in; what Redis says is told without the ticket."""
        for why, told in (
            ("NOPERM this user may not run getdel", "NOPERM"),
            ("ERR unknown command 'GETDEL', with args beginning with: 'wsrelay:ticket:secret'", "ERR"),
            ("not connected yet", "no answer"),
        ):
            self.assertIs(self.show(store=Away(why)), ClientError.NOT_CHECKED)
            self.assertEqual(self.explained.pop(), f"a ticket cannot be looked up: {told}")

    @given(st.binary(max_size=60) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(
        lambda value: json.dumps({"sub": value, "exp": value, "ip": value, "channels": value}).encode()
    ))  # fmt: skip
    def test_any_document(self, document: bytes) -> None:
        """Whatever a document holds, somebody is let in or nobody is; no other exception gets out."""
        found = self.show(document)
        self.assertTrue(found is ClientError.TICKET or isinstance(found, Identity))
