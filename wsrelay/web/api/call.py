"""One API call: a resource that responds with JSON when its handler is done, or has taken too long."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerFull, BrokerUnavailable, ChannelError, ClaimError, RejectedError
from wsrelay.core.wire.request_id import request_id
from wsrelay.web.api.method_errors import FULL
from wsrelay.web.responses import respond

__all__ = ["APICall", "APIError", "APIResponse", "Handler", "read_body", "read_document"]

CALL_TIMEOUT_SECONDS = 10.0
"""The time after which a call that is not done is answered with 503."""

APIResponse = tuple[int, dict[str, Any] | bytes]
"""HTTP status, and a JSON object or its text."""

Handler = Callable[[Request], Coroutine[Deferred[Any], Any, APIResponse]]
"""Carries out a call, and returns the response."""


class APIError(Exception):
    """A call is answered with an error.

    Args:
        status: The HTTP status code.
        text: The problem, for the developer who made the call.
        headers: Additional header fields, as pairs of name and value.
    """

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class APICall(Resource):
    """One call.

    Args:
        handler: Carries out the call. It may raise `APIError` and the errors of
            `wsrelay.engine.operations.Operations`.
        clock: Runs the timeout.
    """

    isLeaf = True
    log = Logger()

    def __init__(self, handler: Handler, clock: IReactorTime) -> None:
        super().__init__()
        self._handler = handler
        self._clock = clock

    def render(self, request: Request) -> int:
        """Carry out the call, also if the client disconnects meanwhile: half of it may be done."""
        disconnected: list[object] = []
        request.notifyFinish().addErrback(disconnected.append)
        done = Deferred.fromCoroutine(self._call(request))
        done.addErrback(self._on_failure, request)
        done.addCallback(self._finish, request, disconnected)
        return NOT_DONE_YET

    async def _call(self, request: Request) -> APIResponse:
        try:
            done = Deferred.fromCoroutine(self._handler(request))
            return await done.addTimeout(CALL_TIMEOUT_SECONDS, self._clock)
        except APIError as error:
            return _respond_error(request, error)
        except RejectedError as error:
            response = error.client_error.response
            return _respond_error(request, APIError(response.status, response.text, response.headers))
        except (ChannelError, ClaimError) as error:
            return 400, {"error": str(error)}
        except BrokerFull:
            return 507, {"error": FULL}
        except (BrokerUnavailable, DeferredTimeout):
            response = ClientError.NOT_AVAILABLE.response
            return _respond_error(request, APIError(response.status, response.text, response.headers))

    def _on_failure(self, failure: Failure, request: Request) -> APIResponse:
        found = request_id(request.getHeader("x-request-id") or "")
        self.log.failure("an API call failed", failure, request_id=found)
        return 500, {"error": "The relay failed; its log has the traceback."}

    @staticmethod
    def _finish(response: APIResponse, request: Request, disconnected: list[object]) -> None:
        if disconnected:
            return
        status, document = response
        request.setResponseCode(status)
        content = document if isinstance(document, bytes) else json.dumps(document).encode() + b"\n"
        request.write(respond(request, b"application/json", content))
        request.finish()


def read_body(request: Request) -> bytes:
    """Return the complete body of a request."""
    assert request.content is not None, "received"  # noqa: S101 -- a request is rendered when its body is complete
    content: bytes = request.content.read()
    return content


def read_document(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request.

    Raises:
        APIError: The body is not a JSON object.
    """
    try:
        document = json.loads(read_body(request) or b"null")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise APIError(400, "The body must be a JSON object.")
    return document


def _respond_error(request: Request, error: APIError) -> APIResponse:
    for name, value in error.headers:
        request.setHeader(name, value)
    return error.status, {"error": str(error)}
