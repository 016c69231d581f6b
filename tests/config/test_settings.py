"""Tests of `wsrelay.config`: the table, its values, where they come from and how they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.config import Setting, Settings, load, nearest, table
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.messaging.namespaces import Access, Namespace
from wsrelay.core.outcomes.errors import ConfigError

SECRET = "hunter2"
ROWS = {row.name: row for row in table()}


def load_env(**environ: str) -> Settings:
    """The settings that an environment amounts to."""
    return load({}, environ)


def complaint(flags: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """What is said about settings that cannot be used."""
    try:
        load(flags, environ)
    except ConfigError as error:
        return str(error)
    return "nothing"


class TableTests(SynchronousTestCase):
    """The table of settings."""

    def test_every_field_has_a_row(self) -> None:
        """Every field but the namespaces, which only the file can hold, is one row, in the same order."""
        self.assertEqual([*ROWS, "namespaces"], list(Settings.__dataclass_fields__))

    def test_environment_names(self) -> None:
        """Every setting has its own environment variable; two have the platform's as well, which is the stronger."""
        special = {"port": ("PORT", "WSRELAY_PORT"), "redis_url": ("REDIS_URL", "WSRELAY_REDIS_URL")}
        self.assertEqual(
            {name: row.environ for name, row in ROWS.items()},
            {name: special.get(name, (f"WSRELAY_{name.upper()}",)) for name in ROWS},
        )

    def test_flags(self) -> None:
        """Every setting has a flag but those that may hold a password: the arguments of a process are public."""
        self.assertEqual(
            [name for name, row in ROWS.items() if row.flag is None],
            ["redis_url", "token_keys", "hook_secret", "api_keys"],
        )
        self.assertEqual(ROWS["ping_interval_seconds"].flag, "ping-interval-seconds")

    def test_units(self) -> None:
        """A name that ends in a unit, or in one for each second, has that unit, and no other setting has one."""
        for name, row in ROWS.items():
            unit = name.removesuffix("_per_second").rpartition("_")[2]
            self.assertEqual(row.unit, unit if unit in ("seconds", "bytes") else "", name)

    def test_help(self) -> None:
        """Every setting is explained, in sentences."""
        for row in ROWS.values():
            self.assertTrue(row.help.endswith("."), row.name)

    def test_numbers_are_bounded(self) -> None:
        """Every number has a smallest value, and its default is allowed."""
        for row in ROWS.values():
            if row.kind.name in ("a number", "a whole number"):
                assert row.least is not None, row.name
                self.assertTrue(row.least <= row.default <= (row.most or row.default), row.name)

    def test_shown_defaults(self) -> None:
        """A default is shown as the operator would write it."""
        shown = {name: row.shown_default for name, row in ROWS.items()}
        self.assertEqual(
            {name: shown[name] for name in ("config", "port", "channels", "redis_tls_verify", "chat_page", "prefix")},
            {"config": "none", "port": "8080", "channels": "none", "redis_tls_verify": "true", "chat_page": "none",
             "prefix": "wsrelay:"},
        )  # fmt: skip
        self.assertEqual(
            (shown["ping_interval_seconds"], Setting("x", ROWS["port"].kind, 0, "").shown_default), ("25.0", "0")
        )

    def test_nearest(self) -> None:
        """A name that is nearly right is answered with the right one, any other with nothing."""
        self.assertEqual(nearest("prot", iter(["host", "port"])), "; did you mean port?")
        self.assertEqual(nearest("xyzzy", ["host", "port"]), "")


class DefaultTests(SynchronousTestCase):
    """Where nobody says anything."""

    def test_nothing_said(self) -> None:
        """Without a word there is an embedded broker, a port on the loopback and the chat page."""
        settings = load({}, {})
        self.assertEqual(
            (settings.host, settings.port, settings.uses_redis, settings.has_chat_page),
            ("127.0.0.1", 8080, False, True),
        )

    def test_other_variables(self) -> None:
        """Variables of other programs are none of our business, and empty ones say nothing."""
        settings = load_env(HOME="/nowhere", WSRELAYX="1", PORT="", WSRELAY_HOST="", REDIS_URL="", REDIS_TLS_URL="")
        self.assertEqual(settings, load({}, {}))


class ValueTests(SynchronousTestCase):
    """How each kind is written in a flag or a variable."""

    def read(self, name: str, text: str) -> object:
        """What a text means for a setting: the value, or the complaint; the same in a flag and in a variable."""
        flag, variable = {name: text}, f"WSRELAY_{name.upper()}"
        try:
            value = getattr(load(flag, {}), name)
        except ConfigError as error:
            if text:
                self.assertEqual(complaint({}, {variable: text}), str(error).replace(f"--{ROWS[name].flag}", variable))
            return str(error)
        if text:
            self.assertEqual(getattr(load({}, {variable: text}), name), value)
        return value

    def check(self, name: str, cases: Mapping[str, object]) -> None:
        """Compare what texts mean, or what is said about them."""
        self.assertEqual({text: self.read(name, text) for text in cases}, cases)

    def test_text(self) -> None:
        """Text is taken as it is."""
        self.check("host", {"::1": "::1", " a b ": " a b "})

    def test_whole_numbers(self) -> None:
        """A whole number is written in digits and lies within its bounds, which are named in full."""
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

    def test_numbers(self) -> None:
        """A number may have a fraction; it is finite and within its bounds."""
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

    def test_switches(self) -> None:
        """A switch is written in one of the usual words, in any case."""
        on, off = ("1", "true", "yes", "on", " TRUE "), ("0", "false", "no", "off", "Off")
        self.check("chat_page", dict.fromkeys(on, True) | dict.fromkeys(off, False))
        self.check(
            "chat_page", {word: f"--chat-page must be true or false, not {word!r}" for word in ("2", "maybe", "")}
        )

    def test_lists(self) -> None:
        """A list has commas between its items; white space around them and empty items do not count."""
        self.check("channels", {"a": ("a",), " a , b:*,,": ("a", "b:*"), "": ()})

    def test_paths(self) -> None:
        """A path is a path."""
        self.check("redis_ca_file", {"certificates/ca.pem": Path("certificates/ca.pem")})

    def test_redis_url(self) -> None:
        """The Redis URL is read; what is wrong with it is said under the name of the variable that holds it."""
        self.assertEqual(load_env(REDIS_URL="redis://:pw@h").redis_url, RedisURL(host="h", password="pw"))
        self.assertEqual(load_env(WSRELAY_REDIS_URL="redis://h").redis_url, RedisURL(host="h"))
        for variable in ("REDIS_URL", "WSRELAY_REDIS_URL", "REDIS_TLS_URL"):
            self.assertEqual(
                complaint({}, {variable: "redis://h/x"}),
                f"{variable} cannot be used: the database after the last slash is not a number",
            )

    @given(st.text(max_size=6), st.sampled_from(["redis://user:{}@h:x", "redis://user:{}@h/0", "{}", "unix://:{}@/"]))
    def test_secret_in_no_complaint(self, before: str, form: str) -> None:
        """A password is in no complaint and in no representation, however the URL is broken."""
        environ = {"REDIS_URL": form.format(before + SECRET)}
        self.assertNotIn(SECRET, complaint({}, environ))
        try:
            self.assertNotIn(SECRET, repr(load({}, environ)))
        except ConfigError as error:
            self.assertNotIn(SECRET, repr(error))

    @given(st.sampled_from(sorted(set(ROWS) - {"config", "redis_url"})), st.text(max_size=12))
    def test_any_text(self, name: str, text: str) -> None:
        """Whatever is written for a setting, it is taken or refused in words; no other exception gets out."""
        try:
            load({name: text}, {})
        except ConfigError as error:
            self.assertNotEqual(str(error), "")


class SourceTests(SynchronousTestCase):
    """Which source wins."""

    def file(self, text: str) -> str:
        """The path of a file that holds a text."""
        path: str = self.mktemp()
        Path(path).write_text(text, encoding="utf-8")
        return path

    def test_precedence(self) -> None:
        """A flag wins over the environment, that over the file, and that over the default."""
        sources: dict[str, Any] = {"config": self.file("port = 3\ndrain_timeout_seconds = 3\nprefix = '3'\n")}
        settings = load({**sources, "port": "1"}, {"WSRELAY_PORT": "2", "WSRELAY_DRAIN_TIMEOUT_SECONDS": "2"})
        self.assertEqual((settings.port, settings.drain_timeout_seconds, settings.prefix), (1, 2.0, "3"))
        self.assertEqual(settings.ping_interval_seconds, 25.0)

    def test_weaker_sources_are_checked(self) -> None:
        """A bad value is refused even where a stronger source would win: it is a mistake somebody waits to make."""
        self.assertEqual(
            complaint({"port": "1"}, {"WSRELAY_PORT": "x"}), "WSRELAY_PORT must be a whole number, not 'x'"
        )

    def test_platform_variables_win(self) -> None:
        """Where the platform's variable and ours both say something, the platform's is taken."""
        self.assertEqual(load_env(PORT="1", WSRELAY_PORT="2").port, 1)
        url = load_env(REDIS_URL="redis://platform", WSRELAY_REDIS_URL="redis://ours").redis_url
        self.assertEqual(str(url), "redis://platform:6379")

    def test_config_by_flag_or_variable(self) -> None:
        """The file is named by flag or variable; the flag wins."""
        one, two = self.file("port = 1"), self.file("port = 2")
        self.assertEqual(load({"config": one}, {"WSRELAY_CONFIG": two}).port, 1)
        settings = load_env(WSRELAY_CONFIG=two)
        self.assertEqual((settings.port, settings.config), (2, Path(two)))

    def test_host(self) -> None:
        """The host is the loopback, but a dyno's router comes from outside: PORT listens on all addresses."""
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

    def test_redis_tls_url(self) -> None:
        """Of an application's two Redis URLs the one with TLS is taken, whichever variable has it."""
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

    def test_unknown_variable(self) -> None:
        """A variable that begins like ours and is none of them is a mistake, with the nearest one as a hint."""
        self.assertEqual(
            [complaint({}, {name: ""}) for name in ("WSRELAY_PROT", "WSRELAY_PING_INTERVAL", "WSRELAY_" + "X" * 20)],
            [
                "unknown environment variable WSRELAY_PROT; did you mean WSRELAY_PORT?",
                "unknown environment variable WSRELAY_PING_INTERVAL; did you mean WSRELAY_PING_INTERVAL_SECONDS?",
                "unknown environment variable WSRELAY_XXXXXXXXXXXXXXXXXXXX",
            ],
        )


class ContradictionTests(SynchronousTestCase):
    """Settings that do not fit together."""

    def test_broker(self) -> None:
        """The broker is one of three words, and redis needs to know where."""
        self.assertEqual(complaint({"broker": "rabbit"}, {}), "broker must be auto, memory or redis, not 'rabbit'")
        self.assertEqual(complaint({"broker": "redis"}, {}), "broker is redis but there is no redis_url: set REDIS_URL")

    def test_listen(self) -> None:
        """An endpoint leaves nothing for host and port to say; a platform's PORT is not the operator's word."""
        text = "listen says where to listen, and so do host and port: leave one of the two out"
        endpoint = {"listen": "unix:relay"}
        for flags, environ in (
            ({"host": "::1"}, {}),
            ({"port": "1"}, {}),
            ({}, {"WSRELAY_PORT": "1"}),
            ({}, {"WSRELAY_HOST": "::1"}),
        ):
            self.assertEqual(complaint({**endpoint, **flags}, environ), text)
        self.assertEqual(load(endpoint, {"PORT": "1"}).listen, ("unix:relay",))
        self.assertEqual(load(endpoint, {}).listen, ("unix:relay",))

    def test_redis_ca_file(self) -> None:
        """Whom to trust means nothing where anybody is trusted."""
        flags = {"redis_ca_file": "ca.pem", "redis_tls_verify": "false"}
        text = "redis_ca_file says whom to trust, redis_tls_verify=false trusts anybody: leave one out"
        self.assertEqual(complaint(flags, {}), text)
        self.assertEqual(complaint({"redis_ca_file": "ca.pem"}, {}), "nothing")
        self.assertEqual(complaint({"redis_tls_verify": "false"}, {}), "nothing")

    def test_patterns(self) -> None:
        """A pattern outside the grammar is refused at the start."""
        self.assertEqual(
            complaint({"channels": "a,b*c"}, {}),
            "'b*c' is no pattern (a name, a beginning and *, or *): the channel name may hold ASCII letters, digits "
            "and _ . : ~ @ = + , ; ! ' ( ) & - and begins with a letter, a digit or _",
        )

    def test_prefix(self) -> None:
        """The prefix is ASCII without white space, and may be empty."""
        for prefix in ("a b", "a\n", "\u00fc"):
            self.assertEqual(complaint({"prefix": prefix}, {}), "prefix must be ASCII without white space")
        self.assertEqual([load({"prefix": prefix}, {}).prefix for prefix in ("", "$a:/")], ["", "$a:/"])

    def test_ping_interval(self) -> None:
        """A ping interval at or above the router's patience would end every quiet connection."""
        self.assertEqual(
            complaint({"ping_interval_seconds": "55"}, {}),
            "ping_interval_seconds (55) must be below router_idle_timeout_seconds (55): the router would end every "
            "quiet connection before its first ping. Lower the interval, or set router_idle_timeout_seconds to what "
            "your router allows (0 if there is none)",
        )
        for flags in (
            {"ping_interval_seconds": "54.9"},
            {"ping_interval_seconds": "300", "router_idle_timeout_seconds": "0"},
            {"ping_interval_seconds": "300", "router_idle_timeout_seconds": "301"},
        ):
            self.assertEqual(complaint(flags, {}), "nothing")


class OutboxTests(SynchronousTestCase):
    """How much and how long may wait for a slow client."""

    def test_default(self) -> None:
        """Where nothing is said it is half a minute."""
        self.assertEqual(load_env().max_outbox_seconds, 15.0)

    def test_age(self) -> None:
        """It may be any number of seconds from one on, parts of seconds too."""
        self.assertEqual(load_env(WSRELAY_MAX_OUTBOX_SECONDS="2.5").max_outbox_seconds, 2.5)
        self.assertEqual(load({"max_outbox_seconds": "1"}, {}).max_outbox_seconds, 1.0)
        self.assertEqual(
            complaint({"max_outbox_seconds": "0.5"}, {}), "--max-outbox-seconds must be at least 1, not 0.5"
        )
        self.assertEqual(
            complaint({}, {"WSRELAY_MAX_OUTBOX_SECONDS": "long"}),
            "WSRELAY_MAX_OUTBOX_SECONDS must be a number, not 'long'",
        )


class MeaningTests(SynchronousTestCase):
    """What settings amount to."""

    def test_uses_redis(self) -> None:
        """The broker is Redis where it is named, or where there is an address and nobody says memory."""
        url = {"REDIS_URL": "redis://h"}
        cases: list[tuple[dict[str, str], dict[str, str], bool]] = [
            ({}, {}, False),
            ({}, url, True),
            ({"broker": "redis"}, url, True),
            ({"broker": "memory"}, url, False),
        ]
        self.assertEqual([load(flags, env).uses_redis for flags, env, _ in cases], [uses for _, _, uses in cases])

    def test_has_demo(self) -> None:
        """The chat page is there with the embedded broker, unless somebody says yes or no."""
        url = {"REDIS_URL": "redis://h"}
        cases: list[tuple[dict[str, str], dict[str, str], bool]] = [
            ({}, {}, True),
            ({"chat_page": "no"}, {}, False),
            ({}, url, False),
            ({"chat_page": "yes"}, url, True),
        ]
        self.assertEqual([load(flags, env).has_chat_page for flags, env, _ in cases], [has for _, _, has in cases])

    def rules(self, settings: Settings, *channels: str) -> list[str]:
        """What clients may do with channels: listen, talk or nothing."""
        found = [settings.rules().rule(channel) for channel in channels]
        public = Access.PUBLIC
        return [
            "-" if rule is None else "l" * (rule.subscribe is public) + "t" * (rule.publish is public) for rule in found
        ]

    def test_rules_by_default(self) -> None:
        """Where nobody names channels, clients hear all of them; with the demo they talk on chat."""
        self.assertEqual(self.rules(Settings(chat_page=False), "chat", "x"), ["l", "l"])
        self.assertEqual(self.rules(Settings(chat_page=True), "chat", "x"), ["lt", "l"])

    def test_rules_by_the_short_form(self) -> None:
        """Named channels are all there are; those for publishing are heard as well, and the demo opens nothing."""
        settings = Settings(channels=("a", "b*"), publish=("b*", "talk"), chat_page=True)
        self.assertEqual(self.rules(settings, "a", "b1", "talk", "chat"), ["l", "lt", "lt", "-"])
        self.assertEqual(self.rules(Settings(publish=("talk",)), "talk", "a"), ["lt", "-"])
        self.assertEqual(self.rules(Settings(channels=("a",)), "a", "talk"), ["l", "-"])

    def test_rules_by_namespaces(self) -> None:
        """Namespaces are taken as they are."""
        deaf = Namespace("deaf", ("deaf",), subscribe=Access.NOBODY, publish=Access.PUBLIC)
        self.assertEqual(self.rules(Settings(namespaces=(deaf,), chat_page=True), "deaf", "chat"), ["t", "-"])


class CannotWorkTests(SynchronousTestCase):
    """Settings that each are fine and together cannot work."""

    def test_pinned_without_tls(self) -> None:
        """A certificate to trust for a connection that is not encrypted is refused: it would protect nothing."""
        for name, value in (("REDIS_TLS_FINGERPRINT", "00" * 32), ("REDIS_CA_FILE", "ca.pem")):
            with self.assertRaisesRegex(ConfigError, "not encrypted"):
                load({}, {"REDIS_URL": "redis://h", f"WSRELAY_{name}": value})
            load({}, {"REDIS_URL": "rediss://h", f"WSRELAY_{name}": value})

    def test_fingerprint(self) -> None:
        """A fingerprint is 64 digits, with or without colons, and stands alone."""
        colons = ":".join(["AB"] * 32)
        self.assertEqual(load({"redis_tls_fingerprint": colons}, {}).redis_tls_fingerprint, colons)
        with self.assertRaisesRegex(ConfigError, "64 hexadecimal digits"):
            load({"redis_tls_fingerprint": "ab"}, {})
        for more in ({"redis_ca_file": "x"}, {"redis_tls_verify": "false"}):
            with self.assertRaisesRegex(ConfigError, "leave redis_ca_file and redis_tls_verify out"):
                load({"redis_tls_fingerprint": colons, **more}, {})

    def test_message_beyond_the_rate(self) -> None:
        """A message that may be as long as a client may not send at once is refused."""
        with self.assertRaisesRegex(ConfigError, "max_bytes_per_second: raise that, too"):
            load({"max_message_bytes": "8000000"}, {})
        load({"max_message_bytes": "8000000", "max_bytes_per_second": "4000000"}, {})

    def test_names_of_services(self) -> None:
        """What Kubernetes puts into the environment for a service of our name is none of our settings."""
        load({}, {"WSRELAY_SERVICE_HOST": "10.0.0.1", "WSRELAY_PORT_80_TCP": "tcp://10.0.0.1:80"})
        self.assertEqual(load({}, {"WSRELAY_PORT": "tcp://10.0.0.1:80"}).port, 8080)

    def test_tls(self) -> None:
        """Endpoints with TLS want certificates, and certificates endpoints."""
        text = "listen_tls and tls_certificates belong together: set both or none"
        self.assertEqual(complaint({"listen_tls": "tcp:1"}, {}), text)
        self.assertEqual(complaint({"tls_certificates": "/x"}, {}), text)
        tls = {"listen_tls": "tcp:1", "tls_certificates": "/x"}
        self.assertEqual(
            complaint({**tls, "tls_min_version": "1.1"}, {}), "tls_min_version must be 1.2 or 1.3, not '1.1'"
        )
        self.assertEqual(complaint({"tls_min_version": "1.3"}, {}), "tls_min_version means nothing without listen_tls")

    def test_names_of_redis_itself(self) -> None:
        """No prefix makes names that begin as those do on which Redis tells of its keys."""
        for prefix in ("_", "__keyevent@0__:", "__"):
            self.assertIn("two underscores", complaint({"prefix": prefix}, {}))
        self.assertEqual(load({"prefix": "_app:"}, {}).prefix, "_app:")

    def test_two_addresses(self) -> None:
        """A client's address comes from one place: what it writes itself must not go before what the balancer says."""
        for name in ("listen", "listen_tls"):
            flags = {"tls_certificates": "/x", "listen_tls": "tcp:2", name: "haproxy:tcp:1"}
            self.assertIn("leave one of the two out", complaint({**flags, "trusted_proxies": "1"}, {}))
            self.assertEqual(complaint(flags, {}), "nothing")

    def test_cookies_and_any_origin(self) -> None:
        """Where cookies count the pages have to be named: any other could use its visitors'."""
        for origins in ("*", "null", "https://a.example,*"):
            for flags, environ in (
                ({"token_cookie": "c"}, {"WSRELAY_TOKEN_KEYS": SECRET * 9}),
                ({"hook_url": "https://a.example/"}, {}),
            ):
                self.assertIn("where cookies count", complaint({**flags, "origins": origins}, environ))
        open_to_all = {"hook_url": "https://a.example/", "hook_forward_headers": "authorization", "origins": "*"}
        self.assertEqual(complaint(open_to_all, {}), "nothing")

    def test_where_to_listen(self) -> None:
        """TLS takes the place of a port that nobody asked for, and stands beside one that somebody did."""
        tls = {"listen_tls": "tcp:1", "tls_certificates": "/x"}
        self.assertFalse(load(tls, {}).listens_on_port)
        for flags, environ in (({"port": "1"}, {}), ({"host": "::1"}, {}), ({}, {"PORT": "1"})):
            self.assertTrue(load({**tls, **flags}, environ).listens_on_port, flags)
        self.assertFalse(load({**tls, "listen": "tcp:2"}, {}).listens_on_port)
        self.assertTrue(load({}, {}).listens_on_port)

    def test_origins(self) -> None:
        """What is no origin is told at the start."""
        self.assertIn("'example.com' is no origin", complaint({"origins": "https://a.example,example.com"}, {}))

    def test_tokens(self) -> None:
        """Settings about tokens mean nothing where no token can be checked, and keys come from one place."""
        for name, value in (("token_audience", "a"), ("token_issuer", "i"), ("token_cookie", "c")):
            said = complaint({name: value}, {})
            self.assertEqual(said, f"{name} means nothing without token_keys or token_jwks_url")
        both = complaint({"token_jwks_url": "https://a.example/"}, {"WSRELAY_TOKEN_KEYS": SECRET})
        self.assertEqual(
            both, "token_keys and token_jwks_url both say which keys tokens are checked with: leave one out"
        )
        self.assertIn("name of a cookie", complaint({"token_cookie": "a b"}, {"WSRELAY_TOKEN_KEYS": SECRET}))

    def test_hook(self) -> None:
        """Settings about the hook mean nothing without one, and it is told two fields at most."""
        self.assertEqual(complaint({"hook_publish": "true"}, {}), "hook_publish means nothing without hook_url")
        said = complaint({"hook_url": "https://a.example/", "hook_forward_headers": "cookie,host"}, {})
        self.assertEqual(said, "hook_forward_headers may hold cookie and authorization, not 'host'")

    def test_api_keys(self) -> None:
        """A key that could be guessed is refused, and not repeated."""
        said = complaint({}, {"WSRELAY_API_KEYS": f"{'x' * 16},{SECRET}"})
        self.assertIn("at least 16 characters", said)
        self.assertNotIn(SECRET, said)
        self.assertIn("ASCII", complaint({}, {"WSRELAY_API_KEYS": "\u00fc" * 16}))
        self.assertEqual(len(load_env(WSRELAY_API_KEYS=f"{'x' * 16},{'y' * 16}").api_keys), 2)

    def test_access(self) -> None:
        """The short form says for whom it is; what belongs to one user is never for everybody."""
        settings = load({"channels": "room:*,user:{sub}", "publish": "chat", "access": "token"}, {})
        rules = settings.rules()
        levels = {name: getattr(rules.rule(name), "subscribe", None) for name in ("room:1", "user:1", "chat", "x")}
        self.assertEqual(
            levels, {"room:1": Access.TOKEN, "user:1": Access.AUTHENTICATED, "chat": Access.TOKEN, "x": None}
        )
        self.assertEqual(getattr(rules.rule("chat"), "publish", None), Access.TOKEN)
        public = load({"channels": "user:{sub}"}, {}).rules().rule("user:1")
        self.assertEqual(getattr(public, "subscribe", None), Access.AUTHENTICATED)
        everything = load({"access": "authenticated"}, {}).rules().rule("x")
        self.assertEqual(getattr(everything, "subscribe", None), Access.AUTHENTICATED)
        self.assertIn("--access must be public, authenticated or token", complaint({"access": "nobody"}, {}))

    def test_asks_for_credentials(self) -> None:
        """It is known whether any channel is only for some."""
        for flags, requires_authentication in (
            ({}, False),
            ({"access": "token"}, True),
            ({"channels": "user:{sub}"}, True),
        ):
            self.assertEqual(load(flags, {}).asks_for_credentials, requires_authentication)


class SecretTests(SynchronousTestCase):
    """Credentials among the settings."""

    def test_never_shown(self) -> None:
        """No secret is in what settings look like, nor in what is said about them."""
        settings = load_env(
            WSRELAY_API_KEYS=f"{SECRET}-{SECRET}-{SECRET}",
            WSRELAY_TOKEN_KEYS=SECRET * 9,
            REDIS_URL=f"redis://:{SECRET}@h",
        )
        self.assertNotIn(SECRET, repr(settings))
        self.assertNotIn(SECRET, f"{settings}")

    def test_from_a_file(self) -> None:
        """A variable may name a file that holds a secret, white space at its ends aside."""
        path = Path(self.mktemp())
        path.write_text(f"\n{'k' * 40}\n")
        settings = load_env(WSRELAY_TOKEN_KEYS_FILE=str(path))
        assert settings.token_keys is not None
        self.assertEqual(settings.token_keys.reveal(), "k" * 40)
        path.write_text(f"redis://:{SECRET}@h\n")
        url = load_env(WSRELAY_REDIS_URL_FILE=str(path)).redis_url
        self.assertEqual(getattr(url, "password", None), SECRET)

    def test_files_that_cannot_be_read(self) -> None:
        """A file that is missing, no text, or one too many is told by the name of its variable."""
        path = Path(self.mktemp())
        said = complaint({}, {"WSRELAY_TOKEN_KEYS_FILE": str(path)})
        self.assertEqual(
            said, f"the file that WSRELAY_TOKEN_KEYS_FILE names cannot be read: No such file or directory: {path}"
        )
        path.write_bytes(b"\xff")
        self.assertIn("is not text", complaint({}, {"WSRELAY_TOKEN_KEYS_FILE": str(path)}))
        both = complaint({}, {"WSRELAY_TOKEN_KEYS_FILE": str(path), "WSRELAY_TOKEN_KEYS": SECRET})
        self.assertEqual(both, "WSRELAY_TOKEN_KEYS_FILE and WSRELAY_TOKEN_KEYS say the same: leave one out")

    def test_only_secrets(self) -> None:
        """What is no secret has no such variable."""
        self.assertIn("unknown environment variable", complaint({}, {"WSRELAY_HOST_FILE": "/x"}))
