"""Tests of `wsrelay.core.channels`."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.channels import MAX_CHANNEL_BYTES, Access, Namespace, Namespaces, check_channel, check_pattern
from wsrelay.core.errors import ChannelError

FIRST = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
REST = FIRST + ".:~@=+,;!'()&-"
EMPTY = "the channel name is empty"
LONG = "the channel name is longer than 255 bytes"
ALPHABET = (
    "the channel name may hold ASCII letters, digits and _ . : ~ @ = + , ; ! ' ( ) & - "
    "and begins with a letter, a digit or _"
)

NAMES = st.builds(str.__add__, st.sampled_from(FIRST), st.text(REST, max_size=MAX_CHANNEL_BYTES - 1))
# Of two letters, so that patterns meet names often.
SHORT_NAMES = st.text("ab", min_size=1, max_size=5)
PATTERNS = st.one_of(SHORT_NAMES, SHORT_NAMES.map(lambda name: name + "*"), st.just("*"))


def complaint(check: Callable[[str], str], text: str) -> str:
    """What a check says about a text; empty where it lets it pass unchanged."""
    try:
        passed = check(text)
    except ChannelError as error:
        return str(error)
    assert passed == text
    return ""


class ChannelNameTests(SynchronousTestCase):
    """The grammar of names."""

    def test_good_names(self) -> None:
        """Letters, digits, the listed punctuation, and up to 255 bytes are a channel name."""
        for name in ("a", "_", "0", "chat", "user:42", "a.b~c@d=e+f,g;h!i'j(k)l&m-n", "x" * 255):
            self.assertEqual(check_channel(name), name)

    def test_bad_names(self) -> None:
        """Each way to miss the grammar is answered with the sentence that says which."""
        cases = {"": EMPTY, "x" * 256: LONG, "\u00fc" * 256: LONG}
        begin_badly = (":a", "-a", ".", "$probe", "\na", "\u00fc", "\u0661")
        go_on_badly = ("a b", "a/b", "a*", "a$", "a%20", "a\n", "a\0", "a#", "a?", "a[", 'a"', "a\\", "a\u00fc")
        cases |= dict.fromkeys(begin_badly + go_on_badly, ALPHABET)
        self.assertEqual({name: complaint(check_channel, name) for name in cases}, cases)

    @given(NAMES)
    def test_grammar_is_accepted(self, name: str) -> None:
        """Every name of the documented alphabet is accepted."""
        self.assertEqual(check_channel(name), name)

    @given(st.text(max_size=300) | st.from_regex(re.compile(f"[{re.escape(REST)}]*"), fullmatch=False))
    @example("a\n")
    @example("\ud800")
    def test_nothing_else_is(self, name: str) -> None:
        """Any text is in the documented alphabet, or refused with a sentence that does not repeat it."""
        outcome = complaint(check_channel, name)
        good = 0 < len(name) <= 255 and name[0] in FIRST and set(name) <= set(REST)
        self.assertEqual(outcome == "", good)
        self.assertIn(outcome, ("", EMPTY, LONG, ALPHABET))


class PatternTests(SynchronousTestCase):
    """The grammar of patterns."""

    def test_good_patterns(self) -> None:
        """A name, a beginning and an asterisk, and the asterisk alone are patterns."""
        for pattern in ("chat", "user:*", "*", "x" * 255, "x" * 255 + "*"):
            self.assertEqual(check_pattern(pattern), pattern)

    def test_bad_patterns(self) -> None:
        """What is no pattern is named, with what a pattern is and what is wrong with this one."""
        causes = {"": EMPTY, "**": ALPHABET, "a*b": ALPHABET, "*a": ALPHABET, "$*": ALPHABET, "x" * 256 + "*": LONG}
        self.assertEqual(
            {pattern: complaint(check_pattern, pattern) for pattern in causes},
            {
                pattern: f"{pattern!r} is no pattern (a name, a beginning and *, or *): {cause}"
                for pattern, cause in causes.items()
            },
        )


class NamespacesTests(SynchronousTestCase):
    """Which rule a channel has."""

    def test_defaults(self) -> None:
        """A namespace that says nothing lets clients listen and not publish."""
        namespace = Namespace("n", ("*",))
        self.assertEqual((namespace.subscribe, namespace.publish), (Access.PUBLIC, Access.NOBODY))

    def test_exact_wins(self) -> None:
        """The exact name rules before any beginning, however long."""
        exact, beginning = Namespace("exact", ("room:1",)), Namespace("beginning", ("room:1*", "room:*"))
        rules = Namespaces([beginning, exact])
        self.assertIs(rules.rule("room:1"), exact)
        self.assertIs(rules.rule("room:12"), beginning)

    def test_longest_beginning_wins(self) -> None:
        """Among beginnings the longest that matches rules."""
        short, long, other = Namespace("short", ("r*",)), Namespace("long", ("room:*",)), Namespace("other", ("x*",))
        rules = Namespaces([short, long, other])
        self.assertEqual([rules.rule(name) for name in ("room:1", "room", "r", "x")], [long, short, short, other])

    def test_outside(self) -> None:
        """A channel that no pattern matches does not exist."""
        self.assertIsNone(Namespaces([Namespace("n", ("room:*", "chat"))]).rule("lobby"))
        self.assertIsNone(Namespaces([]).rule("chat"))

    def test_same_pattern_twice(self) -> None:
        """A pattern that stands in two namespaces is refused, because the rule would be a matter of order."""
        with self.assertRaises(ChannelError) as caught:
            Namespaces([Namespace("one", ("a*",)), Namespace("two", ("b", "a*"))])
        self.assertEqual(str(caught.exception), "the pattern 'a*' stands in two namespaces, one and two")

    def test_same_pattern_twice_in_one(self) -> None:
        """A pattern written twice in one namespace is no contradiction."""
        namespace = Namespace("n", ("a", "a"))
        self.assertIs(Namespaces([namespace]).rule("a"), namespace)

    def test_bad_pattern(self) -> None:
        """A malformed pattern is refused when the rules are made, not when a client knocks."""
        with self.assertRaises(ChannelError):
            Namespaces([Namespace("n", ("a b",))])

    @given(st.sets(PATTERNS, max_size=8), st.lists(SHORT_NAMES, min_size=1, max_size=8), st.randoms())
    def test_specification(self, patterns: set[str], channels: list[str], random: object) -> None:
        """In whatever order the patterns come: exact name, else longest beginning, else nothing."""
        namespaces = [Namespace(pattern, (pattern,)) for pattern in sorted(patterns)]
        shuffled = sorted(namespaces, key=lambda _: random.random())  # type: ignore[attr-defined]
        rules, again = Namespaces(namespaces), Namespaces(shuffled)
        for channel in channels:
            beginnings = [p for p in patterns if p.endswith("*") and channel.startswith(p[:-1])]
            expected = channel if channel in patterns else max(beginnings, key=len, default=None)
            found = rules.rule(channel)
            self.assertEqual(found.name if found is not None else None, expected)
            self.assertIs(again.rule(channel), found)
