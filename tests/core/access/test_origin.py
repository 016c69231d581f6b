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
    """A handshake from a page of an origin."""
    return Handshake("/ws/room", "192.0.2.1", origin=origin, host=host, is_secure=is_secure)


class PolicyCase(SynchronousTestCase):
    """Questions to policies."""

    def assert_permits(self, policy: OriginPolicy, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
        """These origins are let in, and those are not."""
        self.assertEqual({origin: policy.check(handshake(origin)) for origin in good}, dict.fromkeys(good))
        self.assertEqual(
            {origin: policy.check(handshake(origin)) for origin in bad}, dict.fromkeys(bad, ClientError.ORIGIN)
        )


class ListedTests(PolicyCase):
    """Where the operator lists origins."""

    def test_exact(self) -> None:
        """An origin is let in when scheme, host and port are the same; the scheme's own port may be left out."""
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

    def test_case(self) -> None:
        """Scheme and host are compared without regard to case, on both sides."""
        self.assert_permits(
            OriginPolicy(["HTTPS://Example.COM", "https://*.Example.ORG"]),
            ("https://example.com", "https://EXAMPLE.com", "hTTps://example.com", "https://A.example.org"),
            (),
        )

    def test_forms(self) -> None:
        """Space around an entry and a slash behind it are forgiven, as they come with copying."""
        self.assert_permits(
            OriginPolicy([" https://example.com/ "]), ("https://example.com",), ("https://example.org",)
        )

    def test_wildcard(self) -> None:
        """A wildcard stands for any number of labels before the host, but not for none, nor for part of one."""
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

    def test_wildcard_and_exact(self) -> None:
        """A wildcard beside exact origins takes nothing from them, nor they from it."""
        self.assert_permits(
            OriginPolicy(["https://example.com", "https://*.example.com", "https://a.example.org"]),
            ("https://example.com", "https://a.example.com", "https://a.example.org"),
            ("https://example.org", "https://b.example.org", "https://a.a.example.org"),
        )

    def test_ipv6(self) -> None:
        """An IPv6 address is written in brackets (RFC 3986 section 3.2.2), with or without a port."""
        self.assert_permits(
            OriginPolicy(["http://[::1]:3000", "https://[2001:DB8::1]"]),
            ("http://[::1]:3000", "https://[2001:db8::1]", "https://[2001:db8::1]:443"),
            ("http://[::1]", "http://[::2]:3000", "https://[2001:db8::1]:444", "http://::1:3000"),
        )

    def test_other_schemes(self) -> None:
        """Origins of other schemes, as browser extensions have, can be listed; they have no port of their own."""
        self.assert_permits(
            OriginPolicy(["chrome-extension://abcdef", "app://localhost:1"]),
            ("chrome-extension://abcdef", "app://localhost:1"),
            ("chrome-extension://abcdefg", "moz-extension://abcdef", "app://localhost", "https://abcdef"),
        )

    def test_port_0(self) -> None:
        """Port 0 is a port like others, and not the scheme's own."""
        self.assert_permits(OriginPolicy(["https://example.com"]), (), ("https://example.com:0",))
        self.assert_permits(
            OriginPolicy(["https://example.com:0"]), ("https://example.com:0",), ("https://example.com",)
        )

    def test_no_same_origin(self) -> None:
        """Where anything is listed the relay's own host is let in only if it is listed, too."""
        for allowed in ("https://example.org", "null", "https://*.example.org"):
            self.assert_permits(OriginPolicy([allowed]), (), ("https://example.com", "http://example.com"))


class AllTests(PolicyCase):
    """The two words."""

    def test_null(self) -> None:
        """The word null lets pages in that have no origin to tell, and no others; it is not part of anything else."""
        self.assert_permits(OriginPolicy(["null"]), ("null",), ("https://example.com", "https://null", "NULL"))
        self.assert_permits(OriginPolicy(["https://*.example.com"]), (), ("null",))
        self.assert_permits(OriginPolicy(["https://example.com", "null"]), ("null", "https://example.com"), ())
        self.assert_permits(OriginPolicy(), (), ("null",))

    def test_all(self) -> None:
        """An asterisk lets everybody in, without a look at what they say."""
        for policy in (OriginPolicy(["*"]), OriginPolicy(["https://example.com", "*"])):
            self.assert_permits(policy, ("https://evil.test", "null", *MALFORMED), ())

    def test_require(self) -> None:
        """Who has no origin is no browser and let in, unless an origin is required, which * does not change."""
        for allowed in ([], ["*"], ["https://example.com"], ["null"]):
            self.assertIsNone(OriginPolicy(allowed).check(handshake(None)))
            self.assertIs(OriginPolicy(allowed, require=True).check(handshake(None)), ClientError.NO_ORIGIN)

    def test_required_and_there(self) -> None:
        """That one is required says nothing about which."""
        for origin, client_error in (
            ("https://example.com", None),
            ("https://evil.test", ClientError.ORIGIN),
            ("", ClientError.ORIGIN),
        ):
            self.assertIs(OriginPolicy(["https://example.com"], require=True).check(handshake(origin)), client_error)


class SameOriginTests(SynchronousTestCase):
    """Where nothing is listed."""

    def permits(self, origin: str, host: str, is_secure: bool | None = None) -> bool:
        """Whether a page of an origin may connect to a relay of that host."""
        return OriginPolicy().check(handshake(origin, host, is_secure)) is None

    def test_same(self) -> None:
        """Pages of the host and port that the relay is reached at are let in, and no others."""
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

    def test_secure(self) -> None:
        """Where it is known whether the connection is encrypted the page's scheme is that one; else it may be both."""
        for scheme, is_secure, permitted in (
            ("https", True, True),
            ("http", True, False),
            ("https", False, False),
            ("http", False, True),
            ("https", None, True),
            ("http", None, True),
        ):
            self.assertEqual(self.permits(f"{scheme}://example.com", "example.com", is_secure), permitted)

    def test_other_schemes(self) -> None:
        """Only pages of the web can be of the same origin."""
        for scheme in ("ws", "wss", "ftp", "app", "chrome-extension", "file"):
            for is_secure in (True, False, None):
                self.assertFalse(self.permits(f"{scheme}://example.com", "example.com", is_secure))

    def test_bad_host(self) -> None:
        """A Host that is missing or malformed is nobody's own."""
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
    """Origins that are none."""

    def test_never_let_in(self) -> None:
        """What is no origin (RFC 6454 section 7.1) is refused by every policy but the one that lets everybody in."""
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
    def test_anything(self, origin: str) -> None:
        """Of all texts only the listed origin, in its two spellings, is let in, and no text breaks anything."""
        client_error = OriginPolicy(["https://example.com"]).check(handshake(origin))
        same = origin.lower() in ("https://example.com", "https://example.com:443", "https://example.com:0443")
        self.assertEqual(client_error is None, same or origin.lower() == "https://example.com:00443", origin)


class ConfigTests(SynchronousTestCase):
    """What an operator writes down."""

    def test_mistakes(self) -> None:
        """What is no origin is refused at the start, with what it should look like, wherever it stands in the list."""
        mistakes = [
            text
            for text in MALFORMED
            if text not in ("*", "https://example.com/", "https://*.example.com", "https://example.com\n")
        ]
        mistakes += [
            "*.example.com",
            "https://*.*.example.com",
            "https://a.*.com",
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
                        "http://localhost:3000, null or *",
                    )
                else:
                    accepted.append(text)
        self.assertEqual(accepted, [])

    def test_good(self) -> None:
        """What is in the documentation, and what browsers send, can be written down."""
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
    def test_anything(self, allowed: list[str]) -> None:
        """Any list is a policy or a mistake of the operator; a policy from it lets no page in that it does not name."""
        try:
            policy = OriginPolicy(allowed)
        except ConfigError:
            return
        if "*" not in {text.strip() for text in allowed}:
            self.assertIs(policy.check(handshake("https://evil.test")), ClientError.ORIGIN)
