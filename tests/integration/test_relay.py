"""The real relay: `twistd wsrelay` in a child process, and independent clients."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from devtools.harness.ports import free_port
from devtools.harness.redis_server import RedisServer
from devtools.harness.relay import Relay, clean_environ
from tests.support.frames import read_frames
from tests.support.polling import DEADLINE_SECONDS


def socket_to(url: str, **options: Any) -> ClientConnection:
    """Return an open WebSocket of an independent client."""
    return connect(url, open_timeout=DEADLINE_SECONDS, proxy=None, legacy=True, **options)


class EmbeddedTests(SynchronousTestCase):
    """Without Redis and with default settings, as `make run` starts it."""

    def setUp(self) -> None:
        self.relay = self.enterContext(Relay())

    def test_message_to_chat_reaches_every_client_unchanged(self) -> None:
        """The sender receives it too; text stays text, and bytes stay bytes."""
        with socket_to(self.relay.ws("chat")) as one, socket_to(self.relay.ws("chat")) as two:
            for message in ("hello", "007", "", "h\u00e9 \U0001f30a", b"\xff\x00"):
                one.send(message)
                self.assertEqual((one.recv(DEADLINE_SECONDS), two.recv(DEADLINE_SECONDS)), (message, message))

    def test_one_log_line_names_address_and_broker(self) -> None:
        lines = [line for line in self.relay.log().splitlines() if "listening" in line]
        self.assertEqual(len(lines), 1)
        self.assertIn(f"wsrelay listening on http://127.0.0.1:{self.relay.port}/ with the memory broker", lines[0])

    def test_page_and_probes_answer_and_other_paths_do_not_exist(self) -> None:
        status, text = self.relay.get("/healthz")
        self.assertEqual((status, text.split(";")[0]), (200, "alive"))
        self.assertEqual(self.relay.get("/readyz"), (200, "ready\n"))
        self.assertIn("<title>", self.relay.get("/")[1])
        self.assertEqual([self.relay.get(path)[0] for path in ("/ws/chat", "/nothing")], [426, 404])

    def test_publishing_without_permission_is_closed_with_4503(self) -> None:
        """Subscribing is permitted."""
        with socket_to(self.relay.ws("news")) as client:
            client.send("hello")
            with self.assertRaises(ConnectionClosed) as caught:
                client.recv(DEADLINE_SECONDS)
        closed = caught.exception.rcvd
        assert closed is not None
        self.assertEqual((closed.code, closed.reason), (4503, "publishing not permitted"))

    def test_invalid_channel_name_is_rejected_with_400_and_an_explanation(self) -> None:
        for name in ("", "a/b", "x" * 256, "caf%C3%A9", "$control"):
            with self.assertRaises(InvalidStatus) as caught:
                socket_to(self.relay.ws(name))
            response = caught.exception.response
            self.assertEqual(response.status_code, 400)
            assert response.body is not None
            self.assertIn(b"channel name", bytes(response.body))

    def test_large_message_is_closed_with_1009_and_invalid_utf8_with_1007(self) -> None:
        for code, message, text in ((1009, b"x" * 65537, False), (1007, b"\xff", True)):
            with socket_to(self.relay.ws("chat")) as client:
                client.send(message, text=text)
                with self.assertRaises(ConnectionClosed) as caught:
                    client.recv(DEADLINE_SECONDS)
            assert caught.exception.rcvd is not None
            self.assertEqual(caught.exception.rcvd.code, code)


class StoppingTests(SynchronousTestCase):
    """SIGTERM, once and repeatedly."""

    def test_sigterm_closes_every_client_with_1012_and_ends_the_process(self) -> None:
        """Further signals change nothing."""
        with Relay() as relay:
            clients = [socket_to(relay.ws("chat")) for _ in range(20)]
            began = time.monotonic()
            for _ in range(3):
                relay.signal(signal.SIGTERM)
            for client in clients:
                with self.assertRaises(ConnectionClosed) as caught:
                    client.recv(DEADLINE_SECONDS)
                assert caught.exception.rcvd is not None
                self.assertEqual(caught.exception.rcvd.code, 1012)
            self.assertEqual(relay.wait(), -signal.SIGTERM)
            self.assertLess(time.monotonic() - began, 25)
            self.assertNotIn("Traceback", relay.log())

    def test_client_that_never_answers_the_close_does_not_delay_the_exit(self) -> None:
        """The process ends within the drain timeout."""
        with Relay("--drain-timeout-seconds", "2", "--close-timeout-seconds", "30") as relay:
            client = socket_to(relay.ws("chat"))
            client.socket.setblocking(True)
            # The client's own thread would answer: it must not read.
            client.protocol.receive_data = lambda data: None  # type: ignore[method-assign]
            relay.signal(signal.SIGTERM)
            self.assertEqual(relay.wait(10), -signal.SIGTERM)
            client.socket.close()


class RedisTests(SynchronousTestCase):
    """With a real Redis server."""

    def setUp(self) -> None:
        self.redis = RedisServer().start()
        self.addCleanup(self.redis.close)
        self.env = {"REDIS_URL": self.redis.url}

    def relay(self, *flags: str, **options: Any) -> Relay:
        """Return a relay on the server, stopped at the end of the test."""
        return self.enterContext(Relay(*flags, env=self.env, **options))

    def test_plain_publish_reaches_every_client_of_two_processes_unchanged(self) -> None:
        first, second = self.relay(), self.relay()
        sockets = [socket_to(relay.ws("chat")) for relay in (first, second) for _ in range(2)]
        with self.redis.client() as redis:
            for payload, received in ((b"hello", "hello"), (b"007", "007"), (b"\xff\xfe", b"\xff\xfe")):
                self.assertEqual(redis.publish("wsrelay:chat", payload), 2)
                self.assertEqual([each.recv(DEADLINE_SECONDS) for each in sockets], [received] * 4)
        for each in sockets:
            each.close()

    def test_process_has_one_subscriber_connection_for_a_hundred_clients(self) -> None:
        """It is subscribed to channels with clients only."""
        relay = self.relay()
        sockets = [socket_to(relay.ws(f"room:{number % 10}")) for number in range(100)]
        with self.redis.client() as redis:
            listed: Any = redis.client_list()
            names: Any = redis.pubsub_channels()
        # Ten rooms, the probe, the control channel, and one more of the relay's own.
        self.assertEqual([each["sub"] for each in listed if int(each["sub"])], ["13"])
        rooms = [name for name in names if not name.startswith(b"wsrelay:$")]
        self.assertEqual(sorted(rooms), sorted(b"wsrelay:room:%d" % number for number in range(10)))
        for each in sockets:
            each.close()

    def test_client_message_is_a_plain_publish_where_permitted(self) -> None:
        """By default it is not permitted."""
        relay = self.relay("--publish", "chat")
        with self.redis.client() as redis, redis.pubsub() as subscriber, socket_to(relay.ws("chat")) as client:
            subscriber.subscribe("wsrelay:chat")
            subscriber.get_message(timeout=DEADLINE_SECONDS)
            client.send(b"\x00007")
            message: Any = subscriber.get_message(timeout=DEADLINE_SECONDS)
            self.assertEqual(message["data"], b"\x00007")
        with socket_to(self.relay().ws("chat")) as client:
            client.send("no")
            with self.assertRaises(ConnectionClosed):
                client.recv(DEADLINE_SECONDS)

    def test_channel_outside_all_namespaces_is_rejected_with_404(self) -> None:
        config = Path(self.mktemp())
        config.write_text('[namespaces.rooms]\nchannels = ["room:*"]\npublish = true\n')
        relay = self.relay("--config", str(config.absolute()))
        with socket_to(relay.ws("room:1")) as client:
            client.send("x")
            self.assertEqual(client.recv(DEADLINE_SECONDS), "x")
        with self.assertRaises(InvalidStatus) as caught:
            socket_to(relay.ws("chat"))
        self.assertEqual(caught.exception.response.status_code, 404)

    def test_relay_without_redis_is_unready_and_recovers_by_itself(self) -> None:
        """It logs each failed connection once."""
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
            self.assertEqual(client.recv(DEADLINE_SECONDS), "here")

    def test_possible_message_loss_is_closed_with_4010(self) -> None:
        relay = self.relay()
        with socket_to(relay.ws("chat")) as client:
            self.redis.kill()
            relay.wait_for("/readyz", 503)
            self.redis.start()
            with self.assertRaises(ConnectionClosed) as caught:
                client.recv(DEADLINE_SECONDS)
            assert caught.exception.rcvd is not None
            self.assertEqual(caught.exception.rcvd.code, 4010)
        with socket_to(relay.ws("chat")) as client, self.redis.client() as redis:
            self.assertEqual(redis.publish("wsrelay:chat", "again"), 1)
            self.assertEqual(client.recv(DEADLINE_SECONDS), "again")

    def test_rotated_password_and_keys_are_read_on_sighup_and_nobody_is_disconnected(self) -> None:
        url, keys, old, new = Path(self.mktemp()), Path(self.mktemp()), "o" * 40, "n" * 40
        config = Path(self.mktemp())
        config.write_text('[namespaces.all]\nchannels = ["*"]\nnotify_gaps = false\n')
        keys.write_text(old)
        url.write_text(f"{self.redis.url}\n")
        files = {"WSRELAY_REDIS_URL_FILE": str(url.absolute()), "WSRELAY_API_KEYS_FILE": str(keys.absolute())}
        relay = self.enterContext(Relay("--config", str(config.absolute()), env=files))
        with socket_to(relay.ws("chat")) as client, self.redis.client() as redis:
            redis.config_set("requirepass", new)
            redis.client_kill_filter(_type="pubsub")
            redis.client_kill_filter(_type="normal", skipme=True)
            relay.wait_for("/readyz", 503)
            keys.write_text(new)
            url.write_text(f"{self.redis.url.replace('://', f'://:{new}@')}\n")
            relay.signal(signal.SIGHUP)
            relay.wait_for("/readyz")
            self.assertEqual(redis.publish("wsrelay:chat", "again"), 1)
            self.assertEqual(client.recv(DEADLINE_SECONDS), "again")
        for key, status in ((old, 401), (new, 200)):
            request = urllib.request.Request(
                f"{relay.url}/api/publish/chat", b"x", {"Authorization": f"Bearer {key}"}, method="POST"
            )
            try:
                with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as response:
                    found = response.status
            except urllib.error.HTTPError as error:
                found = error.code
                error.close()
            self.assertEqual(found, status)
        self.assertNotIn(new, relay.log())

    def test_connections_survive_a_restart_of_redis_without_gap_notices(self) -> None:
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
            self.assertEqual(client.recv(DEADLINE_SECONDS), "again")


class SlowTests(SynchronousTestCase):
    """Clients that do not read, with real sockets."""

    def silent(self, relay: Relay, channel: str) -> socket.socket:
        """Return an open WebSocket with a small receive window, whose messages are not read."""
        raw = socket.socket()
        self.addCleanup(raw.close)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(DEADLINE_SECONDS)
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
        """Return all further bytes until the end of the connection, by FIN or RST."""
        data = b""
        try:
            while piece := raw.recv(65536):
                data += piece
        except ConnectionError:
            pass
        return data

    def test_client_that_never_reads_is_closed_and_disturbs_no_other(self) -> None:
        """Fifty others receive every message in order, and memory stays bounded."""
        if not Path("/proc/self/status").exists():
            raise SkipTest("no /proc to read the memory of a process from")
        # By bytes: no other comes near that many, because the next message is sent when all have read the last one.
        flags = ("--max-outbox-bytes", "262144", "--max-outbox-seconds", "60", "--close-timeout-seconds", "1")
        with Relay("--publish", "room", "--max-bytes-per-second", "100000000", *flags) as relay:
            others = [socket_to(relay.ws("room"), max_queue=None) for _ in range(50)]
            silent = self.silent(relay, "room")
            before = relay.resident_bytes()
            messages = [f"{number:06d}" + "x" * 10_000 for number in range(100)]
            for message in messages:
                others[0].send(message)
                self.assertEqual({other.recv(DEADLINE_SECONDS) for other in others}, {message})
            # The relay sends a close frame, waits for the answer, and ends the connection.
            deadline = time.monotonic() + DEADLINE_SECONDS
            while self.is_kept(silent):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            self.assertLess(relay.resident_bytes() - before, 32 * 1024 * 1024)
            received = self.rest(silent)
            self.assertLess(len(received), len(messages) * len(messages[0]))
            for other in others:
                other.close()
            self.assertNotIn("Traceback", relay.log())

    @staticmethod
    def is_kept(raw: socket.socket) -> bool:
        """Return whether a connection is ESTABLISHED, by the first byte of TCP_INFO: the relay has not ended it yet."""
        return raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"

    def test_latest_policy_delivers_the_newest_message_to_a_client_that_stalled(self) -> None:
        """Before it come the messages that the kernels had already taken."""
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
                    self.assertEqual(speaker.recv(DEADLINE_SECONDS), message)
            data = b""
            while not data.endswith(messages[-1].encode()):
                data += silent.recv(65536)
            numbers = [int(bytes(frame.data[:6])) for frame in read_frames(data)]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual((numbers[0], numbers[-1]), (0, len(messages) - 1))
        # Only the messages between the last one that the kernels took and the newest are dropped.
        self.assertEqual(numbers[:-1], list(range(len(numbers) - 1)))
        self.assertLess(len(numbers), len(messages))


class InvalidSettingsTests(SynchronousTestCase):
    """Invalid settings: one line that says what to do, status 1, no traceback."""

    def error_of(self, *flags: str, **env: str) -> str:
        """Return the error text of a start that must fail."""
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

    def test_port_in_use_is_reported_with_its_number(self) -> None:
        with Relay() as relay:
            said = self.error_of("--port", str(relay.port))
        self.assertEqual(said, f"cannot listen on 127.0.0.1:{relay.port}: Address already in use")

    def test_invalid_setting_is_reported_by_name(self) -> None:
        """An unknown name is reported with the nearest one that exists."""
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
                "redis_tls_ca_file: /nonexistent cannot be read",
            ),
        ]
        for flags, env, expected in cases:
            said = self.error_of(*flags, **env)
            self.assertIn(expected, said)
            self.assertNotIn("hunter2", said)

    def test_help_lists_settings_with_unit_default_and_variable(self) -> None:
        twistd = str(Path(sys.executable).with_name("twistd"))
        said = subprocess.run(
            [twistd, "wsrelay", "--help"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for words in ("--ping-interval-seconds", "=SECONDS", "default: 25.0", "WSRELAY_MAX_MESSAGE_BYTES", "REDIS_URL"):
            self.assertIn(words, " ".join(said.split()))
