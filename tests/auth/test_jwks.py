"""The keys of an identity provider: when they are fetched, and which of them count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.auth.test_keys import EC, ED, OTHER_RSA, RSA, RSA_ALGORITHMS
from tests.outgoing.test_http_client import NetworkCase
from wsrelay.auth.jwks import (
    ASK_SECONDS,
    KEEP_SECONDS,
    MAX_KEYS,
    REFRESH_LEAST_SECONDS,
    REFRESH_MOST_SECONDS,
    REFRESH_SECONDS,
    RETRY_MOST_SECONDS,
    RemoteKeys,
    read_key_set,
)
from wsrelay.auth.keys import ASYMMETRIC, Key
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import FetchError, RejectedError
from wsrelay.outgoing.http_client import HTTPResponse

URL = "https://example.org/keys"


def jwk(key: object, **members: object) -> dict[str, Any]:
    """A public key as a JWK; what is None in the members is left out."""
    if isinstance(key, rsa.RSAPrivateKey):
        entry = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        entry = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        public: Any = key
        entry = OKPAlgorithm.to_jwk(public.public_key(), as_dict=True)
    return {name: value for name, value in {**entry, **members}.items() if value is not None}


def key_set(*entries: object, status: int = 200, max_age: float | None = None) -> HTTPResponse:
    """An answer with a set of these."""
    return HTTPResponse(status, json.dumps({"keys": entries}).encode(), max_age)


class Provider:
    """Stands for a fetcher, and answers as the test says.

    Attributes:
        answer: What every request comes to. None: it waits.
        asked: The requests so far.
    """

    def __init__(self) -> None:
        self.answer: HTTPResponse | Exception | None = None
        self.asked: list[Deferred[HTTPResponse]] = []

    def fetch(self, method: str, url: str, headers: Mapping[str, str]) -> Deferred[HTTPResponse]:
        """See `HTTPClient.fetch`."""
        if (method, url) != ("GET", URL) or "json" not in headers["Accept"]:
            raise AssertionError(method, url, headers)
        if self.answer is None:
            asked: Deferred[HTTPResponse] = Deferred()
        else:
            asked = fail(self.answer) if isinstance(self.answer, Exception) else succeed(self.answer)
        self.asked.append(asked)
        return asked


class RemoteCase(SynchronousTestCase):
    """A provider and our view of it, on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.provider = Provider()
        self.keys = self.remote()
        self.events: list[LogEvent] = []
        observe: Any = self.events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def logged(self) -> list[str]:
        """What was logged since the last look."""
        texts = [formatEvent(event) for event in self.events]
        self.events.clear()
        return texts

    def remote(self, algorithms: frozenset[str] | None = None) -> RemoteKeys:
        """A view of the provider."""
        provider: Any = self.provider
        clock: Any = self.clock
        return RemoteKeys(provider, URL, clock, Random(1), algorithms)

    def start(self, answer: HTTPResponse | Exception | None) -> None:
        """Start with this answer."""
        self.provider.answer = answer
        self.keys.start()

    def find(self, kid: str | None, algorithm: str = "RS256") -> list[Key]:
        """What is found at once."""
        return self.successResultOf(self.keys.find(kid, algorithm))

    def assert_not_checked(self, finding: Deferred[list[Key]]) -> None:
        """Nobody knows."""
        self.assertIs(self.failureResultOf(finding, RejectedError).value.client_error, ClientError.NOT_CHECKED)


class RefreshTests(RemoteCase):
    """When the set is fetched."""

    def test_start(self) -> None:
        """The set is fetched at the start, and who comes before it has waits for it."""
        self.start(None)
        early = self.keys.find("a", "RS256")
        self.assertNoResult(early)
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        (key,) = self.successResultOf(early)
        self.assertEqual((key.kid, key.algorithms, key.material), ("a", RSA_ALGORITHMS, RSA.public_key()))
        self.assertEqual(self.find("a"), [key])
        self.assertEqual(len(self.provider.asked), 1)

    def test_again(self) -> None:
        """A set is fetched again when its time is over, which is never very short or long."""
        for max_age, seconds in (
            (None, REFRESH_SECONDS),
            (0.0, REFRESH_LEAST_SECONDS),
            (59.0, REFRESH_LEAST_SECONDS),
            (3600.0, 3600.0),
            (2.0**31, REFRESH_MOST_SECONDS),
        ):
            self.provider.asked.clear()
            self.keys = self.remote()
            self.start(key_set(jwk(RSA), max_age=max_age))
            self.clock.advance(seconds - 1)
            self.assertEqual(len(self.provider.asked), 1)
            self.clock.advance(1)
            self.assertEqual(len(self.provider.asked), 2)
            self.keys.stop()

    def test_rotation(self) -> None:
        """A key that has left the set is good until the next fetch, and no longer."""
        self.start(key_set(jwk(RSA, kid="old")))
        self.provider.answer = key_set(jwk(OTHER_RSA, kid="new"))
        self.assertEqual(len(self.find("old")), 1)
        self.clock.advance(REFRESH_SECONDS)
        self.assertEqual(self.find("old"), [])
        self.assertEqual([key.material for key in self.find("new")], [OTHER_RSA.public_key()])

    def test_new_key(self) -> None:
        """A name that nobody has heard of is reason to fetch the set, and who asks for it waits."""
        self.start(key_set(jwk(RSA, kid="old")))
        self.clock.advance(ASK_SECONDS)
        self.provider.answer = None
        finding = self.keys.find("new", "RS256")
        self.assertNoResult(finding)
        self.provider.asked[1].callback(key_set(jwk(RSA, kid="old"), jwk(OTHER_RSA, kid="new")))
        self.assertEqual([key.kid for key in self.successResultOf(finding)], ["new"])
        self.clock.advance(REFRESH_SECONDS - 1)
        self.assertEqual(len(self.provider.asked), 2)
        self.clock.advance(1)
        self.assertEqual(len(self.provider.asked), 3)

    def test_forged_names(self) -> None:
        """Names that are made up cost one fetch in ten seconds, however many come."""
        self.start(key_set(jwk(RSA, kid="a"), max_age=REFRESH_MOST_SECONDS))
        for second in range(100):
            for number in range(20):
                self.assertEqual(self.find(f"../{second}/{number}"), [])
            self.clock.advance(1)
        self.assertEqual(len(self.provider.asked), 10)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_forged_names_in_an_outage(self) -> None:
        """Not even while the provider is away."""
        self.start(FetchError("away"))
        for _ in range(100):
            for number in range(20):
                self.assert_not_checked(self.keys.find(str(number), "RS256"))
            self.clock.advance(1)
        self.assertLess(len(self.provider.asked), 30)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_one_for_all(self) -> None:
        """All who wait at the same time wait for the same fetch."""
        self.start(None)
        waiting = [self.keys.find(kid, "RS256") for kid in ("a", "b", None)]
        self.assertEqual(len(self.provider.asked), 1)
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        self.assertEqual([len(self.successResultOf(each)) for each in waiting], [1, 0, 1])

    def test_who_leaves(self) -> None:
        """One who does not wait any more takes nothing from the others."""
        self.start(None)
        leaving, staying = (self.keys.find("a", "RS256") for _ in range(2))
        leaving.addErrback(lambda _failure: None)
        leaving.cancel()
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        self.assertEqual(len(self.successResultOf(staying)), 1)

    def test_who_makes_leave(self) -> None:
        """One who is told may make another one leave."""
        self.start(None)
        first, second = (self.keys.find("a", "RS256") for _ in range(2))
        first.addBoth(lambda _outcome: second.cancel())
        second.addBoth(lambda _outcome: first.cancel())
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        self.successResultOf(first)
        self.successResultOf(second)

    def test_who_asks_again(self) -> None:
        """One who is told may ask for something that needs another fetch, and waits for that one."""
        self.start(None)
        again: list[Deferred[list[Key]]] = []

        def told(_found: object) -> None:
            self.clock.advance(REFRESH_SECONDS)
            again.append(self.keys.find("b", "RS256"))

        self.keys.find("a", "RS256").addCallback(told)
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        self.assertNoResult(again[0])
        self.provider.asked[1].callback(key_set(jwk(RSA, kid="b")))
        self.assertEqual(len(self.successResultOf(again[0])), 1)

    def test_other_algorithms(self) -> None:
        """An algorithm that no key here can be for is no reason to fetch anything."""
        self.start(None)
        for algorithm in ("HS256", "none", "ES521", "x"):
            self.assertEqual(self.find("a", algorithm), [])
        self.keys = self.remote(frozenset({"HS256", "RS256"}))
        self.start(None)
        for algorithm in ("HS256", "ES256"):
            self.assertEqual(self.find("a", algorithm), [])

    def test_stop(self) -> None:
        """Stopping leaves no timer, nobody who waits, and no line of the log."""
        self.start(None)
        finding = self.keys.find("a", "RS256")
        self.keys.stop()
        self.assert_not_checked(finding)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.keys = self.remote()
        self.start(key_set(jwk(RSA, kid="a")))
        self.keys.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(ASK_SECONDS)
        self.assertEqual(self.find("b"), [])
        self.assertEqual((len(self.provider.asked), self.logged()), (2, []))


class OutageTests(RemoteCase):
    """A provider that does not answer."""

    def test_away_at_the_start(self) -> None:
        """Without any keys nothing can be checked, until the provider is there."""
        self.start(FetchError("it refuses the connection"))
        self.assert_not_checked(self.keys.find("a", "RS256"))
        self.assertEqual(self.logged(), ["the keys for tokens cannot be fetched: it refuses the connection"])
        for _ in range(20):
            self.clock.advance(RETRY_MOST_SECONDS)
        self.assertEqual(len(self.provider.asked), 21)
        self.assert_not_checked(self.keys.find("a", "RS256"))
        self.provider.answer = key_set(jwk(RSA, kid="a"))
        self.clock.advance(RETRY_MOST_SECONDS)
        self.assertEqual(len(self.find("a")), 1)
        self.assertEqual(self.logged(), ["the keys for tokens can be fetched again"])

    def test_waits_for_it(self) -> None:
        """Who waits when a fetch fails is told to come back."""
        self.start(None)
        finding = self.keys.find("a", "RS256")
        self.provider.asked[0].errback(FetchError("away"))
        self.assert_not_checked(finding)

    def test_back(self) -> None:
        """The delay before the first try is short again when the provider was there."""
        self.start(FetchError("away"))
        for _ in range(10):
            self.clock.advance(RETRY_MOST_SECONDS)
        self.provider.answer = key_set(jwk(RSA))
        self.clock.advance(RETRY_MOST_SECONDS)
        self.provider.answer = FetchError("away")
        self.clock.advance(REFRESH_SECONDS)
        asked = len(self.provider.asked)
        self.clock.advance(2)
        self.assertEqual(len(self.provider.asked), asked + 1)

    def test_old_keys(self) -> None:
        """The keys there are stay good for a day of outage, in which a new one is not known to be none."""
        self.start(key_set(jwk(RSA, kid="a"), max_age=REFRESH_MOST_SECONDS))
        self.provider.answer = FetchError("away")
        self.clock.advance(REFRESH_MOST_SECONDS)
        began = self.clock.seconds()
        while self.clock.seconds() < began + KEEP_SECONDS:
            self.assertEqual(len(self.find("a")), 1)
            self.assert_not_checked(self.keys.find("b", "RS256"))
            self.clock.advance(RETRY_MOST_SECONDS)
        self.clock.advance(RETRY_MOST_SECONDS)
        self.assert_not_checked(self.keys.find("a", "RS256"))
        self.assertEqual(self.logged(), ["the keys for tokens cannot be fetched: away"])

    def test_no_set(self) -> None:
        """An answer that is no set is as bad as none: the keys there are stay."""
        entries = [jwk(EC, kid=str(number)) for number in range(MAX_KEYS + 1)]
        for answer, problem in (
            (key_set(status=404), "it answered with the status 404"),
            (key_set(status=302), "it answered with the status 302"),
            (HTTPResponse(200, b"", None), "its answer is no JWK Set"),
            (HTTPResponse(200, b"<html>", None), "its answer is no JWK Set"),
            (HTTPResponse(200, b"\xff", None), "its answer is no JWK Set"),
            (HTTPResponse(200, b"[" * 60_000, None), "its answer is no JWK Set"),
            (HTTPResponse(200, b'{"keys": ' + b"9" * 5000 + b"}", None), "its answer is no JWK Set"),
            (HTTPResponse(200, b'{"keys": {}}', None), "its answer is no JWK Set"),
            (HTTPResponse(200, b"[]", None), "its answer is no JWK Set"),
            (key_set(*entries), "its JWK Set has more than 100 keys"),
        ):
            self.keys = self.remote()
            self.start(key_set(jwk(RSA, kid="a")))
            self.provider.answer = answer
            self.clock.advance(REFRESH_SECONDS)
            self.assertEqual(self.logged(), [f"the keys for tokens cannot be fetched: {problem}"])
            self.assertEqual(len(self.find("a")), 1)
            self.keys.stop()

    def test_strange_failure(self) -> None:
        """A failure that nobody has thought of is one like any other, and its text is not repeated."""
        self.start(RuntimeError("topsecret"))
        self.assertEqual(self.logged(), ["the keys for tokens cannot be fetched: RuntimeError"])
        self.provider.answer = key_set(jwk(RSA, kid="a"))
        self.clock.advance(RETRY_MOST_SECONDS)
        self.assertEqual(len(self.find("a")), 1)

    def test_nothing_usable(self) -> None:
        """A set without a key that can be used is told once; the keys of before are good no more."""
        self.start(key_set(jwk(RSA, kid="a")))
        self.provider.answer = key_set({"kty": "oct", "k": "QQ"})
        self.clock.advance(REFRESH_SECONDS)
        self.clock.advance(REFRESH_SECONDS)
        self.assertEqual(self.logged(), ["of the keys for tokens that the provider publishes none can be used"])
        self.assertEqual(self.find("a"), [])


class ReadTests(SynchronousTestCase):
    """Which keys of a set count, and for what."""

    def read(self, *entries: object, algorithms: frozenset[str] = ASYMMETRIC) -> list[tuple[str | None, set[str]]]:
        """The names and algorithms of those that do."""
        return [(key.kid, set(key.algorithms)) for key in read_key_set(key_set(*entries), algorithms)]

    def test_kinds(self) -> None:
        """Each kind of key is good for its own algorithms."""
        read = self.read(
            jwk(RSA, kid="rsa"),
            jwk(EC, kid="ec"),
            jwk(ec.generate_private_key(ec.SECP384R1()), kid="384"),
            jwk(ec.generate_private_key(ec.SECP521R1()), kid="521"),
            jwk(ec.generate_private_key(ec.SECP256K1()), kid="k"),
            jwk(ED, kid="ed"),
            jwk(ed448.Ed448PrivateKey.generate()),
        )
        self.assertEqual(
            read,
            [
                ("rsa", RSA_ALGORITHMS),
                ("ec", {"ES256"}),
                ("384", {"ES384"}),
                ("521", {"ES512"}),
                ("k", {"ES256K"}),
                ("ed", {"EdDSA"}),
                (None, {"EdDSA"}),
            ],
        )

    def test_purposes(self) -> None:
        """A key counts that is for checking signatures, or does not say what it is for."""
        for members, counts in (
            ({"use": "sig"}, True),
            ({"use": "enc"}, False),
            ({"use": ["sig"]}, False),
            ({"key_ops": None}, True),
            ({"key_ops": ["sign", "verify"]}, True),
            ({"key_ops": ["sign"]}, False),
            ({"key_ops": []}, False),
            ({"key_ops": "verify"}, False),
            ({"use": "sig", "key_ops": ["encrypt"]}, False),
        ):
            self.assertEqual(len(self.read(jwk(RSA, **members))), counts, members)

    def test_algorithm(self) -> None:
        """A key that says its algorithm is good for that alone, and for none of another kind."""
        self.assertEqual(self.read(jwk(RSA, alg="PS384")), [(None, {"PS384"})])
        for algorithm in ("HS256", "none", "ES256", "RSA-OAEP", "rs256", "", ["RS256"], 1):
            self.assertEqual(self.read(jwk(RSA, alg=algorithm)), [], algorithm)

    def test_operator(self) -> None:
        """What the operator does not allow no key is good for."""
        algorithms = frozenset({"RS256", "ES384"})
        self.assertEqual(self.read(jwk(RSA), jwk(EC), algorithms=algorithms), [(None, {"RS256"})])

    def test_secrets(self) -> None:
        """A secret that is published is none, and neither is a private key."""
        private = [RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"key_ops": ["sign", "verify"]}]
        private += [ECAlgorithm.to_jwk(EC, as_dict=True), OKPAlgorithm.to_jwk(ED, as_dict=True)]
        self.assertEqual(self.read({"kty": "oct", "k": "A" * 64, "alg": "HS256"}, *private), [])

    def test_others(self) -> None:
        """A key of a kind that is not known, or one that is broken, is left out; the others count."""
        good = jwk(RSA, kid="good")
        bad: list[object] = [
            None,
            1,
            "key",
            [],
            {},
            {"kty": "AKP"},
            {"kty": ["RSA"]},
            {"kty": "RSA"},
            {**good, "n": 1},
            {**good, "n": ""},
            {**good, "n": "AQAB"},
            {**good, "n": "!"},
            {**good, "n": "\ud800"},
            {**good, "e": "AA"},
            {**good, "kid": 1},
            {**jwk(EC), "crv": "P-224"},
            {**jwk(EC), "crv": "P-384"},
            {**jwk(EC), "crv": ["P-256"]},
            {**jwk(EC), "x": jwk(EC)["y"], "y": jwk(EC)["x"]},
            {**jwk(ED), "crv": "X25519"},
            {**jwk(ED), "x": "AAAA"},
        ]
        for entry in bad:
            self.assertEqual(self.read(entry, good), [("good", RSA_ALGORITHMS)], entry)

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text()
            | st.sampled_from(["RSA", "EC", "OKP", "P-256", "AQAB"]),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y", "d"])
                    | st.text(),
                    inner,
                )
            ),
        )
    )
    def test_anything(self, entry: object) -> None:
        """Whatever stands in a set, the keys beside it count."""
        self.assertIn(("good", {"ES256"}), self.read(entry, jwk(EC, kid="good")))


class RealTests(NetworkCase):
    """Over a real connection."""

    async def test_rotation(self) -> None:
        """Keys come and go as a real server says."""
        clock: Any = Clock()
        body = json.dumps({"keys": [jwk(RSA, kid="old")]}).encode()
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n"
        server, url = self.serve_bytes(head % len(body) + body)
        keys = RemoteKeys(self.client(), url, clock, Random(1))
        keys.start()
        self.assertEqual(len(await keys.find("old", "RS256")), 1)
        body = json.dumps({"keys": [jwk(EC, kid="new")]}).encode()
        server.answer = head % len(body) + body
        clock.advance(REFRESH_LEAST_SECONDS)
        self.assertEqual(len(await keys.find("new", "ES256")), 1)
        self.assertEqual(len(await keys.find("old", "RS256")), 0)
        keys.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
