"""Tests of `wsrelay.core.access.refresh`."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.identity import ANONYMOUS, NO_ANSWER, ApplicationAnswer, Identity
from wsrelay.core.access.refresh import refresh_identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError

OLD = Identity(
    "42",
    ("a",),
    ("a",),
    100.0,
    "token:old",
    info=b"1",
    answer=ApplicationAnswer(address="192.0.2.7", connection="5f0c"),
)
NEW = Identity("42", ("b",), ("c",), 200.0, "token:new", info=b"2", subs=(ServerSubscription("d"),))
ENDS = st.none() | st.floats(0, 1e6)


class RefreshTests(SynchronousTestCase):
    """`refresh_identity`."""

    def test_new_token_says_everything_without_a_hook(self) -> None:
        expected = Identity("42", ("b",), ("c",), 200.0, "token:new", info=b"2")
        refreshed = refresh_identity(OLD, NEW, has_hook=False)
        self.assertEqual(refreshed, expected)
        self.assertIs(refreshed.answer, NO_ANSWER)

    def test_new_token_changes_its_end_and_its_id_alone_with_a_hook(self) -> None:
        expected = replace(OLD, expires=200.0, credential_id="token:new")
        refreshed = refresh_identity(OLD, NEW, has_hook=True)
        self.assertEqual(refreshed, expected)
        self.assertIs(refreshed.answer, OLD.answer)

    @given(ENDS, ENDS, ENDS)
    def test_new_token_does_not_outlast_the_answer_of_the_hook(
        self, old: float | None, new: float | None, application: float | None
    ) -> None:
        identity = replace(OLD, expires=old, answer=ApplicationAnswer(application))
        refreshed = refresh_identity(identity, replace(NEW, expires=new), has_hook=True)
        again = refresh_identity(refreshed, replace(NEW, expires=None), has_hook=True)
        self.assertEqual(refreshed.expires, min((x for x in (new, application) if x is not None), default=None))
        self.assertEqual(again.expires, application)

    def test_token_of_another_user_is_a_mismatch(self) -> None:
        for identity, subject in (
            (OLD, "4"),
            (OLD, None),
            (replace(OLD, subject=None), "42"),
            (ANONYMOUS, None),
            (ANONYMOUS, "42"),
            (replace(OLD, is_authenticated=False), "42"),
        ):
            for has_hook in (True, False):
                with self.assertRaises(RejectedError) as caught:
                    refresh_identity(identity, replace(NEW, subject=subject), has_hook=has_hook)
                self.assertIs(caught.exception.client_error, ClientError.TOKEN_MISMATCH)

    def test_client_that_the_application_calls_by_another_name_refreshes_by_a_token_of_the_same_user_as_before(
        self,
    ) -> None:
        renamed = replace(OLD, subject="ann", answer=ApplicationAnswer(credential_subject="42"))
        refreshed = refresh_identity(renamed, NEW, has_hook=True)
        self.assertEqual((refreshed.subject, refreshed.answer.credential_subject), ("ann", "42"))
        for subject in ("ann", "43", None):
            with self.assertRaises(RejectedError):
                refresh_identity(renamed, replace(NEW, subject=subject), has_hook=True)

    def test_client_without_a_user_may_refresh_by_a_token_without_one(self) -> None:
        refreshed = refresh_identity(Identity(expires=1.0), Identity(expires=2.0), has_hook=False)
        self.assertEqual(refreshed, Identity(expires=2.0))

    def test_client_whose_credential_names_no_user_keeps_the_one_that_the_application_names(self) -> None:
        named = Identity("42", expires=1.0, answer=ApplicationAnswer(credential_subject=""))
        refreshed = refresh_identity(named, Identity(expires=2.0, credential_id="token:new"), has_hook=True)
        self.assertEqual((refreshed.subject, refreshed.answer.credential_subject, refreshed.expires), ("42", "", 2.0))
        for subject in ("42", "43"):
            with self.assertRaises(RejectedError) as caught:
                refresh_identity(named, Identity(subject), has_hook=True)
            self.assertIs(caught.exception.client_error, ClientError.TOKEN_MISMATCH)
