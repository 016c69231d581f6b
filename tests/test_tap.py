"""Tests of `wsrelay.tap`: the command line, and the service built from it. Real processes are in tests/integration."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme
from twisted.application.service import IService, IServiceMaker
from twisted.internet import reactor
from twisted.internet.defer import fail
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs, formatEvent
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from wsrelay import tap
from wsrelay.app.service import RelayService
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.transports.listening.proxy_protocol import behind_proxy
from wsrelay.transports.listening.systemd_sockets import PassedSocket
from wsrelay.transports.listening.tls import is_under_tls
from wsrelay.transports.listening.unix_sockets import UnixReactor
from wsrelay.workers.parent import ParentService

REACTOR: Any = reactor
ADD_TRIGGER = REACTOR.addSystemEventTrigger


class FakeServiceManager:
    """A service manager that keeps what it is told.

    Attributes:
        calls: What it was told.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Keep both ends of a reload."""
        self.calls.append("reloading")
        yield
        self.calls.append("reloaded")

    def stopping(self, seconds: float) -> None:
        """Keep the time that a stop takes."""
        self.calls.append(f"stopping within {seconds} s")

    def stop(self) -> None:
        """Keep that nothing more is reported."""
        self.calls.append("stopped")


class TapTests(SynchronousTestCase):
    """Options in, service out."""

    def options(self, *flags: str, **environ: str) -> tap.Options:
        """Return the options that flags and variables set."""
        options = tap.Options(environ)
        options.parseOptions(list(flags))
        return options

    def service(self, *flags: str, **environ: str) -> Any:
        """Return the relay, or the parent of several, built from flags and variables."""
        return self.build(self.options(*flags, **environ)).service

    def build(self, options: tap.Options) -> Any:
        """Return the service built from options, and remove its triggers from the reactor of the tests."""
        triggers: list[Any] = []
        # The reactor of the tests keeps its clock.
        self.patch(REACTOR, "seconds", REACTOR.seconds)
        self.patch(REACTOR, "addSystemEventTrigger", lambda *given: triggers.append(ADD_TRIGGER(*given)))
        try:
            return tap.makeService(options)
        finally:
            for trigger in triggers:
                REACTOR.removeSystemEventTrigger(trigger)

    def test_relative_paths_still_refer_to_the_directory_of_the_start_when_settings_are_read_again(self) -> None:
        """With `--rundir` twistd changes its directory."""
        started, elsewhere = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        for folder in (started, elsewhere):
            folder.mkdir()
        (started / "c.toml").write_text('channels = ["news"]\n')
        (started / "keys").write_text("the-first-key-of-the-api")
        with contextlib.chdir(started):
            options = self.options("--config", "c.toml", WSRELAY_API_KEYS_FILE="keys")
        (started / "keys").write_text("the-second-key-of-the-api")
        with contextlib.chdir(elsewhere):
            found = options.load()
        self.assertEqual(
            ([key.reveal() for key in found.api_keys], found.channels), (["the-second-key-of-the-api"], ("news",))
        )
        self.assertEqual(found.config, options.settings.config)

    def test_absolute_paths_are_read_where_the_directory_of_the_start_is_gone(self) -> None:
        started, keys = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        started.mkdir()
        keys.write_text("the-first-key-of-the-api")
        with contextlib.chdir(started):
            started.rmdir()
            options = self.options(WSRELAY_API_KEYS_FILE=str(keys))
            self.assertEqual(options.load(), options.settings)
            os.chdir("/")

    def test_twistd_finds_the_plugin_and_its_options(self) -> None:
        names = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}
        self.assertIs(names["wsrelay"].options, tap.Options)

    def test_defaults_are_the_memory_broker_and_port_8080_on_loopback(self) -> None:
        service = self.service()
        verifyObject(IService, service)
        self.assertIsInstance(service.relay.broker, MemoryBroker)
        self.assertIsInstance(service._endpoints[0], TCP4ServerEndpoint)
        self.assertEqual((service._endpoints[0]._interface, service._endpoints[0]._port), ("127.0.0.1", 8080))

    def test_redis_url_selects_the_redis_broker(self) -> None:
        service = self.service(REDIS_URL="redis://localhost")
        self.assertIsInstance(service.relay.broker, RedisBroker)

    def test_listen_replaces_host_and_port(self) -> None:
        service = self.service("--listen", r"tcp6:0:interface=\:\:1")
        self.assertIsInstance(service._endpoints[0], TCP6ServerEndpoint)

    def test_list_is_given_by_one_flag_or_several_and_each_endpoint_is_used(self) -> None:
        service = self.service("--listen", "tcp:0", "--listen", "tcp:1,unix:relay")
        self.assertEqual(service.relay.settings.listen, ("tcp:0", "tcp:1", "unix:relay"))
        self.assertEqual(len(service._endpoints), 3)
        self.assertEqual(self.service("--channels", "a", "--channels", "b").relay.settings.channels, ("a", "b"))

    def test_kernel_queues_thousands_of_connections_unless_the_endpoint_says_otherwise(self) -> None:
        endpoints = "tcp:0,tcp6:0,unix:relay,tcp:0:backlog=7,unix:relay:backlog=8,tcp:0:127.0.0.1:9"
        found: list[Any] = [*self.service()._endpoints, *self.service("--listen", endpoints)._endpoints]
        self.assertEqual([each._backlog for each in found], [tap.BACKLOG] * 4 + [7, 8, 9])
        self.assertEqual(self.service("--listen", "haproxy:tcp:0")._endpoints[0]._below._backlog, tap.BACKLOG)

    def test_haproxy_prefix_selects_our_own_reader_of_the_proxy_protocol(self) -> None:
        (endpoint,) = self.service("--listen", "haproxy:tcp:0")._endpoints
        self.assertEqual(type(endpoint), type(behind_proxy(endpoint)))

    def pass_sockets(self, *names: str) -> None:
        """Let a listening socket stand for each one that systemd passes."""
        sockets = [self.enterContext(socket.create_server(("127.0.0.1", 0))) for _ in names]
        passed = [PassedSocket(each.fileno(), name) for each, name in zip(sockets, names, strict=True)]
        self.patch(tap, "passed_sockets", lambda _environ, _pid: passed)

    def test_sockets_of_systemd_are_listened_on_without_a_setting(self) -> None:
        self.pass_sockets("http", "more")
        service = self.service()
        self.assertEqual(service.relay.settings.listen, ("systemd",))
        self.assertEqual([type(each) for each in service._endpoints], [AdoptedStreamServerEndpoint] * 2)

    def test_sockets_of_systemd_are_chosen_by_name_for_tls_and_behind_a_proxy(self) -> None:
        self.pass_sockets("https", "http")
        flags = ("--listen-tls", "systemd:https", "--tls-certificates", self.certificate())
        first, second = self.service(*flags, "--listen", "haproxy:systemd:http")._endpoints
        self.assertEqual([is_under_tls(first), is_under_tls(second)], [False, True])
        self.assertEqual(type(first), type(behind_proxy(second)))

    def test_sockets_of_systemd_that_nothing_listens_on_are_warned_about(self) -> None:
        self.pass_sockets("http", "more")
        for flags, unused in (((), None), (("--listen", "systemd:http"), "more"), (("--port", "0"), "http, more")):
            with capturedLogs() as events:
                self.service(*flags)
            found = [event["names"] for event in events if "names" in event]
            self.assertEqual(found, [] if unused is None else [unused], flags)

    def test_missing_socket_of_systemd_is_one_line(self) -> None:
        for text in ("systemd", "systemd:http", "systemd:domain=INET:index=0", "haproxy:systemd"):
            expected = f"^wsrelay: listen: '{text}' is not an endpoint that can be used: systemd has passed no socket: "
            with self.assertRaisesRegex(SystemExit, expected):
                self.service("--listen", text)

    def test_reload_and_stop_are_reported_to_the_service_manager(self) -> None:
        service = self.build(self.options())
        manager = service.manager = FakeServiceManager()
        service._reload()
        self.assertEqual(manager.calls, ["reloading", "reloaded"])
        self.successResultOf(service.stopService())
        self.assertEqual(manager.calls[2:], ["stopping within 25.0 s", "stopped"])

    def test_tls_endpoint_is_used_alone_or_beside_a_configured_port(self) -> None:
        flags = ("--listen-tls", "tcp:0", "--tls-certificates", self.certificate())
        self.assertEqual(len(self.service(*flags)._endpoints), 1)
        service = self.service(*flags, "--port", "8081")
        self.assertEqual(len(service._endpoints), 2)
        self.assertIsInstance(service._endpoints[0], TCP4ServerEndpoint)

    def certificate(self) -> str:
        """Return the path of a file with a certificate and its key."""
        path = Path(self.mktemp())
        path.write_bytes(trustme.CA().issue_cert("relay.example").private_key_and_cert_chain_pem.bytes())
        return str(path)

    def test_endpoint_with_certificates_of_twisted_is_warned_about(self) -> None:
        path = self.certificate()
        with capturedLogs() as events:
            self.service("--listen", f"ssl:0:privateKey={path}")
        self.assertIn("listen_tls", "".join(event["log_format"] or "" for event in events))

    def test_ipv6_address_of_host_may_be_in_brackets(self) -> None:
        for host in ("::1", "[::1]"):
            self.assertEqual(self.service("--host", host)._endpoints[0]._interface, "::1")

    def test_unix_sockets_are_the_relay_s_own_in_any_wrapping(self) -> None:
        endpoint: Any
        (endpoint,) = self.service("--listen", "unix:relay")._endpoints
        self.assertIsInstance(endpoint._reactor, UnixReactor)
        (endpoint,) = self.service("--listen", "haproxy:unix:relay")._endpoints
        self.assertIsInstance(endpoint._below._reactor, UnixReactor)
        flags = ("--listen-tls", "unix:relay", "--tls-certificates", self.certificate())
        (endpoint,) = self.service(*flags)._endpoints
        (below,) = (each for each in vars(endpoint).values() if isinstance(each, UNIXServerEndpoint))
        self.assertIsInstance(below._reactor, UnixReactor)

    def test_variables_that_belong_to_others_are_named_in_one_line(self) -> None:
        with capturedLogs() as events:
            self.service(WSRELAY_VERSION="1", WSRELAY_REDIS_SERVICE_HOST="10.0.0.1")
        (named,) = (event["names"] for event in events if "names" in event)
        self.assertEqual(named, "WSRELAY_VERSION, WSRELAY_REDIS_SERVICE_HOST")

    def test_help_lists_no_flag_for_a_secret_but_its_variables(self) -> None:
        text = f"{self.options()}"
        for name in ("token-keys", "hook-secret", "api-keys", "redis-url"):
            self.assertNotIn(f"--{name}", text)
        self.assertIn("WSRELAY_API_KEYS", text)
        self.assertIn("_FILE", text)

    def test_flag_for_a_secret_is_answered_with_the_variable_to_set(self) -> None:
        for flag, name in (("--token-keys", "WSRELAY_TOKEN_KEYS"), ("--redis-url", "WSRELAY_REDIS_URL")):
            with self.assertRaisesRegex(SystemExit, f"has no flag.* set {name} or {name}_FILE"):
                self.options(flag, "x")

    def test_error_found_while_building_is_one_line(self) -> None:
        for flags, environ in (
            (("--listen", "nonsense"), {}),
            ((), {"REDIS_URL": "rediss://h", "WSRELAY_REDIS_TLS_CA_FILE": "/nonexistent"}),
            (("--listen-tls", "tcp:0", "--tls-certificates", "/nonexistent"), {}),
            ((), {"WSRELAY_TOKEN_KEYS": "too-short"}),
            (("--hook-url", "http://example.com/"), {}),
            (("--token-jwks-url", "ftp://example.com/"), {}),
            (("--token-algorithms", "RS256"), {"WSRELAY_TOKEN_KEYS": "s" * 40}),
            (("--token-algorithms", "none"), {"WSRELAY_TOKEN_KEYS": "s" * 40}),
        ):
            options = self.options(*flags, **environ)
            with self.assertRaisesRegex(SystemExit, "^wsrelay: "):
                self.build(options)

    def test_invalid_command_line_is_one_line_with_status_1(self) -> None:
        for flags in (["--prot", "1"], ["--port", "x"], ["extra"], ["--port"], ["-p"], ["--help=x"]):
            with self.assertRaisesRegex(SystemExit, "^wsrelay: [^\n]+$") as caught:
                self.options(*flags)
            # A text as the code is printed, and the status is 1.
            self.assertIsInstance(caught.exception.code, str)

    def test_abbreviated_or_unknown_flag_is_rejected_with_the_nearest_one(self) -> None:
        for flag, nearest in (
            ("--acces", "--access"),
            ("--acces=public", "--access"),
            ("--max-outbox-sec", "--max-outbox-seconds"),
            ("--outbox-max-bytes", "--max-outbox-bytes"),
            ("--ping_interval_seconds", "--ping-interval-seconds"),
            ("--versio", "--version"),
        ):
            name = flag.partition("=")[0]
            with self.assertRaisesRegex(SystemExit, rf"unknown flag {name}; did you mean {nearest}\? "):
                self.options(flag, "public")
        with self.assertRaisesRegex(SystemExit, r"unknown flag --xyzzy \("):
            self.options("--metrics", "true", "--xyzzy", "1")

    def test_value_may_begin_with_dashes(self) -> None:
        self.assertEqual(self.options("--prefix", "--acces").settings.prefix, "--acces")
        self.assertEqual(self.options("--prefix=--acces", "--port", "0").settings.prefix, "--acces")

    def test_help_is_wrapped_to_the_columns_of_the_terminal(self) -> None:
        narrow, wide = self.options(COLUMNS="60").getUsage(), self.options(COLUMNS="200").getUsage()
        self.assertGreater(narrow.count("\n"), wide.count("\n"))
        for columns in ("", "x", "-1"):
            self.assertEqual(self.options(COLUMNS=columns).getUsage(), self.options(COLUMNS="80").getUsage())
        self.assertEqual(self.options(COLUMNS="0").getUsage(), self.options(COLUMNS="40").getUsage())

    def test_limit_of_open_files_without_room_for_a_client_is_one_line(self) -> None:
        self.patch(tap, "raise_open_file_limit", lambda: 100)
        with self.assertRaisesRegex(SystemExit, "^wsrelay: the limit of open files is too low.* ulimit -n$"):
            self.service()

    def test_max_connections_above_the_limit_of_open_files_is_warned_about(self) -> None:
        self.patch(tap, "raise_open_file_limit", lambda: 1228)
        with capturedLogs() as events:
            self.service("--max-connections", "1001")
        self.assertEqual([event["capacity"] for event in events if "capacity" in event], [1000])
        with capturedLogs() as events:
            self.service("--max-connections", "1000")
        self.assertEqual([event for event in events if "capacity" in event], [])

    def test_version_exits_with_status_0(self) -> None:
        with self.assertRaises(SystemExit) as caught:
            self.options("--version")
        self.assertEqual(caught.exception.code, 0)

    def test_port_in_use_is_one_line(self) -> None:
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        service = self.build(self.options())
        taken = CannotListenError("127.0.0.1", 8080, OSError(98, "Address already in use"))
        service.service._endpoints[0].listen = lambda _factory: fail(taken)
        with self.assertRaisesRegex(SystemExit, "^wsrelay: cannot listen on 127.0.0.1:8080: Address already in use$"):
            service.privilegedStartService()

    def test_several_workers_have_a_parent_that_has_no_relay_of_its_own(self) -> None:
        parent = self.service("--workers", "2", REDIS_URL="redis://localhost")
        self.assertIsInstance(parent, ParentService)

    def test_there_is_one_worker_without_redis_and_the_log_says_why(self) -> None:
        with capturedLogs() as events:
            self.assertIsInstance(self.service("--workers", "2"), RelayService)
        self.assertIn("one worker runs: without Redis", "\n".join(map(str, map(formatEvent, events))))

    def test_settings_of_workers_that_cannot_be_used_are_said_by_the_parent(self) -> None:
        environ = {"REDIS_URL": "redis://localhost", "WSRELAY_TOKEN_KEYS": "-----BEGIN PUBLIC KEY-----"}
        with self.assertRaisesRegex(SystemExit, "token_keys"):
            self.service("--workers", "2", **environ)
