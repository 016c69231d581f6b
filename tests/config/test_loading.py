"""Tests of `wsrelay.config.loading`: flags, environment, file and files with secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading_helpers import config_error, load_env
from wsrelay.config import load, setting_table
from wsrelay.config.files import _read_once

SECRET = "hunter2"
ROWS = {row.name: row for row in setting_table()}


class SourceTests(SynchronousTestCase):
    """Precedence of flags, environment and file."""

    def file(self, text: str) -> str:
        """Return the path of a file that holds a text."""
        path: str = self.mktemp()
        Path(path).write_text(text, encoding="utf-8")
        return path

    def test_precedence_is_flag_environment_file_default(self) -> None:
        sources: dict[str, Any] = {"config": self.file("port = 3\ndrain_timeout_seconds = 3\nprefix = '3'\n")}
        settings = load({**sources, "port": "1"}, {"WSRELAY_PORT": "2", "WSRELAY_DRAIN_TIMEOUT_SECONDS": "2"})
        self.assertEqual((settings.port, settings.drain_timeout_seconds, settings.prefix), (1, 2.0, "3"))
        self.assertEqual(settings.ping_interval_seconds, 25.0)

    def test_bad_value_is_rejected_even_if_a_stronger_source_overrides_it(self) -> None:
        self.assertEqual(
            config_error({"port": "1"}, {"WSRELAY_PORT": "x"}), "WSRELAY_PORT must be a whole number, not 'x'"
        )

    def test_port_of_the_platform_overrides_our_own(self) -> None:
        """A platform connects to the port that it assigns, and to no other one."""
        self.assertEqual(load_env(PORT="1", WSRELAY_PORT="2").port, 1)

    def test_url_for_the_relay_overrides_those_for_every_program(self) -> None:
        ours, theirs, garbage = "redis://ours", "redis://theirs", "postgres://x"
        own_file, file = self.file(f"{ours}\n"), self.file(f"{theirs}\n")
        for environ, used in (
            ({"REDIS_URL": theirs, "WSRELAY_REDIS_URL": ours}, "ours"),
            ({"REDIS_URL": garbage, "WSRELAY_REDIS_URL": ours}, "ours"),
            ({"REDIS_URL": theirs, "WSRELAY_REDIS_URL": ""}, "theirs"),
            ({"REDIS_URL": theirs, "WSRELAY_REDIS_URL_FILE": own_file}, "ours"),
            ({"REDIS_TLS_URL": "rediss://tls", "WSRELAY_REDIS_URL": ours}, "ours"),
            ({"REDIS_TLS_URL": "rediss://tls", "WSRELAY_REDIS_URL_FILE": own_file}, "ours"),
            ({"REDIS_URL_FILE": file}, "theirs"),
            ({"REDIS_URL_FILE": file, "WSRELAY_REDIS_URL": ours}, "ours"),
            ({"REDIS_URL_FILE": file, "REDIS_TLS_URL": "rediss://tls"}, "tls"),
        ):
            self.assertEqual(getattr(load({}, environ).redis_url, "host", None), used, environ)

    def test_used_and_ignored_variables_are_logged_without_their_values(self) -> None:
        for environ, used, ignored in (
            ({"REDIS_URL": "redis://:pw@a", "WSRELAY_REDIS_URL": "redis://:pw@b"}, "WSRELAY_REDIS_URL", "REDIS_URL"),
            ({"REDIS_URL": "redis://:pw@a", "REDIS_TLS_URL": "rediss://:pw@b"}, "REDIS_TLS_URL", "REDIS_URL"),
            (
                {"WSRELAY_REDIS_URL": "redis://:pw@a", "REDIS_TLS_URL": "rediss://b"},
                "WSRELAY_REDIS_URL",
                "REDIS_TLS_URL",
            ),
        ):
            with capturedLogs() as events:
                load({}, environ)
            [text] = [formatEvent(event) for event in events]
            self.assertEqual(text, f"redis_url is taken from {used}; ignored: {ignored}")
        with capturedLogs() as events:
            load({}, {"PORT": "1", "WSRELAY_PORT": "2"})
        self.assertEqual([formatEvent(event) for event in events], ["port is taken from PORT; ignored: WSRELAY_PORT"])
        with capturedLogs() as events:
            load({}, {"REDIS_URL": "redis://a"})
        self.assertEqual(events, [])

    def test_config_flag_overrides_config_variable(self) -> None:
        one, two = self.file("port = 1"), self.file("port = 2")
        self.assertEqual(load({"config": one}, {"WSRELAY_CONFIG": two}).port, 1)
        settings = load_env(WSRELAY_CONFIG=two)
        self.assertEqual((settings.port, settings.config), (2, Path(two).absolute()))

    def test_empty_config_flag_is_an_error_and_not_no_file(self) -> None:
        self.assertIn("Is a directory", config_error({"config": ""}, {}))

    def test_host_is_loopback_unless_the_port_comes_from_the_platform(self) -> None:
        path = self.file("port = 1")
        cases: list[tuple[dict[str, str], dict[str, str], str]] = [
            ({}, {}, "127.0.0.1"),
            ({}, {"PORT": "1"}, "0.0.0.0"),
            ({}, {"PORT": "1", "WSRELAY_PORT": "2"}, "0.0.0.0"),
            ({}, {"WSRELAY_PORT": "1"}, "127.0.0.1"),
            ({"port": "1"}, {}, "127.0.0.1"),
            ({"port": "1"}, {"PORT": "2"}, "127.0.0.1"),
            ({"config": path}, {}, "127.0.0.1"),
            ({"config": path}, {"PORT": "2"}, "0.0.0.0"),
            ({"host": "::1"}, {"PORT": "1"}, "::1"),
            ({}, {"PORT": "1", "WSRELAY_HOST": "192.0.2.1"}, "192.0.2.1"),
            ({"config": self.file("host = '192.0.2.2'")}, {"PORT": "1"}, "192.0.2.2"),
        ]
        self.assertEqual([load(flags, environ).host for flags, environ, _ in cases], [host for _, _, host in cases])

    def test_redis_url_with_tls_is_preferred(self) -> None:
        plain, tls, other = "redis://plain", "rediss://tls", "rediss://other"
        cases = [
            ({"REDIS_URL": plain, "REDIS_TLS_URL": tls}, tls),
            ({"REDIS_TLS_URL": tls}, tls),
            ({"REDIS_URL": other, "REDIS_TLS_URL": tls}, other),
            ({"REDIS_URL": plain}, plain),
            ({"REDIS_URL": plain, "REDIS_TLS_URL": ""}, plain),
        ]
        self.assertEqual(
            [str(load({}, environ).redis_url) for environ, _ in cases], [f"{url}:6379" for _, url in cases]
        )

    def test_redis_url_with_tls_goes_before_a_file_and_is_checked_and_named_if_another_one_is_used(self) -> None:
        path = self.file("redis_url = 'rediss://file'\n")
        with capturedLogs() as events:
            self.assertEqual(
                f"{load({'config': path}, {'REDIS_TLS_URL': 'rediss://tls'}).redis_url}", "rediss://tls:6379"
            )
        self.assertEqual(events, [])
        error = config_error({}, {"REDIS_URL": "rediss://a", "REDIS_TLS_URL": "rediss://h/x"})
        self.assertEqual(error, "REDIS_TLS_URL cannot be used: the database after the last slash is not a number")
        with capturedLogs() as events:
            load({}, {"REDIS_URL": "rediss://:pw@a", "REDIS_TLS_URL": "rediss://:pw@b"})
        [text] = [formatEvent(event) for event in events]
        self.assertEqual(text, "redis_url is taken from REDIS_URL; ignored: REDIS_TLS_URL")

    def test_unknown_variable_is_rejected_with_the_nearest_name(self) -> None:
        self.assertEqual(
            [config_error({}, {name: ""}) for name in ("WSRELAY_PROT", "WSRELAY_PING_INTERVAL", "WSRELAY_" + "X" * 20)],
            [
                "unknown environment variable WSRELAY_PROT; did you mean WSRELAY_PORT?",
                "unknown environment variable WSRELAY_PING_INTERVAL; did you mean WSRELAY_PING_INTERVAL_SECONDS?",
                "unknown environment variable WSRELAY_XXXXXXXXXXXXXXXXXXXX",
            ],
        )

    def test_service_variables_of_kubernetes_are_ignored(self) -> None:
        load({}, {"WSRELAY_SERVICE_HOST": "10.0.0.1", "WSRELAY_PORT_80_TCP": "tcp://10.0.0.1:80"})
        self.assertEqual(load({}, {"WSRELAY_PORT": "tcp://10.0.0.1:80"}).port, 8080)


class PassedSocketTests(SynchronousTestCase):
    """Sockets that systemd has passed."""

    def test_they_are_listened_on_unless_something_says_where_to_listen(self) -> None:
        for variables, listen in (
            ({}, ("systemd",)),
            ({"WSRELAY_LISTEN": "tcp:1"}, ("tcp:1",)),
            ({"WSRELAY_HOST": "::"}, ()),
            ({"WSRELAY_PORT": "1"}, ()),
            ({"PORT": "1"}, ()),
            ({"WSRELAY_LISTEN_TLS": "systemd", "WSRELAY_TLS_CERTIFICATES": "/c"}, ()),
        ):
            self.assertEqual(load({}, variables, has_sockets=True).listen, listen, variables)
        self.assertEqual(load({}, {}).listen, ())


class SecretTests(SynchronousTestCase):
    """Credentials among the settings."""

    def test_no_secret_is_in_the_representation_of_settings(self) -> None:
        settings = load_env(
            WSRELAY_API_KEYS=f"{SECRET}-{SECRET}-{SECRET}",
            WSRELAY_TOKEN_KEYS=SECRET * 9,
            REDIS_URL=f"redis://:{SECRET}@h",
        )
        self.assertNotIn(SECRET, repr(settings))
        self.assertNotIn(SECRET, f"{settings}")

    def test_file_variable_reads_a_stripped_secret(self) -> None:
        path = Path(self.mktemp())
        path.write_text(f"\n{'k' * 40}\n")
        settings = load_env(WSRELAY_TOKEN_KEYS_FILE=str(path))
        assert settings.token_keys is not None
        self.assertEqual(settings.token_keys.reveal(), "k" * 40)
        path.write_text(f"redis://:{SECRET}@h\n")
        url = load_env(WSRELAY_REDIS_URL_FILE=str(path)).redis_url
        self.assertEqual(getattr(url, "password", None), SECRET)

    def test_pipe_is_read_once_and_its_content_kept(self) -> None:
        """As the shell makes one of `<(command)`: read again, it would block the process."""
        reading, writing = os.pipe()
        os.write(writing, b"k" * 40)
        os.close(writing)
        for _ in range(2):
            keys = load_env(WSRELAY_TOKEN_KEYS_FILE=f"/dev/fd/{reading}").token_keys
            self.assertEqual(keys and keys.reveal(), "k" * 40)
        os.close(reading)
        _read_once.cache_clear()

    def test_relative_paths_refer_to_the_given_directory_in_every_source(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "key").write_text("k" * 40)
        (folder / "c.toml").write_text('tls_certificates = ["a.pem", "/b.pem"]\nlisten_tls = ["tcp:1"]\n')
        environ = {"WSRELAY_TOKEN_KEYS_FILE": "key", "WSRELAY_REDIS_URL": "rediss://h"}
        settings = load({"config": "c.toml", "redis_tls_ca_file": "ca.pem"}, environ, folder)
        self.assertEqual(settings.tls_certificates, (folder / "a.pem", Path("/b.pem")))
        self.assertEqual((settings.config, settings.redis_tls_ca_file), (folder / "c.toml", folder / "ca.pem"))
        self.assertEqual(settings.token_keys and settings.token_keys.reveal(), "k" * 40)

    def test_unreadable_or_redundant_secret_file_is_named_by_its_variable(self) -> None:
        path = Path(self.mktemp()).absolute()
        error = config_error({}, {"WSRELAY_TOKEN_KEYS_FILE": str(path)})
        self.assertEqual(
            error, f"the file that WSRELAY_TOKEN_KEYS_FILE names cannot be read: No such file or directory: {path}"
        )
        path.write_bytes(b"\xef\xbb\xbf" + b"k" * 40 + b"\r\n")
        keys = load_env(WSRELAY_TOKEN_KEYS_FILE=str(path)).token_keys
        self.assertEqual(keys and keys.reveal(), "k" * 40)
        path.write_bytes(b"\xff")
        self.assertIn("is not text", config_error({}, {"WSRELAY_TOKEN_KEYS_FILE": str(path)}))
        error = config_error({}, {"WSRELAY_TOKEN_KEYS_FILE": str(path), "WSRELAY_TOKEN_KEYS": SECRET})
        self.assertEqual(
            error, "WSRELAY_TOKEN_KEYS_FILE and WSRELAY_TOKEN_KEYS both set token_keys: use only one of them"
        )

    def test_only_secrets_have_a_file_variable(self) -> None:
        self.assertIn("unknown environment variable", config_error({}, {"WSRELAY_HOST_FILE": "/x"}))
