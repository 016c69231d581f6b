"""HTTP requests to other servers. Each ends within its deadline, and takes a bounded amount of memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.client import Agent, HostnameCachingHTTPSPolicy
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from wsrelay import __version__
from wsrelay.core.outcomes.errors import FetchError, FetchTimeoutError
from wsrelay.outgoing.endpoints import HTTPEndpoints
from wsrelay.outgoing.http_connections import BodyReader, ConnectionPool, RequestBody
from wsrelay.outgoing.tls import RejectedCertificateError, VerifiedHTTPS
from wsrelay.outgoing.tls_problems import tls_problem

__all__ = ["HTTPClient", "HTTPResponse"]

CLOSE_TIMEOUT_SECONDS = 1.0
"""How long `HTTPClient.close` waits for servers: over TLS a server may never answer a close."""

_DEFAULT_FIELDS = {
    "User-Agent": f"wsrelay/{__version__}",
    # Without this field any coding is acceptable (RFC 9110 section 12.5.3): a small body could inflate to a large one.
    "Accept-Encoding": "identity",
}
_NO_FIELDS: Mapping[str, str] = MappingProxyType({})

_PROBLEMS: tuple[tuple[type[Exception], str], ...] = (
    (DNSLookupError, "its name cannot be resolved"),
    (ConnectionRefusedError, "it refuses the connection"),
    (ConnectError, "it cannot be reached"),
    (ConnectionClosed, "the connection ended in the middle"),
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """A complete HTTP response.

    Attributes:
        status: The status code. Redirects are not followed.
        body: The body, of at most `wsrelay.outgoing.http_connections.MAX_BODY_BYTES`.
        max_age: How many seconds the response stays fresh, by Cache-Control (RFC 9111 section 5.2.2). 0 if it must not
            be reused. If None, the response does not say.
    """

    status: int
    body: bytes
    max_age: float | None


class HTTPClient:
    """Makes HTTP requests, and keeps idle connections for a moment.

    Args:
        reactor: The clock, and the maker of connections.
        timeout_seconds: The deadline of a request, in seconds, from the resolution of the name to the end of the body.
        agent: Makes the requests. If None, an agent that trusts the authorities of the platform and follows no
            redirects.
    """

    def __init__(self, reactor: IReactorTime, timeout_seconds: float, agent: IAgent | None = None) -> None:
        self._reactor = reactor
        self._timeout_seconds = timeout_seconds
        self._pool = ConnectionPool(reactor)
        # Without the cache each connection reads the certificates of the platform, which blocks the process for 5 ms.
        policy = HostnameCachingHTTPSPolicy(VerifiedHTTPS())
        endpoints = HTTPEndpoints(reactor, policy)
        self._agent: IAgent = agent or Agent.usingEndpointFactory(reactor, endpoints, self._pool)
        self._in_flight: set[Deferred[Any]] = set()

    def fetch(
        self, method: str, url: str, headers: Mapping[str, str] = _NO_FIELDS, body: bytes = b""
    ) -> Deferred[HTTPResponse]:
        """Make a request. Cancelling the Deferred aborts it.

        Args:
            method: The method.
            url: A URL that `wsrelay.outgoing.urls.check_url` accepts.
            headers: More header fields. They replace default ones of the same name.
            body: The body.

        Returns:
            Fires with the response, whatever its status, by the deadline.

        Raises:
            FetchError: (Failure of the Deferred.) There is no complete response. The text repeats nothing of the URL,
                and nothing that the peer sent.
            FetchTimeoutError: (Failure of the Deferred.) There is none by the deadline.
            CancelledError: (Failure of the Deferred.) It was cancelled, or the client was closed.
        """
        fetching = Deferred.fromCoroutine(self._fetch(method, url, headers, body))
        self._in_flight.add(fetching)
        fetching.addTimeout(self._timeout_seconds, self._reactor, _raise_timeout)
        fetching.addBoth(self._end_request, fetching)
        return fetching.addErrback(_raise_fetch_error)

    def close(self) -> Deferred[None]:
        """Cancel every request in flight, and close all connections.

        Returns:
            Fires with None when the connections are closed, within `CLOSE_TIMEOUT_SECONDS`. Never fails.
        """
        for fetching in list(self._in_flight):
            fetching.cancel()
        closed: Deferred[None] = Deferred()
        # The pool's own Deferred gets no timeout: cancelling it leaves failures that nobody handles.
        self._pool.closeCachedConnections().chainDeferred(closed)
        return closed.addTimeout(CLOSE_TIMEOUT_SECONDS, self._reactor, lambda _outcome, _seconds: None)

    async def _fetch(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HTTPResponse:
        fields = Headers()
        for name, value in {**_DEFAULT_FIELDS, **headers}.items():
            fields.setRawHeaders(name, [value])
        producer = RequestBody(body) if body else None
        response = await self._agent.request(method.encode("ascii"), url.encode("ascii"), fields, producer)
        if response.version[1:] < (1, 1):
            # Its connection ends with the response. twisted.web would use it again, and fail in the middle.
            self._pool.stop_reusing()
        reader = BodyReader()
        response.deliverBody(reader)
        return HTTPResponse(response.code, await reader.done, _read_max_age(response.headers))

    def _end_request(self, outcome: _T, fetching: Deferred[Any]) -> _T:
        self._in_flight.discard(fetching)
        return outcome


def _read_max_age(headers: Headers) -> float | None:
    seconds: float | None = None
    for directive in b",".join(headers.getRawHeaders(b"Cache-Control", [])).lower().split(b","):
        name, _, value = directive.strip().partition(b"=")
        if name in (b"no-store", b"no-cache"):
            return 0.0
        if name == b"max-age" and seconds is None:
            digits = value.strip(b'" ')
            # RFC 9111 section 4.2.1: an invalid value means stale. Section 1.2.2: a larger number counts as 2^31.
            seconds = min(float(digits), 2.0**31) if digits.isdigit() else 0.0
    return seconds


def _raise_timeout(_outcome: object, seconds: float) -> NoReturn:
    raise FetchTimeoutError(f"there was no whole answer within {seconds:g} s")


def _raise_fetch_error(failure: Failure) -> NoReturn:
    error = failure.value
    while reasons := getattr(error, "reasons", None):
        error = reasons[0].value
    if isinstance(error, FetchError):
        raise error
    if isinstance(error, (CancelledError, ConnectingCancelledError)):
        raise CancelledError
    if isinstance(error, RejectedCertificateError):
        raise FetchError(error.problem)
    if isinstance(error, SSL.Error):
        raise FetchError(tls_problem(error))
    for kind, problem in _PROBLEMS:
        if isinstance(error, kind):
            raise FetchError(problem)
    # The text of such an error repeats what could not be parsed.
    raise FetchError(f"its answer cannot be read ({type(error).__name__})")
