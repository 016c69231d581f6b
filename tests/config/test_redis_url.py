"""Tests of `wsrelay.config.redis_url`."""

from __future__ import annotations

import dataclasses
from urllib.parse import quote

from hypothesis import assume, example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.config.redis_url import RedisURL
from wsrelay.core.outcomes.errors import ConfigError

FORMS = "redis://[[user]:password@]host[:port][/database], rediss://... for TLS, or unix:///path/to/socket"
SECRET = "hunter2"

# Surrogates have no bytes, so no URL can hold them. An empty name or password counts as none.
CREDENTIALS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
HOSTS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,10}\.?[a-z0-9])?", fullmatch=True) | st.ip_addresses().map(str)


def credentials(username: str | None, password: str | None) -> str:
    """Return the part of a URL before the host."""
    if username is None and password is None:
        return ""
    secret = "" if password is None else ":" + quote(password, safe="")
    return quote(username or "", safe="") + secret + "@"


def config_error(text: str) -> str:
    """Return the error text about a URL that cannot be used."""
    try:
        return f"none: {RedisURL.parse(text)}"
    except ConfigError as error:
        return str(error)


class ParseTests(SynchronousTestCase):
    """The forms of a URL."""

    def test_each_documented_form_is_parsed_as_by_redis_cli_and_redis_py(self) -> None:
        cases = {
            "redis://localhost": RedisURL(),
            " redis://localhost\n": RedisURL(),
            "redis://localhost/": RedisURL(),
            "redis://h:7000": RedisURL(host="h", port=7000),
            "redis://H.example": RedisURL(host="h.example"),
            "redis://h/3": RedisURL(host="h", database=3),
            "redis://h?db=4": RedisURL(host="h", database=4),
            "redis://h/3?db=3": RedisURL(host="h", database=3),
            "rediss://h": RedisURL(host="h", tls=True),
            "redis://:pw@h": RedisURL(host="h", password="pw"),
            "redis://user:pw@h": RedisURL(host="h", username="user", password="pw"),
            "redis://user@h": RedisURL(host="h", username="user", password=""),
            "redis://user:@h": RedisURL(host="h", username="user", password=""),
            "redis://default@h": RedisURL(host="h"),
            "redis://default:@h": RedisURL(host="h"),
            "redis://:@h": RedisURL(host="h"),
            "REDIS://h": RedisURL(host="h"),
            "valkey://h": RedisURL(host="h"),
            "valkeys://h": RedisURL(host="h", tls=True),
            "redis://redis_cache": RedisURL(host="redis_cache"),
            "redis://my--redis.internal.": RedisURL(host="my--redis.internal."),
            "redis://user:p%40%3A%2F%23@h": RedisURL(host="h", username="user", password="p@:/#"),
            "redis://[fe80::1%25eth0]": RedisURL(host="fe80::1%eth0"),
            "redis://b\u00fccher.example": RedisURL(host="b\u00fccher.example"),
            "redis://h:": RedisURL(host="h"),
            "unix:///" + "x" * 106: RedisURL(host="", path="/" + "x" * 106),
            "redis://[::1]:7000/1": RedisURL(host="::1", port=7000, database=1),
            "unix:///run/redis.sock": RedisURL(host="", path="/run/redis.sock"),
            "unix:///run/my%20redis.sock?db=2": RedisURL(host="", path="/run/my redis.sock", database=2),
            "unix://user:pw@/run/r": RedisURL(host="", path="/run/r", username="user", password="pw"),
        }
        self.assertEqual({text: RedisURL.parse(text) for text in cases}, cases)

    def test_each_malformed_url_is_rejected_with_the_form_to_use(self) -> None:
        looks, broken = f"it should look like {FORMS}", f"its host or port is malformed; it should look like {FORMS}"
        known = "it has parameters that are not known here; "
        parameters = "it has unknown parameters after ? (1); only db is known"
        unix = "a unix URL has three slashes and a path, without an unescaped @: unix:///path/to/socket"
        lookup, escapes = "its host is no name that can be looked up", "it has %-escapes that are not UTF-8"
        number = "the database after the last slash is not a number"
        cases = {
            "": looks,
            "localhost:6379": looks,
            "http://h": looks,
            "redis://h:port": broken,
            "redis://h:65536": broken,
            "redis://[::1": broken,
            "redis://": f"it names no host; it should look like {FORMS}",
            "redis://:pw@": f"it names no host; it should look like {FORMS}",
            "redis://h/zero": number,
            "redis://h/-1": number,
            "redis://h/0/1": number,
            "redis://h/\u0663": number,
            "redis://h/" + "1" * 5000: number,
            "redis://h?db=x": number,
            "redis://h?unknown=none": parameters,
            "redis://h?ssl_cert_reqs=none": known + "ssl_cert_reqs: set redis_tls_verify instead",
            "redis://h?SSL_CA_CERTS=/x": known + "ssl_ca_certs: set redis_tls_ca_file instead",
            "redis://h?family=0": known + "family: leave it out, IPv4 and IPv6 are both tried",
            "redis://h/0?timeout": known + "timeout: leave it out, the relay has deadlines and retries of its own",
            "redis://h?socket_timeout=5&x=1&ssl_certfile=/c&timeout=1": known
            + "socket_timeout, timeout: leave it out, the relay has deadlines and retries of its own; "
            "ssl_certfile: set redis_tls_client_certificate instead",
            "redis://h/1?db=2": "it names two databases, one behind the host and one as db: leave one of them out",
            "redis://h:0": "its port is 0, on which no server listens; leave it out for 6379",
            "redis://a..b": "its host is no name that can be looked up",
            f"redis://{'a' * 64}": "its host is no name that can be looked up",
            "redis://h:1,h:2": "it names several hosts: give the URL of one server, or of a proxy before several",
            "redis://h%00": lookup,
            "redis://h%0Ax": lookup,
            "redis://a%20b": lookup,
            "redis://a b": lookup,
            "redis://a%2Fb": lookup,
            "redis://h%3A1": lookup,
            "redis://[v1.a]": lookup,
            "redis://[fe80::1%0A]": lookup,
            "redis://[fe80::1%25a b]": lookup,
            "redis://h%FF": escapes,
            "redis://:%FF@h": escapes,
            "redis://%C3:pw@h": escapes,
            "unix:///run/%FF": escapes,
            "redis://:\udcff@h": broken,
            "unix:///run/a%00b": "the path of its socket has control characters",
            "unix:///run/a%0Ab": "the path of its socket has control characters",
            "unix:///" + "x" * 107: "the path of its socket has 108 bytes; unix sockets have at most 107",
            "unix:///" + "%C3%BC" * 54: "the path of its socket has 109 bytes; unix sockets have at most 107",
            '"redis://h"': "there are quotes around it: remove them",
            "redis+sentinel://:pw@h:26379/mymaster": "Redis Sentinel is not supported: "
            "give the URL of the primary, or of a proxy that follows it",
            "sentinel://h:1,h:2": "Redis Sentinel is not supported: "
            "give the URL of the primary, or of a proxy that follows it",
            "redis-cluster://h": "a cluster of several nodes is not supported: give the URL of one server",
            "redis://h/0#x": "it has a part after #; write %23 for a # in a password",
            "unix://run/redis.sock": unix,
            "unix:///": unix,
            "unix://:12/34@/run/r": unix,
        }
        self.assertEqual({text: config_error(text) for text in cases}, cases)

    def test_unescaped_question_mark_in_a_password_is_rejected_and_not_shown(self) -> None:
        self.assertEqual(
            config_error("redis://user:123?45@h/0"),
            "it has unknown parameters after ? (1); only db is known",
        )

    @given(HOSTS, st.none() | st.integers(1, 65535), st.booleans(), st.integers(0, 10**6), CREDENTIALS, CREDENTIALS)
    def test_percent_encoded_parts_are_decoded(
        self, host: str, port: int | None, tls: bool, database: int, username: str | None, password: str | None
    ) -> None:
        where = f"[{host}]" if ":" in host else host
        text = (
            f"{'rediss' if tls else 'redis'}://{credentials(username, password)}{where}"
            f"{'' if port is None else f':{port}'}/{database}"
        )
        if password is None and username is not None:
            username, password = (None, None) if username == "default" else (username, "")
        expected = RedisURL(host=host, port=port or 6379, tls=tls, database=database)
        self.assertEqual(RedisURL.parse(text), dataclasses.replace(expected, username=username, password=password))

    @given(st.text() | st.text().map("redis://".__add__) | st.text(":/@?#[]%1a").map("redis://".__add__))
    def test_any_text_is_a_url_or_a_config_error(self, text: str) -> None:
        try:
            self.assertIsInstance(RedisURL.parse(text), RedisURL)
        except ConfigError:
            pass


class SecrecyTests(SynchronousTestCase):
    """The text of a URL."""

    def test_str_shows_the_address_without_credentials(self) -> None:
        cases = {
            "redis://user:pw@h:7000/1": "redis://h:7000",
            "rediss://:pw@h": "rediss://h:6379",
            "redis://[::1]": "redis://[::1]:6379",
            "unix://user:pw@/run/r": "unix:///run/r",
        }
        self.assertEqual({text: str(RedisURL.parse(text)) for text in cases}, cases)

    def test_repr_shows_neither_user_nor_password(self) -> None:
        self.assertEqual(
            repr(RedisURL.parse("redis://user:pw@h")), "RedisURL(host='h', port=6379, path='', tls=False, database=0)"
        )

    @given(st.sampled_from(["redis", "rediss", "unix", "http", ""]), st.text(max_size=8), st.text(max_size=8))
    @example("redis", "1/", "")
    @example("redis", "12?", "")
    @example("redis", "12?db=1&", "")
    @example("redis", "12#", "")
    @example("redis", "[", "]")
    @example("unix", "@h/", "")
    @example("unix", "/", "")
    def test_password_is_in_no_text_of_the_url_or_the_error(self, scheme: str, before: str, after: str) -> None:
        for password in (before + SECRET + after, quote(before.encode(errors="replace") + SECRET.encode())):
            text = f"{scheme}://user:{password}@h:7000/0"
            assume(SECRET in text)
            try:
                url = RedisURL.parse(text)
            except ConfigError as error:
                shown = str(error) + repr(error)
            else:
                shown = str(url) + repr(url)
            self.assertNotIn(SECRET, shown)
