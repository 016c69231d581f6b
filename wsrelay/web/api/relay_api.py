"""The HTTP API of the relay, for the application's own servers.

::

    POST /api/publish/<channel>   the body is the message, byte for byte
    POST /api/tickets             {"sub": "42", "channels": ["room:1"], "publish": [...], "ip": "...", "seconds": 30}
    POST /api/disconnect          {"user": "42"}, or connection, ticket, token; "reconnect": true; "revoke_seconds": 600

Everything can also be done in Redis, with PUBLISH and SET; with the embedded broker this is the only way. Responses are
JSON objects; those of failed calls have an `error`.
"""

from __future__ import annotations

from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.core.messaging.control import read_disconnect
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.engine.operations import DEFAULT_TICKET_SECONDS, Operations
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.web.api.call import APICall, APIError, APIResponse, Handler, read_body, read_document
from wsrelay.web.api.keys import APIKeys

__all__ = ["RelayAPI"]


class RelayAPI(Resource):
    """The branch of the resource tree below ``/api``.

    Args:
        operations: Carries out the calls.
        keys: The keys, one of which every call needs.
        rejections: Logs calls without a valid key.
        clock: Runs the timeouts.
    """

    def __init__(self, operations: Operations, keys: APIKeys, rejections: RejectionLog, clock: IReactorTime) -> None:
        super().__init__()
        self._operations = operations
        self._keys = keys
        self._rejections = rejections
        self._clock = clock
        self._handlers: dict[bytes, Handler] = {
            b"publish": self._publish,
            b"tickets": self._create_ticket,
            b"disconnect": self._disconnect,
        }

    def accepts(self, request: HTTPRequest) -> bool:
        """Return whether a request has a valid key, so that its body is to be kept."""
        return self._keys.accepts(request)

    def getChild(self, name: bytes, _request: Request) -> Resource:
        """Return the resource of a call; the path below it is the call's argument."""
        return self._call(name)

    def render(self, request: Request) -> int:
        """Respond to a request to the branch itself, where no call is."""
        return self._call(b"").render(request)

    def _call(self, name: bytes) -> APICall:
        return APICall(partial(self._handle, self._handlers.get(name)), self._clock)

    async def _handle(self, handler: Handler | None, request: Request) -> APIResponse:
        if not self.accepts(request):
            self._rejections.record(ClientError.API_KEY)
            raise RejectedError(ClientError.API_KEY)
        if handler is None:
            raise APIError(404, "Unknown call. The calls are /api/publish/<channel>, /api/tickets and /api/disconnect.")
        if request.method != b"POST":
            raise APIError(405, "API calls use POST.", (("Allow", "POST"),))
        return await handler(request)

    async def _publish(self, request: Request) -> APIResponse:
        path = request.postpath or []
        if len(path) != 1:
            raise APIError(400, "Name the channel in the path: /api/publish/<channel>.")
        channel = path[0].decode("latin-1")
        await self._operations.publish(channel, read_body(request))
        return 200, {"channel": channel}

    async def _create_ticket(self, request: Request) -> APIResponse:
        claims = read_document(request)
        seconds = claims.pop("seconds", DEFAULT_TICKET_SECONDS)
        ticket = await self._operations.create_ticket(claims, seconds)
        return 201, {"ticket": ticket, "expires_in": seconds}

    async def _disconnect(self, request: Request) -> APIResponse:
        document = read_document(request)
        revoke_seconds = document.pop("revoke_seconds", 0)
        command = read_disconnect(document)
        await self._operations.disconnect(command, revoke_seconds)
        kind, _, value = command.target.partition(":")
        return 202, {"disconnect": {kind: value}}
