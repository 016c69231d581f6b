"""Tests of `wsrelay.outgoing.http_client`, over real connections to servers that misbehave."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults, succeed
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web._newclient import TransportProxyProducer
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http import Request as HTTPRequest
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import directlyProvides, implementer, providedBy

from devtools.harness.odd_certificates import ODD_NAMES, odd_certificate, pem
from tests.support.resolver import resolve_to_loopback
from wsrelay import __version__
from wsrelay.core.outcomes.errors import ConfigError, FetchError
from wsrelay.outgoing.http_client import HTTPClient
from wsrelay.outgoing.http_connections import MAX_BODY_BYTES
from wsrelay.outgoing.tls import RejectedCertificateError
from wsrelay.outgoing.urls import check_url

reactor: Any = global_reactor

HEAD = b"HTTP/1.1 200 OK\r\n"
EMPTY = HEAD + b"Content-Length: 0\r\n\r\n"


class Peer(Protocol):
    """One connection to a `Server`.

    Attributes:
        gone: Fires with None when the connection has ended.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.received = b""
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self._server.peers.append(self)
        transport: Any = self.transport
        transport.write(self._server.greeting)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if b"\r\n\r\n" in self.received:
            self._server.request_received(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


class Server(Factory):
    """A server that writes the same bytes to every client that has sent a head.

    Args:
        answer: The bytes.
        closes: Whether the connection ends after them.
        greeting: Bytes that it writes when a client connects.

    Attributes:
        stops_reading: Whether it stops reading when it answers.
        first_request: Fires with the connection of the first request.
    """

    noisy = False

    def __init__(self, answer: bytes, closes: bool = False, greeting: bytes = b"") -> None:
        self.answer = answer
        self.greeting = greeting
        self.closes = closes
        self.stops_reading = False
        self.peers: list[Peer] = []
        self.first_request: Deferred[Peer] = Deferred()

    def buildProtocol(self, _address: object) -> Peer:
        return Peer(self)

    def request_received(self, peer: Peer) -> None:
        """Answer."""
        transport: Any = peer.transport
        if self.stops_reading:
            transport.pauseProducing()
        transport.write(self.answer)
        if self.closes:
            transport.loseConnection()
        if not self.first_request.called:
            self.first_request.callback(peer)


class Pages(Resource):
    """A real server, which records its requests."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, bytes, bytes, dict[bytes, Sequence[bytes]], object]] = []

    def render(self, request: Request) -> bytes:
        body: bytes = request.content.read() if request.content is not None else b""
        headers = {name.lower(): values for name, values in request.requestHeaders.getAllRawHeaders()}
        self.asked.append((request.method, request.uri, body, headers, request.channel))
        if request.path == b"/moved":
            request.redirect(b"/elsewhere")
            return b""
        request.setHeader(b"Cache-Control", b"public, max-age=60")
        request.setResponseCode(int(request.args.get(b"status", [b"200"])[0]))
        return b"page"


class QuietSite(Site):
    """A site that logs nothing."""

    noisy = False

    def log(self, request: HTTPRequest) -> None:
        """No log."""


@implementer(IAgent)
class Scripted:
    """An agent whose requests have the outcome that the test sets."""

    def __init__(self, outcome: Callable[[], Deferred[Any]]) -> None:
        self._outcome = outcome

    def request(self, *_request: object) -> Deferred[Any]:
        return self._outcome()


class ClockedReactor:
    """The real reactor, with a clock that the test advances."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.seconds = self.clock.seconds
        directlyProvides(self, *providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class NetworkCase(TestCase):
    """Servers on ports of their own, all closed in the end."""

    timeout = 20.0

    def serve(self, factory: Any) -> str:
        """Listen, and return the URL."""
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/"

    def serve_bytes(self, answer: bytes, closes: bool = False, greeting: bytes = b"") -> tuple[Server, str]:
        """Start a server that always writes the same, and return it and its URL."""
        server = Server(answer, closes, greeting)
        url = self.serve(server)
        self.addCleanup(lambda: gatherResults([peer.gone for peer in server.peers]))
        return server, url

    def serve_pages(self) -> tuple[Pages, str]:
        """Start a real server, and return it and its URL."""
        pages = Pages()
        return pages, self.serve(QuietSite(pages))

    def client(self) -> HTTPClient:
        """Make a client that is closed before the servers are."""
        client = HTTPClient(reactor, 10.0)
        self.addCleanup(client.close)
        return client

    async def problem(self, url: str, client: HTTPClient | None = None) -> str:
        """Return the text with which a request fails."""
        with self.assertRaises(FetchError) as caught:
            await (client or self.client()).fetch("GET", url)
        return str(caught.exception)


class FetchTests(NetworkCase):
    """Responses."""

    async def test_response_has_status_body_and_max_age(self) -> None:
        pages, url = self.serve_pages()
        response = await self.client().fetch("GET", url + "a?b=c", {"Accept": "x/y"})
        self.assertEqual((response.status, response.body, response.max_age), (200, b"page", 60.0))
        ((method, uri, body, headers, _channel),) = pages.asked
        self.assertEqual((method, uri, body), (b"GET", b"/a?b=c", b""))
        self.assertEqual(headers[b"accept"], [b"x/y"])
        self.assertEqual(headers[b"user-agent"], [f"wsrelay/{__version__}".encode()])
        self.assertEqual(headers[b"accept-encoding"], [b"identity"])

    async def test_body_is_sent_with_its_length_and_a_post_without_one_says_zero(self) -> None:
        pages, url = self.serve_pages()
        client = self.client()
        await client.fetch("POST", url, body=b"x" * 100_000)
        await client.fetch("POST", url)
        self.assertEqual([len(asked[2]) for asked in pages.asked], [100_000, 0])
        self.assertEqual([asked[3][b"content-length"] for asked in pages.asked], [[b"100000"], [b"0"]])

    async def test_field_of_the_caller_replaces_the_default_in_any_case(self) -> None:
        pages, url = self.serve_pages()
        await self.client().fetch("GET", url, {"user-agent": "mine"})
        self.assertEqual(pages.asked[0][3][b"user-agent"], [b"mine"])

    async def test_every_status_is_a_response(self) -> None:
        _pages, url = self.serve_pages()
        client = self.client()
        for status in (201, 204, 304, 401, 403, 404, 500, 503):
            self.assertEqual((await client.fetch("GET", f"{url}?status={status}")).status, status)

    async def test_redirect_is_not_followed(self) -> None:
        """A redirect may lead anywhere, and a secret would go with it."""
        pages, url = self.serve_pages()
        self.assertEqual((await self.client().fetch("GET", url + "moved")).status, 302)
        self.assertEqual([asked[1] for asked in pages.asked], [b"/moved"])

    async def test_consecutive_requests_use_one_connection(self) -> None:
        pages, url = self.serve_pages()
        client = self.client()
        for _ in range(3):
            await client.fetch("POST", url, body=b"x")
        self.assertEqual(len({asked[4] for asked in pages.asked}), 1)

    async def test_idle_connection_is_closed_after_one_second(self) -> None:
        """Before the server closes it in the middle of the next request."""
        server, url = self.serve_bytes(EMPTY)
        clocked: Any = ClockedReactor()
        client = HTTPClient(clocked, 10.0)
        await client.fetch("GET", url)
        clocked.clock.advance(1)
        await server.peers[0].gone
        self.assertEqual(clocked.clock.getDelayedCalls(), [])

    async def test_body_of_the_largest_size_is_read(self) -> None:
        body = b"x" * MAX_BODY_BYTES
        for head in (
            HEAD + b"Content-Length: %d\r\n\r\n%b",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n",
        ):
            _server, url = self.serve_bytes(head % (len(body), body))
            self.assertEqual((await self.client().fetch("GET", url)).body, body)

    async def test_max_age_is_read_from_cache_control(self) -> None:
        """A value that cannot be read makes the response stale at once."""
        for field, seconds in (
            (b"", None),
            (b"Cache-Control: public\r\n", None),
            (b"Cache-Control: max-age=3600\r\n", 3600.0),
            (b'cache-control: public,MAX-AGE="60" , must-revalidate\r\n', 60.0),
            (b"Cache-Control: public\r\nCache-Control: max-age=5, max-age=7\r\n", 5.0),
            (b"Cache-Control: no-store\r\n", 0.0),
            (b"Cache-Control: max-age=60, no-cache\r\n", 0.0),
            (b"Cache-Control: max-age=-1\r\n", 0.0),
            (b"Cache-Control: max-age=soon\r\n", 0.0),
            (b"Cache-Control: max-age=\xb2\r\n", 0.0),
            (b"Cache-Control: max-age=" + b"9" * 5000 + b"\r\n", 2.0**31),
            (b"Cache-Control: s-maxage=60\r\n", None),
        ):
            _server, url = self.serve_bytes(HEAD + field + b"Content-Length: 0\r\n\r\n")
            self.assertEqual((await self.client().fetch("GET", url)).max_age, seconds, field)

    async def test_nothing_is_logged(self) -> None:
        _pages, url = self.serve_pages()
        _server, cut = self.serve_bytes(HEAD + b"Content-Length: 9\r\n\r\nx", closes=True)
        events: list[LogEvent] = []
        observe: Any = events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        client = self.client()
        await client.fetch("GET", url)
        await self.problem(cut, client)
        await client.close()
        self.assertEqual(events, [])


class FailureTests(NetworkCase):
    """Failures."""

    async def test_longer_body_fails_and_its_connection_is_aborted(self) -> None:
        endless = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n%b\r\n" % (b"x" * 1000) * 200
        sized = HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 200_000
        for answer in (endless, sized, HEAD + b"\r\n" + b"x" * 200_000):
            server, url = self.serve_bytes(answer)
            self.assertEqual(await self.problem(url), "its answer is longer than 65536 bytes")
            await server.peers[0].gone

    async def test_connection_that_ends_before_the_response_fails(self) -> None:
        for answer in (
            b"",
            b"HTTP/1.1 200",
            HEAD + b"Content-Length: 3\r\n",
            HEAD + b"Content-Length: 3\r\n\r\n12",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n0\r\n",
        ):
            _server, url = self.serve_bytes(answer, closes=True)
            self.assertEqual(await self.problem(url), "the connection ended in the middle", answer)

    async def test_connection_of_an_http_1_0_server_is_used_once(self) -> None:
        for answer in (b"HTTP/1.0 204 No Content\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"):
            # It takes its time with the end, as servers with threads do.
            server, url = self.serve_bytes(answer)
            client = self.client()
            for number in range(1, 4):
                self.assertLess((await client.fetch("GET", url)).status, 300)
                self.assertEqual(len(server.peers), number)
            await client.close()

    async def test_body_without_a_length_ends_with_its_connection(self) -> None:
        """See PHP's built-in server. What needs a whole body has to check that it is one."""
        for first in (HEAD, HEAD.replace(b"HTTP/1.1", b"HTTP/1.0")):
            _server, url = self.serve_bytes(first + b"\r\n{}", closes=True)
            answer = await self.client().fetch("GET", url)
            self.assertEqual((answer.status, answer.body), (200, b"{}"))

    async def test_response_that_is_not_http_fails_and_is_not_repeated(self) -> None:
        for answer in (
            b"SSH-2.0-topsecret\r\n\r\n",
            b"HTTP/1.1 topsecret OK\r\n\r\n",
            HEAD + b"topsecret\r\n\r\n",
            HEAD + b"Content-Length: topsecret\r\n\r\n",
            HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12",
            HEAD + b"Transfer-Encoding: topsecret\r\n\r\n",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\ntopsecret\r\n",
        ):
            _server, url = self.serve_bytes(answer)
            problem = await self.problem(url)
            self.assertIn("its answer cannot be read", problem)
            self.assertNotIn("topsecret", problem)

    async def test_refused_connection_fails_without_repeating_the_url(self) -> None:
        port = reactor.listenTCP(0, Server(b""), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        problem = await self.problem(f"http://127.0.0.1:{number}/path?key=value")
        self.assertEqual(problem, "it refuses the connection")

    async def test_cancelling_aborts_the_connection_before_and_during_the_response(self) -> None:
        for answer in (b"", HEAD + b"Content-Length: 3\r\n\r\n1"):
            server, url = self.serve_bytes(answer)
            fetching = self.client().fetch("GET", url)
            peer = await server.first_request
            fetching.cancel()
            with self.assertRaises(CancelledError):
                await fetching
            await peer.gone

    async def test_close_ends_idle_connections_and_requests_in_flight(self) -> None:
        kept, kept_url = self.serve_bytes(EMPTY)
        silent, silent_url = self.serve_bytes(b"")
        client = self.client()
        await client.fetch("GET", kept_url)
        fetching = client.fetch("GET", silent_url)
        await silent.first_request
        await client.close()
        with self.assertRaises(CancelledError):
            await fetching
        await gatherResults([kept.peers[0].gone, silent.peers[0].gone])


class DeadlineTests(NetworkCase):
    """The one deadline of a request, on a clock of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.heads = 0
        pool = HTTPConnectionPool(reactor, persistent=False)
        self.agent = Agent(reactor, pool=pool)
        clock: Any = self.clock
        self.client_on_clock = HTTPClient(clock, 5.0, Scripted(self.request))
        self.begun: Deferred[None] = Deferred()
        self.url = b""

    def request(self) -> Deferred[Any]:
        """Make a real request, and fire `begun` when the head of its response has arrived."""

        def head_received(response: Any) -> Any:
            # The body is awaited from the next turn on.
            reactor.callLater(0, self.begun.callback, None)
            return response

        return self.agent.request(b"GET", self.url).addCallback(head_received)

    async def assert_times_out(self, server: Server, url: str, until: Callable[[], Deferred[Any]]) -> None:
        """Let the deadline pass when the server has come so far."""
        self.url = url.encode()
        fetching = self.client_on_clock.fetch("GET", url)
        await until()
        self.clock.advance(4.9)
        self.assertFalse(fetching.called)
        self.clock.advance(0.1)
        with self.assertRaisesRegex(FetchError, "^there was no whole answer within 5 s$"):
            await fetching
        await server.peers[0].gone
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_server_that_never_ends_its_head_times_out(self) -> None:
        for answer in (b"", HEAD + b"X: y\r\n"):
            server, url = self.serve_bytes(answer)
            await self.assert_times_out(server, url, partial(getattr, server, "first_request"))

    async def test_server_that_never_ends_its_body_times_out(self) -> None:
        server, url = self.serve_bytes(HEAD + b"Content-Length: 3\r\n\r\n1")
        await self.assert_times_out(server, url, lambda: self.begun)

    async def test_response_in_time_leaves_no_timer(self) -> None:
        _server, url = self.serve_bytes(EMPTY)
        self.url = url.encode()
        await self.client_on_clock.fetch("GET", url)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SecureTests(NetworkCase):
    """Requests over https."""

    def setUp(self) -> None:
        self.authority = trustme.CA()

    def serve_tls(self, answer: bytes, name: str = "127.0.0.1", chain: bytes = b"") -> tuple[Server, str]:
        """Start a server with a certificate for a name, or with this chain, and return it and its URL."""
        if not chain:
            issued = self.authority.issue_cert(name)
            chain = b"".join(blob.bytes() for blob in (issued.private_key_pem, *issued.cert_chain_pems))
        server = Server(answer)
        url = self.serve(TLSMemoryBIOFactory(PrivateCertificate.loadPEM(chain).options(), False, server))
        self.addCleanup(lambda: gatherResults([peer.gone for peer in server.peers]))
        return server, url.replace("http:", "https:")

    def trust(self) -> Path:
        """Make the platform trust our authority, and return the file that does so."""
        path = Path(self.mktemp())
        path.write_bytes(self.authority.cert_pem.bytes())
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(path)
        self.addCleanup(lambda: os.environ.update(SSL_CERT_FILE=before) if before else os.environ.pop("SSL_CERT_FILE"))
        return path

    async def test_authority_of_the_platform_is_trusted(self) -> None:
        self.trust()
        _server, url = self.serve_tls(EMPTY)
        self.assertEqual((await self.client().fetch("GET", url)).status, 200)

    async def test_authorities_are_read_once(self) -> None:
        """Reading them for every connection would block the process each time."""
        path = self.trust()
        _server, url = self.serve_tls(HEAD + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        client = self.client()
        await client.fetch("GET", url)
        path.unlink()
        await client.fetch("GET", url)

    async def test_unknown_authority_is_rejected_before_anything_is_sent(self) -> None:
        server, url = self.serve_tls(EMPTY)
        self.assertEqual(await self.problem(url), "its certificate is not trusted: its authority is not trusted")
        self.assertEqual([peer.received for peer in server.peers], [b""])

    async def test_certificate_of_another_host_is_rejected(self) -> None:
        self.trust()
        _server, url = self.serve_tls(EMPTY, "example.org")
        self.assertEqual(await self.problem(url), "its certificate is for another name")

    async def test_certificate_of_another_host_is_rejected_whatever_else_is_in_it(self) -> None:
        self.trust()
        for odd in ((), *((name,) for name in ODD_NAMES)):
            server, url = self.serve_tls(EMPTY, chain=pem(*odd_certificate(self.authority, odd)))
            self.assertEqual(await self.problem(url), "its certificate is for another name", odd)
            self.assertEqual([peer.received for peer in server.peers], [b""], odd)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_right_name_beside_an_odd_one_is_accepted(self) -> None:
        self.trust()
        for odd in ODD_NAMES:
            _server, url = self.serve_tls(EMPTY, chain=pem(*odd_certificate(self.authority, (odd, "IP:127.0.0.1"))))
            self.assertEqual((await self.client().fetch("GET", url)).status, 200, odd)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_name_of_a_container_is_resolved_and_verified(self) -> None:
        """IDNA does not allow it, and every resolver knows it."""
        resolve_to_loopback(self, "my--app", "redis_cache", "other_cache", "app_1")
        self.trust()
        chain = pem(*odd_certificate(self.authority, ("DNS:my--app", "DNS:redis_cache")))
        _server, url = self.serve_tls(EMPTY, chain=chain)
        for host in ("my--app", "redis_cache"):
            self.assertEqual((await self.client().fetch("GET", url.replace("127.0.0.1", host))).status, 200)
        self.assertEqual(
            await self.problem(url.replace("127.0.0.1", "other_cache")), "its certificate is for another name"
        )
        _server, url = self.serve_bytes(EMPTY)
        self.assertEqual((await self.client().fetch("GET", url.replace("127.0.0.1", "app_1"))).status, 200)
        self.assertEqual(await self.problem(url.replace("127.0.0.1", "app_2")), "its name cannot be resolved")

    async def test_server_without_tls_is_reported_as_such(self) -> None:
        _server, url = self.serve_bytes(b"", greeting=b"220 welcome\r\n")
        self.assertIn("it does not speak TLS", await self.problem(url.replace("http:", "https:")))

    async def test_longer_body_aborts_the_connection_of_a_peer_that_never_closes(self) -> None:
        self.trust()
        server, url = self.serve_tls(HEAD + b"Content-Length: 50000000\r\n\r\n" + b"x" * 50_000_000)
        server.stops_reading = True
        self.assertEqual(await self.problem(url), "its answer is longer than 65536 bytes")
        await server.peers[0].gone

    async def test_close_does_not_wait_for_a_peer_that_never_closes(self) -> None:
        self.trust()
        server, url = self.serve_tls(EMPTY)
        server.stops_reading = True
        clocked: Any = ClockedReactor()
        client = HTTPClient(clocked, 10.0)
        await client.fetch("GET", url)
        disconnect = client.close()
        self.assertFalse(disconnect.called)
        clocked.clock.advance(1)
        await disconnect
        self.assertEqual(clocked.clock.getDelayedCalls(), [])
        peer: Any = server.peers[0]
        peer.transport.abortConnection()


def _break(error: Exception, cancelled: Deferred[object]) -> None:
    """Fail a cancelled Deferred with another error, as DNS does."""
    cancelled.errback(error)


class ExplainTests(SynchronousTestCase):
    """Error texts for the operator."""

    def test_each_cause_has_a_text_that_repeats_nothing_of_the_exception(self) -> None:
        for error, problem in (
            (DNSLookupError("topsecret"), "its name cannot be resolved"),
            (ConnectionRefusedError(), "it refuses the connection"),
            (ConnectError(string="topsecret"), "it cannot be reached"),
            (RejectedCertificateError("its certificate is for another name"), "its certificate is for another name"),
            (SSL.Error([("topsecret", "", "topsecret")]), "the TLS handshake failed"),
            (SSL.Error([("SSL routines", "", "wrong version number")]), "it does not speak TLS on this port"),
            (ResponseNeverReceived([Failure(ConnectionLost("topsecret"))]), "the connection ended in the middle"),
            (
                ResponseFailed([Failure(ResponseFailed([Failure(ConnectionDone())]))]),
                "the connection ended in the middle",
            ),
            (ResponseFailed([Failure(ValueError("topsecret"))]), "its answer cannot be read (ValueError)"),
            (RuntimeError("topsecret"), "its answer cannot be read (RuntimeError)"),
        ):
            clock: Any = Clock()
            client = HTTPClient(clock, 5.0, Scripted(partial(fail, error)))
            failure = self.failureResultOf(client.fetch("GET", "https://example.org/"), FetchError)
            self.assertEqual(failure.getErrorMessage(), problem)

    def test_connection_that_is_never_made_times_out(self) -> None:
        clock: Any = Clock()
        for error in (CancelledError(), ConnectingCancelledError(None), DNSLookupError()):
            agent = Scripted(partial(Deferred, partial(_break, error)))
            fetching = HTTPClient(clock, 5.0, agent).fetch("GET", "https://example.org/")
            clock.advance(5)
            failure = self.failureResultOf(fetching, FetchError)
            self.assertEqual(failure.getErrorMessage(), "there was no whole answer within 5 s")

    def test_cancelling_while_connecting_is_a_cancellation(self) -> None:
        clock: Any = Clock()
        connecting: Deferred[Any] = Deferred(lambda d: d.errback(ConnectingCancelledError(None)))
        fetching = HTTPClient(clock, 5.0, Scripted(lambda: connecting)).fetch("GET", "https://example.org/")
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])


class Whole:
    """A response that is complete before its body is read."""

    code = 200
    headers = Headers()

    version = (b"HTTP", 1, 1)

    def deliverBody(self, protocol: Protocol) -> None:  # noqa: N802 -- twisted.web's name
        """See `IResponse.deliverBody`."""
        transport: Any = TransportProxyProducer(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"x" * (MAX_BODY_BYTES + 1))
        protocol.connectionLost(Failure(ResponseDone()))


class WholeTests(SynchronousTestCase):
    """Responses that are complete at once."""

    def test_longer_body_fails_when_its_connection_is_gone_already(self) -> None:
        clock: Any = Clock()
        fetching = HTTPClient(clock, 5.0, Scripted(lambda: succeed(Whole()))).fetch("GET", "https://example.org/")
        failure = self.failureResultOf(fetching, FetchError)
        self.assertEqual(failure.getErrorMessage(), "its answer is longer than 65536 bytes")


class CheckUrlTests(SynchronousTestCase):
    """`check_url`."""

    def test_https_is_accepted_for_any_host_and_http_for_loopback(self) -> None:
        for url in (
            "https://example.org",
            "https://example.org:8443/a/b;c?d=e%20f",
            "HTTPS://[2001:db8::1]/",
            "http://localhost/",
            "http://LOCALHOST:8080/hook",
            "http://127.0.0.1:8080/hook",
            "http://127.255.255.254/",
            "http://[::1]:8080/",
            "https://redis_cache/",
            "https://my--app:8443/",
        ):
            self.assertEqual(check_url(url, "hook_url"), url)

    def test_other_urls_are_rejected_with_advice_and_not_repeated(self) -> None:
        for url, problem in (
            ("", "should look like"),
            ("topsecret", "should look like"),
            ("topsecret.org/hook", "should look like"),
            ("ftp://topsecret.org/", "should look like"),
            ("https:///topsecret", "should look like"),
            ("https://topsecret.org:0/", "should look like"),
            ("https://topsecret..org/", "should look like"),
            ("https://topsecret.org:x/", "should look like"),
            ("https://topsecret.org:/x", "should look like"),
            ("https://[::1]:/topsecret", "should look like"),
            ("https://[v1.topsecret]/", "should look like"),
            ("https://topsecret%2eorg/", "should look like"),
            ("https://topsecret,org/", "should look like"),
            ("https://topsecret.org\\\\x/", "should look like"),
            ("https://topsecret.org:65536/", "should look like"),
            ("https://[topsecret/", "should look like"),
            ("https://topsecret.org/a b", "should look like"),
            ("https://topsecret.org/a\nb", "should look like"),
            ("https://topsecret.org/\u00e4", "should look like"),
            ("https://topsecret:x@example.org/", "a setting of its own"),
            ("https://topsecret@example.org/", "a setting of its own"),
            ("http://localhost\\@topsecret.org/", "a setting of its own"),
            ("https://example.org/#topsecret", "after #"),
            ("http://topsecret.org/", "use https"),
            ("http://localhost.topsecret.org/", "use https"),
            ("http://127.0.0.1.topsecret.org/", "use https"),
            ("http://10.0.0.1/topsecret", "use https"),
            ("http://0.0.0.0/topsecret", "use https"),
            ("http://127.1/topsecret", "use https"),
        ):
            with self.assertRaisesRegex(ConfigError, f"^hook_url .*{problem}") as caught:
                check_url(url, "hook_url")
            self.assertNotIn("topsecret", str(caught.exception))
