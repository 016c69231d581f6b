"""The real relay, as its user meets it: `twistd wsrelay` and clients that know nothing of its insides."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from devtools.harness.redis_server import RedisServer, free_port
from devtools.harness.relay import Relay, clean_environ
from tests.support.frames import read_frames

DEADLINE = 20


def socket_to(url: str, **options: Any) -> ClientConnection:
    """An open WebSocket of the independent client."""
    return connect(url, open_timeout=DEADLINE, proxy=None, legacy=True, **options)


class EmbeddedTests(SynchronousTestCase):
    """Without Redis, with nothing set: what `make run` starts."""

    def setUp(self) -> None:
        self.relay = Relay()
        self.relay.__enter__()
        self.addCleanup(self.relay.__exit__, None, None, None)

    def test_chat(self) -> None:
        """What one client sends to chat reaches every client, the sender too, text as text and bytes as bytes."""
        with socket_to(self.relay.ws("chat")) as one, socket_to(self.relay.ws("chat")) as two:
            for message in ("hello", "007", "", "h\u00e9 \U0001f30a", b"\xff\x00"):
                one.send(message)
                self.assertEqual((one.recv(DEADLINE), two.recv(DEADLINE)), (message, message))

    def test_says_where(self) -> None:
        """One line says where it listens and with which broker."""
        lines = [line for line in self.relay.log().splitlines() if "listening" in line]
        self.assertEqual(len(lines), 1)
        self.assertIn(f"wsrelay listening on http://127.0.0.1:{self.relay.port}/ with the memory broker", lines[0])

    def test_pages(self) -> None:
        """The page, the probes, and clear answers elsewhere."""
        status, text = self.relay.get("/healthz")
        self.assertEqual((status, text.split(";")[0]), (200, "alive"))
        self.assertEqual(self.relay.get("/readyz"), (200, "ready\n"))
        self.assertIn("<title>", self.relay.get("/")[1])
        self.assertEqual([self.relay.get(path)[0] for path in ("/ws/chat", "/nothing")], [426, 404])

    def test_no_permission(self) -> None:
        """Publishing where it is not permitted closes with 4503 and the reason; listening there is fine."""
        with socket_to(self.relay.ws("news")) as client:
            client.send("hello")
            with self.assertRaises(ConnectionClosed) as caught:
                client.recv(DEADLINE)
        closed = caught.exception.rcvd
        assert closed is not None
        self.assertEqual((closed.code, closed.reason), (4503, "publishing is not permitted on this channel"))

    def test_bad_names(self) -> None:
        """A name outside the grammar is refused with 400 and a text that says what a name is."""
        for name in ("", "a/b", "x" * 256, "caf%C3%A9", "$control"):
            with self.assertRaises(InvalidStatus) as caught:
                socket_to(self.relay.ws(name))
            response = caught.exception.response
            self.assertEqual(response.status_code, 400)
            assert response.body is not None
            self.assertIn(b"channel name", bytes(response.body))

    def test_bad_messages(self) -> None:
        """Too big is closed with 1009, a text that is no UTF-8 with 1007."""
        for code, message, text in ((1009, b"x" * 65537, False), (1007, b"\xff", True)):
            with socket_to(self.relay.ws("chat")) as client:
                client.send(message, text=text)
                with self.assertRaises(ConnectionClosed) as caught:
                    client.recv(DEADLINE)
            assert caught.exception.rcvd is not None
            self.assertEqual(caught.exception.rcvd.code, code)


class StoppingTests(SynchronousTestCase):
    """SIGTERM, once and more often."""

    def test_goodbye(self) -> None:
        """Every client is told 1012, and the process is gone within the drain time however many signals come."""
        with Relay() as relay:
            clients = [socket_to(relay.ws("chat")) for _ in range(20)]
            began = time.monotonic()
            for _ in range(3):
                relay.signal(signal.SIGTERM)
            for client in clients:
                with self.assertRaises(ConnectionClosed) as caught:
                    client.recv(DEADLINE)
                assert caught.exception.rcvd is not None
                self.assertEqual(caught.exception.rcvd.code, 1012)
            self.assertEqual(relay.wait(), -signal.SIGTERM)
            self.assertLess(time.monotonic() - began, 25)
            self.assertNotIn("Traceback", relay.log())

    def test_silent_client(self) -> None:
        """A client that never answers the goodbye does not keep the process beyond the drain time."""
        with Relay("--drain-timeout-seconds", "2", "--close-timeout-seconds", "30") as relay:
            client = socket_to(relay.ws("chat"))
            client.socket.setblocking(True)
            # The client's own thread would answer: stop the whole of it by not letting it read.
            client.protocol.receive_data = lambda data: None  # type: ignore[method-assign]
            relay.signal(signal.SIGTERM)
            self.assertEqual(relay.wait(10), -signal.SIGTERM)
            client.socket.close()


class RedisTests(SynchronousTestCase):
    """On a real Redis server."""

    def setUp(self) -> None:
        self.redis = RedisServer().start()
        self.addCleanup(self.redis.close)
        self.env = {"REDIS_URL": self.redis.url}

    def relay(self, *flags: str, **options: Any) -> Relay:
        """A relay on the server, stopped at the end of the test."""
        relay = Relay(*flags, env=self.env, **options)
        relay.__enter__()
        self.addCleanup(relay.__exit__, None, None, None)
        return relay

    def test_publish_reaches_every_process(self) -> None:
        """A plain PUBLISH reaches every socket of two processes, byte for byte."""
        first, second = self.relay(), self.relay()
        sockets = [socket_to(relay.ws("chat")) for relay in (first, second) for _ in range(2)]
        with self.redis.client() as redis:
            for payload, received in ((b"hello", "hello"), (b"007", "007"), (b"\xff\xfe", b"\xff\xfe")):
                self.assertEqual(redis.publish("wsrelay:chat", payload), 2)
                self.assertEqual([each.recv(DEADLINE) for each in sockets], [received] * 4)
        for each in sockets:
            each.close()

    def test_one_subscriber_connection(self) -> None:
        """With a hundred clients a process still has one subscriber connection, on channels with listeners only."""
        relay = self.relay()
        sockets = [socket_to(relay.ws(f"room:{number % 10}")) for number in range(100)]
        with self.redis.client() as redis:
            listed: Any = redis.client_list()
            names: Any = redis.pubsub_channels()
        # Two more than the rooms: the way through Redis is probed by one, the application tells all processes by one.
        self.assertEqual([each["sub"] for each in listed if int(each["sub"])], ["13"])
        rooms = [name for name in names if not name.startswith(b"wsrelay:$")]
        self.assertEqual(sorted(rooms), sorted(b"wsrelay:room:%d" % number for number in range(10)))
        for each in sockets:
            each.close()

    def test_publish_from_a_socket(self) -> None:
        """Where it is permitted, what a client sends is a plain PUBLISH for every program; by default it is not."""
        relay = self.relay("--publish", "chat")
        with self.redis.client() as redis, redis.pubsub() as heard, socket_to(relay.ws("chat")) as client:
            heard.subscribe("wsrelay:chat")
            heard.get_message(timeout=DEADLINE)
            client.send(b"\x00007")
            message: Any = heard.get_message(timeout=DEADLINE)
            self.assertEqual(message["data"], b"\x00007")
        with socket_to(self.relay().ws("chat")) as client:
            client.send("no")
            with self.assertRaises(ConnectionClosed):
                client.recv(DEADLINE)

    def test_namespaces(self) -> None:
        """Once channels are named in the file, no other exists: 404, and nothing is subscribed."""
        config = Path(self.mktemp())
        config.write_text('[namespaces.rooms]\nchannels = ["room:*"]\npublish = true\n')
        relay = self.relay("--config", str(config.absolute()))
        with socket_to(relay.ws("room:1")) as client:
            client.send("x")
            self.assertEqual(client.recv(DEADLINE), "x")
        with self.assertRaises(InvalidStatus) as caught:
            socket_to(relay.ws("chat"))
        self.assertEqual(caught.exception.response.status_code, 404)

    def test_redis_comes_later(self) -> None:
        """Without Redis it serves, is not ready and says why once; with it everything works by itself."""
        self.redis.kill()
        relay = self.relay(ready=False)
        status, body = relay.get("/readyz")
        self.assertEqual(status, 503)
        self.assertIn("not ready: redis:", body)
        with self.assertRaises(InvalidStatus) as caught:
            socket_to(relay.ws("chat"))
        self.assertEqual(caught.exception.response.status_code, 503)
        self.assertEqual(caught.exception.response.headers["Retry-After"], "5")
        self.assertEqual(relay.log().count("Connection was refused"), 2, relay.log())
        self.redis.start()
        relay.wait_for("/readyz")
        with socket_to(relay.ws("chat")) as client, self.redis.client() as redis:
            redis.publish("wsrelay:chat", "here")
            self.assertEqual(client.recv(DEADLINE), "here")

    def test_gap_is_told(self) -> None:
        """Who listened while the link to Redis was interrupted is told, with a code that says come back."""
        relay = self.relay()
        with socket_to(relay.ws("chat")) as client:
            self.redis.kill()
            relay.wait_for("/readyz", 503)
            self.redis.start()
            with self.assertRaises(ConnectionClosed) as caught:
                client.recv(DEADLINE)
            assert caught.exception.rcvd is not None
            self.assertEqual(caught.exception.rcvd.code, 4010)
        with socket_to(relay.ws("chat")) as client, self.redis.client() as redis:
            self.assertEqual(redis.publish("wsrelay:chat", "again"), 1)
            self.assertEqual(client.recv(DEADLINE), "again")

    def test_sockets_survive_redis(self) -> None:
        """Where gaps are not told a restart of Redis costs no client its connection, and messages flow again."""
        config = Path(self.mktemp())
        config.write_text('[namespaces.all]\nchannels = ["*"]\nnotify_gaps = false\n')
        relay = self.relay("--config", str(config.absolute()))
        with socket_to(relay.ws("chat")) as client:
            self.redis.kill()
            relay.wait_for("/readyz", 503)
            self.redis.start()
            relay.wait_for("/readyz")
            with self.redis.client() as redis:
                self.assertEqual(redis.publish("wsrelay:chat", "again"), 1)
            self.assertEqual(client.recv(DEADLINE), "again")


class SlowTests(SynchronousTestCase):
    """Clients that do not read, on the real relay and real kernels."""

    def silent(self, relay: Relay, channel: str) -> socket.socket:
        """A WebSocket of which nobody reads the messages, with a small window."""
        raw = socket.socket()
        self.addCleanup(raw.close)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(DEADLINE)
        raw.connect(("127.0.0.1", relay.port))
        raw.sendall(
            b"GET /ws/%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % channel.encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += raw.recv(1)
        self.assertIn(b" 101 ", head)
        return raw

    @staticmethod
    def rest(raw: socket.socket) -> bytes:
        """All that still comes; a reset ends it as well."""
        data = b""
        try:
            while piece := raw.recv(65536):
                data += piece
        except ConnectionError:
            pass
        return data

    @staticmethod
    def memory(relay: Relay) -> int:
        """The resident memory of a relay, in bytes."""
        status = Path(f"/proc/{relay.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def test_one_that_never_reads(self) -> None:
        """One client never reads: fifty others get every message in order, it is let go, and memory stays bounded."""
        if not Path("/proc/self/status").exists():
            raise SkipTest("no /proc to read the memory of a process from")
        flags = ("--max-outbox-bytes", "262144", "--max-outbox-seconds", "2", "--close-timeout-seconds", "1")
        with Relay("--publish", "room", "--max-bytes-per-second", "100000000", *flags) as relay:
            others = [socket_to(relay.ws("room"), max_queue=None) for _ in range(50)]
            silent = self.silent(relay, "room")
            before = self.memory(relay)
            messages = [f"{number:06d}" + "x" * 10_000 for number in range(100)]
            for message in messages:
                others[0].send(message)
                self.assertEqual(others[0].recv(DEADLINE), message)
            for other in others[1:]:
                self.assertEqual([other.recv(DEADLINE) for _ in messages], messages)
            # It is dropped without being read from: the relay says goodbye, waits for the answer and ends it.
            deadline = time.monotonic() + 2 + 1 + 2
            while self.is_kept(silent):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            self.assertLess(self.memory(relay) - before, 32 * 1024 * 1024)
            received = self.rest(silent)
            self.assertLess(len(received), len(messages) * len(messages[0]))
            for other in others:
                other.close()
            self.assertNotIn("Traceback", relay.log())

    @staticmethod
    def is_kept(raw: socket.socket) -> bool:
        """Whether the relay has not yet ended a connection: its state, the first byte of TCP_INFO, is ESTABLISHED."""
        return raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"

    def test_latest(self) -> None:
        """Where the newest message is enough, who stalls and then reads gets what was on its way, then the newest."""
        config = Path(self.mktemp())
        config.write_text(
            '[namespaces.ticker]\nchannels = ["ticker"]\npublish = true\nslow_consumer_policy = "latest"\n'
        )
        flags = ("--config", str(config.absolute()), "--max-outbox-bytes", "16384", "--send-buffer-bytes", "4096")
        with Relay(*flags, "--max-bytes-per-second", "100000000", "--max-frames-per-second", "100000") as relay:
            silent = self.silent(relay, "ticker")
            with socket_to(relay.ws("ticker"), max_queue=None) as speaker:
                messages = [f"{number:06d}" + "x" * 2000 for number in range(600)]
                for message in messages:
                    speaker.send(message)
                    self.assertEqual(speaker.recv(DEADLINE), message)
            data = b""
            while not data.endswith(messages[-1].encode()):
                data += silent.recv(65536)
            numbers = [int(bytes(frame.data[:6])) for frame in read_frames(data)]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual((numbers[0], numbers[-1]), (0, len(messages) - 1))
        # What was between the last that the kernels took and the newest is lost to it, and nothing else.
        self.assertEqual(numbers[:-1], list(range(len(numbers) - 1)))
        self.assertLess(len(numbers), len(messages))


class MistakeTests(SynchronousTestCase):
    """The operator's mistakes: one line that says what to do, status 1, no traceback."""

    def refused(self, *flags: str, **env: str) -> str:
        """What a start that must fail says."""
        twistd = str(Path(sys.executable).with_name("twistd"))
        ended = subprocess.run(
            [twistd, "--nodaemon", "--pidfile=", "wsrelay", *flags],
            env=clean_environ(env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = ended.stdout + ended.stderr
        self.assertEqual(ended.returncode, 1, said)
        self.assertNotIn("Traceback", said)
        lines = [line for line in said.splitlines() if "wsrelay: " in line]
        self.assertEqual(len(lines), 1, said)
        return lines[0].partition("wsrelay: ")[2]

    def test_port_taken(self) -> None:
        """A port that is taken is told with its number."""
        with Relay() as relay:
            said = self.refused("--port", str(relay.port))
        self.assertEqual(said, f"cannot listen on 127.0.0.1:{relay.port}: Address already in use")

    def test_mistakes(self) -> None:
        """Every kind of unusable setting is told with its name, and the nearest one where it is unknown."""
        port = str(free_port())
        cases: list[tuple[tuple[str, ...], dict[str, str], str]] = [
            (("--prot", "1"), {}, "did you mean --port?"),
            (("--port", "x"), {}, "--port must be a whole number"),
            (("extra",), {}, "unexpected argument"),
            ((), {"WSRELAY_PING_INTERVAL": "3"}, "did you mean WSRELAY_PING_INTERVAL_SECONDS?"),
            (("--ping-interval-seconds", "60"), {}, "must be below router_idle_timeout_seconds"),
            ((), {"REDIS_URL": "http://:hunter2@x"}, "REDIS_URL cannot be used"),
            (("--broker", "redis"), {}, "set REDIS_URL"),
            (("--config", "/nonexistent"), {}, "No such file"),
            (("--listen", "nonsense:1"), {}, "is not an endpoint that can be used"),
            (("--listen", f"tcp:{port}", "--port", port), {}, "set only one of them"),
            (
                (),
                {"REDIS_URL": "rediss://x", "WSRELAY_REDIS_TLS_CA_FILE": "/nonexistent"},
                "redis_tls_ca_file cannot be read",
            ),
        ]
        for flags, env, expected in cases:
            said = self.refused(*flags, **env)
            self.assertIn(expected, said)
            self.assertNotIn("hunter2", said)

    def test_help(self) -> None:
        """Help lists every setting with its unit, default and environment variable."""
        twistd = str(Path(sys.executable).with_name("twistd"))
        said = subprocess.run(
            [twistd, "wsrelay", "--help"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for words in ("--ping-interval-seconds", "=SECONDS", "default: 25.0", "WSRELAY_MAX_MESSAGE_BYTES", "REDIS_URL"):
            self.assertIn(words, " ".join(said.split()))
