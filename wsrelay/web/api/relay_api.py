"""What the application's own servers may ask for over HTTP, with a key.

::

    POST /api/publish/<channel>   the body is the message, byte for byte
    POST /api/tickets             {"sub": "42", "channels": ["room:1"], "publish": [...], "ip": "...", "seconds": 30}
    POST /api/disconnect          {"user": "42"}, or connection, ticket, token; "reconnect": true; "deny_seconds": 600

All of it can also be done in Redis, with PUBLISH and SET; with the embedded broker this is the only way. Answers are
JSON objects, and those of what went wrong have an `error`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from secrets import token_urlsafe
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from wsrelay.core.access.secret import Secret, is_one_of
from wsrelay.core.access.ticket_claims import MAX_DOCUMENT_BYTES, check_ticket
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.control import read_disconnect
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerUnavailable, ChannelError, ClaimError
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.interfaces import IBroker
from wsrelay.web.responses import body

__all__ = ["API"]

TIMEOUT_SECONDS = 10.0
"""How long an answer may take."""

DEFAULT_TICKET_SECONDS = 30
MOST_TICKET_SECONDS = 3600
MOST_DENY_SECONDS = 30 * 86400

_Answer = tuple[int, dict[str, Any]]
_Handler = Callable[[Request], Coroutine[Deferred[Any], Any, _Answer]]


class _Mistake(Exception):  # noqa: N818 -- the caller's, not ours
    """What was asked for makes no sense: status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class API(Resource):
    """The branch of the tree below ``/api``.

    Args:
        broker: Carries out what is asked for.
        namespaces: Which channels there are.
        keys: Who knows one of these may ask.
        rejections: Where those who know none are noted.
        clock: Time, for deadlines.
        now: Seconds since the epoch.
    """

    def __init__(
        self,
        broker: IBroker,
        namespaces: Namespaces,
        keys: Sequence[Secret],
        rejections: RejectionLog,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        super().__init__()
        self._broker = broker
        self._namespaces = namespaces
        self._keys = tuple(keys)
        self._denials = rejections
        self._clock = clock
        self._now = now
        self._calls: dict[bytes, _Handler] = {
            b"publish": self._publish,
            b"tickets": self._mint,
            b"disconnect": self._disconnect,
        }

    def getChild(self, name: bytes, _request: Request) -> Resource:
        """The resource of a call; what is below it is its argument."""
        return _Call(self._answer, self._calls.get(name))

    def render(self, request: Request) -> bytes | int:
        """There is nothing at the branch itself."""
        return _Call(self._answer, None).render(request)

    async def _answer(self, request: Request, call: _Handler | None) -> _Answer:
        if not self.is_permitted(request):
            self._denials.record(ClientError.API_KEY)
            for name, value in ClientError.API_KEY.response.headers:
                request.setHeader(name, value)
            return 401, {"error": ClientError.API_KEY.response.text}
        if call is None:
            return 404, {"error": "There are /api/publish/<channel>, /api/tickets and /api/disconnect."}
        if request.method != b"POST":
            request.setHeader(b"allow", b"POST")
            return 405, {"error": "The API is asked with POST."}
        try:
            done = Deferred.fromCoroutine(call(request))
            return await done.addTimeout(TIMEOUT_SECONDS, self._clock)
        except _Mistake as mistake:
            return mistake.status, {"error": str(mistake)}
        except (ChannelError, ClaimError) as error:
            return 400, {"error": f"{error}"}
        except (BrokerUnavailable, DeferredTimeout):
            request.setHeader(b"retry-after", b"5")
            return 503, {"error": ClientError.NOT_AVAILABLE.response.text}

    def is_permitted(self, request: HTTPRequest) -> bool:
        """Whether a request shows one of the keys."""
        fields: Sequence[bytes] = request.requestHeaders.getRawHeaders(b"authorization") or ()
        scheme, _, key = (fields[0] if len(fields) == 1 else b"").partition(b" ")
        return scheme.lower() == b"bearer" and is_one_of(Secret(key.strip().decode("latin-1")), self._keys)

    async def _publish(self, request: Request) -> _Answer:
        path = request.postpath or []
        if len(path) != 1:
            raise _Mistake(400, "Name the channel in the path: /api/publish/<channel>.")
        channel = check_channel(path[0].decode("latin-1"))
        if self._namespaces.rule(channel) is None:
            raise _Mistake(404, ClientError.UNKNOWN_CHANNEL.response.text)
        await self._broker.publish(channel, _body(request))
        return 200, {"channel": channel}

    async def _mint(self, request: Request) -> _Answer:
        document = _document(request)
        seconds = _seconds(document.pop("seconds", DEFAULT_TICKET_SECONDS), MOST_TICKET_SECONDS, "seconds")
        if unknown := sorted(set(document) - {"sub", "channels", "publish", "ip", "exp"}):
            raise _Mistake(
                400, f"{unknown[0][:40]} is nothing that a ticket says: sub, channels, publish, ip, exp, seconds"
            )
        identity = check_ticket(document)
        if identity.expires is not None and identity.expires <= self._now():
            raise _Mistake(400, "exp has passed already.")
        ticket = token_urlsafe(24)
        data = json.dumps(document).encode()
        if len(data) > MAX_DOCUMENT_BYTES:
            raise _Mistake(400, f"What a ticket says has at most {MAX_DOCUMENT_BYTES} bytes.")
        if not await self._broker.credentials.create(ticket, data, seconds):
            raise _Mistake(500, "The same ticket was made twice; ask again.")
        return 201, {"ticket": ticket, "expires_in": seconds}

    async def _disconnect(self, request: Request) -> _Answer:
        document = _document(request)
        seconds = _seconds(document.pop("deny_seconds", 0), MOST_DENY_SECONDS, "deny_seconds", least=0)
        disconnect = read_disconnect(document)
        kind, _, value = disconnect.target.partition(":")
        # What keeps it from coming back goes first, or it is back before.
        if kind == "ticket":
            await self._broker.credentials.delete(value)
        if seconds:
            await self._broker.credentials.revoke(disconnect.target, seconds)
        await self._broker.send_control(disconnect.to_bytes())
        return 202, {"disconnect": {kind: value}}


class _Call(Resource):
    """One call, answered when it is done, or when it has taken too long."""

    isLeaf = True
    log = Logger()

    def __init__(self, answer: Callable[..., Coroutine[Deferred[Any], Any, _Answer]], call: _Handler | None) -> None:
        super().__init__()
        self._answer = answer
        self._call = call

    def render(self, request: Request) -> int:
        # Not to be cancelled when the client leaves: it has been heard, and half of a call may be done.
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        answered = Deferred.fromCoroutine(self._answer(request, self._call))
        answered.addErrback(self._failed)
        answered.addCallback(self._finish, request, gone)
        return NOT_DONE_YET

    def _failed(self, failure: Failure) -> _Answer:
        self.log.failure("an API call failed", failure)
        return 500, {"error": "The relay failed; its log has the traceback."}

    @staticmethod
    def _finish(answer: _Answer, request: Request, gone: list[object]) -> None:
        if gone:
            return
        status, document = answer
        request.setResponseCode(status)
        request.write(body(request, b"application/json", json.dumps(document).encode() + b"\n"))
        request.finish()


def _body(request: Request) -> bytes:
    assert request.content is not None, "received"  # noqa: S101 -- it is rendered when all of it is here
    content: bytes = request.content.read()
    return content


def _document(request: Request) -> dict[str, Any]:
    try:
        document = json.loads(_body(request) or b"null")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _Mistake(400, "The body must be a JSON object.")
    return document


def _seconds(value: object, most: int, name: str, *, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _Mistake(400, f"{name} must be a whole number from {least} to {most}")
    return value
