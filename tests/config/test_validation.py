"""Tests of `wsrelay.config.validation`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading_helpers import config_error, load_env
from wsrelay.config import load, setting_table
from wsrelay.core.outcomes.errors import ConfigError

SECRET = "hunter2"
ROWS = {row.name: row for row in setting_table()}
TLS = {"REDIS_URL": "rediss://h"}


def variables(names: str) -> list[str]:
    """Return the variables of settings whose names are separated by white space."""
    return [f"WSRELAY_{name.upper()}" for name in names.split()]


PROTECTIONS = variables(
    "config listen_tls tls_min_version tls_ciphers redis_tls_ca_file redis_tls_fingerprint access require_origin "
    "token_algorithms token_audience token_issuer hook_url hook_forward_headers hook_publish "
    "max_connections_per_address max_handshakes_per_second"
)
DEPENDENT_PROTECTIONS = variables("host listen broker redis_url channels publish chat_page")
HARMLESS = variables(
    # Without these there are no TLS endpoints, other names in Redis, no certificate to show, nothing more to connect
    # with and nothing more to ask for; pages of other hosts are rejected, and certificates are verified. Streams carry
    # what WebSockets carry, to the same clients.
    "tls_certificates prefix redis_tls_client_certificate redis_tls_client_key redis_tls_verify origins sse "
    "centrifugo personal_channel token_keys token_previous_keys token_jwks_url token_cookie hook_secret api_keys "
    "metrics compress frames trusted_proxies port history_size history_seconds "
    # These have a default that is a limit as well.
    "max_forwarded_per_second "
    "token_leeway_seconds hook_timeout_seconds hook_cache_seconds max_connections "
    "max_head_bytes max_message_bytes max_frames_per_second max_bytes_per_second max_outbox_bytes max_outbox_seconds "
    "log_format log_level workers max_worker_memory_bytes "
    "api_max_body_bytes send_buffer_bytes max_wakeups_per_second io_uring handshake_timeout_seconds "
    "ping_interval_seconds ping_timeout_seconds "
    "router_idle_timeout_seconds close_timeout_seconds drain_timeout_seconds shutdown_delay_seconds"
)


class ValidationTests(SynchronousTestCase):
    """Settings that are valid alone and not together."""

    def test_broker_is_one_of_three_and_redis_needs_a_url(self) -> None:
        self.assertEqual(config_error({"broker": "rabbit"}, {}), "--broker must be auto, memory or redis, not 'rabbit'")
        self.assertEqual(
            config_error({"broker": "redis"}, {}), "broker is redis but there is no redis_url: set REDIS_URL"
        )

    def test_empty_redis_url_is_rejected_unless_it_is_not_needed(self) -> None:
        for name in ("REDIS_URL", "REDIS_URL_FILE", "REDIS_TLS_URL", "WSRELAY_REDIS_URL", "WSRELAY_REDIS_URL_FILE"):
            expected = f"{name} is set but empty: set it to the URL of the Redis server, or set WSRELAY_BROKER=memory"
            self.assertIn(expected, config_error({}, {name: ""}))
            self.assertEqual(config_error({}, {name: "", "WSRELAY_BROKER": "memory"}), "nothing")
            if name != "REDIS_TLS_URL":
                self.assertEqual(config_error({}, {name: "", "REDIS_TLS_URL": "rediss://h"}), "nothing")
        self.assertEqual(config_error({}, {"REDIS_URL": "redis://h", "WSRELAY_REDIS_URL": ""}), "nothing")

    def test_empty_variable_in_place_of_a_protection_is_rejected(self) -> None:
        for name in PROTECTIONS:
            error = config_error({}, {name: ""})
            self.assertEqual(error, f"{name} is set but empty: give it a value, or unset it to do without")
        self.assertEqual(config_error({"access": "token"}, {"WSRELAY_ACCESS": ""}), "nothing")

    def test_every_other_variable_may_be_empty(self) -> None:
        """A new setting is in one of the two lists: without it more is open than with it, or not."""
        self.assertEqual({row.variable for row in ROWS.values()}, {*PROTECTIONS, *DEPENDENT_PROTECTIONS, *HARMLESS})
        for name in HARMLESS:
            for more in ({}, {"PORT": "1"}, {"REDIS_URL": "redis://h"}):
                self.assertEqual(config_error({}, {name: "", **more}), "nothing", name)

    def test_shutdown_delay_leaves_a_second_of_the_drain_timeout(self) -> None:
        for delay, drain, fits in (("24", None, True), ("24.5", None, False), ("9", "10", True), ("10", "10", False)):
            flags = {"shutdown_delay_seconds": delay, **({} if drain is None else {"drain_timeout_seconds": drain})}
            error = config_error(flags, {})
            self.assertEqual(error == "nothing", fits, error)
        self.assertEqual(
            config_error({"shutdown_delay_seconds": "25"}, {}),
            "shutdown_delay_seconds (25) is a part of drain_timeout_seconds (25), and must leave at least 1 s of it to "
            "close connections: lower the delay, or raise drain_timeout_seconds as far as the platform permits",
        )
        self.assertEqual(
            config_error({"shutdown_delay_seconds": "-1"}, {}), "--shutdown-delay-seconds must be at least 0, not -1.0"
        )

    def test_stop_fits_into_the_time_that_a_dyno_has(self) -> None:
        for drain, delay, fits in (("29", "0", True), ("29", "28", True), ("29.5", "0", False), ("60", "35", False)):
            flags = {"drain_timeout_seconds": drain, "shutdown_delay_seconds": delay}
            self.assertEqual(config_error(flags, {}), "nothing")
            error = config_error(flags, {"DYNO": "web.1"})
            self.assertEqual(error == "nothing", fits, error)
        self.assertIn(
            "drain_timeout_seconds (60) must be at most 29 on a dyno (DYNO is set), which is killed 30 seconds", error
        )

    def test_empty_address_is_rejected_where_every_address_would_be_listened_on(self) -> None:
        for name in ("HOST", "LISTEN"):
            environ, text = {f"WSRELAY_{name}": ""}, f"WSRELAY_{name} is set but empty"
            self.assertIn(text, config_error({}, {**environ, "PORT": "1"}))
            for flags, more in (({}, {}), ({}, {"WSRELAY_PORT": "1"}), ({"port": "1"}, {"PORT": "1"})):
                self.assertEqual(config_error(flags, {**environ, **more}), "nothing")
        self.assertEqual(config_error({"host": "::1"}, {"WSRELAY_LISTEN": "", "PORT": "1"}), "nothing")
        self.assertEqual(config_error({"listen": "unix:x"}, {"WSRELAY_HOST": "", "PORT": "1"}), "nothing")

    def test_empty_broker_and_chat_page_are_rejected_where_they_would_stand_for_the_memory_broker(self) -> None:
        for name in ("BROKER", "CHAT_PAGE"):
            environ = {f"WSRELAY_{name}": ""}
            self.assertIn(f"WSRELAY_{name} is set but empty", config_error({}, environ))
            self.assertEqual(config_error({}, {**environ, "REDIS_URL": "redis://h"}), "nothing")

    def test_empty_list_of_channels_does_not_open_every_channel(self) -> None:
        path = Path(self.mktemp())
        path.write_text("channels = []\n")
        sources: list[tuple[dict[str, str], dict[str, str], str]] = [
            ({"channels": ""}, {}, "--channels"),
            ({"channels": ", "}, {}, "--channels"),
            ({}, {"WSRELAY_CHANNELS": ""}, "WSRELAY_CHANNELS"),
            ({}, {"WSRELAY_CHANNELS": ","}, "WSRELAY_CHANNELS"),
            ({}, {"WSRELAY_PUBLISH": ""}, "WSRELAY_PUBLISH"),
            ({"config": str(path)}, {}, "channels in the file"),
        ]
        for flags, environ, named in sources:
            expected = f"{named} is empty, which would open every channel: name channels (* for all), or leave it out"
            self.assertEqual(config_error(flags, environ), expected)
            self.assertEqual(config_error({**flags, "publish": "chat"}, environ), "nothing")
        self.assertEqual(config_error({"channels": "*"}, {}), "nothing")
        self.assertEqual(config_error({"publish": ""}, {}), "nothing")

    def test_listen_excludes_host_and_port_but_not_the_platform_port(self) -> None:
        text = "listen says where to listen, and so do host and port: set only one of them"
        endpoint = {"listen": "unix:relay"}
        for flags, environ in (
            ({"host": "::1"}, {}),
            ({"port": "1"}, {}),
            ({}, {"WSRELAY_PORT": "1"}),
            ({}, {"WSRELAY_HOST": "::1"}),
        ):
            self.assertEqual(config_error({**endpoint, **flags}, environ), text)
        self.assertEqual(load(endpoint, {"PORT": "1"}).listen, ("unix:relay",))
        self.assertEqual(load(endpoint, {}).listen, ("unix:relay",))

    def test_ca_file_excludes_disabled_verification(self) -> None:
        flags = {"redis_tls_ca_file": "ca.pem", "redis_tls_verify": "false"}
        text = (
            "redis_tls_ca_file says which CAs to trust, redis_tls_verify=false trusts every server: set only one of "
            "them"
        )
        self.assertEqual(config_error(flags, {}), text)
        for flags in ({"redis_tls_ca_file": "ca.pem"}, {"redis_tls_verify": "false"}):
            self.assertEqual(config_error(flags, TLS), "nothing")

    def test_malformed_pattern_is_rejected(self) -> None:
        self.assertEqual(
            config_error({"channels": "a,b*c"}, {}),
            "'b*c' is not a valid pattern (a name, a prefix and *, or *): the channel name may hold ASCII letters, "
            "digits and _ # . : ~ @ = + , ; ! ' ( ) & - and begins with a letter, a digit, _ or #",
        )

    def test_history_needs_a_prefix(self) -> None:
        for flags, environ in (
            ({"prefix": "", "history_size": "10"}, {}),
            ({"prefix": "", "history_size": "10"}, {"REDIS_URL": "redis://h"}),
        ):
            self.assertIn("history_size needs a prefix", config_error(flags, environ))
        self.assertEqual(config_error({"prefix": "", "chat_page": "true"}, {"REDIS_URL": "redis://h"}), "nothing")

    def test_chat_page_without_event_streams_is_rejected(self) -> None:
        self.assertIn("chat_page needs sse", config_error({"sse": "false", "chat_page": "true"}, {}))
        self.assertEqual(config_error({"sse": "false"}, {}), "nothing")

    def test_retention_without_history_is_rejected(self) -> None:
        flags = {"channels": "a", "history_seconds": "10"}
        self.assertEqual(config_error(flags, {}), "history_seconds has no effect without history_size")
        self.assertEqual(config_error({**flags, "history_size": "1"}, {}), "nothing")

    def test_channels_whose_names_are_keys_of_the_relay_have_no_history(self) -> None:
        for pattern in ("ticket:a", "ticket:*", "revoked:user:1", "disabled"):
            error = config_error({"channels": pattern, "history_size": "1"}, {})
            self.assertIn("channels that are called disabled or begin with ticket: or revoked: can have none", error)
            self.assertEqual(config_error({"channels": pattern}, {}), "nothing")

    def test_prefix_is_ascii_without_white_space_and_may_be_empty(self) -> None:
        for prefix in ("a b", "a\n", "\u00fc"):
            self.assertEqual(config_error({"prefix": prefix}, {}), "prefix must be ASCII without white space")
        self.assertEqual([load({"prefix": prefix}, {}).prefix for prefix in ("", "$a:/")], ["", "$a:/"])

    def test_ping_interval_must_be_below_the_router_idle_timeout(self) -> None:
        self.assertEqual(
            config_error({"ping_interval_seconds": "55"}, {}),
            "ping_interval_seconds (55) must be below router_idle_timeout_seconds (55): the router would end every "
            "quiet connection before its first ping. Lower the interval, or set router_idle_timeout_seconds to what "
            "your router allows (0 if there is none)",
        )
        for flags in (
            {"ping_interval_seconds": "54.9"},
            {"ping_interval_seconds": "300", "router_idle_timeout_seconds": "0"},
            {"ping_interval_seconds": "300", "router_idle_timeout_seconds": "301"},
        ):
            self.assertEqual(config_error(flags, {}), "nothing")

    def test_settings_of_tls_to_redis_need_an_encrypted_url(self) -> None:
        for name, value in (
            ("REDIS_TLS_FINGERPRINT", "00" * 32),
            ("REDIS_TLS_CA_FILE", "ca.pem"),
            ("REDIS_TLS_CLIENT_CERTIFICATE", "relay.pem"),
            ("REDIS_TLS_VERIFY", "true"),
        ):
            environ = {f"WSRELAY_{name}": value}
            for url in ("redis://h", "unix:///run/redis"):
                expected = f"{name.lower()} is for rediss:// URLs; this one is not encrypted"
                self.assertEqual(config_error({}, {**environ, "REDIS_URL": url}), expected)
            for more in ({}, {"WSRELAY_BROKER": "memory"}):
                expected = f"{name.lower()} has no effect without redis_url: set REDIS_URL to a rediss:// URL"
                self.assertEqual(config_error({}, {**environ, **more}), expected)
            self.assertEqual(config_error({}, {**environ, **TLS}), "nothing")

    def test_verification_may_be_disabled_for_a_hoster_whose_url_has_no_tls(self) -> None:
        for more in ({}, {"REDIS_URL": "redis://h"}):
            self.assertEqual(config_error({}, {"WSRELAY_REDIS_TLS_VERIFY": "false", **more}), "nothing")

    def test_client_key_needs_a_client_certificate(self) -> None:
        for flags, text in (
            ({"redis_tls_client_key": "x"}, "redis_tls_client_key has no effect without redis_tls_client_certificate"),
            ({"redis_tls_client_key": "x", "redis_tls_client_certificate": "y"}, "nothing"),
        ):
            self.assertEqual(config_error(flags, TLS), text)

    def test_fingerprint_is_64_hex_digits_and_excludes_other_trust_settings(self) -> None:
        colons = ":".join(["AB"] * 32)
        self.assertEqual(load({"redis_tls_fingerprint": colons}, TLS).redis_tls_fingerprint, colons)
        with self.assertRaisesRegex(ConfigError, "64 hexadecimal digits"):
            load({"redis_tls_fingerprint": "ab"}, {})
        for more in ({"redis_tls_ca_file": "x"}, {"redis_tls_verify": "false"}):
            with self.assertRaisesRegex(ConfigError, "do not set redis_tls_ca_file or redis_tls_verify"):
                load({"redis_tls_fingerprint": colons, **more}, {})

    def test_longest_message_must_fit_into_the_byte_burst(self) -> None:
        with self.assertRaisesRegex(ConfigError, "max_bytes_per_second: raise that, too"):
            load({"max_message_bytes": "8000000"}, {})
        load({"max_message_bytes": "8000000", "max_bytes_per_second": "4000000"}, {})

    def test_tls_endpoints_and_certificates_need_each_other(self) -> None:
        text = "listen_tls and tls_certificates belong together: set both or none"
        self.assertEqual(config_error({"listen_tls": "tcp:1"}, {}), text)
        self.assertEqual(config_error({"tls_certificates": "/x"}, {}), text)
        tls = {"listen_tls": "tcp:1", "tls_certificates": "/x"}
        self.assertEqual(
            config_error({**tls, "tls_min_version": "1.1"}, {}), "--tls-min-version must be 1.2 or 1.3, not '1.1'"
        )
        self.assertEqual(
            config_error({"tls_min_version": "1.3"}, {}), "tls_min_version has no effect without listen_tls"
        )

    def test_prefix_must_not_begin_with_two_underscores(self) -> None:
        for prefix in ("_", "__keyevent@0__:", "__"):
            self.assertIn("two underscores", config_error({"prefix": prefix}, {}))
        self.assertEqual(load({"prefix": "_app:"}, {}).prefix, "_app:")

    def test_proxy_protocol_excludes_trusted_proxies(self) -> None:
        for name in ("listen", "listen_tls"):
            flags = {"tls_certificates": "/x", "listen_tls": "tcp:2", name: "haproxy:tcp:1"}
            self.assertIn("set only one of them", config_error({**flags, "trusted_proxies": "1"}, {}))
            self.assertEqual(config_error(flags, {}), "nothing")

    def test_cookie_credentials_exclude_wildcard_and_null_origins(self) -> None:
        for origins in ("*", "null", "https://a.example,*"):
            for flags, environ in (
                ({"token_cookie": "c"}, {"WSRELAY_TOKEN_KEYS": SECRET * 9}),
                ({"hook_url": "https://a.example/"}, {}),
            ):
                self.assertIn("if cookies are credentials", config_error({**flags, "origins": origins}, environ))
        open_to_all = {"hook_url": "https://a.example/", "hook_forward_headers": "authorization", "origins": "*"}
        self.assertEqual(config_error(open_to_all, {}), "nothing")

    def test_malformed_origin_is_rejected(self) -> None:
        self.assertIn("'example.com' is no origin", config_error({"origins": "https://a.example,example.com"}, {}))

    def test_personal_channel_names_the_user_and_needs_the_protocol(self) -> None:
        for flags, error in (
            ({"personal_channel": "own", "centrifugo": "true"}, "personal_channel must name a channel of each user"),
            ({"personal_channel": "#{sub}"}, "personal_channel has no effect without centrifugo = true"),
        ):
            self.assertTrue(config_error(flags, {}).startswith(error))

    def test_token_settings_need_exactly_one_source_of_keys(self) -> None:
        for name, value in (("token_audience", "a"), ("token_issuer", "i"), ("token_cookie", "c")):
            error = config_error({name: value}, {})
            self.assertEqual(error, f"{name} has no effect without token_keys or token_jwks_url")
        for flags in ({}, {"token_jwks_url": "https://a.example/"}):
            error = config_error(flags, {"WSRELAY_TOKEN_PREVIOUS_KEYS": SECRET})
            self.assertEqual(error, "token_previous_keys has no effect without token_keys")
        error = config_error({"token_jwks_url": "https://a.example/"}, {"WSRELAY_TOKEN_KEYS": SECRET})
        self.assertEqual(error, "token_keys and token_jwks_url both say which keys verify tokens: set only one of them")
        self.assertIn("name of a cookie", config_error({"token_cookie": "a b"}, {"WSRELAY_TOKEN_KEYS": SECRET}))

    def test_hook_settings_need_a_hook_url_and_two_headers_can_be_forwarded(self) -> None:
        self.assertEqual(config_error({"hook_publish": "true"}, {}), "hook_publish has no effect without hook_url")
        error = config_error({"hook_url": "https://a.example/", "hook_forward_headers": "cookie,host"}, {})
        self.assertEqual(error, "hook_forward_headers may hold cookie and authorization, not 'host'")

    def test_short_and_non_ascii_api_keys_are_rejected_and_not_repeated(self) -> None:
        error = config_error({}, {"WSRELAY_API_KEYS": f"{'x' * 16},{SECRET}"})
        self.assertIn("at least 16 characters", error)
        self.assertNotIn(SECRET, error)
        self.assertIn("ASCII", config_error({}, {"WSRELAY_API_KEYS": "\u00fc" * 16}))
        self.assertEqual(len(load_env(WSRELAY_API_KEYS=f"{'x' * 16},{'y' * 16}").api_keys), 2)
