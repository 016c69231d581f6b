"""Tests of `wsrelay.config.settings`: the table, and what follows from its values."""

from __future__ import annotations

from itertools import groupby

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading_helpers import config_error, load_env
from wsrelay.config import CHANNELS_GROUP, Setting, Settings, load, setting_table
from wsrelay.core.messaging.namespaces import Access, Namespace

ROWS = {row.name: row for row in setting_table()}


class TableTests(SynchronousTestCase):
    """The table of settings."""

    def test_rows_of_a_group_stand_together(self) -> None:
        groups = [name for name, _ in groupby(ROWS.values(), lambda row: row.group)]
        self.assertEqual(len(groups), len(set(groups)))
        self.assertIn(CHANNELS_GROUP, groups)

    def test_every_field_but_namespaces_is_a_row_in_the_same_order(self) -> None:
        self.assertEqual([*ROWS, "namespaces"], list(Settings.__dataclass_fields__))

    def test_each_setting_has_its_own_variable_and_some_have_one_of_a_platform(self) -> None:
        special = {
            "port": ("PORT", "WSRELAY_PORT"),
            "redis_url": ("WSRELAY_REDIS_URL", "REDIS_URL"),
            "workers": ("WSRELAY_WORKERS", "WEB_CONCURRENCY"),
        }
        self.assertEqual(
            {name: row.environ for name, row in ROWS.items()},
            {name: special.get(name, (f"WSRELAY_{name.upper()}",)) for name in ROWS},
        )

    def test_every_setting_but_secrets_has_a_flag(self) -> None:
        self.assertEqual(
            [name for name, row in ROWS.items() if row.flag is None],
            ["redis_url", "token_keys", "token_previous_keys", "hook_secret", "api_keys"],
        )
        self.assertEqual(ROWS["ping_interval_seconds"].flag, "ping-interval-seconds")

    def test_unit_is_the_ending_of_the_name(self) -> None:
        for name, row in ROWS.items():
            unit = name.removesuffix("_per_second").rpartition("_")[2]
            self.assertEqual(row.unit, unit if unit in ("seconds", "bytes") else "", name)

    def test_every_setting_is_explained_in_sentences(self) -> None:
        for row in ROWS.values():
            self.assertTrue(row.help.endswith("."), row.name)

    def test_every_number_has_a_minimum_and_a_default_within_its_bounds(self) -> None:
        for row in ROWS.values():
            if row.kind.name in ("a number", "a whole number"):
                assert row.minimum is not None, row.name
                self.assertTrue(row.minimum <= row.default <= (row.maximum or row.default), row.name)

    def test_default_is_shown_as_the_operator_would_write_it(self) -> None:
        shown = {name: row.shown_default for name, row in ROWS.items()}
        self.assertEqual(
            {name: shown[name] for name in ("config", "port", "channels", "redis_tls_verify", "chat_page", "prefix")},
            {"config": "none", "port": "8080", "channels": "none", "redis_tls_verify": "true", "chat_page": "none",
             "prefix": "wsrelay:"},
        )  # fmt: skip
        self.assertEqual(
            (shown["ping_interval_seconds"], Setting("x", ROWS["port"].kind, 0, "").shown_default), ("25.0", "0")
        )


class DefaultTests(SynchronousTestCase):
    """Settings without any source."""

    def test_defaults_are_memory_broker_loopback_port_and_chat_page(self) -> None:
        settings = load({}, {})
        self.assertEqual(
            (settings.host, settings.port, settings.uses_redis, settings.has_chat_page),
            ("127.0.0.1", 8080, False, True),
        )

    def test_variables_of_other_programs_and_empty_ones_are_ignored(self) -> None:
        settings = load_env(
            HOME="/nowhere", WSRELAYX="1", PORT="", WSRELAY_HOST="", WSRELAY_ORIGINS="", WSRELAY_API_KEYS=""
        )
        self.assertEqual(settings, load({}, {}))


class MeaningTests(SynchronousTestCase):
    """Properties and namespaces that follow from settings."""

    def test_broker_is_redis_if_named_or_if_there_is_a_url_and_memory_is_not_named(self) -> None:
        url = {"REDIS_URL": "redis://h"}
        cases: list[tuple[dict[str, str], dict[str, str], bool]] = [
            ({}, {}, False),
            ({}, url, True),
            ({"broker": "redis"}, url, True),
            ({"broker": "memory"}, url, False),
        ]
        self.assertEqual([load(flags, env).uses_redis for flags, env, _ in cases], [uses for _, _, uses in cases])

    def test_chat_page_is_served_with_the_memory_broker_unless_set(self) -> None:
        url = {"REDIS_URL": "redis://h"}
        cases: list[tuple[dict[str, str], dict[str, str], bool]] = [
            ({}, {}, True),
            ({"chat_page": "no"}, {}, False),
            ({"sse": "no"}, {}, False),
            ({}, url, False),
            ({"chat_page": "yes"}, url, True),
        ]
        self.assertEqual([load(flags, env).has_chat_page for flags, env, _ in cases], [has for _, _, has in cases])

    def permissions(self, settings: Settings, *channels: str) -> list[str]:
        """Return what clients may do with each channel: s to subscribe, p to publish, or - if it does not exist."""
        namespaces = settings.build_namespaces()
        found = [namespaces.rule(channel) for channel in channels]
        public = Access.PUBLIC
        return [
            "-" if each is None else "s" * (each.subscribe is public) + "p" * (each.publish is public) for each in found
        ]

    def test_without_channels_all_exist_and_the_chat_page_opens_chat_for_publishing(self) -> None:
        self.assertEqual(self.permissions(Settings(chat_page=False), "chat", "x"), ["s", "s"])
        self.assertEqual(self.permissions(Settings(chat_page=True), "chat", "x"), ["sp", "s"])

    def test_named_channels_are_the_only_ones_and_publishable_ones_can_be_subscribed_to(self) -> None:
        settings = Settings(channels=("a", "b*"), publish=("b*", "talk"), chat_page=True)
        self.assertEqual(self.permissions(settings, "a", "b1", "talk", "chat"), ["s", "sp", "sp", "-"])
        self.assertEqual(self.permissions(Settings(publish=("talk",)), "talk", "a"), ["sp", "-"])
        self.assertEqual(self.permissions(Settings(channels=("a",)), "a", "talk"), ["s", "-"])

    def test_namespaces_of_the_file_are_used_unchanged(self) -> None:
        write_only = Namespace("write_only", ("write_only",), subscribe=Access.NOBODY, publish=Access.PUBLIC)
        self.assertEqual(
            self.permissions(Settings(namespaces=(write_only,), chat_page=True), "write_only", "chat"), ["p", "-"]
        )

    def test_access_applies_to_the_short_form_and_personal_channels_are_never_public(self) -> None:
        settings = load({"channels": "room:*,user:{sub}", "publish": "chat", "access": "token"}, {})
        namespaces = settings.build_namespaces()
        levels = {name: getattr(namespaces.rule(name), "subscribe", None) for name in ("room:1", "user:1", "chat", "x")}
        self.assertEqual(
            levels, {"room:1": Access.TOKEN, "user:1": Access.AUTHENTICATED, "chat": Access.TOKEN, "x": None}
        )
        self.assertEqual(getattr(namespaces.rule("chat"), "publish", None), Access.TOKEN)
        public = load({"channels": "user:{sub}"}, {}).build_namespaces().rule("user:1")
        self.assertEqual(getattr(public, "subscribe", None), Access.AUTHENTICATED)
        everything = load({"access": "authenticated"}, {}).build_namespaces().rule("x")
        self.assertEqual(getattr(everything, "subscribe", None), Access.AUTHENTICATED)
        self.assertIn("--access must be public, authenticated or token", config_error({"access": "nobody"}, {}))

    def test_authentication_is_required_if_any_channel_is_restricted(self) -> None:
        for flags, requires_authentication in (
            ({}, False),
            ({"access": "token"}, True),
            ({"channels": "user:{sub}"}, True),
        ):
            self.assertEqual(load(flags, {}).requires_authentication, requires_authentication)

    def test_tls_endpoint_replaces_the_port_unless_host_or_port_is_set(self) -> None:
        tls = {"listen_tls": "tcp:1", "tls_certificates": "/x"}
        self.assertFalse(load(tls, {}).listens_on_port)
        for flags, environ in (({"port": "1"}, {}), ({"host": "::1"}, {}), ({}, {"PORT": "1"})):
            self.assertTrue(load({**tls, **flags}, environ).listens_on_port, flags)
        self.assertFalse(load({**tls, "listen": "tcp:2"}, {}).listens_on_port)
        self.assertTrue(load({}, {}).listens_on_port)
