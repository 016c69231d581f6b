"""The log of a real `twistd wsrelay`: one line for each event, whatever happens. docs/logs.md shows it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.certificates import Issuer
from devtools.harness.ports import free_port
from devtools.harness.relay import clean_environ
from tests.docs.blocks import code_block
from tests.support.polling import DEADLINE_SECONDS, wait_until

NODAEMON = ("--nodaemon", "--pidfile=")
SECRET = "s3cr3t-hunter2-0123456789"
REQUEST = "4f0a7a7e-7f0c-4bd6-9f0e-1c2d3e4f5a6b"
TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[\w.]+#(?:debug|info|warn|error|critical)\] \S.*")

_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

# What other code does to a log, in the process of the relay.
MISCHIEF = """\
import gc, logging, sys, threading, warnings
from twisted.internet import defer, reactor
from twisted.python import log
from twisted.scripts.twistd import run

class Broken:
    def __del__(self):
        raise ValueError("unraisable\\nforged")

def thread():
    raise ValueError("thread\\nforged")

def mischief():
    logging.getLogger("jwt").warning("library\\n%s", "forged")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("jwt").exception("library failed")
        log.err(None, "legacy failed")
    log.msg("legacy\\nforged")
    warnings.warn("warning\\nforged")
    print("printed\\nin lines")
    sys.stderr.write("on stderr\\n")
    defer.fail(ValueError("nobody looks\\nat it"))
    gc.collect()
    Broken()
    gc.collect()
    started = threading.Thread(target=thread)
    started.start()
    started.join()
    reactor.callLater(0, lambda: 1 / 0)
    reactor.callLater(0, lambda: print("mischief is done"))

reactor.callWhenRunning(mischief)
run()
"""


class LogCase(SynchronousTestCase):
    """One process whose standard output and standard error go to two files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.port = free_port()

    def start(self, *flags: str, twistd: tuple[str, ...] = NODAEMON, script: str = "", **environ: str) -> Any:
        """Start a relay.

        Args:
            *flags: Flags of the relay.
            twistd: Flags of twistd.
            script: A Python program that runs twistd. If empty, twistd itself.
            **environ: More environment variables.
        """
        if script:
            (self.folder / "run.py").write_text(script)
        program = [sys.executable, "run.py"] if script else [str(Path(sys.executable).with_name("twistd"))]
        with (self.folder / "stdout").open("w") as stdout, (self.folder / "stderr").open("w") as stderr:
            process = subprocess.Popen(
                [*program, *twistd, "wsrelay", *flags],
                cwd=self.folder,
                env=clean_environ(environ),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def stop(self, process: Any) -> None:
        """End a relay by SIGTERM, and wait for it."""
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_SECONDS)

    def read(self, name: str = "stdout") -> str:
        """Return what is in a file so far."""
        file = self.folder / name
        return file.read_text() if file.exists() else ""

    def wait_for(self, text: str, name: str = "stdout") -> None:
        """Wait until a file has a text."""
        wait_until(lambda: text in self.read(name), lambda: self.read(name) + self.read("stderr"))

    def documents(self, name: str = "stdout") -> list[dict[str, Any]]:
        """Return the lines of a file, each of which has to be an object in JSON with what every line has."""
        text = self.read(name)
        self.assertTrue(text.endswith("\n"), text)
        found = [json.loads(line) for line in text.removesuffix("\n").split("\n")]
        for each in found:
            self.assertEqual(list(each)[:4], ["time", "level", "logger", "message"])
            self.assertRegex(each["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertTrue(each["message"].isprintable(), each)
        return found

    def send(self, *parts: bytes, port: int = 0) -> bytes:
        """Send bytes on a connection of its own, and return what comes back until the relay ends it."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=DEADLINE_SECONDS) as client:
            for part in parts:
                client.sendall(part)
            client.shutdown(socket.SHUT_WR)
            received = b""
            while data := client.recv(65536):
                received += data
            return received

    def handshake(self, target: str, *fields: str) -> bytes:
        """Return the answer to a handshake for a WebSocket."""
        lines = (
            f"GET {target} HTTP/1.1",
            "Host: relay.example",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            *fields,
        )
        return self.send("\r\n".join((*lines, "", "")).encode("latin-1"))


class JSONTests(LogCase):
    """`log_format = json`."""

    def test_every_line_is_an_object_and_strangers_make_none(self) -> None:
        Issuer(self.folder).pem("relay.pem", "relay.example")
        process = self.start(
            *("--port", str(self.port), "--listen-tls", "tcp:0", "--tls-certificates", "relay.pem"),
            *("--log-format", "json", "--access", "token", "--channels", "*"),
        )
        self.wait_for("wsrelay listening on https://")
        (tls_port,) = re.findall(r"wsrelay listening on https://\S+:(\d+)/ ", self.read())
        # It is answered behind everything that the start logs.
        self.send(_HEALTH)
        before = len(self.documents())
        # Scans of ports, health checks, malformed requests, and TLS where there is none.
        self.send()
        self.assertIn(b" 200 ", self.send(_HEALTH))
        self.assertIn(b" 400 ", self.send(b"garbage\r\n\r\n"))
        self.assertIn(b" 404 ", self.send(b"GET /.env HTTP/1.1\r\nHost: x\r\n\r\n"))
        self.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500)
        self.send(b"GET / HTTP/1.1\r\nX: a\nb\r\n\r\n")
        # Where there is TLS: nothing, something else, and a client that does not trust the certificate.
        for data in (b"", _HEALTH, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 600):
            self.send(data, port=int(tls_port))
        with socket.create_connection(("127.0.0.1", int(tls_port)), timeout=DEADLINE_SECONDS) as client:
            context = ssl.create_default_context()
            self.assertRaises(ssl.SSLError, context.wrap_socket, client, server_hostname="relay.example")
        self.assertEqual(len(self.documents()), before)
        rejected = self.handshake(f"/ws/a?ticket={SECRET}", f"X-Request-Id: {REQUEST}", f"Cookie: a={SECRET}")
        self.assertIn(b" 401 ", rejected)
        self.handshake("/ws/a", f"Authorization: Bearer {SECRET}", "X-Request-Id: a b, c", "Origin: https://\xff\x85")
        self.stop(process)
        found = self.documents()
        first, second = [each for each in found if each["message"].startswith("rejected (") and "path" in each]
        self.assertEqual((first["request_id"], first["address"], first["level"]), (REQUEST, "127.0.0.1", "info"))
        self.assertRegex(first["connection"], "^[0-9a-f]{16}$")
        self.assertNotEqual(first["connection"], second["connection"])
        self.assertTrue(first["reason"])
        self.assertNotIn("request_id", second)
        self.assertNotIn(SECRET, self.read() + self.read("stderr"))
        self.assertEqual(self.read("stderr"), "")
        self.assertEqual(found[-1]["message"], "Server Shut Down.")

    def test_everything_that_any_code_logs_warns_of_prints_and_raises_is_one_line_each(self) -> None:
        process = self.start("--port", str(self.port), "--log-format", "json", script=MISCHIEF)
        self.wait_for("mischief is done")
        self.stop(process)
        found = self.documents()
        self.assertEqual(self.read("stderr"), "")
        lines = {(each["logger"], each["level"]): each for each in found}
        for logger, level, message, error in (
            ("jwt", "warn", "library\\nforged", ""),
            ("jwt", "error", "library failed", "ZeroDivisionError"),
            ("log_legacy", "critical", "legacy failed", "ZeroDivisionError"),
            ("stderr", "error", "on stderr", ""),
            ("wsrelay", "error", "a thread failed", "ValueError"),
        ):
            with_message = [each for each in found if each["message"] == message]
            self.assertEqual([(each["logger"], each["level"]) for each in with_message], [(logger, level)])
            self.assertIn(error, with_message[0].get("traceback", ""))
        messages = [each["message"] for each in found]
        for message in ("legacy\\nforged", "printed", "in lines", "an exception could not be raised where it happened"):
            self.assertEqual(messages.count(message), 1, message)
        (warning,) = [each for each in found if "UserWarning" in each["message"]]
        self.assertTrue(warning["message"].endswith("warning\\nforged"))
        (unhandled,) = [each for each in found if "nobody looks" in each.get("traceback", "")]
        self.assertEqual(unhandled["level"], "critical")
        self.assertIn("wsrelay.app.service.RelayService", {logger for logger, _ in lines})

    def test_debug_has_a_line_for_each_request(self) -> None:
        process = self.start("--port", str(self.port), "--log-format", "json", "--log-level", "debug")
        self.wait_for("wsrelay listening on")
        self.send(b"garbage\r\n\r\n")
        self.assertIn(b" 101 ", self.handshake("/ws/lobby", f"X-Request-Id: {REQUEST}")[:20])
        self.stop(process)
        found = self.documents()
        (answered,) = [each for each in found if each["message"].startswith("answered with 400: ")]
        self.assertEqual((answered["level"], answered["status"], answered["address"]), ("debug", 400, "127.0.0.1"))
        (connects,) = [each for each in found if each["message"] == "a client connects"]
        self.assertEqual((connects["level"], connects["request_id"], connects["path"]), ("debug", REQUEST, "/ws/lobby"))

    def test_error_that_ends_the_start_is_the_last_line(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            process = self.start("--port", str(port), "--log-format", "json")
            self.assertEqual(process.wait(DEADLINE_SECONDS), 1)
        last = self.documents()[-1]
        self.assertEqual((last["logger"], last["level"]), ("stderr", "error"))
        self.assertTrue(last["message"].startswith(f"wsrelay: cannot listen on 127.0.0.1:{port}: "), last)
        self.assertEqual(self.read("stderr"), "")

    def test_mistake_in_the_settings_is_one_plain_line_on_standard_error(self) -> None:
        process = self.start("--port", "many", "--log-format", "json")
        self.assertEqual(process.wait(DEADLINE_SECONDS), 1)
        self.assertEqual(self.read(), "")
        self.assertRegex(self.read("stderr"), r"^wsrelay: --port .*\n$")

    def test_file_of_a_daemon_has_the_same_lines(self) -> None:
        pidfile = self.folder / "twistd.pid"
        process = self.start("--port", str(self.port), WSRELAY_LOG_FORMAT="json", twistd=())
        self.assertEqual(process.wait(DEADLINE_SECONDS), 0)

        def kill() -> None:
            if pidfile.exists():
                os.kill(int(pidfile.read_text()), signal.SIGKILL)

        self.addCleanup(kill)
        self.wait_for("wsrelay listening on", "twistd.log")
        os.kill(int(pidfile.read_text()), signal.SIGUSR1)
        self.wait_for("wsrelay listening on", "twistd.log.1")
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
        self.wait_for("Server Shut Down.", "twistd.log")
        messages = [each["message"] for name in ("twistd.log.1", "twistd.log") for each in self.documents(name)]
        self.assertIn("draining 0 connections", messages)
        wait_until(lambda: not pidfile.exists(), lambda: self.read("twistd.log"))


class TextTests(LogCase):
    """`log_format = text`, the default."""

    def test_every_event_is_a_line_and_tracebacks_are_indented(self) -> None:
        process = self.start("--port", str(self.port), script=MISCHIEF)
        self.wait_for("mischief is done")
        self.stop(process)
        lines = self.read().splitlines()
        for line in lines:
            self.assertTrue(TEXT_LINE.fullmatch(line) or line.startswith("\t"), line)
        self.assertFalse([line for line in lines if line.startswith("forged")])
        self.assertIn("\tbuiltins.ZeroDivisionError: division by zero", lines)

    def test_there_is_no_time_on_heroku(self) -> None:
        process = self.start(PORT=str(self.port), DYNO="web.1", WSRELAY_BROKER="memory")
        self.wait_for("wsrelay listening on")
        self.stop(process)
        self.assertTrue(all(line.startswith("[") for line in self.read().splitlines()), self.read())

    def test_logger_of_the_operator_gets_complete_texts(self) -> None:
        """And is not replaced: `--logger` names a factory of observers."""
        (self.folder / "own.py").write_text(
            "import sys\nfrom twisted.logger import textFileLogObserver\n"
            "stdout = sys.stdout\ndef observer():\n    stdout.write('mine\\n')\n"
            "    return textFileLogObserver(stdout, timeFormat=None)\n"
        )
        flags = ("--nodaemon", "--pidfile=", "--logger=own.observer")
        process = self.start(
            "--port", str(self.port), "--log-format", "json", twistd=flags, PYTHONPATH=str(self.folder)
        )
        self.wait_for("wsrelay listening on")
        self.handshake("/ws/lobby", "Origin: https://other.example")
        self.stop(process)
        self.assertTrue(self.read().startswith("mine\n"))
        self.assertIn("origin 'https://other.example', address '127.0.0.1'", self.read())


class DocumentTests(LogCase):
    """The examples of docs/logs.md are what a relay prints."""

    def shape(self, text: str) -> list[str]:
        """Return the lines of a log without what is another one each time."""
        for pattern, shown in (
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3}Z|[+-]\d{4})", "TIME"),
            (r"127\.0\.0\.1:\d+", "ADDRESS"),
            (r"(connection\"?:? ['\"])[0-9a-f]{16}", r"\1ID"),
        ):
            text = re.sub(pattern, shown, text)
        return text.splitlines()

    def test_examples_are_printed_by_a_relay(self) -> None:
        for language, form in (("text", "text"), ("json", "json")):
            process = self.start("--port", str(self.port), "--log-format", form)
            self.wait_for("wsrelay listening on")
            self.handshake("/ws/news", "Origin: https://other.example", f"X-Request-Id: {REQUEST}")
            self.stop(process)
            printed = self.shape(self.read())
            documented = self.shape(code_block("docs/logs.md", language, "listening on"))
            self.assertEqual(len(documented), 3)
            self.assertEqual([line for line in printed if line in documented], documented, "\n".join(printed))
