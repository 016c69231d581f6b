"""Requests by which clients send whose transport has one direction: ``POST /emulation``."""

from __future__ import annotations

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from wsrelay.core.access.client_address import rate_limit_key
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, ClaimError
from wsrelay.core.wire.cors import cors_headers, preflight_headers
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects.centrifugo import read_emulation_request
from wsrelay.engine.emulation import Emulation
from wsrelay.transports.rate_limits import RateLimits
from wsrelay.web.handshake_check import HandshakeCheck
from wsrelay.web.plain_handshake import plain_handshake
from wsrelay.web.responses import respond_error, respond_nothing, set_headers

__all__ = ["EmulationResource"]

_ALLOW = ("Allow", "POST, OPTIONS")
_NOT_POST = ErrorResponse(405, "Messages are sent with POST.", (_ALLOW,))
_MALFORMED = ErrorResponse(400, 'The body is not {"session", "node", "data"}, in JSON or Protobuf.')
_TOO_FAST = ErrorResponse(
    429, "Too many messages from this address for other processes of the relay.", (("Retry-After", "1"),)
)
_NO_NODE = ErrorResponse(404, "There is no process of this name any more. Reconnect.")
_FAILED = ErrorResponse(500, "The relay failed; its log has the traceback.")


class EmulationResource(Resource):
    """Takes the messages of clients, and brings each to the process that has its session.

    The session alone is the credential. The response says whether there is such a process, and nothing of the session.

    Args:
        emulation: Brings them there.
        check: Checks origins, as those of handshakes, and whether websockets are on.
        trusted_proxies: How many proxies in front of the relay append to X-Forwarded-Proto.
        limits: Limits the messages of each address for other processes. A made-up process or session is found out in
            Redis at the earliest, so that anybody could have it do work without end. If None, there is no limit.
    """

    isLeaf = True
    log = Logger()

    def __init__(
        self, emulation: Emulation, check: HandshakeCheck, trusted_proxies: int, limits: RateLimits | None = None
    ) -> None:
        super().__init__()
        self._emulation = emulation
        self._check = check
        self._trusted_proxies = trusted_proxies
        self._limits = limits

    def render(self, request: Request) -> bytes | int:
        """Respond to POST with 204, 404, 429 or 503, to OPTIONS with what is permitted, and to others with 405."""
        handshake = plain_handshake(request, self._trusted_proxies)
        if (rejection := self._check.check_origin(handshake)) is not None:
            return respond_error(request, rejection)
        origin = handshake.origin
        if request.method == b"OPTIONS":
            headers = cors_headers(None) if origin is None else preflight_headers(origin, ("POST",))
            set_headers(request, (_ALLOW, *headers))
            return respond_nothing(request)
        set_headers(request, cors_headers(origin))
        if request.method != b"POST":
            return respond_error(request, _NOT_POST)
        if (refusal := self._check.refusal()) is not None:
            return respond_error(request, refusal)
        return self._take(request, handshake.peer)

    def _take(self, request: Request, address: str) -> bytes | int:
        assert request.content is not None, "received"  # noqa: S101 -- a request is rendered when its body is complete
        media_type = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
        try:
            node, emulated = read_emulation_request(
                request.content.read(), is_protobuf=media_type == b"application/octet-stream"
            )
        except ClaimError:
            return respond_error(request, _MALFORMED)
        if node != self._emulation.node_id and not self._may_forward(address):
            return respond_error(request, _TOO_FAST)
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        sent = self._emulation.send(node, emulated).addCallback(lambda is_there: None if is_there else _NO_NODE)
        sent.addErrback(self._failed)
        sent.addCallback(self._finish, request, gone)
        return NOT_DONE_YET

    def _may_forward(self, address: str) -> bool:
        return self._limits is None or self._limits.allows(rate_limit_key(address), 1, 0)

    def _failed(self, failure: Failure) -> ErrorResponse:
        if failure.check(BrokerUnavailable) is not None:
            return ClientError.NOT_AVAILABLE.response
        self.log.failure("a message of a client could not be passed on", failure)
        return _FAILED

    @staticmethod
    def _finish(error: ErrorResponse | None, request: Request, gone: list[object]) -> None:
        if gone:
            return
        if error is None:
            respond_nothing(request)
        else:
            request.write(respond_error(request, error))
            request.finish()
