"""Tests of `wsrelay.config.suggestions`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading_helpers import config_error
from wsrelay.config import setting_table, suggestion

KEYS = [row.name for row in setting_table()]
FORMER_SETTINGS = {
    "demo": "chat_page",
    "drain_seconds": "drain_timeout_seconds",
    "hook_forward": "hook_forward_headers",
    "outbox_max_bytes": "max_outbox_bytes",
    "outbox_max_seconds": "max_outbox_seconds",
    "redis_ca_file": "redis_tls_ca_file",
    "router_idle_seconds": "router_idle_timeout_seconds",
    "tls_minimum": "tls_min_version",
}
FORMER_KEYS_OF_NAMESPACES = {"slow": "slow_consumer_policy", "tell_gaps": "notify_gaps"}


class SuggestionTests(SynchronousTestCase):
    """Hints at the name that was meant."""

    def test_unknown_name_is_answered_with_the_nearest_known_one(self) -> None:
        self.assertEqual(suggestion("prot", iter(["host", "port"])), "; did you mean port?")
        self.assertEqual(suggestion("xyzzy", ["host", "port"]), "")

    def test_former_name_of_a_setting_is_answered_with_its_present_one_in_each_source(self) -> None:
        for former, present in FORMER_SETTINGS.items():
            self.assertEqual(suggestion(former, KEYS), f"; did you mean {present}?")
            flags = [f"--{key.replace('_', '-')}" for key in KEYS]
            self.assertEqual(
                suggestion(f"--{former.replace('_', '-')}", flags), f"; did you mean --{present.replace('_', '-')}?"
            )
            error = config_error({}, {f"WSRELAY_{former.upper()}": "1"})
            self.assertTrue(error.endswith(f"; did you mean WSRELAY_{present.upper()}?"), error)

    def test_former_key_of_a_namespace_is_answered_with_its_present_one(self) -> None:
        path = Path(self.mktemp())
        for former, present in FORMER_KEYS_OF_NAMESPACES.items():
            path.write_text(f"[namespaces.a]\nchannels = ['a']\n{former} = 'x'\n", encoding="utf-8")
            self.assertEqual(
                config_error({"config": str(path)}, {}),
                f"namespaces.a: unknown key '{former}'; did you mean {present}?",
            )
