"""Tests of `wsrelay.core.outcomes.errors`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes import errors
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, HTTPError, ProtocolViolation, WsrelayError
from wsrelay.core.wire.http_response import ErrorResponse


class CodeTests(SynchronousTestCase):
    """The code of an error of Redis."""

    def test_code_of_an_error_of_redis_leaves_out_what_may_repeat_a_credential(self) -> None:
        self.assertEqual(BrokerUnavailable("NOPERM no permission for key x").code, "NOPERM")
        self.assertEqual(BrokerUnavailable("not connected yet").code, "no answer")


class ErrorTests(SynchronousTestCase):
    """The exception tree."""

    def test_every_exception_is_caught_by_one_except_clause(self) -> None:
        for name in errors.__all__:
            self.assertTrue(issubclass(getattr(errors, name), WsrelayError), name)

    def test_tree_of_the_module_names_every_exception(self) -> None:
        for name in errors.__all__:
            self.assertIn(name, errors.__doc__ or "")

    def test_rejected_handshake_carries_its_response_and_reads_like_it(self) -> None:
        response = ErrorResponse(404, "No such channel.")
        error = HTTPError(response)
        self.assertIs(error.response, response)
        self.assertEqual(str(error), "404 No such channel.")

    def test_protocol_violation_carries_its_disconnect_and_reads_like_it(self) -> None:
        error = ProtocolViolation(Disconnect.TOO_BIG)
        self.assertIs(error.disconnect, Disconnect.TOO_BIG)
        self.assertEqual(str(error), "message too big")
