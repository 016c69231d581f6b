"""Tests of `wsrelay.commands.settings`, `wsrelay.commands.errors`, and of failures before Redis is reached."""

from __future__ import annotations

import os
from pathlib import Path

from tests.commands.command_case import CommandCase
from wsrelay.commands.errors import CommandError
from wsrelay.commands.settings import load_settings, shown_name

NO_REDIS = " !    No Redis is configured: set REDIS_URL (or --config FILE) as for the relay.\n"


class SettingsTests(CommandCase):
    """How the relay is found."""

    def test_name_is_the_prefix_with_or_without_its_colon(self) -> None:
        os.environ["REDIS_URL"] = "redis://localhost"
        for name in ("myapp", "myapp:"):
            settings = load_settings(name, {})
            self.assertEqual((settings.prefix, shown_name(settings)), ("myapp:", "myapp"))

    def test_without_a_name_the_settings_say_it(self) -> None:
        os.environ["REDIS_URL"] = "redis://localhost"
        self.assertEqual(shown_name(load_settings(None, {})), "wsrelay")
        os.environ["WSRELAY_PREFIX"] = "other-"
        self.assertEqual(shown_name(load_settings(None, {})), "other-")
        self.assertEqual(load_settings("myapp", {}).prefix, "myapp:")

    def test_redis_is_found_in_the_file_and_by_options_too(self) -> None:
        file = Path(self.mktemp())
        file.write_text('redis_url = "rediss://redis.example"\nprefix = "filed:"\n')
        settings = load_settings(None, {"config": str(file), "redis_tls_verify": "false", "redis_tls_ca_file": None})
        self.assertEqual((str(settings.redis_url), settings.prefix), ("rediss://redis.example:6379", "filed:"))
        self.assertFalse(settings.redis_tls_verify)

    def test_embedded_broker_has_no_switch_for_commands(self) -> None:
        os.environ["REDIS_URL"] = "redis://localhost"
        os.environ["WSRELAY_BROKER"] = "memory"
        self.assertRaises(CommandError, load_settings, None, {})


class FailureTests(CommandCase):
    """Failures before Redis is reached."""

    def test_missing_redis_fails_with_what_to_set(self) -> None:
        self.assertEqual(
            self.outcome("websockets:disable", "-a", "myapp"),
            (1, "Disabling websockets for myapp... failed\n", NO_REDIS),
        )
        self.assertEqual(
            self.outcome("websockets:enable", "-a", "myapp"),
            (1, "Enabling websockets for myapp... failed\n", NO_REDIS),
        )
        self.assertEqual(self.outcome("websockets", "-a", "myapp"), (1, "", NO_REDIS))

    def test_empty_name_fails(self) -> None:
        status, text, error = self.outcome("websockets:disable", "-a", "")
        self.assertEqual((status, text), (1, ""))
        self.assertTrue(error.startswith(" !    No name given: -a takes the setting prefix without its colon"), error)

    def test_name_that_can_be_no_prefix_fails(self) -> None:
        os.environ["REDIS_URL"] = "redis://localhost"
        status, text, error = self.outcome("websockets:disable", "-a", "my app")
        self.assertEqual((status, text), (1, "Disabling websockets for my app... failed\n"))
        self.assertEqual(error, " !    prefix must be ASCII without white space\n")

    def test_message_that_cannot_be_shown_fails(self) -> None:
        status, text, error = self.outcome("websockets:disable", "-a", "myapp", "-m", "a\nb")
        self.assertEqual((status, text), (1, ""))
        self.assertIn(" !    --message cannot be used: an explanation has at most 200 printable characters", error)

    def test_password_of_a_malformed_url_is_not_printed(self) -> None:
        os.environ["REDIS_URL"] = "redis://:sesame@:x/y"
        status, _text, error = self.outcome("websockets:disable", "-a", "myapp")
        self.assertEqual(status, 1)
        self.assertTrue(error.startswith(" !    REDIS_URL "), error)
        self.assertNotIn("sesame", error)
