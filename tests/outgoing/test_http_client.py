"""Requests to other servers, over real connections to servers that do what they like."""

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
from twisted.internet.ssl import PrivateCertificate, VerificationError
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
from wsrelay import __version__
from wsrelay.core.outcomes.errors import ConfigError, FetchError
from wsrelay.outgoing.http_client import MAX_BODY_BYTES, HTTPClient, check_url

reactor: Any = global_reactor

HEAD = b"HTTP/1.1 200 OK\r\n"
EMPTY = HEAD + b"Content-Length: 0\r\n\r\n"


class Peer(Protocol):
    """One connection to a server that answers as it is told.

    Attributes:
        gone: Fires when the connection has ended.
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
            self._server.asked(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


class Server(Factory):
    """A server that writes the same bytes to everybody who has sent a head.

    Args:
        answer: The bytes.
        then_close: Whether the connection ends after them.
        greeting: What it says before anybody has said anything.

    Attributes:
        is_deaf: Whether it stops reading when it answers.
    """

    noisy = False

    def __init__(self, answer: bytes, then_close: bool = False, greeting: bytes = b"") -> None:
        self.answer = answer
        self.greeting = greeting
        self.then_close = then_close
        self.is_deaf = False
        self.peers: list[Peer] = []
        self.heard: Deferred[Peer] = Deferred()

    def buildProtocol(self, _address: object) -> Peer:
        return Peer(self)

    def asked(self, peer: Peer) -> None:
        """Answer."""
        transport: Any = peer.transport
        if self.is_deaf:
            transport.pauseProducing()
        transport.write(self.answer)
        if self.then_close:
            transport.loseConnection()
        if not self.heard.called:
            self.heard.callback(peer)


class Pages(Resource):
    """A real server, which writes down what it is asked."""

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
    """An agent whose requests come to what the test says."""

    def __init__(self, outcome: Callable[[], Deferred[Any]]) -> None:
        self._outcome = outcome

    def request(self, *_request: object) -> Deferred[Any]:
        return self._outcome()


class ClockedReactor:
    """The real reactor, with a clock of the test's."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.seconds = self.clock.seconds
        directlyProvides(self, *providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class NetworkCase(TestCase):
    """Servers on ports of their own, all gone in the end."""

    timeout = 20.0

    def serve(self, factory: Any) -> str:
        """Listen; returns the URL."""
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/"

    def serve_bytes(self, answer: bytes, then_close: bool = False, greeting: bytes = b"") -> tuple[Server, str]:
        """A server that always says the same, and its URL."""
        server = Server(answer, then_close, greeting)
        url = self.serve(server)
        self.addCleanup(lambda: gatherResults([peer.gone for peer in server.peers]))
        return server, url

    def serve_pages(self) -> tuple[Pages, str]:
        """A real server, and its URL."""
        pages = Pages()
        return pages, self.serve(QuietSite(pages))

    def fetcher(self) -> HTTPClient:
        """A fetcher that is closed before the servers are."""
        fetcher = HTTPClient(reactor, 10.0)
        self.addCleanup(fetcher.close)
        return fetcher

    async def problem(self, url: str, fetcher: HTTPClient | None = None) -> str:
        """Why a fetch fails."""
        with self.assertRaises(FetchError) as caught:
            await (fetcher or self.fetcher()).fetch("GET", url)
        return str(caught.exception)


class FetchTests(NetworkCase):
    """Answers."""

    async def test_answer(self) -> None:
        """An answer is a status, a body, and how long it is good."""
        pages, url = self.serve_pages()
        fetched = await self.fetcher().fetch("GET", url + "a?b=c", {"Accept": "x/y"})
        self.assertEqual((fetched.status, fetched.body, fetched.max_age), (200, b"page", 60.0))
        ((method, uri, body, headers, _channel),) = pages.asked
        self.assertEqual((method, uri, body), (b"GET", b"/a?b=c", b""))
        self.assertEqual(headers[b"accept"], [b"x/y"])
        self.assertEqual(headers[b"user-agent"], [f"wsrelay/{__version__}".encode()])
        self.assertEqual(headers[b"accept-encoding"], [b"identity"])

    async def test_body(self) -> None:
        """A body is sent with its length, and a POST without one says so."""
        pages, url = self.serve_pages()
        fetcher = self.fetcher()
        await fetcher.fetch("POST", url, body=b"x" * 100_000)
        await fetcher.fetch("POST", url)
        self.assertEqual([len(asked[2]) for asked in pages.asked], [100_000, 0])
        self.assertEqual([asked[3][b"content-length"] for asked in pages.asked], [[b"100000"], [b"0"]])

    async def test_own_field(self) -> None:
        """A field of the caller's goes before one of ours, however it is spelt."""
        pages, url = self.serve_pages()
        await self.fetcher().fetch("GET", url, {"user-agent": "mine"})
        self.assertEqual(pages.asked[0][3][b"user-agent"], [b"mine"])

    async def test_status(self) -> None:
        """Every status is an answer."""
        _pages, url = self.serve_pages()
        fetcher = self.fetcher()
        for status in (201, 204, 304, 401, 403, 404, 500, 503):
            self.assertEqual((await fetcher.fetch("GET", f"{url}?status={status}")).status, status)

    async def test_redirect(self) -> None:
        """A redirect is not followed: it may lead anywhere, and a secret would go with it."""
        pages, url = self.serve_pages()
        self.assertEqual((await self.fetcher().fetch("GET", url + "moved")).status, 302)
        self.assertEqual([asked[1] for asked in pages.asked], [b"/moved"])

    async def test_connection_is_kept(self) -> None:
        """One request after the other takes the same connection."""
        pages, url = self.serve_pages()
        fetcher = self.fetcher()
        for _ in range(3):
            await fetcher.fetch("POST", url, body=b"x")
        self.assertEqual(len({asked[4] for asked in pages.asked}), 1)

    async def test_connection_is_not_kept_for_long(self) -> None:
        """A connection ends before the server could end it in the middle of the next request."""
        server, url = self.serve_bytes(EMPTY)
        clocked: Any = ClockedReactor()
        fetcher = HTTPClient(clocked, 10.0)
        await fetcher.fetch("GET", url)
        clocked.clock.advance(1)
        await server.peers[0].gone
        self.assertEqual(clocked.clock.getDelayedCalls(), [])

    async def test_longest_body(self) -> None:
        """A body as long as is allowed is read."""
        body = b"x" * MAX_BODY_BYTES
        for head in (
            HEAD + b"Content-Length: %d\r\n\r\n%b",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n",
        ):
            _server, url = self.serve_bytes(head % (len(body), body))
            self.assertEqual((await self.fetcher().fetch("GET", url)).body, body)

    async def test_max_age(self) -> None:
        """Cache-Control says how long an answer is good; what cannot be read makes it stale at once."""
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
            self.assertEqual((await self.fetcher().fetch("GET", url)).max_age, seconds, field)

    async def test_silence(self) -> None:
        """Nothing of all this is in the log, not even that connections come and go."""
        _pages, url = self.serve_pages()
        _server, cut = self.serve_bytes(HEAD + b"Content-Length: 9\r\n\r\nx", then_close=True)
        events: list[LogEvent] = []
        observe: Any = events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        fetcher = self.fetcher()
        await fetcher.fetch("GET", url)
        await self.problem(cut, fetcher)
        await fetcher.close()
        self.assertEqual(events, [])


class FailureTests(NetworkCase):
    """What is no answer."""

    async def test_too_long(self) -> None:
        """A longer body is no answer, and the connection ends however much is to come."""
        endless = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n%b\r\n" % (b"x" * 1000) * 200
        sized = HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 200_000
        for answer in (endless, sized, HEAD + b"\r\n" + b"x" * 200_000):
            server, url = self.serve_bytes(answer)
            self.assertEqual(await self.problem(url), "its answer is longer than 65536 bytes")
            await server.peers[0].gone

    async def test_cut_off(self) -> None:
        """A connection that ends before the answer does has brought none."""
        for answer in (
            b"",
            b"HTTP/1.1 200",
            HEAD + b"Content-Length: 3\r\n",
            HEAD + b"Content-Length: 3\r\n\r\n12",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n0\r\n",
        ):
            _server, url = self.serve_bytes(answer, then_close=True)
            self.assertEqual(await self.problem(url), "the connection ended in the middle", answer)

    async def test_old_server(self) -> None:
        """A connection of an HTTP/1.0 server ends with its answer, and is not used for another request."""
        for answer in (b"HTTP/1.0 204 No Content\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"):
            # It takes its time with the end, as servers with threads do.
            server, url = self.serve_bytes(answer)
            fetcher = self.fetcher()
            for number in range(1, 4):
                self.assertLess((await fetcher.fetch("GET", url)).status, 300)
                self.assertEqual(len(server.peers), number)
            await fetcher.close()

    async def test_no_length(self) -> None:
        """An answer that ends with its connection is none: nobody can tell a half from the whole."""
        _server, url = self.serve_bytes(HEAD + b"\r\n{}", then_close=True)
        self.assertIn("nothing says where its answer ends", await self.problem(url))

    async def test_not_http(self) -> None:
        """What is not HTTP is no answer, and not repeated."""
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

    async def test_nobody_there(self) -> None:
        """A refused connection says so, and repeats nothing of the URL."""
        port = reactor.listenTCP(0, Server(b""), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        problem = await self.problem(f"http://127.0.0.1:{number}/path?key=value")
        self.assertEqual(problem, "it refuses the connection")

    async def test_cancel(self) -> None:
        """To cancel a request ends its connection, whether or not its answer has begun."""
        for answer in (b"", HEAD + b"Content-Length: 3\r\n\r\n1"):
            server, url = self.serve_bytes(answer)
            fetching = self.fetcher().fetch("GET", url)
            peer = await server.heard
            fetching.cancel()
            with self.assertRaises(CancelledError):
                await fetching
            await peer.gone

    async def test_close(self) -> None:
        """Closing ends connections that wait, and requests that are under way."""
        kept, kept_url = self.serve_bytes(EMPTY)
        silent, silent_url = self.serve_bytes(b"")
        fetcher = self.fetcher()
        await fetcher.fetch("GET", kept_url)
        fetching = fetcher.fetch("GET", silent_url)
        await silent.heard
        await fetcher.close()
        with self.assertRaises(CancelledError):
            await fetching
        await gatherResults([kept.peers[0].gone, silent.peers[0].gone])


class DeadlineTests(NetworkCase):
    """One deadline for everything, on a clock of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.heads = 0
        pool = HTTPConnectionPool(reactor, persistent=False)
        self.agent = Agent(reactor, pool=pool)
        clock: Any = self.clock
        self.fetcher_on_clock = HTTPClient(clock, 5.0, Scripted(self.request))
        self.begun: Deferred[None] = Deferred()
        self.url = b""

    def request(self) -> Deferred[Any]:
        """A real request, of which the test learns when its head has come."""

        def came(response: Any) -> Any:
            # In the next turn the body is waited for.
            reactor.callLater(0, self.begun.callback, None)
            return response

        return self.agent.request(b"GET", self.url).addCallback(came)

    async def late(self, server: Server, url: str, until: Callable[[], Deferred[Any]]) -> None:
        """The deadline comes when the server has come so far."""
        self.url = url.encode()
        fetching = self.fetcher_on_clock.fetch("GET", url)
        await until()
        self.clock.advance(4.9)
        self.assertFalse(fetching.called)
        self.clock.advance(0.1)
        with self.assertRaisesRegex(FetchError, "^there was no whole answer within 5 s$"):
            await fetching
        await server.peers[0].gone
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_head(self) -> None:
        """A server that says nothing, or never comes to the end of its head, is given up."""
        for answer in (b"", HEAD + b"X: y\r\n"):
            server, url = self.serve_bytes(answer)
            await self.late(server, url, partial(getattr, server, "heard"))

    async def test_body(self) -> None:
        """A server that never comes to the end of its body is given up."""
        server, url = self.serve_bytes(HEAD + b"Content-Length: 3\r\n\r\n1")
        await self.late(server, url, lambda: self.begun)

    async def test_in_time(self) -> None:
        """An answer in time leaves no timer."""
        _server, url = self.serve_bytes(EMPTY)
        self.url = url.encode()
        await self.fetcher_on_clock.fetch("GET", url)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SecureTests(NetworkCase):
    """https."""

    def setUp(self) -> None:
        self.authority = trustme.CA()

    def serve_tls(self, answer: bytes, name: str = "127.0.0.1", chain: bytes = b"") -> tuple[Server, str]:
        """A server with a certificate for a name, or with this one, and its URL."""
        if not chain:
            issued = self.authority.issue_cert(name)
            chain = b"".join(blob.bytes() for blob in (issued.private_key_pem, *issued.cert_chain_pems))
        server = Server(answer)
        url = self.serve(TLSMemoryBIOFactory(PrivateCertificate.loadPEM(chain).options(), False, server))
        self.addCleanup(lambda: gatherResults([peer.gone for peer in server.peers]))
        return server, url.replace("http:", "https:")

    def trust(self) -> Path:
        """Make the platform trust our authority; returns the file that makes it."""
        path = Path(self.mktemp())
        path.write_bytes(self.authority.cert_pem.bytes())
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(path)
        self.addCleanup(lambda: os.environ.update(SSL_CERT_FILE=before) if before else os.environ.pop("SSL_CERT_FILE"))
        return path

    async def test_trusted(self) -> None:
        """Whom the platform trusts is trusted."""
        self.trust()
        _server, url = self.serve_tls(EMPTY)
        self.assertEqual((await self.fetcher().fetch("GET", url)).status, 200)

    async def test_read_once(self) -> None:
        """Whom to trust is read once: a second connection does not make everything wait for that again."""
        path = self.trust()
        _server, url = self.serve_tls(HEAD + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        fetcher = self.fetcher()
        await fetcher.fetch("GET", url)
        path.unlink()
        await fetcher.fetch("GET", url)

    async def test_not_trusted(self) -> None:
        """Nobody else is, and gets nothing of the request."""
        server, url = self.serve_tls(EMPTY)
        self.assertIn("its certificate is not trusted", await self.problem(url))
        self.assertEqual([peer.received for peer in server.peers], [b""])

    async def test_other_name(self) -> None:
        """A certificate for somebody else is no use."""
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
            self.assertEqual((await self.fetcher().fetch("GET", url)).status, 200, odd)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_no_tls(self) -> None:
        """A server without TLS at an https URL is told from one that is away."""
        _server, url = self.serve_bytes(b"", greeting=b"220 welcome\r\n")
        self.assertIn("it does not speak TLS", await self.problem(url.replace("http:", "https:")))

    async def test_too_long(self) -> None:
        """A body that is too long ends the connection, even if the peer never hears our goodbye."""
        self.trust()
        server, url = self.serve_tls(HEAD + b"Content-Length: 50000000\r\n\r\n" + b"x" * 50_000_000)
        server.is_deaf = True
        self.assertEqual(await self.problem(url), "its answer is longer than 65536 bytes")
        await server.peers[0].gone

    async def test_close(self) -> None:
        """Closing does not wait for ever for a peer that does not hear our goodbye."""
        self.trust()
        server, url = self.serve_tls(EMPTY)
        server.is_deaf = True
        clocked: Any = ClockedReactor()
        fetcher = HTTPClient(clocked, 10.0)
        await fetcher.fetch("GET", url)
        disconnect = fetcher.close()
        self.assertFalse(disconnect.called)
        clocked.clock.advance(1)
        await disconnect
        self.assertEqual(clocked.clock.getDelayedCalls(), [])
        peer: Any = server.peers[0]
        peer.transport.abortConnection()


def _break(error: Exception, cancelled: Deferred[object]) -> None:
    """Answer a cancellation with something else, as DNS does."""
    cancelled.errback(error)


class ExplainTests(SynchronousTestCase):
    """What an operator reads."""

    def test_problems(self) -> None:
        """Each cause, however deep inside it is, has its words, and what the exceptions say is not among them."""
        for error, problem in (
            (DNSLookupError("topsecret"), "its name cannot be resolved"),
            (ConnectionRefusedError(), "it refuses the connection"),
            (ConnectError(string="topsecret"), "it cannot be reached"),
            (VerificationError([]), "its certificate is for another name"),
            (SSL.Error([("topsecret", "", "")]), "it does not speak TLS, or its certificate is not trusted"),
            (ResponseNeverReceived([Failure(ConnectionLost("topsecret"))]), "the connection ended in the middle"),
            (
                ResponseFailed([Failure(ResponseFailed([Failure(ConnectionDone())]))]),
                "the connection ended in the middle",
            ),
            (ResponseFailed([Failure(ValueError("topsecret"))]), "its answer cannot be read (ValueError)"),
            (RuntimeError("topsecret"), "its answer cannot be read (RuntimeError)"),
        ):
            clock: Any = Clock()
            fetcher = HTTPClient(clock, 5.0, Scripted(partial(fail, error)))
            failure = self.failureResultOf(fetcher.fetch("GET", "https://example.org/"), FetchError)
            self.assertEqual(failure.getErrorMessage(), problem)

    def test_nobody_answers(self) -> None:
        """A connection that is never made is given up at the deadline."""
        clock: Any = Clock()
        for error in (CancelledError(), ConnectingCancelledError(None), DNSLookupError()):
            agent = Scripted(partial(Deferred, partial(_break, error)))
            fetching = HTTPClient(clock, 5.0, agent).fetch("GET", "https://example.org/")
            clock.advance(5)
            failure = self.failureResultOf(fetching, FetchError)
            self.assertEqual(failure.getErrorMessage(), "there was no whole answer within 5 s")

    def test_cancel_while_connecting(self) -> None:
        """To cancel a request that has no connection yet is a cancellation."""
        clock: Any = Clock()
        connecting: Deferred[Any] = Deferred(lambda d: d.errback(ConnectingCancelledError(None)))
        fetching = HTTPClient(clock, 5.0, Scripted(lambda: connecting)).fetch("GET", "https://example.org/")
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])


class Whole:
    """A response that had come to its end before anybody read it."""

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
    """Answers that are there at once."""

    def test_too_long(self) -> None:
        """A body that is too long is no answer, even if there is no connection left to end."""
        clock: Any = Clock()
        fetching = HTTPClient(clock, 5.0, Scripted(lambda: succeed(Whole()))).fetch("GET", "https://example.org/")
        failure = self.failureResultOf(fetching, FetchError)
        self.assertEqual(failure.getErrorMessage(), "its answer is longer than 65536 bytes")


class CheckUrlTests(SynchronousTestCase):
    """Which URLs may be asked."""

    def test_good(self) -> None:
        """With https they lead anywhere, with http to this machine."""
        for url in (
            "https://example.org",
            "https://example.org:8443/a/b;c?d=e%20f",
            "HTTPS://[2001:db8::1]/",
            "http://localhost/",
            "http://LOCALHOST:8080/hook",
            "http://127.0.0.1:8080/hook",
            "http://127.255.255.254/",
            "http://[::1]:8080/",
        ):
            self.assertEqual(check_url(url, "hook_url"), url)

    def test_bad(self) -> None:
        """Everything else is refused with what to do, and not repeated."""
        for url, problem in (
            ("", "should look like"),
            ("topsecret", "should look like"),
            ("topsecret.org/hook", "should look like"),
            ("ftp://topsecret.org/", "should look like"),
            ("https:///topsecret", "should look like"),
            ("https://topsecret.org:0/", "should look like"),
            ("https://topsecret.org:x/", "should look like"),
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
