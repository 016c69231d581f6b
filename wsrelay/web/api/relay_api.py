"""The HTTP API of the relay, for the application's own servers.

::

    POST /api/METHOD              a JSON object, as in Centrifugo's server API; see `wsrelay.web.api.methods`
    POST /api/publish/<channel>   the body is the message, byte for byte
    POST /api/tickets             {"sub": "42", "channels": ["room:1"], "publish": [...], "ip": "...", "seconds": 30}
    POST /api/disconnect          {"user": "42"}, or connection, ticket, token; "reconnect": true; "revoke_seconds": 600
    GET /api/openapi.json         the description of all of it; this one needs no key

Two of these are /api/disconnect. The form of the key decides which: with ``Authorization: Bearer`` it is the relay's
own, with a status for each outcome and 202 for success; with ``X-API-Key`` or ``Authorization: apikey`` it is the
method of Centrifugo's API, with 200 in any case, and takes the relay's own fields as well.
"""

from __future__ import annotations

from functools import partial
from importlib.resources import files

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.core.messaging.control import read_disconnect
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.request_id import request_id
from wsrelay.engine.operations import DEFAULT_TICKET_SECONDS, Operations
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.web.api.call import APICall, APIError, APIResponse, Handler, read_body, read_document
from wsrelay.web.api.keys import APIKeys, KeyForm
from wsrelay.web.api.method_call import MethodCaller
from wsrelay.web.api.methods import Methods

__all__ = ["RelayAPI"]

_DESCRIPTION = "openapi.json"

_CALLS = (
    "Unknown call. The calls are /api/publish/<channel>, /api/tickets, /api/disconnect, and the methods in "
    "/api/openapi.json."
)
_KEY_IN_URL = (
    "An API key in a URL is not accepted, because URLs are logged: send X-API-Key: <key>, and make a new key, for this "
    "one may stand in a log by now."
)


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
        self._methods = MethodCaller(Methods(operations), clock)
        self._description = files(__package__).joinpath(_DESCRIPTION).read_bytes()

    def accepts(self, request: HTTPRequest) -> bool:
        """Return whether a request has a valid key, so that its body is to be kept."""
        return self._keys.accepts(request)

    def getChild(self, name: bytes, _request: Request) -> Resource:
        """Return the resource of a call; the path below it is the call's argument."""
        return self._call(name.decode("latin-1"))

    def render(self, request: Request) -> int:
        """Respond to a request to the branch itself, where no call is."""
        return self._call("").render(request)

    def _call(self, name: str) -> APICall:
        return APICall(partial(self._handle, name), self._clock)

    async def _handle(self, name: str, request: Request) -> APIResponse:
        if name == _DESCRIPTION and request.method in (b"GET", b"HEAD"):
            return 200, self._description
        own = self._own_call(name, request)
        is_accepted = self.accepts(request)
        if not is_accepted:
            self._rejections.record(ClientError.API_KEY, request=request_id(request.getHeader("x-request-id") or ""))
        if b"api_key" in (request.args or {}):
            raise APIError(400 if is_accepted else 401, _KEY_IN_URL, ClientError.API_KEY.response.headers)
        if not is_accepted:
            if own is None and name in self._methods:
                # Without a body, as in Centrifugo's API, but with the field that RFC 9110 section 11.6.1 wants.
                for field in ClientError.API_KEY.response.headers:
                    request.setHeader(*field)
                return 401, b""
            raise RejectedError(ClientError.API_KEY)
        if own is None and (name not in self._methods or request.postpath):
            raise APIError(404, _CALLS)
        if request.method != b"POST":
            raise APIError(405, "API calls use POST.", (("Allow", "POST"),))
        return await (self._methods.call(name, request) if own is None else own(request))

    def _own_call(self, name: str, request: Request) -> Handler | None:
        """Return the handler of one of the relay's own calls; None if it is a method, or nothing."""
        if name == "publish" and request.postpath:
            return self._publish
        if name == "disconnect":
            return None if self._keys.form(request) is KeyForm.CENTRIFUGO else self._disconnect
        return self._create_ticket if name == "tickets" else None

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
