"""A hook between clients and a scripted endpoint, for the tests of the hook."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.auth.hook import Hook
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import FetchError, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.outgoing.http_client import HTTPResponse

__all__ = [
    "BODIES",
    "COOKIE",
    "EPOCH",
    "HANDSHAKE",
    "OTHER_STATUSES",
    "SECRET",
    "TICKET",
    "TOKEN",
    "URL",
    "USER",
    "HookCase",
    "allow",
    "response",
]

URL = "http://app.internal/hook"
EPOCH = 1_800_000_000.0
SECRET = "the-secret-of-the-hook"
COOKIE = "sid=the-cookie"
TOKEN = "Bearer the.token.itself"
TICKET = "the-ticket-of-somebody"
HANDSHAKE = Handshake(
    "/ws/room",
    "192.0.2.7",
    query=f"ticket={TICKET}",
    origin="https://example.org",
    authorization=TOKEN,
    cookie=COOKIE,
    connection="5f0c",
)
USER = Identity("7", ("room", "room.*"), ("room",), EPOCH + 100, "jti:1")
BODIES = st.one_of(
    st.binary(max_size=20),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["sub", "channels", "publish", "exp"]) | st.text(max_size=3), inner, max_size=4
            )
        ),
    ).map(lambda document: json.dumps(document).encode()),
)
"""Bodies of any kind, often with claims in them."""

OTHER_STATUSES = (100, 201, 202, 206, 301, 302, 304, 400, 404, 405, 410, 422, 429, 500, 502, 503, 599)
"""Statuses that are no answers."""


def response(status: int, body: bytes = b"") -> HTTPResponse:
    """Return a response of the endpoint."""
    return HTTPResponse(status, body, None)


class Request:
    """A request of the hook."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self.line = (method, url)
        self.headers = dict(headers)
        self.body = body
        self.question = json.loads(body)
        self.is_cancelled = False
        self.response: Deferred[HTTPResponse] = Deferred(self._cancelled)

    def _cancelled(self, _answer: object) -> None:
        self.is_cancelled = True


class ScriptedEndpoint:
    """Stands in for the HTTP client and the endpoint behind it.

    Attributes:
        requests: The requests so far.
        answers: The outcomes of the next requests, in order. Further ones wait.
        is_broken: Whether no request can be made.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[HTTPResponse | Exception] = []
        self.is_broken = False

    def fetch(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Deferred[HTTPResponse]:
        """Record a request, and answer it if an answer is left."""
        if self.is_broken:
            raise ValueError("no such host")
        request = Request(method, url, headers or {}, body)
        self.requests.append(request)
        if self.answers:
            self.respond(self.answers.pop(0))
        return request.response

    def respond(self, answer: HTTPResponse | Exception, request: int = -1) -> None:
        """Answer a request, by default the newest one."""
        if isinstance(answer, Exception):
            self.requests[request].response.errback(answer)
        else:
            self.requests[request].response.callback(answer)


def allow(**claims: object) -> HTTPResponse:
    """Return the response that allows a client with these claims."""
    return response(200, json.dumps(claims).encode())


class HookCase(SynchronousTestCase):
    """A hook between clients and a scripted endpoint."""

    def setUp(self) -> None:
        self.events = self.enterContext(capturedLogs())
        self.make()

    def make(self, secret: str | None = None, forward_headers: Sequence[str] = (), cache_seconds: float = 0.0) -> None:
        """Start again with other settings."""
        self.endpoint = ScriptedEndpoint()
        self.clock = Clock()
        self.counters: Counter[str] = Counter()
        clock: Any = self.clock
        http_client: Any = self.endpoint
        self.hook = Hook(
            http_client,
            URL,
            secret=None if secret is None else Secret(secret),
            forward_headers=forward_headers,
            cache_seconds=cache_seconds,
            clock=clock,
            rng=Random(1),
            counters=self.counters,
            now=lambda: EPOCH + self.clock.seconds(),
        )

    def connect(self, identity: Identity = ANONYMOUS, peer: str = "192.0.2.7") -> Deferred[Identity]:
        """Connect a client."""
        return self.hook.connect(identity, replace(HANDSHAKE, peer=peer), ["room"])

    def publish(self, payload: bytes = b"hi") -> Deferred[None]:
        """Publish a message."""
        return self.hook.publish(USER, "room", payload)

    def identity_after(self, answer: HTTPResponse | Exception, identity: Identity = ANONYMOUS) -> Identity:
        """Return the identity of a client after this answer."""
        self.endpoint.answers.append(answer)
        return self.successResultOf(self.connect(identity))

    def client_error(self, outcome: Deferred[Any]) -> ClientError:
        """Return the error with which a client or message was rejected."""
        error = self.failureResultOf(outcome, RejectedError).value
        assert isinstance(error, RejectedError)
        return error.client_error

    def error_after(self, answer: HTTPResponse | Exception, identity: Identity = ANONYMOUS) -> ClientError:
        """Return the error with which a client is rejected after this answer."""
        self.endpoint.answers.append(answer)
        return self.client_error(self.connect(identity))

    def log_lines(self) -> list[str]:
        """Return the lines of the log."""
        return [formatEvent(event) for event in self.events]

    def open_breaker(self) -> None:
        """Let the endpoint fail until the breaker is open."""
        for _ in range(5):
            self.error_after(FetchError("it did not answer in time"))
        self.assertTrue(self.hook.is_open)
