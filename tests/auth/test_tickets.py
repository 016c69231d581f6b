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
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, RejectedError
from wsrelay.testing.credential_stores import FakeCredentialStore

TICKET = "t" * 32
HERE = "192.0.2.7"


class UnavailableStore(MemoryCredentialStore):
    """A store that fails, for a reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(lambda: 0.0)
        self.reason = reason

    def read(self, ticket: str) -> Deferred[bytes | None]:
        """Fail."""
        return fail(BrokerUnavailable(self.reason))


class TicketVerifierTests(SynchronousTestCase):
    """`TicketVerifier`."""

    def setUp(self) -> None:
        self.details: list[str] = []
        self.store = MemoryCredentialStore(lambda: 0.0)

    def redeem(self, document: Any = None, address: str = HERE, store: Any = None) -> Identity | ClientError:
        """Return the identity of a client whose ticket has this document, or the error with which it is rejected."""
        if document is not None:
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.store.create(TICKET, data, 30)
        verifier = TicketVerifier(store or self.store, self.details.append, lambda: 1000.0)

        async def check_and_spend() -> Identity:
            with verifier.reserve(Secret(TICKET)):
                identity = await verifier.check(Secret(TICKET), address, "c1")
                await verifier.spend(Secret(TICKET))
                return identity

        found: Identity | ClientError = outcome(Deferred.fromCoroutine(check_and_spend()))
        return found

    def test_ticket_stays_good_while_revocations_cannot_be_looked_up(self) -> None:
        store = FakeCredentialStore()
        store.failure = BrokerUnavailable("CROSSSLOT Keys in request don't hash to the same slot")
        store.create(TICKET, b'{"sub": "42"}', 30)
        self.assertIs(self.redeem(store=store), ClientError.NOT_CHECKED)
        self.assertEqual(store.lookups, [["connection:c1", "user:42", f"ticket:{TICKET}"]])
        self.assertEqual(self.details, ["it cannot be known whether a ticket is revoked: CROSSSLOT"])
        store.failure = None
        self.assertIsInstance(self.redeem(store=store), Identity)

    def test_one_of_two_clients_that_were_checked_gets_in(self) -> None:
        """At two processes, as one refuses the second."""
        self.store.create(TICKET, b"{}", 30)
        first, second = (TicketVerifier(self.store, self.details.append, lambda: 1000.0) for _ in range(2))
        with first.reserve(Secret(TICKET)), second.reserve(Secret(TICKET)):
            for verifier in (first, second):
                self.successResultOf(Deferred.fromCoroutine(verifier.check(Secret(TICKET), HERE, "c1")))
            self.successResultOf(Deferred.fromCoroutine(first.spend(Secret(TICKET))))
            self.assertIs(outcome(Deferred.fromCoroutine(second.spend(Secret(TICKET)))), ClientError.TICKET)

    def test_ticket_is_for_one_handshake_of_a_process_at_a_time(self) -> None:
        """The application would be asked about each of them."""
        verifier = TicketVerifier(self.store, self.details.append, lambda: 1000.0)

        def reserve(name: str) -> None:
            with verifier.reserve(Secret(name)):
                pass

        with verifier.reserve(Secret(TICKET)):
            error = self.assertRaises(RejectedError, reserve, TICKET)
            self.assertIs(error.client_error, ClientError.TICKET)
            reserve("another-ticket-of-the-test")
        self.assertEqual(self.details, ["a ticket: it is used twice at the same time"])
        reserve(TICKET)

    def test_ticket_that_was_written_anew_since_it_was_checked_is_not_the_same(self) -> None:
        verifier = TicketVerifier(self.store, self.details.append, lambda: 1000.0)
        self.store.create(TICKET, b'{"sub": "42"}', 30)
        with verifier.reserve(Secret(TICKET)):
            self.successResultOf(Deferred.fromCoroutine(verifier.check(Secret(TICKET), HERE, "c1")))
            self.store.redeem(TICKET)
            self.store.create(TICKET, b'{"sub": "7"}', 30)
            self.assertIs(outcome(Deferred.fromCoroutine(verifier.spend(Secret(TICKET)))), ClientError.TICKET)

    def test_ticket_is_redeemed_once(self) -> None:
        identity = self.redeem({"sub": "42", "channels": ["room:*"], "publish": ["room:1"]})
        self.assertEqual(identity, Identity("42", ("room:*",), ("room:1",), credential_id=f"ticket:{TICKET}"))
        self.assertIs(self.redeem(), ClientError.TICKET)

    def test_expiry_is_of_the_ticket_and_not_of_the_connection(self) -> None:
        identity = self.redeem({"sub": "42", "exp": 1001})
        assert isinstance(identity, Identity)
        self.assertIsNone(identity.expires)
        self.assertIs(self.redeem({"sub": "42", "exp": 1000}), ClientError.TICKET)
        self.assertEqual(self.details, ["a ticket: it has expired"])

    def test_connection_ends_when_the_ticket_says_so(self) -> None:
        for end, expires in ((2000, 2000.0), (0, None), (None, None)):
            identity = self.redeem({"sub": "42", "exp": 1001, "expire_at": end, "info": [1], "subs": {"a": {}}})
            self.assertEqual(
                identity,
                Identity(
                    "42",
                    expires=expires,
                    credential_id=f"ticket:{TICKET}",
                    info=b"[1]",
                    subs=(ServerSubscription("a"),),
                ),
            )

    def test_ticket_can_be_bound_to_an_address_and_is_spent_from_another_one(self) -> None:
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
            found = self.redeem({"sub": "1", "ip": ip}, address)
            self.assertEqual(isinstance(found, Identity), good, (ip, address))
            self.assertIs(self.redeem(), ClientError.TICKET)

    def test_invalid_document_is_rejected_and_explained(self) -> None:
        for document, detail in (
            (b"", "its document must be a JSON object of at most 16384 bytes"),
            (b"[]", "its document must be a JSON object of at most 16384 bytes"),
            (b"\xff", "its document must be a JSON object of at most 16384 bytes"),
            (b"[" * 10_000, "its document must be a JSON object of at most 16384 bytes"),
            (b'{"sub": "' + b"x" * 20_000 + b'"}', "its document must be a JSON object of at most 16384 bytes"),
            ({"sub": ""}, "sub must be a text of 1 to 255 bytes"),
            ({"channels": "room"}, "channels must be a list of at most 100 channel patterns"),
            ({"ip": 1}, "ip must be an address, or a network such as 192.0.2.0/24"),
        ):
            self.assertIs(self.redeem(document), ClientError.TICKET, document)
            self.assertEqual(self.details.pop(), f"a ticket: {detail}")

    def test_unavailable_store_is_not_checked_and_explained_without_the_ticket(self) -> None:
        for reason, detail in (
            ("NOPERM this user may not run getdel", "NOPERM"),
            ("ERR unknown command 'GETDEL', with args beginning with: 'wsrelay:ticket:secret'", "ERR"),
            ("not connected yet", "no answer"),
        ):
            self.assertIs(self.redeem(store=UnavailableStore(reason)), ClientError.NOT_CHECKED)
            self.assertEqual(self.details.pop(), f"a ticket cannot be looked up: {detail}")

    @given(st.binary(max_size=60) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(
        lambda value: json.dumps({"sub": value, "exp": value, "ip": value, "channels": value}).encode()
    ))  # fmt: skip
    def test_any_document_is_an_identity_or_rejected(self, document: bytes) -> None:
        found = self.redeem(document)
        self.assertTrue(found is ClientError.TICKET or isinstance(found, Identity))
