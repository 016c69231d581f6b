"""The common part of the scenarios."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.clients.relays import Site, shared_site
from tests.clients.sdk import SDK, CallError, Client, ProgramClient

__all__ = ["ProgramCase", "ScenarioCase"]


class ScenarioCase(SynchronousTestCase):
    """A test with one SDK. The classes of the SDKs say which one."""

    timeout = 120

    def require(self) -> None:
        """Check that the SDK can be run.

        Raises:
            SkipTest: It cannot.
        """
        raise NotImplementedError

    def start_client(self) -> Client:
        """Start the SDK; it ends when the test is over."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Start the SDK, and the relay unless it runs already."""
        self.require()
        self.site = shared_site()
        self.client = self.start_client()

    def own_site(self, *redis: str) -> Site:
        """Start a relay and a Redis server for this test alone, which may end them."""
        self.site = self.enterContext(Site(*redis))
        return self.site

    def channel(self, namespace: str) -> str:
        """Return the name of a channel that no other test uses."""
        return f"{namespace}:{secrets.token_hex(4)}"

    def connect(self, **fields: Any) -> dict[str, Any]:
        """Connect, and return the report of it."""
        self.client.call("connect", url=self.site.url, **fields)
        return self.take("connected", **_name(fields))

    def subscribe(self, channel: str, **fields: Any) -> dict[str, Any]:
        """Subscribe to a channel, and return the report of it."""
        self.client.call("subscribe", channel=channel, **fields)
        return self.take("subscribed", channel=channel, **_name(fields))

    def take(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for an event that was not taken yet, and return it."""
        return self.client.record.take(event=event, **fields)

    def error(self, do: str, **fields: Any) -> int:
        """Carry out a command that has to fail, and return the code of the error."""
        failure: CallError = self.assertRaises(CallError, self.client.call, do, **fields)
        return failure.code

    def values(self, channel: str, count: int, **fields: Any) -> list[Any]:
        """Wait for so many publications of a channel, and return the values of all."""
        wanted = {"event": "publication", "channel": channel, **fields}
        return [report["data"] for report in self.client.record.wait_for(count, **wanted)]

    def assert_values(self, channel: str, expected: Iterable[Any], **fields: Any) -> None:
        """Assert that a channel's publications were these, each once and in this order."""
        listed = list(expected)
        self.assertEqual(self.values(channel, len(listed), **fields), listed)


class ProgramCase(ScenarioCase):
    """An SDK in a process of its own."""

    sdk: SDK
    encoding: str

    def require(self) -> None:
        """See `ScenarioCase.require`."""
        self.sdk.require()

    def start_client(self) -> Client:
        """See `ScenarioCase.start_client`."""
        return self.enterContext(ProgramClient(self.sdk, self.encoding))


def _name(fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": fields["name"]} if "name" in fields else {}
