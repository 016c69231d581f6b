"""Tests of `wsrelay.core.access.identity`."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.identity import (
    ANONYMOUS,
    MAX_PATTERNS,
    Identity,
    read_end,
    read_identity,
    reject_unknown_claims,
)
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.channel_names import matches
from wsrelay.core.outcomes.errors import ClaimError

SUBJECT = "sub must be a text of 1 to 255 bytes"
EXPIRES = "exp must be a number: seconds since 1970"
INPUT = "the-input"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=8,
)


def list_error(name: str) -> str:
    """Return the error for a claim that is no list."""
    return f"{name} must be a list of at most 100 channel patterns"


def pattern_error(name: str) -> str:
    """Return the error for a list with an entry that is no pattern."""
    return f"{name} must be a list of channel names, or beginnings of names with * at the end"


def error_text(**claims: object) -> str:
    """Return the error for claims; empty if they are valid."""
    try:
        read_identity(claims)
    except ClaimError as error:
        return str(error)
    return ""


class IdentityTests(SynchronousTestCase):
    """`Identity`."""

    def test_default_identity_is_authenticated_and_has_nothing_else(self) -> None:
        identity = Identity()
        self.assertTrue(identity.is_authenticated)
        self.assertEqual(
            (identity.subject, identity.channels, identity.publish, identity.expires, identity.credential_id),
            (None,) * 5,
        )
        self.assertIsNone(identity.cookie_error)
        self.assertEqual((identity.info, identity.subs), (b"", ()))

    def test_anonymous_identity_has_only_its_connection_as_a_target(self) -> None:
        self.assertFalse(ANONYMOUS.is_authenticated)
        self.assertEqual(ANONYMOUS.revocation_targets("5f0c"), ["connection:5f0c"])
        self.assertFalse(ANONYMOUS.lists_channel("room") or ANONYMOUS.lists_for_publish("room"))

    def test_listed_channels_are_those_that_a_pattern_matches(self) -> None:
        identity = Identity(channels=("room:1", "team:*"))
        asked = ("room:1", "room:12", "room:", "team:", "team:7", "x")
        self.assertEqual(
            [identity.lists_channel(channel) for channel in asked], [True, False, False, True, True, False]
        )
        self.assertEqual(
            [Identity(channels=given).lists_channel("room:1") for given in (None, (), ("*",))], [False, False, True]
        )

    def test_lists_for_subscribe_and_publish_are_independent(self) -> None:
        identity = Identity(channels=("a",), publish=("b*",))
        self.assertEqual([identity.lists_channel(name) for name in ("a", "b", "bb")], [True, False, False])
        self.assertEqual([identity.lists_for_publish(name) for name in ("a", "b", "bb")], [False, True, True])
        self.assertFalse(Identity(channels=("a",)).lists_for_publish("a"))

    def test_revocation_targets_are_connection_user_and_credential(self) -> None:
        self.assertEqual(
            Identity("42", credential_id="token:x").revocation_targets("5f0c"),
            ["connection:5f0c", "user:42", "token:x"],
        )
        self.assertEqual(Identity(credential_id="ticket:x").revocation_targets("5f0c"), ["connection:5f0c", "ticket:x"])


class ReadTests(SynchronousTestCase):
    """`read_identity`."""

    def test_claims_become_the_identity_and_unknown_ones_are_ignored(self) -> None:
        claims = {"sub": "42", "channels": ["a", "b*"], "publish": [], "exp": 12.5, "iss": ["x"], "is_known": False}
        self.assertEqual(
            read_identity(claims, "token:7"), Identity("42", ("a", "b*"), (), 12.5, "token:7", is_authenticated=True)
        )

    def test_info_and_server_subscriptions_are_read(self) -> None:
        claims = {"info": {"name": "Ann"}, "subs": {"a": {"data": [1]}}}
        self.assertEqual(
            read_identity(claims), Identity(info=b'{"name":"Ann"}', subs=(ServerSubscription("a", data=b"[1]"),))
        )
        self.assertEqual(read_identity({"b64info": "WzFd", "info": 2}).info, b"[1]")
        self.assertEqual(error_text(b64info="?"), "b64info must be a text in base64")
        self.assertEqual(error_text(subs=[]), "subs must be an object of at most 128 channels")

    def test_server_subscriptions_limit_nothing(self) -> None:
        identity = read_identity({"subs": {"a": {}}})
        self.assertIsNone(identity.channels)
        self.assertFalse(identity.lists_channel("a"))

    def test_missing_and_null_claims_are_the_same(self) -> None:
        self.assertEqual(read_identity({}), Identity())
        names = ("sub", "channels", "publish", "exp", "info", "b64info", "subs")
        self.assertEqual(read_identity(dict.fromkeys(names)), Identity())

    def test_integer_subject_is_its_decimal_text(self) -> None:
        self.assertEqual([read_identity({"sub": sub}).subject for sub in (42, "42", 0, -1)], ["42", "42", "0", "-1"])

    def test_subject_has_1_to_255_bytes_of_utf_8(self) -> None:
        for subject in ("x", "x" * 255, "\u00fc" * 127, "a b\n", "{sub}", "*", "\U0001f469\u200d\U0001f4bb"):
            self.assertEqual(read_identity({"sub": subject}).subject, subject)

    def test_invalid_subject_is_rejected_and_not_ignored(self) -> None:
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
            self.assertEqual(error_text(sub=subject), SUBJECT, repr(subject))

    def test_exp_is_any_number_of_seconds(self) -> None:
        for number, expires in ((0, 0.0), (-1, -1.0), (1_800_000_000, 1.8e9), (1.25, 1.25), (1e300, 1e300)):
            found = read_identity({"exp": number}).expires
            self.assertEqual(found, expires)
            self.assertIsInstance(found, float)

    def test_invalid_exp_is_rejected(self) -> None:
        ends: list[object] = ["1800000000", True, False, [], {}, math.inf, -math.inf, math.nan, 10**400, -(10**400)]
        for expires in ends:
            self.assertEqual(error_text(exp=expires), EXPIRES, repr(expires)[:20])

    def test_patterns_are_names_prefixes_or_the_asterisk_and_an_empty_list_is_kept(self) -> None:
        for claim in ("channels", "publish"):
            for patterns in ([], ["a"], ["*"], ["a*", "b"], ["x" * 255 + "*"], ["a"] * MAX_PATTERNS):
                self.assertEqual(getattr(read_identity({claim: patterns}), claim), tuple(patterns))

    def test_invalid_list_is_rejected_as_a_whole(self) -> None:
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
                self.assertEqual(error_text(**{claim: value}), list_error(claim), repr(value)[:30])
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
                self.assertEqual(error_text(**{claim: ["ok", pattern]}), pattern_error(claim), repr(pattern)[:30])

    def test_errors_and_tracebacks_do_not_repeat_the_input(self) -> None:
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
    def test_any_claims_are_an_identity_or_a_constant_error(self, claims: dict[str, Any]) -> None:
        text = error_text(**claims)
        possible = {
            "",
            SUBJECT,
            EXPIRES,
            *map(list_error, ("channels", "publish")),
            *map(pattern_error, ("channels", "publish")),
        }
        self.assertIn(text, possible)
        if text:
            return
        identity = read_identity(claims)
        self.assertEqual(identity.subject, None if claims.get("sub") is None else str(claims["sub"]))
        self.assertEqual(identity.expires, claims.get("exp"))
        for claim in ("channels", "publish"):
            value = claims.get(claim)
            self.assertEqual(getattr(identity, claim), None if value is None else tuple(value))
        self.assertTrue(identity.is_authenticated)

    @given(st.lists(st.sampled_from(["a", "a*", "ab", "b*", "*", "ab*"])), st.text("ab", min_size=1, max_size=3))
    def test_patterns_survive_json(self, patterns: list[str], channel: str) -> None:
        identity = read_identity(json.loads(json.dumps({"channels": patterns, "publish": patterns})))
        self.assertEqual(identity.lists_channel(channel), matches(patterns, channel))
        self.assertEqual(identity.lists_for_publish(channel), matches(patterns, channel))


class EndTests(SynchronousTestCase):
    """`read_end`."""

    def test_end_is_that_of_the_claim_or_the_default_and_0_is_none(self) -> None:
        for claim, end in ((7, 7.0), (0, None), (0.0, None), (-1, -1.0)):
            self.assertEqual(read_end({"expire_at": claim}, 5.0), end)
        without: list[dict[str, object]] = [{}, {"expire_at": None}, {"exp": 7}]
        for claims in without:
            self.assertEqual((read_end(claims, 5.0), read_end(claims, None)), (5.0, None))

    def test_end_that_is_not_a_finite_number_is_rejected(self) -> None:
        for value in ("7", True, [7], math.inf, math.nan, 10**400):
            error = self.assertRaises(ClaimError, read_end, {"expire_at": value}, None)
            self.assertEqual(str(error), "expire_at must be a number: seconds since 1970")


class UnknownClaimTests(SynchronousTestCase):
    """Claims of other names than the known ones."""

    def test_claim_of_another_name_is_rejected_and_the_known_ones_are_named(self) -> None:
        reject_unknown_claims({"sub": "42"}, ("sub", "exp"))
        with self.assertRaises(ClaimError) as caught:
            reject_unknown_claims({"sub": "42", "s3cret": 1}, ("sub", "exp"))
        self.assertEqual(str(caught.exception), "it says something that is not understood here: it may say sub, exp")
