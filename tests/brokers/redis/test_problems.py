"""Tests of `wsrelay.brokers.redis.problems`: each cause has its words, and strangers read no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet import error as errors
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.brokers.redis.problems import NO_PROBLEM, Problem, RedisProblemError, problem_of, reply_problem
from wsrelay.outgoing.tls import RejectedCertificateError


class ReplyTests(SynchronousTestCase):
    """Error replies, in the words of Redis 2.8 to 8 and Valkey."""

    def test_each_cause_has_a_summary_of_its_own(self) -> None:
        for part, replies in {
            "max number of clients": (
                "ERR max number of clients reached",
                "ERR max number of clients + cluster connections reached",
            ),
            "protected mode": ("DENIED Redis is running in protected mode because protected mode is enabled",),
            "registering fd event": ("ERR Error registering fd event for the new client: Out of range",),
            "(LOADING)": ("LOADING Redis is loading the dataset in memory",),
            "(WRONGPASS)": ("WRONGPASS invalid username-password pair or user is disabled.", "ERR invalid password"),
            "the server has none": (
                "ERR AUTH <password> called without any password configured for the default user. Are you sure?",
                "ERR Client sent AUTH, but no password is set",
            ),
            "command AUTH": ("ERR unknown command 'AUTH', with args beginning with: 'x'",),
            "(NOAUTH)": ("NOAUTH Authentication required.", "ERR operation not permitted"),
            "(NOPERM)": ("NOPERM User svc has no permissions to run the 'publish' command",),
            "no database": ("ERR DB index is out of range", "ERR SELECT is not allowed in cluster mode"),
            "(MISCONF)": ("MISCONF Errors writing to the AOF file",),
            "(READONLY)": ("READONLY You can't write against a read only replica.",),
            "several nodes": ("MOVED 5798 10.0.0.7:7001",),
            "(CLUSTERDOWN)": ("CLUSTERDOWN Hash slot not served",),
            "error (ERR)": ("ERR something",),
            "with an error": ("something", "", "svc-relay:secret ERR", "SECRET is not known"),
        }.items():
            for reply in replies:
                problem = reply_problem(reply)
                self.assertIn(part, problem.summary)
                self.assertTrue(problem.detail.startswith(reply), reply)

    @given(st.text(st.characters(codec="ascii")))
    def test_text_that_may_repeat_a_password_is_repeated_nowhere(self, text: str) -> None:
        for secret in ("hunter2", "HUNTERX"):
            for reply in (f"ERR {text}{secret}", f"WRONGPASS {text}{secret}", f"{text}{secret}", f"{secret} {text}"):
                self.assertNotIn(secret, str(reply_problem(reply, with_detail=False)))
                self.assertNotIn(secret, reply_problem(reply).summary)

    def test_problems_that_differ_in_numbers_only_are_alike(self) -> None:
        """A renamed PUBLISH repeats the number of each probe."""
        first, second = (Problem("it replied with an error (ERR)", f"unknown command, with '{n}'") for n in (1, 22))
        self.assertTrue(first.is_like(second))
        self.assertFalse(first.is_like(Problem(first.summary, "another")))
        self.assertFalse(first.is_like(NO_PROBLEM))

    def test_detail_that_holds_a_secret_is_left_out(self) -> None:
        problem = Problem("it replied with an error", "you sent hunter2")
        self.assertEqual(problem.without("hunter2"), Problem(problem.summary))
        for other in (None, "", "hunter3"):
            self.assertIs(problem.without(other), problem)


class ErrorTests(SynchronousTestCase):
    """Exceptions."""

    def test_each_kind_has_words_that_repeat_nothing_of_it(self) -> None:
        secret = "redis-7.internal"
        for error, summary in (
            (RedisProblemError(Problem("it is a replica")), "it is a replica"),
            (RejectedCertificateError("its certificate is for another name"), "its certificate is for another name"),
            (SSL.Error([("SSL routines", "", "wrong version number")]), "it does not speak TLS on this port"),
            (SSL.Error([("SSL routines", "", secret)]), "the TLS handshake failed"),
            (SSL.Error(), "the TLS handshake failed"),
            (DeferredTimeout(), "Redis does not answer"),
            (errors.TimeoutError(), "Redis does not answer"),
            (errors.DNSLookupError(secret), "the name of its host cannot be resolved"),
            (errors.ConnectionRefusedError(secret), "it refuses the connection"),
            (errors.ConnectError(secret), "it cannot be reached"),
            (errors.ConnectionLost(secret), "the connection ended"),
            (RuntimeError(secret), "the connection failed"),
        ):
            self.assertEqual(problem_of(error).summary, summary)

    def test_log_gets_the_details(self) -> None:
        error = SSL.Error([("SSL routines", "", "tlsv13 alert certificate required")])
        self.assertEqual(str(problem_of(error)), "it demands a client certificate (tlsv13 alert certificate required)")
