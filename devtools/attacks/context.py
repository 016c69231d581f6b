"""The context of one attack: its connections and credentials, and its verdict."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from devtools.attacks.environment import AttackEnvironment
from devtools.attacks.relay_setups import RelayName
from devtools.harness.http import Answer, upgrade
from devtools.harness.raw_connection import RawConnection
from devtools.harness.relay import AsyncRelay
from wsrelay.core.outcomes.client_errors import ClientError

__all__ = ["ROOM", "AttackContext", "AttackResult", "UnprovenError", "Verdict", "outcome_of", "secret_parts"]

ROOM = "/ws/room:1"

_REASONS = {client_error.response.text: client_error.reason for client_error in ClientError}

_ADMITTED = re.compile("open|[12][0-9][0-9]")

MIN_SECRET_LENGTH = 16
"""Shorter strings may occur in a log by chance."""


class UnprovenError(Exception):
    """The legitimate version did not succeed, so the response to the attack proves nothing."""


class Verdict(Enum):
    """The verdict on an attack."""

    REJECTED = "rejected"
    HARMLESS = "harmless"
    BREACHED = "BREACHED"
    UNPROVEN = "UNPROVEN"


@dataclass(slots=True)
class AttackResult:
    """The result of one attack.

    Attributes:
        name: The attack.
        text: One sentence about it.
        verdict: The verdict.
        outcomes: The responses and other outcomes, and how often each was seen.
        problems: Why it is neither rejected nor harmless.
        seconds: How long it took.
    """

    name: str
    text: str
    verdict: Verdict = Verdict.UNPROVEN
    outcomes: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_safe(self) -> bool:
        """True if it is proven that the attack fails."""
        return self.verdict in (Verdict.REJECTED, Verdict.HARMLESS)


class AttackContext:
    """Everything that one attack uses. Its connections are closed, and searched for credentials, when it is over.

    Args:
        environment: The servers that it shares with other attacks.
    """

    def __init__(self, environment: AttackEnvironment) -> None:
        self.environment = environment
        self._outcomes: Counter[str] = Counter()
        self._breaches: list[str] = []
        self._doubts: list[str] = []
        self._rejections = 0
        self._controls = 0
        self._connections: list[RawConnection] = []
        self._secrets: set[str] = set()

    # Findings

    def control(self, what: str, seen: object, expected: object = "101") -> None:
        """Assert that the legitimate version succeeds.

        Raises:
            UnprovenError: It did not.
        """
        if seen != expected:
            raise UnprovenError(f"the legitimate version failed: {what}: {seen!r} instead of {expected!r}")
        self._controls += 1

    def assert_rejected(self, what: str, seen: str, *expected: str) -> None:
        """Assert that the attack got exactly one of the expected outcomes."""
        self._outcomes[seen] += 1
        self._rejections += 1
        if seen in expected:
            return
        problem = f"{what}: {seen} instead of {' or '.join(expected)}"
        (self._breaches if _ADMITTED.fullmatch(seen) else self._doubts).append(problem)

    def assert_harmless(self, outcome: str, condition: object, harm: str) -> None:
        """Assert that the attack did no harm.

        Args:
            outcome: The outcome if the condition is true.
            condition: True if no harm was done.
            harm: The outcome, and the problem, if it is false.
        """
        self._outcomes[outcome if condition else harm] += 1
        if not condition:
            self._breaches.append(harm)

    def conclude(self, result: AttackResult) -> None:
        """Write outcomes, problems and verdict to a result."""
        self._check_echoes((connection.received for connection in self._connections), self._secrets)
        result.outcomes = dict(self._outcomes)
        result.problems += [*self._breaches, *self._doubts]
        if not self._controls:
            result.problems.append("no legitimate version was tried: this proves nothing")
        if self._breaches:
            result.verdict = Verdict.BREACHED
        elif not result.problems:
            result.verdict = Verdict.REJECTED if self._rejections else Verdict.HARMLESS

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()

    def _check_echoes(self, received: Iterable[bytes | bytearray], secrets: Iterable[str]) -> None:
        parts = {part for secret in secrets for part in secret_parts(secret)}
        for data in received:
            if any(part in data for part in parts):
                self._breaches.append("a credential was sent back to the client that had sent it")

    # Tools

    def secret(self, text: str) -> str:
        """Return a text unchanged after noting that it is a credential, which no response and no log may hold."""
        self._secrets.add(text)
        self.environment.secrets.add(text)
        return text

    def bearer(self, token: str) -> str:
        """Return the header field for a token."""
        return f"Authorization: Bearer {self.secret(token)}"

    async def ticket(self, document: str = "", *, seconds: int = 60, **claims: Any) -> str:
        """Return the query for a new ticket; see `AttackEnvironment.ticket`."""
        return f"?ticket={self.secret(await self.environment.ticket(document, seconds=seconds, **claims))}"

    async def relay(self, name: RelayName) -> AsyncRelay:
        """Return a relay that is ready."""
        return await self.environment.relay(name)

    async def connect(self, name: RelayName, *, source: str = "127.0.0.1", receive_buffer: int = 0) -> RawConnection:
        """Return a new connection to a relay; see `RawConnection.connect`."""
        relay = await self.relay(name)
        connection = await RawConnection.connect(relay.port, source=source, receive_buffer=receive_buffer)
        self._connections.append(connection)
        return connection

    async def request(self, name: RelayName, request: bytes) -> str:
        """Send a request and return the outcome."""
        return outcome_of(*await self.exchange(name, request))

    async def exchange(
        self, name: RelayName, request: bytes, *, source: str = "127.0.0.1"
    ) -> tuple[RawConnection, Answer | None]:
        """Send a request; return the connection, which stays open, and the response, None if none came."""
        connection = await self.connect(name, source=source)
        connection.send(request)
        return connection, await connection.response()

    async def handshake(
        self, name: RelayName, path: str = ROOM, *fields: str | bytes, source: str = "127.0.0.1"
    ) -> str:
        """Try a WebSocket handshake with a path and more header fields, close the connection, return the outcome."""
        connection, response = await self.exchange(name, upgrade(path, *fields), source=source)
        connection.close()
        return outcome_of(connection, response)

    async def open_websocket(
        self, name: RelayName, path: str = ROOM, *fields: str | bytes, receive_buffer: int = 0
    ) -> RawConnection:
        """Return an open WebSocket.

        Raises:
            UnprovenError: The handshake was rejected.
        """
        connection = await self.connect(name, receive_buffer=receive_buffer)
        connection.send(upgrade(path, *fields))
        self.control(f"a handshake at {path.partition('?')[0]}", outcome_of(connection, await connection.response()))
        return connection


def outcome_of(connection: RawConnection, response: Answer | None) -> str:
    """Return the status of a response, with the reason if it is one of the relay's client errors.

    Without a response: how the connection ended, or "silence".
    """
    if response is None:
        return connection.ended or "silence"
    text = response.body.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        text = json.loads(text).get("error", "")
    return f"{response.status} {_REASONS[text]}" if text in _REASONS else str(response.status)


def secret_parts(secret: str) -> list[bytes]:
    """Return the parts of a credential that must not be seen: all of it, and the parts of a token that are unique."""
    parts = [secret, *secret.split(".")[1:]]
    return [part.encode() for part in parts if len(part) >= MIN_SECRET_LENGTH]
