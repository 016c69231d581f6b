"""Clients that move between processes over one stream, each of which is slow and interrupted as it happens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from devtools.model.client import WalkClient
from devtools.model.encodings import ENCODINGS
from devtools.model.findings import Findings, WalkFailure
from devtools.model.ledger import Ledger
from devtools.model.process import CHANNEL, Process, Subscription
from devtools.model.server import StreamServer
from devtools.model.writer import Writer
from wsrelay.core.messaging.subscription_start import SubscriptionStart
from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.engine.channel_subscriptions import CHANNEL_LINGER_SECONDS

__all__ = ["JoinWalk"]

PROCESSES = 2
CLIENTS = 4
NOTICE_SECONDS = 0.25
TURN_SECONDS = [0] * 8 + [0.05, NOTICE_SECONDS]
"""How long a turn of the reactor may take. Gap notices are sent within a second or so."""

QUIET_TURNS = 10
"""Turns without traffic after which all has come to rest. Clients that are served from a ring take some."""

TURNS = 400
"""More turns than anything takes to come to rest."""


class _Joined:
    """A client on a process.

    Attributes:
        client: The client.
        process: The process.
        subscription: Its way out, which calls `receive` with each line, and `told` when it ends because of a gap.
        is_subscribed: Whether it has had its start.
    """

    def __init__(
        self, client: WalkClient, process: Process, receive: Callable[[bytes], None], told: Callable[[], None]
    ) -> None:
        self.client = client
        self.process = process
        self.subscription = Subscription(receive, told)
        self.is_subscribed = False


class JoinWalk:
    """A walk. Each step writes, lets something happen on a connection, or lets a client come or go.

    Args:
        server: The server.
        rng: Randomness.
        findings: Where what happens is counted.
    """

    name = "joins"

    def __init__(self, server: StreamServer, rng: Random, findings: Findings) -> None:
        self._server = server
        self._rng = rng
        self._findings = findings
        self._clock = Clock()
        self._ledger = Ledger()
        self._writer = Writer(server, self._ledger, rng, self._fail_over_done)
        self._processes = [Process(server, self._clock, rng, self._ledger.looked) for _ in range(PROCESSES)]
        self._clients = [WalkClient(rng.choice(ENCODINGS), self._ledger, findings) for _ in range(CLIENTS)]
        self._joined: dict[WalkClient, _Joined] = {}
        self._error: Failure | None = None
        self._steps = 0
        # How much is written, how much faster than the other the first process is, how restless clients are, and how
        # often all come to rest.
        self._pace = rng.choice([0.02, 0.08, 0.25])
        self._lead = rng.choice([1, 1, 4, 20])
        self._restlessness = rng.choice([0.1, 0.4, 0.8])
        self._stretch = rng.choice([20, 50, 200])

    def step(self) -> None:
        """Do one thing."""
        self._steps += 1
        self._step()
        self._check()
        if self._steps % self._stretch == 0:
            self._come_to_rest()

    def _check(self) -> None:
        """Fail with the first of what has failed inside the code under test."""
        if self._error is not None:
            self._error.raiseException()
        for process in self._processes:
            for violation in process.history.violations:
                self._findings.fail("violation", violation)

    def _step(self) -> None:
        rng = self._rng
        process = rng.choices(self._processes, [self._lead, 1])[0]
        roll = rng.random()
        if roll < self._pace:
            self._write()
        elif roll < 0.45:
            process.history.carry_out()
        elif roll < 0.65:
            process.history.arrive()
        elif roll < 0.72:
            self._clock.advance(rng.choice(TURN_SECONDS))
        elif roll < 0.724:
            self._clock.advance(rng.choice([0.3, 1, 6, 40]))
        elif roll < 0.77:
            process.history.connect()
        elif roll < 0.785:
            process.history.break_connection()
        elif roll < 0.79:
            process.make_room()
        elif roll < 0.793:
            self._abandon(process)
        elif roll < 0.8:
            rng.choice([process.readers.pause, process.readers.resume, process.readers.resume])()
        else:
            client = rng.choice(self._clients)
            if client not in self._joined:
                self._join(client, rng.choice(self._processes))
            elif rng.random() < self._restlessness:
                other = next(each for each in self._processes if each is not self._joined[client].process)
                self._leave(client, rng.choice([0, 0, 1, 3]))
                if rng.random() < 0.5:
                    # At once, so that it is ahead of a process that is slower.
                    self._join(client, other)

    def _write(self) -> None:
        if self._rng.random() < 0.3:
            # Pending replies of the old server may still arrive after another one has taken over.
            self._writer.may_interrupt = True
            self._writer.step()
            self._writer.may_interrupt = False
        else:
            self._writer.step()
        for process in self._processes:
            process.history.server_changed()

    def _fail_over_done(self, kept: int) -> None:
        for process in self._processes:
            process.history.break_connection()
        for client in self._clients:
            client.fail_over_done(kept)

    def _join(self, client: WalkClient, process: Process) -> None:
        receive, told = partial(self._receive, client), partial(self._told, client)
        joined = self._joined[client] = _Joined(client, process, receive, told)
        since, newest = client.position, 0
        if since is None or self._rng.random() < 0.1:
            since, newest = None, self._rng.choice([0, 0, 3, 20])
        elif self._rng.random() < 0.02:
            # An offset of another epoch, or any text.
            since = ""
        outcome = process.subscriptions.subscribe(joined.subscription, CHANNEL, client.encoding, since, newest)
        outcome.addCallbacks(self._started, self._not_started, (joined, since, newest), errbackArgs=(joined,))
        outcome.addErrback(self._failed)

    def _receive(self, client: WalkClient, line: bytes) -> None:
        try:
            client.receive_line(line)
        except WalkFailure:
            # The reader under test would take it for a mistake of its own, and go on.
            self._failed(Failure())

    def _told(self, client: WalkClient) -> None:
        """Take the end of a subscription because of a gap: the client subscribes again, at once or later."""
        self._findings.count("gap notices")
        process = self._joined[client].process
        self._leave(client, lost=0)
        if self._rng.random() < 0.7:
            self._join(client, process)

    def _started(self, start: SubscriptionStart, joined: _Joined, since: str | None, newest: int) -> None:
        joined.is_subscribed = True
        if since is not None:
            self._findings.count("recoveries")
            self._findings.count("recovered" if start.gap is None else f"gap: {start.gap.value}")
        joined.client.start(start, since, newest)

    def _not_started(self, failure: Failure, joined: _Joined) -> None:
        failure.trap(BrokerUnavailable, CancelledError)
        self._findings.count("joins that failed")
        if self._joined.get(joined.client) is joined:
            self._remove(joined)

    def _failed(self, failure: Failure) -> None:
        self._error = self._error or failure

    def _leave(self, client: WalkClient, lost: int) -> None:
        self._remove(self._joined[client])
        client.lose_newest(lost)

    def _abandon(self, process: Process) -> None:
        """Let all clients of a process leave for so long that it reads the channel no more."""
        for client, joined in [*self._joined.items()]:
            if joined.process is process:
                self._leave(client, lost=0)
        self._clock.advance(2 * CHANNEL_LINGER_SECONDS)

    def _remove(self, joined: _Joined) -> None:
        del self._joined[joined.client]
        joined.process.subscriptions.unsubscribe(joined.subscription, CHANNEL)

    def _come_to_rest(self) -> None:
        """Let everything that is under way happen: then every client has all that was added, or knows of a gap."""
        quiet_turns = 0
        for _ in range(TURNS):
            for process in self._processes:
                process.readers.resume()
                process.history.connect()
                process.history.carry_out()
                process.history.arrive()
            self._clock.advance(NOTICE_SECONDS if any(process.gaps.pending for process in self._processes) else 0)
            quiet_turns = 0 if any(process.is_busy for process in self._processes) else quiet_turns + 1
            if quiet_turns == QUIET_TURNS:
                break
        else:
            self._findings.fail("no rest", "the readers go on and on")
        self._check()
        for joined in self._joined.values():
            if joined.is_subscribed:
                joined.client.come_to_rest()
            else:
                self._findings.fail("no start", f"a client waits for its start [{joined.client.position}]")
        self._ledger.came_to_rest()
        self._findings.count("rests")
