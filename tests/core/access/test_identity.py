"""Tests of `wsrelay.core.access.identity`."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.identity import ANONYMOUS, MAX_PATTERNS, Identity, read_identity
from wsrelay.core.messaging.channel_names import matches
from wsrelay.core.outcomes.errors import ClaimError

SUBJECT = "sub must be a text of 1 to 255 bytes"
EXPIRES = "exp must be a number: seconds since 1970"
INPUT = "what-they-sent"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=8,
)


def few(name: str) -> str:
    """What is said of a claim that is no list."""
    return f"{name} must be a list of at most 100 channel patterns"


def names(name: str) -> str:
    """What is said of a list with something in it that is no pattern."""
    return f"{name} must be a list of channel names, or beginnings of names with * at the end"


def complaint(**claims: object) -> str:
    """What is said about claims; empty where they are good."""
    try:
        read_identity(claims)
    except ClaimError as error:
        return str(error)
    return ""


class IdentityTests(SynchronousTestCase):
    """What an identity says."""

    def test_somebody(self) -> None:
        """Who has shown something is known, and nothing more is said of them by itself."""
        somebody = Identity()
        self.assertTrue(somebody.is_authenticated)
        self.assertEqual(
            (somebody.subject, somebody.channels, somebody.publish, somebody.expires, somebody.credential_id),
            (None,) * 5,
        )
        self.assertIsNone(somebody.cookie_error)

    def test_nobody(self) -> None:
        """Who has shown nothing is not known and has no name but that of the connection."""
        self.assertFalse(ANONYMOUS.is_authenticated)
        self.assertEqual(ANONYMOUS.revocation_targets("5f0c"), ["connection:5f0c"])
        self.assertFalse(ANONYMOUS.lists_channel("room") or ANONYMOUS.lists_for_publish("room"))

    def test_names_channels(self) -> None:
        """A credential names what its patterns match; one that says nothing and one that names nothing name none."""
        identity = Identity(channels=("room:1", "team:*"))
        asked = ("room:1", "room:12", "room:", "team:", "team:7", "x")
        self.assertEqual(
            [identity.lists_channel(channel) for channel in asked], [True, False, False, True, True, False]
        )
        self.assertEqual(
            [Identity(channels=given).lists_channel("room:1") for given in (None, (), ("*",))], [False, False, True]
        )

    def test_names_to_publish(self) -> None:
        """What it names to listen to and what to publish to are two things."""
        identity = Identity(channels=("a",), publish=("b*",))
        self.assertEqual([identity.lists_channel(name) for name in ("a", "b", "bb")], [True, False, False])
        self.assertEqual([identity.lists_for_publish(name) for name in ("a", "b", "bb")], [False, True, True])
        self.assertFalse(Identity(channels=("a",)).lists_for_publish("a"))

    def test_names_for(self) -> None:
        """A client can be found by its connection, its user, and its credential, as far as it has them."""
        self.assertEqual(
            Identity("42", credential_id="token:x").revocation_targets("5f0c"),
            ["connection:5f0c", "user:42", "token:x"],
        )
        self.assertEqual(Identity(credential_id="ticket:x").revocation_targets("5f0c"), ["connection:5f0c", "ticket:x"])


class ReadTests(SynchronousTestCase):
    """From claims to an identity."""

    def test_all(self) -> None:
        """What claims say is who the client is; what else is in them does not matter."""
        claims = {"sub": "42", "channels": ["a", "b*"], "publish": [], "exp": 12.5, "iss": ["x"], "is_known": False}
        self.assertEqual(
            read_identity(claims, "token:7"), Identity("42", ("a", "b*"), (), 12.5, "token:7", is_authenticated=True)
        )

    def test_nothing(self) -> None:
        """All claims may be missing, or null, which is the same; the credential is good all the same."""
        self.assertEqual(read_identity({}), Identity())
        self.assertEqual(read_identity(dict.fromkeys(("sub", "channels", "publish", "exp"))), Identity())

    def test_numbers_are_users(self) -> None:
        """A user that is a whole number is the one whose name is that number."""
        self.assertEqual([read_identity({"sub": sub}).subject for sub in (42, "42", 0, -1)], ["42", "42", "0", "-1"])

    def test_good_subjects(self) -> None:
        """A user may be called anything of 1 to 255 bytes, counted as UTF-8."""
        for subject in ("x", "x" * 255, "\u00fc" * 127, "a b\n", "{sub}", "*", "\U0001f469\u200d\U0001f4bb"):
            self.assertEqual(read_identity({"sub": subject}).subject, subject)

    def test_bad_subjects(self) -> None:
        """What cannot be the name of a user is refused, not taken for nobody."""
        subjects: list[object] = [
            "",
            "x" * 256,
            "\u00fc" * 128,
            "\ud800",
            "a\udfff",
            True,
            False,
            1.0,
            [],
            ["42"],
            {},
            b"42",
        ]
        for subject in subjects:
            self.assertEqual(complaint(sub=subject), SUBJECT, repr(subject))

    def test_expires(self) -> None:
        """The end is a number of seconds, whole or not, at any time, past ones too."""
        for number, expires in ((0, 0.0), (-1, -1.0), (1_800_000_000, 1.8e9), (1.25, 1.25), (1e300, 1e300)):
            found = read_identity({"exp": number}).expires
            self.assertEqual(found, expires)
            self.assertIsInstance(found, float)

    def test_bad_ends(self) -> None:
        """What is no moment is refused: neither does it never end, nor has it ended."""
        ends: list[object] = ["1800000000", True, False, [], {}, math.inf, -math.inf, math.nan, 10**400, -(10**400)]
        for expires in ends:
            self.assertEqual(complaint(exp=expires), EXPIRES, repr(expires)[:20])

    def test_patterns(self) -> None:
        """Channels are names, beginnings and *, or * alone; an empty list is not the same as none at all."""
        for claim in ("channels", "publish"):
            for patterns in ([], ["a"], ["*"], ["a*", "b"], ["x" * 255 + "*"], ["a"] * MAX_PATTERNS):
                self.assertEqual(getattr(read_identity({claim: patterns}), claim), tuple(patterns))

    def test_bad_patterns(self) -> None:
        """What is no list of so many patterns is refused as a whole, not taken for what is good in it."""
        for claim in ("channels", "publish"):
            for value in (
                "room",
                "*",
                1,
                True,
                {},
                {"a": 1},
                ("a",),
                ["a"] * (MAX_PATTERNS + 1),
                ["a", 1],
                [None],
                [["a"]],
            ):
                self.assertEqual(complaint(**{claim: value}), few(claim), repr(value)[:30])
            for pattern in (
                "",
                "**",
                "a*b",
                "*a",
                "a b",
                "user:{sub}",
                "$control",
                "a/b",
                "\u00fc",
                "\ud800",
                "x" * 256,
            ):
                self.assertEqual(complaint(**{claim: ["ok", pattern]}), names(claim), repr(pattern)[:30])

    def test_never_repeats(self) -> None:
        """A complaint repeats nothing of what was sent, nor does the traceback that a log might show."""
        bad: list[dict[str, Any]] = [
            {"sub": [INPUT]},
            {"sub": INPUT * 100},
            {"exp": INPUT},
            {"channels": INPUT},
            {"channels": [INPUT, 1]},
            {"publish": [f"{INPUT} *"]},
        ]
        for claims in bad:
            with self.assertRaises(ClaimError) as caught:
                read_identity(claims)
            error = caught.exception
            self.assertNotIn(INPUT, str(error))
            self.assertTrue(error.__cause__ is None and (error.__context__ is None or error.__suppress_context__))

    @given(st.dictionaries(st.sampled_from(["sub", "channels", "publish", "exp", "x"]), JSON))
    @example({"exp": 10**400})
    @example({"sub": "\ud800"})
    def test_anything(self, claims: dict[str, Any]) -> None:
        """Any claims are refused in one of a few constant sentences, or become an identity that says just that."""
        said = complaint(**claims)
        possible = {"", SUBJECT, EXPIRES, *map(few, ("channels", "publish")), *map(names, ("channels", "publish"))}
        self.assertIn(said, possible)
        if said:
            return
        identity = read_identity(claims)
        self.assertEqual(identity.subject, None if claims.get("sub") is None else str(claims["sub"]))
        self.assertEqual(identity.expires, claims.get("exp"))
        for claim in ("channels", "publish"):
            value = claims.get(claim)
            self.assertEqual(getattr(identity, claim), None if value is None else tuple(value))
        self.assertTrue(identity.is_authenticated)

    @given(st.lists(st.sampled_from(["a", "a*", "ab", "b*", "*", "ab*"])), st.text("ab", min_size=1, max_size=3))
    def test_round_trip(self, patterns: list[str], channel: str) -> None:
        """What is written down as JSON means the same when it is read: these channels and no others."""
        identity = read_identity(json.loads(json.dumps({"channels": patterns, "publish": patterns})))
        self.assertEqual(identity.lists_channel(channel), matches(patterns, channel))
        self.assertEqual(identity.lists_for_publish(channel), matches(patterns, channel))
