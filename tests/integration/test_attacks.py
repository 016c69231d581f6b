"""All attacks on real relays, and the verdicts that they rely on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from websockets.sync.client import connect

from devtools.attacks import report, scenarios
from devtools.attacks.attack import TABLE
from devtools.attacks.context import AttackContext, AttackResult, UnprovenError, Verdict
from devtools.attacks.relay_setups import RelayName
from devtools.attacks.run import check_logs, run
from devtools.harness.redis_server import require_redis
from tests.support.edge import REACTOR
from tests.support.polling import DEADLINE_SECONDS
from wsrelay.app.service import RelayService
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.config import Settings
from wsrelay.core.messaging.publications import Publication


class AttackTests(SynchronousTestCase):
    """Real processes, and every attack."""

    timeout = 180
    # A breach is to be printed in full.
    maxDiff = None  # noqa: N815 -- unittest's name

    def test_every_attack_fails(self) -> None:
        require_redis()
        self.assertTrue(scenarios.__all__)
        results = asyncio.run(run(TABLE.values()))
        self.assertEqual({result.name: result.problems for result in results if not result.is_safe}, {})
        # Two more results are about the logs.
        self.assertEqual(len(results), len(TABLE) + 2)

    def attack_weakened(self, attack: str, *flags: str) -> AttackResult:
        """Return the result of an attack on the guarded relay with these flags added."""
        require_redis()
        results = asyncio.run(run([TABLE[attack]], more={RelayName.GUARDED: flags}))
        return results[0]

    def test_attack_on_a_relay_without_authentication_is_a_breach(self) -> None:
        result = self.attack_weakened("no-token", "--access", "public")
        self.assertEqual((result.verdict, list(result.outcomes)), (Verdict.BREACHED, ["101"]))
        self.assertIn("BREACHED", report.table([result]))

    def test_attack_on_a_relay_that_rejects_everything_proves_nothing(self) -> None:
        result = self.attack_weakened("no-token", "--token-audience", "nobody")
        self.assertEqual((result.verdict, result.outcomes), (Verdict.UNPROVEN, {}))
        self.assertIn("the legitimate version failed", result.problems[0])


class VerdictTests(SynchronousTestCase):
    """The verdict on what an attack has seen."""

    def setUp(self) -> None:
        given: Any = SimpleNamespace(secrets=set())
        self.context = AttackContext(given)

    def result(self) -> AttackResult:
        """Return the result."""
        result = AttackResult("name", "text")
        self.context.conclude(result)
        return result

    def test_expected_response_after_a_legitimate_success_is_a_rejection(self) -> None:
        self.context.control("legitimate", "101")
        self.context.assert_rejected("other", "401 token", "401 token")
        result = self.result()
        self.assertEqual((result.verdict, result.outcomes), (Verdict.REJECTED, {"401 token": 1}))

    def test_harm_is_a_breach(self) -> None:
        self.context.control("legitimate", "101")
        self.context.assert_harmless("nothing", True, "harm")
        self.assertIs(self.result().verdict, Verdict.HARMLESS)
        self.context.assert_harmless("nothing", False, "harm")
        result = self.result()
        self.assertEqual((result.verdict, result.problems), (Verdict.BREACHED, ["harm"]))

    def test_admission_is_a_breach(self) -> None:
        for seen in ("101", "200", "202", "open"):
            self.setUp()
            self.context.control("legitimate", "101")
            self.context.assert_rejected("other", seen, "401", "4505")
            self.assertIs(self.result().verdict, Verdict.BREACHED)

    def test_unexpected_rejection_proves_nothing(self) -> None:
        for seen in ("401", "401 ticket", "403", "1002", "1008", "2000", "reset", "closed", "silence"):
            self.setUp()
            self.context.control("legitimate", "101")
            self.context.assert_rejected("other", seen, "401 token")
            self.assertIs(self.result().verdict, Verdict.UNPROVEN)

    def test_rejection_without_a_legitimate_success_proves_nothing(self) -> None:
        self.context.assert_rejected("other", "401 token", "401 token")
        self.assertIs(self.result().verdict, Verdict.UNPROVEN)
        self.assertRaises(UnprovenError, self.context.control, "legitimate", "401 token")

    def test_credential_in_a_response_is_a_breach(self) -> None:
        """So is a part of a token."""
        self.context.secret("header.payload-of-a-token.signature-of-a-token")
        self.context.control("legitimate", "101")
        for received in (b"... payload-of-a-token ...", b"signature-of-a-token"):
            connection: Any = SimpleNamespace(received=received)
            self.context._connections = [connection]
            self.assertIs(self.result().verdict, Verdict.BREACHED)

    def check(self, log: str) -> Sequence[Verdict]:
        """Return the two verdicts on a log."""
        credentials, errors = check_logs({RelayName.OPEN: log}, {"a-secret-of-somebody"})
        return credentials.verdict, errors.verdict

    def test_credentials_and_tracebacks_in_logs_are_breaches(self) -> None:
        """An empty log proves nothing."""
        good = "wsrelay listening on http://127.0.0.1:1/\n"
        self.assertEqual(self.check(good), (Verdict.HARMLESS, Verdict.HARMLESS))
        self.assertEqual(self.check(f"{good}GET /ws/x?ticket=a-secret-of-somebody")[0], Verdict.BREACHED)
        self.assertEqual(self.check(f"{good}Traceback (most recent call last):")[1], Verdict.BREACHED)
        self.assertEqual(self.check(f"{good}Unhandled error in Deferred:")[1], Verdict.BREACHED)
        self.assertEqual(self.check("")[0], Verdict.UNPROVEN)


class NoDelayTests(TestCase):
    """Autobahn's own option has no effect on Twisted, which no client can see from outside."""

    async def test_accepted_websockets_have_tcp_nodelay(self) -> None:
        """The whole service runs on the real reactor."""
        broker = MemoryBroker(REACTOR)
        endpoint = TCP4ServerEndpoint(REACTOR, 0, interface="127.0.0.1")
        settings = Settings(host="127.0.0.1", drain_timeout_seconds=5.0)
        service = RelayService(settings, broker, [endpoint], REACTOR, Random(1))
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        address: Any = service._ports[0].getHost()

        def visit() -> Any:
            with connect(f"ws://127.0.0.1:{address.port}/ws/room", proxy=None) as client:
                return client.recv(timeout=DEADLINE_SECONDS)

        visiting = deferToThread(visit)
        deadline = REACTOR.seconds() + DEADLINE_SECONDS
        while not service.relay.websockets.connections.open_connections():
            self.assertLess(REACTOR.seconds(), deadline)
            await deferLater(REACTOR, 0.01)
        accepted: Any
        (accepted,) = service.relay.websockets.connections.open_connections()
        handle = accepted.transport.getHandle()
        self.assertTrue(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        # It is off by default: otherwise this would prove nothing.
        with socket.socket() as alone:
            self.assertFalse(alone.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        service.relay.node.publications_received([Publication("room", b"hello")])
        self.assertEqual(await visiting, "hello")
