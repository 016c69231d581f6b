"""The SDK for JavaScript in a headless Chromium."""

from __future__ import annotations

from tests.clients import scenarios
from tests.clients.browsers import BrowserClient, require_browser
from tests.clients.scenarios import case
from tests.clients.sdk import Client


class BrowserCase(case.ScenarioCase):
    """The SDK in a tab of its own. Each transport is a class below."""

    transport = "websocket"

    def require(self) -> None:
        """See `ScenarioCase.require`."""
        require_browser()

    def start_client(self) -> Client:
        """See `ScenarioCase.start_client`."""
        return self.enterContext(BrowserClient(self.transport))


class WebSocketTests(scenarios.PageScenarios, BrowserCase):
    """By WebSocket."""


class HTTPStreamTests(scenarios.FallbackScenarios, BrowserCase):
    """By an HTTP stream, with requests to /emulation."""

    transport = "http_stream"


class SSETests(scenarios.FallbackScenarios, BrowserCase):
    """By server-sent events, with requests to /emulation."""

    transport = "sse"
