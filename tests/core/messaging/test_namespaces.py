"""Tests of `wsrelay.core.messaging.namespaces`."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.channel_names import MAX_CHANNEL_BYTES, PERSONAL, check_channel, check_pattern, matches
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.outcomes.errors import ChannelError

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
OWNED = SHORT_NAMES.map(lambda name: name + PERSONAL)


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


class MatchesTests(SynchronousTestCase):
    """Which channels patterns name."""

    def test_table(self) -> None:
        """A pattern is one name, or what begins with it, which the beginning alone does too."""
        cases = {
            ("room", "room"): True,
            ("room", "room:1"): False,
            ("room:1", "room"): False,
            ("room:*", "room:1"): True,
            ("room:*", "room:"): True,
            ("room:*", "room"): False,
            ("room:*", "xroom:1"): False,
            ("*", "room"): True,
            ("Room", "room"): False,
            ("r.om", "room"): False,
        }
        self.assertEqual({(pattern, name): matches([pattern], name) for pattern, name in cases}, cases)

    def test_several(self) -> None:
        """Any pattern of several is enough, wherever it stands; no pattern at all names no channel."""
        self.assertTrue(matches(["x", "room", "y"], "room"))
        self.assertFalse(matches(["x", "y"], "room"))
        self.assertFalse(matches([], "room"))

    @given(st.lists(PATTERNS, max_size=4), SHORT_NAMES)
    def test_agrees_with_namespaces(self, patterns: list[str], channel: str) -> None:
        """A credential's pattern names the same channels as a namespace's."""
        rules = Namespaces([Namespace("n", tuple(patterns))])
        self.assertEqual(matches(patterns, channel), rules.rule(channel) is not None)


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


def own(name: str, *patterns: str, subscribe: Access = Access.AUTHENTICATED) -> Namespace:
    """A namespace whose channels may belong to one user each."""
    return Namespace(name, patterns, subscribe)


class OwnedTests(SynchronousTestCase):
    """Channels that belong to one user each."""

    def test_owner(self) -> None:
        """The user is what stands in the place of {sub}, all of it."""
        rules = Namespaces([own("n", "user:{sub}")])
        owners = {"user:42": "42", "user:4:2": "4:2", "user:user:42": "user:42", "user::": ":"}
        for channel, owner in owners.items():
            found = rules.find(channel)
            assert found is not None
            self.assertEqual((found[0].name, found[1]), ("n", owner))

    def test_outside(self) -> None:
        """The beginning alone belongs to nobody, and is ruled by what is shorter, if anything."""
        rest = Namespace("rest", ("us*",))
        for channel in ("user:", "user", "xuser:42"):
            self.assertIsNone(Namespaces([own("n", "user:{sub}")]).find(channel))
        rules = Namespaces([own("n", "user:{sub}"), rest])
        self.assertEqual([rules.find(channel) for channel in ("user:", "user")], [(rest, None)] * 2)

    def test_others_belong_to_nobody(self) -> None:
        """Channels of other patterns belong to nobody, also in the same namespace."""
        namespace = own("n", "user:{sub}", "room:*", "lobby")
        rules = Namespaces([namespace])
        found = [rules.find(channel) for channel in ("user:1", "room:1", "lobby", "other")]
        self.assertEqual(found, [(namespace, "1"), (namespace, None), (namespace, None), None])

    def test_precedence(self) -> None:
        """The exact name rules before an owner's pattern, and of beginnings the longest one, owned or not."""
        rules = Namespaces(
            [
                own("own", "user:{sub}"),
                Namespace("name", ("user:1",)),
                Namespace("long", ("user:a*",)),
                own("longer", "user:ab{sub}"),
            ]
        )
        found = {channel: rules.find(channel) for channel in ("user:1", "user:12", "user:a1", "user:abc", "user:ab")}
        self.assertEqual(
            {channel: pair and (pair[0].name, pair[1]) for channel, pair in found.items()},
            {
                "user:1": ("name", None),
                "user:12": ("own", "12"),
                "user:a1": ("long", None),
                "user:abc": ("longer", "c"),
                "user:ab": ("long", None),
            },
        )

    def test_clashes(self) -> None:
        """What is one user's in one place cannot be everybody's in another, in whatever order it is written."""
        ours, theirs = own("ours", "user:{sub}"), own("theirs", "user:*")
        for namespaces, text in (
            ([ours, theirs], "the pattern 'user:*' stands in two namespaces, ours and theirs"),
            ([theirs, ours], "the pattern 'user:{sub}' stands in two namespaces, theirs and ours"),
            ([ours, own("more", "user:{sub}")], "the pattern 'user:{sub}' stands in two namespaces, ours and more"),
        ):
            with self.assertRaises(ChannelError) as caught:
                Namespaces(namespaces)
            self.assertEqual(str(caught.exception), text)

    def test_clash_in_one(self) -> None:
        """The same in one namespace is refused in words that are true of it."""
        for patterns in (("user:{sub}", "user:*"), ("user:*", "user:{sub}")):
            with self.assertRaises(ChannelError) as caught:
                Namespaces([own("n", *patterns)])
            self.assertEqual(str(caught.exception), "the namespace n has both 'user:*' and 'user:{sub}'")

    def test_twice_in_one(self) -> None:
        """The same pattern written twice in one namespace is no contradiction."""
        namespace = own("n", "user:{sub}", "user:{sub}")
        self.assertEqual(Namespaces([namespace]).find("user:1"), (namespace, "1"))

    def test_not_public(self) -> None:
        """What belongs to one user each is not for everybody, neither to listen nor to publish."""
        for subscribe, publish in ((Access.PUBLIC, Access.NOBODY), (Access.TOKEN, Access.PUBLIC)):
            with self.assertRaises(ChannelError) as caught:
                Namespaces([Namespace("n", ("room", "user:{sub}"), subscribe, publish)])
            self.assertEqual(
                str(caught.exception),
                "'user:{sub}' belongs to one user each, and the namespace n is public: let it be authenticated, token "
                "or nobody",
            )
        for access in (Access.AUTHENTICATED, Access.TOKEN, Access.NOBODY):
            Namespaces([Namespace("n", ("user:{sub}",), access, access)])

    def test_bad_patterns(self) -> None:
        """{sub} stands once, at the end, behind a beginning that a channel's name can have."""
        causes = {"{sub}": EMPTY, "$u{sub}": ALPHABET, "a/{sub}": ALPHABET, "a*{sub}": ALPHABET}
        causes |= {"{sub}:{sub}": ALPHABET, "a{sub}{sub}": ALPHABET, "x" * 256 + "{sub}": LONG}
        for pattern, cause in causes.items():
            with self.assertRaises(ChannelError) as caught:
                Namespaces([own("n", pattern)])
            self.assertEqual(
                str(caught.exception),
                f"{pattern!r} is no pattern (a beginning and {{sub}}, as in user:{{sub}}): {cause}",
            )
        for pattern in ("{sub}*", "{sub}:inbox", "a{sub}b", "a{sub}*", "a{SUB}", "a{user}", "a{sub", "asub}"):
            with self.assertRaises(ChannelError):
                Namespaces([own("n", pattern)])

    def test_no_credential_names_them_all(self) -> None:
        """A credential cannot hold {sub}: that is for the operator to say."""
        with self.assertRaises(ChannelError):
            check_pattern("user:{sub}")

    @given(st.sets(PATTERNS | OWNED, max_size=8), SHORT_NAMES)
    def test_specification(self, patterns: set[str], channel: str) -> None:
        """The exact name, else the longest beginning that has room for a user where it needs one, else nothing."""
        try:
            rules = Namespaces([own(pattern, pattern) for pattern in sorted(patterns)])
        except ChannelError:
            beginnings = [pattern.removesuffix(PERSONAL) for pattern in patterns if pattern.endswith(PERSONAL)]
            self.assertTrue({beginning + "*" for beginning in beginnings} & patterns)
            return
        fitting = {
            pattern: channel.removeprefix(pattern.removesuffix(PERSONAL)) if pattern.endswith(PERSONAL) else None
            for pattern in patterns
            if (pattern.endswith("*") and channel.startswith(pattern[:-1]))
            or (
                pattern.endswith(PERSONAL)
                and channel.startswith(pattern.removesuffix(PERSONAL))
                and channel + PERSONAL != pattern
            )
        }
        longest = max(fitting, key=lambda pattern: len(pattern.removesuffix(PERSONAL).removesuffix("*")), default=None)
        found = rules.find(channel)
        if channel in patterns:
            self.assertEqual(found and (found[0].name, found[1]), (channel, None))
        elif longest is None:
            self.assertIsNone(found)
        else:
            self.assertEqual(found and (found[0].name, found[1]), (longest, fitting[longest]))
        self.assertIs(rules.rule(channel), found and found[0])
