"""The application's hook: every answer, and everything that is none."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.auth.hook import MAX_CACHED, Hook
from wsrelay.auth.hook_client import MAX_IN_FLIGHT, MAX_IN_FLIGHT_OF_ONE, MAX_TOLD, SETTLED_SECONDS
from wsrelay.core.access.identity import ANONYMOUS, Identity, read_identity
from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ClaimError, FetchError, FetchTimeoutError, RejectedError
from wsrelay.core.wire.handshake import Handshake

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
SOMEBODY = Identity("7", ("room", "room.*"), ("room",), EPOCH + 100, "jti:1")
SILENT_STATUSES = (100, 201, 202, 206, 301, 302, 304, 400, 404, 405, 410, 422, 429, 500, 502, 503, 599)


@dataclass(frozen=True)
class Answer:
    """What the endpoint answers."""

    status: int
    body: bytes = b""


class Request:
    """One request that the hook made."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self.line = (method, url)
        self.headers = dict(headers)
        self.body = body
        self.question = json.loads(body)
        self.is_cancelled = False
        self.answer: Deferred[Answer] = Deferred(self._cancelled)

    def _cancelled(self, _answer: object) -> None:
        self.is_cancelled = True


class Endpoint:
    """Stands in for the fetcher and the endpoint behind it.

    Attributes:
        requests: What was asked.
        answers: What is answered at once, in order; what is asked beyond that waits.
        is_broken: Whether no request can be made.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer | Exception] = []
        self.is_broken = False

    def fetch(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Deferred[Answer]:
        """Note a request, and answer it if there is something to answer."""
        if self.is_broken:
            raise ValueError("no such host")
        request = Request(method, url, headers or {}, body)
        self.requests.append(request)
        if self.answers:
            self.give(self.answers.pop(0))
        return request.answer

    def give(self, answer: Answer | Exception, request: int = -1) -> None:
        """Answer a request, the newest one unless told otherwise."""
        if isinstance(answer, Exception):
            self.requests[request].answer.errback(answer)
        else:
            self.requests[request].answer.callback(answer)


def says(**claims: object) -> Answer:
    """The answer that lets a client in as somebody."""
    return Answer(200, json.dumps(claims).encode())


class HookCase(SynchronousTestCase):
    """A hook between a client and an endpoint."""

    def setUp(self) -> None:
        self.events = self.enterContext(capturedLogs())
        self.make()

    def make(self, secret: str | None = None, forward: Sequence[str] = (), cache_seconds: float = 0.0) -> None:
        """Start anew with other settings."""
        self.endpoint = Endpoint()
        self.clock = Clock()
        self.counters: Counter[str] = Counter()
        clock: Any = self.clock
        self.hook = Hook(
            self.endpoint,
            URL,
            secret=None if secret is None else Secret(secret),
            forward=forward,
            cache_seconds=cache_seconds,
            clock=clock,
            rng=Random(1),
            counters=self.counters,
            now=lambda: EPOCH + self.clock.seconds(),
        )

    def connect(self, identity: Identity = ANONYMOUS, peer: str = "192.0.2.7") -> Deferred[Identity]:
        """A client comes."""
        return self.hook.connect(identity, replace(HANDSHAKE, peer=peer), ["room"])

    def publish(self, payload: bytes = b"hi") -> Deferred[None]:
        """A client publishes."""
        return self.hook.publish(SOMEBODY, "room", payload)

    def becomes(self, answer: Answer | Exception, identity: Identity = ANONYMOUS) -> Identity:
        """Who a client is after this answer."""
        self.endpoint.answers.append(answer)
        return self.successResultOf(self.connect(identity))

    def client_error(self, outcome: Deferred[Any]) -> ClientError:
        """Why somebody was denied something."""
        error = self.failureResultOf(outcome, RejectedError).value
        assert isinstance(error, RejectedError)
        return error.client_error

    def denied(self, answer: Answer | Exception, identity: Identity = ANONYMOUS) -> ClientError:
        """Why a client is not let in after this answer."""
        self.endpoint.answers.append(answer)
        return self.client_error(self.connect(identity))

    def lines(self) -> list[str]:
        """What was logged."""
        return [formatEvent(event) for event in self.events]

    def break_it(self) -> None:
        """The endpoint fails so often that it is left alone."""
        for _ in range(5):
            self.denied(FetchError("it did not answer in time"))
        self.assertTrue(self.hook.is_open)


class QuestionTests(HookCase):
    """What the endpoint is asked."""

    def test_connect(self) -> None:
        """It is told who comes from where and wants what, as JSON, and never the query, which may hold a ticket."""
        self.connect(SOMEBODY)
        (request,) = self.endpoint.requests
        self.assertEqual(request.line, ("POST", URL))
        self.assertEqual(request.headers, {"Content-Type": "application/json"})
        self.assertEqual(
            request.question,
            {
                "event": "connect",
                "channels": ["room"],
                "address": "192.0.2.7",
                "origin": "https://example.org",
                "path": "/ws/room",
                "user": "7",
                "connection": "5f0c",
                "headers": {},
            },
        )
        self.assertNotIn(TICKET.encode(), request.body)

    def test_nobody_from_nowhere(self) -> None:
        """What is not known is null, and bytes that are no text break nothing."""
        self.hook.connect(ANONYMOUS, Handshake("/\udcff", "192.0.2.7"), [])
        (request,) = self.endpoint.requests
        self.assertIsNone(request.question["user"])
        self.assertIsNone(request.question["origin"])
        self.assertEqual(request.question["path"], "/\udcff")

    def test_forward(self) -> None:
        """Of the client's header fields it sees those that were asked for, and of these the ones that were sent."""
        both = {"cookie": COOKIE, "authorization": TOKEN}
        for forward in ([], ["cookie"], ["authorization"], ["authorization", "cookie"]):
            self.make(forward=forward)
            self.connect()
            expected = {name: both[name] for name in forward}
            self.assertEqual(self.endpoint.requests[0].question["headers"], expected)
            self.assertEqual(COOKIE.encode() in self.endpoint.requests[0].body, "cookie" in forward)
            self.assertEqual(TOKEN.encode() in self.endpoint.requests[0].body, "authorization" in forward)
        self.hook.connect(ANONYMOUS, replace(HANDSHAKE, cookie=""), [])
        self.assertEqual(self.endpoint.requests[1].question["headers"], {"authorization": TOKEN})

    def test_secret(self) -> None:
        """The secret goes with every request, where the endpoint looks for it."""
        self.make(secret=SECRET)
        self.connect()
        self.publish()
        for request in self.endpoint.requests:
            self.assertEqual(request.headers["Authorization"], f"Bearer {SECRET}")

    def test_nothing_leaks(self) -> None:
        """No secret and nothing of a client is in a log line, an error or a dump, whatever goes wrong."""
        self.make(secret=SECRET, forward=["cookie", "authorization"])
        texts = []
        broken: list[Answer | Exception] = [
            ValueError(f"bad header {SECRET} {COOKIE}"),
            Answer(500, SECRET.encode()),
            says(sub=[SECRET]),
        ]
        for answer in broken:
            self.endpoint.answers.append(answer)
            failure = self.failureResultOf(self.connect(), RejectedError)
            texts += [str(failure.value), repr(failure), failure.getTraceback()]
        self.assertEqual(len(self.lines()), 3)
        dump = "\n".join([*texts, *self.lines(), repr(self.events), repr(self.hook), repr(vars(self.hook))])
        for secret in (SECRET, COOKIE, TOKEN, TICKET):
            self.assertNotIn(secret, dump)

    def test_publish(self) -> None:
        """It is told who publishes what and where: text as it is, everything else in base64."""
        self.publish("grüß dich".encode())
        self.publish(b"\xff\x00")
        text, binary = (request.question for request in self.endpoint.requests)
        self.assertEqual(text, {"event": "publish", "channel": "room", "user": "7", "text": "grüß dich"})
        self.assertEqual(b64decode(binary.pop("base64")), b"\xff\x00")
        self.assertEqual(binary, {"event": "publish", "channel": "room", "user": "7"})


class YesTests(HookCase):
    """Answers that let a client in."""

    def test_says_who(self) -> None:
        """What the application says goes before what the credential says; what revokes it stays."""
        answer = says(sub="8", channels=["a", "b*"], publish=[], exp=EPOCH + 50)
        expected = Identity("8", ("a", "b*"), (), EPOCH + 50, "jti:1")
        self.assertEqual(self.becomes(answer, SOMEBODY), expected)
        self.assertEqual(self.becomes(answer), replace(expected, credential_id=None))

    def test_says_nothing(self) -> None:
        """What the application does not say stays, and an application that says nothing vouches for nobody."""
        for answer in (Answer(204), says(), says(sub=None, channels=None, publish=None, exp=None)):
            for identity in (ANONYMOUS, SOMEBODY):
                self.assertEqual(self.becomes(answer, identity), identity)
        self.assertEqual(self.becomes(says(channels=["a"]), SOMEBODY), replace(SOMEBODY, channels=("a",)))
        self.assertEqual(self.counters, {"allowed": 7})

    def test_vouches(self) -> None:
        """A client that the application knows by name, or names channels for, is known from then on; no other is."""
        self.assertTrue(self.becomes(says(sub="8")).is_authenticated)
        self.assertTrue(self.becomes(says(channels=["a"])).is_authenticated)
        self.assertFalse(self.becomes(says(publish=["a"])).is_authenticated)

    def test_sooner_end(self) -> None:
        """Whoever of the two gives less time, it holds."""
        for own, said, holds in ((100, 50, 50), (50, 100, 50), (None, 50, 50), (50, None, 50), (None, None, None)):
            identity = replace(SOMEBODY, expires=None if own is None else EPOCH + own)
            answer = says(exp=None if said is None else EPOCH + said)
            self.assertEqual(self.becomes(answer, identity).expires, None if holds is None else EPOCH + holds)

    def test_may_publish(self) -> None:
        """200 and 204 let a message pass, whatever else they say."""
        for answer in (Answer(200), Answer(200, b"ok"), Answer(204)):
            self.endpoint.answers.append(answer)
            self.assertIsNone(self.successResultOf(self.publish()))
        self.assertEqual(self.counters, {"allowed": 3})


class NoTests(HookCase):
    """Answers that do not, and what is none."""

    def test_no(self) -> None:
        """401 asks for a credential where there was none, and 403 does not."""
        self.assertEqual(self.denied(Answer(401)), ClientError.NO_CREDENTIAL)
        self.assertEqual(self.denied(Answer(401), SOMEBODY), ClientError.HOOK)
        self.assertEqual(self.denied(Answer(403)), ClientError.HOOK)
        self.assertEqual(self.denied(Answer(403), SOMEBODY), ClientError.HOOK)
        self.assertEqual(self.counters, {"denied": 4})
        self.assertEqual(self.lines(), [])

    def test_over_already(self) -> None:
        """Somebody whose time is over is nobody: the same as 401."""
        self.assertEqual(self.denied(says(sub="8", exp=EPOCH)), ClientError.NO_CREDENTIAL)
        self.assertEqual(self.denied(says(sub="8", exp=EPOCH - 1), SOMEBODY), ClientError.HOOK)
        self.assertEqual(self.counters, {"denied": 2})

    def test_may_not_publish(self) -> None:
        """401 and 403 keep a message back."""
        for status in (401, 403):
            self.endpoint.answers.append(Answer(status))
            self.assertEqual(self.client_error(self.publish()), ClientError.PUBLISH_DENIED)
        self.assertEqual(self.counters, {"denied": 2})

    def test_other_statuses(self) -> None:
        """Any other status is no answer, whoever is to blame for it, and its body is not looked at."""
        for status in SILENT_STATUSES:
            self.make()
            self.assertEqual(self.denied(Answer(status, says(sub="8").body)), ClientError.NOT_CHECKED)
            self.endpoint.answers.append(Answer(status))
            self.assertEqual(self.client_error(self.publish()), ClientError.NOT_CHECKED)
            self.assertEqual(self.counters, {"failed": 2})
            self.assertIn(f"it answered with the status {status}", self.lines()[-1])

    def test_no_object(self) -> None:
        """200 with anything but a JSON object lets nobody in."""
        for body in (b"", b"ok", b"true", b"[]", b'"7"', b"null", b"\xff", b"{", b'{"sub": 7}x', b"[" * 100_000):
            self.make()
            self.assertEqual(self.denied(Answer(200, body)), ClientError.NOT_CHECKED)
            self.assertIn("its answer is no JSON object", self.lines()[-1])

    def test_unreadable_claims(self) -> None:
        """A claim that cannot be read lets nobody in, and the log names it without its value."""
        for name, value in (("sub", "x" * 300), ("channels", "room"), ("publish", ["no/channel"]), ("exp", "soon")):
            self.make()
            self.assertEqual(self.denied(says(**{name: value}), SOMEBODY), ClientError.NOT_CHECKED)
            self.assertEqual(self.counters, {"failed": 1})
            self.assertIn(f"{name} must be", self.lines()[-1])
            self.assertNotIn(str(value), self.lines()[-1])

    def test_unreadable_claims_of_one(self) -> None:
        """What is wrong with the claims of one client keeps no other one out."""
        for _ in range(20):
            self.denied(says(sub={}))
        self.assertFalse(self.hook.is_open)
        self.assertEqual(len(self.lines()), 1)

    def test_no_answer(self) -> None:
        """No answer lets nobody in, and nothing pass."""
        for error in (FetchError("it did not answer in time"), RuntimeError("a mistake of ours"), KeyError(1)):
            self.assertEqual(self.denied(error, SOMEBODY), ClientError.NOT_CHECKED)
        self.endpoint.answers.append(FetchError("it did not answer in time"))
        self.assertEqual(self.client_error(self.publish()), ClientError.NOT_CHECKED)
        self.assertEqual(self.counters, {"failed": 4})

    def test_cannot_ask(self) -> None:
        """A request that cannot even be made lets nobody in."""
        self.endpoint.is_broken = True
        self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)
        self.assertEqual(self.counters, {"failed": 1})

    bodies = st.one_of(
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

    @given(st.sampled_from([200, 200, 200, 204, 401, 403, 500]) | st.integers(0, 999), bodies)
    def test_the_only_way_in(self, status: int, body: bytes) -> None:
        """Whatever is answered: 204 lets in, 200 does with claims that can be read and hold, and nothing else does."""
        self.make()
        self.endpoint.answers.append(Answer(status, body))
        outcomes: list[Any] = []
        self.connect(SOMEBODY).addBoth(outcomes.append)
        is_in = isinstance(outcomes[0], Identity)
        self.assertEqual(is_in, status == 204 or (status == 200 and self.is_good(body)))
        if not is_in:
            outcomes[0].trap(RejectedError)

    @staticmethod
    def is_good(body: bytes) -> bool:
        """Whether a body holds claims that can be read, of somebody whose time is not over."""
        try:
            claims = json.loads(body)
            if not set(claims) <= {"sub", "channels", "publish", "exp"}:
                return False
            identity = read_identity(claims)
        except (ValueError, AttributeError, TypeError, ClaimError):
            return False
        return identity.expires is None or identity.expires > EPOCH


class CacheTests(HookCase):
    """Answers that are remembered."""

    def setUp(self) -> None:
        super().setUp()
        self.make(forward=["cookie"], cache_seconds=30.0)

    def test_yes_and_no(self) -> None:
        """Who says the same gets the same answer for a while, a yes or a no, and then a new one."""
        self.assertEqual(self.becomes(says(sub="8")).subject, "8")
        self.clock.advance(29.9)
        self.assertEqual(self.successResultOf(self.connect()).subject, "8")
        self.clock.advance(0.1)
        self.assertEqual(self.denied(Answer(403)), ClientError.HOOK)
        self.assertEqual(self.client_error(self.connect()), ClientError.HOOK)
        self.assertEqual((len(self.endpoint.requests), self.counters), (2, {"allowed": 1, "denied": 1, "cached": 2}))

    def test_large_answers(self) -> None:
        """An answer that names very many channels is not kept: ten thousand of them would fill the memory."""
        self.becomes(says(sub="8", channels=["a"] * 10, publish=["b"] * 11))
        self.assertEqual(self.becomes(says(sub="9")).subject, "9")
        self.assertEqual(self.counters["cached"], 0)

    def test_forget(self) -> None:
        """When somebody is to be looked at anew, everybody is."""
        self.becomes(says(sub="8"))
        self.hook.clear_cache()
        self.assertEqual(self.becomes(says(sub="9")).subject, "9")

    def test_connections_are_alike(self) -> None:
        """The name of the connection is not in a question whose answer is for all who ask the same."""
        self.becomes(says(sub="8"))
        self.assertEqual(
            self.successResultOf(self.hook.connect(ANONYMOUS, replace(HANDSHAKE, connection="6"), ["room"])).subject,
            "8",
        )
        self.assertIsNone(self.endpoint.requests[0].question["connection"])

    def test_other_question(self) -> None:
        """Whoever says anything else is asked about anew."""
        others: list[Callable[[], object]] = [
            lambda: self.connect(),
            lambda: self.connect(SOMEBODY),
            lambda: self.connect(peer="192.0.2.8"),
            lambda: self.hook.connect(ANONYMOUS, HANDSHAKE, ["room", "other"]),
            lambda: self.hook.connect(ANONYMOUS, replace(HANDSHAKE, cookie="sid=other"), ["room"]),
            lambda: self.hook.connect(ANONYMOUS, replace(HANDSHAKE, origin=None), ["room"]),
            lambda: self.hook.connect(ANONYMOUS, replace(HANDSHAKE, path="/ws/other"), ["room"]),
        ]
        for ask in others:
            self.endpoint.answers.append(Answer(204))
            ask()
        self.assertEqual(len(self.endpoint.requests), len(others))

    def test_of_each_its_own(self) -> None:
        """What is remembered is the application's word alone: each client's own credential holds for it."""
        self.becomes(says(channels=["a"]), SOMEBODY)
        other = Identity("7", ("b",), None, EPOCH + 10, "jti:2")
        self.assertEqual(self.successResultOf(self.connect(other)), replace(other, channels=("a",)))
        self.assertEqual(self.denied(Answer(401)), ClientError.NO_CREDENTIAL)
        self.assertEqual(self.client_error(self.connect(Identity())), ClientError.HOOK)
        self.assertEqual(len(self.endpoint.requests), 2)

    def test_over_meanwhile(self) -> None:
        """Who comes back when its time is over is asked about anew."""
        self.becomes(says(sub="8", exp=EPOCH + 10))
        self.clock.advance(10)
        self.assertEqual(self.becomes(says(sub="8", exp=EPOCH + 90)).expires, EPOCH + 90)

    def test_no_failures(self) -> None:
        """What was no answer is not remembered."""
        for answer in (Answer(500), Answer(404), Answer(200), says(sub={}), FetchError("it did not answer in time")):
            self.denied(answer)
        self.assertEqual((len(self.endpoint.requests), self.counters), (5, {"failed": 5}))

    def test_no_time(self) -> None:
        """With no time at all everybody is asked about."""
        self.make(cache_seconds=0.0)
        self.becomes(Answer(204))
        self.becomes(Answer(204))
        self.assertEqual(self.counters, {"allowed": 2})

    def test_bound(self) -> None:
        """The oldest answer is forgotten when there are too many."""
        self.endpoint.answers = [Answer(204)] * (MAX_CACHED + 2)
        for number in range(MAX_CACHED + 1):
            self.connect(peer=str(number))
        self.connect(peer="1")
        self.assertEqual(self.counters["cached"], 1)
        self.connect(peer="0")
        self.assertEqual(self.counters, {"allowed": MAX_CACHED + 2, "cached": 1})

    def test_not_of_messages(self) -> None:
        """Every message is asked about."""
        self.endpoint.answers = [Answer(204), Answer(403)]
        self.successResultOf(self.publish())
        self.assertEqual(self.client_error(self.publish()), ClientError.PUBLISH_DENIED)

    def test_during_an_outage(self) -> None:
        """What is remembered holds while the endpoint is left alone."""
        self.endpoint.answers = [Answer(204)]
        self.successResultOf(self.connect(peer="192.0.2.8"))
        self.break_it()
        self.successResultOf(self.connect(peer="192.0.2.8"))
        self.assertEqual(self.counters, {"allowed": 1, "failed": 5, "cached": 1})


class ShareTests(HookCase):
    """Clients that ask the same at the same time, and too many that do not."""

    def test_one_request(self) -> None:
        """One request answers all who ask the same while it is under way; each gets what holds for itself."""
        other = replace(SOMEBODY, expires=EPOCH + 10, credential_id="jti:2")
        clients = [self.connect(SOMEBODY), self.connect(other)]
        self.assertEqual(len(self.endpoint.requests), 1)
        self.endpoint.give(says(exp=EPOCH + 50))
        self.assertEqual(self.successResultOf(clients[0]), replace(SOMEBODY, expires=EPOCH + 50))
        self.assertEqual(self.successResultOf(clients[1]), other)
        self.assertEqual(self.counters, {"allowed": 1})

    def test_shared_failure(self) -> None:
        """If it fails, all of them are told, and it counts once."""
        clients = [self.connect() for _ in range(10)]
        self.endpoint.give(Answer(500))
        self.assertEqual({self.client_error(client) for client in clients}, {ClientError.NOT_CHECKED})
        self.assertEqual(self.counters, {"failed": 1})
        self.assertFalse(self.hook.is_open)

    def test_one_leaves(self) -> None:
        """One who leaves takes nothing away from the others."""
        leaving, staying = self.connect(), self.connect()
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.endpoint.give(Answer(204))
        self.successResultOf(staying)

    def test_all_leave(self) -> None:
        """When all have left, the answer is still there for those who come back."""
        self.make(cache_seconds=30.0)
        leaving = self.connect()
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.assertFalse(self.endpoint.requests[0].is_cancelled)
        staying = self.connect()
        self.endpoint.give(Answer(204))
        self.successResultOf(staying)
        self.successResultOf(self.connect())
        self.assertEqual(len(self.endpoint.requests), 1)

    def test_who_left_takes_no_memory(self) -> None:
        """A crowd that comes and goes while the endpoint thinks leaves nothing behind."""
        for _ in range(10):
            leaving = self.connect()
            leaving.cancel()
            self.failureResultOf(leaving, CancelledError)
        self.assertEqual(list(self.hook._waiting.values()), [set()])
        self.endpoint.give(Answer(204))
        self.assertEqual(self.hook._waiting, {})

    def test_leaves_while_told(self) -> None:
        """One that makes another one leave when it is told harms nobody."""
        clients = [self.connect() for _ in range(3)]

        def leave(outcome: Identity | Failure) -> Identity | Failure:
            for client in clients:
                client.cancel()
            return outcome

        told: list[Identity | Failure] = []
        for client in clients:
            client.addBoth(leave).addBoth(told.append)
        self.endpoint.give(Answer(204))
        self.assertEqual([isinstance(outcome, Identity) for outcome in told].count(True), 1)
        self.assertEqual(len(told), 3)

    def test_next_one_asks_again(self) -> None:
        """What was answered is over: who comes later is asked about anew."""
        self.becomes(Answer(204))
        self.connect()
        self.assertEqual(len(self.endpoint.requests), 2)

    def test_fetcher_is_stopped(self) -> None:
        """A request that is cancelled from below lets nobody in and says nothing about the endpoint."""
        client = self.connect()
        self.endpoint.requests[0].answer.cancel()
        self.assertEqual(self.client_error(client), ClientError.NOT_CHECKED)
        self.assertEqual((self.counters, self.lines()), ({}, []))

    def test_too_many(self) -> None:
        """There is a bound to what is under way; who would need one more is told to come back, at once."""
        clients = [self.connect(peer=str(number)) for number in range(MAX_IN_FLIGHT - 1)]
        message = self.publish()
        self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)
        self.assertEqual(self.client_error(self.publish()), ClientError.NOT_CHECKED)
        clients.append(self.connect(peer="0"))
        self.assertEqual((len(self.endpoint.requests), self.counters), (MAX_IN_FLIGHT, {"skipped": 2}))
        for number in range(MAX_IN_FLIGHT):
            self.endpoint.give(Answer(204), number)
        for client in clients:
            self.successResultOf(client)
        self.successResultOf(message)
        self.assertEqual(self.becomes(Answer(204)), ANONYMOUS)

    def test_message_is_cancelled(self) -> None:
        """A message that is not to be published any more takes no room."""
        messages = [self.publish() for _ in range(MAX_IN_FLIGHT_OF_ONE)]
        messages[0].cancel()
        self.failureResultOf(messages[0], CancelledError)
        self.assertTrue(self.endpoint.requests[0].is_cancelled)
        self.publish()
        self.assertEqual((len(self.endpoint.requests), self.counters), (MAX_IN_FLIGHT_OF_ONE + 1, {}))

    def test_of_whom(self) -> None:
        """An address is one with its neighbours of IPv6, a user is another, and who has no name is an address."""
        here = replace(HANDSHAKE, peer="2001:db8::1")
        for number in range(MAX_IN_FLIGHT):
            asked = self.hook.connect(ANONYMOUS, replace(here, peer=f"2001:db8::{number:x}"), ["room"])
            asked.addErrback(lambda failure: failure.trap(RejectedError) and None)
        self.assertEqual(len(self.endpoint.requests), MAX_IN_FLIGHT_OF_ONE)
        nobody = replace(ANONYMOUS, address="2001:db8::ffff")
        self.assertEqual(self.client_error(self.hook.publish(nobody, "room", b"x")), ClientError.NOT_CHECKED)
        self.hook.publish(Identity("2001:db8::"), "room", b"x")
        self.hook.publish(replace(ANONYMOUS, address="192.0.2.8"), "room", b"x")
        self.assertEqual(len(self.endpoint.requests), MAX_IN_FLIGHT_OF_ONE + 2)

    def test_room_of_one(self) -> None:
        """One client cannot take all the room, be it one address that comes or one user that publishes."""
        for number in range(MAX_IN_FLIGHT):
            asked = self.hook.connect(ANONYMOUS, replace(HANDSHAKE, connection=str(number)), ["room"])
            asked.addErrback(lambda failure: failure.trap(RejectedError) and None)
        self.assertEqual((len(self.endpoint.requests), self.counters["skipped"]), (MAX_IN_FLIGHT_OF_ONE,) * 2)
        self.connect(peer="192.0.2.8")
        self.assertEqual(len(self.endpoint.requests), MAX_IN_FLIGHT_OF_ONE + 1)


class OutageTests(HookCase):
    """An endpoint that does not work."""

    def test_left_alone(self) -> None:
        """After some failures in a row nothing is asked any more: no answer, or one that there is too much to do."""
        for answer in (Answer(502), Answer(503), Answer(504), Answer(429), FetchError("refused")):
            self.assertFalse(self.hook.is_open)
            self.denied(answer)
        self.assertTrue(self.hook.is_open)
        self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)
        self.assertEqual(self.client_error(self.publish()), ClientError.NOT_CHECKED)
        self.assertEqual((len(self.endpoint.requests), self.counters), (5, {"failed": 5, "skipped": 2}))

    def test_odd_answers(self) -> None:
        """What is no answer lets nobody in, and shuts nobody else out: one client may know how to cause it."""
        for answer in [Answer(500), Answer(404), Answer(302), Answer(200, b"ok"), says(sub={})] * 3:
            self.denied(answer)
        self.assertFalse(self.hook.is_open)
        self.assertEqual(self.becomes(Answer(204)), ANONYMOUS)

    def test_no_answer_about_one(self) -> None:
        """That there is no answer about one client counts once, however often it comes; about several, each time."""
        late = FetchTimeoutError("there was no whole answer within 5 s")
        for _ in range(20):
            self.denied(late)
        self.assertFalse(self.hook.is_open)
        for peer in "123":
            self.endpoint.answers.append(Answer(504))
            self.client_error(self.connect(peer=peer))
            self.assertFalse(self.hook.is_open)
        self.endpoint.answers.append(late)
        self.client_error(self.connect(peer="4"))
        self.assertTrue(self.hook.is_open)

    def test_answer_about_anybody(self) -> None:
        """An answer about anybody has all counting begin anew."""
        late = FetchTimeoutError("there was no whole answer within 5 s")
        for _ in range(3):
            for peer in "1234":
                self.endpoint.answers.append(late)
                self.client_error(self.connect(peer=peer))
            self.becomes(Answer(204))
        self.assertFalse(self.hook.is_open)

    def test_trial(self) -> None:
        """After a pause one request is made, and when it is answered, all are."""
        self.break_it()
        self.clock.advance(1.0)
        trial = self.connect()
        self.assertEqual(self.client_error(self.connect(peer="192.0.2.8")), ClientError.NOT_CHECKED)
        self.endpoint.give(Answer(403))
        self.assertEqual(self.client_error(trial), ClientError.HOOK)
        self.assertFalse(self.hook.is_open)
        self.becomes(Answer(204))

    def test_trial_fails(self) -> None:
        """If that one fails there is a pause again, at once."""
        self.break_it()
        self.clock.advance(1.0)
        self.denied(Answer(503))
        self.assertTrue(self.hook.is_open)
        self.assertEqual(self.client_error(self.connect()), ClientError.NOT_CHECKED)
        self.assertEqual(len(self.endpoint.requests), 6)

    def test_trial_is_cancelled(self) -> None:
        """If nobody wants to know any more, the next one is the trial."""
        self.break_it()
        self.clock.advance(1.0)
        trial = self.publish()
        trial.cancel()
        self.failureResultOf(trial, CancelledError)
        self.becomes(Answer(204))
        self.assertFalse(self.hook.is_open)

    def test_late_ones(self) -> None:
        """What was under way when the outage began does not take the trial's place."""
        self.publish().addErrback(lambda failure: failure.trap(RejectedError))
        self.break_it()
        self.clock.advance(1.0)
        trial = self.connect()
        self.endpoint.give(FetchError("it did not answer in time"), 0)
        self.clock.advance(30.0)
        self.assertEqual(self.client_error(self.connect(peer="192.0.2.8")), ClientError.NOT_CHECKED)
        self.endpoint.give(Answer(204))
        self.successResultOf(trial)
        self.assertFalse(self.hook.is_open)

    def test_log(self) -> None:
        """An outage is one line when it begins, with the reason, and one when it is over."""
        self.break_it()
        self.clock.advance(SETTLED_SECONDS)
        self.becomes(Answer(204))
        self.becomes(Answer(204))
        began, over = self.lines()
        self.assertIn("it did not answer in time", began)
        self.assertEqual(over, "the hook works again")
        self.denied(Answer(500))
        self.assertEqual(len(self.lines()), 3)

    def test_now_and_then(self) -> None:
        """An endpoint that fails now and then is one outage, not one for each time."""
        for _ in range(20):
            self.denied(Answer(500))
            self.clock.advance(SETTLED_SECONDS / 2)
            self.becomes(Answer(204))
        self.assertEqual(len(self.lines()), 1)

    def test_other_reasons(self) -> None:
        """Another reason is another line, up to a bound."""
        for number in range(MAX_TOLD + 5):
            for _ in range(3):
                self.denied(FetchError(f"reason {number}"))
                self.becomes(Answer(204))
        self.assertEqual(len(self.lines()), MAX_TOLD)
