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

TEXT = "s3cret-of-somebody"
# What an environment variable may be: any bytes, those that are no UTF-8 as lone surrogates (PEP 383).
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.binary(max_size=40).map(
    lambda data: data.decode("utf-8", "surrogateescape")
)


class HidingTests(SynchronousTestCase):
    """What shows it, and what does not."""

    def test_reveal(self) -> None:
        """It is given out, unchanged, to whoever asks for it by name."""
        self.assertEqual(Secret(TEXT).reveal(), TEXT)

    def test_texts(self) -> None:
        """No way to make a text of it shows it, by itself or inside something else."""
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

    def test_format_with_a_width(self) -> None:
        """A format that it does not know fails without showing it."""
        with self.assertRaises(TypeError) as caught:
            format(Secret(TEXT), ">40")
        self.assertNotIn(TEXT, "".join(traceback.format_exception(caught.exception)))

    def test_logs(self) -> None:
        """A log event that has it in a field is written without it."""
        with capturedLogs() as events:
            Logger().info(
                "{secret} {secret!r} {key.secret}",
                secret=Secret(TEXT),
                key=Credential(CredentialKind.TOKEN, Secret("")),
            )
        self.assertEqual([TEXT in eventAsText(event) for event in events], [False])
        record = logging.LogRecord("x", 20, "x", 1, "%s", (Secret(TEXT),), None)
        self.assertEqual(record.getMessage(), "Secret(...)")

    def test_dumps(self) -> None:
        """Nothing that writes objects down writes it down."""
        ways: list[Callable[[Secret], object]] = [json.dumps, vars, bytes]  # type: ignore[list-item]  # they refuse
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            ways.append(partial(pickle.dumps, protocol=protocol))
        for way in ways:
            with self.assertRaises(TypeError) as caught:
                way(Secret(TEXT))
            self.assertNotIn(TEXT, str(caught.exception))


class EqualityTests(SynchronousTestCase):
    """Whether two are the same."""

    @given(TEXTS, TEXTS)
    def test_specification(self, one: str, other: str) -> None:
        """Two are equal, and of one hash, when their texts are; whatever can be in the environment can be one."""
        self.assertEqual(Secret(one) == Secret(other), one == other)
        self.assertEqual(Secret(one) != Secret(other), one != other)
        self.assertTrue(Secret(one) == Secret(one))
        self.assertEqual(hash(Secret(one)), hash(Secret(one)))
        self.assertEqual(len({Secret(one), Secret(other), Secret(one)}), len({one, other}))

    def test_other_kinds(self) -> None:
        """It is not equal to its own text, nor to the text's digest: only to another secret."""
        secret = Secret(TEXT)
        for other in (TEXT, TEXT.encode(), secret.digest, None, object()):
            self.assertFalse(secret == other)

    def test_digest(self) -> None:
        """The digest is of a fixed length, the same for the same text, and does not hold it."""
        self.assertEqual(Secret(TEXT).digest, Secret(TEXT).digest)
        self.assertEqual({len(Secret(text).digest) for text in ("", "x", TEXT * 100)}, {32})
        self.assertNotIn(TEXT.encode(), Secret(TEXT).digest)


class OneOfTests(SynchronousTestCase):
    """Whether a credential is one of several."""

    def test_places(self) -> None:
        """It is found wherever it stands, and not found where it does not."""
        known = [Secret(text) for text in ("one", "two", "three")]
        given = ("one", "two", "three", "", "four", "on", "One")
        self.assertEqual([is_one_of(Secret(text), known) for text in given], [True, True, True, *[False] * 4])

    def test_none_known(self) -> None:
        """Where none is known nothing is one of them, not even the empty one."""
        self.assertFalse(is_one_of(Secret(""), []))

    def test_looks_at_all(self) -> None:
        """It looks at all of them, also behind the one that it is, for the time must not tell which."""
        looked: list[str] = []

        def known() -> Iterator[Secret]:
            for text in ("one", "two", "three"):
                looked.append(text)
                yield Secret(text)

        self.assertTrue(is_one_of(Secret("one"), known()))
        self.assertEqual(looked, ["one", "two", "three"])
