"""Tests of `wsrelay.config.toml_file`."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.config import Settings, load
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.history.retention import Retention
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.messaging.payload_type import PayloadType
from wsrelay.core.outcomes.errors import ConfigError

SECRET = "hunter2"


class FileCase(SynchronousTestCase):
    """A test case with a file of settings."""

    def setUp(self) -> None:
        """Choose a path."""
        self.path = Path(self.mktemp()).absolute()

    def load(self, text: str | bytes) -> Settings:
        """Return the settings that a file sets."""
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load({"config": str(self.path)}, {})

    def config_error(self, text: str | bytes) -> str:
        """Return the error text about a file that cannot be used, or "nothing"; FILE stands for its path."""
        try:
            self.load(text)
        except ConfigError as error:
            return str(error).replace(str(self.path), "FILE")
        return "nothing"

    def check(self, cases: dict[str, str]) -> None:
        """Compare the error texts about files."""
        self.assertEqual({text: self.config_error(text) for text in cases}, cases)


class ReadingTests(FileCase):
    """The file as a whole."""

    def test_missing_file_is_named_with_the_reason(self) -> None:
        with self.assertRaises(ConfigError) as caught:
            load({}, {"WSRELAY_CONFIG": str(self.path)})
        self.assertEqual(
            str(caught.exception), f"the configuration file cannot be read: No such file or directory: {self.path}"
        )

    def test_malformed_file_is_named_with_the_place(self) -> None:
        self.assertEqual(self.config_error("port = \n"), "FILE is not TOML: Invalid value (at line 1, column 8)")
        self.assertEqual(
            self.config_error(b"prefix = '\xff'"),
            "FILE is not TOML: 'utf-8' codec can't decode byte 0xff in position 10: invalid start byte",
        )

    def test_number_with_too_many_digits_is_an_error_of_the_file(self) -> None:
        self.assertTrue(self.config_error("port = " + "1" * 5000).startswith("FILE is not TOML: Exceeds the limit"))

    def test_unknown_key_is_rejected_with_the_nearest_name(self) -> None:
        self.check(
            {
                "prot = 1": "FILE: unknown key 'prot'; did you mean port?",
                "ping-interval-seconds = 1": "FILE: unknown key 'ping-interval-seconds'; did you mean "
                "ping_interval_seconds?",
                "namespace.a.channels = []": "FILE: unknown key 'namespace'; did you mean namespaces?",
                "xyzzy = 1": "FILE: unknown key 'xyzzy'",
                "config = 'other.toml'": "FILE: unknown key 'config'",
            }
        )


class TypeTests(FileCase):
    """Values in TOML's own types."""

    def test_each_type_is_written_in_the_type_of_toml(self) -> None:
        settings = self.load(
            'host = "::1"\nport = 1\ndrain_timeout_seconds = 2\nping_timeout_seconds = 2.5\nchat_page = false\n'
            'channels = ["a", "b*"]\nredis_url = "rediss://:pw@h"\nredis_tls_ca_file = "ca.pem"\n'
        )
        self.assertEqual(
            settings,
            Settings(
                config=self.path.absolute(),
                host="::1",
                port=1,
                drain_timeout_seconds=2.0,
                ping_timeout_seconds=2.5,
                chat_page=False,
                channels=("a", "b*"),
                redis_url=RedisURL(host="h", password="pw", tls=True),
                redis_tls_ca_file=Path("ca.pem").absolute(),
            ),
        )
        self.assertIs(type(settings.drain_timeout_seconds), float)

    def test_value_of_another_type_is_rejected(self) -> None:
        self.check(
            {
                "host = 1": "host must be text, not 1",
                'port = "1"': "port must be a whole number, not '1'",
                "port = true": "port must be a whole number, not True",
                "port = 1.0": "port must be a whole number, not 1.0",
                'drain_timeout_seconds = "2"': "drain_timeout_seconds must be a number, not '2'",
                "drain_timeout_seconds = true": "drain_timeout_seconds must be a number, not True",
                "drain_timeout_seconds = nan": "drain_timeout_seconds must be a number, not nan",
                "drain_timeout_seconds = inf": "drain_timeout_seconds must be a number, not inf",
                "chat_page = 1": "chat_page must be true or false, not 1",
                'chat_page = "true"': "chat_page must be true or false, not 'true'",
                'channels = "a"': "channels must be a list (commas between the items), not 'a'",
                "channels = [1]": "channels must be a list (commas between the items), not [1]",
                "redis_tls_ca_file = []": "redis_tls_ca_file must be a path, not []",
                "redis_url = 1": "redis_url must be a Redis URL",
            }
        )

    def test_number_out_of_bounds_is_rejected_however_large(self) -> None:
        large = "1" + "0" * 400
        self.check(
            {
                "port = -1": "port must be at least 0, not -1",
                "port = 70000": "port must be at most 65535, not 70000",
                f"port = {large}": f"port must be at most 65535, not {large}",
                f"drain_timeout_seconds = {large}": f"drain_timeout_seconds must be a number, not {large}",
                "drain_timeout_seconds = 0.25": "drain_timeout_seconds must be at least 1, not 0.25",
            }
        )

    def test_password_in_the_file_is_in_no_error(self) -> None:
        texts = [
            f'redis_url = "redis://:{SECRET}@h:x"',
            f'redis_url = ["redis://:{SECRET}@h"]',
            f'redis_urls = "redis://:{SECRET}@h"',
            f'[redis_url]\nurl = "redis://:{SECRET}@h"',
            f"redis_url = redis://:{SECRET}@h",
            f'redis_url = "redis://:{SECRET}@h" "',
            f'redis_url = "redis://:{SECRET}@h"\nredis_url = 1',
        ]
        for text in texts:
            error = self.config_error(text)
            self.assertNotIn(SECRET, error)
            self.assertNotEqual(error, "nothing", text)


class NamespaceTests(FileCase):
    """Tables of namespaces."""

    def test_each_table_is_a_namespace(self) -> None:
        settings = self.load(
            '[namespaces.room]\nchannels = ["room:*", "lobby"]\npublish = true\n'
            '[namespaces.inbox]\nchannels = ["inbox"]\nsubscribe = false\n'
        )
        self.assertEqual(
            settings.namespaces,
            (
                Namespace("room", ("room:*", "lobby"), publish=Access.PUBLIC),
                Namespace("inbox", ("inbox",), subscribe=Access.NOBODY),
            ),
        )

    def test_personal_channels_are_for_authenticated_clients_unless_the_table_says_otherwise(self) -> None:
        settings = self.load(
            "[namespaces.a]\nchannels = ['user:{sub}']\n"
            "[namespaces.b]\nchannels = ['inbox:{sub}']\nsubscribe = 'token'\n"
        )
        self.assertEqual([each.subscribe for each in settings.namespaces], [Access.AUTHENTICATED, Access.TOKEN])

    def test_frames_of_a_namespace_go_before_the_setting(self) -> None:
        text = (
            'frames = "binary"\n[namespaces.a]\nchannels = ["a"]\nframes = "text"\n[namespaces.b]\nchannels = ["b"]\n'
        )
        namespaces = self.load(text).build_namespaces()
        frames = [rule.frames for rule in (namespaces.rule("a"), namespaces.rule("b")) if rule is not None]
        self.assertEqual(frames, [FrameType.TEXT, FrameType.BINARY])

    def test_levels_of_reading_and_the_payload_are_those_of_the_namespace(self) -> None:
        text = "[namespaces.a]\nchannels = ['a']\nread_history = 'token'\nread_presence = false\npayload = 'json'\n"
        (found,) = self.load(text).namespaces
        self.assertEqual(
            (found.read_history, found.read_presence, found.payload), (Access.TOKEN, Access.NOBODY, PayloadType.JSON)
        )

    def test_history_of_a_namespace_goes_before_the_setting(self) -> None:
        text = (
            "history_size = 5\n[namespaces.a]\nchannels = ['a']\nhistory_size = 0\n"
            "[namespaces.b]\nchannels = ['b']\n"
            "[namespaces.c]\nchannels = ['c']\nhistory_size = 7\nhistory_seconds = 60\ntrim = false\n"
        )
        settings = self.load(text)
        namespaces = settings.build_namespaces()
        rules = [rule for rule in map(namespaces.rule, "abc") if rule is not None]
        self.assertEqual([rule.has_history for rule in rules], [False, True, True])
        self.assertEqual([rule.retention for rule in rules[1:]], [Retention(5, 86400), Retention(7, 60, trims=False)])
        self.assertTrue(settings.has_history)
        self.assertFalse(self.load("[namespaces.a]\nchannels = ['a']\n").has_history)

    def test_history_of_a_namespace_out_of_bounds_is_rejected(self) -> None:
        for line, problem in (
            ("history_size = -1", "namespaces.a.history_size must be at least 0, not -1"),
            ("history_size = 100001", "namespaces.a.history_size must be at most 100000, not 100001"),
            ("history_seconds = 0", "namespaces.a.history_seconds must be at least 1, not 0"),
        ):
            self.assertIn(problem, self.config_error(f"[namespaces.a]\nchannels = ['a']\n{line}\n"))

    def test_compression_of_a_namespace_is_known_to_the_settings(self) -> None:
        settings = self.load("[namespaces.a]\nchannels = ['a']\ncompress = true\n")
        self.assertEqual((settings.compress, settings.may_compress), (False, True))

    def test_slow_consumer_policy_defaults_to_close(self) -> None:
        settings = self.load(
            "max_outbox_seconds = 2.5\n"
            "[namespaces.a]\nchannels = ['a']\n"
            "[namespaces.b]\nchannels = ['b']\nslow_consumer_policy = 'close'\n"
            "[namespaces.c]\nchannels = ['c']\nslow_consumer_policy = 'drop'\n"
            "[namespaces.d]\nchannels = ['d*']\nslow_consumer_policy = 'latest'\n"
        )
        namespaces = settings.build_namespaces()
        policies = [
            each.slow_consumer_policy
            for each in (namespaces.rule(name) for name in ("a", "b", "c", "d1"))
            if each is not None
        ]
        self.assertEqual(policies, [SlowPolicy.CLOSE, SlowPolicy.CLOSE, SlowPolicy.DROP, SlowPolicy.LATEST])
        self.assertEqual(settings.max_outbox_seconds, 2.5)

    def test_unknown_slow_consumer_policy_is_rejected_with_those_that_exist(self) -> None:
        cases = {
            f"[namespaces.a]\nchannels = ['a']\n{key} = {value}": f"namespaces.a.{key} must be close, drop or latest, "
            f"not {value}"
            for key in ("slow_consumer_policy",)
            for value in ("'newest'", "'CLOSE'", "''", "1")
        }
        self.check(cases)

    def test_errors_name_the_table(self) -> None:
        empty = 'namespaces.a has no channels: list them, as in channels = ["room:*"]'
        self.check(
            {
                "namespaces = 1": "namespaces must be tables: [namespaces.NAME]",
                "[namespaces]\nroom = 1": "namespaces must be tables: [namespaces.NAME]",
                "[[namespaces]]\nchannels = []": "namespaces must be tables: [namespaces.NAME]",
                "[namespaces.a]\nchannel = ['a']": "namespaces.a: unknown key 'channel'; did you mean channels?",
                "[namespaces.a]\nxyzzy = 1": "namespaces.a: unknown key 'xyzzy'",
                "[namespaces.a]": empty,
                "[namespaces.a]\nchannels = []": empty,
                "[namespaces.a]\nchannels = 'a'": "namespaces.a.channels must be a list (commas between the items), "
                "not 'a'",
                "[namespaces.a]\nchannels = ['a']\npublish = 1": "namespaces.a.publish must be true, false, "
                "public, authenticated, token or nobody, not 1",
                "[namespaces.a]\nchannels = ['a']\n[namespaces.b]\nchannels = ['a']": "the pattern 'a' stands in two "
                "namespaces, a and b",
            }
        )

    def test_namespaces_exclude_the_short_form_from_any_source(self) -> None:
        text = "channels, publish and access are the short form of namespaces: set only one of them"
        table = "\n[namespaces.a]\nchannels = ['a']"
        self.check({"channels = ['b']" + table: text, "publish = ['b']" + table: text, table: "nothing"})
        with self.assertRaises(ConfigError) as caught:
            load({"config": str(self.path)}, {"WSRELAY_CHANNELS": "b"})
        self.assertEqual(str(caught.exception), text)

    def test_empty_table_of_namespaces_counts_as_none(self) -> None:
        self.assertEqual(self.load("[namespaces]").namespaces, ())

    @given(st.text(max_size=40) | st.binary(max_size=40))
    def test_any_file_is_settings_or_a_config_error(self, text: str | bytes) -> None:
        if isinstance(text, str):
            text = text.encode("utf-8", "surrogatepass")
        self.assertNotEqual(self.config_error(b"channels = ['a']\n" + text), "")
