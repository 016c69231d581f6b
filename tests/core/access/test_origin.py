"""Tests of `wsrelay.core.access.origin`."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.core.wire.handshake import Handshake

MALFORMED = (
    "",
    "example.com",
    "//example.com",
    "https://",
    "https:example.com",
    "https://example.com/",
    "https://example.com/x",
    "https://example.com?x",
    "https://example.com#x",
    "https://user@example.com",
    "https://user:secret@example.com",
    "https://example.com:",
    "https://example.com:x",
    "https://example.com:-1",
    "https://example.com:99999",
    "https://example.com:123456",
    "https://example.com https://example.com",
    "https://example.com, https://example.com",
    "https://example.com\n",
    "https://.example.com",
    "https://a..example.com",
    "https://*.example.com",
    "https://*",
    "*",
    "https://[::1",
    "https://::1",
    "https://[example.com]",
    "https://[1.2.3.4]",
    "https://ex\u00e4mple.com",
    "https://ex%61mple.com",
    "https://exa\\mple.com",
    "null null",
    "null, https://example.com",
    "1://example.com",
)


def handshake(origin: str | None, host: str = "example.com", is_secure: bool | None = None) -> Handshake:
    """Return a handshake from a page of an origin."""
    return Handshake("/ws/room", "192.0.2.1", origin=origin, host=host, is_secure=is_secure)


class PolicyCase(SynchronousTestCase):
    """Assertions about policies."""

    def assert_permits(self, policy: OriginPolicy, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
        """Assert that a policy allows the good origins and rejects the bad ones."""
        self.assertEqual({origin: policy.check(handshake(origin)) for origin in good}, dict.fromkeys(good))
        self.assertEqual(
            {origin: policy.check(handshake(origin)) for origin in bad}, dict.fromkeys(bad, ClientError.ORIGIN)
        )


class ListedTests(PolicyCase):
    """Policies that list origins."""

    def test_exact_origin_needs_the_same_scheme_host_and_port(self) -> None:
        self.assert_permits(
            OriginPolicy(["https://example.com", "http://localhost:3000", "http://example.org:80"]),
            (
                "https://example.com",
                "https://example.com:443",
                "http://localhost:3000",
                "http://example.org",
                "http://example.org:80",
            ),
            (
                "http://example.com",
                "https://example.com:8443",
                "https://example.com:80",
                "http://example.com:443",
                "https://www.example.com",
                "https://example.com.evil.test",
                "https://evil-example.com",
                "https://example.co",
                "https://com",
                "http://localhost",
                "https://localhost:3000",
                "https://example.org",
                "null",
            ),
        )

    def test_origins_of_applications_and_extensions_are_compared_as_texts(self) -> None:
        listed = (
            "file://",
            "app://.",
            "app://-",
            "app://obsidian.md",
            "tauri://localhost",
            "vscode-webview://0abc",
            "chrome-extension://abcdefghijklmnop",
        )
        self.assert_permits(
            OriginPolicy(listed), (*listed, "APP://OBSIDIAN.MD"), ("null", "app://", "app://x", "https://obsidian.md")
        )

    def test_star_stands_for_any_host_of_a_scheme_that_is_not_the_webs(self) -> None:
        self.assert_permits(
            OriginPolicy(["moz-extension://*"]),
            ("moz-extension://4d2f9e1e-6c0f-4f6e-9c8a-1f6d0e6b1c11",),
            ("chrome-extension://abc", "https://example.com", "moz-extension://a/b", "moz-extension://a b"),
        )

    def test_star_stands_for_any_port(self) -> None:
        self.assert_permits(
            OriginPolicy(["http://localhost:*", "http://[::1]:*", "https://*.example.com:*"]),
            (
                "http://localhost",
                "http://localhost:5173",
                "http://[::1]:5173",
                "https://a.example.com:8443",
                "https://a.example.com",
            ),
            (
                "https://localhost:5173",
                "http://localhost.example:5173",
                "http://[::2]:5173",
                "https://example.com:1",
                "http://localhost:99999",
            ),
        )

    def test_host_is_no_longer_than_a_name_can_be(self) -> None:
        longest = "a." * 121 + "example.com"
        policy = OriginPolicy(["https://*.example.com"])
        too_long = f"https://a{longest}", f"https://{'a.' * 8000}example.com"
        self.assert_permits(policy, (f"https://{longest}",), too_long)

    def test_null_stands_for_files_too(self) -> None:
        """Browsers send null for a file, Electron and Android's WebView send file://."""
        self.assert_permits(OriginPolicy(["null"]), ("null", "file://"), ("https://example.com", "file://x"))
        self.assert_permits(OriginPolicy(["file://"]), ("file://",), ("null",))

    def test_scheme_and_host_ignore_case_on_both_sides(self) -> None:
        self.assert_permits(
            OriginPolicy(["HTTPS://Example.COM", "https://*.Example.ORG"]),
            ("https://example.com", "https://EXAMPLE.com", "hTTps://example.com", "https://A.example.org"),
            (),
        )

    def test_surrounding_space_and_a_trailing_slash_are_ignored(self) -> None:
        self.assert_permits(
            OriginPolicy([" https://example.com/ "]), ("https://example.com",), ("https://example.org",)
        )

    def test_wildcard_stands_for_one_or_more_labels(self) -> None:
        self.assert_permits(
            OriginPolicy(["https://*.example.com", "http://*.example.org:8080"]),
            (
                "https://a.example.com",
                "https://a.b.c.example.com",
                "https://a.example.com:443",
                "http://a.example.org:8080",
            ),
            (
                "https://example.com",
                "https://.example.com",
                "https://aexample.com",
                "https://a-example.com",
                "https://a.example.com.evil.test",
                "https://a.example.co",
                "http://a.example.com",
                "https://a.example.com:8443",
                "http://a.example.org",
                "https://com",
            ),
        )

    def test_wildcards_and_exact_origins_are_independent(self) -> None:
        self.assert_permits(
            OriginPolicy(["https://example.com", "https://*.example.com", "https://a.example.org"]),
            ("https://example.com", "https://a.example.com", "https://a.example.org"),
            ("https://example.org", "https://b.example.org", "https://a.a.example.org"),
        )

    def test_ipv6_address_is_written_in_brackets(self) -> None:
        """RFC 3986 section 3.2.2."""
        self.assert_permits(
            OriginPolicy(["http://[::1]:3000", "https://[2001:DB8::1]"]),
            ("http://[::1]:3000", "https://[2001:db8::1]", "https://[2001:db8::1]:443"),
            ("http://[::1]", "http://[::2]:3000", "https://[2001:db8::1]:444", "http://::1:3000"),
        )

    def test_other_schemes_can_be_listed_and_have_no_default_port(self) -> None:
        self.assert_permits(
            OriginPolicy(["chrome-extension://abcdef", "app://localhost:1"]),
            ("chrome-extension://abcdef", "app://localhost:1"),
            ("chrome-extension://abcdefg", "moz-extension://abcdef", "app://localhost", "https://abcdef"),
        )

    def test_port_0_is_not_the_default_port(self) -> None:
        self.assert_permits(OriginPolicy(["https://example.com"]), (), ("https://example.com:0",))
        self.assert_permits(
            OriginPolicy(["https://example.com:0"]), ("https://example.com:0",), ("https://example.com",)
        )

    def test_own_host_is_rejected_unless_it_is_listed_as_well(self) -> None:
        for allowed in ("https://example.org", "null", "https://*.example.org"):
            self.assert_permits(OriginPolicy([allowed]), (), ("https://example.com", "http://example.com"))


class AllTests(PolicyCase):
    """The words ``null`` and ``*``, and required origins."""

    def test_null_allows_pages_without_an_origin_only(self) -> None:
        self.assert_permits(OriginPolicy(["null"]), ("null",), ("https://example.com", "https://null", "NULL"))
        self.assert_permits(OriginPolicy(["https://*.example.com"]), (), ("null",))
        self.assert_permits(OriginPolicy(["https://example.com", "null"]), ("null", "https://example.com"), ())
        self.assert_permits(OriginPolicy(), (), ("null",))

    def test_asterisk_allows_every_origin_even_malformed_ones(self) -> None:
        for policy in (OriginPolicy(["*"]), OriginPolicy(["https://example.com", "*"])):
            self.assert_permits(policy, ("https://evil.test", "null", *MALFORMED), ())

    def test_missing_origin_is_rejected_only_if_one_is_required(self) -> None:
        for allowed in ([], ["*"], ["https://example.com"], ["null"]):
            self.assertIsNone(OriginPolicy(allowed).check(handshake(None)))
            self.assertIs(OriginPolicy(allowed, require=True).check(handshake(None)), ClientError.NO_ORIGIN)

    def test_required_origin_is_checked_like_any_other(self) -> None:
        for origin, client_error in (
            ("https://example.com", None),
            ("https://evil.test", ClientError.ORIGIN),
            ("", ClientError.ORIGIN),
        ):
            self.assertIs(OriginPolicy(["https://example.com"], require=True).check(handshake(origin)), client_error)


class SameOriginTests(SynchronousTestCase):
    """Policies that list nothing."""

    def permits(self, origin: str, host: str, is_secure: bool | None = None) -> bool:
        """Return whether a page of an origin may connect to a relay of this host."""
        return OriginPolicy().check(handshake(origin, host, is_secure)) is None

    def test_same_host_and_port_are_allowed_and_no_others(self) -> None:
        cases = {
            ("https://example.com", "example.com"): True,
            ("http://example.com", "example.com"): True,
            ("https://example.com", "example.com:443"): True,
            ("http://example.com", "example.com:80"): True,
            ("http://example.com:80", "example.com"): True,
            ("http://localhost:8080", "localhost:8080"): True,
            ("https://EXAMPLE.com", "Example.COM"): True,
            ("http://[::1]:8080", "[::1]:8080"): True,
            ("https://[::1]", "[::1]"): True,
            ("https://example.com", "example.com:80"): False,
            ("http://example.com", "example.com:443"): False,
            ("https://example.com:8443", "example.com"): False,
            ("http://localhost:3000", "localhost:8080"): False,
            ("https://www.example.com", "example.com"): False,
            ("https://example.com", "www.example.com"): False,
            ("https://example.com.evil.test", "example.com"): False,
            ("http://[::1]:8080", "[::2]:8080"): False,
            ("http://[::1]:8080", "::1:8080"): False,
            ("null", "null"): False,
        }
        self.assertEqual({case: self.permits(*case) for case in cases}, cases)

    def test_scheme_must_match_the_encryption_if_that_is_known(self) -> None:
        for scheme, is_secure, permitted in (
            ("https", True, True),
            ("http", True, False),
            ("https", False, False),
            ("http", False, True),
            ("https", None, True),
            ("http", None, True),
        ):
            self.assertEqual(self.permits(f"{scheme}://example.com", "example.com", is_secure), permitted)

    def test_scheme_that_the_proxy_denies_has_an_error_of_its_own(self) -> None:
        """The Host field, of which the other error speaks, is right."""
        error = OriginPolicy().check(handshake("https://example.com", "example.com", is_secure=False))
        self.assertIs(error, ClientError.ORIGIN_SCHEME)
        error = OriginPolicy().check(handshake("https://example.com", "backend:8080", is_secure=False))
        self.assertIs(error, ClientError.ORIGIN)

    def test_only_http_and_https_can_be_of_the_same_origin(self) -> None:
        for scheme in ("ws", "wss", "ftp", "app", "chrome-extension", "file"):
            for is_secure in (True, False, None):
                self.assertFalse(self.permits(f"{scheme}://example.com", "example.com", is_secure))

    def test_missing_or_malformed_host_matches_nothing(self) -> None:
        for host in (
            "",
            ":443",
            "example.com:",
            "example.com:x",
            "user@example.com",
            "*.example.com",
            "example.com/",
            "a b",
        ):
            for origin in ("https://example.com", "https://", f"https://{host}", f"https://*.{host}"):
                self.assertFalse(self.permits(origin, host), (origin, host))


class MalformedTests(PolicyCase):
    """Malformed origins."""

    def test_malformed_origin_is_rejected_by_every_policy_but_the_asterisk(self) -> None:
        """RFC 6454 section 7.1."""
        for policy in (
            OriginPolicy(),
            OriginPolicy(["https://example.com", "https://*.example.com", "https://[::1]"]),
            OriginPolicy(["null"]),
        ):
            self.assert_permits(policy, (), MALFORMED)

    @given(
        st.text()
        | st.text("https://example.com:0[]*@", max_size=40)
        | st.builds("{}{}".format, st.just("https://example.com"), st.text(max_size=3))
    )
    @example("https://example.com:0")
    @example("https://example.com\u2028")
    def test_of_all_texts_only_the_listed_origin_is_allowed(self, origin: str) -> None:
        client_error = OriginPolicy(["https://example.com"]).check(handshake(origin))
        same = origin.lower() in ("https://example.com", "https://example.com:443", "https://example.com:0443")
        self.assertEqual(client_error is None, same or origin.lower() == "https://example.com:00443", origin)


class ConfigTests(SynchronousTestCase):
    """The operator's list."""

    def test_invalid_entry_is_a_config_error_wherever_it_stands(self) -> None:
        mistakes = [
            text
            for text in MALFORMED
            if text not in ("*", "https://example.com/", "https://*.example.com", "https://example.com\n")
        ]
        mistakes += [
            "*.example.com",
            "https://*.*.example.com",
            "https://a.*.com",
            "https://*:443",
            "http://localhost:*x",
            "http://localhost:",
            "http://[::g]",
            "moz-extension://*.x",
            "moz-extension://a*",
            "app://x/y",
            "file:///",
            "ws://example.com",
            "wss://*",
            "data:",
            "https://a*.example.com",
            "https://*.",
            "https://*.[::1]",
            "https://example.com//",
            "https://example.com/*",
            "*/",
            "null/",
            "none",
            "'self'",
        ]
        accepted = []
        for text in mistakes:
            for allowed in ([text], ["https://example.org", text], ["*", text], ["null", text]):
                try:
                    OriginPolicy(allowed)
                except ConfigError as error:
                    self.assertEqual(
                        str(error),
                        f"{text!r} is no origin: it should look like https://example.com, https://*.example.com, "
                        "http://localhost:3000, http://localhost:*, file://, moz-extension://*, null or *",
                    )
                else:
                    accepted.append(text)
        self.assertEqual(accepted, [])

    def test_documented_origins_are_accepted(self) -> None:
        OriginPolicy(["https://example.com", "https://*.example.com", "http://localhost:3000", "null", "*"])
        OriginPolicy(
            [
                "https://example.com.",
                "http://127.0.0.1:8000",
                "https://a_b.example.com",
                "https://xn--bcher-kva.example",
            ]
        )

    @given(st.lists(st.text() | st.text("https://*.example.com:[]", max_size=30), max_size=3))
    def test_any_list_is_a_policy_that_rejects_unlisted_pages_or_a_config_error(self, allowed: list[str]) -> None:
        try:
            policy = OriginPolicy(allowed)
        except ConfigError:
            return
        if "*" not in {text.strip() for text in allowed}:
            self.assertIs(policy.check(handshake("https://evil.test")), ClientError.ORIGIN)


class OwnOriginTests(SynchronousTestCase):
    """Requests without an Origin, of pages that the browser says are of the same origin."""

    def own(self, policy: OriginPolicy, is_secure: bool | None) -> tuple[str | None, ClientError | None]:
        """Return the origin that a request gets, and what the policy says of it."""
        handshake = Handshake("/sse/a", "peer", host="Relay.example:81", is_secure=is_secure)
        policy.add_own_origin(handshake)
        return handshake.origin, policy.check(handshake)

    def test_origin_is_the_host_with_the_scheme_of_the_connection(self) -> None:
        for is_secure, origin in ((True, "https://relay.example:81"), (False, "http://relay.example:81")):
            self.assertEqual(self.own(OriginPolicy(require=True), is_secure), (origin, None))

    def test_hidden_scheme_is_one_that_may_connect(self) -> None:
        for allowed in ("https://relay.example:81", "http://relay.example:81"):
            self.assertEqual(self.own(OriginPolicy([allowed]), None), (allowed, None))

    def test_origin_that_is_not_listed_is_rejected(self) -> None:
        self.assertIs(self.own(OriginPolicy(["https://www.example"]), None)[1], ClientError.ORIGIN)
