"""All attacks on real relays, and that whoever judges them would see a break-in."""

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

from devtools.attacks import acts, report
from devtools.attacks.attack import TABLE
from devtools.attacks.run import judge_logs, run
from devtools.attacks.setups import Name
from devtools.attacks.trial import Row, Trial, UnprovenError, Verdict
from devtools.harness.redis_server import require_redis
from tests.support.edge import DEADLINE_SECONDS, REACTOR
from wsrelay.app.service import RelayService
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.config import Settings
from wsrelay.core.messaging.publications import Publication


class AttackTests(SynchronousTestCase):
    """Real processes, and everything that is known to get in somewhere."""

    timeout = 180
    # What got in is to be read in full.
    maxDiff = None  # noqa: N815 -- unittest's name

    def test_all(self) -> None:
        """Nobody gets in, and of every attack it is proven."""
        require_redis()
        self.assertTrue(acts.__all__)
        rows = asyncio.run(run(TABLE.values()))
        self.assertEqual({row.name: row.problems for row in rows if not row.is_well}, {})
        # The logs are two more.
        self.assertEqual(len(rows), len(TABLE) + 2)

    def try_weak(self, attack: str, *flags: str) -> Row:
        """What comes of an attack on the guarded relay, weakened by these flags."""
        require_redis()
        rows = asyncio.run(run([TABLE[attack]], more={Name.GUARDED: flags}))
        return rows[0]

    def test_open_door(self) -> None:
        """A relay that asks for no credential is broken into by everybody, and the row says so."""
        row = self.try_weak("no-token", "--access", "public")
        self.assertEqual((row.verdict, list(row.came)), (Verdict.GOT_IN, ["101"]))
        self.assertIn("GOT IN", report.table([row]))

    def test_locked_door(self) -> None:
        """A relay that lets nobody in proves nothing by that, and the row says so."""
        row = self.try_weak("no-token", "--token-audience", "nobody")
        self.assertEqual((row.verdict, row.came), (Verdict.UNPROVEN, {}))
        self.assertIn("the honest version failed", row.problems[0])


class JudgeTests(SynchronousTestCase):
    """What is made of what was seen."""

    def setUp(self) -> None:
        given: Any = SimpleNamespace(secrets=set())
        self.trial = Trial(given)

    def row(self) -> Row:
        """What comes of it."""
        row = Row("name", "text")
        self.trial.fill(row)
        return row

    def test_refused(self) -> None:
        """The very answer that was expected, behind an honest version that succeeded."""
        self.trial.control("honest", "101")
        self.trial.refused("other", "401 token", "401 token")
        self.assertEqual((self.row().verdict, self.row().came), (Verdict.REFUSED, {"401 token": 1}))

    def test_harmless(self) -> None:
        """Where nothing is to be refused, what was feared must not be so."""
        self.trial.control("honest", "101")
        self.trial.safe("nothing", True, "harm")
        self.assertIs(self.row().verdict, Verdict.HARMLESS)
        self.trial.safe("nothing", False, "harm")
        self.assertEqual((self.row().verdict, self.row().problems), (Verdict.GOT_IN, ["harm"]))

    def test_got_in(self) -> None:
        """In is whoever was to be refused and gets a WebSocket, a 2xx, or stays."""
        for seen in ("101", "200", "202", "open"):
            self.setUp()
            self.trial.control("honest", "101")
            self.trial.refused("other", seen, "401", "4505")
            self.assertIs(self.row().verdict, Verdict.GOT_IN)

    def test_another_answer(self) -> None:
        """Any other answer proves nothing, be it as unfriendly."""
        for seen in ("401", "401 ticket", "403", "1002", "1008", "2000", "reset", "closed", "silence"):
            self.setUp()
            self.trial.control("honest", "101")
            self.trial.refused("other", seen, "401 token")
            self.assertIs(self.row().verdict, Verdict.UNPROVEN)

    def test_no_control(self) -> None:
        """Without an honest version nothing is proven, and one that fails ends the attack."""
        self.trial.refused("other", "401 token", "401 token")
        self.assertIs(self.row().verdict, Verdict.UNPROVEN)
        self.assertRaises(UnprovenError, self.trial.control, "honest", "401 token")

    def test_echo(self) -> None:
        """A credential that comes back is a break-in, whatever else the answer says; so is a part of a token."""
        self.trial.secret("header.payload-of-a-token.signature-of-a-token")
        self.trial.control("honest", "101")
        for received in (b"... payload-of-a-token ...", b"signature-of-a-token"):
            line: Any = SimpleNamespace(received=received)
            self.trial._lines = [line]
            self.assertIs(self.row().verdict, Verdict.GOT_IN)

    def judge(self, log: str) -> Sequence[Verdict]:
        """What is made of a log."""
        held, broken = judge_logs({Name.OPEN: log}, {"a-secret-of-somebody"})
        return held.verdict, broken.verdict

    def test_logs(self) -> None:
        """Credentials and tracebacks are seen in a log, and that there is none."""
        well = "wsrelay listening on http://127.0.0.1:1/\n"
        self.assertEqual(self.judge(well), (Verdict.HARMLESS, Verdict.HARMLESS))
        self.assertEqual(self.judge(f"{well}GET /ws/x?ticket=a-secret-of-somebody")[0], Verdict.GOT_IN)
        self.assertEqual(self.judge(f"{well}Traceback (most recent call last):")[1], Verdict.GOT_IN)
        self.assertEqual(self.judge(f"{well}Unhandled error in Deferred:")[1], Verdict.GOT_IN)
        self.assertEqual(self.judge("")[0], Verdict.UNPROVEN)


class NoDelayTests(TestCase):
    """What no client can see from outside: Autobahn's own option has no effect on Twisted."""

    async def test_no_delay(self) -> None:
        """The whole service on the real reactor: accepted WebSockets send small messages at once."""
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
        while not service._sockets.sockets:
            self.assertLess(REACTOR.seconds(), deadline)
            await deferLater(REACTOR, 0.01)
        (accepted,) = service._sockets.sockets
        handle = accepted.transport.getHandle()
        self.assertTrue(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        # Left alone it is off: else this would prove nothing.
        with socket.socket() as alone:
            self.assertFalse(alone.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        service._node.publications_received([Publication("room", b"hello")])
        self.assertEqual(await visiting, "hello")
