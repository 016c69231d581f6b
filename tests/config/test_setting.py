"""Tests of `wsrelay.config.setting`: how values are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading_helpers import config_error, load_env
from wsrelay.config import load, setting_table
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.outcomes.errors import ConfigError

SECRET = "hunter2"
ROWS = {row.name: row for row in setting_table()}


class ValueTests(SynchronousTestCase):
    """How each type is written in a flag or a variable."""

    def read(self, name: str, text: str) -> object:
        """Return the value of a text for a setting, or the error text, which are the same in a flag and a variable."""
        flag, variable = {name: text}, f"WSRELAY_{name.upper()}"
        try:
            value = getattr(load(flag, {}), name)
        except ConfigError as error:
            if text:
                self.assertEqual(
                    config_error({}, {variable: text}), str(error).replace(f"--{ROWS[name].flag}", variable)
                )
            return str(error)
        if text:
            self.assertEqual(getattr(load({}, {variable: text}), name), value)
        return value

    def check(self, name: str, cases: Mapping[str, object]) -> None:
        """Compare the values of texts, or the errors about them."""
        self.assertEqual({text: self.read(name, text) for text in cases}, cases)

    def test_text_is_taken_verbatim(self) -> None:
        self.check("host", {"::1": "::1", " a b ": " a b "})

    def test_whole_number_is_digits_within_its_bounds(self) -> None:
        no = "--max-head-bytes must be"
        self.check(
            "max_head_bytes",
            {
                "1024": 1024,
                "1048576": 1048576,
                "1023": f"{no} at least 1024, not 1023",
                "-1": f"{no} at least 1024, not -1",
                "1048577": f"{no} at most 1048576, not 1048577",
                "1" + "0" * 400: f"{no} at most 1048576, not 1{'0' * 400}",
                "2048.0": f"{no} a whole number, not '2048.0'",
                "16k": f"{no} a whole number, not '16k'",
                "": f"{no} a whole number, not ''",
            },
        )
        self.check("port", {"0": 0, "65535": 65535, "65536": "--port must be at most 65535, not 65536"})

    def test_number_may_have_a_fraction_and_is_finite(self) -> None:
        no = "--drain-timeout-seconds must be"
        self.check(
            "drain_timeout_seconds",
            {
                "1": 1.0,
                "2.5": 2.5,
                "1e1": 10.0,
                "0.5": f"{no} at least 1, not 0.5",
                "nan": f"{no} a number, not 'nan'",
                "inf": f"{no} a number, not 'inf'",
                "-inf": f"{no} a number, not '-inf'",
                "1e999": f"{no} a number, not '1e999'",
                "25s": f"{no} a number, not '25s'",
            },
        )

    def test_switch_is_one_of_the_usual_words_in_any_case(self) -> None:
        on, off = ("1", "true", "yes", "on", " TRUE "), ("0", "false", "no", "off", "Off")
        self.check("chat_page", dict.fromkeys(on, True) | dict.fromkeys(off, False))
        self.check(
            "chat_page", {word: f"--chat-page must be true or false, not {word!r}" for word in ("2", "maybe", "")}
        )

    def test_list_items_are_separated_by_commas_and_stripped(self) -> None:
        self.check("publish", {"a": ("a",), " a , b:*,,": ("a", "b:*"), "": ()})

    def test_path_is_absolute_because_twistd_may_change_its_directory(self) -> None:
        for text, path in (
            ("certificates/ca.pem", Path.cwd() / "certificates/ca.pem"),
            ("/ca.pem", Path("/ca.pem")),
        ):
            settings = load({"redis_tls_ca_file": text}, {"REDIS_URL": "rediss://h"})
            self.assertEqual(settings.redis_tls_ca_file, path)

    def test_redis_url_errors_name_the_variable(self) -> None:
        self.assertEqual(load_env(REDIS_URL="redis://:pw@h").redis_url, RedisURL(host="h", password="pw"))
        self.assertEqual(load_env(WSRELAY_REDIS_URL="redis://h").redis_url, RedisURL(host="h"))
        for variable in ("REDIS_URL", "WSRELAY_REDIS_URL", "REDIS_TLS_URL"):
            self.assertEqual(
                config_error({}, {variable: "redis://h/x"}),
                f"{variable} cannot be used: the database after the last slash is not a number",
            )

    @given(st.text(max_size=6), st.sampled_from(["redis://user:{}@h:x", "redis://user:{}@h/0", "{}", "unix://:{}@/"]))
    def test_password_is_in_no_error_and_no_representation(self, before: str, form: str) -> None:
        environ = {"REDIS_URL": form.format(before + SECRET)}
        self.assertNotIn(SECRET, config_error({}, environ))
        try:
            self.assertNotIn(SECRET, repr(load({}, environ)))
        except ConfigError as error:
            self.assertNotIn(SECRET, repr(error))

    @given(st.sampled_from(sorted(set(ROWS) - {"config", "redis_url"})), st.text(max_size=12))
    def test_any_text_is_a_value_or_a_config_error(self, name: str, text: str) -> None:
        try:
            load({name: text}, {})
        except ConfigError as error:
            self.assertNotEqual(str(error), "")


class OutboxTests(SynchronousTestCase):
    """The longest time that data may wait for a slow client."""

    def test_outbox_age_defaults_to_15_seconds(self) -> None:
        self.assertEqual(load_env().max_outbox_seconds, 15.0)

    def test_outbox_age_is_at_least_one_second_and_may_have_a_fraction(self) -> None:
        self.assertEqual(load_env(WSRELAY_MAX_OUTBOX_SECONDS="2.5").max_outbox_seconds, 2.5)
        self.assertEqual(load({"max_outbox_seconds": "1"}, {}).max_outbox_seconds, 1.0)
        self.assertEqual(
            config_error({"max_outbox_seconds": "0.5"}, {}), "--max-outbox-seconds must be at least 1, not 0.5"
        )
        self.assertEqual(
            config_error({}, {"WSRELAY_MAX_OUTBOX_SECONDS": "long"}),
            "WSRELAY_MAX_OUTBOX_SECONDS must be a number, not 'long'",
        )
