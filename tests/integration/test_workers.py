"""Several workers under one parent, as real processes on a real Redis."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect, unix_connect

from devtools.harness.certificates import Issuer
from devtools.harness.processes import ChildProcess
from devtools.harness.redis_server import RedisServer
from devtools.harness.relay import Relay, clean_environ
from tests.support.polling import DEADLINE_SECONDS, wait_until

WORKERS = 2


def children(pid: int) -> list[int]:
    """Return the child processes of a process, oldest first."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return sorted(int(each) for each in text.split())


class WorkersCase(SynchronousTestCase):
    """A relay of two workers."""

    flags: tuple[str, ...] = ("--metrics", "true", "--drain-timeout-seconds", "5")

    def setUp(self) -> None:
        """Start Redis and the relay, and wait until all workers are ready."""
        self.redis = self.enterContext(RedisServer())
        self.publisher = self.redis.client()
        self.addCleanup(self.publisher.close)
        self.relay = self.start()
        self.wait_until_ready()

    def start(self, **more: Any) -> Relay:
        """Start a relay of two workers."""
        relay = Relay("--workers", str(WORKERS), *self.flags, env={"REDIS_URL": self.redis.url}, **more)
        self.addCleanup(relay.close)
        return relay.start()

    def connect(self, channel: str = "news") -> ClientConnection:
        """Return an open socket."""
        client = connect(self.relay.ws(channel), open_timeout=DEADLINE_SECONDS, proxy=None)
        self.addCleanup(client.close_socket)
        return client

    def workers(self) -> list[int]:
        """Return the process IDs of the workers."""
        return children(self.relay.pid)

    def metric(self, name: str) -> float:
        """Return a number of all workers."""
        lines = self.get("/metrics").splitlines()
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), -1)

    def get(self, path: str) -> str:
        """Return the body of a GET; an empty text if it waits too long for a worker that is being started."""
        try:
            return self.relay.get(path)[1]
        except (OSError, HTTPException):
            return ""

    def wait_until_ready(self) -> None:
        """Wait until every worker is ready."""
        text = f"{WORKERS} of {WORKERS} workers are ready"
        wait_until(lambda: text in self.get("/readyz"), self.relay.log)


class ServiceTests(WorkersCase):
    """The view of clients and operators."""

    def test_publication_reaches_the_clients_of_every_worker(self) -> None:
        clients = [self.connect() for _ in range(20)]
        self.assertEqual(len(self.workers()), WORKERS)
        self.assertEqual(self.publisher.publish("wsrelay:news", "hello"), WORKERS)
        self.assertEqual({client.recv(DEADLINE_SECONDS) for client in clients}, {"hello"})

    def test_metrics_are_those_of_all_workers_and_never_fall(self) -> None:
        clients = [self.connect() for _ in range(20)]
        self.assertEqual((self.metric("wsrelay_connections"), self.metric("wsrelay_workers")), (20, WORKERS))
        self.assertEqual(self.metric("wsrelay_connections_opened_total"), 20)
        os.kill(self.workers()[0], signal.SIGKILL)
        wait_until(lambda: self.metric("wsrelay_worker_restarts_total") == 1, self.relay.log)
        self.wait_until_ready()
        self.assertEqual(self.metric("wsrelay_connections_opened_total"), 20)
        self.assertEqual(self.metric("wsrelay_connections"), len([each for each in clients if is_open(each)]))

    def test_worker_that_is_killed_costs_its_own_clients_alone(self) -> None:
        clients = [self.connect() for _ in range(20)]
        os.kill(self.workers()[0], signal.SIGKILL)
        # Until the parent has noticed, all are ready.
        wait_until(lambda: "SIGKILL; its clients have to reconnect" in self.relay.log(), self.relay.log)
        self.wait_until_ready()
        left = [each for each in clients if is_open(each)]
        self.assertTrue(0 < len(left) < 20, "a hash gives all of twenty clients to one worker once in half a million")
        clients = [*left, *(self.connect() for _ in range(20))]
        wait_until(lambda: self.publisher.publish("wsrelay:news", "hello") == WORKERS, self.relay.log)
        self.assertEqual(clients[0].recv(DEADLINE_SECONDS), "hello")

    def test_hangup_disconnects_nobody(self) -> None:
        client = self.connect()
        before = self.workers()
        os.kill(self.relay.pid, signal.SIGHUP)
        wait_until(lambda: self.relay.log().count("no setting has changed") == WORKERS, self.relay.log)
        self.publisher.publish("wsrelay:news", "hello")
        self.assertEqual((client.recv(DEADLINE_SECONDS), self.workers()), ("hello", before))

    def test_all_drain_together_and_the_parent_ends_last(self) -> None:
        clients = [self.connect() for _ in range(20)]
        workers = self.workers()
        self.relay.signal()
        for client in clients:
            with self.assertRaises(ConnectionClosed) as caught:
                client.recv(DEADLINE_SECONDS)
            self.assertEqual(caught.exception.rcvd and caught.exception.rcvd.code, 1012)
        self.relay.wait(DEADLINE_SECONDS)
        self.assertFalse([pid for pid in workers if Path(f"/proc/{pid}").exists()])

    def test_workers_drain_and_end_when_the_parent_is_killed(self) -> None:
        client = self.connect()
        workers = self.workers()
        self.relay.kill()
        with self.assertRaises(ConnectionClosed) as caught:
            client.recv(DEADLINE_SECONDS)
        self.assertEqual(caught.exception.rcvd and caught.exception.rcvd.code, 1012)
        wait_until(lambda: not [pid for pid in workers if is_running(pid)], lambda: workers)


class ReplacementTests(WorkersCase):
    """New workers in place of old ones."""

    def test_no_connection_is_refused_or_reset_while_workers_are_replaced(self) -> None:
        before = self.workers()
        with arrivals(self.relay) as failures:
            os.kill(self.relay.pid, signal.SIGUSR2)
            wait_until(lambda: self.relay.log().count(" replaces ") == WORKERS, self.relay.log)
            wait_until(lambda: self.relay.log().count("has drained and ended") == WORKERS, self.relay.log)
        self.assertEqual(failures, [])
        self.assertFalse(set(before) & set(self.workers()))

    def test_clients_of_a_worker_that_is_replaced_are_told_to_come_back(self) -> None:
        clients = [self.connect() for _ in range(10)]
        os.kill(self.relay.pid, signal.SIGUSR2)
        for client in clients:
            with self.assertRaises(ConnectionClosed) as caught:
                client.recv(DEADLINE_SECONDS)
            self.assertEqual(caught.exception.rcvd and caught.exception.rcvd.code, 1012)
        wait_until(lambda: self.relay.log().count("has drained and ended") == WORKERS, self.relay.log)
        self.publisher.publish("wsrelay:news", "lost, unless somebody is there")
        client = self.connect()
        self.publisher.publish("wsrelay:news", "hello")
        self.assertEqual(client.recv(DEADLINE_SECONDS), "hello")


class StartTests(WorkersCase):
    """Starts that fail, and other ways to listen."""

    def setUp(self) -> None:
        """Start Redis."""
        self.redis = self.enterContext(RedisServer())

    def test_port_that_is_taken_is_one_line_and_status_1(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            error = self.assertRaises(RuntimeError, self.start, port=other.getsockname()[1])
        self.assertIn("ended with status 1", str(error))
        self.assertRegex(str(error), "wsrelay: cannot listen on 127.0.0.1:[0-9]+: Address already in use\n$")

    def test_unix_socket_and_tls_are_served_by_every_worker(self) -> None:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        issuer = Issuer(Path(folder))
        certificate = issuer.pem("localhost.pem", "localhost")
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        settings = Path(folder, "wsrelay.toml")
        settings.write_text(
            f'listen = ["unix:{folder}/s"]\nlisten_tls = ["tcp:{port}:interface=127.0.0.1"]\n'
            f'tls_certificates = ["{certificate}"]\nworkers = {WORKERS}\n',
            encoding="utf-8",
        )
        relay = ChildProcess("relay")
        self.addCleanup(relay.close)
        twistd = str(Path(sys.executable).with_name("twistd"))
        command = [twistd, "--nodaemon", "--pidfile=", "wsrelay", "--config", str(settings)]
        relay.spawn(command, clean_environ({"REDIS_URL": self.redis.url}))
        wait_until(lambda: relay.log().count("listening on https") == WORKERS, relay.log)
        context = ssl.create_default_context()
        issuer.authority.configure_trust(context)
        publisher = self.redis.client()
        self.addCleanup(publisher.close)
        clients = []
        for _ in range(10):
            clients.append(unix_connect(f"{folder}/s", "ws://localhost/ws/news", open_timeout=DEADLINE_SECONDS))
            clients.append(
                connect(f"wss://localhost:{port}/ws/news", ssl=context, open_timeout=DEADLINE_SECONDS, proxy=None)
            )
        for client in clients:
            self.addCleanup(client.close_socket)
        publisher.publish("wsrelay:news", "hello")
        self.assertEqual({client.recv(DEADLINE_SECONDS) for client in clients}, {"hello"})
        os.kill(relay.pid, signal.SIGUSR2)
        wait_until(lambda: relay.log().count("has drained and ended") == WORKERS, relay.log)
        # A worker that ends leaves the socket's file alone.
        unix_connect(f"{folder}/s", "ws://localhost/ws/news", open_timeout=DEADLINE_SECONDS).close()


def is_open(client: ClientConnection) -> bool:
    """Return whether a connection still lives."""
    try:
        client.ping().wait(DEADLINE_SECONDS)
    except ConnectionClosed:
        return False
    return client.state.name == "OPEN"


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that is a zombie does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False


@contextmanager
def arrivals(relay: Relay) -> Iterator[list[str]]:
    """Open one connection after the other meanwhile, and collect those that are not answered with 101."""
    failures: list[str] = []
    done = threading.Event()

    def arrive() -> None:
        while not done.is_set():
            try:
                with connect(relay.ws("news"), open_timeout=DEADLINE_SECONDS, close_timeout=1, proxy=None):
                    pass
            except Exception as error:  # noqa: BLE001 -- whatever it is, it has failed
                failures.append(repr(error))
            time.sleep(0.01)

    threads = [threading.Thread(target=arrive) for _ in range(4)]
    for each in threads:
        each.start()
    try:
        yield failures
    finally:
        done.set()
        for each in threads:
            each.join()
