"""Tests of `wsrelay.core.messaging.namespaces`."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.messaging.channel_names import (
    MAX_CHANNEL_BYTES,
    PERSONAL,
    check_channel,
    check_pattern,
    listed_users,
    matches,
)
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.messaging.payload_type import PayloadType
from wsrelay.core.outcomes.errors import ChannelError

FIRST = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_#"
REST = FIRST + ".:~@=+,;!'()&-"
EMPTY = "the channel name is empty"
LONG = "the channel name is longer than 255 bytes"
ALPHABET = (
    "the channel name may hold ASCII letters, digits and _ # . : ~ @ = + , ; ! ' ( ) & - "
    "and begins with a letter, a digit, _ or #"
)

RESERVED = "the channel name begins with two underscores, as those of Redis itself do"

NAMES = st.builds(str.__add__, st.sampled_from(FIRST), st.text(REST, max_size=MAX_CHANNEL_BYTES - 1)).filter(
    lambda name: not name.startswith("__")
)
# Of two letters, so that patterns meet names often.
SHORT_NAMES = st.text("ab", min_size=1, max_size=5)
PATTERNS = st.one_of(SHORT_NAMES, SHORT_NAMES.map(lambda name: name + "*"), st.just("*"))
OWNED = SHORT_NAMES.map(lambda name: name + PERSONAL)


def check_error(check: Callable[[str], str], text: str) -> str:
    """Return the error of a check about a text; empty if the check returns the text unchanged."""
    try:
        passed = check(text)
    except ChannelError as error:
        return str(error)
    assert passed == text
    return ""


class ChannelNameTests(SynchronousTestCase):
    """The grammar of names."""

    def test_letters_digits_and_the_listed_punctuation_up_to_255_bytes_are_a_channel_name(self) -> None:
        for name in ("a", "_", "0", "chat", "user:42", "a.b~c@d=e+f,g;h!i'j(k)l&m-n", "#", "#42", "a#4,2#", "x" * 255):
            self.assertEqual(check_channel(name), name)

    def test_each_way_to_miss_the_grammar_has_its_error(self) -> None:
        cases = {"": EMPTY, "x" * 256: LONG, "\u00fc" * 256: LONG}
        begin_badly = (":a", "-a", ".", "$probe", "$#", "\na", "\u00fc", "\u0661")
        go_on_badly = ("a b", "a/b", "a*", "a$", "a%20", "a\n", "a\0", "a?", "a[", 'a"', "a\\", "a\u00fc")
        cases |= dict.fromkeys(begin_badly + go_on_badly, ALPHABET)
        cases |= dict.fromkeys(("__", "__keyspace@0__:key"), RESERVED)
        self.assertEqual({name: check_error(check_channel, name) for name in cases}, cases)

    @given(NAMES)
    def test_every_name_of_the_documented_alphabet_is_accepted(self, name: str) -> None:
        self.assertEqual(check_channel(name), name)

    @given(st.text(max_size=300) | st.from_regex(re.compile(f"[{re.escape(REST)}]*"), fullmatch=False))
    @example("a\n")
    @example("\ud800")
    @example("__sentinel__:hello")
    def test_any_text_is_in_the_documented_alphabet_or_rejected_without_repeating_it(self, name: str) -> None:
        outcome = check_error(check_channel, name)
        good = 0 < len(name) <= 255 and name[0] in FIRST and set(name) <= set(REST) and not name.startswith("__")
        self.assertEqual(outcome == "", good)
        self.assertIn(outcome, ("", EMPTY, LONG, ALPHABET, RESERVED))


class ListedUsersTests(SynchronousTestCase):
    """`listed_users`."""

    def test_users_stand_behind_the_last_mark_with_commas_between_them(self) -> None:
        for name, users in (
            ("#42", ("42",)),
            ("team:#42", ("42",)),
            ("team:x#41,42", ("41", "42")),
            ("a#1#42", ("42",)),
            ("#a.b@c,d:e", ("a.b@c", "d:e")),
            ("#41,,42,", ("41", "42")),
        ):
            self.assertEqual(listed_users(name), users)

    def test_channel_without_a_user_behind_the_mark_belongs_to_nobody(self) -> None:
        for name in ("#", "team:x#", "#42#", "#,", "#,,"):
            self.assertEqual(listed_users(name), ())

    @given(NAMES)
    def test_names_without_the_mark_list_no_users_and_others_do(self, name: str) -> None:
        users = listed_users(name)
        self.assertEqual(users is None, "#" not in name)
        for user in users or ():
            self.assertTrue(user)
            self.assertFalse(set("#,") & set(user))
            self.assertRegex(name, f"[#,]{re.escape(user)}(,|$)")


class PatternTests(SynchronousTestCase):
    """The grammar of patterns."""

    def test_name_and_prefix_with_asterisk_and_asterisk_alone_are_patterns(self) -> None:
        for pattern in ("chat", "user:*", "*", "#*", "#42", "team:#*", "x" * 255, "x" * 255 + "*"):
            self.assertEqual(check_pattern(pattern), pattern)

    def test_malformed_pattern_is_named_with_the_form_and_the_error(self) -> None:
        causes = {"": EMPTY, "**": ALPHABET, "a*b": ALPHABET, "*a": ALPHABET, "$*": ALPHABET, "x" * 256 + "*": LONG}
        self.assertEqual(
            {pattern: check_error(check_pattern, pattern) for pattern in causes},
            {
                pattern: f"{pattern!r} is not a valid pattern (a name, a prefix and *, or *): {cause}"
                for pattern, cause in causes.items()
            },
        )


class MatchesTests(SynchronousTestCase):
    """The channels that patterns match."""

    def test_pattern_matches_its_name_or_what_begins_with_its_prefix(self) -> None:
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
            ("*", "#42"): True,
            ("#*", "#42"): True,
            ("#4*", "#42"): True,
            ("#*", "team:#42"): False,
            ("team:*", "team:#42"): True,
            ("#42", "#41,42"): False,
        }
        self.assertEqual({(pattern, name): matches([pattern], name) for pattern, name in cases}, cases)

    def test_any_of_several_patterns_is_enough_and_none_matches_nothing(self) -> None:
        self.assertTrue(matches(["x", "room", "y"], "room"))
        self.assertFalse(matches(["x", "y"], "room"))
        self.assertFalse(matches([], "room"))

    @given(st.lists(PATTERNS, max_size=4), SHORT_NAMES)
    def test_pattern_of_a_credential_matches_the_same_channels_as_one_of_a_namespace(
        self, patterns: list[str], channel: str
    ) -> None:
        rules = Namespaces([Namespace("n", tuple(patterns))])
        self.assertEqual(matches(patterns, channel), rules.rule(channel) is not None)


class NamespacesTests(SynchronousTestCase):
    """The rule of a channel."""

    def test_namespace_lets_clients_subscribe_and_not_publish_by_default(self) -> None:
        namespace = Namespace("n", ("*",))
        self.assertEqual((namespace.subscribe, namespace.publish), (Access.PUBLIC, Access.NOBODY))

    def test_exact_name_rules_before_any_prefix(self) -> None:
        exact, prefix = Namespace("exact", ("room:1",)), Namespace("prefix", ("room:1*", "room:*"))
        rules = Namespaces([prefix, exact])
        self.assertIs(rules.rule("room:1"), exact)
        self.assertIs(rules.rule("room:12"), prefix)

    def test_reserved_name_is_no_channel_where_the_namespace_has_history(self) -> None:
        kept = Namespaces([Namespace("kept", ("*",), history_size=1, history_seconds=1)])
        plain = Namespaces([Namespace("plain", ("*",))])
        for name in ("ticket:a", "revoked:user:1"):
            self.assertIsNone(kept.rule(name))
            self.assertIsNotNone(plain.rule(name))
        self.assertIsNotNone(kept.rule("tickets"))

    def test_reserved_pattern_is_rejected_where_the_namespace_has_history(self) -> None:
        for pattern in ("ticket:a", "revoked:*"):
            with self.assertRaisesRegex(ChannelError, "can have none"):
                Namespaces([Namespace("kept", (pattern,), history_size=1)])

    def test_longest_prefix_that_matches_rules(self) -> None:
        short, long, other = Namespace("short", ("r*",)), Namespace("long", ("room:*",)), Namespace("other", ("x*",))
        rules = Namespaces([short, long, other])
        self.assertEqual([rules.rule(name) for name in ("room:1", "room", "r", "x")], [long, short, short, other])

    def test_mark_of_users_is_a_character_like_others_to_patterns(self) -> None:
        everything, personal = Namespace("everything", ("*",)), Namespace("personal", ("#*",))
        rules = Namespaces([everything, personal])
        self.assertEqual(
            [rules.rule(name) for name in ("#42", "#", "team:#42", "room")],
            [personal, personal, everything, everything],
        )
        self.assertIs(Namespaces([everything]).rule("#42"), everything)
        self.assertIsNone(Namespaces([personal]).rule("team:#42"))

    def test_channel_that_no_pattern_matches_does_not_exist(self) -> None:
        self.assertIsNone(Namespaces([Namespace("n", ("room:*", "chat"))]).rule("lobby"))
        self.assertIsNone(Namespaces([]).rule("chat"))

    def test_pattern_in_two_namespaces_is_rejected(self) -> None:
        """The rule would depend on their order."""
        with self.assertRaises(ChannelError) as caught:
            Namespaces([Namespace("one", ("a*",)), Namespace("two", ("b", "a*"))])
        self.assertEqual(str(caught.exception), "the pattern 'a*' stands in two namespaces, one and two")

    def test_pattern_twice_in_one_namespace_is_accepted(self) -> None:
        namespace = Namespace("n", ("a", "a"))
        self.assertIs(Namespaces([namespace]).rule("a"), namespace)

    def test_malformed_pattern_is_rejected_when_the_rules_are_made(self) -> None:
        with self.assertRaises(ChannelError):
            Namespaces([Namespace("n", ("a b",))])

    @given(st.sets(PATTERNS, max_size=8), st.lists(SHORT_NAMES, min_size=1, max_size=8), st.randoms())
    def test_rule_is_the_exact_name_else_the_longest_prefix_in_whatever_order(
        self, patterns: set[str], channels: list[str], random: object
    ) -> None:
        namespaces = [Namespace(pattern, (pattern,)) for pattern in sorted(patterns)]
        shuffled = sorted(namespaces, key=lambda _: random.random())  # type: ignore[attr-defined]
        rules, again = Namespaces(namespaces), Namespaces(shuffled)
        for channel in channels:
            prefixes = [p for p in patterns if p.endswith("*") and channel.startswith(p[:-1])]
            expected = channel if channel in patterns else max(prefixes, key=len, default=None)
            found = rules.rule(channel)
            self.assertEqual(found.name if found is not None else None, expected)
            self.assertIs(again.rule(channel), found)


def own(name: str, *patterns: str, subscribe: Access = Access.AUTHENTICATED) -> Namespace:
    """A namespace whose channels may belong to one user each."""
    return Namespace(name, patterns, subscribe)


class OwnedTests(SynchronousTestCase):
    """Channels that belong to one user each."""

    def test_owner_is_all_that_stands_in_the_place_of_sub(self) -> None:
        rules = Namespaces([own("n", "user:{sub}")])
        owners = {"user:42": "42", "user:4:2": "4:2", "user:user:42": "user:42", "user::": ":"}
        for channel, owner in owners.items():
            found = rules.find(channel)
            assert found is not None
            self.assertEqual((found[0].name, found[1]), ("n", owner))

    def test_prefix_alone_has_no_owner_and_is_ruled_by_a_shorter_pattern(self) -> None:
        rest = Namespace("rest", ("us*",))
        for channel in ("user:", "user", "xuser:42"):
            self.assertIsNone(Namespaces([own("n", "user:{sub}")]).find(channel))
        rules = Namespaces([own("n", "user:{sub}"), rest])
        self.assertEqual([rules.find(channel) for channel in ("user:", "user")], [(rest, None)] * 2)

    def test_channel_of_another_pattern_of_the_namespace_has_no_owner(self) -> None:
        namespace = own("n", "user:{sub}", "room:*", "lobby")
        rules = Namespaces([namespace])
        found = [rules.find(channel) for channel in ("user:1", "room:1", "lobby", "other")]
        self.assertEqual(found, [(namespace, "1"), (namespace, None), (namespace, None), None])

    def test_exact_name_rules_before_an_owned_pattern_and_of_prefixes_the_longest(self) -> None:
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

    def test_owned_pattern_clashes_with_the_same_prefix_for_everybody_in_any_order(self) -> None:
        ours, theirs = own("ours", "user:{sub}"), own("theirs", "user:*")
        for namespaces, text in (
            ([ours, theirs], "the pattern 'user:*' stands in two namespaces, ours and theirs"),
            ([theirs, ours], "the pattern 'user:{sub}' stands in two namespaces, theirs and ours"),
            ([ours, own("more", "user:{sub}")], "the pattern 'user:{sub}' stands in two namespaces, ours and more"),
        ):
            with self.assertRaises(ChannelError) as caught:
                Namespaces(namespaces)
            self.assertEqual(str(caught.exception), text)

    def test_clash_within_one_namespace_has_an_error_of_its_own(self) -> None:
        for patterns in (("user:{sub}", "user:*"), ("user:*", "user:{sub}")):
            with self.assertRaises(ChannelError) as caught:
                Namespaces([own("n", *patterns)])
            self.assertEqual(str(caught.exception), "the namespace n has both 'user:*' and 'user:{sub}'")

    def test_owned_pattern_twice_in_one_namespace_is_accepted(self) -> None:
        namespace = own("n", "user:{sub}", "user:{sub}")
        self.assertEqual(Namespaces([namespace]).find("user:1"), (namespace, "1"))

    def test_owned_channels_are_never_public(self) -> None:
        for subscribe, publish in ((Access.PUBLIC, Access.NOBODY), (Access.TOKEN, Access.PUBLIC)):
            with self.assertRaises(ChannelError) as caught:
                Namespaces([Namespace("n", ("room", "user:{sub}"), subscribe, publish)])
            self.assertEqual(
                str(caught.exception),
                "'user:{sub}' belongs to one user each, and the namespace n is public: make it authenticated, token "
                "or nobody",
            )
        for access in (Access.AUTHENTICATED, Access.TOKEN, Access.NOBODY):
            Namespaces([Namespace("n", ("user:{sub}",), access, access)])

    def test_sub_stands_once_at_the_end_behind_a_prefix_of_a_channel_name(self) -> None:
        causes = {"{sub}": EMPTY, "$u{sub}": ALPHABET, "a/{sub}": ALPHABET, "a*{sub}": ALPHABET}
        causes |= {"{sub}:{sub}": ALPHABET, "a{sub}{sub}": ALPHABET, "x" * 256 + "{sub}": LONG}
        for pattern, cause in causes.items():
            with self.assertRaises(ChannelError) as caught:
                Namespaces([own("n", pattern)])
            self.assertEqual(
                str(caught.exception),
                f"{pattern!r} is not a valid pattern (a prefix and {{sub}}, as in user:{{sub}}): {cause}",
            )
        for pattern in ("{sub}*", "{sub}:inbox", "a{sub}b", "a{sub}*", "a{SUB}", "a{user}", "a{sub", "asub}"):
            with self.assertRaises(ChannelError):
                Namespaces([own("n", pattern)])

    def test_credential_cannot_hold_sub(self) -> None:
        with self.assertRaises(ChannelError):
            check_pattern("user:{sub}")

    @given(st.sets(PATTERNS | OWNED, max_size=8), SHORT_NAMES)
    def test_rule_is_the_exact_name_else_the_longest_prefix_that_leaves_an_owner(
        self, patterns: set[str], channel: str
    ) -> None:
        try:
            rules = Namespaces([own(pattern, pattern) for pattern in sorted(patterns)])
        except ChannelError:
            prefixes = [pattern.removesuffix(PERSONAL) for pattern in patterns if pattern.endswith(PERSONAL)]
            self.assertTrue({prefix + "*" for prefix in prefixes} & patterns)
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


class PayloadTests(SynchronousTestCase):
    """The data that publications may carry."""

    def test_any_bytes_may_be_sent_unless_the_namespace_asks_for_text_or_json(self) -> None:
        for namespace, permitted in (
            (Namespace("a", ("a",)), None),
            (Namespace("a", ("a",), frames=FrameType.TEXT), [True, True, False]),
            (Namespace("a", ("a",), payload=PayloadType.JSON), [True, False, False]),
            (Namespace("a", ("a",), frames=FrameType.TEXT, payload=PayloadType.JSON), [True, False, False]),
        ):
            check = namespace.payload_check
            found = None if check is None else [check(data) for data in (b"[1]", b"text", b"\xff")]
            self.assertEqual(found, permitted)
