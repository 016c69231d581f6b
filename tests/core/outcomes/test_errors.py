"""Tests of `wsrelay.core.outcomes.errors`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes import errors
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, HTTPError, ProtocolViolation, WsrelayError
from wsrelay.core.wire.http_response import ErrorResponse


class CodeTests(SynchronousTestCase):
    """What is told of an error of Redis."""

    def test_code(self) -> None:
        """The code and nothing behind it, which may repeat a credential."""
        self.assertEqual(BrokerUnavailable("NOPERM no permission for key x").code, "NOPERM")
        self.assertEqual(BrokerUnavailable("not connected yet").code, "no answer")


class ErrorTests(SynchronousTestCase):
    """The exception tree."""

    def test_one_root(self) -> None:
        """Whatever the package raises on purpose is caught with one except clause."""
        for name in errors.__all__:
            self.assertTrue(issubclass(getattr(errors, name), WsrelayError), name)

    def test_documented(self) -> None:
        """The tree in the module's docstring names every exception."""
        for name in errors.__all__:
            self.assertIn(name, errors.__doc__ or "")

    def test_refused(self) -> None:
        """A refused handshake carries its answer and reads like it."""
        response = ErrorResponse(404, "No such channel.")
        error = HTTPError(response)
        self.assertIs(error.response, response)
        self.assertEqual(str(error), "404 No such channel.")

    def test_violation(self) -> None:
        """A protocol violation carries its closing and reads like it."""
        error = ProtocolViolation(Disconnect.TOO_BIG)
        self.assertIs(error.disconnect, Disconnect.TOO_BIG)
        self.assertEqual(str(error), "message too big")
