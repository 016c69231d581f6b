"""Tests of `wsrelay.core.access.secret`."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.secret import Secret, is_one_of

TEXT = "s3cret-text"
# What an environment variable may be: any bytes, those that are no UTF-8 as lone surrogates (PEP 383).
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.binary(max_size=40).map(
    lambda data: data.decode("utf-8", "surrogateescape")
)


class HidingTests(SynchronousTestCase):
    """Texts, logs and dumps."""

    def test_reveal_returns_the_text_unchanged(self) -> None:
        self.assertEqual(Secret(TEXT).reveal(), TEXT)

    def test_no_conversion_to_text_shows_the_secret(self) -> None:
        secret = Secret(TEXT)
        shown = [
            str(secret),
            repr(secret),
            ascii(secret),
            f"{secret} {secret!r} {secret!s} {secret!a}",
            "%s %r" % (secret, secret),  # noqa: UP031 -- as log lines of others are made
            "{} {!r}".format(secret, secret),  # noqa: UP032 -- this way, too
            format(secret),
            str([secret, {secret: (secret,)}]),
            str(ValueError(secret)),
            repr(Credential(CredentialKind.TICKET, secret)),
        ]
        self.assertEqual([text for text in shown if TEXT in text], [])
        self.assertEqual(repr(secret), "Secret(...)")

    def test_unsupported_format_fails_without_showing_the_secret(self) -> None:
        with self.assertRaises(TypeError) as caught:
            format(Secret(TEXT), ">40")
        self.assertNotIn(TEXT, "".join(traceback.format_exception(caught.exception)))

    def test_log_events_hide_the_secret(self) -> None:
        with capturedLogs() as events:
            Logger().info(
                "{secret} {secret!r} {key.secret}",
                secret=Secret(TEXT),
                key=Credential(CredentialKind.TOKEN, Secret("")),
            )
        self.assertEqual([TEXT in eventAsText(event) for event in events], [False])
        record = logging.LogRecord("x", 20, "x", 1, "%s", (Secret(TEXT),), None)
        self.assertEqual(record.getMessage(), "Secret(...)")

    def test_serializers_reject_the_secret(self) -> None:
        ways: list[Callable[[Secret], object]] = [json.dumps, vars, bytes]  # type: ignore[list-item]  # they refuse
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            ways.append(partial(pickle.dumps, protocol=protocol))
        for way in ways:
            with self.assertRaises(TypeError) as caught:
                way(Secret(TEXT))
            self.assertNotIn(TEXT, str(caught.exception))


class EqualityTests(SynchronousTestCase):
    """Equality and hashes."""

    @given(TEXTS, TEXTS)
    def test_secrets_are_equal_if_their_texts_are(self, one: str, other: str) -> None:
        self.assertEqual(Secret(one) == Secret(other), one == other)
        self.assertEqual(Secret(one) != Secret(other), one != other)
        self.assertTrue(Secret(one) == Secret(one))
        self.assertEqual(hash(Secret(one)), hash(Secret(one)))
        self.assertEqual(len({Secret(one), Secret(other), Secret(one)}), len({one, other}))

    def test_secret_equals_secrets_only(self) -> None:
        secret = Secret(TEXT)
        for other in (TEXT, TEXT.encode(), secret.digest, None, object()):
            self.assertFalse(secret == other)

    def test_digest_has_a_fixed_length_and_hides_the_text(self) -> None:
        self.assertEqual(Secret(TEXT).digest, Secret(TEXT).digest)
        self.assertEqual({len(Secret(text).digest) for text in ("", "x", TEXT * 100)}, {32})
        self.assertNotIn(TEXT.encode(), Secret(TEXT).digest)


class OneOfTests(SynchronousTestCase):
    """`is_one_of`."""

    def test_secret_is_found_in_every_place(self) -> None:
        known = [Secret(text) for text in ("one", "two", "three")]
        given = ("one", "two", "three", "", "four", "on", "One")
        self.assertEqual([is_one_of(Secret(text), known) for text in given], [True, True, True, *[False] * 4])

    def test_no_secret_is_one_of_none(self) -> None:
        self.assertFalse(is_one_of(Secret(""), []))

    def test_every_secret_is_compared_even_after_a_match(self) -> None:
        """The time would reveal the place of the match."""
        looked: list[str] = []

        def known() -> Iterator[Secret]:
            for text in ("one", "two", "three"):
                looked.append(text)
                yield Secret(text)

        self.assertTrue(is_one_of(Secret("one"), known()))
        self.assertEqual(looked, ["one", "two", "three"])
