"""Tests of `wsrelay.auth.jwks`."""

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
    MAX_KEYS,
    MAX_REFRESH_SECONDS,
    MAX_RETRY_SECONDS,
    MIN_REFRESH_SECONDS,
    REFRESH_SECONDS,
    STALE_KEYS_SECONDS,
    UNKNOWN_KEY_FETCH_SECONDS,
    RemoteKeys,
    read_key_set,
)
from wsrelay.auth.keys import ASYMMETRIC, Key
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import FetchError, RejectedError
from wsrelay.outgoing.http_client import HTTPResponse

URL = "https://example.org/keys"


def jwk(key: object, **members: object) -> dict[str, Any]:
    """Return a public key as a JWK, with these members replaced, or removed if they are None."""
    if isinstance(key, rsa.RSAPrivateKey):
        entry = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        entry = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        public: Any = key
        entry = OKPAlgorithm.to_jwk(public.public_key(), as_dict=True)
    return {name: value for name, value in {**entry, **members}.items() if value is not None}


def key_set(*entries: object, status: int = 200, max_age: float | None = None) -> HTTPResponse:
    """Return a response with a set of these."""
    return HTTPResponse(status, json.dumps({"keys": entries}).encode(), max_age)


class Provider:
    """Stands in for the HTTP client, and answers as the test says.

    Attributes:
        answer: The outcome of every request. If None, requests wait.
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
    """A provider and `RemoteKeys`, on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.provider = Provider()
        self.keys = self.remote()
        self.events: list[LogEvent] = []
        observe: Any = self.events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def logged(self) -> list[str]:
        """Return the lines that were logged since the last call."""
        texts = [formatEvent(event) for event in self.events]
        self.events.clear()
        return texts

    def remote(self, algorithms: frozenset[str] | None = None) -> RemoteKeys:
        """Make `RemoteKeys` of the provider."""
        provider: Any = self.provider
        clock: Any = self.clock
        return RemoteKeys(provider, URL, clock, Random(1), algorithms)

    def start(self, answer: HTTPResponse | Exception | None) -> None:
        """Start with this answer."""
        self.provider.answer = answer
        self.keys.start()

    def find(self, kid: str | None, algorithm: str = "RS256") -> list[Key]:
        """Return the keys that are found at once."""
        return self.successResultOf(self.keys.find(kid, algorithm))

    def assert_not_checked(self, finding: Deferred[list[Key]]) -> None:
        """Assert that the keys are not known now."""
        self.assertIs(self.failureResultOf(finding, RejectedError).value.client_error, ClientError.NOT_CHECKED)


class RefreshTests(RemoteCase):
    """The times of fetches."""

    def test_set_is_fetched_at_start_and_early_tokens_wait_for_it(self) -> None:
        self.start(None)
        early = self.keys.find("a", "RS256")
        self.assertNoResult(early)
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        (key,) = self.successResultOf(early)
        self.assertEqual((key.kid, key.algorithms, key.material), ("a", RSA_ALGORITHMS, RSA.public_key()))
        self.assertEqual(self.find("a"), [key])
        self.assertEqual(len(self.provider.asked), 1)

    def test_set_is_fetched_again_when_stale_within_bounds(self) -> None:
        for max_age, seconds in (
            (None, REFRESH_SECONDS),
            (0.0, MIN_REFRESH_SECONDS),
            (59.0, MIN_REFRESH_SECONDS),
            (3600.0, 3600.0),
            (2.0**31, MAX_REFRESH_SECONDS),
        ):
            self.provider.asked.clear()
            self.keys = self.remote()
            self.start(key_set(jwk(RSA), max_age=max_age))
            self.clock.advance(seconds - 1)
            self.assertEqual(len(self.provider.asked), 1)
            self.clock.advance(1)
            self.assertEqual(len(self.provider.asked), 2)
            self.keys.stop()

    def test_removed_key_is_valid_until_the_next_fetch(self) -> None:
        self.start(key_set(jwk(RSA, kid="old")))
        self.provider.answer = key_set(jwk(OTHER_RSA, kid="new"))
        self.assertEqual(len(self.find("old")), 1)
        self.clock.advance(REFRESH_SECONDS)
        self.assertEqual(self.find("old"), [])
        self.assertEqual([key.material for key in self.find("new")], [OTHER_RSA.public_key()])

    def test_unknown_key_id_causes_a_fetch_and_waits_for_it(self) -> None:
        self.start(key_set(jwk(RSA, kid="old")))
        self.clock.advance(UNKNOWN_KEY_FETCH_SECONDS)
        self.provider.answer = None
        finding = self.keys.find("new", "RS256")
        self.assertNoResult(finding)
        self.provider.asked[1].callback(key_set(jwk(RSA, kid="old"), jwk(OTHER_RSA, kid="new")))
        self.assertEqual([key.kid for key in self.successResultOf(finding)], ["new"])
        self.clock.advance(REFRESH_SECONDS - 1)
        self.assertEqual(len(self.provider.asked), 2)
        self.clock.advance(1)
        self.assertEqual(len(self.provider.asked), 3)

    def test_invented_key_ids_cause_one_fetch_in_ten_seconds(self) -> None:
        self.start(key_set(jwk(RSA, kid="a"), max_age=MAX_REFRESH_SECONDS))
        for second in range(100):
            for number in range(20):
                self.assertEqual(self.find(f"../{second}/{number}"), [])
            self.clock.advance(1)
        self.assertEqual(len(self.provider.asked), 10)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_invented_key_ids_cause_few_fetches_in_an_outage(self) -> None:
        self.start(FetchError("away"))
        for _ in range(100):
            for number in range(20):
                self.assert_not_checked(self.keys.find(str(number), "RS256"))
            self.clock.advance(1)
        self.assertLess(len(self.provider.asked), 30)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_simultaneous_tokens_wait_for_one_fetch(self) -> None:
        self.start(None)
        waiting = [self.keys.find(kid, "RS256") for kid in ("a", "b", None)]
        self.assertEqual(len(self.provider.asked), 1)
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        self.assertEqual([len(self.successResultOf(each)) for each in waiting], [1, 0, 1])

    def test_cancelling_one_token_leaves_the_others_waiting(self) -> None:
        self.start(None)
        leaving, staying = (self.keys.find("a", "RS256") for _ in range(2))
        leaving.addErrback(lambda _failure: None)
        leaving.cancel()
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        self.assertEqual(len(self.successResultOf(staying)), 1)

    def test_callback_may_cancel_other_waiting_tokens(self) -> None:
        self.start(None)
        first, second = (self.keys.find("a", "RS256") for _ in range(2))
        first.addBoth(lambda _outcome: second.cancel())
        second.addBoth(lambda _outcome: first.cancel())
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        self.successResultOf(first)
        self.successResultOf(second)

    def test_callback_may_cause_another_fetch_and_wait_for_it(self) -> None:
        self.start(None)
        again: list[Deferred[list[Key]]] = []

        def find_again(_found: object) -> None:
            self.clock.advance(REFRESH_SECONDS)
            again.append(self.keys.find("b", "RS256"))

        self.keys.find("a", "RS256").addCallback(find_again)
        self.provider.asked[0].callback(key_set(jwk(RSA, kid="a")))
        self.assertNoResult(again[0])
        self.provider.asked[1].callback(key_set(jwk(RSA, kid="b")))
        self.assertEqual(len(self.successResultOf(again[0])), 1)

    def test_unsupported_algorithm_causes_no_fetch(self) -> None:
        self.start(None)
        for algorithm in ("HS256", "none", "ES521", "x"):
            self.assertEqual(self.find("a", algorithm), [])
        self.keys = self.remote(frozenset({"HS256", "RS256"}))
        self.start(None)
        for algorithm in ("HS256", "ES256"):
            self.assertEqual(self.find("a", algorithm), [])

    def test_stop_leaves_no_timer_no_waiting_token_and_no_log_line(self) -> None:
        self.start(None)
        finding = self.keys.find("a", "RS256")
        self.keys.stop()
        self.assert_not_checked(finding)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.keys = self.remote()
        self.start(key_set(jwk(RSA, kid="a")))
        self.keys.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(UNKNOWN_KEY_FETCH_SECONDS)
        self.assertEqual(self.find("b"), [])
        self.assertEqual((len(self.provider.asked), self.logged()), (2, []))


class OutageTests(RemoteCase):
    """A provider that fails."""

    def test_nothing_is_checked_before_the_first_fetch_succeeds(self) -> None:
        self.start(FetchError("it refuses the connection"))
        self.assert_not_checked(self.keys.find("a", "RS256"))
        self.assertEqual(self.logged(), ["the keys for tokens cannot be fetched: it refuses the connection"])
        for _ in range(20):
            self.clock.advance(MAX_RETRY_SECONDS)
        self.assertEqual(len(self.provider.asked), 21)
        self.assert_not_checked(self.keys.find("a", "RS256"))
        self.provider.answer = key_set(jwk(RSA, kid="a"))
        self.clock.advance(MAX_RETRY_SECONDS)
        self.assertEqual(len(self.find("a")), 1)
        self.assertEqual(self.logged(), ["the keys for tokens can be fetched again"])

    def test_token_that_waits_for_a_failed_fetch_is_not_checked(self) -> None:
        self.start(None)
        finding = self.keys.find("a", "RS256")
        self.provider.asked[0].errback(FetchError("away"))
        self.assert_not_checked(finding)

    def test_success_resets_the_delay(self) -> None:
        self.start(FetchError("away"))
        for _ in range(10):
            self.clock.advance(MAX_RETRY_SECONDS)
        self.provider.answer = key_set(jwk(RSA))
        self.clock.advance(MAX_RETRY_SECONDS)
        self.provider.answer = FetchError("away")
        self.clock.advance(REFRESH_SECONDS)
        asked = len(self.provider.asked)
        self.clock.advance(2)
        self.assertEqual(len(self.provider.asked), asked + 1)

    def test_known_keys_stay_valid_for_one_day_of_outage_and_unknown_ones_are_not_checked(self) -> None:
        self.start(key_set(jwk(RSA, kid="a"), max_age=MAX_REFRESH_SECONDS))
        self.provider.answer = FetchError("away")
        self.clock.advance(MAX_REFRESH_SECONDS)
        began = self.clock.seconds()
        while self.clock.seconds() < began + STALE_KEYS_SECONDS:
            self.assertEqual(len(self.find("a")), 1)
            self.assert_not_checked(self.keys.find("b", "RS256"))
            self.clock.advance(MAX_RETRY_SECONDS)
        self.clock.advance(MAX_RETRY_SECONDS)
        self.assert_not_checked(self.keys.find("a", "RS256"))
        self.assertEqual(self.logged(), ["the keys for tokens cannot be fetched: away"])

    def test_invalid_response_is_a_failure_and_keeps_the_known_keys(self) -> None:
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

    def test_unexpected_failure_is_retried_and_its_text_is_not_logged(self) -> None:
        self.start(RuntimeError("topsecret"))
        self.assertEqual(self.logged(), ["the keys for tokens cannot be fetched: RuntimeError"])
        self.provider.answer = key_set(jwk(RSA, kid="a"))
        self.clock.advance(MAX_RETRY_SECONDS)
        self.assertEqual(len(self.find("a")), 1)

    def test_set_without_a_usable_key_is_logged_once_and_replaces_the_keys(self) -> None:
        self.start(key_set(jwk(RSA, kid="a")))
        self.provider.answer = key_set({"kty": "oct", "k": "QQ"})
        self.clock.advance(REFRESH_SECONDS)
        self.clock.advance(REFRESH_SECONDS)
        self.assertEqual(self.logged(), ["none of the keys for tokens that the provider publishes can be used"])
        self.assertEqual(self.find("a"), [])


class ReadTests(SynchronousTestCase):
    """The usable keys of a set, and their algorithms."""

    def read(self, *entries: object, algorithms: frozenset[str] = ASYMMETRIC) -> list[tuple[str | None, set[str]]]:
        """Return the key IDs and algorithms of the usable keys."""
        return [(key.kid, set(key.algorithms)) for key in read_key_set(key_set(*entries), algorithms)]

    def test_each_kind_of_key_has_its_own_algorithms(self) -> None:
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

    def test_key_counts_if_it_may_verify_signatures(self) -> None:
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

    def test_key_that_names_its_algorithm_is_for_that_one_alone(self) -> None:
        self.assertEqual(self.read(jwk(RSA, alg="PS384")), [(None, {"PS384"})])
        for algorithm in ("HS256", "none", "ES256", "RSA-OAEP", "rs256", "", ["RS256"], 1):
            self.assertEqual(self.read(jwk(RSA, alg=algorithm)), [], algorithm)

    def test_key_without_an_allowed_algorithm_is_skipped(self) -> None:
        algorithms = frozenset({"RS256", "ES384"})
        self.assertEqual(self.read(jwk(RSA), jwk(EC), algorithms=algorithms), [(None, {"RS256"})])

    def test_published_secrets_and_private_keys_are_skipped(self) -> None:
        private = [RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"key_ops": ["sign", "verify"]}]
        private += [ECAlgorithm.to_jwk(EC, as_dict=True), OKPAlgorithm.to_jwk(ED, as_dict=True)]
        self.assertEqual(self.read({"kty": "oct", "k": "A" * 64, "alg": "HS256"}, *private), [])

    def test_unknown_or_broken_key_is_skipped_and_the_others_count(self) -> None:
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
    def test_any_entry_leaves_the_keys_beside_it_valid(self, entry: object) -> None:
        self.assertIn(("good", {"ES256"}), self.read(entry, jwk(EC, kid="good")))


class RealTests(NetworkCase):
    """Over a real connection."""

    async def test_keys_rotate_as_a_real_server_says(self) -> None:
        clock: Any = Clock()
        body = json.dumps({"keys": [jwk(RSA, kid="old")]}).encode()
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n"
        server, url = self.serve_bytes(head % len(body) + body)
        keys = RemoteKeys(self.client(), url, clock, Random(1))
        keys.start()
        self.assertEqual(len(await keys.find("old", "RS256")), 1)
        body = json.dumps({"keys": [jwk(EC, kid="new")]}).encode()
        server.answer = head % len(body) + body
        clock.advance(MIN_REFRESH_SECONDS)
        self.assertEqual(len(await keys.find("new", "ES256")), 1)
        self.assertEqual(len(await keys.find("old", "RS256")), 0)
        keys.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
