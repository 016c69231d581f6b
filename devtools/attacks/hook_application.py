"""The application that relays ask: its hook, its keys for tokens, and a path that no relay should request."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from devtools.harness.stub_application import Request, Responder, StubApplication

__all__ = ["CONNECT", "SLOW_SECONDS", "HookApplication"]

CONNECT = "hook:ok:connect"
"""The channel of a question that is about none."""

SLOW_SECONDS = 1.0
"""How long the hook takes for a channel such as ``hook:late``."""

_GOOD = '{"sub": "42"}'

_CLAIMS: dict[str, object] = {
    "sub-is-a-list": {"sub": ["42"]},
    "sub-is-empty": {"sub": ""},
    "channels-is-a-text": {"sub": "42", "channels": "hook:ok"},
    "channels-is-no-pattern": {"sub": "42", "channels": ["*hook"]},
    "exp-is-a-text": {"sub": "42", "exp": "tomorrow"},
    "exp-is-true": {"sub": "42", "exp": True},
    "a-list": [{"sub": "42"}],
    "nothing": "null",
}


class HookApplication(StubApplication):
    """An application whose hook behaves as the name of the requested channel says, such as ``hook:500``.

    Attributes:
        keys: The JWK Set served at ``/keys``.
        is_broken: True if the hook fails for the channel ``hook:flaky``.
        asked: How often the hook was asked, by channel.
        questions: The last question about each channel.
        lured: How many requests came to other paths: by a redirect, or by the URL of a key in a token.
    """

    CLAIMS = tuple(_CLAIMS)
    """The names that may follow ``hook:claims:``: claims that the relay must not accept."""

    def __init__(self) -> None:
        super().__init__(self._handle)
        self.keys: dict[str, Any] = {"keys": []}
        self.is_broken = False
        self.asked: Counter[str] = Counter()
        self.questions: dict[str, dict[str, Any]] = {}
        self.lured = 0

    def publish_keys(self, keys: dict[str, Any]) -> None:
        """Serve another JWK Set from now on."""
        self.keys = keys

    def break_hook(self) -> None:
        """Make the hook fail for the channel ``hook:flaky``."""
        self.is_broken = True

    def repair_hook(self) -> None:
        """Make the hook work for the channel ``hook:flaky``."""
        self.is_broken = False

    async def _handle(self, request: Request, responder: Responder) -> None:
        if request.path == "/keys":
            responder.send(200, self.keys)
        elif request.path == "/hook":
            question = request.json()
            # A client with commands connects without a channel, and is asked about for each one that it subscribes to.
            channel = question.get("channel") or next(iter(question["channels"]), CONNECT)
            self.asked[channel] += 1
            self.questions[channel] = question
            await self._answer(responder, channel)
        else:
            self.lured += 1
            responder.send(200, _GOOD)

    async def _answer(self, responder: Responder, channel: str) -> None:
        _, behavior, *more = channel.split(":")
        match behavior:
            case "ok":
                responder.send(200, _GOOD)
            case "late":
                await asyncio.sleep(SLOW_SECONDS)
                responder.send(200, _GOOD)
            case "flaky":
                responder.send(*((503, "") if self.is_broken else (200, _GOOD)))
            case "hangs":
                await asyncio.sleep(30)
            case "closes":
                responder.reset()
            case "huge":
                responder.send(200, '{"sub": "' + "4" * 10_000_000 + '"}')
            case "redirects":
                responder.send(302, fields=f"Location: {self.url('elsewhere')}\r\n")
            case "half-json":
                responder.send(200, '{"sub": "42"')
            case "breaks-off":
                responder.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"sub": "42"}')
            case "claims":
                responder.send(200, _CLAIMS[more[0]])
            case _:
                responder.send(int(behavior))
