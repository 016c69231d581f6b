"""One attack under way: what it is given to work with, and what it has found."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from devtools.attacks.grounds import Grounds
from devtools.attacks.line import Line
from devtools.attacks.setups import Name
from devtools.faults.children import Relay
from devtools.harness.http import Answer, upgrade
from wsrelay.core.outcomes.client_errors import ClientError

__all__ = ["ROOM", "Row", "Trial", "UnprovenError", "Verdict", "pieces", "told"]

ROOM = "/ws/room:1"

_TEXTS = {client_error.response.text: client_error.reason for client_error in ClientError}

_IN = re.compile("open|[12][0-9][0-9]")

LEAST_SECRET = 16
"""What is shorter may stand somewhere by chance."""


class UnprovenError(Exception):
    """The honest version did not succeed, so that nothing follows from whatever the other one came to."""


class Verdict(Enum):
    """What came of an attack."""

    REFUSED = "refused"
    HARMLESS = "harmless"
    GOT_IN = "GOT IN"
    UNPROVEN = "UNPROVEN"


@dataclass(slots=True)
class Row:
    """What came of one attack.

    Attributes:
        name: The attack.
        text: What it tries.
        verdict: What came of it.
        came: What it was answered, and how often.
        problems: Why it is neither refused nor harmless.
        seconds: How long it took.
    """

    name: str
    text: str
    verdict: Verdict = Verdict.UNPROVEN
    came: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether nobody got in, and that is proven."""
        return self.verdict in (Verdict.REFUSED, Verdict.HARMLESS)


class Trial:
    """What an attack is tried with. Its lines are hung up, and looked at once more, when it is over.

    Args:
        grounds: What it is tried on.
    """

    def __init__(self, grounds: Grounds) -> None:
        self.grounds = grounds
        self._came: Counter[str] = Counter()
        self._breaches: list[str] = []
        self._doubts: list[str] = []
        self._refusals = 0
        self._controls = 0
        self._lines: list[Line] = []
        self._secrets: set[str] = set()

    # What is found

    def control(self, what: str, seen: object, expected: object = "101") -> None:
        """The honest version: it has to succeed.

        Raises:
            UnprovenError: It did not.
        """
        if seen != expected:
            raise UnprovenError(f"the honest version failed: {what}: {seen!r} instead of {expected!r}")
        self._controls += 1

    def refused(self, what: str, seen: str, *expected: str) -> None:
        """The other one: it has to be answered in one of these ways, and in no other."""
        self._came[seen] += 1
        self._refusals += 1
        if seen in expected:
            return
        problem = f"{what}: {seen} instead of {' or '.join(expected)}"
        (self._breaches if _IN.fullmatch(seen) else self._doubts).append(problem)

    def safe(self, seen: str, true: object, harm: str) -> None:
        """What it was to bring about must not be so."""
        self._came[seen if true else harm] += 1
        if not true:
            self._breaches.append(harm)

    def fill(self, row: Row) -> None:
        """Write down what came of it all."""
        self._look_for_echoes()
        row.came = dict(self._came)
        row.problems += [*self._breaches, *self._doubts]
        if not self._controls:
            row.problems.append("nothing honest was tried: this proves nothing")
        if self._breaches:
            row.verdict = Verdict.GOT_IN
        elif not row.problems:
            row.verdict = Verdict.REFUSED if self._refusals else Verdict.HARMLESS

    def end(self) -> None:
        """Hang up."""
        for line in self._lines:
            line.leave()

    def _look_for_echoes(self) -> None:
        for line in self._lines:
            if any(piece in line.received for secret in self._secrets for piece in pieces(secret)):
                self._breaches.append("a credential came back to who had sent it")

    # What it works with

    def secret(self, text: str) -> str:
        """The text itself, which is a credential: it may come back to nobody, and stand in no log."""
        self._secrets.add(text)
        self.grounds.secrets.add(text)
        return text

    def bearer(self, token: str) -> str:
        """The header field for a token."""
        return f"Authorization: Bearer {self.secret(token)}"

    async def ticket(self, document: str = "", *, seconds: int = 60, **claims: Any) -> str:
        """The query for a new ticket; see `Grounds.ticket`."""
        return f"?ticket={self.secret(await self.grounds.ticket(document, seconds=seconds, **claims))}"

    async def relay(self, name: Name) -> Relay:
        """A relay that is ready."""
        return await self.grounds.relay(name)

    async def line(self, name: Name, *, source: str = "127.0.0.1", receive_buffer: int = 0) -> Line:
        """A new connection to a relay; see `Line.open`."""
        relay = await self.relay(name)
        line = await Line.open(relay.port, source=source, receive_buffer=receive_buffer)
        self._lines.append(line)
        return line

    async def ask(self, name: Name, request: bytes) -> str:
        """What a request is answered."""
        return told(*await self.answered(name, request))

    async def answered(self, name: Name, request: bytes, *, source: str = "127.0.0.1") -> tuple[Line, Answer | None]:
        """The same with the answer itself; the connection stays."""
        line = await self.line(name, source=source)
        line.send(request)
        return line, await line.answer()

    async def knock(self, name: Name, path: str = ROOM, *fields: str | bytes, source: str = "127.0.0.1") -> str:
        """What a handshake is answered that is like any other but for its path and more fields; then it hangs up."""
        line, answer = await self.answered(name, upgrade(path, *fields), source=source)
        line.leave()
        return told(line, answer)

    async def enter(self, name: Name, path: str = ROOM, *fields: str | bytes, receive_buffer: int = 0) -> Line:
        """A WebSocket that is open.

        Raises:
            UnprovenError: It was not let in.
        """
        line = await self.line(name, receive_buffer=receive_buffer)
        line.send(upgrade(path, *fields))
        self.control(f"a handshake at {path.partition('?')[0]}", told(line, await line.answer()))
        return line


def told(line: Line, answer: Answer | None) -> str:
    """What an answer amounts to: its status, and the reason where it is one of the relay's own denials."""
    if answer is None:
        return line.ended or "silence"
    text = answer.body.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        text = json.loads(text).get("error", "")
    return f"{answer.status} {_TEXTS[text]}" if text in _TEXTS else str(answer.status)


def pieces(secret: str) -> list[bytes]:
    """What of a credential must not be seen: all of it, and the parts of a token that nobody else has."""
    parts = [secret, *secret.split(".")[1:]]
    return [part.encode() for part in parts if len(part) >= LEAST_SECRET]
