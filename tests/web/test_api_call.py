"""Tests of wsrelay.web.api.call: the responses to a call, by what its handler does."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, ChannelError, ClaimError, RejectedError
from wsrelay.web.api.call import CALL_TIMEOUT_SECONDS, APICall, APIError, APIResponse


class APICallTests(SynchronousTestCase):
    """A call on a clock."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.request: Any = DummyRequest([b"call"])

    def call(self, result: Any) -> None:
        """Render a call whose handler awaits a Deferred, raises an exception, or returns a response."""

        async def handle(_request: object) -> APIResponse:
            found = await result if isinstance(result, Deferred) else result
            if isinstance(found, Exception):
                raise found
            return 200, found

        APICall(handle, self.clock).render(self.request)

    def response(self) -> tuple[int, dict[str, Any]]:
        """Return status and document of the response."""
        return self.request.responseCode, json.loads(b"".join(self.request.written))

    def test_response_of_the_handler_is_sent_as_json(self) -> None:
        self.call({"a": 1})
        self.assertEqual(self.response(), (200, {"a": 1}))
        self.assertEqual(self.request.finished, 1)

    def test_errors_have_their_status_and_text(self) -> None:
        unknown = ClientError.UNKNOWN_CHANNEL
        for error, status, text in (
            (APIError(418, "text"), 418, "text"),
            (ChannelError("text"), 400, "text"),
            (ClaimError("text"), 400, "text"),
            (RejectedError(unknown), 404, unknown.response.text),
            (BrokerUnavailable("inside"), 503, ClientError.NOT_AVAILABLE.response.text),
        ):
            self.request = DummyRequest([b"call"])
            self.call(error)
            self.assertEqual(self.response(), (status, {"error": text}))

    def test_error_has_its_header_fields(self) -> None:
        self.call(APIError(405, "text", (("Allow", "POST"),)))
        self.assertEqual(self.request.responseHeaders.getRawHeaders("allow"), ["POST"])

    def test_call_is_answered_with_503_after_the_timeout_and_not_before(self) -> None:
        self.call(Deferred())
        self.clock.advance(CALL_TIMEOUT_SECONDS - 0.1)
        self.assertEqual(self.request.finished, 0)
        self.clock.advance(0.1)
        self.assertEqual((self.response()[0], self.request.finished), (503, 1))
        self.assertEqual(self.request.responseHeaders.getRawHeaders("retry-after"), ["5"])

    def test_unexpected_exception_is_500_and_logged(self) -> None:
        self.call(ZeroDivisionError("inside"))
        status, document = self.response()
        self.assertEqual((status, "inside" in document["error"]), (500, False))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
