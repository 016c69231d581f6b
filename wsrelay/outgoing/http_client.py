"""HTTP requests to other servers, each of which ends within its deadline and in a bounded space.

Over twisted.web's Agent, but not with its `readBody`: that of 26.10 does not end the connection when it is cancelled,
and logs a traceback when the connection then ends by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import VerificationError
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HostnameCachingHTTPSPolicy,
    HTTPConnectionPool,
    ResponseDone,
    _HTTP11ClientFactory,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer
from zope.interface import implementer

from wsrelay import __version__
from wsrelay.core.outcomes.errors import ConfigError, FetchError, FetchTimeoutError
from wsrelay.outgoing.tls import VerifiedHTTPS

__all__ = ["MAX_BODY_BYTES", "HTTPClient", "HTTPResponse", "check_url"]

MAX_BODY_BYTES = 64 * 1024
"""The longest body of an answer; there is no use here for one that is longer."""

_MOST_IDLE = 8
"""As many connections to one server wait for the next request."""

# Shorter than servers keep theirs (gunicorn: 2 s, Node.js: 5 s): a POST on a connection that the server is just closing
# is lost, and nobody may send it again (RFC 9110 section 9.2.2).
_IDLE_SECONDS = 1

_CLOSE_SECONDS = 1.0
"""How long to wait for servers when closing: over TLS one may leave our goodbye unanswered for ever."""

_FIELDS = {
    "User-Agent": f"wsrelay/{__version__}",
    # Without it any coding would do (RFC 9110 section 12.5.3), and a small body can become a large one.
    "Accept-Encoding": "identity",
}
_NO_FIELDS: Mapping[str, str] = MappingProxyType({})

_PROBLEMS: tuple[tuple[type[Exception], str], ...] = (
    (DNSLookupError, "its name cannot be resolved"),
    (ConnectionRefusedError, "it refuses the connection"),
    (ConnectError, "it cannot be reached"),
    (VerificationError, "its certificate is for another name"),
    (SSL.Error, "it does not speak TLS, or its certificate is not trusted"),
    (ConnectionClosed, "the connection ended in the middle"),
    (PotentialDataLoss, "nothing says where its answer ends: it needs Content-Length, or chunks"),
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """An answer, read to its end.

    Attributes:
        status: The status code; a redirect is one like any other.
        body: The body, of `MAX_BODY_BYTES` at most.
        max_age: For how many seconds the answer is good, says Cache-Control (RFC 9111 section 5.2.2); 0: use it once.
            None: it does not say.
    """

    status: int
    body: bytes
    max_age: float | None


class HTTPClient:
    """Makes requests, over connections that it keeps for a moment.

    Args:
        reactor: Time, and connections.
        timeout_seconds: How long a request may take, from the name's resolution to the end of the body, in seconds.
        agent: Makes the connections. None: one that trusts whom the platform trusts, and follows no redirects.
    """

    def __init__(self, reactor: IReactorTime, timeout_seconds: float, agent: IAgent | None = None) -> None:
        self._reactor = reactor
        self._timeout = timeout_seconds
        self._pool = _Pool(reactor)
        # Without the cache each connection reads the certificates of the platform, and for 5 ms nothing else happens.
        policy = HostnameCachingHTTPSPolicy(VerifiedHTTPS())
        self._agent: IAgent = Agent(reactor, policy, pool=self._pool) if agent is None else agent
        self._under_way: set[Deferred[Any]] = set()

    def fetch(
        self, method: str, url: str, headers: Mapping[str, str] = _NO_FIELDS, body: bytes = b""
    ) -> Deferred[HTTPResponse]:
        """Make a request.

        Args:
            method: The method.
            url: Where to; one that `check_url` has seen.
            headers: More header fields.
            body: The body.

        Returns:
            Fires with the answer, whatever its status; fails with `FetchError`, the text of which holds nothing of the
            URL and nothing that the peer sent. To cancel it ends the request.
        """
        fetching = Deferred.fromCoroutine(self._fetch(method, url, headers, body))
        self._under_way.add(fetching)
        fetching.addTimeout(self._timeout, self._reactor, _too_late)
        fetching.addBoth(self._ended, fetching)
        return fetching.addErrback(_explain)

    def close(self) -> Deferred[None]:
        """Cancel what is under way, and close all connections; fires within a second, and never fails."""
        for fetching in list(self._under_way):
            fetching.cancel()
        closed: Deferred[None] = Deferred()
        # Not the pool's own with a timeout: to cancel that one leaves errors that nobody handles.
        self._pool.closeCachedConnections().chainDeferred(closed)
        return closed.addTimeout(_CLOSE_SECONDS, self._reactor, lambda _outcome, _seconds: None)

    async def _fetch(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HTTPResponse:
        fields = Headers()
        for name, value in {**_FIELDS, **headers}.items():
            fields.setRawHeaders(name, [value])
        producer = _Payload(body) if body else None
        response = await self._agent.request(method.encode("ascii"), url.encode("ascii"), fields, producer)
        if response.version[1:] < (1, 1):
            # Its connection ends with its answer; twisted.web would use it again, and meet the end in the middle.
            self._pool.keep_nothing()
        collector = _Collector()
        response.deliverBody(collector)
        return HTTPResponse(response.code, await collector.done, _max_age(response.headers))

    def _ended(self, outcome: _T, fetching: Deferred[Any]) -> _T:
        self._under_way.discard(fetching)
        return outcome


def check_url(text: str, setting: str) -> str:
    """The text itself, if it is a URL to make requests to.

    Args:
        text: What the operator gave.
        setting: What the operator calls it.

    Raises:
        ConfigError: It is none, or one over which a secret could be read by others. The text does not repeat it.
    """
    try:
        parts = urlsplit(text)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or parts.scheme not in ("http", "https") or re.fullmatch(r"[!-~]+", text) is None:
        raise ConfigError(f"{setting} should look like https://host/path, in ASCII and without spaces")
    if "@" in parts.netloc:
        raise ConfigError(f"{setting} must not hold a user or a password: put the secret into a setting of its own")
    if "#" in text:
        raise ConfigError(f"{setting} has a part after #, which is never sent: leave it out")
    if parts.scheme == "http" and not _is_loopback(str(parts.hostname)):
        raise ConfigError(f"{setting} leads to another machine without encryption: use https")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _max_age(headers: Headers) -> float | None:
    seconds: float | None = None
    for directive in b",".join(headers.getRawHeaders(b"Cache-Control", [])).lower().split(b","):
        name, _, value = directive.strip().partition(b"=")
        if name in (b"no-store", b"no-cache"):
            return 0.0
        if name == b"max-age" and seconds is None:
            digits = value.strip(b'" ')
            # RFC 9111 section 4.2.1: what cannot be read is stale. Section 1.2.2: so large a number is as good as any.
            seconds = min(float(digits), 2.0**31) if digits.isdigit() else 0.0
    return seconds


def _too_late(_outcome: object, seconds: float) -> NoReturn:
    raise FetchTimeoutError(f"there was no whole answer within {seconds:g} s")


def _explain(failure: Failure) -> NoReturn:
    error = failure.value
    while reasons := getattr(error, "reasons", None):
        error = reasons[0].value
    if isinstance(error, FetchError):
        raise error
    if isinstance(error, (CancelledError, ConnectingCancelledError)):
        raise CancelledError
    for kind, problem in _PROBLEMS:
        if isinstance(error, kind):
            raise FetchError(problem)
    # The text of such an error repeats what could not be parsed.
    raise FetchError(f"its answer cannot be read ({type(error).__name__})")


class _QuietFactory(_HTTP11ClientFactory):
    # Else each connection is two lines of the log.
    noisy = False


class _Pool(HTTPConnectionPool):
    maxPersistentPerHost = _MOST_IDLE  # noqa: N815 -- twisted.web's name
    cachedConnectionTimeout = _IDLE_SECONDS  # noqa: N815 -- twisted.web's name
    _factory = _QuietFactory

    def keep_nothing(self) -> None:
        """Use no connection twice, from now on: the server does not keep them."""
        if self.persistent:
            self.persistent = False
            # An answer without a body has given its connection back already.
            self.closeCachedConnections()

    def _putConnection(self, key: Any, connection: Any) -> None:  # noqa: N802 -- twisted.web's name
        if self.persistent:
            super()._putConnection(key, connection)
        else:
            # One that was to stay when its request was made, before it was known what the server speaks.
            connection.transport.loseConnection()


@implementer(IBodyProducer)
class _Payload:
    """A request's body, written at once. Not twisted.web's own, which goes by the clock of the global reactor."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing is left to be written."""

    resumeProducing = stopProducing = pauseProducing


class _Collector(Protocol):
    """Reads a body of a bounded length.

    Attributes:
        done: Fires with the body; fails if it does not come to its end. To cancel it ends the connection.
    """

    def __init__(self) -> None:
        self._body = bytearray()
        self.done: Deferred[bytes] = Deferred(self._abort)

    def dataReceived(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > MAX_BODY_BYTES and not self.done.called:
            self._abort()
            self.done.errback(FetchError(f"its answer is longer than {MAX_BODY_BYTES} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(bytes(self._body))
        else:
            self.done.errback(reason)

    def _abort(self, _cancelled: object = None) -> None:
        # Nothing public ends a connection in the middle of an answer: what stands between us and the connection has
        # loseConnection alone, which over TLS waits until the peer agrees.
        proxy: Any = self.transport
        if (connection := proxy._producer) is not None:  # noqa: SLF001 -- it has no way to abort
            connection.abortConnection()
